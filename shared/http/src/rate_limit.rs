//! Limits attempts, for their subject and their source. Attempts at secrets go through
//! [`secret_check`](crate::secret_check), which uses these limits.

use futures::future;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{Policy, RateLimit};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Origin;
use vestibule_store::attempts::{AttemptKind, Limit};

use crate::{App, Problem, Source};

/// Returns the limit per subject and the limit per source.
pub const fn limits(policy: &RateLimit) -> (Limit, Limit) {
    let window_minutes = Some(policy.window_minutes.get());
    (
        Limit {
            tries: policy.max_attempts.get(),
            window_minutes,
        },
        Limit {
            tries: policy.max_attempts_per_source.get(),
            window_minutes,
        },
    )
}

/// Returns the subject under which attempts at a username's password are counted.
pub fn password_of(policy: &Policy, username_key: &str) -> String {
    format!("{}/{username_key}", policy.portal)
}

/// The step that requests a password reset.
pub const ASK_RESET: &str = "ask-reset";
/// The step that sets the new password.
pub const RESET: &str = "reset";

/// Returns the subject of a counter: attempts of one step on one portal.
pub fn subject_of(step: &str, policy: &Policy, subject: &str) -> String {
    format!("{step}/{}/{subject}", policy.portal)
}

/// Returns the counters that can block the owner of an account from signing in or resetting the password.
/// Counters of sources are not included, because they do not belong to the account. A locked PIN or code
/// must be reissued.
pub fn of_account(
    app: &App,
    account: &Account,
    policy: &Policy,
    now: jiff::Timestamp,
) -> Vec<AttemptKey> {
    let name = account.username.key();
    let (limit, _) = limits(&policy.rate_limits.sign_in);
    let recovery = |step, subject| {
        let subject = subject_of(step, policy, subject);
        app.store
            .attempts_of(AttemptKind::Recovery, &subject, limit, now)
    };
    vec![
        app.store.attempts_of(
            AttemptKind::Password,
            &password_of(policy, &name),
            limit,
            now,
        ),
        recovery(ASK_RESET, &name),
        recovery(RESET, &name),
        recovery(RESET, account.id.as_str()),
    ]
}

/// Counts one attempt at `subject` in `step`, for the subject and for the source. Returns the subject's
/// counter, which a successful attempt clears.
///
/// # Errors
/// A problem when either limit is exceeded.
pub async fn count(
    app: &App,
    (guess, step, subject): (AttemptKind, &str, &str),
    limit: &RateLimit,
    origin: &Origin,
    policy: &Policy,
) -> Result<AttemptKey, Problem> {
    let subject = subject_of(step, policy, subject);
    let source = format!("{step}/{}/{}", policy.portal, Source::of(origin));
    let (a_subject, a_source) = limits(limit);
    let (of_subject, of_source) = future::try_join(
        app.store
            .count_attempt(guess, &subject, a_subject, origin.at),
        app.store
            .count_attempt(AttemptKind::Source, &source, a_source, origin.at),
    )
    .await?;
    if of_subject.allowed.is_none() || of_source.allowed.is_none() {
        return Err(exhausted(limit, policy));
    }
    Ok(of_subject.key)
}

/// Returns the problem for an exceeded limit.
pub fn exhausted(limit: &RateLimit, policy: &Policy) -> Problem {
    let detail = format!(
        "There were too many attempts. Try again in {} minutes.",
        limit.window_minutes.get()
    );
    Problem::too_many_attempts(detail, limit.window_minutes.get(), policy)
}
