//! Assigns usernames that a campaign released (ME-10).

use rand::CryptoRng;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::policy::{Policy, PolicyError};
use vestibule_domain::rules::campaign;
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::text::Username;
use vestibule_domain::{Change, Decision};
use vestibule_store::{CommitError, Unique};

use crate::App;
use crate::transact::MAX_ATTEMPTS;

/// Returns the username that a decision takes if a campaign may have released it, with the portal's
/// policy.
pub(crate) fn released_name<'p>(
    decision: &Decision,
    portals: &'p Portals,
) -> Result<Option<(Username, &'p Policy)>, PolicyError> {
    let taken = decision.changes.iter().find_map(|change| match change {
        Change::CreateAccount(account) => Some(account),
        Change::UpdateAccount { before, after } if before.username != after.username => Some(after),
        _ => None,
    });
    let Some(account) = taken else {
        return Ok(None);
    };
    let policy = portals.get(account.portal.as_str())?;
    let at = decision.audit.occurred_at;
    Ok(policy
        .filter(|policy| campaign::releases_usernames(policy, policy.today(at)))
        .map(|policy| (account.username.clone(), &**policy)))
}

/// Commits a decision that takes a username. If the name's owner has not confirmed it, the name is
/// first removed from the owner in a separate transaction. If several people choose the name at the
/// same time, one gets it.
///
/// # Errors
/// The errors of [`vestibule_store::Store::commit`]; [`Unique::Username`] if the name is taken.
pub(crate) async fn commit(
    app: &App,
    decision: Decision,
    name: &Username,
    policy: &Policy,
    rng: &mut (impl CryptoRng + Send),
) -> Result<(), CommitError> {
    let origin = Origin {
        portal: policy.portal.clone(),
        at: decision.audit.occurred_at,
        source: decision.audit.source.clone(),
    };
    for _ in 0..MAX_ATTEMPTS {
        match app.commit_once(decision.clone(), rng).await {
            Err(CommitError::Taken(Unique::Username)) => {}
            other => return other,
        }
        let key = name.key();
        let holder = app.store.account_by_username(&policy.portal, &key).await?;
        // The name was given up at the same time. Try again.
        let Some(holder) = holder else { continue };
        let release = campaign::release_username(&holder, Context::new(policy, &origin, rng));
        let Some(release) = release else { break };
        match app.commit_once(release, rng).await {
            // The owner signed in or confirmed the name, or another request was first. Try again.
            Ok(()) | Err(CommitError::Stale | CommitError::Taken(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Err(CommitError::Taken(Unique::Username))
}
