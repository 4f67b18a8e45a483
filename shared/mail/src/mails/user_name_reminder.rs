//! To who asked for their user name, having forgotten it (BL-15).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(user_name: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your user name on {}", policy.title),
        vec![
            Block::text(format!(
                "You asked for your user name on {}.",
                portal(policy)
            )),
            Block::facts([("User name", user_name)]),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If it was not you, there is nothing to do. If this happens often, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("your user name on {} was asked for", policy.title),
    )
}
