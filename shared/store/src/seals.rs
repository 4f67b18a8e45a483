//! Seals record the audit trail after each hour, so that later removals, additions and changes are detected
//! (UX-11).
//!
//! Every entry has a MAC computed when it was written ([`crate::audit`]). A seal lists the entries of a
//! period with their digests, and contains the digest of the list and of the previous seal. The seals form a
//! chain without gaps, and the last digest represents all of them. Seals are numbered, so that of two
//! concurrent seals one wins.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use data_encoding::BASE64URL_NOPAD;
use futures::future;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vestibule_domain::state::audit::kept_until;
use vestibule_domain::state::record::Mac;
use vestibule_domain::values::ids::PortalId;
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::{Keyring, Purpose, SystemMac};

use crate::attributes::{Item, text};
use crate::expression::{Expression, n, s};
use crate::item;
use crate::key::Key;
use crate::tables::AUDIT_TTL;
use crate::{Store, StoreError, audit};

/// How long after an hour it is sealed. No Lambda function runs longer than this, so all entries of the hour
/// are written by then.
const SETTLES: SignedDuration = SignedDuration::from_mins(15);

/// How many days back the first seal looks for entries.
const FIRST_WITHIN_DAYS: i64 = 2;

/// The maximum number of entries per partition in a seal. The lists are written in one transaction, which is
/// limited to 4 MB.
const LISTED: usize = 2000;

/// The maximum number of seals per run and portal; the next run continues.
const SEALS_A_RUN: u32 = 200;

/// A seal of a portal's audit trail for one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The sequence number within the portal, starting at 1.
    pub number: u64,
    pub portal: PortalId,
    /// The start of the period, inclusive: the end of the previous seal's period.
    pub from: Timestamp,
    /// The end of the period, exclusive.
    pub until: Timestamp,
    /// The number of entries in the period.
    pub entries: u64,
    /// The digest of the list of entries.
    pub listed: String,
    /// The digest of the previous seal; `None` for the first.
    pub previous: Option<String>,
    pub made_at: Timestamp,
}

impl Seal {
    fn canonical(&self) -> String {
        // Destructured so that a new field can't be forgotten here.
        let Self {
            number,
            portal,
            from,
            until,
            entries,
            listed,
            previous,
            made_at,
        } = self;
        let previous = previous.as_deref().unwrap_or("-");
        format!(
            "vestibule audit seal 1\nnumber {number}\nportal {portal}\nfrom {from}\nuntil {until}\nentries {entries}\nlisted {listed}\nprevious {previous}\nmade_at {made_at}\n"
        )
    }

    /// Returns the SHA-256 digest in base64url. Anyone who kept it can detect later changes to this period
    /// and to all previous seals.
    pub fn digest(&self) -> String {
        digest(self.canonical().as_bytes())
    }

    fn key(portal: &PortalId, number: u64) -> Key {
        Key {
            pk: seals(portal),
            sk: format!("{number:010}"),
        }
    }

    fn mac(&self, keyring: &Keyring) -> Mac {
        let canonical = Sensitive::new(self.canonical());
        keyring.mac(Purpose::AuditSeal, &seals(&self.portal), &canonical)
    }
}

fn seals(portal: &PortalId) -> String {
    format!("{portal}#seals")
}

/// Returns the partition of the lists of a seal.
fn lists(portal: &PortalId, number: u64) -> String {
    format!("{portal}#sealed#{number:010}")
}

fn digest(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(bytes))
}

/// A seal as stored, with its MAC.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    seal: Seal,
    mac: Mac,
}

/// A seal as read from the table.
struct FoundSeal {
    number: u64,
    /// `None` if it was altered.
    seal: Option<Seal>,
}

/// An entry as read from a partition of a day.
struct StoredEntry {
    sk: String,
    /// The digest of its content; `None` if it was altered.
    digest: Option<String>,
}

