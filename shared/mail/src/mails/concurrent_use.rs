//! Notifies a user that their account was used from several places at once (EX-01).

use jiff::Timestamp;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::help;

pub(super) fn content(at: Timestamp, sources: &[String], policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("Your account on {portal} was used from several places at once"),
        vec![
            Block::text(format!(
                "Your account on {portal} was used from several places at the same time."
            )),
            Block::facts([
                ("When", &policy.clock_time(at)),
                ("IP addresses", &sources.join(" and ")),
            ]),
            Block::text(
                "If this was you, you do not need to do anything. Do not share your username: each person who uses the portal needs their own.",
            ),
            Block::text(format!(
                "If this was not you, change your password now, which ends all other sessions, and call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("your account on {portal} was used from several places at once"),
    )
}
