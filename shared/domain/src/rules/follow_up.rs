//! Follow-ups of organizations, and emails to their administrators.

use jiff::civil::Date;
use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{Mail, MailText, ManagedEvent, Message};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::follow_up::{FollowUp, Manager};
use crate::state::membership::Membership;
use crate::state::organization::Organization;
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
        text,
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

/// The maximum number of administrators notified at once. DynamoDB writes at most 100 items in a
/// transaction.
pub const MAX_NOTIFIED: usize = 40;

/// Creates the notices to everyone who manages an organization, except the person concerned.
pub(crate) fn notices_to_managers(
    managers: &[Manager],
    organization: &Organization,
    (account, membership): (&Account, &Membership),
    event: ManagedEvent,
    context: Context<'_>,
) -> Vec<Message> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    managers
        .iter()
        .filter(|manager| manager.account != account.id)
        .take(MAX_NOTIFIED)
        .map(|manager| {
            let text = MailText::ManagedUserChanged {
                organization: organization.name.clone(),
                person: account.name.full(),
                username: account.username.to_string(),
                role: policy.role_title(membership.role).to_owned(),
                event: event.clone(),
            };
            email_to_manager(manager, origin, text, rng)
        })
        .collect()
}
