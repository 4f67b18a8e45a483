//! Limits requests that compare no secret: emails, letters, feedback, new users. Attempts at secrets go through
//! [`secret_check`](crate::secret_check).

use vestibule_domain::policy::RateLimit;
use vestibule_store::attempts::AttemptKind;

use crate::rate_limit::{Counter, Scene, TOO_MANY_ATTEMPTS, count_all, exhausted};
use crate::secret_check::Described;
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
    let (_, exhausted) = count_all(app, counters, origin.at).await?;
    if exhausted.is_some() {
        described.refuse(app, origin, TOO_MANY_ATTEMPTS).await?;
        return Ok(false);
    }
    Ok(true)
}

/// Counts one request of `step` for its source only, because anyone can make it for the subject of another (SE-05).
///
/// # Errors
/// A problem when the limit is exceeded.
pub async fn count_source(
    app: &App,
    step: &str,
    limit: &RateLimit,
    described: &Described,
    scene: Scene<'_>,
) -> Result<(), Problem> {
    let (policy, _) = scene;
    match count(
        app,
        &[Counter::source(step, limit, scene)],
        described,
        scene,
    )
    .await?
    {
        true => Ok(()),
        false => Err(exhausted(limit, policy)),
    }
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
    let of_subject = Counter::step((kind, step), subject, limit, policy);
    let counters = [of_subject, Counter::source(step, limit, scene)];
    match count(app, &counters, described, scene).await? {
        true => Ok(()),
        false => Err(exhausted(limit, policy)),
    }
}
