//! How a verb changes something: load, decide, commit, and again if what was loaded changed.

use rand::rngs::StdRng;
use vestibule_domain::Decision;
use vestibule_store::{CommitError, Unique};

use crate::{App, Problem, credentials, mail_limit};

/// The maximum number of attempts when other changes conflict.
pub const MAX_ATTEMPTS: u32 = 3;

/// An attempt to load, decide and commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub is_first: bool,
    /// Whether another account had the id that an earlier attempt chose for a new account.
    pub is_account_id_taken: bool,
}

/// Loads a state, decides on it and commits the decision. On a conflict it loads and decides again, so
/// that of two simultaneous requests the second decides on the result of the first. Returns the state
/// and the outcome.
///
/// `decide` returns an outcome and the decision, if there is anything to write.
///
/// # Errors
/// Those of `load` and `decide`; a problem for a username or email address that is already taken;
/// [`Problem::conflict`] if every attempt conflicted.
pub async fn transact<S, T, L, D>(
    app: &App,
    load: impl FnMut(Attempt) -> L,
    decide: impl FnMut(&S, &mut StdRng) -> Result<(T, D), Problem>,
) -> Result<(S, T), Problem>
where
    L: Future<Output = Result<S, Problem>>,
    D: Into<Option<Decision>>,
{
    try_transact(app, load, decide)
        .await?
        .map_err(|unique| credentials::taken(unique).unwrap_or_else(Problem::conflict))
}

/// Does the same as [`transact`], and returns the username or email address that is already taken as
/// the inner error.
///
/// # Errors
/// Those of [`transact`].
pub async fn try_transact<S, T, L, D>(
    app: &App,
    mut load: impl FnMut(Attempt) -> L,
    mut decide: impl FnMut(&S, &mut StdRng) -> Result<(T, D), Problem>,
) -> Result<Result<(S, T), Unique>, Problem>
where
    L: Future<Output = Result<S, Problem>>,
    D: Into<Option<Decision>>,
{
    let mut rng = app.rng();
    let mut attempt = Attempt {
        is_first: true,
        is_account_id_taken: false,
    };
    for _ in 0..MAX_ATTEMPTS {
        let state = load(attempt).await?;
        let (outcome, decision) = decide(&state, &mut rng)?;
        let committed = match decision.into() {
            Some(decision) => {
                // Counted once, even if the decision is repeated.
                if attempt.is_first {
                    mail_limit::check(app, &decision).await?;
                }
                app.commit(decision, &mut rng).await
            }
            None => Ok(()),
        };
        match committed {
            Ok(()) => return Ok(Ok((state, outcome))),
            // Another registration with the record was committed first.
            Err(CommitError::Stale | CommitError::Taken(Unique::Record)) => {}
            Err(CommitError::Taken(Unique::AccountId)) => attempt.is_account_id_taken = true,
            Err(CommitError::Taken(unique)) => return Ok(Err(unique)),
            Err(CommitError::Store(cause)) => return Err(cause.into()),
        }
        attempt.is_first = false;
    }
    Err(Problem::conflict())
}
