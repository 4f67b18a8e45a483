//! To a user whom an administrator added with an initial password (EX-09).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(organization: &str, username: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your account on {}", policy.title),
        vec![
            Block::text(format!(
                "{organization} has made an account for you on {}.",
                portal(policy)
            )),
            Block::facts([("Username", username)]),
            Block::text(
                "The person who made it gives you your first password. When you sign in for the first time, you choose a password of your own, which nobody else knows.",
            ),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If you do not work for {organization}, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "{organization} made an account with your email address on {}",
            policy.title
        ),
    )
}
