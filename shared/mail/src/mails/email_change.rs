//! To the old address, when a new one is asked for and when it is confirmed (BL-12, UX-06).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, portal};

pub(super) fn content(confirmed: bool, policy: &Policy) -> Content {
    let (subject, what) = if confirmed {
        (
            "Your email address was changed",
            "Mails go to another address from now on. This is the last one to this address.",
        )
    } else {
        (
            "A new email address was asked for",
            "Somebody who is signed in to your account gave another email address. It takes the place of this one as soon as it is confirmed.",
        )
    };
    Content::new(
        format!("{subject} on {}", policy.title),
        vec![
            Block::text(format!("This is about your account on {}.", portal(policy))),
            Block::text(what),
            Block::text(format!(
                "If it was not you, somebody else may have access to your account. Please call {} at once.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "this was the email address of your account on {}",
            policy.title
        ),
    )
}
