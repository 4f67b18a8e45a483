//! Asks managers to review who has access (EX-11).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page};

pub(super) fn content(organization: &str, due_date: Date, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Review who has access to {portal}"),
        vec![
            Block::text(format!(
                "It is time for the regular review of who has access to {portal} for {organization}."
            )),
            Block::text(
                "Review each account. Confirm the access if the person still needs it, or remove it if not.",
            ),
            Block::facts([("Complete by", &day(due_date))]),
            Block::link("Review access", &page(policy, "/access-review")),
        ],
        format!("you manage access to {portal} for {organization}"),
    )
}
