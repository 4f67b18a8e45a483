//! Asks a principal without a backup administrator to add one (AG-04).

use vestibule_domain::policy::{Onboarding, Policy, Role};

use crate::content::{Block, Content};
use crate::words::page;

pub(super) fn content(organization: &str, policy: &Policy) -> Content {
    let (invite, capitalized) = match policy.staff.as_ref().map(|s| s.onboarding) {
        Some(Onboarding::RegistrationCode | Onboarding::InitialPassword) => ("add", "Add"),
        Some(Onboarding::Invitation) | None => ("invite", "Invite"),
    };
    let portal = &policy.title;
    Content::new(
        format!("{capitalized} a backup administrator for {organization}"),
        vec![
            Block::text(format!(
                "{organization} is registered on {portal}, and you are the only person who manages its users."
            )),
            Block::text(format!(
                "{capitalized} a backup: a second person with the same administrator rights as you. When you are away, your backup can give people access and remove those who leave."
            )),
            Block::text(format!(
                "Sign in, {invite} this person, and select the role {}.",
                policy.role_title(Role::Administrator)
            )),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text("We will remind you until you have a backup."),
        ],
        format!("you registered {organization} on {portal}"),
    )
}
