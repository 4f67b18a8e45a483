//! To who is invited (AG-08): how to register, by when, and that nobody else can (UX-01).

use jiff::civil::Date;
use vestibule_domain::policy::{NamedBy, Policy};
use vestibule_domain::text::{Email, Sensitive};

use crate::content::{Block, Content};
use crate::words::{day, page_with_token, portal};

/// Who is invited, by whom, to what.
pub(super) struct Invited<'a> {
    pub organization: &'a str,
    pub inviter: &'a str,
    pub role: &'a str,
    pub to: &'a Email,
}

pub(super) fn content(
    invited: &Invited<'_>,
    token: &Sensitive,
    usable_until: Date,
    policy: &Policy,
) -> Content {
    let Invited {
        organization,
        inviter,
        role,
        to,
    } = invited;
    let last_day = day(usable_until);
    let choose = match policy.username.chosen_by {
        NamedBy::User => "a username and a password",
        NamedBy::System => "a password",
    };
    let mut blocks = vec![
        Block::text(format!(
            "{inviter} invites you to join {organization} on {}.",
            portal(policy)
        )),
        Block::facts([
            ("Organization", *organization),
            ("Your role", *role),
            ("Invited by", *inviter),
            ("Last day to accept", &last_day),
        ]),
        Block::text(format!(
            "Open the link below, tell us who you are, and choose {choose}. It takes a few minutes."
        )),
        Block::link(
            "Accept the invitation",
            &page_with_token(policy, "/invitations/accept", token.expose()),
        ),
    ];
    if policy.staff.as_ref().is_some_and(|s| s.approval) {
        blocks.push(Block::text(format!(
            "After that, an administrator of {organization} approves you, and we write to you again. Until then you have no access."
        )));
    }
    blocks.extend([
        Block::text(format!(
            "The link works once, and only for you at {to}. Please do not pass it on."
        )),
        Block::text(format!(
            "If the link is too old, ask {inviter} for a new one. If you did not expect this email, there is nothing to do: you have no account until you register."
        )),
    ]);
    Content::new(
        format!("Your invitation to {}", policy.title),
        blocks,
        format!(
            "{inviter} of {organization} invited {to} to {}",
            policy.title
        ),
    )
}
