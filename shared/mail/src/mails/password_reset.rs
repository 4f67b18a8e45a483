//! Sends a link to choose a new password (BL-14, EX-07).

use vestibule_domain::outbox::mail::ResetInitiator;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{help, page};

pub(super) fn content(
    token: &Sensitive,
    minutes: u32,
    initiator: &ResetInitiator,
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    let who = match initiator {
        ResetInitiator::ByAdministrator(organization) => format!(
            "An administrator of {organization} requested a new password for your account on {portal}. The administrator cannot see this link."
        ),
        ResetInitiator::ByHelpDesk => format!(
            "{} started a password reset for your account on {portal}.",
            policy.help_desk.name
        ),
        ResetInitiator::ByOwner => {
            format!("We received a request to reset the password for your account on {portal}.")
        }
    };
    let exception = match initiator {
        ResetInitiator::ByAdministrator(_) => "you do not need a new password",
        ResetInitiator::ByHelpDesk | ResetInitiator::ByOwner => "you did not request this",
    };
    Content::new(
        format!("Choose a new password on {portal}"),
        vec![
            Block::text(who),
            Block::link(
                "Choose a new password",
                &page(policy, &format!("/password-reset#token={}", token.expose())),
            ),
            Block::text(format!(
                "The link works once and expires after {minutes} minutes. If you requested more than one link, only the latest one works."
            )),
            Block::text(format!(
                "If {exception}, you can ignore this email, and your password will not change. If you keep receiving emails like this, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("a new password was requested for your account on {portal}"),
    )
}
