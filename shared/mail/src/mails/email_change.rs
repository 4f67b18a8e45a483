//! Notifies the old email address when a change is requested and when it is confirmed (BL-12,
//! UX-06).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::help;

pub(super) fn content(confirmed: bool, policy: &Policy) -> Content {
    let portal = &policy.title;
    let (subject, texts, is) = if confirmed {
        (
            format!("Your email address on {portal} was changed"),
            [
                format!("The email address of your account on {portal} was changed."),
                "From now on, we will send email to the new address. This is the last email to this address.".to_owned(),
            ],
            "was",
        )
    } else {
        (
            format!("Request to change your email address on {portal}"),
            [
                format!(
                    "Someone who was signed in to your account on {portal} entered a new email address."
                ),
                "The new address will replace this one when it is confirmed.".to_owned(),
            ],
            "is",
        )
    };
    let mut blocks: Vec<_> = texts.iter().map(Block::text).collect();
    blocks.push(Block::text(format!(
        "If you did not make this change, someone else may have access to your account. Call {} right away.",
        help(&policy.help_desk)
    )));
    Content::new(
        subject,
        blocks,
        format!("this {is} the email address of your account on {portal}"),
    )
}
