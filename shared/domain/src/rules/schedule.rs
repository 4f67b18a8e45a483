//! Scheduled actions: warnings, disabling and deletion of idle accounts (BA-01 to BA-03, UX-02),
//! notices about passwords, letters and campaigns (UX-02, ME-08, AG-13, ME-10), and reminders of a
//! missing backup administrator (AG-04) and of access reviews (EX-11, in
//! [`crate::rules::access_review`]).
//!
//! [`next_due`] computes the day of an account's next action from the account and its policy. The
//! store calls it at every write and indexes the result. [`apply`] performs one action that is due
//! and moves that day forward. To add an action, add it to [`ScheduledAction`] and to the list in
//! `all_due`.
//!
//! Days are calendar days in the portal's time zone. "After more than 180 days" means on the 181st
//! day after the last sign-in.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{IdleStep, MailText, NoticeLine, mail};
use crate::policy::calendar::{days_earlier, days_later};
use crate::policy::{Days, InactivityPolicy, Policy, Role};
use crate::rules::campaign;
use crate::rules::context::Context;
use crate::rules::departure;
use crate::rules::follow_up::{email_to_manager, resolve_follow_up};
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::follow_up::AccountOutcome;
use crate::state::follow_up::{AdminNotice, FollowUp, Manager};
use crate::state::membership::{LetterStatus, Membership, PendingStep};
use crate::state::organization::Organization;

/// The interval of reminders that an organization has no backup administrator (AG-04).
pub const BACKUP_REMINDER_DAYS: u32 = 7;

pub use crate::rules::follow_up::MAX_NOTIFIED;

/// The maximum number of memberships that end in one transaction, each with up to seven writes. The others
/// end in the next one.
const MAX_ENDED_AT_ONCE: usize = 12;

/// The maximum number of organizations whose administrators are notified in one transaction of its own, each with
/// two writes.
const MAX_NOTICES_AT_ONCE: usize = 40;

/// An action on an account, in order of priority if several are due on one day.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ScheduledAction {
    /// Remove access whose end date has passed (UX-07).
    EndAccess,
    /// Delete a disabled account after a long time without sign-in (BA-02).
    Delete,
    /// Disable an account after a long time without sign-in (BA-01).
    Disable,
    /// Warn that the account will be deleted (UX-02).
    WarnOfDeletion,
    /// Warn that the account will be disabled (UX-02).
    WarnOfDisabling,
    /// Notify that the password expires (UX-02).
    PasswordNotice,
    /// Notify that a PIN letter should have arrived (ME-08).
    LetterNotice,
    /// Notify that the user has to register again (AG-13).
    CampaignNotice,
    /// Notify that the username is released (ME-10).
    UsernameNotice,
}

impl ScheduledAction {
    /// Returns whether it takes access away for good.
    pub const fn removes_access(self) -> bool {
        matches!(self, Self::EndAccess | Self::Delete)
    }
}

/// An action that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The first day on which it is due.
    pub on: Date,
    pub action: ScheduledAction,
    /// The day that the action refers to. For a warning, the day of the event it announces.
    pub about: Date,
}

/// Returns the next action and its day, or `None` if there is none unless the account changes.
pub fn next_due(account: &Account, policy: &Policy) -> Option<Due> {
    all_due(account, policy).min_by_key(|due| (due.on, due.action))
}

/// Returns the first action to perform among those due by a day. Final actions come before their
/// warnings, so that a late run doesn't announce what it does at once.
pub fn first_due(account: &Account, policy: &Policy, day: Date) -> Option<Due> {
    all_due(account, policy)
        .filter(|due| due.on <= day)
        .min_by_key(|due| due.action)
}

fn all_due(account: &Account, policy: &Policy) -> impl Iterator<Item = Due> {
    let idle = policy.inactivity.as_ref();
    [
        end_of_access_due(account),
        idle.and_then(|i| disable_due(account, i, policy)),
        idle.and_then(|i| disable_warning_due(account, i, policy)),
        idle.and_then(|i| deletion_due(account, i, policy)),
        idle.and_then(|i| deletion_warning_due(account, i, policy)),
        password_notice_due(account, policy),
        letter_notice_due(account, policy),
        campaign_notice_due(account, policy),
        username_notice_due(account, policy),
    ]
    .into_iter()
    .flatten()
}

/// Returns the day from which idleness counts: the last sign-in or the account's creation (UX-02).
pub fn idle_since(account: &Account, policy: &Policy) -> Date {
    policy.date_of(account.last_sign_in_at.unwrap_or(account.created_at))
}

/// Returns the day on which the account was last disabled or reinstated.
fn status_since(account: &Account, policy: &Policy) -> Option<Date> {
    account.status_since.map(|at| policy.date_of(at))
}

