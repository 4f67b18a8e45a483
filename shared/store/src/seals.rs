//! Seals: what the audit trail was when an hour was over, so that what is removed, added or altered
//! afterward shows (UX-11).
//!
//! Every entry has a code made when it was written ([`crate::trail`]). A seal lists the entries of a
//! period, each with the digest of what it says, and holds the digest of the list and of the seal
//! before: a chain without a gap, of which the last digest stands for all. Seals are numbered, so
//! that of two that are made at once one wins.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use data_encoding::BASE64URL_NOPAD;
use futures::future;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vestibule_domain::audit::kept_until;
use vestibule_domain::ids::PortalId;
use vestibule_domain::record::Mac;
use vestibule_domain::text::Sensitive;
use vestibule_secrets::{Keyring, Purpose};

use crate::item::{self, Item};
use crate::keys::Key;
use crate::tables::AUDIT_TTL;
use crate::{Store, Unavailable, trail};

/// How long after an hour it is sealed: by then whatever was begun in it is on the trail. No
/// function of Lambda runs longer.
const SETTLES: SignedDuration = SignedDuration::from_mins(15);

/// How far back the entries are looked for with which the first seal begins.
const FIRST_WITHIN_DAYS: i64 = 2;

/// How many entries of a partition a seal lists at most. Its lists are written in one transaction,
/// which holds 4 MB.
const LISTED: usize = 2000;

/// How many seals a run makes for a portal at most; the next goes on.
const SEALS_A_RUN: u32 = 200;

/// What a portal's trail was in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Counts a portal's seals, from 1.
    pub number: u64,
    /// The portal.
    pub portal: PortalId,
    /// Where the period begins: where that of the seal before ends.
    pub from: Timestamp,
    /// Where it ends; this moment is the next one's.
    pub until: Timestamp,
    /// How many entries there were.
    pub entries: u64,
    /// The digest of the list of them.
    pub listed: String,
    /// The digest of the seal before; none for the first.
    pub previous: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
}

impl Seal {
    fn canonical(&self) -> String {
        // A new field must not be forgotten here.
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

    /// Its digest: SHA-256, base64url. Who has kept it can tell whether anything it stands for, all
    /// seals before included, was changed since.
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

/// The partition of the lists of one seal.
fn lists(portal: &PortalId, number: u64) -> String {
    format!("{portal}#sealed#{number:010}")
}

fn digest(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(bytes))
}

/// A seal as it lies, with its code.
#[derive(Serialize, Deserialize)]
struct Written {
    #[serde(flatten)]
    seal: Seal,
    mac: Mac,
}

/// What lies at the place of a seal.
struct FoundSeal {
    number: u64,
    /// None if it isn't what was written.
    seal: Option<Seal>,
}

/// An entry as it lies in a partition of a day.
struct Lying {
    sk: String,
    /// The digest of what it says; none if it isn't what was written.
    says: Option<String>,
}

impl Lying {
    fn of(item: &Item, keyring: &Keyring) -> Self {
        let sk = item.get("sk").and_then(|v| v.as_s().ok()).cloned();
        Self {
            sk: sk.unwrap_or_default(),
            says: trail::genuine(item, keyring).map(|e| digest(e.canonical().as_bytes())),
        }
    }

    /// Its line in a seal's list.
    fn line(&self) -> String {
        format!(
            "{} {}\n",
            self.sk,
            self.says.as_deref().unwrap_or("altered")
        )
    }
}

/// The hour that a moment is in.
fn hour_of(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(3600)).unwrap_or(at)
}

/// The day (UTC) that a moment is in.
fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Where a day (UTC) begins.
fn begin_of(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC)
        .map_or(Timestamp::MAX, |z| z.timestamp())
}

fn after(day: Date) -> Date {
    day.checked_add(1.day()).unwrap_or(Date::MAX)
}

