//! Warns a user that their password expires soon or has expired (UX-02, AG-02).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page};

pub(super) fn content(on: Date, over: bool, policy: &Policy) -> Content {
    let portal = &policy.title;
    let (subject, what) = if over {
        ("has expired", "expired")
    } else {
        ("expires soon", "expires")
    };
    Content::new(
        format!("Your password on {portal} {subject}"),
        vec![
            Block::text(format!(
                "The password for your account on {portal} {what} on {}.",
                day(on)
            )),
            Block::text(if over {
                "Sign in with your current password. You must then choose a new one before you can continue."
            } else {
                "Sign in and choose a new password before then. After that day, you must choose a new one the next time you sign in before you can continue."
            }),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        format!("your password on {portal} must be changed regularly"),
    )
}