/// Returns whether one of the account's roles, in any organization, exempts it from the idle limits
/// (BA-03).
fn is_exempt(account: &Account, inactivity: &InactivityPolicy) -> bool {
    let exempt = |role| inactivity.exempt_roles.contains(&role);
    account.memberships.iter().any(|m| exempt(m.role))
}

fn disabled_on(account: &Account, inactivity: &InactivityPolicy, policy: &Policy) -> Option<Date> {
    if account.status != Status::Active || is_exempt(account, inactivity) {
        return None;
    }
    let idle = days_later(
        idle_since(account, policy),
        inactivity.disable_after_days.get() + 1,
    );
    let grace =
        status_since(account, policy).map(|day| days_later(day, inactivity.grace_days.get() + 1));
    grace.max(Some(idle))
}

/// Returns the day of deletion. The scheduler never deletes a principal, who is the only person
/// with signing authority.
fn deleted_on(account: &Account, inactivity: &InactivityPolicy, policy: &Policy) -> Option<Date> {
    let is_principal = |role| role == Role::Principal;
    if account.status != Status::Disabled
        || is_exempt(account, inactivity)
        || account.memberships.iter().any(|m| is_principal(m.role))
    {
        return None;
    }
    let idle = days_later(
        idle_since(account, policy),
        inactivity.delete_after_days.get() + 1,
    );
    // At least one day after disabling, so that its notice arrives first.
    let after_disabling = status_since(account, policy).map(|day| days_later(day, 1));
    after_disabling.max(Some(idle))
}

fn disable_due(account: &Account, inactivity: &InactivityPolicy, policy: &Policy) -> Option<Due> {
    let on = disabled_on(account, inactivity, policy)?;
    Some(Due {
        on,
        action: ScheduledAction::Disable,
        about: on,
    })
}

fn deletion_due(account: &Account, inactivity: &InactivityPolicy, policy: &Policy) -> Option<Due> {
    let on = deleted_on(account, inactivity, policy)?;
    Some(Due {
        on,
        action: ScheduledAction::Delete,
        about: on,
    })
}

/// Returns the first day before `end` on which a warning is due and that is later than `since`.
fn warning(end: Date, warning_days: &[Days], since: Option<Date>) -> Option<Date> {
    let days = warning_days.iter().map(|d| days_earlier(end, d.get()));
    days.filter(|day| Some(*day) > since).min()
}

fn disable_warning_due(
    account: &Account,
    inactivity: &InactivityPolicy,
    policy: &Policy,
) -> Option<Due> {
    let end = disabled_on(account, inactivity, policy)?;
    let since = account.notices.idle.max(status_since(account, policy));
    let on = warning(end, &inactivity.warning_days, since)?;
    Some(Due {
        on,
        action: ScheduledAction::WarnOfDisabling,
        about: end,
    })
}

fn deletion_warning_due(
    account: &Account,
    inactivity: &InactivityPolicy,
    policy: &Policy,
) -> Option<Due> {
    let end = deleted_on(account, inactivity, policy)?;
    let since = account.notices.idle.max(status_since(account, policy));
    let on = warning(end, &inactivity.warning_days, since)?;
    Some(Due {
        on,
        action: ScheduledAction::WarnOfDeletion,
        about: end,
    })
}

/// Due the day after the earliest end date.
fn end_of_access_due(account: &Account) -> Option<Due> {
    let last = account
        .memberships
        .iter()
        .filter_map(|m| m.end_date)
        .min()?;
    Some(Due {
        on: days_later(last, 1),
        action: ScheduledAction::EndAccess,
        about: last,
    })
}

/// No notice is due if the password must be changed at the next sign-in anyway.
fn password_notice_due(account: &Account, policy: &Policy) -> Option<Due> {
    let password = account.password.as_ref().filter(|p| !p.must_change)?;
    if account.status != Status::Active {
        return None;
    }
    let end = policy.date_of(policy.password_expires_at(password.changed_at)?);
    let since = Some(policy.date_of(password.changed_at)).max(account.notices.password);
    let on = warning(end, &policy.password.warning_days, since)?;
    Some(Due {
        on,
        action: ScheduledAction::PasswordNotice,
        about: end,
    })
}

/// Due the day after the letter should have arrived.
fn letter_notice_due(account: &Account, policy: &Policy) -> Option<Due> {
    if account.status != Status::Active {
        return None;
    }
    let arrivals = account
        .memberships
        .iter()
        .filter_map(|m| match &m.pending_step {
            PendingStep::Pin { issue } => LetterStatus::of(issue, policy, issue.issued_at)
                .filter(|letter| !letter.not_printed)
                .map(|letter| letter.arrives_by),
            _ => None,
        });
    arrivals
        .map(|arrives_by| Due {
            on: days_later(arrives_by, 1),
            action: ScheduledAction::LetterNotice,
            about: arrives_by,
        })
        .filter(|due| Some(due.on) > account.notices.letter)
        .min_by_key(|due| due.on)
}

