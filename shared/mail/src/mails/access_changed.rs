//! To whose access an administrator has changed (AG-09, BA-06).

use vestibule_domain::message::AccessChange;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::mails::last_day;
use crate::words::{help, page, portal};

pub(super) fn content(organization: &str, change: AccessChange, policy: &Policy) -> Content {
    let portal = portal(policy);
    let mut end = None;
    let (subject, what, link) = match change {
        AccessChange::Assigned { ends_on } => {
            end = ends_on.map(last_day);
            let what = format!(
                "An administrator of {organization} has changed what you can do on {portal}."
            );
            ("Your access has changed", what, true)
        }
        AccessChange::Disabled => (
            "Your access is disabled",
            format!(
                "An administrator of {organization} has disabled your access to {portal}. You can no longer sign in."
            ),
            false,
        ),
        AccessChange::Reinstated => (
            "Your access is back",
            format!(
                "An administrator of {organization} has reinstated your access to {portal}. Sign in with your username and password."
            ),
            true,
        ),
        AccessChange::Removed => (
            "Your access has ended",
            format!(
                "An administrator of {organization} has removed you from its users on {portal}. You can no longer sign in for {organization}."
            ),
            false,
        ),
    };
    let mut blocks = vec![Block::text(what)];
    blocks.extend(end);
    if link {
        blocks.push(Block::link("Sign in", &page(policy, "/sign-in")));
    }
    blocks.push(Block::text(format!(
        "If you did not expect this, please ask an administrator of {organization}, or call {}.",
        help(&policy.help_desk)
    )));
    Content::new(
        format!("{subject} on {}", policy.title),
        blocks,
        format!(
            "your access to {} for {organization} was changed",
            policy.title
        ),
    )
}
