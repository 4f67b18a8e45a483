//! To who had a new PIN issued (ME-07, BL-06): when the letter comes (ME-08).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use super::registered::lost_letter;
use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(arrives_by: Date, policy: &Policy) -> Content {
    Content::new(
        "A letter with your new PIN is on its way",
        vec![
            Block::text(format!(
                "We have issued a new PIN for your account on {}.",
                portal(policy)
            )),
            Block::facts([("Should arrive by", &day(arrives_by))]),
            Block::text("The PIN comes by letter. The one you had before no longer works."),
            Block::text("When you have the letter, sign in and enter the PIN."),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If the letter has not come by then, {}",
                lost_letter(policy)
            )),
            Block::text(format!(
                "If you did not ask for a new PIN, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("a new PIN was issued for your account on {}", policy.title),
    )
}
