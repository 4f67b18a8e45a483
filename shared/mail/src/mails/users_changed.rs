//! Notifies administrators of the users that the scheduler disabled, removed or deleted (BA-01,
//! BA-02).

use vestibule_domain::outbox::mail::NoticeLine;
use vestibule_domain::policy::Policy;
use vestibule_domain::state::follow_up::AccountOutcome;

use crate::content::{Block, Content};
use crate::words::{day, page};

pub(super) fn content(organization: &str, users: &[NoticeLine], policy: &Policy) -> Content {
    let portal = &policy.title;
    let mut blocks = vec![Block::text(format!(
        "Under the rules of {portal}, the following users of {organization} have lost their access."
    ))];
    for (outcome, what) in [
        (
            AccountOutcome::Disabled,
            "Disabled because they had not signed in for a long time. You can reinstate these users:",
        ),
        (
            AccountOutcome::Ended,
            "Removed because the last day of their access has passed:",
        ),
        (
            AccountOutcome::Deleted,
            "Deleted because they were disabled and had not signed in for a long time. Deleted accounts cannot be restored; anyone who needs access again must get a new account:",
        ),
    ] {
        let those: Vec<String> = users
            .iter()
            .filter(|u| u.outcome == outcome)
            .map(|u| format!("{} ({}), {}", u.person, u.username, day(u.on)))
            .collect();
        if !those.is_empty() {
            blocks.push(Block::text(what));
            blocks.push(Block::list(&those));
        }
    }
    blocks.push(Block::link("Sign in", &page(policy, "/sign-in")));
    Content::new(
        format!("Users of {organization} have lost their access"),
        blocks,
        format!("you manage the users of {organization} on {portal}"),
    )
}
