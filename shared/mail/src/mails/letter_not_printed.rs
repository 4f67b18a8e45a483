//! Notifies a user that their PIN letter could not be printed (ME-08).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::help;

pub(super) fn content(policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        "We could not mail your PIN letter",
        vec![
            Block::text(format!(
                "We could not print the letter with the PIN for your account on {portal}, so no letter is on its way. Usually the mailing address is too long for the envelope or has characters that we cannot print."
            )),
            Block::text(format!(
                "To correct your mailing address and get a new letter, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("the PIN letter for your account on {portal} could not be printed"),
    )
}
