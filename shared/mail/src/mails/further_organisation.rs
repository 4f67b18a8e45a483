//! To who has an account and now a place in a further organisation (BL-01).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use super::registered::{letter, sign};
use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(
    organisation: &str,
    awaits_approval: bool,
    pin_letter_by: Option<Date>,
    agreement: Option<&(String, String)>,
    policy: &Policy,
) -> Content {
    let mut blocks = vec![
        Block::text(format!(
            "Your account has a further organisation on {}. Sign in with the user name and password you have.",
            portal(policy)
        )),
        Block::facts([("Organisation", organisation)]),
    ];
    if awaits_approval {
        blocks.push(Block::text(
            "An administrator of the organisation has to approve you first. You get an e-mail when they have.",
        ));
    }
    if let Some((title, form)) = agreement {
        sign(title, form, &mut blocks, policy);
    }
    if let Some(by) = pin_letter_by {
        blocks.extend(letter(by, policy));
    }
    blocks.extend([
        Block::text("When you sign in, choose for which organisation you work."),
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you did not ask for this, please call {}.",
            help(&policy.help_desk)
        )),
    ]);
    Content::new(
        format!("A further organisation on {}", policy.title),
        blocks,
        format!(
            "your account on {} has a further organisation",
            policy.title
        ),
    )
}
