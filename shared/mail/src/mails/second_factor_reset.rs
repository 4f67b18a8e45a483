//! Notifies a user that an administrator or the help desk started a reset of the second factors, with the link that
//! completes it and the link that cancels it (MF-06).

use vestibule_domain::outbox::mail::{MailedEvidence, ResetInitiator};
use vestibule_domain::policy::Policy;
use vestibule_domain::values::text::Sensitive;

use crate::content::{Block, Content};
use crate::words::{day, help, page};

pub(super) fn content(
    initiator: &ResetInitiator,
    evidence: &MailedEvidence,
    cancellation: &Sensitive,
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    let who = match initiator {
        ResetInitiator::ByAdministrator(organization) => {
            format!("An administrator of {organization}")
        }
        ResetInitiator::ByHelpDesk | ResetInitiator::ByOwner => policy.help_desk.name.to_string(),
    };
    let mut blocks = vec![Block::text(format!(
        "{who} started to remove the second factors from your account on {portal}, so that you can set up new ones. Until you confirm it, your passkeys, authenticator apps and recovery codes stay as they are."
    ))];
    match evidence {
        MailedEvidence::Link { token, minutes } => blocks.extend([
            Block::link(
                "Remove my second factors",
                &page(
                    policy,
                    &format!("/second-factor-reset#token={}", token.expose()),
                ),
            ),
            Block::text(format!(
                "You need your password, too. The link works once and expires after {minutes} minutes. If you received more than one link, only the latest one works."
            )),
        ]),
        MailedEvidence::Letter { arrives_by } => blocks.push(Block::text(format!(
            "We are mailing you a letter with a PIN. It should arrive by {}. Then sign in with your username and password, and enter the PIN.",
            day(*arrives_by)
        ))),
    }
    blocks.extend([
        Block::text(
            "If you did not request this, or you found your second factor, cancel it. This also ends all sessions of your account.",
        ),
        Block::link(
            "Cancel the reset",
            &page(
                policy,
                &format!(
                    "/second-factor-reset-cancellation#token={}",
                    cancellation.expose()
                ),
            ),
        ),
        Block::text(format!(
            "If you did not request this, someone else may know your password. Choose a new one, or call {} right away.",
            help(&policy.help_desk)
        )),
    ]);
    Content::new(
        format!("Reset of your second factors on {portal}"),
        blocks,
        format!("a reset of the second factors was started for your account on {portal}"),
    )
}
