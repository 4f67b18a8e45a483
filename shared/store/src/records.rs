//! Plan records. Their facts are stored as keyed MACs, their addresses are sealed, and the claims of accounts
//! are separate attributes.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use data_encoding::BASE64URL_NOPAD;
use jiff::civil::Date;
use rand::CryptoRng;
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};
use vestibule_domain::decision::RecordClaim;
use vestibule_domain::policy::Slug;
use vestibule_domain::state::record::{Claim, Mac, NewRecord, PlanRecord, RecordData, RecordKey};
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::values::record_kind::{Fact, RecordKind};
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::{Keyring, Purpose};

use crate::attributes::{Item, text};
use crate::commit::{Unique, Writes};
use crate::error::{is_conditional, took_effect};
use crate::expression::{Expression, n, s};
use crate::item;
use crate::key::Key;
use crate::tables::RECORDS_INDEX;
use crate::{Store, StoreError};

pub(crate) fn key(key: &RecordKey) -> Key {
    Key::new(partition(key), format!("{:02}", key.person))
}

/// Returns the partition of all persons with one number.
fn partition(key: &RecordKey) -> String {
    format!("R#{}#{}#{}", key.plan, key.kind.into_str(), key.number)
}

/// Parses the key of a record from its item.
fn key_of(item: &Item) -> Option<RecordKey> {
    let (pk, sk) = (text(item, "pk")?, text(item, "sk")?);
    let mut parts = pk.strip_prefix("R#")?.splitn(3, '#');
    let (plan, kind, number) = (parts.next()?, parts.next()?, parts.next()?);
    Some(RecordKey {
        plan: plan.to_owned(),
        kind: RecordKind::ALL
            .iter()
            .copied()
            .find(|k| k.into_str() == kind)?,
        number: number.to_owned(),
        person: sk.parse().ok()?,
    })
}

/// Returns which of the [`LISTS`] partitions of the index lists a record.
fn listed(key: &RecordKey) -> String {
    let sum = key.number.bytes().fold(0u32, |sum, b| {
        sum.wrapping_mul(31).wrapping_add(u32::from(b))
    });
    list(&key.plan, key.kind, (sum % u32::from(LISTS)) as u8)
}

fn list(plan: &str, kind: RecordKind, shard: u8) -> String {
    format!("{plan}#{}#{shard:x}", kind.into_str())
}

/// The number of partitions of the list of a plan's records of one kind.
const LISTS: u8 = 16;

/// Returns the attribute that links a record to the organization created from it on a portal.
fn claim(portal: &PortalId) -> String {
    format!("{CLAIM}{portal}")
}

/// Returns the attribute that links a record to the account that used this registration type.
fn claim_by(portal: &PortalId, registration_type: &str) -> String {
    format!("{CLAIM}{portal}#{registration_type}")
}

const CLAIM: &str = "claim#";

/// The value of [`claim`] for a record with a member's account and no organization.
const NO_ORGANIZATION: &str = "-";

/// Parses the item of a record.
pub(crate) fn read(mut found: Item, keyring: &Keyring) -> Result<PlanRecord, StoreError> {
    let mut field = |name: &str| {
        found
            .remove(name)
            .ok_or_else(|| StoreError::corrupt("a plan record"))
    };
    let corrupt = |_| StoreError::corrupt("a plan record");
    let key: RecordKey = from_attribute_value(field("key")?).map_err(corrupt)?;
    let facts: BTreeMap<Fact, Mac> = from_attribute_value(field("facts")?).map_err(corrupt)?;
    let mut data: RecordData = from_attribute_value(field("data")?).map_err(corrupt)?;
    if let Some(sealed) = found.remove("address") {
        data.address = Some(item::open(
            Purpose::PostalAddress,
            &self::key(&key),
            &sealed,
            keyring,
        )?);
    }
    let mut claims = BTreeMap::<PortalId, Claim>::new();
    for (name, value) in &found {
        let (Some(claim), Ok(value)) = (name.strip_prefix(CLAIM), value.as_s()) else {
            continue;
        };
        let (portal, registration_type) = match claim.split_once('#') {
            Some((portal, registration_type)) => (portal, Some(registration_type)),
            None => (claim, None),
        };
        let corrupt = || StoreError::corrupt("a claim on a plan record");
        let portal = PortalId::parse(portal).map_err(|_| corrupt())?;
        let claim = claims.entry(portal).or_default();
        match registration_type {
            Some(registration_type) => {
                let account = AccountId::parse(value).map_err(|_| corrupt())?;
                claim.by.insert(registration_type.to_owned(), account);
            }
            None if value == NO_ORGANIZATION => {}
            None => {
                let organization = OrganizationId::parse(value).map_err(|_| corrupt())?;
                claim.organization = Some(organization);
            }
        }
    }
    Ok(PlanRecord {
        key,
        facts,
        data,
        claims,
        ended: found.contains_key("ended"),
        to_notify: found.contains_key("to_notify"),
        version: version(&found)?,
    })
}

