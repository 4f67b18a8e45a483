//! Warns users who have not signed in for a long time, and notifies them when their account is
//! disabled or deleted (BA-01, BA-02, UX-02).

use jiff::civil::Date;
use vestibule_domain::outbox::mail::IdleStep;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, page};

pub(super) fn content(
    (since, signed_in): (Date, bool),
    then: IdleStep,
    on: Option<Date>,
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    let since = day(since);
    let idle = if signed_in {
        format!("You last signed in to {portal} on {since}.")
    } else {
        format!("Your account on {portal} was created on {since}, and you have never signed in.")
    };
    let when = on.map(day).unwrap_or_default();
    let desk = help(&policy.help_desk);
    // Members have no administrator, only the help desk.
    let (reinstate, renew) = match policy.staff {
        Some(_) => (
            format!(
                "To have it restored, contact an administrator of your organization or call {desk}."
            ),
            format!(
                "If you need access again, ask an administrator of your organization for a new account or call {desk}."
            ),
        ),
        None => (
            format!("To have it restored, call {desk}."),
            format!("If you need access again, register again or call {desk}."),
        ),
    };
    let (subject, texts, sign_in) = match then {
        IdleStep::WillBeDisabled => (
            "will be disabled soon",
            vec![
                format!("If you do not sign in before {when}, your account will be disabled on that day."),
                "To keep your account, sign in once.".to_owned(),
            ],
            true,
        ),
        IdleStep::Disabled => {
            let mut texts = vec!["Because you have not signed in since then, your account was disabled today. You can no longer sign in.".to_owned(), reinstate];
            if on.is_some() {
                texts.push(format!("If your account is not restored, it will be deleted on {when}."));
            }
            ("has been disabled", texts, false)
        }
        IdleStep::WillBeDeleted => (
            "will be deleted soon",
            vec![format!("Your account is disabled and will be deleted on {when}. A deleted account cannot be restored."), reinstate],
            false,
        ),
        IdleStep::Deleted => (
            "has been deleted",
            vec![
                "Because you have not signed in since then, your account was deleted today, and the personal information stored with it was removed.".to_owned(),
                renew,
            ],
            false,
        ),
    };
    let mut blocks = vec![Block::text(idle)];
    blocks.extend(texts.iter().map(Block::text));
    if sign_in {
        blocks.push(Block::link("Sign in", &page(policy, "/sign-in")));
    }
    Content::new(
        format!("Your account on {portal} {subject}"),
        blocks,
        format!("you have not used your account on {portal} for a long time"),
    )
}
