//! To who signed in from a new device (UX-06).

use jiff::Timestamp;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, portal};

pub(super) fn content(
    at: Timestamp,
    source: Option<&str>,
    program: &str,
    policy: &Policy,
) -> Content {
    Content::new(
        format!("New sign-in on {}", policy.title),
        vec![
            Block::text(format!(
                "Somebody signed in to your account on {}, from a device that was not used for it before.",
                portal(policy)
            )),
            Block::text(format!(
                "When: {}. From the address {}. With {program}.",
                policy.clock_time(at),
                source.unwrap_or("unknown"),
            )),
            Block::text("If it was you, there is nothing to do."),
            Block::text(format!(
                "If it was not you, change your password now, and call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "somebody signed in to your account on {} from a new device",
            policy.title
        ),
    )
}
