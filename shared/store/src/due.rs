//! The index of scheduled actions. It is sparse and contains the key and the due day of each account and
//! organization with a scheduled action. Finding what is due up to a day, including missed days, reads
//! only those entries, no matter how many accounts there are (BA-10).
//!
//! The day of an account is computed from the account and its policy at every write
//! ([`vestibule_domain::rules::consequences`]). A sign-in changes it at most once per day: a second one on the
//! same day leaves the attributes, and therefore the index, unchanged.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::civil::Date;
use strum::IntoStaticStr;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::follow_up::FollowUpKind;
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};

use crate::attributes::{Item, text};
use crate::expression::{Expression, s};
use crate::tables::DUE_INDEX;
use crate::{Store, StoreError};

/// The number of partitions of the index for each portal and kind.
pub const SHARDS: u8 = 4;

/// The partition attribute of the index.
pub(crate) const DUE: &str = "due";

/// The day attribute of the index.
pub(crate) const DUE_ON: &str = "due_on";

/// The start of the sort key of a follow-up.
pub(crate) const FOLLOW_UPS: &str = "D#";

/// What the scheduled actions belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(const_into_str)]
pub enum Queue {
    #[strum(serialize = "account")]
    Accounts,
    /// Follow-ups of organizations.
    #[strum(serialize = "follow_up")]
    FollowUps,
}

impl Queue {
    /// Both queues, in processing order: actions on accounts schedule follow-ups.
    pub const ALL: [Self; 2] = [Self::Accounts, Self::FollowUps];

    fn partition(self, portal: &PortalId, shard: u8) -> String {
        format!("{}#{portal}#{shard}", self.into_str())
    }

    /// Returns the partition of an id.
    pub(crate) fn partition_of(self, portal: &PortalId, id: &str) -> String {
        let shard = id.as_bytes().last().map_or(0, |b| b % SHARDS);
        self.partition(portal, shard)
    }
}

/// An entry of the index that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Account(AccountId),
    /// A follow-up of an organization.
    FollowUp(OrganizationId, FollowUpKind),
}

impl Entry {
    fn of(portal: &PortalId, found: &Item) -> Option<Self> {
        let (pk, sk) = (text(found, "pk")?, text(found, "sk")?);
        if let Some(kind) = sk.strip_prefix(FOLLOW_UPS) {
            let id = pk.strip_prefix(&format!("O#{portal}#"))?;
            let kind = FollowUpKind::ALL
                .iter()
                .copied()
                .find(|k| k.into_str() == kind)?;
            return Some(Self::FollowUp(OrganizationId::parse(id).ok()?, kind));
        }
        let id = pk.strip_prefix(&format!("A#{portal}#"))?;
        AccountId::parse(id).ok().map(Self::Account)
    }
}

/// A page of entries that are due.
#[derive(Debug)]
pub struct DuePage {
    /// The entries; `None` for an entry that this system did not write.
    pub entries: Vec<Option<Entry>>,
    /// The start of the next page.
    pub next: Option<Item>,
}

/// Returns the index attributes of an account on which something is next due on a day.
pub(crate) fn attributes(account: &Account, on: Date) -> [(String, AttributeValue); 2] {
    let partition = Queue::Accounts.partition_of(&account.portal, account.id.as_str());
    [(DUE.to_owned(), s(partition)), (DUE_ON.to_owned(), s(on))]
}

/// Returns the day of an item in the index.
pub(crate) fn day_of(item: &Item) -> Option<Date> {
    text(item, DUE_ON)?.parse().ok()
}

impl Store {
    /// Loads a page of at most 100 entries that are due on a portal up to a day, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(
        &self,
        (portal, queue, shard): (&PortalId, Queue, u8),
        up_to: Date,
        start: Option<Item>,
    ) -> Result<DuePage, StoreError> {
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .index_name(DUE_INDEX)
            .key_condition_expression("due = :due AND due_on <= :day")
            .values([
                (":due", s(queue.partition(portal, shard))),
                (":day", s(up_to)),
            ])
            .set_exclusive_start_key(start)
            .limit(100)
            .send()
            .await
            .map_err(StoreError::call)?;
        let found = got.items.unwrap_or_default();
        Ok(DuePage {
            entries: found.iter().map(|i| Entry::of(portal, i)).collect(),
            next: got.last_evaluated_key,
        })
    }

    /// Returns the first day on which something is due on a portal, if anything is scheduled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn first_due(&self, portal: &PortalId) -> Result<Option<Date>, StoreError> {
        let first = |queue: Queue, shard| async move {
            let got = self
                .db
                .query()
                .table_name(&self.tables.main)
                .index_name(DUE_INDEX)
                .key_condition_expression("due = :due")
                .values([(":due", s(queue.partition(portal, shard)))])
                .limit(1)
                .send()
                .await
                .map_err(StoreError::call)?;
            Ok::<_, StoreError>(got.items.unwrap_or_default().first().and_then(day_of))
        };
        let all = Queue::ALL
            .into_iter()
            .flat_map(|queue| (0..SHARDS).map(move |shard| first(queue, shard)));
        let days = futures::future::try_join_all(all).await?;
        Ok(days.into_iter().flatten().min())
    }
}