impl Store {
    /// Seals what can be sealed of a portal's trail: whole hours that are over for a while. It may
    /// come late, twice or at once with another, and may be killed at any moment. Returns how many
    /// seals it made.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn seal_audit(&self, portal: &PortalId, now: Timestamp) -> Result<u32, Unavailable> {
        let end = hour_of(now - SETTLES);
        let mut made = 0;
        for _ in 0..SEALS_A_RUN {
            let last = self.last_seal(portal).await?;
            let from = match &last {
                Some(seal) => Some(seal.until),
                None => self.first_hour(portal, now).await?,
            };
            let Some(from) = from.filter(|from| *from < end) else {
                break;
            };
            // A seal is of one day, so that it reads the partitions of one.
            let until = begin_of(after(day_of(from))).min(end);
            if self
                .seal_period(portal, last.as_ref(), (from, until), now)
                .await?
            {
                made += 1;
            }
        }
        Ok(made)
    }

    /// Makes one seal, unless another was quicker.
    async fn seal_period(
        &self,
        portal: &PortalId,
        last: Option<&Seal>,
        (from, mut until): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Result<bool, Unavailable> {
        let mut shards = self.lying(portal, (from, until), Some(LISTED + 1)).await?;
        // Too many for one seal: it ends where the first partition is full.
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
        let end = trail::moment(until);
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
        let expires = AttributeValue::N(kept_until(until).as_second().to_string());
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
            let list = entries.iter().map(Lying::line).collect();
            row.insert("list".to_owned(), AttributeValue::S(list));
            row.insert(AUDIT_TTL.to_owned(), expires.clone());
            rows.push(row);
        }
        let puts = rows.into_iter().map(|row| {
            let put = Put::builder()
                .table_name(&self.tables.audit)
                .set_item(Some(row))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map_err(Unavailable::new)?;
            Ok(TransactWriteItem::builder().put(put).build())
        });
        let sent = self
            .db
            .transact_write_items()
            .set_transact_items(Some(puts.collect::<Result<_, Unavailable>>()?))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(true),
            // Another run made this seal, or is just making it.
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_transaction_canceled_exception()) =>
            {
                Ok(false)
            }
            Err(e) => Err(Unavailable::call(e)),
        }
    }

    /// The last seal of a portal; its code must be right, because the next builds on it.
    async fn last_seal(&self, portal: &PortalId) -> Result<Option<Seal>, Unavailable> {
        let got = self
            .db
            .query()
            .table_name(&self.tables.audit)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(seals(portal)))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(1)
            .send()
            .await
            .map_err(Unavailable::call)?;
        let Some(found) = got.items.unwrap_or_default().pop() else {
            return Ok(None);
        };
        let seal = self.found_seal(found).seal;
        seal.map(Some)
            .ok_or_else(|| Unavailable::corrupt("the last seal of the audit trail"))
    }

    fn found_seal(&self, item: Item) -> FoundSeal {
        let number = item.get("sk").and_then(|v| v.as_s().ok()?.parse().ok());
        let number = number.unwrap_or_default();
        let pk = item.get("pk").and_then(|v| v.as_s().ok()).cloned();
        let seal = item::read::<Written>(item).ok().filter(|written| {
            let canonical = Sensitive::new(written.seal.canonical());
            let place = seals(&written.seal.portal);
            written.seal.number == number
                && pk.as_ref() == Some(&place)
                && self
                    .keyring
                    .verify(&written.mac, Purpose::AuditSeal, &place, &canonical)
        });
        FoundSeal {
            number,
            seal: seal.map(|written| written.seal),
        }
    }

    /// The hour of a portal's first entry, for its first seal.
    async fn first_hour(
        &self,
        portal: &PortalId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Unavailable> {
        for days in (0..=FIRST_WITHIN_DAYS).rev() {
            let day = day_of(now - SignedDuration::from_hours(24 * days));
            let period = (begin_of(day), begin_of(after(day)));
            let shards = self.lying(portal, period, Some(1)).await?;
            let first = shards.iter().flatten().map(|entry| &entry.sk).min();
            if let Some(at) = first.and_then(|sk| sk.split('#').next()?.parse().ok()) {
                return Ok(Some(hour_of(at)));
            }
        }
        Ok(None)
    }

    /// What lies in the partitions of a period within one day, in the order of time; of each, the
    /// first `most`.
    async fn lying(
        &self,
        portal: &PortalId,
        (from, until): (Timestamp, Timestamp),
        most: Option<usize>,
    ) -> Result<Vec<Vec<Lying>>, Unavailable> {
        let shards = (0..trail::SHARDS).map(|shard| {
            let pk = trail::partition(portal, from, shard);
            self.audit_items(pk, trail::moment(from), trail::moment(until), most)
        });
        let found = future::try_join_all(shards).await?;
        Ok(found
            .iter()
            .map(|items| items.iter().map(|i| Lying::of(i, &self.keyring)).collect())
            .collect())
    }

    /// The items of a partition of the audit table whose sort key is between these.
    async fn audit_items(
        &self,
        pk: String,
        from: String,
        until: String,
        most: Option<usize>,
    ) -> Result<Vec<Item>, Unavailable> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let got = self
                .db
                .query()
                .table_name(&self.tables.audit)
                .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :until")
                .expression_attribute_values(":pk", AttributeValue::S(pk.clone()))
                .expression_attribute_values(":from", AttributeValue::S(from.clone()))
                .expression_attribute_values(":until", AttributeValue::S(until.clone()))
                .set_exclusive_start_key(start)
                .set_limit(most.map(|most| i32::try_from(most).unwrap_or(i32::MAX)))
                .consistent_read(true)
                .send()
                .await
                .map_err(Unavailable::call)?;
            items.extend(got.items.unwrap_or_default());
            start = got.last_evaluated_key;
            if start.is_none() || most.is_some_and(|most| items.len() >= most) {
                return Ok(items);
            }
        }
    }
}

/// What a verification found, day by day.
#[derive(Debug, Clone, Default)]
pub struct Verification {
    /// The days, the first first.
    pub days: Vec<DayProof>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The last seal, where there is one and it is whole.
    pub last: Option<Seal>,
}

