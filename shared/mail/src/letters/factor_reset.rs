//! The letter with the PIN that proves the postal address before second factors are removed (MF-06).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(pin: &Sensitive, expires_on: Date, policy: &Policy) -> Content {
    let help = help(&policy.help_desk);
    Content::new(
        format!("Your PIN to reset second factors on {}", policy.title),
        vec![
            Block::text(format!(
                "You requested a reset of the second factors of your account on {}, because you lost them. This PIN confirms that it is you.",
                portal(policy)
            )),
            Block::code("Your PIN", pin),
            Block::link(
                "Sign in with your username and password, and enter the PIN when you are asked for the second factor",
                &page(policy, "/sign-in"),
            ),
            Block::text(format!(
                "Enter the PIN by {}. Your passkeys, authenticator apps and recovery codes are then removed, and you can set up new ones.",
                day(expires_on)
            )),
            Block::text(
                "Do not share your PIN. We will never ask you for it by telephone, by email, or in person.",
            ),
            Block::text(format!(
                "If the PIN has expired or does not work, call {help} for a new one. If you did not request this, call us right away, because someone else may know your password."
            )),
        ],
        format!(
            "a reset of the second factors was started for your account on {}",
            policy.title
        ),
    )
}
