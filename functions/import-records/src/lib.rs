//! The nightly feed of plan records becomes the truth (AG-16): what differs is written, what has
//! ended is closed, and what follows for people who have registered is decided (AG-11, BL-10, EX-06).
//!
//! [`Importer`] takes feeds out of S3, in their order and each to its end, however often a run is
//! killed or its event repeated. [`import`] only saves rows: sample records, and those of tests.

mod apply;
mod event;
mod importer;
mod reading;

use std::io::Read;

use serde::Serialize;
use vestibule_domain::feed::{Feed, FeedError, Reject};
use vestibule_domain::feeds::{NoFeed, NotNow};
use vestibule_domain::policy::{PolicyError, Slug};
use vestibule_domain::record::RecordKind;
use vestibule_http::App;
use vestibule_store::Unavailable;

pub use event::S3Event;
pub use importer::{ACCEPT, Importer, Outcome, STATUS};

use apply::{AT_A_TIME, Applying};

/// What has come of a feed so far.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// How many rows there were.
    pub rows: u64,
    /// How many records were written, new or changed.
    pub saved: u64,
    /// How many were as they should be already.
    pub unchanged: u64,
    /// How many have ended.
    pub ended: u64,
    /// How many accounts and organizations changed because of them.
    pub accounts: u64,
    /// How many notification letters go out.
    pub letters: u64,
    /// How many rows can't be used.
    pub rejected: u64,
    /// The first of them, with the reason of each.
    #[serde(skip)]
    pub rejects: Vec<Reject>,
}

/// How many rejected rows are listed. More are counted: a file that is wrong throughout has one fault.
pub const MOST_REJECTS: usize = 10_000;

impl Summary {
    fn reject(&mut self, reject: Reject) {
        self.rejected += 1;
        if self.rejects.len() < MOST_REJECTS {
            self.rejects.push(reject);
        }
    }
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
    /// A portal's policy is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// S3 doesn't answer, or refuses.
    #[error("S3 {0}")]
    S3(String),
    /// The object is no feed.
    #[error(transparent)]
    NoFeed(#[from] NoFeed),
    /// No portal belongs to the plan.
    #[error("no portal belongs to the plan {0}")]
    UnknownPlan(Slug),
    /// It isn't its turn.
    #[error("the feed isn't imported: {0}")]
    NotNow(#[from] NotNow),
    /// Another run has taken over.
    #[error("another run has taken this feed over, or a later feed came")]
    TakenOver,
    /// The time of this run is over; the next one goes on where it ended.
    #[error("{0} rows are done; the next run goes on from there")]
    OutOfTime(u64),
    /// An account changed again and again while it was looked at.
    #[error("an account kept changing")]
    Contended,
}

/// Saves the rows of a feed of one kind of record, without looking at its turn; `progress` hears of
/// each batch.
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
