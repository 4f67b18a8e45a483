//! The audit trail: how entries are stored and found (EX-02, UX-11).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_dynamodb::types::Put;
use data_encoding::BASE64URL_NOPAD;
use futures::future;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Outcome, kept_until};
use vestibule_domain::state::record::Mac;
use vestibule_domain::values::ids::{AccountId, AuditId, OrganizationId, PortalId};
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::{Keyring, Purpose, SystemMac};

use crate::attributes::{Item, text};
use crate::commit::Writes;
use crate::error::took_effect;
use crate::expression::{Expression, n, s};
use crate::item;
use crate::key::Key;
use crate::read::Page;
use crate::tables::{AUDIT_INDEXES, AUDIT_TTL};
use crate::{Store, StoreError, accounts};

/// The number of partitions of a portal's day, enough for a busy day.
pub(crate) const SHARDS: u8 = 16;

/// The attribute with the MAC of an entry, computed when it is written.
const MAC: &str = "mac";

/// Returns a partition of a portal's day (UTC).
pub(crate) fn partition(portal: &PortalId, at: Timestamp, shard: u8) -> String {
    of_day(portal, day(at), shard)
}

fn of_day(portal: &PortalId, day: Date, shard: u8) -> String {
    format!("{portal}#{day}#{shard:x}")
}

/// Returns the UTC date of a time.
fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Formats a time for sort keys, with a fixed length so that keys sort chronologically.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Returns the key of an entry.
pub(crate) fn key(event: &AuditEvent) -> Key {
    let shard = event
        .id
        .as_str()
        .as_bytes()
        .last()
        .map_or(0, |b| b % SHARDS);
    Key {
        pk: partition(&event.portal, event.occurred_at, shard),
        sk: format!("{}#{}", moment(event.occurred_at), event.id),
    }
}

/// Returns the context of an entry's MAC, which binds the entry to its key.
fn place(key: &Key) -> String {
    format!("{}/{}", key.pk, key.sk)
}

/// Builds the item of an entry with its MAC.
pub(crate) fn entry(event: &AuditEvent, keyring: &Keyring) -> Result<Item, StoreError> {
    let canonical = Sensitive::new(event.canonical());
    let mac = keyring.mac(Purpose::AuditEntry, &place(&key(event)), &canonical);
    lying(event, &mac)
}

/// Builds the item of an entry with a given MAC.
fn lying(event: &AuditEvent, mac: &Mac) -> Result<Item, StoreError> {
    let mut item = item::write(key(event), event)?;
    let mut put = |name: &str, value: String| {
        item.insert(name.to_owned(), s(value));
    };
    put(
        MAC,
        format!("{}.{}", mac.key, BASE64URL_NOPAD.encode(&mac.code)),
    );
    let portal = &event.portal;
    if let Some(organization) = &event.organization {
        put("of_organization", of(portal, organization));
        put("of_action", of_action(portal, organization, event.action));
    }
    let (_, actor) = event.actor.parts();
    if let Some(actor) = actor {
        put("of_actor", of(portal, actor));
    }
    // Only users are searched for as objects. Actions of users on themselves are found by actor.
    let object = event
        .object
        .as_deref()
        .and_then(|o| AccountId::parse(o).ok());
    if let Some(object) = object.filter(|o| Some(o) != actor) {
        put("of_object", of(portal, &object));
    }
    let end = kept_until(event.occurred_at).as_second();
    item.insert(AUDIT_TTL.to_owned(), n(end));
    Ok(item)
}

fn of(portal: &PortalId, id: &impl std::fmt::Display) -> String {
    format!("{portal}#{id}")
}

fn of_action(portal: &PortalId, organization: &OrganizationId, action: Action) -> String {
    format!("{portal}#{organization}#{action}")
}

