//! Performs scheduled actions: warns about, disables and deletes idle accounts (BA-01 to BA-03,
//! BA-10, UX-02), sends notices about expiring passwords, overdue letters and campaigns (UX-02,
//! ME-08, AG-13, ME-10), reminds organizations of missing backup administrators (AG-04), and starts
//! and follows up on access reviews (EX-11). The rules for what is due and what is then done are in
//! [`vestibule_domain::schedule`]; this crate finds what is due and applies it.
//!
//! A run reads only what the index lists as due. Each account is read again and decided on its own,
//! in a transaction that succeeds only if the account hasn't changed since: a sign-in at the same
//! time wins. Whatever a run can't finish is due again in the next one, and concurrent runs do
//! everything once.

use std::collections::BTreeMap;

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use vestibule_domain::account::Account;
use vestibule_domain::audit::{Action, Origin};
use vestibule_domain::ids::OrganizationId;
use vestibule_domain::policy::Policy;
use vestibule_domain::review;
use vestibule_domain::schedule::{self, Due, FollowUpKind, ScheduledAction};
use vestibule_http::App;
use vestibule_store::due::{Entry, Queue, SHARDS};
use vestibule_store::{CommitError, Unavailable};

/// The event that the schedule sends: `{}`, or `{"dry_run": true}` with an optional `"as_of":
/// "2027-05-22"`. Unknown fields are rejected, so that a misspelled dry run does nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct Event {
    /// Whether to report what would be done without doing it (UX-03).
    pub dry_run: bool,
    /// The day to report for. The default is today.
    pub as_of: Option<Date>,
    /// Whether to check all accounts instead, and correct the due days that a policy change has
    /// moved.
    pub reindex: bool,
}

/// Accepts only a JSON object: derived deserialization would also accept an empty list and start a
/// run.
impl TryFrom<serde_json::Map<String, serde_json::Value>> for Event {
    type Error = serde_json::Error;

    fn try_from(object: serde_json::Map<String, serde_json::Value>) -> Result<Self, Self::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct FieldList {
            #[serde(default)]
            dry_run: bool,
            #[serde(default)]
            as_of: Option<Date>,
            #[serde(default)]
            reindex: bool,
        }
        let FieldList {
            dry_run,
            as_of,
            reindex,
        } = FieldList::deserialize(serde_json::Value::Object(object))?;
        Ok(Self {
            dry_run,
            as_of,
            reindex,
        })
    }
}

/// An event that sets `as_of` without `dry_run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOnAnotherDay;

impl std::fmt::Display for NotOnAnotherDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("as_of is only valid with dry_run set to true")
    }
}

impl std::error::Error for NotOnAnotherDay {}

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The time of the run: everything due by then is done.
    pub at: Timestamp,
    /// For a dry run, the day to report for instead.
    pub as_of: Option<Date>,
    /// Whether nothing is written.
    pub dry_run: bool,
    /// When the run must stop. The rest is left for the next run.
    pub until: Option<Timestamp>,
}

impl Run {
    /// Creates the parameters of a regular run.
    pub const fn now(at: Timestamp) -> Self {
        Self {
            at,
            as_of: None,
            dry_run: false,
            until: None,
        }
    }

    /// Creates the parameters that an event specifies.
    ///
    /// # Errors
    /// [`NotOnAnotherDay`] when the event sets another day without a dry run.
    pub fn of(event: Event, at: Timestamp) -> Result<Self, NotOnAnotherDay> {
        if event.as_of.is_some() && (!event.dry_run || event.reindex) {
            return Err(NotOnAnotherDay);
        }
        Ok(Self {
            as_of: event.as_of,
            dry_run: event.dry_run,
            ..Self::now(at)
        })
    }

    /// Returns the effective time of the run on a portal.
    fn moment(&self, policy: &Policy) -> Timestamp {
        self.as_of
            .and_then(|day| policy.noon_of(day))
            .unwrap_or(self.at)
    }
}

