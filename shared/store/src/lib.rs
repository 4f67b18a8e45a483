//! Storage in DynamoDB.
//!
//! Writes go through [`Store::commit`], which takes a [`vestibule_domain::Decision`] with what follows from it,
//! and therefore always includes an audit event. The file of an entity contains its keys, its items, its
//! reads and its writes; `commit.rs` combines the writes of a decision into one transaction. Reads take one round trip per request. Four kinds of items are written without
//! a decision: attempt counters ([`attempts`]), used assertions ([`grants`]), the state of the outbox ([`outbox`],
//! [`batches`]), and plan records ([`records`]).
//!
//! # Access patterns
//!
//! | Operation | Table | Key | Call | Cost (read or write units) |
//! |---|---|---|---|---|
//! | sign in: username to account | main | `N#portal#name`/`N` and `A#portal#id`/`A` | BatchGetItem | 2 (1 more call for a renamed account and for every refusal) |
//! | forgotten username: accounts of an email address | main | `C#portal#address`, then `A#portal#id`/`A` | Query, BatchGetItem | 1, and 1 per account |
//! | link of a password reset or a new email address | main | `T#digest`/`T`, then `A#portal#id`/`A` | 2 GetItem | 2; 1 for a forged one |
//! | every request: session and account | main | `A#portal#id`/`S#digest` and `/A` | BatchGetItem | 2 |
//! | application: code or access token with session and account | main | `A#portal#id`/`AC#digest` or `AT#digest`, `S#digest` and `/A` | BatchGetItem | 3 |
//! | application: assertion with which it authenticates | main | `J#portal#application#digest`/`J` | conditional UpdateItem | 1 |
//! | repetition of a request with an idempotency key | main | `A#portal#id`/`K#digest` | GetItem | 1 per 4 KB |
//! | registration: persons of a record | main | `R#plan#kind#number` | Query | 1 per 4 KB |
//! | feed: stored state of 100 rows | main | `R#plan#kind#number`/`person` | BatchGetItem | 1 per 4 KB and row |
//! | feed: new row | main | the same | UpdateItem | 1 per KB, and 1 in the index |
//! | feed: changed row | main | the same | 2 UpdateItem | 2 per KB |
//! | feed: terminated record | main | the same | 2 UpdateItem | 2 per KB, and 1 in the index |
//! | full feed: records of a kind, each of 16 lists twice | main, index `records` | `plan#kind#shard` | Query | 0.5 per 4 KB, about 30 records |
//! | progress of the feeds of a kind | main | `F#plan#kind`/`F` | GetItem, conditional PutItem | 1 per feed and 2,000 rows |
//! | organization, with an invitation or a user | main | `O#portal#id`/`O`, `/I#id`, `A#…` | BatchGetItem | 1 per item |
//! | users of an organization by name, one page | main | `O#portal#id`, `O#A#last#first#account` and `O#U#…` | Query | 1 per 4 KB, about 10 users |
//! | administrators of an organization | main | `O#portal#id`, `O#A#…` | Query | 1 |
//! | organization with its administrators | main | `O#portal#id`, from `O` to `O#A#…` | Query | 1 per 4 KB, about 8 administrators |
//! | invitations of an organization | main | `O#portal#id`, `I#…` | Query | 1 per 4 KB |
//! | what the open invitations of a page are worth | main | `O#portal#id`/`O`, `A#portal#id`/`A`, `O#portal#id`/`F#…` | 2 concurrent BatchGetItem | 1 per item |
//! | agents under a managing agent, one page | main | `M#plan#manager`/`R#agent`, then `R#plan#agent#id`/`00` | Query, BatchGetItem | 1 per 4 KB, about 60 agents; 1 per agent shown |
//! | help desk: view of an account | main | `A#portal#id`/`A`, then `O#portal#id`/`O` and `G#…`/`G` | GetItem, 2 BatchGetItem | 1 per item |
//! | counting an attempt | main | `G#kind#digest#window`/`G` | conditional UpdateItem | 1 |
//! | sending an email or letter | main | `X#id`/`X` | conditional UpdateItem | 1 per KB |
//! | batch of letters being printed | main | `L`/`L` | GetItem, conditional UpdateItem | 1 per KB, about 140 KB for 5,000 letters |
//! | whether an email address bounces | main | `C#portal#address` | Query | 1 |
//! | emails and letters to send | main, index `pending` | `mail#shard` or `letter#shard`, by `due_at` | Query | 0.5 per 4 KB |
//! | accounts due on a portal up to a day | main, index `due` | `account#portal#shard`, day | Query, then BatchGetItem of 100 | 0.5 per 4 KB of keys (about 30), 1 per account |
//! | follow-ups of organizations due up to a day | main, index `due` | `follow_up#portal#shard`, day | Query | 0.5 per 4 KB |
//! | follow-up: organization, administrators and notices | main | `O#portal#id`, `D#kind`, `O#A#…`, `T#…` | BatchGetItem and 2 concurrent Query | 4 |
//! | keyring | main | `K`/`K` | GetItem, once per container and 5 minutes | 1 |
//! | rotating the data key | main | all | Scan, conditional UpdateItem | 1 per 4 KB; 1 per KB and sealed text |
//! | restoring from a restored table | both | all | Scan, BatchGetItem of 100, conditional PutItem | 0.5 per 4 KB, and 1 per item; 1 per KB |
//! | every change | main and audit | as above | TransactWriteItems | 2 per KB and item; 2 for the audit entry, and 1 per index it is in |
//! | reading protected information | audit | `portal#day#shard`/`time#id` | conditional PutItem | 1, and 1 per index it is in |
//! | audit trail of an organization, one page | audit, index `by_organization` | `portal#organization`, time | Query | 0.5 per 4 KB, about 7 entries |
//! | the same for one action | audit, index `by_action` | `portal#organization#action`, time | Query | 0.5 per 4 KB |
//! | audit trail of a user, as actor and as object | audit, indexes `by_actor` and `by_object` | `portal#account`, time | 2 Query | 0.5 per 4 KB each |
//! | sealing a portal's audit trail | audit | `portal#seals`/`number`; the hour of `portal#day#shard` | Query, 16 Query, TransactWriteItems | 0.5 per 4 KB; 2 per KB, once per hour |
//! | usernames in a page of the audit trail | main | `A#portal#id`/`A` | BatchGetItem | 1 per user |
//!
//! # Expiration
//!
//! DynamoDB's TTL deletes items some time after the time in their attribute `expires` (seconds since the
//! epoch): sessions a day after they end, emailed tokens and access tokens of applications after they expire, codes of applications a day later, assertions of applications when they expire, attempt counters after their window (those of plan records never), traces
//! of sent messages after 30 days, kept responses after a day, invitations 90 days after they expire, and deleted accounts after six years, like the audit trail
//! that refers to them. Nothing relies on this deletion; all code checks the dates themselves.

