//! Plan records in the table: facts as keyed codes, addresses sealed, claims beside them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use rand::CryptoRng;
use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};
use vestibule_domain::ids::{AccountId, OrganisationId, PortalId};
use vestibule_domain::record::{Claim, Fact, Mac, NewRecord, PlanRecord, RecordData, RecordKey};
use vestibule_secrets::{Keyring, Purpose};

use crate::item::{self, Item};
use crate::{Store, Unavailable, keys};

/// The attribute that ties a record to the organisation that was made of it on a portal.
pub(crate) fn claim(portal: &PortalId) -> String {
    format!("{CLAIM}{portal}")
}

/// The attribute that ties it to the account that registered with it this way.
pub(crate) fn claim_by(portal: &PortalId, way: &str) -> String {
    format!("{CLAIM}{portal}#{way}")
}

const CLAIM: &str = "claim#";

/// What [`claim`] holds where nothing but a member's own account was made of the record.
pub(crate) const NO_ORGANISATION: &str = "-";

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
    let mut claims = BTreeMap::<PortalId, Claim>::new();
    for (name, value) in &found {
        let (Some(claim), Ok(value)) = (name.strip_prefix(CLAIM), value.as_s()) else {
            continue;
        };
        let (portal, way) = match claim.split_once('#') {
            Some((portal, way)) => (portal, Some(way)),
            None => (claim, None),
        };
        let corrupt = || Unavailable::corrupt("a claim on a plan record");
        let portal = PortalId::parse(portal).map_err(|_| corrupt())?;
        let claim = claims.entry(portal).or_default();
        match way {
            Some(way) => {
                let account = AccountId::parse(value).map_err(|_| corrupt())?;
                claim.by.insert(way.to_owned(), account);
            }
            None if value == NO_ORGANISATION => {}
            None => {
                let organisation = OrganisationId::parse(value).map_err(|_| corrupt())?;
                claim.organisation = Some(organisation);
            }
        }
    }
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
        self.note_manager(new).await?;
        let done = update.send().await.map_err(Unavailable::call)?;
        let before = done
            .attributes
            .filter(|a| a.contains_key("key"))
            .map(|a| read(a, &self.keyring))
            .transpose()?;
        if let Some(before) = &before {
            self.forget_manager(before, Some(new)).await?;
        }
        Ok(before)
    }
}

fn attribute(value: &impl serde::Serialize) -> Result<AttributeValue, Unavailable> {
    to_attribute_value(value).map_err(Unavailable::new)
}