/// The counts of a run or a dry run. They identify nobody, so they can be logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Actions on accounts, by kind.
    pub done: BTreeMap<ScheduledAction, u64>,
    /// Organizations whose administrators were notified of changes to their users.
    pub told: u64,
    /// Organizations that were reminded to add a backup administrator.
    pub backups_wanted: u64,
    /// Access reviews started.
    pub reviews_started: u64,
    /// Reminders sent to managers about unfinished access reviews.
    pub reviews_chased: u64,
    /// Accounts read.
    pub accounts_read: u64,
    /// Follow-ups of organizations read.
    pub alarms_read: u64,
    /// Accounts and organizations that had changed at the same time and were read again.
    pub overtaken: u64,
    /// Accounts whose due day in the index was corrected after a policy change.
    pub moved: u64,
    /// Accounts, follow-ups and pages that failed; the next run retries them.
    pub failed: u64,
    /// Whether the run ran out of time.
    pub unfinished: bool,
}

impl Summary {
    /// Returns how many actions of this kind were done.
    pub fn count(&self, what: ScheduledAction) -> u64 {
        self.done.get(&what).copied().unwrap_or(0)
    }

    fn add(&mut self, other: Self) {
        for (what, n) in other.done {
            *self.done.entry(what).or_default() += n;
        }
        self.told += other.told;
        self.backups_wanted += other.backups_wanted;
        self.reviews_started += other.reviews_started;
        self.reviews_chased += other.reviews_chased;
        self.accounts_read += other.accounts_read;
        self.alarms_read += other.alarms_read;
        self.overtaken += other.overtaken;
        self.moved += other.moved;
        self.failed += other.failed;
        self.unfinished |= other.unfinished;
    }
}

/// What a dry run reports about one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    pub portal: String,
    pub account: String,
    pub username: String,
    /// The action that would be taken.
    pub action: ScheduledAction,
    /// The day on which it became due.
    pub due_on: Date,
    /// The day that the action is about. For a warning, the day of what it warns about.
    pub about: Date,
    /// Why the action is due.
    pub because: String,
}

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    #[serde(flatten)]
    pub summary: Summary,
    /// For a dry run, the first [`MAX_PREVIEWS`] actions that would be taken; the counts include
    /// all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub previews: Vec<Preview>,
}

/// The maximum number of previews, so that they fit in Lambda's response.
pub const MAX_PREVIEWS: usize = 10_000;

impl Swept {
    fn add(&mut self, other: Self) {
        self.summary.add(other.summary);
        let room = MAX_PREVIEWS.saturating_sub(self.previews.len());
        self.previews.extend(other.previews.into_iter().take(room));
    }
}

/// Corrects the due day of every account after a policy change, and schedules access reviews for
/// organizations that had none. It reads all accounts; run it once after such a change.
pub async fn reindex(app: &App, until: Option<Timestamp>) -> Summary {
    let mut summary = Summary::default();
    let mut start = None;
    loop {
        if until.is_some_and(|end| app.clock.now() >= end) {
            summary.unfinished = true;
            break;
        }
        let page = match app.store.misplaced(start).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "failed to read accounts");
                summary.failed += 1;
                break;
            }
        };
        summary.accounts_read += page.looked_at;
        for organization in page.reviewed {
            let today = match app.portals.get(organization.portal.as_str()) {
                Ok(Some(policy)) => policy.today(app.clock.now()),
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%error, "skipped the organizations of a portal");
                    summary.failed += 1;
                    continue;
                }
            };
            match app.store.watch_reviews(&organization, today).await {
                Ok(is_new) => summary.moved += u64::from(is_new),
                Err(error) => {
                    tracing::error!(organization = %organization.id, %error, "failed to schedule a follow-up");
                    summary.failed += 1;
                }
            }
        }
        for account in page.accounts {
            match app.store.reschedule(&account).await {
                Ok(()) => summary.moved += 1,
                Err(error) => {
                    tracing::error!(account = %account.id, %error, "failed to update the due day of an account");
                    summary.failed += 1;
                }
            }
        }
        match page.next {
            Some(next) => start = Some(next),
            None => break,
        }
    }
    let Summary {
        accounts_read,
        moved,
        failed,
        unfinished,
        ..
    } = summary;
    tracing::info!(accounts_read, moved, failed, unfinished, "reindexed");
    summary
}