/// Returns the entry of an item if every attribute is exactly what was written: its MAC is valid, and no
/// attribute of an index was added, changed or removed.
pub(crate) fn genuine(item: &Item, keyring: &Keyring) -> Option<AuditEvent> {
    let event: AuditEvent = item::read(item.clone()).ok()?;
    let (version, code) = text(item, MAC)?.split_once('.')?;
    let mac = Mac {
        key: version.parse().ok()?,
        code: BASE64URL_NOPAD.decode(code.as_bytes()).ok()?,
    };
    let canonical = Sensitive::new(event.canonical());
    let holds = keyring.is_authentic(&mac, SystemMac::Entry, &place(&key(&event)), &canonical);
    (holds && lying(&event, &mac).ok()? == *item).then_some(event)
}

/// An entry as read from the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    pub event: AuditEvent,
    /// Whether every attribute is exactly what this system wrote (UX-11).
    pub genuine: bool,
}

impl AuditEntry {
    fn of(item: Item, keyring: &Keyring) -> Result<Self, StoreError> {
        let genuine = genuine(&item, keyring);
        if genuine.is_none() {
            tracing::error!("an audit trail entry was altered; verify the audit trail");
        }
        Ok(Self {
            genuine: genuine.is_some(),
            event: match genuine {
                Some(event) => event,
                None => item::read(item)?,
            },
        })
    }
}

/// A filter for entries of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFilter {
    pub of: AuditOf,
    pub action: Option<Action>,
    pub outcome: Option<Outcome>,
    /// The start of the period, inclusive.
    pub from: Timestamp,
    /// The end of the period, exclusive.
    pub until: Timestamp,
}

/// The scope of a search of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOf {
    /// All entries of the portal. They are read day by day, so keep the period short.
    Portal,
    /// All entries of an organization.
    Organization(OrganizationId),
    /// Entries with one of these users as actor or object: all who have had a username, or one.
    Users {
        users: Vec<AccountId>,
        /// Limits the entries to one organization.
        organization: Option<OrganizationId>,
    },
}

impl AuditFilter {
    /// Returns whether an entry matches the conditions that the index does not cover.
    fn holds_for(&self, event: &AuditEvent) -> bool {
        let organization = match &self.of {
            AuditOf::Organization(organization) => Some(organization),
            AuditOf::Users { organization, .. } => organization.as_ref(),
            AuditOf::Portal => None,
        };
        organization.is_none_or(|o| event.organization.as_ref() == Some(o))
            && self.action.is_none_or(|a| a == event.action)
            && self.outcome.is_none_or(|o| o == event.outcome)
    }

    /// Returns the partitions to search; for a whole portal, those of one day.
    fn partitions(&self, portal: &PortalId, day: Date) -> Vec<Partition> {
        let [by_organization, by_action, by_actor, by_object] = AUDIT_INDEXES;
        match (&self.of, self.action) {
            (AuditOf::Portal, _) => (0..SHARDS)
                .map(|shard| Partition::new(None, "pk", of_day(portal, day, shard)))
                .collect(),
            (AuditOf::Organization(organization), None) => {
                vec![Partition::of(by_organization, of(portal, organization))]
            }
            (AuditOf::Organization(organization), Some(action)) => {
                vec![Partition::of(
                    by_action,
                    of_action(portal, organization, action),
                )]
            }
            (AuditOf::Users { users, .. }, _) => users
                .iter()
                .flat_map(|user| {
                    [by_actor, by_object].map(|index| Partition::of(index, of(portal, user)))
                })
                .collect(),
        }
    }

    /// Returns how many entries to read at a time from each partition.
    fn at_a_time(&self, partitions: usize, wanted: usize) -> i32 {
        let spread = partitions > 2 && self.action.is_none() && self.outcome.is_none();
        // Entries are spread evenly, so few partitions have more than four times their share.
        let each = if spread {
            wanted.div_ceil(partitions) * 4
        } else {
            wanted
        };
        i32::try_from(each + 2).unwrap_or(i32::MAX)
    }
}

/// The start of a page of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCursor(String);

