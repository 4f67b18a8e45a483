//! Copies items from tables that were restored to a point in time back into the tables in use.
//!
//! Items are copied whole and unchanged, because sealed fields and MACs are bound to the key of their item
//! and not to the table. Copying can be interrupted at any time and repeated: an item that is already there is
//! not written again. A request that writes an item at the same time wins.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::attributes::{Item, text};
use crate::error::took_effect;
use crate::expression::s;
use crate::key::Key;
use crate::read::batch_get;
use crate::tables::{AUDIT_TTL, EXPIRES};
use crate::{StoreError, kept, keyring, sessions};

/// The number of items that are read and compared at once: the limit of BatchGetItem.
const PAGE: i32 = 100;

/// The number of concurrent writes.
const CONCURRENCY: usize = 32;

/// How often reads are repeated. A page can exceed the 16 MB that one call returns, so this is normal for large
/// items.
const MAX_ROUNDS: u32 = 8;

/// A restored table and the table in use.
#[derive(Debug, Clone)]
pub struct Restore {
    pub db: Client,
    /// The table that was restored to a point in time.
    pub from: String,
    /// The table in use.
    pub to: String,
    pub kind: TableKind,
}

/// Which of the two tables is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    Main,
    Audit,
}

/// What to do with items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mode {
    /// Whether to write. Otherwise differences are only counted.
    pub apply: bool,
    /// Whether items that differ are set back too. The keyring and the audit trail never are.
    pub overwrite: bool,
}

/// Where copying continues after an interruption: the key of the last item that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    pk: String,
    sk: String,
}

/// What was found, by number of items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Items that the table in use lacks.
    pub missing: u64,
    /// Items that differ.
    pub different: u64,
    /// Items that are the same in both.
    pub same: u64,
    /// Sessions, links and kept responses, and items that have expired: they are not restored.
    pub left_out: u64,
    /// Items that were written.
    pub written: u64,
    /// Items that a request wrote at the same time, which were left as they are.
    pub overtaken: u64,
}

/// What was found so far, by kind of item: the letter with which its key starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub kinds: BTreeMap<String, Counts>,
}

impl Report {
    /// Returns the counts of all kinds together.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        for counts in self.kinds.values() {
            total += *counts;
        }
        total
    }

    fn add(&mut self, kind: &str, counts: Counts) {
        *self.kinds.entry(kind.to_owned()).or_default() += counts;
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        for (kind, counts) in other.kinds {
            self.add(&kind, counts);
        }
    }
}

impl Counts {
    /// Returns how many items of the restored table were read.
    pub const fn read(&self) -> u64 {
        self.missing + self.different + self.same + self.left_out
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        // Destructured so that a new count can't be forgotten here.
        let Self {
            missing,
            different,
            same,
            left_out,
            written,
            overtaken,
        } = other;
        self.missing += missing;
        self.different += different;
        self.same += same;
        self.left_out += left_out;
        self.written += written;
        self.overtaken += overtaken;
    }
}

/// An item of the restored table, compared with the one in use.
enum Difference {
    Missing(Item),
    Different { lost: Item, current: Item },
    Same,
    LeftOut,
}

