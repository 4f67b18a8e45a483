//! Reviews of access: from time to time managers confirm or remove each account (EX-11).
//!
//! A review is a moment on the organization. Who was there at that moment is in it; what was
//! answered stands on each membership, so that answers race with nothing but changes of that one
//! account. Those removed since have left their membership, and a trace of it.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::mail::MailText;
use crate::policy::calendar::{days_earlier, days_later};
use crate::policy::{Permission, Policy, Role};
use crate::rules::acting::{ActingAdministrator, Denied, authorize_on};
use crate::rules::schedule::{answering, to_manager};
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::follow_up::{FollowUp, Manager};
use crate::state::membership::{Confirmation, Membership};
use crate::state::organization::{Organization, Removed, Review, next_due_on};
use crate::values::ids::{AccountId, OrganizationId};

/// What a review looks at of an account.
#[derive(Debug, Clone, Copy)]
pub struct Reviewed<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// What it is.
    pub role: Role,
    /// Since when.
    pub joined_at: Timestamp,
    /// Its latest confirmation, of whatever review.
    pub confirmed: Option<&'a Confirmation>,
}

impl<'a> Reviewed<'a> {
    /// What is looked at of a membership.
    pub fn of(account: &'a Account, membership: &'a Membership) -> Self {
        Self {
            account: &account.id,
            role: membership.role,
            joined_at: membership.joined_at,
            confirmed: membership.confirmed.as_ref(),
        }
    }
}

/// Where an account stands in a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewStatus<'a> {
    /// It isn't in it.
    NotInReview,
    /// Nobody has answered yet.
    Pending,
    /// A manager has confirmed it.
    Confirmed(&'a Confirmation),
}

/// Where an account stands in the organization's latest review.
///
/// Principals aren't in it, nor, where there is none, who registered the organization: they answer
/// for it, and there may be nobody to confirm them.
pub fn status<'a>(organization: &Organization, reviewed: Reviewed<'a>) -> ReviewStatus<'a> {
    match &organization.review {
        Some(review)
            if !answers_for(organization, reviewed) && reviewed.joined_at <= review.started_at =>
        {
            reviewed
                .confirmed
                .filter(|c| c.at >= review.started_at)
                .map_or(ReviewStatus::Pending, ReviewStatus::Confirmed)
        }
        _ => ReviewStatus::NotInReview,
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

/// The review that is being answered.
fn running(organization: &Organization, today: Date) -> Option<&Review> {
    let review = organization.review.as_ref();
    review.filter(|r| today <= r.due_date)
}

/// After how many days managers are chased again for what is unanswered in a review that is over.
pub const CHASED_EVERY_DAYS: u32 = 7;

/// How many people a mail names that are unanswered.
const MAX_NAMED: usize = 40;

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
        let before = rules.reminder_days.iter();
        let before = before.map(|d| days_earlier(review.due_date, d.get()));
        before.chain([next_chase(review.due_date, day)])
    });
    reminders
        .filter(|on| *on > day)
        .chain([next.max(tomorrow)])
        .min()
}

/// The first day after `day` on which managers are chased: those of a review that is over, every week.
fn next_chase(due_date: Date, day: Date) -> Date {
    let first = days_later(due_date, 1);
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
    follow_up: &FollowUp,
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
            let days = every.map_or(CHASED_EVERY_DAYS, |r| r.interval_days.get());
            return answering(follow_up, origin, Some(days_later(today, days)), rng);
        }
        let begun = start(Actor::System, organization, &asked, policy, origin, rng);
        if let Ok((after, mut decision)) = begun {
            let follow_up = Change::ResolveFollowUp {
                follow_up: follow_up.clone(),
                again: next_look(&after, policy, today),
            };
            decision.changes.insert(0, follow_up);
            return decision;
        }
    }
    let decision = answering(follow_up, origin, again, rng);
    let Some(review) = organization.review.as_ref().filter(|_| again.is_some()) else {
        return decision;
    };
    let open = people
        .iter()
        .filter(|(r, _)| status(organization, *r) == ReviewStatus::Pending);
    let mut unanswered: Vec<_> = open.map(|(_, name)| name.clone()).collect();
    if unanswered.is_empty() {
        return decision;
    }
    unanswered.sort();
    let others = unanswered.len().saturating_sub(MAX_NAMED);
    unanswered.truncate(MAX_NAMED);
    let overdue = running.is_none();
    let told = managers.iter().filter(|m| overdue || answers(m));
    let mails: Vec<_> = told
        .take(MAX_NOTIFIED)
        .map(|manager| {
            let says = MailText::AccessReviewOpen {
                organization: organization.name.clone(),
                due_date: review.due_date,
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
    UnsupportedOnPortal,
    /// One is being answered until this day.
    Running(Date),
}

/// The most managers who are told by mail: all writes of a review fit one transaction.
pub const MAX_NOTIFIED: usize = 50;

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
        .ok_or(Refusal::UnsupportedOnPortal)?;
    let today = policy.today(origin.at);
    if let Some(running) = running(organization, today) {
        return Err(Refusal::Running(running.due_date));
    }
    let within = i64::from(rules.due_within_days.get());
    let review = Review {
        started_at: origin.at,
        started_by: by.clone(),
        due_date: today.saturating_add(within.days()),
    };
    let asked: Vec<_> = managers
        .iter()
        .take(MAX_NOTIFIED)
        .map(|manager| {
            let says = MailText::AccessReview {
                organization: organization.name.clone(),
                due_date: review.due_date,
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

/// Why an access can't be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotConfirmed {
    /// The administrator can't act on this user.
    Denied(Denied),
    /// The account isn't in the review (EX-11).
    NotInReview,
}

impl From<Denied> for NotConfirmed {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

/// Confirms a user's access. Returns `None` if it is already confirmed in this review.
///
/// # Errors
/// [`NotConfirmed`]: administrators confirm neither themselves nor anyone of a higher rank.
pub fn confirm(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Option<(Account, Decision)>, NotConfirmed> {
    let membership = authorize_on(acting, Permission::ReviewAccess, organization, user, policy)?;
    match status(organization, Reviewed::of(user, membership)) {
        ReviewStatus::NotInReview => return Err(NotConfirmed::NotInReview),
        ReviewStatus::Confirmed(_) => return Ok(None),
        ReviewStatus::Pending => {}
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
    if status(organization, Reviewed::of(user, membership)) == ReviewStatus::NotInReview {
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
