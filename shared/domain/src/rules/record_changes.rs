//! What follows for people and organizations when the plan records they registered with change, end
//! or return (AG-16), and for a provider whose record is new (EX-06).

use std::collections::BTreeSet;

use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::letter::{Letter, LetterText};
use crate::outbox::mail::{MailText, Message, mail};
use crate::policy::{Policy, RegistrationType};
use crate::rules::invite;
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::invitation::{Invitation, State};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::state::record::{PlanRecord, RecordData, RecordKey};
use crate::values::ids::{MessageId, OrganizationId};

/// What a record says now.
#[derive(Debug, Clone, Copy)]
pub enum RecordState<'a> {
    /// That it has ended.
    Ended,
    /// This.
    Holds(&'a RecordData),
}

/// The membership that rests on a record: of its organization, where it is one's.
fn resting<'a>(
    account: &'a mut Account,
    organization: Option<&OrganizationId>,
    record: &RecordKey,
) -> Option<&'a mut Membership> {
    account.memberships.iter_mut().find(|m| match organization {
        Some(_) => m.organization.as_ref() == organization,
        None => m.record.as_ref() == Some(record),
    })
}

/// What follows for one person: who has registered with the record, or works for the organization
/// that did. None where nothing changes.
///
/// Access that ends is back as it was when the record returns; both are told by mail. Group codes
/// that the organization no longer has are taken from its people.
pub fn person(
    account: &Account,
    organization: Option<&Organization>,
    record: &RecordKey,
    says: RecordState<'_>,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Decision> {
    if account.status == Status::Deleted {
        return None;
    }
    let id = organization.map(|o| &o.id);
    let mut after = account.clone();
    let membership = resting(&mut after, id, record)?;
    let mut told = None;
    let action = match says {
        RecordState::Ended => {
            if matches!(membership.pending_step, PendingStep::RecordEnded { .. }) {
                return None;
            }
            let before = Box::new(std::mem::replace(
                &mut membership.pending_step,
                PendingStep::Open,
            ));
            membership.pending_step = PendingStep::RecordEnded { before };
            told = Some(false);
            Action::EndRecord
        }
        RecordState::Holds(data) => {
            if membership.organization.is_some() {
                membership
                    .group_codes
                    .retain(|code| data.group_codes.contains(code));
            }
            if membership.record.as_ref() == Some(record) {
                membership.category = data.category.clone();
            }
            if let PendingStep::RecordEnded { before } = &membership.pending_step {
                membership.pending_step = (**before).clone();
                told = Some(true);
                Action::ReturnRecord
            } else {
                Action::FollowRecord
            }
        }
    };
    if after == *account {
        return None;
    }
    // Who still works for another organization keeps that session: for this one, the next request
    // finds the gate closed.
    let gone = |m: &Membership| matches!(m.pending_step, PendingStep::RecordEnded { .. });
    if told == Some(false) && after.memberships.iter().all(gone) {
        after.end_sessions();
    }
    let audit = AuditEvent::done(origin, Actor::System, action, rng)
        .on(account.id.as_str())
        .for_organization(id);
    let notice = told
        .filter(|_| account.status == Status::Active)
        .map(|returned| {
            let says = MailText::RecordEnded {
                organization: organization.map(|o| o.name.clone()),
                returned,
            };
            mail(account, origin.at, says, rng)
        });
    Some(
        Decision::recording(audit)
            .update(account, after)
            .send(notice),
    )
}

/// What follows for an organization itself: its name, and the group codes that it can assign. None
/// where nothing changes.
pub fn organization(
    organization: &Organization,
    data: &RecordData,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Decision> {
    let after = Organization {
        name: data.name.clone(),
        group_codes: data.group_codes.clone(),
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

/// What follows for an invitation into an organization whose record has ended: nobody comes in with it
/// any more, even if the record returns. None where it isn't open.
pub fn invitation(
    invitation: &Invitation,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Decision> {
    if invitation.state != State::Pending {
        return None;
    }
    let audit = AuditEvent::done(origin, Actor::System, Action::RevokeInvitation, rng)
        .for_organization(Some(&invitation.organization));
    Some(invite::revoked(invitation, audit))
}

/// Whether a user of an organization has something to learn from what its record says now.
pub fn concerns(
    record_ended: bool,
    codes: &BTreeSet<String>,
    assigned: &[String],
    says: RecordState<'_>,
) -> bool {
    match says {
        RecordState::Ended => !record_ended,
        RecordState::Holds(_) => record_ended || assigned.iter().any(|code| !codes.contains(code)),
    }
}

/// The way that a record, if it is new, opens to a provider outside the network: the plan then
/// writes to it (EX-06).
pub fn way_opened<'p>(
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

/// Writes to the provider of a record that is new (EX-05, EX-06). None without an address: then it is
/// written to when a feed brings one.
pub fn notify(
    record: &PlanRecord,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Decision> {
    let registration_type = way_opened(&record.key, &record.data, policy)?;
    let letter = Letter {
        id: MessageId::random(rng),
        portal: policy.portal.clone(),
        to: record.data.address.clone()?,
        dated: policy.today(origin.at),
        says: LetterText::Notification {
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