fn campaign_notice_due(account: &Account, policy: &Policy) -> Option<Due> {
    if account.status != Status::Active {
        return None;
    }
    let (on, call) = campaign::call_notice(account, policy)?;
    Some(Due {
        on,
        action: ScheduledAction::CampaignNotice,
        about: call.cutoff,
    })
}

fn username_notice_due(account: &Account, policy: &Policy) -> Option<Due> {
    if account.status != Status::Active {
        return None;
    }
    let on = campaign::release_notice(account, policy)?;
    Some(Due {
        on,
        action: ScheduledAction::UsernameNotice,
        about: on,
    })
}

/// The result of a scheduled action.
#[derive(Debug)]
pub struct Applied {
    pub due: Due,
    /// Whether the action is a step after which the same action is still due.
    pub is_partial: bool,
    /// The account after the action, including its new version.
    pub after: Account,
    pub decision: Decision,
    /// Notices to the administrators of further organizations, which don't fit in the decision. They are
    /// committed before it, so that none is lost; queuing one again replaces it.
    pub notices: Vec<Decision>,
}

/// Performs the first action that is due for an account on the day of `origin`, if any.
///
/// The caller can repeat this on the result until nothing is due, because each action moves its own
/// next day past today.
///
/// `organizations` are those of the account, if the action takes access away.
pub fn apply(
    account: &Account,
    organizations: &[Organization],
    context: Context<'_>,
) -> Option<Applied> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let today = policy.today(origin.at);
    let due = first_due(account, policy, today)?;
    let mut after = account.clone();
    // An account with many organizations leaves them in steps, and is deleted in the last one.
    let is_partial =
        due.action == ScheduledAction::Delete && account.memberships.len() > MAX_ENDED_AT_ONCE;
    let mut ending = 0;
    let (ended, remaining): (Vec<_>, Vec<_>) = account.memberships.iter().cloned().partition(|m| {
        let ends = is_partial || due.action == ScheduledAction::EndAccess && m.is_over(today);
        ending += usize::from(ends);
        ends && ending <= MAX_ENDED_AT_ONCE
    });
    let affected = if is_partial || due.action == ScheduledAction::EndAccess {
        &ended
    } else {
        &remaining
    };
    let idle = |then, on| MailText::Idle {
        since: idle_since(account, policy),
        signed_in: account.last_sign_in_at.is_some(),
        then,
        on,
    };
    let (action, text, outcome) = match due.action {
        ScheduledAction::EndAccess => {
            let whole = remaining.is_empty();
            if whole {
                after.delete();
            } else {
                // A session that works for an organization whose access ended has to choose
                // another.
                after.memberships = remaining.clone();
            }
            let text = MailText::AccessEnded {
                last: due.about,
                whole,
            };
            (Action::EndAccess, text, Some(AccountOutcome::Ended))
        }
        ScheduledAction::Delete => {
            if is_partial {
                after.memberships = remaining.clone();
            } else {
                after.delete();
            }
            let text = idle(IdleStep::Deleted, Some(today));
            (Action::DeleteIdle, text, Some(AccountOutcome::Deleted))
        }
        ScheduledAction::Disable => {
            after.disable(origin.at);
            let next = policy
                .inactivity
                .as_ref()
                .and_then(|i| deleted_on(&after, i, policy));
            let text = idle(IdleStep::Disabled, next);
            (Action::DisableIdle, text, Some(AccountOutcome::Disabled))
        }
        ScheduledAction::WarnOfDeletion => {
            after.notices.idle = Some(today);
            let text = idle(IdleStep::WillBeDeleted, Some(due.about));
            (Action::WarnIdle, text, None)
        }
        ScheduledAction::WarnOfDisabling => {
            after.notices.idle = Some(today);
            let text = idle(IdleStep::WillBeDisabled, Some(due.about));
            (Action::WarnIdle, text, None)
        }
        ScheduledAction::PasswordNotice => {
            after.notices.password = Some(today);
            let text = MailText::PasswordExpires {
                on: due.about,
                over: due.about <= today,
            };
            (Action::Remind, text, None)
        }
        ScheduledAction::LetterNotice => {
            after.notices.letter = Some(today);
            let text = MailText::LetterOverdue {
                arrives_by: due.about,
            };
            (Action::Remind, text, None)
        }
        ScheduledAction::CampaignNotice => {
            after.notices.campaign = Some(today);
            let call = campaign::first_call(account, policy, today)?;
            (Action::Remind, MailText::RegisterAgain { call }, None)
        }
        ScheduledAction::UsernameNotice => {
            after.notices.username = Some(today);
            let text = MailText::UsernameReleased {
                username: account.username.to_string(),
            };
            (Action::Remind, text, None)
        }
    };
    // With one organization, the event is on its trail. With several, it is only on the user's own.
    let organization = match account.memberships.as_slice() {
        [only] => only.organization.as_ref(),
        _ => None,
    };
    let audit = AuditEvent::done(origin, Actor::System, action, rng)
        .on(account.id.as_str())
        .for_organization(organization);
    let mut notices = Vec::new();
    let mut decision = Decision::recording(audit)
        .update(account, after.clone())
        .send((!is_partial).then(|| mail(account, origin.at, text, rng)));
    if let Some(outcome) = outcome {
        if outcome != AccountOutcome::Disabled {
            decision = affected
                .iter()
                .flat_map(|membership| {
                    let organization = organizations
                        .iter()
                        .find(|o| Some(&o.id) == membership.organization.as_ref());
                    let of = (membership, organization);
                    departure::freed(account, of, &Actor::System, origin.at)
                })
                .fold(decision, Decision::change);
        }
        let (first, rest) = affected.split_at(affected.len().min(MAX_ENDED_AT_ONCE));
        decision = notify_organizations(decision, (account, first), outcome, today);
        for some in rest.chunks(MAX_NOTICES_AT_ONCE) {
            let audit = AuditEvent::done(origin, Actor::System, Action::Remind, rng);
            let queued = Decision::recording(audit.on(account.id.as_str()));
            notices.push(notify_organizations(
                queued,
                (account, some),
                outcome,
                today,
            ));
        }
    }
    after.version += 1;
    Some(Applied {
        due,
        is_partial,
        after,
        decision,
        notices,
    })
}

