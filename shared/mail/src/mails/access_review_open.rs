//! To managers who leave a review of access unanswered (EX-11).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page, portal};

pub(super) fn content(
    organization: &str,
    answer_by: Date,
    overdue: bool,
    (unanswered, others): (&[String], usize),
    policy: &Policy,
) -> Content {
    let portal = portal(policy);
    let (subject, said, label) = if overdue {
        (
            format!("Overdue: who has access to {}?", policy.title),
            format!(
                "You were asked to review who has access to {portal}. The last day for it is over, and not all is answered."
            ),
            "Answers were due by",
        )
    } else {
        (
            format!("Still to be answered: who has access to {}?", policy.title),
            format!(
                "You were asked to review who has access to {portal}. Not all is answered yet."
            ),
            "Please answer by",
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
            Block::facts([("For", organization), (label, &day(answer_by))]),
            Block::text("Nobody has confirmed or removed the access of:"),
            Block::list(&names),
            Block::text(
                "Please look at each: confirm it if the person still needs it, remove it if not.",
            ),
            Block::link("Review access", &page(policy, "/access-review")),
        ],
        format!(
            "you manage who has access to {} for {organization}",
            policy.title
        ),
    )
}
