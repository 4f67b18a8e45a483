//! Campaigns: everyone registers again within a period (AG-13), or usernames from before a date are
//! released (ME-10).
//!
//! Both are dates in the policy. What a user has to do follows from the current date and from when
//! they registered or got their username. Nothing is written when a campaign starts, a changed
//! cutoff applies from the next request on, and a missed run of the scheduler only delays notices.

use jiff::ToSpan;
use jiff::civil::Date;
use strum::IntoStaticStr;

use crate::decision::{Change, Decision};
use crate::outbox::mail::Call;
use crate::outbox::mail::{MailText, mail};
use crate::policy::{Campaign, Policy};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::membership::Membership;
use crate::state::organization::Organization;
use crate::state::record::PlanRecord;
use crate::values::ids::OrganizationId;
use crate::values::text::{Username, eight_characters};

/// Returns the re-registration campaigns that apply to users who registered on `day`: their first
/// day, what they require, and the days of notices.
fn calls(policy: &Policy, day: Date) -> impl Iterator<Item = (Date, Call, Vec<Date>)> {
    policy.campaigns.iter().filter_map(move |c| match c {
        Campaign::ReRegistration {
            start,
            cutoff,
            transition_days,
            warning_days,
            corrected_on,
        } if day < *start => {
            let transition = start.saturating_add(i64::from(transition_days.get()).days());
            let call = Call {
                access_expires_at: transition.min(*cutoff),
                cutoff: *cutoff,
            };
            let warnings = warning_days.iter().flat_map(|d| {
                let before = i64::from(d.get()).days();
                [
                    call.access_expires_at.saturating_sub(before),
                    call.cutoff.saturating_sub(before),
                ]
            });
            let notice_days = std::iter::once(*start)
                .chain(*corrected_on)
                .chain(warnings.filter(|day| day > start))
                .collect();
            Some((*start, call, notice_days))
        }
        _ => None,
    })
}

/// Returns what campaigns require today of a user who registered on `registered_on`. Of several
/// campaigns, the earliest end of access applies, so that a new campaign doesn't restore access
/// that an older one ended, and the latest cutoff for registering again.
fn combined_call(policy: &Policy, registered_on: Date, today: Date) -> Option<Call> {
    calls(policy, registered_on)
        .filter(|(start, ..)| *start <= today)
        .map(|(_, call, _)| call)
        .reduce(|a, b| Call {
            access_expires_at: a.access_expires_at.min(b.access_expires_at),
            cutoff: a.cutoff.max(b.cutoff),
        })
}

fn registered_on(membership: &Membership, policy: &Policy) -> Date {
    policy.date_of(
        membership
            .registered_again_at
            .unwrap_or(membership.joined_at),
    )
}

/// Returns what a campaign requires for a membership, or `None` if nothing (AG-13).
pub fn call(membership: &Membership, policy: &Policy, today: Date) -> Option<Call> {
    combined_call(policy, registered_on(membership, policy), today)
}

/// Returns the most urgent requirement of campaigns among the memberships.
pub(crate) fn first_call(account: &Account, policy: &Policy, today: Date) -> Option<Call> {
    let calls = account.memberships.iter();
    calls
        .filter_map(|m| call(m, policy, today))
        .min_by_key(|call| call.access_expires_at)
}

/// Returns the next notice to register again and its date. Notices are sent on the first day of a
/// campaign, and before the access and the campaign end.
pub(crate) fn call_notice(account: &Account, policy: &Policy) -> Option<(Date, Call)> {
    let last_notice = account.notices.campaign;
    let memberships = account.memberships.iter();
    memberships
        .flat_map(|m| calls(policy, registered_on(m, policy)))
        .flat_map(|(_, call, days)| days.into_iter().map(move |day| (day, call)))
        .filter(|(day, _)| Some(*day) > last_notice)
        .min_by_key(|(day, _)| *day)
}

#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Refusal {
    /// No campaign requires it.
    NotAsked,
    /// The cutoff has passed.
    Over(Date),
    /// The entered facts don't match the record that the user registered with (AG-06).
    NotMatched,
    /// The record is no longer eligible for the registration type (EX-04), with the policy's
    /// message.
    NotOpen(String),
    /// A user who was added by an organization can register again only after the organization.
    OrganizationFirst,
}

