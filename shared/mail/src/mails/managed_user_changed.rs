//! Notifies everyone who manages an organization that a person joined it or got a role (SE-08, UX-12).

use vestibule_domain::outbox::mail::ManagedEvent;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page};

/// The person whom the recipients manage.
pub(super) struct ManagedUser<'a> {
    pub organization: &'a str,
    pub person: &'a str,
    pub username: &'a str,
    /// The title of the person's role.
    pub role: &'a str,
}

pub(super) fn content(user: &ManagedUser<'_>, event: &ManagedEvent, policy: &Policy) -> Content {
    let ManagedUser {
        organization,
        person,
        username,
        role,
    } = user;
    let portal = &policy.title;
    const NEEDS_APPROVAL: &str = "Sign in to approve this user. Until then, they have no access.";
    let (subject, happened, now) = match event {
        ManagedEvent::Joined { awaits_approval } => (
            if *awaits_approval {
                format!("A new user of {organization} needs your approval")
            } else {
                format!("A new user has joined {organization}")
            },
            format!(
                "{person} joined {organization} on {portal} with information from {}'s records.",
                policy.plan.name
            ),
            if *awaits_approval {
                NEEDS_APPROVAL
            } else {
                "This user now has access. Sign in to see what they can do."
            },
        ),
        ManagedEvent::Approved { by } => (
            format!("A new user of {organization} was approved"),
            format!("{by} approved {person} as a user of {organization} on {portal}."),
            "This user now has access. Sign in to see what they can do.",
        ),
        ManagedEvent::RoleChanged {
            by,
            awaits_approval,
        } => (
            if *awaits_approval {
                format!("A new role in {organization} needs approval")
            } else {
                format!("A role in {organization} has changed")
            },
            format!("{by} changed the role of {person} in {organization} on {portal}."),
            if *awaits_approval {
                "Someone other than the person who changed it must approve the role. Until then, this user has no access."
            } else {
                "The new role applies now. Sign in to see what this user can do."
            },
        ),
    };
    Content::new(
        subject,
        vec![
            Block::text(happened),
            Block::facts([("Name", *person), ("Username", *username), ("Role", *role)]),
            Block::text(now),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If you don't know this person, or this shouldn't have happened, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("you manage users of {organization} on {portal}"),
    )
}
