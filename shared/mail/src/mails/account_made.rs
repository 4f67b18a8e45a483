//! Notifies a user that an administrator created their account with an initial password (EX-09).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(organization: &str, username: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your account on {}", policy.title),
        vec![
            Block::text(format!(
                "{organization} created an account for you on {}.",
                portal(policy)
            )),
            Block::facts([("Username", username)]),
            Block::text(
                "The person who created your account will give you an initial password. The first time you sign in, you choose a new password that only you know.",
            ),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If you do not work for {organization}, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "{organization} created an account with your email address on {}",
            policy.title
        ),
    )
}