/// Registers a user again for one membership (AG-13). The account and its content remain. A user
/// who registered against the plan's records verifies against the same record again. A user who was
/// added by an organization can do so once the organization has registered again.
///
/// # Errors
/// [`Refusal`]. None of them reveals which field was wrong.
pub fn register_again(
    account: &Account,
    membership: &Membership,
    organization: Option<&Organization>,
    verified: Option<&PlanRecord>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let today = policy.today(origin.at);
    let call = call(membership, policy, today).ok_or(Refusal::NotAsked)?;
    if call.is_over(today) {
        return Err(Refusal::Over(call.cutoff));
    }
    let behind = organization.filter(|o| {
        let registered = policy.date_of(o.registered_again_at.unwrap_or(o.registered_at));
        combined_call(policy, registered, today).is_some()
    });
    if let Some(own) = &membership.record {
        let record = verified
            .filter(|r| r.key == *own)
            .ok_or(Refusal::NotMatched)?;
        let registration_type = membership
            .registration_type
            .as_deref()
            .and_then(|w| policy.registration_type(w));
        let registration_type = registration_type.ok_or(Refusal::NotMatched)?;
        if !registration_type.eligible.holds_for(&record.data) {
            let ineligible_message = registration_type
                .ineligible_message
                .as_ref()
                .map(ToString::to_string);
            return Err(Refusal::NotOpen(ineligible_message.unwrap_or_default()));
        }
    } else if behind.is_some() {
        return Err(Refusal::OrganizationFirst);
    }
    let mut after = account.clone();
    if let Some(m) = after.membership_mut(membership.organization.as_ref()) {
        m.registered_again_at = Some(origin.at);
    }
    let actor = Actor::Account(account.id.clone());
    let audit = AuditEvent::done(origin, actor, Action::RegisterAgain, rng)
        .on(account.id.as_str())
        .for_organization(membership.organization.as_ref());
    let notice = mail(account, origin.at, MailText::RegisteredAgain, rng);
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send([notice]);
    // Only a user with a plan record gets here while the organization hasn't registered again.
    let decision = match behind {
        Some(organization) => decision.change(Change::UpdateOrganization {
            before: Box::new(organization.clone()),
            after: Box::new(Organization {
                registered_again_at: Some(origin.at),
                ..organization.clone()
            }),
        }),
        None => decision,
    };
    Ok((after, decision))
}

fn username_set_on(account: &Account, policy: &Policy) -> Date {
    policy.date_of(account.username_since.unwrap_or(account.created_at))
}

/// Returns the first day on which anyone can choose the user's username (ME-10), or `None` if it
/// isn't released.
pub(crate) fn name_released_on(account: &Account, policy: &Policy) -> Option<Date> {
    if account.must_choose_username {
        // A temporary username can't be chosen by anyone else.
        return None;
    }
    let set_on = username_set_on(account, policy);
    let releases = policy.campaigns.iter().filter_map(|c| match c {
        Campaign::ReleaseUsernames { on, created_before } if set_on < *created_before => Some(*on),
        _ => None,
    });
    releases.min()
}

fn is_released(account: &Account, policy: &Policy, today: Date) -> bool {
    name_released_on(account, policy).is_some_and(|on| on <= today)
}

/// Returns whether any usernames are released on this portal today.
pub fn releases_usernames(policy: &Policy, today: Date) -> bool {
    let mut campaigns = policy.campaigns.iter();
    campaigns.any(|c| matches!(c, Campaign::ReleaseUsernames { on, .. } if *on <= today))
}

/// Returns whether a user has to choose a username again, because it is released or somebody else
/// has chosen it (ME-10).
pub fn must_choose_username(account: &Account, policy: &Policy, today: Date) -> bool {
    account.must_choose_username || is_released(account, policy, today)
}

/// Returns the date of the next notice that the username is released.
pub(crate) fn release_notice(account: &Account, policy: &Policy) -> Option<Date> {
    name_released_on(account, policy).filter(|on| Some(*on) > account.notices.username)
}

/// Transfers a released username: gives its previous holder a temporary username, which is emailed
/// to them and with which they sign in and choose another (ME-10). Returns `None` if the username
/// isn't released or was chosen again.
pub fn release_username(holder: &Account, context: Context<'_>) -> Option<Decision> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    if !is_released(holder, policy, policy.today(origin.at)) {
        return None;
    }
    let instead = Username::parse(&format!("user-{}", eight_characters(rng)), 1).ok()?;
    let mut after = holder.clone();
    after.username = instead;
    after.must_choose_username = true;
    let text = MailText::UsernameGone {
        username: holder.username.to_string(),
        instead: after.username.to_string(),
    };
    let organization = match holder.memberships.as_slice() {
        [only] => only.organization.as_ref(),
        _ => None,
    };
    let audit = AuditEvent::done(origin, Actor::System, Action::ReleaseUsername, rng)
        .on(holder.id.as_str())
        .for_organization(organization);
    let notice = mail(holder, origin.at, text, rng);
    Some(
        Decision::recording(audit)
            .update(holder, after)
            .send([notice]),
    )
}

/// Sets the username that a user chooses in a campaign, the same or another (ME-10). Returns `None`
/// if it wasn't released; only the help desk can change it then (ME-09).
pub fn choose_username(
    account: &Account,
    organization: Option<&OrganizationId>,
    username: Username,
    context: Context<'_>,
) -> Option<(Account, Decision)> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    if !must_choose_username(account, policy, policy.today(origin.at)) {
        return None;
    }
    let unchanged = username.key() == account.username.key();
    let mut after = account.clone();
    after.set_username(username, origin.at);
    let actor = Actor::Account(account.id.clone());
    let audit = AuditEvent::done(origin, actor, Action::ChooseUsername, rng)
        .on(account.id.as_str())
        .for_organization(organization);
    let text = MailText::UsernameChosen {
        username: after.username.to_string(),
    };
    let notice = (!unchanged).then(|| mail(account, origin.at, text, rng));
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send(notice);
    Some((after, decision))
}
