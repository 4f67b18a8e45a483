//! Notifies users that an administrator changed their access (AG-09, BA-06).

use vestibule_domain::outbox::mail::AccessChange;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::mails::last_day;
use crate::words::{help, page};

pub(super) fn content(organization: &str, change: AccessChange, policy: &Policy) -> Content {
    let portal = &policy.title;
    let mut end = None;
    let (subject, what, link) = match change {
        AccessChange::Assigned { end_date } => {
            end = end_date.map(last_day);
            let what =
                format!("An administrator of {organization} changed what you can do on {portal}.");
            ("has changed", what, true)
        }
        AccessChange::Disabled => (
            "has been disabled",
            format!(
                "An administrator of {organization} disabled your access to {portal}. You can no longer sign in."
            ),
            false,
        ),
        AccessChange::Reinstated => (
            "has been restored",
            format!(
                "An administrator of {organization} restored your access to {portal}. Sign in with your username and password."
            ),
            true,
        ),
        AccessChange::Removed => (
            "has ended",
            format!(
                "An administrator of {organization} removed you from its users on {portal}. You can no longer use the portal for {organization}."
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
        "If you did not expect this, contact an administrator of {organization} or call {}.",
        help(&policy.help_desk)
    )));
    Content::new(
        format!("Your access to {portal} {subject}"),
        blocks,
        format!("your access to {portal} for {organization} changed"),
    )
}
