//! To whose username a campaign has released, and what became of it (ME-10).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

fn because(policy: &Policy) -> String {
    format!("you have an account on {}", policy.title)
}

pub(super) fn released(username: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Please choose your username on {} again", policy.title),
        vec![
            Block::text(format!(
                "Usernames on {}, that were chosen long ago are free again for everybody. Yours is one of them.",
                portal(policy)
            )),
            Block::facts([("Your username", username)]),
            Block::text(
                "Sign in with it soon. You can keep it, as long as nobody else has chosen it, or choose another. Your password and your account stay as they are.",
            ),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        because(policy),
    )
}

pub(super) fn gone(username: &str, instead: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your username on {} is somebody else’s now", policy.title),
        vec![
            Block::text(format!(
                "Usernames on {}, that were chosen long ago are free again for everybody. Somebody else has now chosen the one that was yours, {username}.",
                portal(policy)
            )),
            Block::text(
                "Your account is still there, with your password. Until you choose another username, sign in with this one:",
            ),
            Block::facts([("Username for now", instead)]),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        because(policy),
    )
}

pub(super) fn chosen(username: &str, policy: &Policy) -> Content {
    Content::new(
        format!("Your username on {} has changed", policy.title),
        vec![
            Block::text(format!(
                "You have chosen another username on {}. The one you had before no longer works; your password is still the same.",
                portal(policy)
            )),
            Block::facts([("New username", username)]),
            Block::text(format!(
                "If that was not you, please call {} at once.",
                help(&policy.help_desk)
            )),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        because(policy),
    )
}
