//! To managers who are asked to review who has access (EX-11).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page, portal};

pub(super) fn content(organization: &str, answer_by: Date, policy: &Policy) -> Content {
    Content::new(
        format!("Please review who has access to {}", policy.title),
        vec![
            Block::text(format!(
                "From time to time you are asked to review who has access to {} for {organization}.",
                portal(policy)
            )),
            Block::text(
                "Please look at each account: confirm it if the person still needs it, remove it if not.",
            ),
            Block::facts([("Please answer by", &day(answer_by))]),
            Block::link("Review access", &page(policy, "/access-review")),
        ],
        format!(
            "you manage who has access to {} for {organization}",
            policy.title
        ),
    )
}
