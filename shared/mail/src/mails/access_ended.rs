//! Notifies users that the end date of their access has passed (UX-07).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help};

pub(super) fn content(last: Date, whole: bool, policy: &Policy) -> Content {
    let portal = &policy.title;
    let last = day(last);
    let (what, then) = if whole {
        (
            format!("Your access to {portal} has ended. Your last day of access was {last}."),
            "Your account has been deleted, and you can no longer sign in.",
        )
    } else {
        (
            format!(
                "Your access to {portal} has ended for one of the organizations you work for. Your last day of access was {last}."
            ),
            "You can still sign in with your username and password for your other organizations.",
        )
    };
    Content::new(
        format!("Your access to {portal} has ended"),
        vec![
            Block::text(what),
            Block::text(then),
            Block::text(format!(
                "If you need access again, contact an administrator of the organization or call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("you had access to {portal} until {last}"),
    )
}