/// How many accounts or follow-ups of a shard are processed at the same time.
const AT_A_TIME: usize = 8;

/// The maximum number of actions and reads per account in one run. Each action moves the due day
/// beyond today, so this is reached only if the account keeps changing.
const MAX_ROUNDS: usize = 12;

/// Performs everything that is due on all portals and logs the counts.
pub async fn sweep(app: &App, run: &Run) -> Swept {
    let mut swept = Swept::default();
    for (portal, policy) in app.portals.each() {
        let policy = match policy {
            Ok(policy) => policy,
            Err(error) => {
                tracing::error!(%portal, %error, "skipped a portal");
                swept.summary.failed += 1;
                continue;
            }
        };
        for queue in Queue::ALL {
            let shards = (0..SHARDS).map(|shard| shard_of(app, run, policy, queue, shard));
            for part in join_all(shards).await {
                swept.add(part);
            }
        }
    }
    log(&swept.summary, run.dry_run);
    swept
}

/// Logs the line that the alarms and the dashboard evaluate.
fn log(s: &Summary, dry_run: bool) {
    tracing::info!(
        dry_run,
        disabled = s.count(ScheduledAction::Disable),
        deleted = s.count(ScheduledAction::Delete),
        ended = s.count(ScheduledAction::EndAccess),
        warned =
            s.count(ScheduledAction::WarnOfDisabling) + s.count(ScheduledAction::WarnOfDeletion),
        passwords = s.count(ScheduledAction::PasswordNotice),
        letters = s.count(ScheduledAction::LetterNotice),
        campaigns =
            s.count(ScheduledAction::CampaignNotice) + s.count(ScheduledAction::UsernameNotice),
        told = s.told,
        backups_wanted = s.backups_wanted,
        reviews_started = s.reviews_started,
        reviews_chased = s.reviews_chased,
        accounts_read = s.accounts_read,
        alarms_read = s.alarms_read,
        overtaken = s.overtaken,
        moved = s.moved,
        failed = s.failed,
        unfinished = s.unfinished,
        "swept"
    );
}

async fn shard_of(app: &App, run: &Run, policy: &Policy, queue: Queue, shard: u8) -> Swept {
    let mut swept = Swept::default();
    let today = policy.today(run.moment(policy));
    let mut start = None;
    loop {
        if run.until.is_some_and(|end| app.clock.now() >= end) {
            swept.summary.unfinished = true;
            return swept;
        }
        let page = app
            .store
            .due((&policy.portal, queue, shard), today, start)
            .await;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(portal = %policy.portal, %error, "failed to read what is due");
                swept.summary.failed += 1;
                return swept;
            }
        };
        swept.add(page_of(app, run, policy, page.entries).await);
        match page.next {
            Some(next) => start = Some(next),
            None => return swept,
        }
    }
}

