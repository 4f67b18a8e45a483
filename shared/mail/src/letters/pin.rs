//! The letter with the PIN that activates an account (ME-06, BL-03, BL-04).

use jiff::civil::Date;
use vestibule_domain::policy::{Policy, Reissuer};
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(
    organization: Option<&str>,
    pin: &Sensitive,
    expires_on: Date,
    policy: &Policy,
) -> Content {
    let registered = match organization {
        Some(organization) => format!("you registered {organization} on {}", policy.title),
        None => format!("you registered on {}", policy.title),
    };
    let opens = match organization {
        Some(organization) => format!(
            "You registered {organization} on {}. This PIN activates your account for {organization}.",
            portal(policy)
        ),
        None => format!(
            "You registered on {}. This PIN activates your account.",
            portal(policy)
        ),
    };
    let help = help(&policy.help_desk);
    let by_user = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&Reissuer::User));
    let ask = if by_user {
        format!("sign in and request a new one, or call {help}.")
    } else {
        format!("call {help} for a new one.")
    };
    Content::new(
        format!("Your PIN for {}", policy.title),
        vec![
            Block::text(opens),
            Block::code("Your PIN", pin),
            Block::link(
                "Sign in with your username and password, and enter the PIN here",
                &page(policy, "/pin"),
            ),
            Block::text(format!(
                "Enter the PIN by {}. You need to enter it only once.",
                day(expires_on)
            )),
            Block::text(
                "Do not share your PIN. We will never ask you for it by telephone, by email, or in person.",
            ),
            Block::text(format!(
                "If the PIN has expired or does not work, {ask} If you did not register, call us right away, because someone may have used your name."
            )),
        ],
        registered,
    )
}
