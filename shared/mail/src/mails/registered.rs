//! Welcomes a user who has registered: their username and the steps that remain.

use jiff::civil::Date;
use vestibule_domain::policy::{Agreement, Blocks, LetterAddress, Policy, RecordedBy, Reissuer};

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(
    username: &str,
    pin_letter_by: Option<Date>,
    agreement: Option<&(String, String)>,
    policy: &Policy,
) -> Content {
    let mut blocks = vec![
        Block::text(format!(
            "Welcome! You are now registered on {}.",
            portal(policy)
        )),
        Block::facts([("Username", username)]),
    ];
    if let Some((title, form)) = agreement {
        sign(title, form, &mut blocks, policy);
    }
    if let Some(by) = pin_letter_by {
        blocks.extend(letter(by, policy));
    }
    blocks.extend([
        Block::text(
            "You can sign in at any time. If any steps remain, the portal shows them to you.",
        ),
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you did not register, call {}.",
            help(&policy.help_desk)
        )),
    ]);
    Content::new(
        format!("Welcome to {}", policy.title),
        blocks,
        format!(
            "someone registered on {} with your email address",
            policy.title
        ),
    )
}

/// Adds the agreement that must be signed or accepted first (AG-11, BL-10, UX-13).
pub(super) fn sign(title: &str, form: &str, blocks: &mut Vec<Block>, policy: &Policy) {
    let agreement = policy.agreements.iter().find(|a| a.title.as_str() == title);
    blocks.push(Block::text(match agreement {
        Some(Agreement { recorded_by: RecordedBy::User, .. }) => format!(
            "One step remains: Read the {title}. You will be asked to accept it when you sign in."
        ),
        _ => format!(
            "One step remains: Sign the {title}. Download the form, sign it, and return it to us as the form directs."
        ),
    }));
    blocks.push(Block::link(title, form));
    blocks.push(Block::text(match agreement {
        Some(Agreement { recorded_by: RecordedBy::User, .. }) => {
            "You cannot see protected information until you accept it."
        }
        Some(Agreement { blocks: Blocks::PinLetter, .. }) => {
            "After we record your signed form, we will mail you a letter with your PIN. You cannot see protected information until you enter the PIN."
        }
        _ => "You cannot see protected information until we record your signed form.",
    }));
}

/// Announces the letter with the PIN (ME-06, ME-08, BL-03).
pub(super) fn letter(by: Date, policy: &Policy) -> [Block; 3] {
    let to = match policy.pin.as_ref().map(|p| p.address) {
        Some(LetterAddress::Designated) => "the mailing address you gave us",
        _ => "the mailing address in our records",
    };
    [
        Block::text(format!(
            "To protect your information, we are mailing a letter with a PIN to {to}."
        )),
        Block::text(format!(
            "The letter should arrive by {}. When you receive it, sign in and enter the PIN; until then, you cannot see protected information.",
            day(by)
        )),
        Block::text(format!(
            "If the letter has not arrived by then, {}",
            lost_letter(policy)
        )),
    ]
}

/// Says what to do when a PIN letter does not arrive, as the end of a sentence that starts with
/// "If …," (ME-07, ME-08, BL-06).
///
/// It never shows the address: only an entered PIN proves that the letter reached the right person.
pub(super) fn lost_letter(policy: &Policy) -> String {
    let help = help(&policy.help_desk);
    let by_user = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&Reissuer::User));
    if by_user {
        format!(
            "call {help} to check the mailing address we have for you. Then sign in and request a new PIN."
        )
    } else {
        format!("call {help}. We will check your mailing address and issue a new PIN.")
    }
}