async fn page_of(app: &App, run: &Run, policy: &Policy, entries: Vec<Option<Entry>>) -> Swept {
    let mut swept = Swept::default();
    let (mut ids, mut follow_ups) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Some(Entry::Account(id)) => ids.push(id),
            Some(Entry::FollowUp(organization, kind)) => follow_ups.push((organization, kind)),
            None => swept.summary.failed += 1,
        }
    }
    let accounts = match app.store.accounts(&policy.portal, &ids).await {
        Ok(accounts) => accounts,
        Err(error) => {
            tracing::error!(portal = %policy.portal, %error, "failed to read accounts");
            swept.summary.failed += ids.len() as u64;
            return swept;
        }
    };
    let of_accounts = stream::iter(accounts)
        .map(|account| one_account(app, run, policy, account))
        .buffer_unordered(AT_A_TIME);
    let parts: Vec<_> = of_accounts.collect().await;
    parts.into_iter().for_each(|part| swept.add(part));
    if !run.dry_run {
        let of_alarms = stream::iter(follow_ups)
            .map(|(organization, kind)| one_alarm(app, run, policy, organization, kind))
            .buffer_unordered(AT_A_TIME);
        let parts: Vec<_> = of_alarms.collect().await;
        parts.into_iter().for_each(|part| swept.summary.add(part));
    }
    swept
}

/// Performs everything that is due for an account. A failure is counted and doesn't stop the
/// others.
async fn one_account(
    app: &App,
    run: &Run,
    policy: &Policy,
    account: Result<Account, Unavailable>,
) -> Swept {
    let mut swept = Swept::default();
    swept.summary.accounts_read = 1;
    let done = match account {
        Ok(account) => all_that_is_due(app, run, policy, account, &mut swept).await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::error!(portal = %policy.portal, %error, "failed to process an account");
        swept.summary.failed = 1;
    }
    swept
}

async fn all_that_is_due(
    app: &App,
    run: &Run,
    policy: &Policy,
    account: Account,
    swept: &mut Swept,
) -> Result<(), Unavailable> {
    let mut rng = app.rng();
    let origin = origin(run, policy);
    let mut account = account;
    for round in 0..MAX_ROUNDS {
        let Some(act) = schedule::apply(&account, policy, &origin, &mut rng) else {
            if round == 0 && !run.dry_run {
                // The index entry was outdated: a policy change moved the due day.
                app.store.reschedule(&account).await?;
                swept.summary.moved = 1;
            }
            return Ok(());
        };
        if run.dry_run {
            swept.previews.push(preview(&account, policy, act.due));
        } else {
            match app.store.commit(act.decision, &mut rng).await {
                Ok(()) => {}
                Err(CommitError::Stale) => {
                    swept.summary.overtaken += 1;
                    swept.summary.accounts_read += 1;
                    match app.store.account(&policy.portal, &account.id).await? {
                        Some(now) => account = now,
                        None => return Ok(()),
                    }
                    continue;
                }
                Err(CommitError::Unavailable(error)) => return Err(error),
                // None of these actions claims a unique value.
                Err(CommitError::Taken(_)) => return Ok(()),
            }
        }
        *swept.summary.done.entry(act.due.action).or_default() += 1;
        account = act.after;
    }
    Ok(())
}

fn origin(run: &Run, policy: &Policy) -> Origin {
    Origin {
        portal: policy.portal.clone(),
        at: run.moment(policy),
        source: None,
    }
}

fn preview(account: &Account, policy: &Policy, due: Due) -> Preview {
    let idle = || {
        let day = schedule::idle_since(account, policy);
        match account.last_sign_in_at {
            Some(_) => format!("no sign-in since {day}"),
            None => format!("no sign-in since the account was created on {day}"),
        }
    };
    let because = match due.action {
        ScheduledAction::Disable | ScheduledAction::WarnOfDisabling => idle(),
        ScheduledAction::Delete | ScheduledAction::WarnOfDeletion => {
            format!("disabled, and {}", idle())
        }
        ScheduledAction::EndAccess => format!("the last day of access was {}", due.about),
        ScheduledAction::PasswordNotice => format!("the password expires on {}", due.about),
        ScheduledAction::LetterNotice => format!("the letter should have arrived by {}", due.about),
        ScheduledAction::CampaignNotice => format!("must register again by {}", due.about),
        ScheduledAction::UsernameNotice => format!("the username is released on {}", due.about),
    };
    Preview {
        portal: policy.portal.to_string(),
        account: account.id.to_string(),
        username: account.username.to_string(),
        action: due.action,
        due_on: due.on,
        about: due.about,
        because,
    }
}

