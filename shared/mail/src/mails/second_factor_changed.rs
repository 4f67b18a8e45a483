//! Notifies a user that their second factors were changed, or that a recovery code was used (MF-01, UX-06).

use jiff::civil::Date;
use vestibule_domain::outbox::mail::FactorEvent;
use vestibule_domain::policy::{FactorMethod, Policy};

use crate::content::{Block, Content};
use crate::words::{day, help};

pub(super) fn content(event: &FactorEvent, on: Date, policy: &Policy) -> Content {
    let (portal, on) = (&policy.title, day(on));
    let kind = |method: &FactorMethod| match method {
        FactorMethod::Passkey => ("A", "passkey"),
        FactorMethod::AuthenticatorApp => ("An", "authenticator app"),
    };
    let (subject, what, preview) = match event {
        FactorEvent::Added { method, name } => {
            let (article, kind) = kind(method);
            (
                format!("{article} {kind} was added to your account on {portal}"),
                format!("The {kind} \"{name}\" was added to your account on {portal} on {on}."),
                format!(
                    "{} {kind} was added to your account on {portal}",
                    article.to_lowercase()
                ),
            )
        }
        FactorEvent::Removed { method, name } => {
            let (article, kind) = kind(method);
            (
                format!("{article} {kind} was removed from your account on {portal}"),
                format!("The {kind} \"{name}\" was removed from your account on {portal} on {on}."),
                format!(
                    "{} {kind} was removed from your account on {portal}",
                    article.to_lowercase()
                ),
            )
        }
        FactorEvent::RecoveryCodesCreated => (
            format!("New recovery codes for your account on {portal}"),
            format!(
                "New recovery codes were created for your account on {portal} on {on}. Older codes no longer work."
            ),
            format!("new recovery codes were created for your account on {portal}"),
        ),
        FactorEvent::Reset => (
            format!("Your second factors were removed from your account on {portal}"),
            format!(
                "All passkeys, authenticator apps and recovery codes were removed from your account on {portal} on {on}. Set up new ones in your profile."
            ),
            format!("your second factors were removed from your account on {portal}"),
        ),
        FactorEvent::RecoveryCodeUsed { left } => {
            let left = match left {
                0 => "It was the last one. Create new ones in your profile.".to_owned(),
                1 => "One code is left. Create new ones in your profile.".to_owned(),
                left => format!("{left} codes are left."),
            };
            (
                format!("A recovery code was used for your account on {portal}"),
                format!(
                    "A recovery code was used to sign in to your account on {portal} on {on}. {left}"
                ),
                format!("a recovery code was used for your account on {portal}"),
            )
        }
    };
    let blocks = vec![
        Block::text(what),
        Block::text("If this was you, you do not need to do anything."),
        Block::text(format!(
            "If this was not you, someone else may have access to your account. Call {} right away.",
            help(&policy.help_desk)
        )),
    ];
    Content::new(subject, blocks, preview)
}
