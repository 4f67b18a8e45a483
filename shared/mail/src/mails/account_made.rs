//! To a user whom an administrator added with an initial password (EX-09).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(organisation: &str, user_name: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your account on {}", policy.title),
        vec![
            Block::text(format!(
                "{organisation} has made an account for you on {}.",
                portal(policy)
            )),
            Block::facts([("User name", user_name)]),
            Block::text(
                "The person who made it gives you your first password. When you sign in for the first time, you choose a password of your own, which nobody else knows.",
            ),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If you do not work for {organisation}, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "{organisation} made an account with your e-mail address on {}",
            policy.title
        ),
    )
}