mod accounts;
pub mod attempts;
mod attributes;
mod audit;
pub mod batches;
mod collisions;
mod commit;
mod decoy;
pub mod due;
mod error;
mod expression;
pub mod feeds;
mod follow_ups;
pub mod grants;
mod invitations;
mod item;
mod kept;
mod key;
pub mod keyring;
pub mod managed;
mod organizations;
pub mod outbox;
mod read;
pub mod records;
pub mod reindex;
pub mod restore;
pub mod rotation;
pub mod seals;
mod sessions;
pub mod tables;
mod users;

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use jiff::Timestamp;
use vestibule_secrets::Keyring;

use key::Key;
use keyring::OpenKeyring;

pub use audit::{AuditCursor, AuditEntry, AuditFilter, AuditOf};
pub use collisions::client;
pub use commit::{CommitError, Unique};
pub use error::StoreError;
pub use follow_ups::FollowUpState;
pub use invitations::{InvitationStandings, InvitationState, InvitationsCursor};
pub use read::Page;
pub use tables::Tables;
pub use users::{Administrator, UserFilter, UserRow, UsersCursor};

/// Reads and writes the tables. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Client,
    tables: Tables,
    keyring: Arc<Keyring>,
    /// Loads the keyring when it is first needed; none if it is loaded.
    loader: Option<Loader>,
}

/// Loads the keyring of a store.
#[derive(Clone)]
struct Loader {
    open: Arc<OpenKeyring>,
    now: fn() -> Timestamp,
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

impl Store {
    /// Creates a store for these tables; create the client with [`client`].
    pub fn new(db: Client, tables: Tables, keyring: Arc<Keyring>) -> Self {
        Self {
            db,
            tables,
            keyring,
            loader: None,
        }
    }

    /// Creates a store whose reads load the keyring when they first need it. Whatever else uses the keyring
    /// must wait until it is [loaded](OpenKeyring::load).
    pub fn loading(
        db: Client,
        tables: Tables,
        open: Arc<OpenKeyring>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self {
            db,
            tables,
            keyring: Arc::clone(open.keyring()),
            loader: Some(Loader { open, now }),
        }
    }

    /// Returns the keyring, loaded.
    ///
    /// # Errors
    /// Those of [`OpenKeyring::load`].
    pub(crate) async fn keys(&self) -> Result<&Keyring, StoreError> {
        if let Some(Loader { open, now }) = &self.loader {
            open.load(now()).await?;
        }
        Ok(&self.keyring)
    }

    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Starts an update of one item of the main table.
    fn update(&self, key: Key) -> UpdateItemFluentBuilder {
        self.db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
    }
}
