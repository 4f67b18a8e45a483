//! Follow-ups of organizations, and emails to their administrators.

use jiff::civil::Date;
use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{Mail, MailText, Message};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::follow_up::{FollowUp, Manager};
use crate::values::ids::MessageId;

/// Creates an email to an administrator.
pub(crate) fn email_to_manager(
    manager: &Manager,
    origin: &Origin,
    text: MailText,
    rng: &mut (impl Rng + ?Sized),
) -> Message {
    Message::Mail(Mail {
        id: MessageId::random(rng),
        portal: origin.portal.clone(),
        to: manager.email.clone(),
        greeting: manager.name.clone(),
        at: origin.at,
        says: text,
    })
}

/// Creates the decision that completes a follow-up, or schedules it again.
pub(crate) fn resolve_follow_up(
    follow_up: &FollowUp,
    origin: &Origin,
    again: Option<Date>,
    rng: &mut (impl Rng + ?Sized),
) -> Decision {
    let audit = AuditEvent::done(origin, Actor::System, Action::Remind, rng)
        .on(follow_up.organization.as_str())
        .for_organization(Some(&follow_up.organization));
    Decision::recording(audit).change(Change::ResolveFollowUp {
        follow_up: follow_up.clone(),
        again,
    })
}
