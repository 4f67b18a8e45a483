//! To who hasn't signed in for long (BA-01, BA-02, UX-02).

use jiff::civil::Date;
use vestibule_domain::message::IdleStep;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(
    (since, signed_in): (Date, bool),
    then: IdleStep,
    on: Option<Date>,
    policy: &Policy,
) -> Content {
    let since = day(since);
    let idle = if signed_in {
        format!("You last signed in to {}, on {since}.", portal(policy))
    } else {
        format!(
            "Your account on {}, was made on {since}, and you have not signed in since.",
            portal(policy)
        )
    };
    let when = on.map(day).unwrap_or_default();
    let desk = help(&policy.help_desk);
    // Members of the plan have no administrator.
    let (reinstate, renew) = match policy.staff {
        Some(_) => (
            format!("Only an administrator of your organization can reinstate it, or {desk}."),
            format!(
                "If you need access again, please ask an administrator of your organization for a new account, or call {desk}."
            ),
        ),
        None => (
            format!("To have it reinstated, please call {desk}."),
            format!("If you need access again, please register anew, or call {desk}."),
        ),
    };
    let (subject, texts, sign_in) = match then {
        IdleStep::WillBeDisabled => (
            "will be disabled soon",
            vec![
                format!("If you do not sign in before {when}, your account will be disabled on that day."),
                "To keep it, sign in once.".to_owned(),
            ],
            true,
        ),
        IdleStep::Disabled => {
            let mut texts = vec!["Because of this, your account was disabled today. You can no longer sign in.".to_owned(), reinstate];
            if on.is_some() {
                texts.push(format!("If it is not reinstated, it will be deleted on {when}."));
            }
            ("is disabled", texts, false)
        }
        IdleStep::WillBeDeleted => (
            "will be deleted soon",
            vec![format!("Your account is disabled, and will be deleted on {when}. What is deleted cannot be brought back."), reinstate],
            false,
        ),
        IdleStep::Deleted => (
            "is deleted",
            vec![
                "Because of this, your account was deleted today, and what we knew of you for it was removed.".to_owned(),
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
        format!("Your account on {} {subject}", policy.title),
        blocks,
        format!(
            "you have an account on {} and have not used it for long",
            policy.title
        ),
    )
}
