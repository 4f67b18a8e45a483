//! DynamoDB: where everything is kept, and the one door by which it changes.
//!
//! Writing is [`Store::commit`], which takes a [`vestibule_domain::Decision`] and so never happens
//! without an audit entry; reading is one round trip a request. Beside them stand three kinds of
//! item that aren't decisions: counters of guesses ([`attempts`]), the outbox's own bookkeeping
//! ([`outbox`], [`batches`]), and plan records ([`records`]).
//!
//! # Access patterns
//!
//! | What | Table | Key | Call | Cost (read or write units) |
//! |---|---|---|---|---|
//! | sign in: username → account | main | `N#portal#name`/`N` and `A#portal#id`/`A` | BatchGetItem | 2 (a renamed account, and every refusal: 1 more call) |
//! | forgotten username: an address's accounts | main | `C#portal#address`, then `A#portal#id`/`A` | Query, BatchGetItem | 1, 1 an account |
//! | a request: session and account | main | `A#portal#id`/`S#digest` and `/A` | BatchGetItem | 2 |
//! | registration: the record's persons | main | `R#plan#kind#number` | Query | 1 a 4 kB |
//! | a feed: what is known of 100 of its rows | main | `R#plan#kind#number`/`person` | BatchGetItem | 1 a 4 kB and row |
//! | a feed: a new row | main | the same | UpdateItem | 1 a kB, and 1 in the index |
//! | a feed: a changed row | main | the same | 2 UpdateItem | 2 a kB |
//! | a feed: a record that has ended | main | the same | 2 UpdateItem | 2 a kB, and 1 in the index |
//! | a full feed: the records of a kind, each of 16 lists twice | main, index `records` | `plan#kind#shard` | Query | 0.5 a 4 kB, some 30 records |
//! | how far the feeds of a kind are | main | `F#plan#kind`/`F` | GetItem, PutItem, conditional | 1 a feed and 2,000 rows |
//! | an organization, with an invitation or a user | main | `O#portal#id`/`O`, `/I#id`, `A#…` | BatchGetItem | 1 an item |
//! | an organization's users, a page | main | `O#portal#id`, `M#…` | Query | 1 a 4 kB, some 10 users |
//! | its administrators | main | `O#portal#id`, `M#A#…` | Query | 1 |
//! | its invitations | main | `O#portal#id`, `I#…` | Query | 1 a 4 kB |
//! | the agents under a managing agent, a page | main | `M#plan#manager`/`R#agent`, then `R#plan#agent#id`/`00` | Query, BatchGetItem | 1 a 4 kB, some 60 agents; 1 an agent shown |
//! | the help desk's view of an account | main | `A#portal#id`/`A`, then `O#portal#id`/`O` and `G#…`/`G` | GetItem, BatchGetItem twice | 1 an item |
//! | counting a guess | main | `G#kind#digest#window`/`G` | UpdateItem, conditional | 1 |
//! | a mail or letter on its way | main | `X#id`/`X` | UpdateItem, conditional | 1 a kB |
//! | the batch of letters being printed | main | `L`/`L` | GetItem, UpdateItem, conditional | 1 a kB, some 140 kB for 5,000 letters |
//! | whether mails to an address come back | main | `C#portal#address` | Query | 1 |
//! | mails and letters due to go | main, index `pending` | `mail#shard` or `letter#shard`, by `due_at` | Query | 0.5 a 4 kB |
//! | accounts due on a portal up to a day | main, index `due` | `account#portal#shard`, day | Query, then BatchGetItem by 100 | 0.5 a 4 kB of keys (some 30), 1 an account |
//! | alarms of organizations due up to a day | main, index `due` | `alarm#portal#shard`, day | Query | 0.5 a 4 kB |
//! | an alarm: the organization, its administrators, what they are told | main | `O#portal#id`, `D#kind`, `M#A#…`, `T#…` | BatchGetItem and 2 Query at once | 4 |
//! | the keyring | main | `K`/`K` | GetItem, once a container | 1 |
//! | every change | main and audit | as above | TransactWriteItems | 2 a kB and item; its entry 2, and 1 an index it is in |
//! | a read of something protected | audit | `portal#day#shard`/`time#id` | PutItem, conditional | 1, and 1 an index it is in |
//! | an organization's trail, a page | audit, index `by_organization` | `portal#organization`, time | Query | 0.5 a 4 kB, some 7 entries |
//! | the same of one action | audit, index `by_action` | `portal#organization#action`, time | Query | 0.5 a 4 kB |
//! | a user's trail, as who did it and to whom it was done | audit, indexes `by_actor` and `by_object` | `portal#account`, time | 2 Query | 0.5 a 4 kB each |
//! | sealing a portal's trail | audit | `portal#seals`/`number`; the hour of `portal#day#shard` | Query, 16 Query, TransactWriteItems | 0.5 a 4 kB; 2 a kB, once an hour |
//! | the names in a page of the trail | main | `A#portal#id`/`A` | BatchGetItem | 1 a user |

