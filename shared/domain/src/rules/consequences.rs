//! What follows from the changes of a decision on the schedule: the day on which something is next due
//! for each account, and the follow-ups of organizations (AG-04, EX-11, BA-01, BA-02).

use jiff::Timestamp;
use jiff::civil::Date;
use sha2::{Digest, Sha256};

use crate::decision::{Change, Decision};
use crate::outbox::mail::{AccessCheck, Message};
use crate::policy::calendar::{days_earlier, days_later};
use crate::policy::portals::Portals;
use crate::policy::{Policy, PolicyError};
use crate::rules::access_review;
use crate::rules::schedule::{self, BACKUP_REMINDER_DAYS};
use crate::rules::single_sign_on;
use crate::state::account::Account;
use crate::state::follow_up::FollowUpKind;
use crate::state::organization::Organization;
use crate::values::ids::{MessageId, OrganizationId, PortalId};

/// A decision with everything that follows from it on the schedule. The store commits nothing else.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScheduledDecision {
    pub decision: Decision,
    /// For each change of the decision, the day on which something is next due for the account that it
    /// writes.
    pub due_days: Vec<Option<Date>>,
    /// At most one for each organization and kind.
    pub follow_ups: Vec<FollowUpToSet>,
}

/// A follow-up that a decision schedules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUpToSet {
    pub portal: PortalId,
    pub organization: OrganizationId,
    pub kind: FollowUpKind,
    pub on: Date,
}

impl FollowUpToSet {
    /// Returns whether the day of a follow-up that is already scheduled is replaced. Only the next day of
    /// an access review moves; other follow-ups keep the earlier day.
    pub const fn replaces_day(&self) -> bool {
        match self.kind {
            FollowUpKind::Review => true,
            FollowUpKind::AdminNotice | FollowUpKind::Backup => false,
        }
    }

    fn is_of(&self, (portal, organization, kind): Subject<'_>) -> bool {
        (&self.portal, &self.organization, self.kind) == (portal, organization, kind)
    }
}

/// What a follow-up is about. A decision sets or resolves it once.
type Subject<'a> = (&'a PortalId, &'a OrganizationId, FollowUpKind);

impl ScheduledDecision {
    /// Computes what follows from a decision. Nothing is scheduled on a portal that doesn't exist.
    ///
    /// # Errors
    /// [`PolicyError`] when the policy of a portal is invalid.
    pub fn new(mut decision: Decision, portals: &Portals) -> Result<Self, PolicyError> {
        let withdrawn = decision.changes.iter().filter_map(withdrawn_letter);
        let withdrawn: Vec<_> = withdrawn.collect();
        decision.changes.extend(withdrawn);
        let at = decision.audit.occurred_at;
        let mut notices = Vec::new();
        let mut due_days = Vec::with_capacity(decision.changes.len());
        let mut follow_ups: Vec<FollowUpToSet> = Vec::new();
        for change in &decision.changes {
            let policy = match portal_of(change) {
                Some(portal) => portals.get(portal.as_str())?,
                None => None,
            };
            due_days.push(policy.and_then(|policy| due_day(change, policy)));
            notices.extend(
                policy
                    .into_iter()
                    .flat_map(|policy| notices_of(change, policy, &decision)),
            );
            for new in policy
                .into_iter()
                .flat_map(|policy| follow_ups_of(change, policy, at))
            {
                let subject = (&new.portal, &new.organization, new.kind);
                if !follow_ups.iter().any(|f| f.is_of(subject)) {
                    follow_ups.push(new);
                }
            }
        }
        // A decision that resolves a follow-up determines its next day itself.
        for change in &decision.changes {
            if let Change::ResolveFollowUp { follow_up: f, .. } = change {
                follow_ups.retain(|new| !new.is_of((&f.portal, &f.organization, f.kind)));
            }
        }
        decision.messages.extend(notices);
        Ok(Self {
            decision,
            due_days,
            follow_ups,
        })
    }
}

/// Withdraws the letter of a reset of second factors that a change ends: it was completed, canceled or replaced, or
/// another recovery ended it (MF-06).
fn withdrawn_letter(change: &Change) -> Option<Change> {
    let Change::UpdateAccount { before, after } = change else {
        return None;
    };
    let letter = |account: &Account| {
        let issue = account.second_factors.reset.as_ref()?.pin()?;
        Some(issue.carried_by.clone())
    };
    let before = letter(before)?;
    (letter(after).as_ref() != Some(&before)).then_some(Change::WithdrawLetter(before))
}

