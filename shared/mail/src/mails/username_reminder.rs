//! Sends a forgotten username to its owner (BL-15).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page};

pub(super) fn content(username: &str, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Your username on {portal}"),
        vec![
            Block::text(format!(
                "We received a request for your username on {portal}."
            )),
            Block::facts([("Username", username)]),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If you did not request this, you can ignore this email. If you keep receiving emails like this, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("your username on {portal} was requested"),
    )
}
