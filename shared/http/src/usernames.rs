//! Taking usernames, those that a campaign has released too (ME-10).

use rand::rngs::StdRng;
use vestibule_domain::audit::Origin;
use vestibule_domain::policy::Policy;
use vestibule_domain::text::Username;
use vestibule_domain::{Decision, campaign};
use vestibule_store::{CommitError, Unique};

use crate::App;

/// How often a name is looked at that others act on at the same moment.
const LOOKS: usize = 3;

/// Commits a decision that takes a username. Where a campaign has released the name and its owner has
/// not chosen it again, it is taken from them first, in a transaction of its own: whoever comes next
/// finds it free, and of several who choose it at once one gets it.
///
/// # Errors
/// As the store's own commit: [`Unique::Username`] where the name is somebody's.
pub async fn commit(
    app: &App,
    decision: Decision,
    name: &Username,
    policy: &Policy,
    origin: &Origin,
    rng: &mut StdRng,
) -> Result<(), CommitError> {
    if !campaign::releases_usernames(policy, policy.today(origin.at)) {
        return app.store.commit(decision, rng).await;
    }
    for _ in 0..LOOKS {
        match app.store.commit(decision.clone(), rng).await {
            Err(CommitError::Taken(Unique::Username)) => {}
            other => return other,
        }
        let key = name.key();
        let holder = app.store.account_by_username(&policy.portal, &key).await?;
        // Nobody: given up at the same moment.
        let Some(holder) = holder else { continue };
        let release = campaign::release_username(&holder, policy, origin, rng);
        let Some(release) = release else { break };
        match app.store.commit(release, rng).await {
            // The owner has signed in or chosen, or another was quicker: look which.
            Ok(()) | Err(CommitError::Stale | CommitError::Taken(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Err(CommitError::Taken(Unique::Username))
}
