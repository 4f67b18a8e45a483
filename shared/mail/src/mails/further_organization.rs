//! To who has an account and now a place in a further organization (BL-01).

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
            "Your account has a further organization on {}. Sign in with the username and password you have.",
            portal(policy)
        )),
        Block::facts([("Organization", organization)]),
    ];
    if awaits_approval {
        blocks.push(Block::text(
            "An administrator of the organization has to approve you first. You get an email when they have.",
        ));
    }
    if let Some((title, form)) = agreement {
        sign(title, form, &mut blocks, policy);
    }
    if let Some(by) = pin_letter_by {
        blocks.extend(letter(by, policy));
    }
    blocks.extend([
        Block::text("When you sign in, choose for which organization you work."),
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you did not ask for this, please call {}.",
            help(&policy.help_desk)
        )),
    ]);
    Content::new(
        format!("A further organization on {}", policy.title),
        blocks,
        format!(
            "your account on {} has a further organization",
            policy.title
        ),
    )
}
