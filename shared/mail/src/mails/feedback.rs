//! To the help desk: what a user thinks of the site (AG-17).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::portal;

pub(super) fn content(username: &str, reply_to: &str, text: &str, policy: &Policy) -> Content {
    let mut blocks = vec![
        Block::text(format!("A user of {} has sent feedback.", portal(policy))),
        Block::facts([("Username", username), ("Reply to", reply_to)]),
    ];
    blocks.extend(
        text.lines()
            .filter(|l| !l.trim().is_empty())
            .map(Block::text),
    );
    Content::new(
        format!("Feedback about {}", policy.title),
        blocks,
        format!("feedback about {} goes to the help desk", policy.title),
    )
}