fn version(item: &Item) -> Result<u64, StoreError> {
    let Some(version) = item.get("version") else {
        return Ok(0);
    };
    let number = version.as_n().ok().and_then(|n| n.parse().ok());
    number.ok_or_else(|| StoreError::corrupt("the version of a plan record"))
}

/// The stored state of a record before a feed is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The keyed digest of the record's content; `None` while its consequences are still to be applied.
    pub digest: Option<String>,
    /// Whether the record is terminated.
    pub ended: bool,
    /// Whether the record is listed; a terminated record stays listed until everyone affected is notified.
    pub listed: bool,
}

/// Options for saving a record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Saving<'a> {
    /// The order of the feed; it does not overwrite what a later feed wrote.
    pub feed: Option<&'a str>,
    /// The record's digest, if the record has no consequences to apply.
    pub digest: Option<&'a str>,
    /// Whether the plan must send a notice to the record's address (EX-06), if this write creates the record.
    pub to_notify: bool,
}

/// The result of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// The record was written; contains the previous record, if there was one.
    Written(Option<Box<PlanRecord>>),
    /// A later feed has already written the record.
    Superseded,
}

/// The start of a page of a list of records.
#[derive(Debug, Clone, Default)]
pub struct ListCursor(u8, Option<Item>);

/// The condition that no later feed has written the record.
const NOT_LATER: &str = "(attribute_not_exists(feed) OR feed <= :feed)";

