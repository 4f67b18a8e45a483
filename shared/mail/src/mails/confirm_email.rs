//! Asks the owner of a new email address to confirm it (BL-12).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(token: &Sensitive, expires_on: Date, policy: &Policy) -> Content {
    Content::new(
        format!("Confirm your email address for {}", policy.title),
        vec![
            Block::text(format!(
                "This email address was entered for an account on {}.",
                portal(policy)
            )),
            Block::link(
                "Confirm this email address",
                &page(
                    policy,
                    &format!("/email-confirmation#token={}", token.expose()),
                ),
            ),
            Block::text(format!(
                "Confirm this address by {}. Until you do, we will send email to your old address.",
                day(expires_on)
            )),
            Block::text(format!(
                "If you did not request this, you can ignore this email. If you keep receiving emails like this, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "this email address was entered for an account on {}",
            policy.title
        ),
    )
}