impl StoredEntry {
    fn of(item: &Item, keyring: &Keyring) -> Self {
        let sk = text(item, "sk").cloned();
        Self {
            sk: sk.unwrap_or_default(),
            digest: audit::genuine(item, keyring).map(|e| digest(e.canonical().as_bytes())),
        }
    }

    /// Returns the line for a seal's list.
    fn line(&self) -> String {
        format!(
            "{} {}\n",
            self.sk,
            self.digest.as_deref().unwrap_or("altered")
        )
    }
}

/// The result of sealing a portal's audit trail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SealedPortal {
    /// The number of seals created.
    pub made: u32,
    /// The last seal found; none if nothing is sealed yet.
    pub last: Option<Seal>,
}

/// Rounds a time down to the hour.
fn hour_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(3600)).unwrap_or(at)
}

/// Returns the UTC date of a time.
fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Returns the start of a day (UTC).
fn begin_of(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC)
        .map_or(Timestamp::MAX, |z| z.timestamp())
}

fn after(day: Date) -> Date {
    day.checked_add(1.day()).unwrap_or(Date::MAX)
}

impl Store {
    /// Seals all complete hours of a portal's audit trail that are long enough ago. It may run late, twice
    /// or concurrently, and may be stopped at any time.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn seal_audit(
        &self,
        portal: &PortalId,
        now: Timestamp,
    ) -> Result<SealedPortal, StoreError> {
        let end = hour_of(now - SETTLES);
        let mut sealed = SealedPortal::default();
        for _ in 0..SEALS_A_RUN {
            let last = self.last_seal(portal).await?;
            sealed.last.clone_from(&last);
            let from = match &last {
                Some(seal) => Some(seal.until),
                None => self.first_hour(portal, now).await?,
            };
            let Some(from) = from.filter(|from| *from < end) else {
                break;
            };
            // A seal covers at most one day, so that it reads the partitions of one day.
            let until = begin_of(after(day_of(from))).min(end);
            if self
                .seal_period(portal, last.as_ref(), (from, until), now)
                .await?
            {
                sealed.made += 1;
            }
        }
        Ok(sealed)
    }

    /// Creates one seal. Returns `false` if another run created it first.
    async fn seal_period(
        &self,
        portal: &PortalId,
        last: Option<&Seal>,
        (from, mut until): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut shards = self
            .stored_entries(portal, (from, until), Some(LISTED + 1))
            .await?;
        // With too many entries for one seal, end it where the first partition is full.
        for shard in &shards {
            if let Some(first_too_many) = shard.get(LISTED) {
                let at = first_too_many
                    .sk
                    .split('#')
                    .next()
                    .and_then(|at| at.parse().ok());
                until = at.filter(|at| *at > from).unwrap_or(until).min(until);
            }
        }
        let end = audit::moment(until);
        for shard in &mut shards {
            shard.retain(|entry| entry.sk < end);
        }
        let number = last.map_or(1, |seal| seal.number + 1);
        let mut all: Vec<_> = shards.iter().flatten().collect();
        all.sort_by(|a, b| a.sk.cmp(&b.sk));
        let list: String = all.iter().map(|entry| entry.line()).collect();
        let seal = Seal {
            number,
            portal: portal.clone(),
            from,
            until,
            entries: all.len() as u64,
            listed: digest(list.as_bytes()),
            previous: last.map(Seal::digest),
            made_at: now,
        };
        let expires = n(kept_until(until).as_second());
        let mut rows = Vec::new();
        let mut row = item::write(
            Seal::key(portal, number),
            &Written {
                mac: seal.mac(&self.keyring),
                seal,
            },
        )?;
        row.insert(AUDIT_TTL.to_owned(), expires.clone());
        rows.push(row);
        for (shard, entries) in shards.iter().enumerate().filter(|(_, e)| !e.is_empty()) {
            let key = Key {
                pk: lists(portal, number),
                sk: format!("{shard:x}"),
            };
            let mut row = key.into_item();
            let list: String = entries.iter().map(StoredEntry::line).collect();
            row.insert("list".to_owned(), s(list));
            row.insert(AUDIT_TTL.to_owned(), expires.clone());
            rows.push(row);
        }
        let puts = rows.into_iter().map(|row| {
            let put = Put::builder()
                .table_name(&self.tables.audit)
                .set_item(Some(row))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map_err(StoreError::unavailable)?;
            Ok(TransactWriteItem::builder().put(put).build())
        });
        let sent = self
            .db
            .transact_write_items()
            .set_transact_items(Some(puts.collect::<Result<_, StoreError>>()?))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            // Another run created this seal or is creating it now.
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_transaction_canceled_exception()) =>
            {
                Ok(false)
            }
            Err(e) => Err(StoreError::call(e)),
        }
    }

    /// Loads the last seal of a portal.
    ///
    /// # Errors
    /// [`StoreError`] also when the seal was altered, because the next seal builds on it.
    async fn last_seal(&self, portal: &PortalId) -> Result<Option<Seal>, StoreError> {
        let got = self
            .db
            .query()
            .table_name(&self.tables.audit)
            .key_condition_expression("pk = :pk")
            .values([(":pk", s(seals(portal)))])
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(1)
            .send()
            .await
            .map_err(StoreError::call)?;
        let Some(found) = got.items.unwrap_or_default().pop() else {
            return Ok(None);
        };
        let seal = self.found_seal(found).seal;
        seal.map(Some)
            .ok_or_else(|| StoreError::corrupt("the last seal of the audit trail"))
    }

    fn found_seal(&self, item: Item) -> FoundSeal {
        let number = text(&item, "sk").and_then(|sk| sk.parse().ok());
        let number = number.unwrap_or_default();
        let pk = text(&item, "pk").cloned();
        let seal = item::read::<Written>(item).ok().filter(|written| {
            let canonical = Sensitive::new(written.seal.canonical());
            let place = seals(&written.seal.portal);
            written.seal.number == number
                && pk.as_ref() == Some(&place)
                && self
                    .keyring
                    .is_authentic(&written.mac, SystemMac::Seal, &place, &canonical)
        });
        FoundSeal {
            number,
            seal: seal.map(|written| written.seal),
        }
    }

    /// Returns the hour of a portal's first entry, where the first seal starts.
    async fn first_hour(
        &self,
        portal: &PortalId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StoreError> {
        for days in (0..=FIRST_WITHIN_DAYS).rev() {
            let day = day_of(now - SignedDuration::from_hours(24 * days));
            let period = (begin_of(day), begin_of(after(day)));
            let shards = self.stored_entries(portal, period, Some(1)).await?;
            let first = shards.iter().flatten().map(|entry| &entry.sk).min();
            if let Some(at) = first.and_then(|sk| sk.split('#').next()?.parse().ok()) {
                return Ok(Some(hour_of(at)));
            }
        }
        Ok(None)
    }

    /// Loads the entries of a period within one day, per partition and in chronological order, at most
    /// `most` of each.
    async fn stored_entries(
        &self,
        portal: &PortalId,
        (from, until): (Timestamp, Timestamp),
        most: Option<usize>,
    ) -> Result<Vec<Vec<StoredEntry>>, StoreError> {
        let shards = (0..audit::SHARDS).map(|shard| {
            let pk = audit::partition(portal, from, shard);
            self.audit_items(pk, audit::moment(from), audit::moment(until), most)
        });
        let found = future::try_join_all(shards).await?;
        Ok(found
            .iter()
            .map(|items| {
                items
                    .iter()
                    .map(|i| StoredEntry::of(i, &self.keyring))
                    .collect()
            })
            .collect())
    }

    /// Loads the items of a partition of the audit table whose sort key is in a range.
    async fn audit_items(
        &self,
        pk: String,
        from: String,
        until: String,
        most: Option<usize>,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let got = self
                .db
                .query()
                .table_name(&self.tables.audit)
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
                .values([
                    (":pk", s(pk.clone())),
                    (":from", s(from.clone())),
                    (":until", s(until.clone())),
                ])
                .set_exclusive_start_key(start)
                .set_limit(most.map(|most| i32::try_from(most).unwrap_or(i32::MAX)))
                .consistent_read(true)
                .send()
                .await
                .map_err(StoreError::call)?;
            items.extend(got.items.unwrap_or_default());
            start = got.last_evaluated_key;
            if start.is_none() || most.is_some_and(|most| items.len() >= most) {
                return Ok(items);
            }
        }
    }
}

