//! Reminds managers of an access review that is not complete (EX-11).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page};

pub(super) fn content(
    organization: &str,
    due_date: Date,
    overdue: bool,
    (unanswered, others): (&[String], usize),
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    let (subject, said, label) = if overdue {
        (
            format!("Overdue: Review who has access to {portal}"),
            format!(
                "The deadline to review who has access to {portal} has passed, and some accounts have not been reviewed."
            ),
            "Was due by",
        )
    } else {
        (
            format!("Reminder: Review who has access to {portal}"),
            format!("Your review of who has access to {portal} is not complete."),
            "Complete by",
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
            Block::facts([("Organization", organization), (label, &day(due_date))]),
            Block::text("No one has confirmed or removed the access of:"),
            Block::list(&names),
            Block::text(
                "Review each account. Confirm the access if the person still needs it, or remove it if not.",
            ),
            Block::link("Review access", &page(policy, "/access-review")),
        ],
        format!("you manage access to {portal} for {organization}"),
    )
}
