//! To a principal without a backup (AG-04).

use vestibule_domain::policy::{JoinBy, Policy, Role};

use crate::content::{Block, Content};
use crate::words::{page, portal};

pub(super) fn content(organization: &str, policy: &Policy) -> Content {
    let invite = match policy.staff.as_ref().map(|s| s.join_by) {
        Some(JoinBy::RegistrationCode | JoinBy::InitialPassword) => "add",
        Some(JoinBy::Invitation) | None => "invite",
    };
    Content::new(
        format!("Please {invite} a backup for {organization}"),
        vec![
            Block::text(format!(
                "{organization} is registered on {}. You are the only one who manages its users.",
                portal(policy)
            )),
            Block::text(format!(
                "Please {invite} a backup: a second person with the same administrator rights as you. When you are away, the backup can let people in and remove those who leave."
            )),
            Block::text(format!(
                "Sign in, {invite} this person, and choose the role {}.",
                policy.role_title(Role::Administrator)
            )),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text("We will remind you until there is a backup."),
        ],
        format!("you registered {organization} on {}", policy.title),
    )
}