impl AuditCursor {
    /// Parses the `next` of a page; `None` if it is invalid or belongs to another list.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 100 {
            return None;
        }
        let sk = String::from_utf8(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
        let (at, id) = sk.split_once('#')?;
        let at_is_one = moment(at.parse().ok()?) == at;
        (at_is_one && AuditId::parse(id).is_ok()).then_some(Self(sk))
    }

    /// Returns a cursor after all entries of a day.
    fn end_of(day: Date) -> Self {
        Self(format!("{day}T23:59:59.999Z#7{}", "z".repeat(25)))
    }

    /// Encodes the cursor as the `next` of a page.
    fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(self.0.as_bytes())
    }

    /// Returns the time in the cursor.
    fn at(&self) -> Option<Timestamp> {
        self.0.split_once('#')?.0.parse().ok()
    }
}

/// The maximum number of entries that a page reads, however many of them match. A search with few results
/// takes more pages, perhaps empty ones, but no page takes long.
const LOOKED_AT: usize = 1000;

/// The maximum number of days of a portal that a page reads. Each day costs one query per shard.
const MAX_DAYS: usize = 7;

/// A partition that a search reads, latest entries first.
struct Partition {
    /// The index; `None` for the table itself.
    index: Option<&'static str>,
    attribute: &'static str,
    value: String,
    read: VecDeque<(String, AuditEntry)>,
    /// The sort key below which to continue reading.
    below: Option<String>,
    exhausted: bool,
}

impl Partition {
    fn of((index, attribute): (&'static str, &'static str), value: String) -> Self {
        Self::new(Some(index), attribute, value)
    }

    fn new(index: Option<&'static str>, attribute: &'static str, value: String) -> Self {
        Self {
            index,
            attribute,
            value,
            read: VecDeque::new(),
            below: None,
            exhausted: false,
        }
    }

    /// Reads more entries if all entries read so far are consumed.
    async fn read_on(
        &mut self,
        store: &Store,
        (from, until): (&str, &str),
        at_a_time: i32,
    ) -> Result<(), StoreError> {
        let keyring = store.keys().await?;
        while self.read.is_empty() && !self.exhausted {
            let below = self.below.as_deref().filter(|below| *below < until);
            let until = below.unwrap_or(until);
            if until < from {
                self.exhausted = true;
                break;
            }
            let got = store
                .db
                .query()
                .table_name(&store.tables.audit)
                .set_index_name(self.index.map(str::to_owned))
                .key_condition_expression("#of = :of AND sk BETWEEN :from AND :until")
                .names([("#of", self.attribute)])
                .values([
                    (":of", s(self.value.clone())),
                    (":from", s(from)),
                    (":until", s(until)),
                ])
                .scan_index_forward(false)
                .limit(at_a_time)
                .send()
                .await
                .map_err(StoreError::call)?;
            self.exhausted = got.last_evaluated_key.is_none();
            for found in got.items.unwrap_or_default() {
                let sk = text(&found, "sk").cloned();
                let sk =
                    sk.ok_or_else(|| StoreError::corrupt("the key of an audit trail entry"))?;
                // `BETWEEN` includes the last sort key that was already read.
                if self.below.as_ref() != Some(&sk) {
                    self.read.push_back((sk, AuditEntry::of(found, keyring)?));
                }
            }
            self.below = self
                .read
                .back()
                .map(|(sk, _)| sk.clone())
                .or(self.below.take());
        }
        Ok(())
    }
}