//!
//! # What vanishes by itself
//!
//! Items with the attribute `expires` (seconds since the epoch) are dropped by DynamoDB's TTL, some time
//! after: sessions after their end, counters of guesses after their window, the trace of a sent message
//! after 30 days, invitations 90 days after they could last be used, deleted accounts after six years, as
//! the audit trail that names them. Nothing relies on it: what is over is over by its own dates.

pub mod attempts;
pub mod batches;
mod collisions;
mod commit;
mod decoy;
pub mod due;
pub mod feeds;
mod item;
pub mod keyring;
mod keys;
pub mod managed;
pub mod outbox;
mod read;
pub mod records;
pub mod seals;
pub mod tables;
mod trail;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use vestibule_domain::policy::PolicyError;
use vestibule_domain::portals::Portals;
use vestibule_secrets::Keyring;

pub use collisions::client;
pub use commit::{CommitError, Unique};
pub use read::{Administrator, InvitationsCursor, Page, UserFilter, UserRow, UsersCursor};
pub use tables::Tables;
pub use trail::{AuditCursor, AuditEntry, AuditFilter, AuditOf};

/// The store: cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Client,
    tables: Tables,
    keyring: Arc<Keyring>,
    portals: Arc<Portals>,
}

/// DynamoDB didn't answer, or answered with what this system never wrote.
///
/// The cause is for the log; it holds no attribute values.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the store is unavailable: {0}")]
pub struct Unavailable(pub(crate) String);

impl Unavailable {
    /// A call that failed: what kind of failure, DynamoDB's name for it, and the request's id for
    /// AWS support. Neither the request nor the answer, which hold what people entered.
    pub(crate) fn call<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> Self {
        let kind = match &error {
            SdkError::ConstructionFailure(_) => "the request could not be made".to_owned(),
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::DispatchFailure(f) if f.is_timeout() => "no connection in time".to_owned(),
            SdkError::DispatchFailure(_) => "no connection".to_owned(),
            SdkError::ResponseError(_) => "an answer that can't be read".to_owned(),
            _ => format!("refused as {}", error.code().unwrap_or("unknown")),
        };
        match error.meta().extra("aws_request_id") {
            Some(id) => Self(format!("{kind} (request {id})")),
            None => Self(kind),
        }
    }

    /// Takes a write whose condition doesn't hold for one that has nothing to do.
    pub(crate) fn unless_conditional<T, R>(
        result: Result<T, SdkError<UpdateItemError, R>>,
    ) -> Result<(), Self> {
        match result {
            Ok(_) => Ok(()),
            Err(e)
                if e.as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(e) => Err(Self::call(e)),
        }
    }

    /// A failure on this side: something that can't be written as an item.
    pub(crate) fn new(cause: impl std::error::Error) -> Self {
        Self(cause.to_string())
    }

    pub(crate) fn corrupt(what: &str) -> Self {
        Self(format!("an item can't be read: {what}"))
    }
}

impl From<PolicyError> for Unavailable {
    fn from(cause: PolicyError) -> Self {
        Self::new(cause)
    }
}

impl Store {
    /// A store in these tables; [`client`] makes the client. The day on which something is next due for an
    /// account follows from it and its portal's policy.
    pub fn new(db: Client, tables: Tables, keyring: Arc<Keyring>, portals: Arc<Portals>) -> Self {
        Self {
            db,
            tables,
            keyring,
            portals,
        }
    }

    /// The keys under which secrets are kept.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }
}
