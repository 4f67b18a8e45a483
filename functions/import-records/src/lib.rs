//! Imports the nightly feeds of plan records (AG-16): saves what changed, ends what is gone, and
//! applies the consequences to registered users (AG-11, BL-10, EX-06).
//!
//! [`Importer`] imports feeds from S3 in order and to their end, even if a run is stopped or its
//! event is repeated. [`import`] only saves rows, for sample records and tests.

mod apply;
mod event;
mod importer;
mod reading;

use std::io::Read;

use serde::Serialize;
use vestibule_domain::feed::sequence::{NoFeed, NotNow};
use vestibule_domain::feed::{Feed, FeedError, Reject};
use vestibule_domain::policy::{PolicyError, Slug};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::App;
use vestibule_store::StoreError;

pub use event::S3Event;
pub use importer::{ACCEPT, Importer, Outcome, STATUS};

use apply::{AT_A_TIME, Applying};

/// The counts of an import so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The number of rows read.
    pub rows: u64,
    /// The number of records written, new or changed.
    pub saved: u64,
    /// The number of records that had not changed.
    pub unchanged: u64,
    /// The number of records ended.
    pub ended: u64,
    /// The number of accounts and organizations changed as a consequence.
    pub accounts: u64,
    /// The number of notification letters created.
    pub letters: u64,
    /// The number of rows rejected.
    pub rejected: u64,
    /// The first rejected rows, up to [`MAX_REJECTS`].
    #[serde(skip)]
    pub rejects: Vec<Reject>,
}

/// The maximum number of rejected rows that are listed; further ones are only counted.
pub const MAX_REJECTS: usize = 10_000;

impl Summary {
    fn reject(&mut self, reject: Reject) {
        self.rejected += 1;
        if self.rejects.len() < MAX_REJECTS {
            self.rejects.push(reject);
        }
    }
}

/// Why a feed wasn't imported, or only in part.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The feed can't be read.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The feed ended unexpectedly.
    #[error("the feed ended unexpectedly: {0}")]
    BrokenOff(String),
    /// The store is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A portal's policy is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// An S3 request failed.
    #[error("S3: {0}")]
    S3(String),
    /// The object's key is not that of a feed.
    #[error(transparent)]
    NoFeed(#[from] NoFeed),
    /// No portal belongs to the plan.
    #[error("no portal belongs to plan {0}")]
    UnknownPlan(Slug),
    /// Another feed has to be imported first, or a later one already was.
    #[error("the feed wasn't imported: {0}")]
    NotNow(#[from] NotNow),
    /// Another run has taken over.
    #[error("another run took over this feed, or a later feed arrived")]
    TakenOver,
    /// This run is out of time; the next one continues where it ended.
    #[error("out of time after {0} rows; the next run continues from there")]
    OutOfTime(u64),
    /// An account kept changing at the same time.
    #[error("an account kept changing during the import")]
    Contended,
}

/// Saves the rows of a feed of one kind of record, regardless of the order of feeds; `progress` is
/// called after each batch.
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
    let applying = Applying {
        app,
        feed: None,
        notifies: false,
    };
    loop {
        let mut batch = Vec::with_capacity(AT_A_TIME);
        for row in feed.by_ref() {
            summary.rows += 1;
            match row {
                Ok(record) => batch.push(record),
                Err(reject) => summary.reject(reject),
            }
            if batch.len() == AT_A_TIME {
                break;
            }
        }
        if batch.is_empty() {
            break;
        }
        applying.batch(batch, &mut summary).await?;
        progress(&summary);
    }
    match feed.broken_off() {
        Some(error) => Err(ImportError::BrokenOff(error.to_string())),
        None => Ok(summary),
    }
}