/// The results of a verification.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// The results by day, in chronological order.
    pub days: Vec<DayProof>,
    pub faults: Vec<Fault>,
    /// The last valid seal, if any.
    pub last: Option<Seal>,
}

/// The verification of one day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayProof {
    pub day: Date,
    /// The number of entries.
    pub entries: u64,
    /// The number of entries that are unchanged and match their seal.
    pub sealed: u64,
    /// The number of entries that are unchanged but not sealed yet.
    pub unsealed: u64,
    /// Whether the retention period of the entries is over.
    pub expired: bool,
}

/// A fault in the audit trail. An entry is named by its time and id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An entry differs from what was written or sealed.
    Altered(String),
    /// A sealed entry is missing.
    Missing(String),
    /// An entry was added to a period after it was sealed.
    Added(String),
    /// A seal differs from what was written.
    SealAltered(u64),
    SealMissing(u64),
    /// A seal does not continue the previous one.
    SealUnchained(u64),
    /// The list of a seal differs from what was sealed, so that its entries can't be verified.
    ListAltered(u64),
    /// A seal does not match a digest that was kept elsewhere.
    NotAsKept(u64),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Altered(entry) => write!(f, "altered: entry {entry}"),
            Self::Missing(entry) => write!(f, "missing: entry {entry}"),
            Self::Added(entry) => write!(f, "added after sealing: entry {entry}"),
            Self::SealAltered(n) => write!(f, "altered: seal {n}"),
            Self::SealMissing(n) => write!(f, "missing: seal {n}"),
            Self::SealUnchained(n) => write!(f, "seal {n} does not continue the previous seal"),
            Self::ListAltered(n) => write!(f, "altered: the list of seal {n}"),
            Self::NotAsKept(n) => write!(f, "seal {n} does not match the digest that was kept"),
        }
    }
}

