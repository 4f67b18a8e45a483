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
//! | sign in: user name → account | main | `N#portal#name`/`N` and `A#portal#id`/`A` | BatchGetItem | 2 (a renamed account, and every refusal: 1 more call) |
//! | forgotten user name: an address's accounts | main | `C#portal#address`, then `A#portal#id`/`A` | Query, BatchGetItem | 1, 1 an account |
//! | a request: session and account | main | `A#portal#id`/`S#digest` and `/A` | BatchGetItem | 2 |
//! | registration: the record's persons | main | `R#plan#kind#number` | Query | 1 a 4 kB |
//! | an organisation, with an invitation or a user | main | `O#portal#id`/`O`, `/I#id`, `A#…` | BatchGetItem | 1 an item |
//! | an organisation's users, a page | main | `O#portal#id`, `M#…` | Query | 1 a 4 kB, some 10 users |
//! | its administrators | main | `O#portal#id`, `M#A#…` | Query | 1 |
//! | its invitations | main | `O#portal#id`, `I#…` | Query | 1 a 4 kB |
//! | counting a guess | main | `G#kind#digest#window`/`G` | UpdateItem, conditional | 1 |
//! | a mail or letter on its way | main | `X#id`/`X` | UpdateItem, conditional | 1 a kB |
//! | the batch of letters being printed | main | `L`/`L` | GetItem, UpdateItem, conditional | 1 a kB, some 140 kB for 5,000 letters |
//! | mails and letters still to go | main, index `pending` | `mail#shard` or `letter#shard` | Query | 0.5 a 4 kB |
//! | the keyring | main | `K`/`K` | GetItem, once a container | 1 |
//! | every change | main and audit | as above | TransactWriteItems | 2 a kB and item |

pub mod attempts;
pub mod batches;
mod collisions;
mod commit;
mod item;
pub mod keyring;
mod keys;
pub mod outbox;
mod read;
pub mod records;
pub mod tables;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use vestibule_secrets::Keyring;

pub use commit::{CommitError, Unique};
pub use read::{Administrator, InvitationsCursor, Page, UserFilter, UserRow, UsersCursor};
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

impl Store {
    /// A store in these tables. Its single writes that run into a transaction are tried again.
    pub fn new(db: Client, tables: Tables, keyring: Arc<Keyring>) -> Self {
        Self {
            db: collisions::retried(&db),
            tables,
            keyring,
        }
    }

    /// The keys under which secrets are kept.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }
}