impl Store {
    /// Records that protected information is read. [`Store::commit`] records changes.
    ///
    /// # Errors
    /// [`StoreError`]; the information must then not be shown.
    pub async fn record(&self, event: &AuditEvent) -> Result<(), StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.audit)
            .set_item(Some(entry(event, self.keys().await?)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        // Ids are unique, so a failed condition means a retry after a lost response.
        took_effect(put)?;
        Ok(())
    }

    /// Loads a page of the audit trail, latest entries first. The cost is proportional to the entries in the
    /// scope. A page reads at most a thousand entries and one week of a portal, so it may contain fewer
    /// entries than `limit` even if there are more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit(
        &self,
        portal: &PortalId,
        filter: &AuditFilter,
        cursor: Option<&AuditCursor>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut looked_at = 0;
        let last = filter.until - SignedDuration::from_millis(1);
        let mut today = day(cursor
            .and_then(AuditCursor::at)
            .map_or(last, |at| at.min(last)));
        let mut below = cursor.cloned();
        for _ in 0..MAX_DAYS {
            let wanted = limit - page.items.len();
            let partitions = filter.partitions(portal, today);
            let stopped = self
                .merge(
                    partitions,
                    filter,
                    below.as_ref(),
                    wanted,
                    (&mut page.items, &mut looked_at),
                )
                .await?;
            if stopped.is_some() || filter.of != AuditOf::Portal {
                page.next = stopped.map(|c| c.encode());
                return Ok(page);
            }
            let Some(before) = today.yesterday().ok().filter(|d| *d >= day(filter.from)) else {
                page.next = None;
                return Ok(page);
            };
            today = before;
            let end = AuditCursor::end_of(today);
            page.next = Some(end.encode());
            if page.items.len() == limit || looked_at == LOOKED_AT {
                return Ok(page);
            }
            below = Some(end);
        }
        Ok(page)
    }

    /// Merges the entries of several partitions, latest first, until enough entries match or the maximum was
    /// read. Returns the cursor to continue from, if there is more.
    async fn merge(
        &self,
        mut partitions: Vec<Partition>,
        filter: &AuditFilter,
        below: Option<&AuditCursor>,
        wanted: usize,
        (items, looked_at): (&mut Vec<AuditEntry>, &mut usize),
    ) -> Result<Option<AuditCursor>, StoreError> {
        for partition in &mut partitions {
            partition.below = below.map(|c| c.0.clone());
        }
        let (from, until) = (moment(filter.from), moment(filter.until));
        let at_a_time = filter.at_a_time(partitions.len(), wanted);
        let full = items.len() + wanted;
        let mut last = None;
        loop {
            future::try_join_all(
                partitions
                    .iter_mut()
                    .map(|p| p.read_on(self, (&from, &until), at_a_time)),
            )
            .await?;
            let next = partitions
                .iter_mut()
                .filter(|p| !p.read.is_empty())
                .max_by(|a, b| a.read[0].0.cmp(&b.read[0].0))
                .and_then(|p| p.read.pop_front());
            let Some((sk, entry)) = next else {
                return Ok(None);
            };
            if items.len() == full || *looked_at == LOOKED_AT {
                return Ok(last.map(AuditCursor));
            }
            if last.as_ref() != Some(&sk) && filter.holds_for(&entry.event) {
                items.push(entry);
            }
            last = Some(sk);
            *looked_at += 1;
        }
    }

    /// Loads the usernames of the accounts that these entries refer to, including deleted accounts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usernames_in(
        &self,
        portal: &PortalId,
        entries: &[AuditEntry],
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let named = entries.iter().flat_map(|AuditEntry { event: e, .. }| {
            // The object of a search may be a user of another organization (BL-17).
            let searched = matches!(e.action, Action::SearchAudit | Action::DownloadAudit);
            let object = e.object.as_deref().filter(|_| !searched);
            let object = object.and_then(|o| AccountId::parse(o).ok());
            let actor = match &e.actor {
                Actor::Account(id) => Some(id.clone()),
                // Help desk staff have their accounts on another portal.
                Actor::HelpDesk(_) | Actor::Unknown | Actor::System => None,
            };
            [actor, object].into_iter().flatten()
        });
        let wanted: Vec<_> = named.collect::<BTreeSet<_>>().into_iter().collect();
        let mut names = BTreeMap::new();
        // One call returns at most 100 items.
        for some in wanted.chunks(100) {
            let keys = some.iter().map(|id| accounts::key(portal, id)).collect();
            for found in self.batch(keys).await? {
                let (id, username) = (text(&found, "id"), text(&found, "username"));
                names.extend(id.cloned().zip(username.cloned()));
            }
        }
        Ok(names)
    }
}

impl Writes<'_> {
    /// Adds an entry to the audit trail; an existing entry is never replaced.
    pub(crate) fn audit(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        let put = Put::builder()
            .table_name(&self.store.tables.audit)
            .set_item(Some(entry(event, &self.store.keyring)?))
            .condition_expression("attribute_not_exists(pk)");
        self.push_put(put, None)
    }
}
