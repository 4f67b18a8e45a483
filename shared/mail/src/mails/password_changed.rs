//! Notifies a user that their password was changed (UX-06).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help};

pub(super) fn content(on: Date, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Your password on {portal} was changed"),
        vec![
            Block::text(format!(
                "The password for your account on {portal} was changed on {}.",
                day(on)
            )),
            Block::text("If you made this change, you do not need to do anything."),
            Block::text(format!(
                "If you did not make this change, someone else may have access to your account. Call {} right away.",
                help(&policy.help_desk)
            )),
        ],
        format!("the password for your account on {portal} was changed"),
    )
}
