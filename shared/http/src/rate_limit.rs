//! Counters of attempts and requests, with the limits of the policy, for [`secret_check`](crate::secret_check) and
//! [`request_limit`](crate::request_limit).

use futures::future;
use jiff::Timestamp;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{PinPolicy, Policy, RateLimit};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::state::membership::Issue;
use vestibule_domain::state::record::RecordKey;
use vestibule_domain::values::ids::AccountId;
use vestibule_store::StoreError;
use vestibule_store::attempts::{Attempt, AttemptKind, Limit, MINUTES_PER_DAY, Window};

use crate::{App, Problem, Source};

/// Returns the limit per subject and the limit per source.
pub const fn limits(policy: &RateLimit) -> (Limit, Limit) {
    let window = Window::Minutes(policy.window_minutes.get());
    (
        Limit {
            max_attempts: policy.max_attempts.get(),
            window,
        },
        Limit {
            max_attempts: policy.max_attempts_per_source.get(),
            window,
        },
    )
}

/// The maximum number of attempts at the verification of one plan record in its whole life, on all portals
/// (SE-09): an attacker guesses four digits with a probability of 1 %. The help desk can clear the count.
pub const MAX_ATTEMPTS_PER_RECORD: u32 = 100;

/// The reason of an attempt over a limit, on the audit trail.
pub(crate) const TOO_MANY_ATTEMPTS: &str = "too_many_attempts";

/// The portal's policy and the origin of the request.
pub type Scene<'a> = (&'a Policy, &'a Origin);

/// A counter that an attempt increments before anything is compared.
#[derive(Debug, Clone)]
pub struct Counter {
    pub kind: AttemptKind,
    pub subject: String,
    pub limit: Limit,
}

impl Counter {
    /// Counts attempts of `step` from the source of a request.
    pub fn source(step: &str, limit: &RateLimit, (policy, origin): Scene<'_>) -> Self {
        Self {
            kind: AttemptKind::Source,
            subject: format!("{step}/{}/{}", policy.portal, Source::of(origin)),
            limit: limits(limit).1,
        }
    }

    /// Counts attempts at the password of a username from one device. It replaces the counter of the
    /// username if the account knows the device, so that strangers cannot lock the owner out (SE-05, OWASP
    /// Authentication Cheat Sheet: device cookies).
    pub fn device(username_key: &str, digest: &str, policy: &Policy) -> Self {
        Self {
            kind: AttemptKind::Device,
            subject: format!("{}/{username_key}/{digest}", policy.portal),
            limit: limits(&policy.rate_limits.sign_in).0,
        }
    }

    /// Counts attempts at the verification of a plan record, whose last four digits are soon guessed, on all
    /// portals together (SE-09).
    pub(crate) fn record(record: &RecordKey) -> Self {
        Self {
            kind: AttemptKind::Record,
            subject: record_subject(record),
            limit: Limit {
                max_attempts: MAX_ATTEMPTS_PER_RECORD,
                window: Window::Lifetime,
            },
        }
    }

    /// Counts attempts at the password of a username, wherever it is entered.
    pub fn password(username_key: &str, policy: &Policy) -> Self {
        Self {
            kind: AttemptKind::Password,
            subject: format!("{}/{username_key}", policy.portal),
            limit: limits(&policy.rate_limits.sign_in).0,
        }
    }

    /// Counts attempts at the second factor of an account, as many as at its password, but for a day: an
    /// attacker who knows the password guesses a code of six digits, of which three are valid at a time,
    /// with a probability of 1 % a year (NIST SP 800-63B-4, 3.2.2).
    pub fn second_factor(account: &AccountId, policy: &Policy) -> Self {
        Self {
            kind: AttemptKind::SecondFactor,
            subject: format!("{}/{account}", policy.portal),
            limit: Limit::daily(policy.rate_limits.sign_in.max_attempts.get()),
        }
    }

    /// Counts attempts at the PIN of a letter, which is locked after as many as the policy says.
    pub fn pin(issue: &Issue, rules: &PinPolicy) -> Self {
        Self {
            kind: AttemptKind::Pin,
            subject: issue.id.to_string(),
            limit: Limit {
                max_attempts: rules.max_attempts.get(),
                window: Window::Until(issue.expires_at),
            },
        }
    }