impl Store {
    /// Verifies a portal's audit trail for a range of days (UTC), both inclusive. `kept` is the number and
    /// digest of a seal that were kept elsewhere.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn verify_audit(
        &self,
        portal: &PortalId,
        (from, to): (Date, Date),
        kept: Option<(u64, &str)>,
        now: Timestamp,
    ) -> Result<Verification, StoreError> {
        let mut found = Verification::default();
        let chain = self.chain(portal, now, &mut found.faults).await?;
        if let Some((number, kept)) = kept {
            let same = |seal: &Seal| seal.number == number && seal.digest() == kept;
            if !chain.iter().any(same) {
                found.faults.push(Fault::NotAsKept(number));
            }
        }
        let mut day = from;
        while day <= to {
            self.verify_day(portal, day, &chain, now, &mut found)
                .await?;
            day = after(day);
        }
        found.last = chain.into_iter().next_back();
        Ok(found)
    }

    /// Loads a portal's valid seals in order, and adds the faults in the chain.
    async fn chain(
        &self,
        portal: &PortalId,
        now: Timestamp,
        faults: &mut Vec<Fault>,
    ) -> Result<Vec<Seal>, StoreError> {
        let (first, last) = ("0".repeat(10), "9".repeat(10));
        let items = self.audit_items(seals(portal), first, last, None).await?;
        let found: Vec<_> = items.into_iter().map(|i| self.found_seal(i)).collect();
        let mut chain: Vec<Seal> = Vec::new();
        let mut expected = 1;
        for FoundSeal { number, seal } in found {
            // Seals before the first remaining one have expired.
            let gone = chain.is_empty() && seal.as_ref().is_some_and(|s| kept_until(s.from) <= now);
            if !gone {
                faults.extend((expected..number).map(Fault::SealMissing));
            }
            let unbroken = number == expected;
            expected = number + 1;
            let Some(seal) = seal else {
                faults.push(Fault::SealAltered(number));
                continue;
            };
            let continues = match chain.last() {
                Some(before) if unbroken && before.number + 1 == number => {
                    seal.previous == Some(before.digest()) && seal.from == before.until
                }
                _ => (number == 1) == seal.previous.is_none(),
            };
            if !continues {
                faults.push(Fault::SealUnchained(number));
            }
            chain.push(seal);
        }
        Ok(chain)
    }

    async fn verify_day(
        &self,
        portal: &PortalId,
        day: Date,
        chain: &[Seal],
        now: Timestamp,
        found: &mut Verification,
    ) -> Result<(), StoreError> {
        let (begin, end) = (begin_of(day), begin_of(after(day)));
        let stored = self.stored_entries(portal, (begin, end), None).await?;
        let mut stored: BTreeMap<_, _> = stored
            .into_iter()
            .flatten()
            .map(|entry| (entry.sk, entry.digest))
            .collect();
        let mut verification = DayProof {
            day,
            entries: stored.len() as u64,
            sealed: 0,
            unsealed: 0,
            expired: kept_until(end) <= now,
        };
        for seal in chain.iter().filter(|s| s.from < end && begin < s.until) {
            let (first, past) = (audit::moment(seal.from), audit::moment(seal.until));
            let list = self.sealed_list(seal).await?;
            let whole = digest(list.as_bytes()) == seal.listed;
            // The list expires together with its last entry.
            let gone = kept_until(seal.until) <= now;
            if !whole && !gone {
                found.faults.push(Fault::ListAltered(seal.number));
            }
            let listed: BTreeMap<_, _> = list.lines().filter_map(|l| l.split_once(' ')).collect();
            if whole {
                for (sk, sealed) in &listed {
                    let at = sk.split('#').next().and_then(|at| at.parse().ok());
                    let may_be_gone = at.is_none_or(|at: Timestamp| kept_until(at) <= now);
                    match stored.get(*sk) {
                        Some(Some(digest)) if digest == sealed => verification.sealed += 1,
                        Some(_) => found.faults.push(Fault::Altered((*sk).to_owned())),
                        None if may_be_gone => {}
                        None => found.faults.push(Fault::Missing((*sk).to_owned())),
                    }
                }
            }
            let of_period: Vec<_> = stored
                .range(first..past)
                .map(|(sk, digest)| (sk.clone(), digest.is_some()))
                .collect();
            for (sk, genuine) in of_period {
                stored.remove(&sk);
                if whole && !listed.contains_key(sk.as_str()) {
                    found.faults.push(Fault::Added(sk));
                } else if !whole && !genuine {
                    found.faults.push(Fault::Altered(sk));
                }
            }
        }
        for (sk, is_genuine) in stored {
            match is_genuine {
                Some(_) => verification.unsealed += 1,
                None => found.faults.push(Fault::Altered(sk)),
            }
        }
        found.days.push(verification);
        Ok(())
    }

    /// Loads the list of a seal's entries, in chronological order.
    async fn sealed_list(&self, seal: &Seal) -> Result<String, StoreError> {
        let pk = lists(&seal.portal, seal.number);
        let items = self
            .audit_items(pk, "0".to_owned(), "f".to_owned(), None)
            .await?;
        let mut lines: Vec<_> = items
            .iter()
            .filter_map(|i| text(i, "list"))
            .flat_map(|list| list.split_inclusive('\n'))
            .collect();
        lines.sort_unstable();
        Ok(lines.concat())
    }
}
