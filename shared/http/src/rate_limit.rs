//! The limits of the policy and the subjects they count, for [`secret_check`](crate::secret_check) and
//! [`request_limit`](crate::request_limit).

use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{Policy, RateLimit};
use vestibule_domain::state::account::Account;
use vestibule_store::attempts::{AttemptKind, Limit, Window};

use crate::{App, Problem};

/// Returns the limit per subject and the limit per source.
pub const fn limits(policy: &RateLimit) -> (Limit, Limit) {
    let window = Window::Minutes(policy.window_minutes.get());
    (
        Limit {
            tries: policy.max_attempts.get(),
            window,
        },
        Limit {
            tries: policy.max_attempts_per_source.get(),
            window,
        },
    )
}

/// Returns the subject under which attempts at a username's password are counted.
pub fn password_of(policy: &Policy, username_key: &str) -> String {
    format!("{}/{username_key}", policy.portal)
}

/// Returns the subject under which attempts at a username's password from one device are counted.
pub fn device_of(policy: &Policy, username_key: &str, digest: &str) -> String {
    format!("{}/{username_key}/{digest}", policy.portal)
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
    let devices = account.devices.keys().map(|digest| {
        let subject = device_of(policy, &name, digest);
        app.store
            .attempts_of(AttemptKind::Device, &subject, limit, now)
    });
    let others = [
        app.store.attempts_of(
            AttemptKind::Password,
            &password_of(policy, &name),
            limit,
            now,
        ),
        recovery(ASK_RESET, &name),
        recovery(RESET, &name),
        recovery(RESET, account.id.as_str()),
    ];
    others.into_iter().chain(devices).collect()
}

/// Returns the problem for an exceeded limit.
pub fn exhausted(limit: &RateLimit, policy: &Policy) -> Problem {
    let detail = format!(
        "There were too many attempts. Try again in {} minutes.",
        limit.window_minutes.get()
    );
    Problem::too_many_attempts(detail, limit.window_minutes.get(), policy)
}
