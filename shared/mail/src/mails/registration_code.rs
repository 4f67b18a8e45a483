//! Sends the code that completes the registration of a user whom an administrator added (BL-08).

use jiff::civil::Date;
use vestibule_domain::policy::{Policy, Reissuer};
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(
    organization: &str,
    username: &str,
    code: &Sensitive,
    expires_on: Date,
    policy: &Policy,
) -> Content {
    let reissuers = policy.registration_code.as_ref().map(|r| &r.reissued_by);
    let by_administrator = reissuers.is_some_and(|r| r.contains(&Reissuer::Administrator));
    let help = help(&policy.help_desk);
    let ask = if by_administrator {
        format!("ask an administrator of {organization} for a new one or call {help}.")
    } else {
        format!("call {help} for a new one.")
    };
    Content::new(
        format!("Complete your registration on {}", policy.title),
        vec![
            Block::text(format!(
                "{organization} added you as a user of {}. To complete your registration, enter your registration code.",
                portal(policy)
            )),
            Block::facts([
                ("Username", username),
                ("Use the code by", &day(expires_on)),
            ]),
            Block::code("Registration code", code),
            Block::text("Open this page, enter your username and the code, and choose a password."),
            Block::link("Enter the code", &page(policy, "/registration-code")),
            Block::text(
                "The code works once, and only with your username. Do not share it; we will never ask you for it.",
            ),
            Block::text(format!("If you lose the code or it expires, {ask}")),
        ],
        format!(
            "an administrator of {organization} added you to {}",
            policy.title
        ),
    )
}
