//! Invites a person to register: how, by when, and that only they can use the link (AG-08, UX-01).

use jiff::civil::Date;
use vestibule_domain::policy::{ChosenBy, Policy};
use vestibule_domain::values::text::{Email, Sensitive};

use crate::content::{Block, Content};
use crate::words::{day, page_with_token, portal};

pub(super) struct Invited<'a> {
    pub organization: &'a str,
    pub inviter: &'a str,
    pub role: &'a str,
    pub to: &'a Email,
}

pub(super) fn content(
    invited: &Invited<'_>,
    token: &Sensitive,
    expires_on: Date,
    policy: &Policy,
) -> Content {
    let Invited {
        organization,
        inviter,
        role,
        to,
    } = invited;
    let last_day = day(expires_on);
    let choose = match policy.username.chosen_by {
        ChosenBy::User => "a username and a password",
        ChosenBy::System => "a password",
    };
    let mut blocks = vec![
        Block::text(format!(
            "{inviter} invited you to join {organization} on {}.",
            portal(policy)
        )),
        Block::facts([
            ("Organization", *organization),
            ("Your role", *role),
            ("Invited by", *inviter),
            ("Accept by", &last_day),
        ]),
        Block::text(format!(
            "Open the link below, enter your information, and choose {choose}. It takes a few minutes."
        )),
        Block::link(
            "Accept the invitation",
            &page_with_token(policy, "/invitations/accept", token.expose()),
        ),
    ];
    if policy.staff.as_ref().is_some_and(|s| s.approval) {
        blocks.push(Block::text(format!(
            "After you register, an administrator of {organization} must approve you. You have no access until then, and we will email you when you are approved."
        )));
    }
    blocks.extend([
        Block::text(format!(
            "The link works once, and only for you at {to}. Do not share it."
        )),
        Block::text(format!(
            "If the link has expired, ask {inviter} for a new one. If you did not expect this email, you can ignore it: you have no account unless you register."
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
