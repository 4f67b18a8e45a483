//! To administrators: what the clockwork did to users of their organization (BA-01, BA-02).

use vestibule_domain::message::{Fate, Told};
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page, portal};

pub(super) fn content(organization: &str, users: &[Told], policy: &Policy) -> Content {
    let mut blocks = vec![Block::text(format!(
        "Users of {organization} have lost their access to {}, as the rules of the portal say.",
        portal(policy)
    ))];
    for (fate, what) in [
        (
            Fate::Disabled,
            "Disabled, because they had not signed in for long. You can reinstate them:",
        ),
        (
            Fate::Ended,
            "Removed, because the last day of their access was over:",
        ),
        (
            Fate::Deleted,
            "Deleted, because they were disabled and had not signed in for long. They cannot be brought back; whoever needs access gets a new account:",
        ),
    ] {
        let those: Vec<String> = users
            .iter()
            .filter(|u| u.fate == fate)
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
        format!("you manage the users of {organization} on {}", policy.title),
    )
}
