//! Reviews of access: from time to time managers confirm or remove each account (EX-11).
//!
//! A review is a moment on the organisation. Who was there at that moment is in it; what was
//! answered stands on each membership, so that answers race with nothing but changes of that one
//! account. Those removed since have left their membership, and a trace of it.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Membership};
use crate::audit::{Action, Actor, AuditEvent, Origin};
use crate::decision::{Change, Decision};
use crate::ids::{AccountId, MessageId, OrganisationId};
use crate::invite::Acting;
use crate::manage;
use crate::message::{Mail, MailText, Message};
use crate::organisation::Organisation;
use crate::policy::{Permission, Policy, Role};
use crate::text::{Email, PersonName};

/// The latest review of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// When it began. Who came later isn't in it.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: Actor,
    /// The last day for the answers; from then on managers are chased.
    pub answer_by: Date,
}

/// That a manager has confirmed somebody's access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Who.
    pub by: AccountId,
    /// What they are called.
    pub name: String,
    /// When.
    pub at: Timestamp,
}

/// Somebody who was in a review and was removed since, in answer to it or otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Who.
    pub account: AccountId,
    /// Their user name.
    pub user_name: String,
    /// The person.
    pub name: PersonName,
    /// What they were.
    pub role: Role,
    /// Who removed them.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// What a review looks at of an account.
#[derive(Debug, Clone, Copy)]
pub struct Reviewed<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// What it is.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
    /// Its latest confirmation, of whatever review.
    pub confirmed: Option<&'a Confirmation>,
}

impl<'a> Reviewed<'a> {
    /// What is looked at of a membership.
    pub fn of(account: &'a Account, membership: &'a Membership) -> Self {
        Self {
            account: &account.id,
            role: membership.role,
            since: membership.since,
            confirmed: membership.confirmed.as_ref(),
        }
    }
}

/// Where an account stands in a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// It isn't in it.
    NotAsked,
    /// Nobody has answered yet.
    Unanswered,
    /// A manager has confirmed it.
    Confirmed(&'a Confirmation),
}

/// Where an account stands in the organisation's latest review.
///
/// Principals aren't in it, nor, where there is none, who registered the organisation: they answer
/// for it, and there may be nobody to confirm them.
pub fn answer<'a>(organisation: &Organisation, reviewed: Reviewed<'a>) -> Answer<'a> {
    let first =
        organisation.principals.is_empty() && *reviewed.account == organisation.registered_by;
    let answers_for_it = first || reviewed.role == Role::Principal;
    match &organisation.review {
        Some(review) if !answers_for_it && reviewed.since <= review.started_at => reviewed
            .confirmed
            .filter(|c| c.at >= review.started_at)
            .map_or(Answer::Unanswered, Answer::Confirmed),
        _ => Answer::NotAsked,
    }
}

/// Those whom nobody has answered for in the organisation's latest review.
pub fn unanswered<'a>(
    organisation: &Organisation,
    accounts: impl IntoIterator<Item = Reviewed<'a>>,
) -> Vec<&'a AccountId> {
    accounts
        .into_iter()
        .filter(|reviewed| answer(organisation, *reviewed) == Answer::Unanswered)
        .map(|reviewed| reviewed.account)
        .collect()
}

/// Whether it is time for the next review.
pub fn due(organisation: &Organisation, today: Date) -> bool {
    organisation
        .next_review_due_on
        .is_some_and(|day| day <= today)
}

/// The day of the next review, counted from one or from the registration; none on a portal without.
pub fn next_due_on(policy: &Policy, from: Timestamp) -> Option<Date> {
    let every = policy.access_review.as_ref()?.every_days.get();
    Some(policy.today(from).saturating_add(i64::from(every).days()))
}

/// Somebody who can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// The person.
    pub name: PersonName,
    /// Their address.
    pub email: Email,
}

/// Why no review begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The portal has no reviews.
    NotThisPortal,
    /// One is being answered until this day.
    Running(Date),
}

