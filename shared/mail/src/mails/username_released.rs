//! Notifies users that a campaign released their username, and what happened to it (ME-10).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page};

fn because(policy: &Policy) -> String {
    format!("you have an account on {}", policy.title)
}

pub(super) fn released(username: &str, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Choose your username on {portal} again"),
        vec![
            Block::text(format!(
                "We released the older usernames on {portal}, so anyone can now choose them. Yours is one of them."
            )),
            Block::facts([("Your username", username)]),
            Block::text(
                "Sign in with it soon to keep it, if no one else has chosen it, or to choose another. Your password and your account stay the same.",
            ),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        because(policy),
    )
}

pub(super) fn gone(username: &str, instead: &str, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Your username on {portal} now belongs to someone else"),
        vec![
            Block::text(format!(
                "We released the older usernames on {portal}, so anyone can now choose them. Someone else has chosen your former username, {username}."
            )),
            Block::text(
                "You still have your account and your password. Until you choose another username, sign in with this one:",
            ),
            Block::facts([("Temporary username", instead)]),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        because(policy),
    )
}

pub(super) fn chosen(username: &str, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Your username on {portal} has changed"),
        vec![
            Block::text(format!(
                "You chose a new username on {portal}. Your old username no longer works, but your password is the same."
            )),
            Block::facts([("New username", username)]),
            Block::text(format!(
                "If this was not you, call {} right away.",
                help(&policy.help_desk)
            )),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        because(policy),
    )
}
