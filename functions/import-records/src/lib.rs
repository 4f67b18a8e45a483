//! The feed of plan records becomes the truth: each row is saved, and what it changes for people
//! who have registered with it is decided (AG-11, AG-16, BL-10).

use std::io::Read;

use futures::stream::{self, StreamExt};
use vestibule_domain::activate::{self, WithheldLetter};
use vestibule_domain::audit::Origin;
use vestibule_domain::feed::{Feed, FeedError, Reject};
use vestibule_domain::ids::{AccountId, PortalId};
use vestibule_domain::policy::Slug;
use vestibule_domain::record::{NewRecord, RecordKind};
use vestibule_domain::register::letter_address;
use vestibule_http::App;
use vestibule_store::{CommitError, Unavailable};

/// What came of a feed.
#[derive(Debug, Default)]
pub struct Summary {
    /// How many records were saved.
    pub saved: u64,
    /// How many accounts changed because of them.
    pub accounts: u64,
    /// The rows that can't be used, with the reason of each.
    pub rejects: Vec<Reject>,
}

/// Why a feed can't be imported, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The feed can't be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The feed broke off.
    #[error("the feed broke off: {0}")]
    BrokenOff(String),
    /// The store doesn't answer.
    #[error(transparent)]
    Store(#[from] Unavailable),
}

/// How many records are saved at a time.
const AT_A_TIME: usize = 16;

/// How often a change of an account that ran into another one is decided anew.
const LOOKS: usize = 3;

/// Imports a feed of one kind of record, in flat memory; `progress` hears of each batch.
///
/// # Errors
/// [`ImportError`]; what was saved before stays, and the same feed can be imported again.
pub async fn import(
    app: &App,
    plan: &Slug,
    kind: RecordKind,
    reader: impl Read,
    mut progress: impl FnMut(&Summary),
) -> Result<Summary, ImportError> {
    let mut feed = Feed::open(kind, plan, reader)?;
    let mut summary = Summary::default();
    loop {
        let mut batch = Vec::with_capacity(AT_A_TIME);
        for row in feed.by_ref() {
            match row {
                Ok(record) => batch.push(record),
                Err(reject) => summary.rejects.push(reject),
            }
            if batch.len() == AT_A_TIME {
                break;
            }
        }
        if batch.is_empty() {
            break;
        }
        let results: Vec<_> = stream::iter(&batch)
            .map(|record| save(app, record))
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        for result in results {
            summary.accounts += result?;
            summary.saved += 1;
        }
        progress(&summary);
    }
    match feed.broken_off() {
        Some(error) => Err(ImportError::BrokenOff(error.to_string())),
        None => Ok(summary),
    }
}

/// Saves a record and tells the accounts that registered with it. Returns how many changed.
async fn save(app: &App, record: &NewRecord) -> Result<u64, Unavailable> {
    let Some(before) = app.store.save_record(record, &mut app.rng()).await? else {
        return Ok(0);
    };
    // Told whether or not this row is new: an import that died between the two is made good by the
    // next one. Who has nothing to learn isn't written to.
    let mut changed = 0;
    for (portal, claim) in &before.claims {
        for account in claim.by.values() {
            changed += u64::from(tell(app, record, portal, account).await?);
        }
    }
    Ok(changed)
}

async fn tell(
    app: &App,
    record: &NewRecord,
    portal: &PortalId,
    id: &AccountId,
) -> Result<bool, Unavailable> {
    let Some(policy) = app.portals.get(portal.as_str()) else {
        return Ok(false);
    };
    let origin = Origin {
        portal: portal.clone(),
        at: app.clock.now(),
        source: None,
    };
    for _ in 0..LOOKS {
        let Some(account) = app.store.account(portal, id).await? else {
            return Ok(false);
        };
        let mut rng = app.rng();
        let digits = policy.pin.as_ref().map_or(0, |p| p.digits.get());
        let fresh = app.fresh_pin(digits, &mut rng);
        let designated = account
            .memberships
            .iter()
            .find(|m| m.record.as_ref() == Some(&record.key))
            .and_then(|m| m.postal_address.as_ref());
        let letter = WithheldLetter {
            fresh,
            address: letter_address(policy, &record.data, designated),
            organisation: Some(record.data.name.clone()),
        };
        let decision = activate::agreements_recorded(
            &account,
            &record.data.agreements,
            &record.key,
            Some(letter),
            policy,
            &origin,
            &mut rng,
        );
        let Some((_, decision)) = decision else {
            return Ok(false);
        };
        match app.store.commit(decision, &mut rng).await {
            Ok(()) => return Ok(true),
            Err(CommitError::Unavailable(cause)) => return Err(cause),
            Err(CommitError::Stale | CommitError::Taken(_)) => {}
        }
    }
    tracing::warn!(account = %id, "an account kept changing; the next feed will tell it");
    Ok(false)
}
