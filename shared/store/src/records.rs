//! Plan records in the table: facts as keyed codes, addresses sealed, claims beside them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use rand::CryptoRng;
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};
use vestibule_domain::ids::{AccountId, PortalId};
use vestibule_domain::record::{Fact, Mac, NewRecord, PlanRecord, RecordData, RecordKey};
use vestibule_secrets::{Keyring, Purpose};

use crate::item::{self, Item};
use crate::{Store, Unavailable, keys};

/// The attribute that ties a record to the account that registered with it on a portal.
pub(crate) fn claim(portal: &PortalId) -> String {
    format!("{CLAIM}{portal}")
}

const CLAIM: &str = "claim#";

/// The record of an item.
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
    let claims = found
        .iter()
        .filter_map(|(name, value)| {
            let portal = PortalId::parse(name.strip_prefix(CLAIM)?).ok()?;
            Some((portal, AccountId::parse(value.as_s().ok()?).ok()?))
        })
        .collect();
    Ok(PlanRecord {
        key,
        facts,
        data,
        claims,
    })
}

impl Store {
    /// Writes what a feed says of a record and leaves its claims alone. Returns the record as it
    /// was before, if there was one.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn save_record(
        &self,
        new: &NewRecord,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<PlanRecord>, Unavailable> {
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
        let set = "SET #key = :key, facts = :facts, #data = :data";
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .expression_attribute_names("#key", "key")
            .expression_attribute_names("#data", "data")
            .expression_attribute_values(":key", attribute(&new.key)?)
            .expression_attribute_values(":facts", attribute(&facts)?)
            .expression_attribute_values(":data", attribute(&data)?)
            .return_values(ReturnValue::AllOld);
        let update = match sealed {
            Some(sealed) => update
                .update_expression(format!("{set}, address = :address"))
                .expression_attribute_values(":address", sealed),
            None => update.update_expression(format!("{set} REMOVE address")),
        };
        let done = update.send().await.map_err(Unavailable::call)?;
        done.attributes
            .filter(|a| a.contains_key("key"))
            .map(|a| read(a, &self.keyring))
            .transpose()
    }
}

fn attribute(value: &impl serde::Serialize) -> Result<AttributeValue, Unavailable> {
    to_attribute_value(value).map_err(Unavailable::new)
}
