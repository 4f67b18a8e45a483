//! To managers who leave a review of access unanswered (EX-11).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page, portal};

pub(super) fn content(
    organisation: &str,
    answer_by: Date,
    overdue: bool,
    (unanswered, others): (&[String], usize),
    policy: &Policy,
) -> Content {
    let portal = portal(policy);
    let by = day(answer_by);
    let (subject, said) = if overdue {
        (
            format!("Overdue: who has access to {}?", policy.title),
            format!(
                "The review of who has access to {portal}, for {organisation}, was to be answered by {by}. It is not."
            ),
        )
    } else {
        (
            format!("Still to be answered: who has access to {}?", policy.title),
            format!(
                "The review of who has access to {portal}, for {organisation}, is to be answered by {by}."
            ),
        )
    };
    let mut names = unanswered.to_vec();
    if others > 0 {
        names.push(format!("and {others} more"));
    }
    Content::new(
        subject,
        vec![
            Block::text(said),
            Block::text("Nobody has confirmed or removed the access of:"),
            Block::list(&names),
            Block::text(
                "Please look at each: confirm it if the person still needs it, remove it if not.",
            ),
            Block::link("Review access", &page(policy, "/access-review")),
        ],
        format!(
            "you manage who has access to {} for {organisation}",
            policy.title
        ),
    )
}
