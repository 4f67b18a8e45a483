//! To who asked for their username, having forgotten it (BL-15).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(username: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your username on {}", policy.title),
        vec![
            Block::text(format!(
                "You asked for your username on {}.",
                portal(policy)
            )),
            Block::facts([("Username", username)]),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If it was not you, there is nothing to do. If this happens often, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("your username on {} was asked for", policy.title),
    )
}
