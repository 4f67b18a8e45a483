//! To whose account is in use from several places at once (EX-01).

use jiff::Timestamp;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, portal};

pub(super) fn content(at: Timestamp, sources: &[String], policy: &Policy) -> Content {
    Content::new(
        format!(
            "Your account on {} is in use from several places",
            policy.title
        ),
        vec![
            Block::text(format!(
                "Your account on {}, was in use from several places at once.",
                portal(policy)
            )),
            Block::text(format!(
                "When: {}. From the addresses {}.",
                policy.clock_time(at),
                sources.join(" and "),
            )),
            Block::text(
                "If both were you, there is nothing to do. A username is for one person only: who else works on the portal needs one of their own.",
            ),
            Block::text(format!(
                "If it was not you, change your password now, which ends all other sessions, and call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!(
            "your account on {} was used from several places at once",
            policy.title
        ),
    )
}