/// What is proved of a day (UTC).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayProof {
    /// The day.
    pub day: Date,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them are as they were written and as they were sealed.
    pub sealed: u64,
    /// How many are as they were written, but in no seal yet.
    pub unsealed: u64,
    /// Whether its entries are no longer kept.
    pub expired: bool,
}

/// Something wrong with the trail. An entry is named by its moment and identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An entry isn't what was written, or not what was sealed.
    Altered(String),
    /// An entry that was sealed is gone.
    Missing(String),
    /// An entry came to a period after it was sealed.
    Added(String),
    /// A seal isn't what was written.
    SealAltered(u64),
    /// A seal is gone.
    SealMissing(u64),
    /// A seal doesn't continue the one before.
    SealUnchained(u64),
    /// The list of a seal isn't what was sealed, so that its entries can't be named.
    ListAltered(u64),
    /// A seal isn't the one that was kept elsewhere.
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
            Self::SealUnchained(n) => write!(f, "seal {n} doesn't continue the seal before"),
            Self::ListAltered(n) => write!(f, "altered: the list of seal {n}"),
            Self::NotAsKept(n) => write!(f, "seal {n} isn't the one whose digest was kept"),
        }
    }
}

impl Store {
    /// Verifies a portal's trail in these days (UTC), both included. `kept` is number and digest of a
    /// seal, as somebody has kept them elsewhere.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn verify_audit(
        &self,
        portal: &PortalId,
        (from, to): (Date, Date),
        kept: Option<(u64, &str)>,
        now: Timestamp,
    ) -> Result<Verification, Unavailable> {
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

    /// A portal's seals that are whole, the first first.
    async fn chain(
        &self,
        portal: &PortalId,
        now: Timestamp,
        faults: &mut Vec<Fault>,
    ) -> Result<Vec<Seal>, Unavailable> {
        let (first, last) = ("0".repeat(10), "9".repeat(10));
        let items = self.audit_items(seals(portal), first, last, None).await?;
        let found: Vec<_> = items.into_iter().map(|i| self.found_seal(i)).collect();
        let mut chain: Vec<Seal> = Vec::new();
        let mut expected = 1;
        for FoundSeal { number, seal } in found {
            // Those before the first that is left have gone when their time was over.
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
    ) -> Result<(), Unavailable> {
        let (begin, end) = (begin_of(day), begin_of(after(day)));
        let lying = self.lying(portal, (begin, end), None).await?;
        let mut lying: BTreeMap<_, _> = lying
            .into_iter()
            .flatten()
            .map(|entry| (entry.sk, entry.says))
            .collect();
        let mut proof = DayProof {
            day,
            entries: lying.len() as u64,
            sealed: 0,
            unsealed: 0,
            expired: kept_until(end) <= now,
        };
        for seal in chain.iter().filter(|s| s.from < end && begin < s.until) {
            let (first, past) = (trail::moment(seal.from), trail::moment(seal.until));
            let list = self.sealed_list(seal).await?;
            let whole = digest(list.as_bytes()) == seal.listed;
            // Its list goes when its last entry does.
            let gone = kept_until(seal.until) <= now;
            if !whole && !gone {
                found.faults.push(Fault::ListAltered(seal.number));
            }
            let listed: BTreeMap<_, _> = list.lines().filter_map(|l| l.split_once(' ')).collect();
            if whole {
                for (sk, sealed) in &listed {
                    let at = sk.split('#').next().and_then(|at| at.parse().ok());
                    let may_be_gone = at.is_none_or(|at: Timestamp| kept_until(at) <= now);
                    match lying.get(*sk) {
                        Some(Some(says)) if says == sealed => proof.sealed += 1,
                        Some(_) => found.faults.push(Fault::Altered((*sk).to_owned())),
                        None if may_be_gone => {}
                        None => found.faults.push(Fault::Missing((*sk).to_owned())),
                    }
                }
            }
            let of_period: Vec<_> = lying
                .range(first..past)
                .map(|(sk, says)| (sk.clone(), says.is_some()))
                .collect();
            for (sk, genuine) in of_period {
                lying.remove(&sk);
                if whole && !listed.contains_key(sk.as_str()) {
                    found.faults.push(Fault::Added(sk));
                } else if !whole && !genuine {
                    found.faults.push(Fault::Altered(sk));
                }
            }
        }
        for (sk, says) in lying {
            match says {
                Some(_) => proof.unsealed += 1,
                None => found.faults.push(Fault::Altered(sk)),
            }
        }
        found.days.push(proof);
        Ok(())
    }

    /// The list of a seal's entries, in the order of time.
    async fn sealed_list(&self, seal: &Seal) -> Result<String, Unavailable> {
        let pk = lists(&seal.portal, seal.number);
        let items = self
            .audit_items(pk, "0".to_owned(), "f".to_owned(), None)
            .await?;
        let mut lines: Vec<_> = items
            .iter()
            .filter_map(|i| i.get("list")?.as_s().ok())
            .flat_map(|list| list.split_inclusive('\n'))
            .collect();
        lines.sort_unstable();
        Ok(lines.concat())
    }
}
