//! To the administrator who invited somebody that has now registered (AG-08).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(
    organization: &str,
    person: &str,
    username: &str,
    awaits_approval: bool,
    policy: &Policy,
) -> Content {
    let group_codes = policy.group_codes.from_records || !policy.group_codes.offered.is_empty();
    let assigned = match (policy.services.is_empty(), group_codes) {
        (false, true) => "assign services and group codes",
        (false, false) => "assign services",
        (true, true) => "assign group codes",
        (true, false) => "open the portal to them",
    };
    let (subject, now) = if awaits_approval {
        (
            format!("Please approve a new user of {organization}"),
            format!(
                "Please sign in, approve them, and {assigned}. Until then they have no access."
            ),
        )
    } else {
        (
            format!("A new user of {organization}"),
            "They have access now. Sign in to see or change what they may do.".to_owned(),
        )
    };
    Content::new(
        subject,
        vec![
            Block::text(format!(
                "{person}, whom you invited to join {organization}, has registered on {}.",
                portal(policy)
            )),
            Block::facts([("Name", person), ("Username", username)]),
            Block::text(now),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If this is not the person you invited, {}. If you need help, call {}.",
                if awaits_approval {
                    "do not approve but delete them"
                } else {
                    "delete them at once"
                },
                help(&policy.help_desk)
            )),
        ],
        format!(
            "you invited this person to join {organization} on {}",
            policy.title
        ),
    )
}
