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
use vestibule_domain::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::record::{
    Claim, Fact, Mac, NewRecord, PlanRecord, RecordData, RecordKey, RecordKind,
};
use vestibule_domain::text::Sensitive;
use vestibule_secrets::{Keyring, Purpose};

use crate::item::{self, Item};
use crate::tables::RECORDS_INDEX;
use crate::{Store, Unavailable, keys};

/// Returns the attribute that links a record to the organization created from it on a portal.
pub(crate) fn claim(portal: &PortalId) -> String {
    format!("{CLAIM}{portal}")
}

/// Returns the attribute that links a record to the account that used this registration type.
pub(crate) fn claim_by(portal: &PortalId, registration_type: &str) -> String {
    format!("{CLAIM}{portal}#{registration_type}")
}

const CLAIM: &str = "claim#";

/// The value of [`claim`] for a record with a member's account and no organization.
pub(crate) const NO_ORGANIZATION: &str = "-";

/// Parses the item of a record.
pub(crate) fn read(mut found: Item, keyring: &Keyring) -> Result<PlanRecord, Unavailable> {
    let mut field = |name: &str| {
        found
            .remove(name)
            .ok_or_else(|| Unavailable::corrupt("a plan record"))
    };
    let corrupt = |_| Unavailable::corrupt("a plan record");
    let key: RecordKey = from_attribute_value(field("key")?).map_err(corrupt)?;
    let facts: BTreeMap<Fact, Mac> = from_attribute_value(field("facts")?).map_err(corrupt)?;
    let mut data: RecordData = from_attribute_value(field("data")?).map_err(corrupt)?;
    if let Some(sealed) = found.remove("address") {
        data.address = Some(item::open_address(&keys::record(&key), &sealed, keyring)?);
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
        let corrupt = || Unavailable::corrupt("a claim on a plan record");
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
    })
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
    /// Whether the plan must send a notice to the record's address (EX-06).
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
    /// Computes the digest of a record's content. It is keyed, because the facts could otherwise be guessed.
    ///
    /// # Errors
    /// [`Unavailable`] when the content can't be serialized.
    pub fn record_digest(&self, new: &NewRecord) -> Result<String, Unavailable> {
        let facts: BTreeMap<_, _> = new.facts.iter().map(|(f, v)| (f, v.expose())).collect();
        let whole = serde_json::to_string(&(facts, &new.data)).map_err(Unavailable::new)?;
        let context = format!("{}/whole", new.key.context(Fact::LastName));
        let Mac { key, code } =
            self.keyring
                .mac(Purpose::RecordProof, &context, &Sensitive::new(whole));
        Ok(format!("{key}.{}", BASE64URL_NOPAD.encode(&code)))
    }

    /// Loads the stored state of up to 100 different records in one call.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn known_records(
        &self,
        keys: &[&RecordKey],
    ) -> Result<HashMap<RecordKey, Known>, Unavailable> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let keys = keys.iter().map(|key| keys::record(key)).collect();
        let found = self
            .batch_of(keys, Some("pk, sk, digest, ended, listed"))
            .await?;
        let known = found.into_iter().map(|item| {
            let key = key_of(&item).ok_or_else(|| Unavailable::corrupt("a plan record"))?;
            let known = Known {
                digest: item.get("digest").and_then(|d| d.as_s().ok()).cloned(),
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
    /// [`Unavailable`].
    pub async fn save_record(
        &self,
        new: &NewRecord,
        saving: Saving<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Saved, Unavailable> {
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
        let key = keys::record(&new.key);
        let sealed = new
            .data
            .address
            .as_ref()
            .map(|a| item::seal_address(&key, a, &self.keyring, rng))
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
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .expression_attribute_names("#key", "key")
            .expression_attribute_names("#data", "data")
            .expression_attribute_values(":key", attribute(&new.key)?)
            .expression_attribute_values(":facts", attribute(&facts)?)
            .expression_attribute_values(":data", attribute(&data)?)
            .expression_attribute_values(":listed", AttributeValue::S(keys::listed(&new.key)))
            .return_values(ReturnValue::AllOld);
        match sealed {
            Some(sealed) => {
                set.push("address = :address");
                update = update.expression_attribute_values(":address", sealed);
            }
            None => remove.push("address"),
        }
        match saving.digest {
            Some(digest) => {
                set.push("digest = :digest");
                update = update
                    .expression_attribute_values(":digest", AttributeValue::S(digest.to_owned()));
            }
            None => remove.push("digest"),
        }
        if saving.to_notify {
            set.push("to_notify = :true");
            update = update.expression_attribute_values(":true", AttributeValue::Bool(true));
        }
        if let Some(feed) = saving.feed {
            set.push("feed = :feed");
            update = update
                .expression_attribute_values(":feed", AttributeValue::S(feed.to_owned()))
                .condition_expression(NOT_LATER);
        }
        self.note_manager(new).await?;
        let done = update
            .update_expression(format!(
                "SET {} REMOVE {}",
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
    /// [`Unavailable`].
    pub async fn settle_record(
        &self,
        key: &RecordKey,
        digest: &str,
        feed: Option<&str>,
    ) -> Result<Option<PlanRecord>, Unavailable> {
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::record(key).into_item()))
            .update_expression("SET digest = :digest")
            .expression_attribute_values(":digest", AttributeValue::S(digest.to_owned()))
            .return_values(ReturnValue::AllNew);
        let live = "attribute_exists(pk) AND attribute_not_exists(ended)";
        update = match feed {
            Some(feed) => update
                .condition_expression(format!("{live} AND feed = :feed"))
                .expression_attribute_values(":feed", AttributeValue::S(feed.to_owned())),
            None => update.condition_expression(live),
        };
        match update.send().await {
            Ok(done) => done.attributes.map(|a| read(a, &self.keyring)).transpose(),
            Err(e) if is_conditional(&e) => Ok(None),
            Err(e) => Err(Unavailable::call(e)),
        }
    }

    /// Terminates a record. Its facts and address are erased, so that nobody can register with it; its claims
    /// are kept, so that access returns if the record does.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn end_record(
        &self,
        key: &RecordKey,
        day: Date,
        feed: Option<&str>,
    ) -> Result<Saved, Unavailable> {
        let mut set = "SET ended = :day, facts = :none".to_owned();
        let mut update = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::record(key).into_item()))
            .expression_attribute_values(":day", AttributeValue::S(day.to_string()))
            .expression_attribute_values(":none", AttributeValue::M(HashMap::new()))
            .return_values(ReturnValue::AllOld);
        update = match feed {
            Some(feed) => {
                set.push_str(", feed = :feed");
                update
                    .condition_expression(format!("attribute_exists(pk) AND {NOT_LATER}"))
                    .expression_attribute_values(":feed", AttributeValue::S(feed.to_owned()))
            }
            None => update.condition_expression("attribute_exists(pk)"),
        };
        let done = update
            .update_expression(format!("{set} REMOVE address, digest"))
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
    /// [`Unavailable`].
    pub async fn unlist_record(&self, key: &RecordKey) -> Result<(), Unavailable> {
        let done = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::record(key).into_item()))
            .condition_expression("attribute_exists(ended)")
            .update_expression("REMOVE listed")
            .send()
            .await;
        Unavailable::unless_conditional(done)
    }

    fn saved<R>(
        &self,
        done: Result<UpdateItemOutput, SdkError<UpdateItemError, R>>,
    ) -> Result<Saved, Unavailable> {
        match done {
            Ok(done) => {
                let before = done.attributes.filter(|a| a.contains_key("key"));
                let before = before.map(|a| read(a, &self.keyring)).transpose()?;
                Ok(Saved::Written(before.map(Box::new)))
            }
            Err(e) if is_conditional(&e) => Ok(Saved::Superseded),
            Err(e) => Err(Unavailable::call(e)),
        }
    }

    /// Loads a page of the plan's listed records of a kind and the start of the next page.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn listed_records(
        &self,
        plan: &str,
        kind: RecordKind,
        cursor: ListCursor,
    ) -> Result<(Vec<RecordKey>, Option<ListCursor>), Unavailable> {
        let ListCursor(shard, start) = cursor;
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .index_name(RECORDS_INDEX)
            .key_condition_expression("listed = :list")
            .expression_attribute_values(":list", AttributeValue::S(keys::list(plan, kind, shard)))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(Unavailable::call)?;
        let found = got.items.unwrap_or_default();
        let records = found.iter().filter_map(key_of).collect();
        let next = match got.last_evaluated_key {
            Some(last) => Some(ListCursor(shard, Some(last))),
            None if shard + 1 < keys::LISTS => Some(ListCursor(shard + 1, None)),
            None => None,
        };
        Ok((records, next))
    }
}

fn key_of(item: &Item) -> Option<RecordKey> {
    keys::record_of(item.get("pk")?.as_s().ok()?, item.get("sk")?.as_s().ok()?)
}

fn is_conditional<R>(error: &SdkError<UpdateItemError, R>) -> bool {
    error
        .as_service_error()
        .is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

fn attribute(value: &impl serde::Serialize) -> Result<AttributeValue, Unavailable> {
    to_attribute_value(value).map_err(Unavailable::new)
}
