//! To a new address, which its owner has to confirm (BL-12).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;
use vestibule_domain::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(token: &Sensitive, usable_until: Date, policy: &Policy) -> Content {
    Content::new(
        format!("Confirm your email address for {}", policy.title),
        vec![
            Block::text(format!(
                "This address was given for an account on {}.",
                portal(policy)
            )),
            Block::link(
                "Confirm the address",
                &page(
                    policy,
                    &format!("/email-confirmation#token={}", token.expose()),
                ),
            ),
            Block::text(format!(
                "The last day on which you can confirm it is {}. Until you do, mails go to the old address.",
                day(usable_until)
            )),
            Block::text(format!(
                "If you do not know of this, there is nothing to do. If it happens often, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("this address was given for an account on {}", policy.title),
    )
}
