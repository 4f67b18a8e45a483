//! Performs scheduled actions: warns about, disables and deletes idle accounts (BA-01 to BA-03,
//! BA-10, UX-02), sends notices about expiring passwords, overdue letters and campaigns (UX-02,
//! ME-08, AG-13, ME-10), reminds organizations of missing backup administrators (AG-04), and starts
//! and follows up on access reviews (EX-11). The rules for what is due and what is then done are in
//! [`vestibule_domain::rules::schedule`]; this crate finds what is due and applies it.
//!
//! A run reads only what the index lists as due. Each account is read again and decided on its own,
//! in a transaction that succeeds only if the account hasn't changed since: a sign-in at the same
//! time wins. Whatever a run can't finish is due again in the next one, and concurrent runs do
//! everything once.

mod accounts;
mod follow_ups;
mod reindex;
mod sweep;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::schedule::ScheduledAction;
use vestibule_domain::state::audit::Origin;

pub use reindex::reindex;
pub use sweep::sweep;

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

    /// Returns the origin of the changes that the run makes on a portal.
    fn origin(&self, policy: &Policy) -> Origin {
        Origin {
            portal: policy.portal.clone(),
            at: self.moment(policy),
            source: None,
        }
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
    pub notices_sent: u64,
    /// Organizations that were reminded to add a backup administrator.
    pub backups_wanted: u64,
    /// Access reviews started.
    pub reviews_started: u64,
    /// Reminders sent to managers about unfinished access reviews.
    pub reviews_chased: u64,
    /// Accounts read.
    pub accounts_read: u64,
    /// Follow-ups of organizations read.
    pub follow_ups_read: u64,
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
        self.notices_sent += other.notices_sent;
        self.backups_wanted += other.backups_wanted;
        self.reviews_started += other.reviews_started;
        self.reviews_chased += other.reviews_chased;
        self.accounts_read += other.accounts_read;
        self.follow_ups_read += other.follow_ups_read;
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

/// The maximum number of actions and reads per account in one run. Each action moves the due day
/// beyond today, so this is reached only if the account keeps changing. Not `transact`, because one account
/// can have several actions due, each with its own decision.
const MAX_ROUNDS: usize = 12;

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
