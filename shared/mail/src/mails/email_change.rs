//! Notifies the old email address when a change is requested and when it is confirmed (BL-12,
//! UX-06).

use vestibule_domain::policy::Policy;
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{help, page};

/// The notice of a request, with the link that cancels it (SE-01).
pub(super) fn requested(cancellation: &Sensitive, policy: &Policy) -> Content {
    let portal = &policy.title;
    let cancel = page(
        policy,
        &format!("/email-change-cancellation#token={}", cancellation.expose()),
    );
    Content::new(
        format!("Request to change your email address on {portal}"),
        vec![
            Block::text(format!(
                "Someone who was signed in to your account on {portal} entered a new email address."
            )),
            Block::text("The new address will replace this one when it is confirmed."),
            Block::text(
                "If you did not make this change, cancel it. This also ends all sessions of your account.",
            ),
            Block::link("Cancel the change", &cancel),
            Block::text(format!(
                "If you canceled it, someone else may know your password. Choose a new one, or call {} right away.",
                help(&policy.help_desk)
            )),
        ],
        format!("this is the email address of your account on {portal}"),
    )
}

pub(super) fn changed(policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Your email address on {portal} was changed"),
        vec![
            Block::text(format!(
                "The email address of your account on {portal} was changed."
            )),
            Block::text(
                "From now on, we will send email to the new address. This is the last email to this address.",
            ),
            Block::text(format!(
                "If you did not make this change, someone else may have access to your account. Call {} right away.",
                help(&policy.help_desk)
            )),
        ],
        format!("this was the email address of your account on {portal}"),
    )
}