impl Restore {
    /// Copies every item, starting after `cursor`. After each page, `progress` receives the counts and where to
    /// continue; `None` at the end.
    ///
    /// # Errors
    /// [`StoreError`] when a table can't be read or written, or an error of `progress`, or the tables have
    /// different keyrings, so that items of one can't be read with the other's.
    pub async fn copy_all(
        &self,
        mode: Mode,
        now: Timestamp,
        (mut report, mut cursor): (Report, Option<Cursor>),
        mut progress: impl FnMut(&Report, Option<&Cursor>) -> Result<(), StoreError>,
    ) -> Result<Report, StoreError> {
        if self.kind == TableKind::Main {
            self.restore_keyring(mode, &mut report, cursor.is_none())
                .await?;
        }
        loop {
            let start = cursor.map(|Cursor { pk, sk }| Key::new(pk, sk).into_item());
            let page = self
                .db
                .scan()
                .table_name(&self.from)
                .limit(PAGE)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::call)?;
            let items = page.items.unwrap_or_default();
            self.copy(items, mode, now, &mut report).await?;
            cursor = page.last_evaluated_key.as_ref().and_then(|key| {
                Some(Cursor {
                    pk: text(key, "pk")?.clone(),
                    sk: text(key, "sk")?.clone(),
                })
            });
            progress(&report, cursor.as_ref())?;
            if cursor.is_none() {
                return Ok(report);
            }
        }
    }

    /// Copies the items of one partition, such as `O#group#…`.
    ///
    /// # Errors
    /// [`StoreError`] when a table can't be read or written.
    pub async fn copy_partition(
        &self,
        pk: &str,
        mode: Mode,
        now: Timestamp,
    ) -> Result<Report, StoreError> {
        let mut report = Report::default();
        if self.is_keyring(pk) {
            self.restore_keyring(mode, &mut report, true).await?;
            return Ok(report);
        }
        let mut start = None;
        loop {
            let page = self
                .db
                .query()
                .table_name(&self.from)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", s(pk))
                .limit(PAGE)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::call)?;
            let items = page.items.unwrap_or_default();
            self.copy(items, mode, now, &mut report).await?;
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(report);
            }
        }
    }

    fn is_keyring(&self, pk: &str) -> bool {
        self.kind == TableKind::Main && pk == keyring::key().pk
    }

    /// Copies the keyring if it is missing. Without it nothing else can be read, so it is first.
    async fn restore_keyring(
        &self,
        mode: Mode,
        report: &mut Report,
        is_first: bool,
    ) -> Result<(), StoreError> {
        let lost = self.get(&self.from, keyring::key()).await?;
        let lost = lost.ok_or_else(|| {
            StoreError::Unavailable(format!(
                "table {} has no keyring (item K): it is not a restored main table",
                self.from
            ))
        })?;
        let current = self.get(&self.to, keyring::key()).await?;
        let kind = keyring::key().pk;
        match current {
            None => {
                let written = mode.apply && self.put_missing(lost).await?;
                let counts = Counts {
                    missing: 1,
                    written: u64::from(written),
                    ..Counts::default()
                };
                report.add(&kind, counts);
            }
            // A rotation adds keys, so the keyring in use may have more than the restored one, and never fewer.
            Some(current) if keyring::continues(&lost, &current) => {
                if is_first {
                    let counts = Counts {
                        same: 1,
                        ..Counts::default()
                    };
                    report.add(&kind, counts);
                }
            }
            Some(_) => {
                return Err(StoreError::Unavailable(format!(
                    "table {} has another keyring (item K) than {}, so the items of one can't be read with the keys of the other. If the table in use holds nothing that is needed, delete its item K first",
                    self.to, self.from
                )));
            }
        }
        Ok(())
    }

    /// Compares a page of items with the table in use and copies them.
    async fn copy(
        &self,
        items: Vec<Item>,
        mode: Mode,
        now: Timestamp,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let items: Vec<_> = items
            .into_iter()
            .filter(|item| !text(item, "pk").is_some_and(|pk| self.is_keyring(pk)))
            .collect();
        let current = self.current(&items).await?;
        let found = items.into_iter().map(|item| {
            let kind = self.kind_of(&item);
            let difference = match current.get(&key_of(&item)) {
                _ if self.is_left_out(&item, now) => Difference::LeftOut,
                None => Difference::Missing(item),
                Some(current) if *current == item => Difference::Same,
                Some(current) => Difference::Different {
                    lost: item,
                    current: current.clone(),
                },
            };
            (kind, difference)
        });
        let found: Vec<_> = found.collect();
        let written: Vec<(String, Counts)> = stream::iter(found)
            .map(|(kind, difference)| async move {
                Ok::<_, StoreError>((kind, self.write(difference, mode).await?))
            })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        for (kind, counts) in written {
            report.add(&kind, counts);
        }
        Ok(())
    }

    async fn write(&self, difference: Difference, mode: Mode) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        let written = match difference {
            Difference::LeftOut => {
                counts.left_out = 1;
                return Ok(counts);
            }
            Difference::Same => {
                counts.same = 1;
                return Ok(counts);
            }
            Difference::Missing(item) => {
                counts.missing = 1;
                match mode.apply {
                    true => Some(self.put_missing(item).await?),
                    false => None,
                }
            }
            Difference::Different { lost, current } => {
                counts.different = 1;
                match mode.apply && mode.overwrite && self.kind == TableKind::Main {
                    true => Some(self.put_over(lost, &current).await?),
                    false => None,
                }
            }
        };
        counts.written = u64::from(written == Some(true));
        counts.overtaken = u64::from(written == Some(false));
        Ok(counts)
    }

    /// Whether an item must not return: it let its holder in, or would soon have been deleted.
    fn is_left_out(&self, item: &Item, now: Timestamp) -> bool {
        let (pk, sk) = (text(item, "pk"), text(item, "sk"));
        let lets_in = self.kind == TableKind::Main
            && pk.zip(sk).is_some_and(|(pk, sk)| {
                pk.starts_with("T#")
                    || pk.starts_with("A#")
                        && (sk.starts_with(sessions::SESSIONS) || sk.starts_with(kept::KEPT))
            });
        let ttl = match self.kind {
            TableKind::Main => EXPIRES,
            TableKind::Audit => AUDIT_TTL,
        };
        let expires: Option<i64> = item
            .get(ttl)
            .and_then(|value| value.as_n().ok()?.parse().ok());
        lets_in || expires.is_some_and(|expires| expires <= now.as_second())
    }

    /// Returns the name of an item's kind for reports. It contains nothing about a person.
    fn kind_of(&self, item: &Item) -> String {
        let pk = text(item, "pk").map_or("", String::as_str);
        let mut parts = pk.split('#');
        match self.kind {
            TableKind::Main => parts.next().unwrap_or_default().to_owned(),
            // The portal is first.
            TableKind::Audit => match parts.nth(1) {
                Some(part @ ("seals" | "sealed")) => part.to_owned(),
                _ => "events".to_owned(),
            },
        }
    }

    async fn get(&self, table: &str, key: Key) -> Result<Option<Item>, StoreError> {
        let got = self
            .db
            .get_item()
            .table_name(table)
            .set_key(Some(key.into_item()))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::call)?;
        Ok(got.item)
    }

    /// Loads the items in use with the keys of these items.
    async fn current(&self, items: &[Item]) -> Result<HashMap<(String, String), Item>, StoreError> {
        if items.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = items.iter().map(|item| {
            let (pk, sk) = key_of(item);
            Key::new(pk, sk).into_item()
        });
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys.collect()));
        let found = batch_get((&self.db, &self.to), wanted, MAX_ROUNDS).await?;
        Ok(found
            .into_iter()
            .map(|item| (key_of(&item), item))
            .collect())
    }

    /// Writes an item that is missing. Returns `false` if it is there by now.
    async fn put_missing(&self, item: Item) -> Result<bool, StoreError> {
        let put = self
            .db
            .put_item()
            .table_name(&self.to)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        took_effect(put.send().await)
    }

    /// Sets an item back. Returns `false` if it changed since it was compared.
    async fn put_over(&self, lost: Item, current: &Item) -> Result<bool, StoreError> {
        let mut put = self.db.put_item().table_name(&self.to).set_item(Some(lost));
        let mut unchanged = Vec::new();
        for (i, (name, value)) in current.iter().enumerate() {
            unchanged.push(format!("#a{i} = :v{i}"));
            put = put
                .expression_attribute_names(format!("#a{i}"), name)
                .expression_attribute_values(format!(":v{i}"), value.clone());
        }
        took_effect(
            put.condition_expression(unchanged.join(" AND "))
                .send()
                .await,
        )
    }
}

fn key_of(item: &Item) -> (String, String) {
    let part = |name| text(item, name).cloned().unwrap_or_default();
    (part("pk"), part("sk"))
}
