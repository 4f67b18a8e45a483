//! Forwards a user's feedback about the site to the help desk (AG-17).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};

pub(super) fn content(username: &str, reply_to: &str, text: &str, policy: &Policy) -> Content {
    let portal = &policy.title;
    let mut blocks = vec![
        Block::text(format!("A user of {portal} sent feedback.")),
        Block::facts([("Username", username), ("Reply to", reply_to)]),
    ];
    blocks.extend(
        text.lines()
            .filter(|l| !l.trim().is_empty())
            .map(Block::text),
    );
    Content::new(
        format!("Feedback about {portal}"),
        blocks,
        format!("feedback about {portal} is sent to the help desk"),
    )
}
