//! Notifies a user that their PIN letter should have arrived (ME-08).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use super::registered::lost_letter;
use crate::content::{Block, Content};
use crate::words::{day, page};

pub(super) fn content(arrives_by: Date, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        "Has your PIN letter arrived?",
        vec![
            Block::text(format!(
                "The letter with the PIN for your account on {portal} should have arrived by {}.",
                day(arrives_by)
            )),
            Block::text("If you have it, sign in and enter the PIN."),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!("If it has not arrived, {}", lost_letter(policy))),
        ],
        format!("the PIN for your account on {portal} has not been entered yet"),
    )
}