/// The most managers who are told by mail: all writes of a review fit one transaction.
pub const MOST_TOLD: usize = 50;

/// Begins a review and asks the managers for their answers. An earlier one must be over: what was
/// not answered in it is asked again in this one.
///
/// # Errors
/// [`Refusal`].
pub fn start(
    by: Actor,
    organisation: &Organisation,
    managers: &[Manager],
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Organisation, Decision), Refusal> {
    let rules = policy
        .access_review
        .as_ref()
        .ok_or(Refusal::NotThisPortal)?;
    let today = policy.today(origin.at);
    if let Some(running) = organisation
        .review
        .as_ref()
        .filter(|r| today <= r.answer_by)
    {
        return Err(Refusal::Running(running.answer_by));
    }
    let within = i64::from(rules.answer_within_days.get());
    let review = Review {
        started_at: origin.at,
        started_by: by.clone(),
        answer_by: today.saturating_add(within.days()),
    };
    let asked: Vec<_> = managers
        .iter()
        .take(MOST_TOLD)
        .map(|manager| {
            Message::Mail(Mail {
                id: MessageId::random(rng),
                portal: policy.portal.clone(),
                to: manager.email.clone(),
                greeting: manager.name.full(),
                at: origin.at,
                says: MailText::AccessReview {
                    organisation: organisation.name.clone(),
                    answer_by: review.answer_by,
                },
            })
        })
        .collect();
    let after = Organisation {
        review: Some(review),
        next_review_due_on: next_due_on(policy, origin.at),
        ..organisation.clone()
    };
    let audit = AuditEvent::done(origin, by, Action::StartAccessReview, rng)
        .on(organisation.id.as_str())
        .for_organisation(Some(&organisation.id));
    let decision = Decision::recording(audit)
        .change(Change::UpdateOrganisation {
            before: Box::new(organisation.clone()),
            after: Box::new(after.clone()),
        })
        .send(asked);
    Ok((after, decision))
}

/// Confirms somebody's access. None where it is confirmed in this review already.
///
/// # Errors
/// [`manage::Refusal`]: nobody answers for themselves or above themselves.
pub fn confirm(
    acting: Acting<'_>,
    organisation: &Organisation,
    user: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Option<(Account, Decision)>, manage::Refusal> {
    let membership = manage::reach(acting, Permission::ReviewAccess, organisation, user, policy)?;
    match answer(organisation, Reviewed::of(user, membership)) {
        Answer::NotAsked => return Err(manage::Refusal::NotInReview),
        Answer::Confirmed(_) => return Ok(None),
        Answer::Unanswered => {}
    }
    let mut after = user.clone();
    if let Some(membership) = after.membership_mut(Some(&organisation.id)) {
        membership.confirmed = Some(Confirmation {
            by: acting.account.id.clone(),
            name: acting.account.name.full(),
            at: origin.at,
        });
    }
    let audit = acting
        .audit(origin, Action::ConfirmAccess, rng)
        .on(user.id.as_str());
    let decision = Decision::recording(audit).update(user, after.clone());
    Ok(Some((after, decision)))
}

/// The trace that somebody leaves who is removed while in a review; every removal adds it.
pub fn trace(
    organisation: &Organisation,
    user: &Account,
    by: &Actor,
    at: Timestamp,
) -> Option<Change> {
    let review = organisation.review.as_ref()?;
    let membership = user.membership(Some(&organisation.id))?;
    if answer(organisation, Reviewed::of(user, membership)) == Answer::NotAsked {
        return None;
    }
    Some(Change::NoteRemovedInReview {
        portal: organisation.portal.clone(),
        organisation: OrganisationId::clone(&organisation.id),
        started_at: review.started_at,
        removed: Box::new(Removed {
            account: user.id.clone(),
            user_name: user.user_name.to_string(),
            name: user.name.clone(),
            role: membership.role,
            by: by.clone(),
            at,
        }),
    })
}
