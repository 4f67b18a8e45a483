//! Reviews of access: from time to time managers confirm or remove each account (EX-11).
//!
//! A review is a moment on the organization. Who was there at that moment is in it; what was
//! answered stands on each membership, so that answers race with nothing but changes of that one
//! account. Those removed since have left their membership, and a trace of it.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Membership};
use crate::audit::{Action, Actor, AuditEvent, Origin};
use crate::clockwork::{Alarm, Manager, answering, days_earlier, days_later, to_manager};
use crate::decision::{Change, Decision};
use crate::ids::{AccountId, OrganizationId};
use crate::invite::Acting;
use crate::manage;
use crate::message::MailText;
use crate::organization::Organization;
use crate::policy::{Permission, Policy, Role};
use crate::text::PersonName;

/// The latest review of an organization.
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
    /// Their username.
    pub username: String,
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

/// Where an account stands in the organization's latest review.
///
/// Principals aren't in it, nor, where there is none, who registered the organization: they answer
/// for it, and there may be nobody to confirm them.
pub fn answer<'a>(organization: &Organization, reviewed: Reviewed<'a>) -> Answer<'a> {
    match &organization.review {
        Some(review)
            if !answers_for(organization, reviewed) && reviewed.since <= review.started_at =>
        {
            reviewed
                .confirmed
                .filter(|c| c.at >= review.started_at)
                .map_or(Answer::Unanswered, Answer::Confirmed)
        }
        _ => Answer::NotAsked,
    }
}

/// Whether somebody answers for the organization, and so is in no review of it.
fn answers_for(organization: &Organization, reviewed: Reviewed<'_>) -> bool {
    let first =
        organization.principals.is_empty() && *reviewed.account == organization.registered_by;
    first || reviewed.role == Role::Principal
}

/// Whether it is time for the next review.
pub fn due(organization: &Organization, today: Date) -> bool {
    organization
        .next_review_due_on
        .is_some_and(|day| day <= today)
}

/// The day of the next review, counted from one or from the registration; none on a portal without.
pub fn next_due_on(policy: &Policy, from: Timestamp) -> Option<Date> {
    let every = policy.access_review.as_ref()?.every_days.get();
    Some(policy.today(from).saturating_add(i64::from(every).days()))
}

/// The review that is being answered.
fn running(organization: &Organization, today: Date) -> Option<&Review> {
    let review = organization.review.as_ref();
    review.filter(|r| today <= r.answer_by)
}

/// After how many days managers are chased again for what is unanswered in a review that is over.
pub const CHASED_EVERY_DAYS: u32 = 7;

/// How many people a mail names that are unanswered.
const MOST_NAMED: usize = 40;

/// The first day after `day` on which the clockwork has to see to an organization's reviews; none: on
/// this portal it never has to.
pub fn next_look(organization: &Organization, policy: &Policy, day: Date) -> Option<Date> {
    let rules = policy.access_review.as_ref()?;
    if organization.ended_at.is_some() {
        return None;
    }
    let tomorrow = days_later(day, 1);
    let next = organization.next_review_due_on.unwrap_or(tomorrow);
    let reminders = organization.review.iter().flat_map(|review| {
        let before = rules.remind_days.iter();
        let before = before.map(|d| days_earlier(review.answer_by, d.get()));
        before.chain([next_chase(review.answer_by, day)])
    });
    reminders
        .filter(|on| *on > day)
        .chain([next.max(tomorrow)])
        .min()
}

/// The first day after `day` on which managers are chased: those of a review that is over, every week.
fn next_chase(answer_by: Date, day: Date) -> Date {
    let first = days_later(answer_by, 1);
    let since = day.since(first).map_or(0, |span| span.get_days());
    match u32::try_from(since) {
        Ok(days) if day >= first => {
            days_later(first, (days / CHASED_EVERY_DAYS + 1) * CHASED_EVERY_DAYS)
        }
        _ => first,
    }
}

