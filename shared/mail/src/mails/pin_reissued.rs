//! Notifies a user that a new PIN was issued and when its letter should arrive (ME-07, ME-08, BL-06).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use super::registered::lost_letter;
use crate::content::{Block, Content};
use crate::words::{day, help, page};

pub(super) fn content(arrives_by: Date, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        "Your new PIN is on its way",
        vec![
            Block::text(format!(
                "We issued a new PIN for your account on {portal} and are mailing it to you in a letter. Your old PIN no longer works."
            )),
            Block::facts([("Should arrive by", &day(arrives_by))]),
            Block::text("When you receive the letter, sign in and enter the PIN."),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If the letter has not arrived by then, {}",
                lost_letter(policy)
            )),
            Block::text(format!(
                "If you did not request a new PIN, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("a new PIN was issued for your account on {portal}"),
    )
}