/// Performs the follow-up of an organization. A failure is counted and doesn't stop the others.
async fn one_alarm(
    app: &App,
    run: &Run,
    policy: &Policy,
    organization: OrganizationId,
    kind: FollowUpKind,
) -> Summary {
    let mut summary = Summary::default();
    if let Err(error) = answered(app, run, policy, &organization, kind, &mut summary).await {
        tracing::error!(portal = %policy.portal, organization = %organization, %error, "failed to process a follow-up");
        summary.failed = 1;
    }
    summary
}

async fn answered(
    app: &App,
    run: &Run,
    policy: &Policy,
    organization: &OrganizationId,
    kind: FollowUpKind,
    summary: &mut Summary,
) -> Result<(), Unavailable> {
    let mut rng = app.rng();
    let origin = origin(run, policy);
    let today = policy.today(origin.at);
    for _ in 0..MAX_ROUNDS {
        summary.alarms_read += 1;
        let state = app
            .store
            .alarm_state(&policy.portal, organization, kind)
            .await?;
        let (Some(follow_up), Some(organization)) = (state.follow_up, state.organization) else {
            return Ok(());
        };
        if follow_up.on > today {
            return Ok(());
        }
        let decision = match kind {
            FollowUpKind::AdminNotice => schedule::notify_administrators(
                &follow_up,
                &organization,
                &state.managers,
                &state.notices_due,
                policy,
                &origin,
                &mut rng,
            ),
            FollowUpKind::Backup => schedule::remind_of_backup(
                &follow_up,
                &organization,
                &state.managers,
                policy,
                &origin,
                &mut rng,
            ),
            FollowUpKind::Review => {
                let users = state.users.iter();
                let people: Vec<_> = users.map(|u| (u.reviewed(), u.name.full())).collect();
                review::see_to(
                    &follow_up,
                    &organization,
                    &state.managers,
                    &people,
                    policy,
                    &origin,
                    &mut rng,
                )
            }
        };
        let sends = !decision.messages.is_empty();
        let starts = decision.audit.action == Action::StartAccessReview;
        // There may be more notices than one email holds.
        let told_all = state.notices_due.len() <= schedule::MAX_NOTIFIED;
        match app.store.commit(decision, &mut rng).await {
            Ok(()) if kind == FollowUpKind::Backup => {
                summary.backups_wanted += u64::from(sends);
                return Ok(());
            }
            Ok(()) if kind == FollowUpKind::Review => {
                summary.reviews_started += u64::from(starts);
                summary.reviews_chased += u64::from(sends && !starts);
                return Ok(());
            }
            Ok(()) => {
                summary.told += u64::from(sends);
                if told_all {
                    return Ok(());
                }
            }
            Err(CommitError::Stale | CommitError::Taken(_)) => summary.overtaken += 1,
            Err(CommitError::Unavailable(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Result<Event, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn an_event_is_a_run_or_a_dry_run_and_nothing_else() {
        let at = Timestamp::UNIX_EPOCH;
        let run = Run::of(event("{}").unwrap(), at).unwrap();
        assert!(!run.dry_run && run.as_of.is_none());
        let dry = event(r#"{"dry_run": true, "as_of": "2027-05-22"}"#).unwrap();
        let dry = Run::of(dry, at).unwrap();
        assert_eq!(
            (dry.dry_run, dry.as_of),
            (true, Some(Date::constant(2027, 5, 22)))
        );
        assert!(Run::of(event(r#"{"as_of": "2027-05-22"}"#).unwrap(), at).is_err());
        for wrong in [r#"{"dryrun": true}"#, r#"{"as_of": "tomorrow"}"#, "[]"] {
            assert!(event(wrong).is_err(), "{wrong}");
        }
    }
}
