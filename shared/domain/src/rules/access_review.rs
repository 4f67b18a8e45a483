//! Access reviews: managers regularly confirm or remove each account (EX-11).
//!
//! A review is a time on the organization. Users who had joined by then are part of it. Each
//! confirmation is stored on the membership, so that it conflicts only with changes of that
//! account. Users removed since are recorded separately, because their membership is gone.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use crate::decision::{Change, Decision};
use crate::outbox::mail::MailText;
use crate::policy::calendar::{days_earlier, days_later};
use crate::policy::{Permission, Policy, Role};
use crate::rules::acting::{ActingAdministrator, Denied, authorize_on};
use crate::rules::context::Context;
use crate::rules::follow_up::{email_to_manager, resolve_follow_up};
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::follow_up::{FollowUp, Manager};
use crate::state::membership::{Confirmation, Membership};
use crate::state::organization::{Organization, Removed, Review, next_due_on};
use crate::values::ids::{AccountId, OrganizationId};

/// The data of a membership that a review needs.
#[derive(Debug, Clone, Copy)]
pub struct Reviewed<'a> {
    pub account: &'a AccountId,
    pub role: Role,
    pub joined_at: Timestamp,
    /// The latest confirmation, of any review.
    pub confirmed: Option<&'a Confirmation>,
}

impl<'a> Reviewed<'a> {
    /// Extracts the data from an account and its membership.
    pub fn of(account: &'a Account, membership: &'a Membership) -> Self {
        Self {
            account: &account.id,
            role: membership.role,
            joined_at: membership.joined_at,
            confirmed: membership.confirmed.as_ref(),
        }
    }
}

/// The status of an account in a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewStatus<'a> {
    NotInReview,
    Pending,
    /// A manager confirmed the access.
    Confirmed(&'a Confirmation),
}

/// Returns the status of an account in the organization's latest review.
///
/// Principals aren't part of it. If there is none, neither is the user who registered the
/// organization. They are responsible for it, and there may be nobody to confirm them.
pub fn status<'a>(organization: &Organization, reviewed: Reviewed<'a>) -> ReviewStatus<'a> {
    match &organization.review {
        Some(review)
            if !is_responsible_for(organization, reviewed)
                && reviewed.joined_at <= review.started_at =>
        {
            reviewed
                .confirmed
                .filter(|c| c.at >= review.started_at)
                .map_or(ReviewStatus::Pending, ReviewStatus::Confirmed)
        }
        _ => ReviewStatus::NotInReview,
    }
}

/// Returns whether a user is responsible for the organization and therefore not part of its
/// reviews.
fn is_responsible_for(organization: &Organization, reviewed: Reviewed<'_>) -> bool {
    let registered_it =
        organization.principals.is_empty() && *reviewed.account == organization.registered_by;
    registered_it || reviewed.role == Role::Principal
}

/// Returns whether the next review is due.
pub fn due(organization: &Organization, today: Date) -> bool {
    organization
        .next_review_due_on
        .is_some_and(|day| day <= today)
}

/// Returns the review whose due date has not passed.
fn running(organization: &Organization, today: Date) -> Option<&Review> {
    let review = organization.review.as_ref();
    review.filter(|r| today <= r.due_date)
}

/// The interval of reminders after a review's due date, in days.
pub const CHASED_EVERY_DAYS: u32 = 7;

/// The maximum number of unreviewed users that an email lists.
const MAX_NAMED: usize = 40;

/// Returns the first day after `day` on which the scheduler has to check the organization's
/// reviews, or `None` if never on this portal.
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
        before.chain([next_overdue_reminder(review.due_date, day)])
    });
    reminders
        .filter(|on| *on > day)
        .chain([next.max(tomorrow)])
        .min()
}

/// Returns the first day after `day` on which managers are reminded of an overdue review, weekly.
fn next_overdue_reminder(due_date: Date, day: Date) -> Date {
    let first = days_later(due_date, 1);
    let since = day.since(first).map_or(0, |span| span.get_days());
    match u32::try_from(since) {
        Ok(days) if day >= first => {
            days_later(first, (days / CHASED_EVERY_DAYS + 1) * CHASED_EVERY_DAYS)
        }
        _ => first,
    }
}