impl Store {
    /// Loads the records of all persons with a number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan_records(&self, key: &RecordKey) -> Result<Vec<PlanRecord>, StoreError> {
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .key_condition_expression("pk = :pk")
            .values([(":pk", s(partition(key)))])
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::call)?;
        let items = got.items.unwrap_or_default();
        self.load_keys_for(&items).await?;
        items.into_iter().map(|i| read(i, &self.keyring)).collect()
    }

    /// Loads a plan record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan_record(&self, key: &RecordKey) -> Result<Option<PlanRecord>, StoreError> {
        let found = self.get(self::key(key)).await?;
        found.map(|i| read(i, &self.keyring)).transpose()
    }

    /// Computes the digest of a record's content. It is keyed, because the facts could otherwise be guessed.
    ///
    /// # Errors
    /// [`StoreError`] when the content can't be serialized.
    pub fn record_digest(&self, new: &NewRecord) -> Result<String, StoreError> {
        let facts: BTreeMap<_, _> = new.facts.iter().map(|(f, v)| (f, v.expose())).collect();
        let whole = serde_json::to_string(&(facts, &new.data)).map_err(StoreError::unavailable)?;
        let context = format!("{}/whole", new.key.context(Fact::LastName));
        let Mac { key, code } =
            self.keyring
                .mac(Purpose::RecordProof, &context, &Sensitive::new(whole));
        Ok(format!("{key}.{}", BASE64URL_NOPAD.encode(&code)))
    }

    /// Loads the stored state of up to 100 different records in one call.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_records(
        &self,
        records: &[&RecordKey],
    ) -> Result<HashMap<RecordKey, Known>, StoreError> {
        if records.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = records.iter().map(|record| key(record)).collect();
        let found = self
            .batch_of(keys, Some("pk, sk, digest, ended, listed"))
            .await?;
        let known = found.into_iter().map(|item| {
            let key = key_of(&item).ok_or_else(|| StoreError::corrupt("a plan record"))?;
            let known = Known {
                digest: text(&item, "digest").cloned(),
                ended: item.contains_key("ended"),
                listed: item.contains_key("listed"),
            };
            Ok((key, known))
        });
        known.collect()
    }

    /// Saves a record of a feed and keeps its claims.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_record(
        &self,
        new: &NewRecord,
        saving: Saving<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Saved, StoreError> {
        let saved = self.write_record(new, saving, rng).await?;
        if saved == Saved::Superseded && saving.to_notify {
            // Another run created the record after this one read that it did not exist. That run sends the notice,
            // and may have sent it already, so the record is not marked again.
            let unmarked = Saving {
                to_notify: false,
                ..saving
            };
            return self.write_record(new, unmarked, rng).await;
        }
        Ok(saved)
    }

    async fn write_record(
        &self,
        new: &NewRecord,
        saving: Saving<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Saved, StoreError> {
        let facts: BTreeMap<Fact, Mac> = new
            .facts
            .iter()
            .map(|(fact, value)| {
                (
                    *fact,
                    self.keyring
                        .mac(Purpose::RecordProof, &new.key.context(*fact), value),
                )
            })
            .collect();
        let key = key(&new.key);
        let sealed = new
            .data
            .address
            .as_ref()
            .map(|a| item::seal(Purpose::PostalAddress, &key, a, (&self.keyring, rng)))
            .transpose()?;
        let data = RecordData {
            address: None,
            ..new.data.clone()
        };
        let mut set = vec![
            "#key = :key",
            "facts = :facts",
            "#data = :data",
            "listed = :listed",
        ];
        let mut remove = vec!["ended"];
        let mut update = self
            .update(key)
            .names([("#key", "key"), ("#data", "data")])
            .values([
                (":key", attribute(&new.key)?),
                (":facts", attribute(&facts)?),
                (":data", attribute(&data)?),
                (":listed", s(listed(&new.key))),
                (":one", n(1)),
            ])
            .return_values(ReturnValue::AllOld);
        match sealed {
            Some(sealed) => {
                set.push("address = :address");
                update = update.values([(":address", sealed)]);
            }
            None => remove.push("address"),
        }
        match saving.digest {
            Some(digest) => {
                set.push("digest = :digest");
                update = update.values([(":digest", s(digest))]);
            }
            None => remove.push("digest"),
        }
        let mut conditions = Vec::new();
        if saving.to_notify {
            set.push("to_notify = :true");
            update = update.values([(":true", AttributeValue::Bool(true))]);
            conditions.push("attribute_not_exists(pk)");
        }
        if let Some(feed) = saving.feed {
            set.push("feed = :feed");
            update = update.values([(":feed", s(feed))]);
            conditions.push(NOT_LATER);
        }
        if !conditions.is_empty() {
            update = update.condition_expression(conditions.join(" AND "));
        }
        self.note_manager(new).await?;
        let done = update
            .update_expression(format!(
                "SET {} REMOVE {} ADD version :one",
                set.join(", "),
                remove.join(", ")
            ))
            .send()
            .await;
        let saved = self.saved(done)?;
        if let Saved::Written(Some(before)) = &saved {
            self.forget_manager(before, Some(new)).await?;
        }
        Ok(saved)
    }

    /// Marks the consequences of a record as applied by saving its digest. Returns the current record; `None`
    /// if it changed again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle_record(
        &self,
        key: &RecordKey,
        digest: &str,
        feed: Option<&str>,
    ) -> Result<Option<PlanRecord>, StoreError> {
        let mut update = self
            .update(self::key(key))
            .update_expression("SET digest = :digest")
            .values([(":digest", s(digest))])
            .return_values(ReturnValue::AllNew);
        let live = "attribute_exists(pk) AND attribute_not_exists(ended)";
        update = match feed {
            Some(feed) => update
                .condition_expression(format!("{live} AND feed = :feed"))
                .values([(":feed", s(feed))]),
            None => update.condition_expression(live),
        };
        match update.send().await {
            Ok(done) => done.attributes.map(|a| read(a, &self.keyring)).transpose(),
            Err(e) if is_conditional(&e) => Ok(None),
            Err(e) => Err(StoreError::call(e)),
        }
    }

    /// Terminates a record. Its facts and address are erased, so that nobody can register with it; its claims
    /// are kept, so that access returns if the record does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_record(
        &self,
        key: &RecordKey,
        day: Date,
        feed: Option<&str>,
    ) -> Result<Saved, StoreError> {
        let mut set = "SET ended = :day, facts = :none".to_owned();
        let mut update = self
            .update(self::key(key))
            .values([
                (":day", s(day)),
                (":none", AttributeValue::M(HashMap::new())),
                (":one", n(1)),
            ])
            .return_values(ReturnValue::AllOld);
        update = match feed {
            Some(feed) => {
                set.push_str(", feed = :feed");
                update
                    .condition_expression(format!("attribute_exists(pk) AND {NOT_LATER}"))
                    .values([(":feed", s(feed))])
            }
            None => update.condition_expression("attribute_exists(pk)"),
        };
        let done = update
            .update_expression(format!("{set} REMOVE address, digest ADD version :one"))
            .send()
            .await;
        let saved = self.saved(done)?;
        if let Saved::Written(Some(before)) = &saved {
            self.forget_manager(before, None).await?;
        }
        Ok(saved)
    }

    /// Removes a terminated record from the list after everyone affected was notified.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unlist_record(&self, key: &RecordKey) -> Result<(), StoreError> {
        let done = self
            .update(self::key(key))
            .condition_expression("attribute_exists(ended)")
            .update_expression("REMOVE listed")
            .send()
            .await;
        took_effect(done)?;
        Ok(())
    }

    fn saved<R>(
        &self,
        done: Result<UpdateItemOutput, SdkError<UpdateItemError, R>>,
    ) -> Result<Saved, StoreError> {
        match done {
            Ok(done) => {
                let before = done.attributes.filter(|a| a.contains_key("key"));
                let before = before.map(|a| read(a, &self.keyring)).transpose()?;
                Ok(Saved::Written(before.map(Box::new)))
            }
            Err(e) if is_conditional(&e) => Ok(Saved::Superseded),
            Err(e) => Err(StoreError::call(e)),
        }
    }

    /// Loads a page of the plan's listed records of a kind and the start of the next page.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listed_records(
        &self,
        plan: &str,
        kind: RecordKind,
        cursor: ListCursor,
    ) -> Result<(Vec<RecordKey>, Option<ListCursor>), StoreError> {
        let ListCursor(shard, start) = cursor;
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .index_name(RECORDS_INDEX)
            .key_condition_expression("listed = :list")
            .values([(":list", s(list(plan, kind, shard)))])
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::call)?;
        let found = got.items.unwrap_or_default();
        let records = found.iter().filter_map(key_of).collect();
        let next = match got.last_evaluated_key {
            Some(last) => Some(ListCursor(shard, Some(last))),
            None if shard + 1 < LISTS => Some(ListCursor(shard + 1, None)),
            None => None,
        };
        Ok((records, next))
    }
}

