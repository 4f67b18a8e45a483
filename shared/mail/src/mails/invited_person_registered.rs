//! Notifies the administrators of an organization that an invited person has registered (AG-08, SE-02).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page};

pub(super) struct Registered<'a> {
    pub organization: &'a str,
    /// The administrator who sent the invitation, if it is not the reader.
    pub inviter: Option<&'a str>,
    pub person: &'a str,
    pub username: &'a str,
}

pub(super) fn content(
    registered: &Registered<'_>,
    awaits_approval: bool,
    policy: &Policy,
) -> Content {
    let Registered {
        organization,
        inviter,
        person,
        username,
    } = registered;
    let portal = &policy.title;
    let (registered, invited) = match inviter {
        None => (
            format!("{person}, whom you invited to join {organization}, registered on {portal}."),
            "the person you invited".to_owned(),
        ),
        Some(inviter) => (
            format!(
                "{person} registered on {portal}. {inviter} invited this person to join {organization}."
            ),
            format!("the person whom {inviter} invited"),
        ),
    };
    let group_codes = policy.group_codes.from_records || !policy.group_codes.offered.is_empty();
    let assigned = match (policy.services.is_empty(), group_codes) {
        (false, true) => "assign services and group codes",
        (false, false) => "assign services",
        (true, true) => "assign group codes",
        (true, false) => "give them access to the portal",
    };
    let (subject, now, not_invited) = if awaits_approval {
        (
            format!("A new user of {organization} needs your approval"),
            format!(
                "Sign in to approve this user and {assigned}. Until then, they have no access."
            ),
            "do not approve the account; delete it instead",
        )
    } else {
        (
            format!("A new user of {organization} has registered"),
            "This user now has access. Sign in to see or change what they can do.".to_owned(),
            "delete the account right away",
        )
    };
    Content::new(
        subject,
        vec![
            Block::text(registered),
            Block::facts([("Name", *person), ("Username", *username)]),
            Block::text(now),
            Block::link("Sign in", &page(policy, "/sign-in")),
            Block::text(format!(
                "If this is not {invited}, {not_invited}. If you need help, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("you manage the users of {organization} on {portal}"),
    )
}
