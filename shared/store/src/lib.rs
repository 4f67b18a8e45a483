//! DynamoDB: where everything is kept, and the one door by which it changes.
//!
//! Writing is [`Store::commit`], which takes a [`vestibule_domain::Decision`] and so never happens
//! without an audit entry; reading is one round trip a request. Beside them stand three kinds of
//! item that aren't decisions: counters of guesses ([`attempts`]), the outbox's own bookkeeping
//! ([`outbox`]), and plan records ([`records`]).
//!
//! # Access patterns
//!
//! | What | Table | Key | Call | Cost (read or write units) |
//! |---|---|---|---|---|
//! | sign in: user name → account | main | `N#portal#name`/`N` and `A#portal#id`/`A` | BatchGetItem | 2 (a renamed account: 1 more call) |
//! | a request: session and account | main | `A#portal#id`/`S#digest` and `/A` | BatchGetItem | 2 |
//! | registration: the record's persons | main | `R#plan#kind#number` | Query | 1 a 4 kB |
//! | an organisation, with an invitation or a user | main | `O#portal#id`/`O`, `/I#id`, `A#…` | BatchGetItem | 1 an item |
//! | an organisation's users, a page | main | `O#portal#id`, `M#…` | Query | 1 a 4 kB, some 10 users |
//! | its administrators | main | `O#portal#id`, `M#A#…` | Query | 1 |
//! | its invitations | main | `O#portal#id`, `I#…` | Query | 1 a 4 kB |
//! | counting a guess | main | `G#kind#digest#window`/`G` | UpdateItem, conditional | 1 |
//! | a mail or letter on its way | main | `X#id`/`X` | UpdateItem, conditional | 1 a kB |
//! | mails and letters still to go | main, index `pending` | `mail#shard` or `letter#shard` | Query | 0.5 a 4 kB |
//! | the keyring | main | `K`/`K` | GetItem, once a container | 1 |
//! | every change | main and audit | as above | TransactWriteItems | 2 a kB and item |

pub mod attempts;
mod collisions;
mod commit;
mod item;
mod keys;
pub mod keyring;
pub mod outbox;
mod read;
pub mod records;
pub mod tables;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use vestibule_secrets::Keyring;

pub use commit::{CommitError, Unique};
pub use read::{Administrator, Page, UserRow};
pub use tables::Tables;

/// The store: cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Client,
    tables: Tables,
    keyring: Arc<Keyring>,
}

/// DynamoDB didn't answer, or answered with what this system never wrote.
///
/// The cause is for the log; it holds no attribute values.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub(crate) String);

impl Unavailable {
    pub(crate) fn new(cause: impl std::error::Error) -> Self {
        Self(DisplayErrorContext(cause).to_string())
    }

    pub(crate) fn corrupt(what: &str) -> Self {
        Self(format!("an item can't be read: {what}"))
    }
}

impl Store {
    /// A store in these tables. Its single writes that run into a transaction are tried again.
    pub fn new(db: Client, tables: Tables, keyring: Arc<Keyring>) -> Self {
        Self { db: collisions::retried(&db), tables, keyring }
    }

    /// The keys under which secrets are kept.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }
}
