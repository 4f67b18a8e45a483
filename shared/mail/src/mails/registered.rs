//! To who has registered: their username, and what is left to do.

use jiff::civil::Date;
use vestibule_domain::policy::{Agreement, LetterAddress, Policy, RecordedBy, Reissuer, Withholds};

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
            "Welcome! You are registered on {}.",
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
            "You can sign in at any time. If anything is left to do, the portal shows you.",
        ),
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you did not register, please call {}.",
            help(&policy.help_desk)
        )),
    ]);
    Content::new(
        format!("Welcome to {}", policy.title),
        blocks,
        format!(
            "somebody registered on {} with your email address",
            policy.title
        ),
    )
}

/// The agreement that has to be signed first (AG-11, BL-10, UX-13).
pub(super) fn sign(title: &str, form: &str, blocks: &mut Vec<Block>, policy: &Policy) {
    let agreement = policy.agreements.iter().find(|a| a.title.as_str() == title);
    blocks.push(Block::text(match agreement {
        Some(Agreement { recorded_by: RecordedBy::User, .. }) => format!(
            "One thing is left to do: read the {title}. You are asked to accept it when you sign in."
        ),
        _ => format!(
            "One thing is left to do: sign the {title}. Download the form, sign it, and send it to us as the form says."
        ),
    }));
    blocks.push(Block::link(title, form));
    blocks.push(Block::text(match agreement {
        Some(Agreement { recorded_by: RecordedBy::User, .. }) => {
            "Until you have accepted it, you see no protected information."
        }
        Some(Agreement { withholds: Withholds::PinLetter, .. }) => {
            "As soon as we have recorded the signed form, we post you a letter with your PIN. Until you have entered it, you see no protected information."
        }
        _ => "Until we have recorded the signed form, you see no protected information.",
    }));
}

/// The letter with the PIN (ME-06, ME-08, BL-03).
pub(super) fn letter(by: Date, policy: &Policy) -> [Block; 2] {
    let to = match policy.pin.as_ref().map(|p| p.address) {
        Some(LetterAddress::Designated) => "the postal address you gave us",
        _ => "the postal address in our records",
    };
    [
        Block::text(format!(
            "To protect your information, we post a letter with a PIN to {to}. It should arrive by {}. When you have it, sign in and enter the PIN. Until then you see no protected information.",
            day(by)
        )),
        Block::text(format!(
            "If the letter has not come by then, {}",
            lost_letter(policy)
        )),
    ]
}

/// What to do when a PIN letter doesn't come (ME-07, ME-08, BL-06), after "If …,".
///
/// The address itself is not shown before the PIN has proved that the letter reached its owner.
pub(super) fn lost_letter(policy: &Policy) -> String {
    let help = help(&policy.help_desk);
    let by_user = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&Reissuer::User));
    if by_user {
        format!(
            "call {help} to check the postal address that we have for you. Then sign in and ask for a new PIN."
        )
    } else {
        format!("call {help}. We check your postal address and issue a new PIN.")
    }
}