    /// Counts attempts of `step` at a subject on one portal.
    pub fn step(
        (kind, step): (AttemptKind, &str),
        subject: &str,
        limit: &RateLimit,
        policy: &Policy,
    ) -> Self {
        Self {
            kind,
            subject: format!("{step}/{}/{subject}", policy.portal),
            limit: limits(limit).0,
        }
    }

    /// Returns its current key, for a decision to clear it.
    pub(crate) fn key(&self, app: &App, now: Timestamp) -> AttemptKey {
        let Self {
            kind,
            subject,
            limit,
        } = self;
        app.store.attempts_of(*kind, subject, *limit, now)
    }

    /// Counts one attempt.
    pub(crate) async fn count(&self, app: &App, now: Timestamp) -> Result<Attempt, StoreError> {
        let Self {
            kind,
            subject,
            limit,
        } = self;
        app.store.count_attempt(*kind, subject, *limit, now).await
    }
}

/// Returns what counts attempts at a plan record. A family shares the number of its record.
pub(crate) fn record_subject(record: &RecordKey) -> String {
    format!(
        "{}/{}/{}",
        record.plan,
        record.kind.into_str(),
        record.number
    )
}

/// Returns the counter of all attempts at the verification of a plan record, for a decision to clear.
pub fn of_record(app: &App, record: &RecordKey, now: Timestamp) -> AttemptKey {
    Counter::record(record).key(app, now)
}

/// Counts one attempt under all counters at once. Returns what each counted, and the kind of the first one that
/// is exhausted.
pub(crate) async fn count_all(
    app: &App,
    counters: &[Counter],
    now: Timestamp,
) -> Result<(Vec<Attempt>, Option<AttemptKind>), StoreError> {
    let counting = counters.iter().map(|counter| counter.count(app, now));
    let counted = future::try_join_all(counting).await?;
    let mut each = counters.iter().zip(&counted);
    let exhausted = each.find_map(|(c, counted)| counted.allowed.is_none().then_some(c.kind));
    Ok((counted, exhausted))
}

/// Returns a sentence that says how many attempts are left, unless that was the last one.
pub fn attempts_left(left: u32) -> Option<String> {
    match left {
        0 => None,
        1 => Some("You have 1 attempt left.".to_owned()),
        n => Some(format!("You have {n} attempts left.")),
    }
}

/// The step that sets the new password.
pub const RESET: &str = "reset";

/// Returns the counter of attempts at the second factor of an account, for a decision to clear.
pub fn of_second_factor(
    app: &App,
    account: &AccountId,
    policy: &Policy,
    now: Timestamp,
) -> AttemptKey {
    Counter::second_factor(account, policy).key(app, now)
}

/// Returns the counters that can block the owner of an account from signing in or resetting the password.
/// Counters of sources are not included, because they do not belong to the account. A locked PIN or code
/// must be reissued.
pub fn of_account(
    app: &App,
    account: &Account,
    policy: &Policy,
    now: Timestamp,
) -> Vec<AttemptKey> {
    let name = account.username.key();
    let limit = &policy.rate_limits.sign_in;
    let recovery =
        |step, subject| Counter::step((AttemptKind::Recovery, step), subject, limit, policy);
    let others = [
        Counter::password(&name, policy),
        Counter::second_factor(&account.id, policy),
        recovery(RESET, &name),
        recovery(RESET, account.id.as_str()),
    ];
    let digests = account.devices.keys();
    let devices = digests.map(|digest| Counter::device(&name, digest, policy));
    let all = others.into_iter().chain(devices);
    all.map(|counter| counter.key(app, now)).collect()
}

/// Returns the problem for an exceeded limit.
pub fn exhausted(limit: &RateLimit, policy: &Policy) -> Problem {
    let detail = format!(
        "There were too many attempts. Try again in {} minutes.",
        limit.window_minutes.get()
    );
    Problem::too_many_attempts(detail, limit.window_minutes.get(), policy)
}

/// Returns the problem for the limit of a plan record, which only the help desk can clear (SE-09).
pub(crate) fn record_exhausted(policy: &Policy) -> Problem {
    let desk = &policy.help_desk;
    let detail = format!(
        "There were too many attempts with this number. Call {} at {} ({}) to continue.",
        desk.name, desk.phone, desk.hours
    );
    Problem::too_many_attempts(detail, MINUTES_PER_DAY, policy)
}