/// Performs the scheduled work on an organization's reviews (EX-11): starts a review that is due,
/// and reminds managers of unreviewed users. Until the due date, managers who can complete the
/// review are reminded; after it, every administrator, including principals.
pub fn apply_follow_up(
    follow_up: &FollowUp,
    organization: &Organization,
    managers: &[Manager],
    people: &[(Reviewed<'_>, String)],
    mut context: Context<'_>,
) -> Decision {
    let (policy, origin) = (context.policy, context.origin);
    let today = policy.today(origin.at);
    let again = next_look(organization, policy, today);
    let can_review = |m: &&Manager| policy.allows(m.role, Permission::ReviewAccess);
    let running = running(organization, today);
    if again.is_some() && due(organization, today) && running.is_none() {
        let reviewers: Vec<_> = managers.iter().filter(can_review).cloned().collect();
        let nobody_to_review = people
            .iter()
            .all(|(r, _)| is_responsible_for(organization, *r));
        if reviewers.is_empty() || nobody_to_review {
            // There is nobody to review, or nobody who can. Check again later.
            let rules = policy.access_review.as_ref().filter(|_| nobody_to_review);
            let days = rules.map_or(CHASED_EVERY_DAYS, |r| r.interval_days.get());
            return resolve_follow_up(
                follow_up,
                origin,
                Some(days_later(today, days)),
                context.rng,
            );
        }
        let started = start(Actor::System, organization, &reviewers, context.reborrow());
        if let Ok((after, mut decision)) = started {
            let follow_up = Change::ResolveFollowUp {
                follow_up: follow_up.clone(),
                again: next_look(&after, policy, today),
            };
            decision.changes.insert(0, follow_up);
            return decision;
        }
    }
    let decision = resolve_follow_up(follow_up, origin, again, context.rng);
    let Some(review) = organization.review.as_ref().filter(|_| again.is_some()) else {
        return decision;
    };
    let open = people
        .iter()
        .filter(|(r, _)| status(organization, *r) == ReviewStatus::Pending);
    let mut unreviewed: Vec<_> = open.map(|(_, name)| name.clone()).collect();
    if unreviewed.is_empty() {
        return decision;
    }
    unreviewed.sort();
    let others = unreviewed.len().saturating_sub(MAX_NAMED);
    unreviewed.truncate(MAX_NAMED);
    let overdue = running.is_none();
    let recipients = managers.iter().filter(|m| overdue || can_review(m));
    let mails: Vec<_> = recipients
        .take(MAX_NOTIFIED)
        .map(|manager| {
            let text = MailText::AccessReviewOpen {
                organization: organization.name.clone(),
                due_date: review.due_date,
                overdue,
                unanswered: unreviewed.clone(),
                others,
            };
            email_to_manager(manager, origin, text, context.rng)
        })
        .collect();
    decision.send(mails)
}

/// Why a review can't be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The portal has no access reviews.
    UnsupportedOnPortal,
    /// A review is in progress until this day.
    Running(Date),
}

/// The maximum number of managers who are emailed, so that all writes of a review fit in one
/// transaction.
pub const MAX_NOTIFIED: usize = 50;

/// Starts a review and emails the managers. The previous review must be past its due date. Users it
/// left unreviewed are part of the new one.
pub fn start(
    by: Actor,
    organization: &Organization,
    managers: &[Manager],
    context: Context<'_>,
) -> Result<(Organization, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let rules = policy
        .access_review
        .as_ref()
        .ok_or(Refusal::UnsupportedOnPortal)?;
    let today = policy.today(origin.at);
    if let Some(running) = running(organization, today) {
        return Err(Refusal::Running(running.due_date));
    }
    let due_within = i64::from(rules.due_within_days.get());
    let review = Review {
        started_at: origin.at,
        started_by: by.clone(),
        due_date: today.saturating_add(due_within.days()),
    };
    let requests: Vec<_> = managers
        .iter()
        .take(MAX_NOTIFIED)
        .map(|manager| {
            let text = MailText::AccessReview {
                organization: organization.name.clone(),
                due_date: review.due_date,
            };
            email_to_manager(manager, origin, text, rng)
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
        .send(requests);
    Ok((after, decision))
}

/// Why a user's access can't be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotConfirmed {
    /// The administrator can't act on this user.
    Denied(Denied),
    /// The account isn't part of the review (EX-11).
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
/// [`NotConfirmed`]. Administrators can't confirm themselves or users with a higher role.
pub fn confirm(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    context: Context<'_>,
) -> Result<Option<(Account, Decision)>, NotConfirmed> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
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

/// Records that a user who is part of a review was removed. Every removal adds this change.
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
