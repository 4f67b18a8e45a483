//! Notifies a user of a sign-in from a new device (UX-06).

use jiff::Timestamp;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::help;

pub(super) fn content(
    at: Timestamp,
    source: Option<&str>,
    program: &str,
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("New sign-in to {portal}"),
        vec![
            Block::text(format!(
                "Someone signed in to your account on {portal} from a device that has not been used with it before."
            )),
            Block::facts([
                ("When", &policy.clock_time(at)),
                ("IP address", source.unwrap_or("unknown")),
                ("Device", program),
            ]),
            Block::text("If this was you, you do not need to do anything."),
            Block::text(format!(
                "If this was not you, change your password now and call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("someone signed in to your account on {portal} from a new device"),
    )
}
