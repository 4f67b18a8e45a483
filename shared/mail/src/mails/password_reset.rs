//! To who asked for a new password, having forgotten theirs (BL-14, EX-07).

use vestibule_domain::message::ResetAsked;
use vestibule_domain::policy::Policy;
use vestibule_domain::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(
    token: &Sensitive,
    minutes: u32,
    asked: &ResetAsked,
    policy: &Policy,
) -> Content {
    let portal = portal(policy);
    let who = match asked {
        ResetAsked::ByAdministrator(organization) => format!(
            "An administrator of {organization} asked for a new password for your account on {portal}. They do not get to see this link."
        ),
        ResetAsked::ByHelpDesk => format!(
            "{} has started the way to a new password for your account on {portal}.",
            policy.help_desk.name
        ),
        ResetAsked::ByOwner => format!(
            "Somebody, we hope it was you, asked for a new password for your account on {portal}."
        ),
    };
    let unwanted = match asked {
        ResetAsked::ByAdministrator(_) => "you did not want one",
        ResetAsked::ByHelpDesk | ResetAsked::ByOwner => "it was not you",
    };
    Content::new(
        format!("Choose a new password on {}", policy.title),
        vec![
            Block::text(who),
            Block::link(
                "Choose a new password",
                &page(policy, &format!("/password-reset#token={}", token.expose())),
            ),
            Block::text(format!(
                "The link can be used once, within {minutes} minutes. If you asked more than once, only the latest one works."
            )),
            Block::text(format!(
                "If {unwanted}, your password is still the same and there is nothing to do. If this happens often, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("a new password was asked for on {}", policy.title),
    )
}
