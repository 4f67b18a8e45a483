//! To whose security or hint questions have changed (UX-06).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, portal};

pub(super) fn content(on: Date, policy: &Policy) -> Content {
    Content::new(
        format!("Your security questions on {} were changed", policy.title),
        vec![
            Block::text(format!(
                "The questions with which you get back into your account on {}, or their answers, were changed on {}.",
                portal(policy),
                day(on)
            )),
            Block::text("If it was you, there is nothing to do."),
            Block::text(format!(
                "If it was not you, somebody else may have access to your account. Please call {} at once.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "the security questions of your account on {} were changed",
            policy.title
        ),
    )
}
