//! Assigns usernames, including those that a campaign released (ME-10).

use vestibule_domain::rules::context::Context;
use vestibule_domain::text::Username;
use vestibule_domain::{Decision, campaign};
use vestibule_store::{CommitError, Unique};

use crate::App;

/// How many times a username is tried when another write conflicts with it.
const MAX_ATTEMPTS: usize = 3;

/// Commits a decision that takes a username. If a campaign released the name and its owner has not
/// confirmed it, the name is first removed from the owner in a separate transaction. If several people
/// choose the name at the same time, one gets it.
///
/// # Errors
/// The errors of [`vestibule_store::Store::commit`]; [`Unique::Username`] if the name is taken.
pub async fn commit(
    app: &App,
    decision: Decision,
    name: &Username,
    context: Context<'_>,
) -> Result<(), CommitError> {
    let Context {
        policy,
        origin,
        mut rng,
    } = context;
    if !campaign::releases_usernames(policy, policy.today(origin.at)) {
        return app.commit(decision, &mut rng).await;
    }
    for _ in 0..MAX_ATTEMPTS {
        match app.commit(decision.clone(), &mut rng).await {
            Err(CommitError::Taken(Unique::Username)) => {}
            other => return other,
        }
        let key = name.key();
        let holder = app.store.account_by_username(&policy.portal, &key).await?;
        // The name was given up at the same time. Try again.
        let Some(holder) = holder else { continue };
        let release = campaign::release_username(&holder, Context::new(policy, origin, rng));
        let Some(release) = release else { break };
        match app.commit(release, &mut rng).await {
            // The owner signed in or confirmed the name, or another request was first. Try again.
            Ok(()) | Err(CommitError::Stale | CommitError::Taken(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Err(CommitError::Taken(Unique::Username))
}
