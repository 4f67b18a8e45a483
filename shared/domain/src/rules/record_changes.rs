//! Consequences for people and organizations when their plan record changes, ends or returns
//! (AG-16), and for a provider whose record is new (EX-06).

use std::collections::BTreeSet;

use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::letter::{Letter, LetterText};
use crate::outbox::mail::{MailText, Message, mail};
use crate::policy::{Policy, RegistrationType};
use crate::rules::context::Context;
use crate::rules::invite;
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::invitation::{Invitation, State};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::state::record::{PlanRecord, RecordData, RecordKey};
use crate::values::ids::{MessageId, OrganizationId};

/// The current state of a record.
#[derive(Debug, Clone, Copy)]
pub enum RecordState<'a> {
    Ended,
    /// The record is valid and has this content.
    Holds(&'a RecordData),
}

/// Finds the membership based on a record: that in `organization`, or the one registered with the
/// record.
fn membership_based_on<'a>(
    account: &'a mut Account,
    organization: Option<&OrganizationId>,
    record: &RecordKey,
) -> Option<&'a mut Membership> {
    account.memberships.iter_mut().find(|m| match organization {
        Some(_) => m.organization.as_ref() == organization,
        None => m.record.as_ref() == Some(record),
    })
}

/// Applies a record change to a person who registered with the record or works for the organization
/// that did, whose `organization` is already up to date. Returns `None` if nothing changes.
///
/// Access that ended is restored when the record returns; the user is notified of both. Group codes
/// that the organization no longer has are removed from its users.
pub fn person(
    account: &Account,
    organization: Option<&Organization>,
    record: &RecordKey,
    state: RecordState<'_>,
    origin: &Origin,
    rng: &mut (impl Rng + ?Sized),
) -> Option<Decision> {
    if account.status == Status::Deleted {
        return None;
    }
    let id = organization.map(|o| &o.id);
    let mut after = account.clone();
    let membership = membership_based_on(&mut after, id, record)?;
    let mut returned = None;
    let action = match state {
        RecordState::Ended => {
            if matches!(membership.pending_step, PendingStep::RecordEnded { .. }) {
                return None;
            }
            let before = Box::new(std::mem::replace(
                &mut membership.pending_step,
                PendingStep::Open,
            ));
            membership.pending_step = PendingStep::RecordEnded { before };
            returned = Some(false);
            Action::EndRecord
        }
        RecordState::Holds(data) => {
            if let Some(organization) = organization {
                membership
                    .group_codes
                    .retain(|code| organization.group_codes.contains(code));
            }
            if membership.record.as_ref() == Some(record) {
                membership.category = data.category.clone();
            }
            if let PendingStep::RecordEnded { before } = &membership.pending_step {
                membership.pending_step = (**before).clone();
                returned = Some(true);
                Action::ReturnRecord
            } else {
                Action::FollowRecord
            }
        }
    };
    if after == *account {
        return None;
    }
    // Sessions remain valid if another membership is active. For this one, the pending step blocks
    // the next request.
    let has_ended = |m: &Membership| matches!(m.pending_step, PendingStep::RecordEnded { .. });
    if returned == Some(false) && after.memberships.iter().all(has_ended) {
        after.end_sessions();
    }
    let audit = AuditEvent::done(origin, Actor::System, action, rng)
        .on(account.id.as_str())
        .for_organization(id);
    let notice = returned
        .filter(|_| account.status == Status::Active)
        .map(|returned| {
            let text = MailText::RecordEnded {
                organization: organization.map(|o| o.name.clone()),
                returned,
            };
            mail(account, origin.at, text, rng)
        });
    Some(
        Decision::recording(audit)
            .update(account, after)
            .send(notice),
    )
}

/// Applies a record change to an organization: its name and the group codes it can assign. Returns
/// `None` if nothing changes.
pub fn organization(
    organization: &Organization,
    data: &RecordData,
    context: Context<'_>,
) -> Option<Decision> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let after = Organization {
        name: data.name.clone(),
        group_codes: policy.group_codes.assignable(&data.group_codes),
        ..organization.clone()
    };
    if after == *organization {
        return None;
    }
    let audit = AuditEvent::done(origin, Actor::System, Action::FollowRecord, rng)
        .on(organization.id.as_str())
        .for_organization(Some(&organization.id));
    Some(
        Decision::recording(audit).change(Change::UpdateOrganization {
            before: Box::new(organization.clone()),
            after: Box::new(after),
        }),
    )
}

/// Revokes an invitation to an organization whose record has ended, permanently even if the record
/// returns. Returns `None` if it isn't pending.
pub fn invitation(
    invitation: &Invitation,
    origin: &Origin,
    rng: &mut (impl Rng + ?Sized),
) -> Option<Decision> {
    if invitation.state != State::Pending {
        return None;
    }
    let audit = AuditEvent::done(origin, Actor::System, Action::RevokeInvitation, rng)
        .for_organization(Some(&invitation.organization));
    Some(invite::revoked(invitation, audit))
}

/// Returns whether the change of an organization's record affects one of its users.
pub fn concerns(
    record_ended: bool,
    codes: &BTreeSet<String>,
    assigned: &[String],
    state: RecordState<'_>,
) -> bool {
    match state {
        RecordState::Ended => !record_ended,
        RecordState::Holds(_) => record_ended || assigned.iter().any(|code| !codes.contains(code)),
    }
}

/// Returns the registration type for which an out-of-network provider with this record receives a
/// letter (EX-06).
pub fn notified_registration_type<'p>(
    key: &RecordKey,
    data: &RecordData,
    policy: &'p Policy,
) -> Option<&'p RegistrationType> {
    policy.registration_types.iter().find(|w| {
        w.notification_letter
            && w.record_type == key.kind
            && w.eligible.holds_for(data)
            && data.participating == Some(false)
            && policy.plan.id.as_str() == key.plan
    })
}

/// Sends the notification letter to the provider of a new record (EX-05, EX-06). Returns `None`
/// without an address; the letter is then sent when a feed contains one.
pub fn notify(record: &PlanRecord, context: Context<'_>) -> Option<Decision> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let registration_type = notified_registration_type(&record.key, &record.data, policy)?;
    let letter = Letter {
        id: MessageId::random(rng),
        portal: policy.portal.clone(),
        to: record.data.address.clone()?,
        dated: policy.today(origin.at),
        text: LetterText::Notification {
            organization: record.data.name.clone(),
            registration_type: registration_type.title.to_string(),
            provider_id: record.key.number.clone(),
        },
    };
    let audit = AuditEvent::done(origin, Actor::System, Action::NotifyProvider, rng)
        .on(record.key.number.as_str());
    Some(
        Decision::recording(audit)
            .change(Change::NoteNotified(record.key.clone()))
            .send([Message::Letter(letter)]),
    )
}