fn notify_organizations(
    decision: Decision,
    (account, affected): (&Account, &[Membership]),
    outcome: AccountOutcome,
    on: Date,
) -> Decision {
    let organizations = affected.iter().filter_map(|m| m.organization.clone());
    organizations.fold(decision, |decision, organization| {
        decision.change(Change::QueueAdminNotice(AdminNotice {
            portal: account.portal.clone(),
            organization,
            account: account.id.clone(),
            person: account.name.full(),
            username: account.username.to_string(),
            outcome,
            on,
        }))
    })
}

/// Reminds a principal to add a backup administrator, unless there is one (AG-04). If no principal
/// can act, reminds the only administrator.
pub fn remind_of_backup(
    follow_up: &FollowUp,
    organization: &Organization,
    managers: &[Manager],
    context: Context<'_>,
) -> Decision {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let required = policy
        .staff
        .as_ref()
        .is_some_and(|s| s.requires_backup_administrator);
    let recipient = match managers {
        [only] if required => only,
        // There is a backup, or nobody can act. The follow-up is set again when somebody can.
        _ => return resolve_follow_up(follow_up, origin, None, rng),
    };
    let again = days_later(policy.today(origin.at), BACKUP_REMINDER_DAYS);
    let text = MailText::BackupWanted {
        organization: organization.name.clone(),
    };
    resolve_follow_up(follow_up, origin, Some(again), rng)
        .send([email_to_manager(recipient, origin, text, rng)])
}

/// Notifies the administrators of an organization of scheduled actions on its users, in one email.
/// More than [`MAX_NOTIFIED`] users are split over several runs.
pub fn notify_administrators(
    follow_up: &FollowUp,
    organization: &Organization,
    managers: &[Manager],
    notices_due: &[AdminNotice],
    context: Context<'_>,
) -> Decision {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let batch = &notices_due[..notices_due.len().min(MAX_NOTIFIED)];
    let again = (batch.len() < notices_due.len()).then(|| policy.today(origin.at));
    let users: Vec<_> = batch
        .iter()
        .map(|n| NoticeLine {
            person: n.person.clone(),
            username: n.username.clone(),
            outcome: n.outcome,
            on: n.on,
        })
        .collect();
    let mut decision = resolve_follow_up(follow_up, origin, again, rng)
        .change(Change::ClearAdminNotices(batch.to_vec()));
    if !users.is_empty() {
        for manager in managers.iter().take(MAX_NOTIFIED) {
            let text = MailText::UsersChanged {
                organization: organization.name.clone(),
                users: users.clone(),
            };
            decision = decision.send([email_to_manager(manager, origin, text, rng)]);
        }
    }
    decision
}