/// Sees to the reviews of an organization (EX-11): begins one that is due, and chases the managers for
/// what is unanswered in the latest. Who may answer is reminded while it can be answered; when it is
/// over, every administrator is told, principals too.
pub fn see_to(
    alarm: &Alarm,
    organization: &Organization,
    managers: &[Manager],
    people: &[(Reviewed<'_>, String)],
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Decision {
    let today = policy.today(origin.at);
    let again = next_look(organization, policy, today);
    let answers = |m: &&Manager| policy.allows(m.role, Permission::ReviewAccess);
    let running = running(organization, today);
    if again.is_some() && due(organization, today) && running.is_none() {
        let asked: Vec<_> = managers.iter().filter(answers).cloned().collect();
        let alone = people.iter().all(|(r, _)| answers_for(organization, *r));
        if asked.is_empty() || alone {
            // Nobody to ask about, or nobody to ask: perhaps there will be.
            let every = policy.access_review.as_ref().filter(|_| alone);
            let days = every.map_or(CHASED_EVERY_DAYS, |r| r.every_days.get());
            return answering(alarm, origin, Some(days_later(today, days)), rng);
        }
        let begun = start(Actor::System, organization, &asked, policy, origin, rng);
        if let Ok((after, mut decision)) = begun {
            let alarm = Change::AnswerAlarm {
                alarm: alarm.clone(),
                again: next_look(&after, policy, today),
            };
            decision.changes.insert(0, alarm);
            return decision;
        }
    }
    let decision = answering(alarm, origin, again, rng);
    let Some(review) = organization.review.as_ref().filter(|_| again.is_some()) else {
        return decision;
    };
    let open = people
        .iter()
        .filter(|(r, _)| answer(organization, *r) == Answer::Unanswered);
    let mut unanswered: Vec<_> = open.map(|(_, name)| name.clone()).collect();
    if unanswered.is_empty() {
        return decision;
    }
    unanswered.sort();
    let others = unanswered.len().saturating_sub(MOST_NAMED);
    unanswered.truncate(MOST_NAMED);
    let overdue = running.is_none();
    let told = managers.iter().filter(|m| overdue || answers(m));
    let mails: Vec<_> = told
        .take(MOST_TOLD)
        .map(|manager| {
            let says = MailText::AccessReviewOpen {
                organization: organization.name.clone(),
                answer_by: review.answer_by,
                overdue,
                unanswered: unanswered.clone(),
                others,
            };
            to_manager(manager, origin, says, rng)
        })
        .collect();
    decision.send(mails)
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
    organization: &Organization,
    managers: &[Manager],
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Organization, Decision), Refusal> {
    let rules = policy
        .access_review
        .as_ref()
        .ok_or(Refusal::NotThisPortal)?;
    let today = policy.today(origin.at);
    if let Some(running) = running(organization, today) {
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
            let says = MailText::AccessReview {
                organization: organization.name.clone(),
                answer_by: review.answer_by,
            };
            to_manager(manager, origin, says, rng)
        })
        .collect();
    let after = Organization {
        review: Some(review),
        next_review_due_on: next_due_on(policy, origin.at),
        ..organization.clone()
    };
    let audit = AuditEvent::done(origin, by, Action::StartAccessReview, rng)
        .on(organization.id.as_str())
        .for_organization(Some(&organization.id));
    let decision = Decision::recording(audit)
        .change(Change::UpdateOrganization {
            before: Box::new(organization.clone()),
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
    organization: &Organization,
    user: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Option<(Account, Decision)>, manage::Refusal> {
    let membership = manage::reach(acting, Permission::ReviewAccess, organization, user, policy)?;
    match answer(organization, Reviewed::of(user, membership)) {
        Answer::NotAsked => return Err(manage::Refusal::NotInReview),
        Answer::Confirmed(_) => return Ok(None),
        Answer::Unanswered => {}
    }
    let mut after = user.clone();
    if let Some(membership) = after.membership_mut(Some(&organization.id)) {
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
    organization: &Organization,
    user: &Account,
    by: &Actor,
    at: Timestamp,
) -> Option<Change> {
    let review = organization.review.as_ref()?;
    let membership = user.membership(Some(&organization.id))?;
    if answer(organization, Reviewed::of(user, membership)) == Answer::NotAsked {
        return None;
    }
    Some(Change::NoteRemovedInReview {
        portal: organization.portal.clone(),
        organization: OrganizationId::clone(&organization.id),
        started_at: review.started_at,
        removed: Box::new(Removed {
            account: user.id.clone(),
            username: user.username.to_string(),
            name: user.name.clone(),
            role: membership.role,
            by: by.clone(),
            at,
        }),
    })
}
