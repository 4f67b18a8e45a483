//! To whose password expires soon (UX-02, AG-02).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, page, portal};

pub(super) fn content(on: Date, over: bool, policy: &Policy) -> Content {
    let (subject, what) = if over {
        ("has expired", "expired")
    } else {
        ("expires soon", "expires")
    };
    Content::new(
        format!("Your password on {} {subject}", policy.title),
        vec![
            Block::text(format!(
                "The password of your account on {}, {what} on {}.",
                portal(policy),
                day(on)
            )),
            Block::text(if over {
                "Sign in with it once more: you are then asked to choose a new one before anything else."
            } else {
                "Please sign in and choose a new one before then. After that day you are asked for a new one at your next sign-in, before anything else."
            }),
            Block::link("Sign in", &page(policy, "/sign-in")),
        ],
        format!(
            "your password on {} must be changed from time to time",
            policy.title
        ),
    )
}