/// Returns the messages by which the applications of an account learn that access ended, or may have ended
/// (SO-03). Their ids follow from the decision.
fn notices_of(change: &Change, policy: &Policy, decision: &Decision) -> Vec<Message> {
    if !single_sign_on::is_anyone_notified(policy) {
        return Vec::new();
    }
    let id = |subject: &str| {
        let name = format!("vestibule notice\0{}\0{subject}", decision.audit.id);
        let digest = Sha256::digest(name);
        let half: Result<[u8; 16], _> = digest[..16].try_into();
        MessageId::from_bytes(half.expect("half of 32 bytes"))
    };
    match change {
        Change::EndSession(session) => {
            let applications = session.applications.keys();
            let notice = |application: &String| {
                let id = id(&format!("{}/{application}", session.id));
                single_sign_on::notice(session, application, policy, id)
            };
            applications.filter_map(notice).collect()
        }
        Change::UpdateAccount { before, after } if before.uses_applications => {
            let may_end = before.session_epoch != after.session_epoch
                || before.status != after.status
                || before.memberships != after.memberships;
            let check = may_end.then(|| {
                Message::AccessCheck(AccessCheck {
                    id: id(after.id.as_str()),
                    portal: after.portal.clone(),
                    account: after.id.clone(),
                    ending: None,
                })
            });
            check.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the portal of a change that affects the schedule.
fn portal_of(change: &Change) -> Option<&PortalId> {
    match change {
        Change::CreateAccount(account) | Change::NoteSignIn { account, .. } => {
            Some(&account.portal)
        }
        Change::UpdateAccount { after, .. } => Some(&after.portal),
        Change::CreateOrganization(organization) => Some(&organization.portal),
        Change::UpdateOrganization { after, .. } => Some(&after.portal),
        Change::QueueAdminNotice(notice) => Some(&notice.portal),
        Change::EndSession(session) => Some(&session.portal),
        Change::NoteFormerUser { .. }
        | Change::NoteRemovedInReview { .. }
        | Change::ClaimRecord { .. }
        | Change::ReleaseRecord { .. }
        | Change::NoteNotified(_)
        | Change::SaveInvitation { .. }
        | Change::StartSession(_)
        | Change::RenewSession(_)
        | Change::OpenApplication { .. }
        | Change::CloseApplications { .. }
        | Change::IssueCode(_)
        | Change::RedeemCode { .. }
        | Change::RevokeToken { .. }
        | Change::KeepResponse(_)
        | Change::WithdrawLetter(_)
        | Change::ClearAdminNotices(_)
        | Change::ResolveFollowUp { .. }
        | Change::ForgetAttempts(_) => None,
    }
}

/// Returns the day on which something is next due for the account that a change writes.
fn due_day(change: &Change, policy: &Policy) -> Option<Date> {
    let due = match change {
        Change::CreateAccount(account) => schedule::next_due(account, policy),
        Change::UpdateAccount { after, .. } => schedule::next_due(after, policy),
        Change::NoteSignIn { account, at, .. } => {
            let signed_in = Account {
                last_sign_in_at: Some(*at),
                ..(**account).clone()
            };
            schedule::next_due(&signed_in, policy)
        }
        _ => None,
    };
    due.map(|due| due.on)
}

/// Returns the follow-ups that a change made at a time causes.
fn follow_ups_of(change: &Change, policy: &Policy, at: Timestamp) -> Vec<FollowUpToSet> {
    let today = policy.date_of(at);
    match change {
        Change::CreateOrganization(organization) => {
            let first = days_later(today, BACKUP_REMINDER_DAYS);
            let backup = backup_check(&organization.portal, &organization.id, policy, first);
            backup
                .into_iter()
                .chain(next_review(organization, policy, today))
                .collect()
        }
        Change::UpdateOrganization { before, after } if before.review != after.review => {
            next_review(after, policy, today).into_iter().collect()
        }
        Change::UpdateAccount { before, after } => lost_administrations(before, after)
            .filter_map(|organization| backup_check(&after.portal, organization, policy, today))
            .collect(),
        Change::QueueAdminNotice(notice) => vec![FollowUpToSet {
            portal: notice.portal.clone(),
            organization: notice.organization.clone(),
            kind: FollowUpKind::AdminNotice,
            on: notice.on,
        }],
        _ => Vec::new(),
    }
}

/// Returns the check for a backup administrator of an organization, if the portal requires one (AG-04).
fn backup_check(
    portal: &PortalId,
    organization: &OrganizationId,
    policy: &Policy,
    on: Date,
) -> Option<FollowUpToSet> {
    let staff = policy.staff.as_ref();
    staff
        .is_some_and(|staff| staff.requires_backup_administrator)
        .then(|| FollowUpToSet {
            portal: portal.clone(),
            organization: organization.clone(),
            kind: FollowUpKind::Backup,
            on,
        })
}

/// Returns the organizations that may have lost their backup administrator: those in which the account was
/// an administrator and can no longer act as before.
fn lost_administrations<'a>(
    before: &'a Account,
    after: &'a Account,
) -> impl Iterator<Item = &'a OrganizationId> {
    before.memberships.iter().filter_map(|old| {
        let organization = old.organization.as_ref()?;
        let acts_as_before = after.memberships.iter().any(|new| {
            new.organization == old.organization
                && new.role.is_administrator()
                && (after.status, new.registration()) == (before.status, old.registration())
        });
        (old.role.is_administrator() && !acts_as_before).then_some(organization)
    })
}

/// Returns the follow-up for an organization's access reviews, on the next day after `day` that needs one
/// (EX-11).
fn next_review(organization: &Organization, policy: &Policy, day: Date) -> Option<FollowUpToSet> {
    let on = access_review::next_look(organization, policy, day)?;
    Some(FollowUpToSet {
        portal: organization.portal.clone(),
        organization: organization.id.clone(),
        kind: FollowUpKind::Review,
        on,
    })
}

/// Returns the follow-up that an organization needs if it has none for its access reviews, for example
/// because the policy had no reviews when the organization registered (EX-11).
pub fn first_review(
    organization: &Organization,
    policy: &Policy,
    today: Date,
) -> Option<FollowUpToSet> {
    // Starts from yesterday, so that a follow-up that is due today is included.
    next_review(organization, policy, days_earlier(today, 1))
}