fn attribute(value: &impl serde::Serialize) -> Result<AttributeValue, StoreError> {
    to_attribute_value(value).map_err(StoreError::unavailable)
}

impl Writes<'_> {
    /// Claims a record in the version that was read, so that nobody registers with data that a feed has
    /// replaced. Concurrent registrations can't create two organizations from it or use one registration
    /// type twice.
    pub(crate) fn claim_record(
        &mut self,
        (record, version): (&RecordKey, u64),
        portal: &PortalId,
        registration_type: &Slug,
        account: &AccountId,
        claims: &RecordClaim,
    ) -> Result<(), StoreError> {
        let update = self
            .update_of(key(record))
            .update_expression("SET #claim = :made, #way = :account")
            .names([
                ("#claim", claim(portal)),
                ("#way", claim_by(portal, registration_type.as_str())),
            ])
            .values([(":account", s(account))]);
        let (condition, made) = match claims {
            RecordClaim::NewOrganization(made) => ("attribute_not_exists(#claim)", made.as_ref()),
            RecordClaim::JoinExisting(organization) => (
                "#claim = :made AND attribute_not_exists(#way)",
                Some(organization),
            ),
        };
        let made = made.map_or(NO_ORGANIZATION, |o| o.as_str());
        let update = update
            .condition_expression(format!(
                "attribute_exists(pk) AND attribute_not_exists(ended) AND version = :version AND {condition}"
            ))
            .values([(":made", s(made)), (":version", n(version))]);
        self.push_update(update, Some(Unique::Record))
    }

    pub(crate) fn release_record(
        &mut self,
        record: &RecordKey,
        portal: &PortalId,
        registration_type: &str,
        account: &AccountId,
        whole: bool,
    ) -> Result<(), StoreError> {
        let update = self
            .update_of(key(record))
            .condition_expression("#way = :account")
            .names([("#way", claim_by(portal, registration_type))])
            .values([(":account", s(account))]);
        let update = if whole {
            update
                .update_expression("REMOVE #way, #claim")
                .names([("#claim", claim(portal))])
        } else {
            update.update_expression("REMOVE #way")
        };
        self.push_update(update, None)
    }

    pub(crate) fn note_notified(&mut self, record: &RecordKey) -> Result<(), StoreError> {
        let update = self
            .update_of(key(record))
            .condition_expression("attribute_exists(to_notify)")
            .update_expression("REMOVE to_notify");
        self.push_update(update, None)
    }
}
