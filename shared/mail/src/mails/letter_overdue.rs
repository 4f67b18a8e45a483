//! To whose PIN letter should have arrived (ME-08).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use super::registered::lost_letter;
use crate::content::{Block, Content};
use crate::words::{day, page, portal};

pub(super) fn content(arrives_by: Date, policy: &Policy) -> Content {
    Content::new(
        "Has the letter with your PIN arrived?",
        vec![
            Block::text(format!(
                "The letter with the PIN for your account on {}, should have arrived by {}.",
                portal(policy),
                day(arrives_by)
            )),
            Block::text("If you have it, sign in and enter the PIN."),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!("If it has not come, {}", lost_letter(policy))),
        ],
        format!(
            "the PIN for your account on {} has not been entered yet",
            policy.title
        ),
    )
}
