//! Sends a link to choose a new password (BL-14, EX-07).

use vestibule_domain::outbox::mail::ResetAsked;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{help, page};

pub(super) fn content(
    token: &Sensitive,
    minutes: u32,
    asked: &ResetAsked,
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    let who = match asked {
        ResetAsked::ByAdministrator(organization) => format!(
            "An administrator of {organization} requested a new password for your account on {portal}. The administrator cannot see this link."
        ),
        ResetAsked::ByHelpDesk => format!(
            "{} started a password reset for your account on {portal}.",
            policy.help_desk.name
        ),
        ResetAsked::ByOwner => {
            format!("We received a request to reset the password for your account on {portal}.")
        }
    };
    let reject_if_present = match asked {
        ResetAsked::ByAdministrator(_) => "you do not need a new password",
        ResetAsked::ByHelpDesk | ResetAsked::ByOwner => "you did not request this",
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
                "If {reject_if_present}, you can ignore this email, and your password will not change. If you keep receiving emails like this, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("a new password was requested for your account on {portal}"),
    )
}
