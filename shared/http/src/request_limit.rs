//! Limits requests that compare no secret: emails, letters, feedback, new users. Attempts at secrets go through
//! [`secret_check`](crate::secret_check).

use futures::future;
use vestibule_domain::policy::RateLimit;
use vestibule_store::attempts::AttemptKind;

use crate::rate_limit::{exhausted, limits, subject_of};
use crate::secret_check::{Counter, Described, Scene};
use crate::{App, Problem};

/// Counts a request under all counters. If one is exhausted, records the refusal on the audit trail (SE-10) and
/// returns `false`.
///
/// # Errors
/// A problem when the request can't be counted or recorded.
pub async fn count(
    app: &App,
    counters: &[Counter],
    described: &Described,
    (_, origin): Scene<'_>,
) -> Result<bool, Problem> {
    let counting = counters.iter().map(|counter| {
        let (kind, subject, limit) = (counter.kind, &counter.subject, counter.limit);
        app.store.count_attempt(kind, subject, limit, origin.at)
    });
    let counted = future::try_join_all(counting).await?;
    if counted.iter().any(|c| c.allowed.is_none()) {
        described.refuse(app, origin, "too_many_attempts").await?;
        return Ok(false);
    }
    Ok(true)
}

/// Counts one request of `step` for its subject and its source.
///
/// # Errors
/// A problem when either limit is exceeded.
pub async fn count_step(
    app: &App,
    (kind, step, subject): (AttemptKind, &str, &str),
    limit: &RateLimit,
    described: &Described,
    scene: Scene<'_>,
) -> Result<(), Problem> {
    let (policy, _) = scene;
    let of_subject = Counter {
        kind,
        subject: subject_of(step, policy, subject),
        limit: limits(limit).0,
    };
    let counters = [of_subject, Counter::source(step, limit, scene)];
    match count(app, &counters, described, scene).await? {
        true => Ok(()),
        false => Err(exhausted(limit, policy)),
    }
}
