//! Notifies a user that an additional organization was added to their account (BL-01).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use super::registered::{letter, sign};
use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(
    organization: &str,
    awaits_approval: bool,
    pin_letter_by: Option<Date>,
    agreement: Option<&(String, String)>,
    policy: &Policy,
) -> Content {
    let mut blocks = vec![
        Block::text(format!(
            "An organization was added to your account on {}. Sign in with the same username and password as before.",
            portal(policy)
        )),
        Block::facts([("Organization", organization)]),
    ];
    if awaits_approval {
        blocks.push(Block::text(
            "An administrator of the organization must approve you first. We will email you when you are approved.",
        ));
    }
    if let Some((title, form)) = agreement {
        sign(title, form, &mut blocks, policy);
    }
    if let Some(by) = pin_letter_by {
        blocks.extend(letter(by, policy));
    }
    blocks.extend([
        Block::text("When you sign in, choose the organization you are working for."),
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you did not request this, call {}.",
            help(&policy.help_desk)
        )),
    ]);
    Content::new(
        format!(
            "An organization was added to your account on {}",
            policy.title
        ),
        blocks,
        format!(
            "an organization was added to your account on {}",
            policy.title
        ),
    )
}
