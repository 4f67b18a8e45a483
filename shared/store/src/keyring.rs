//! Loads the keyring. Its wrapped keys are stored in the main table; KMS unwraps them once per container.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::Client as Kms;
use vestibule_secrets::{Keyring, WrappedKey, kms};

use crate::error::took_effect;
use crate::expression::n;
use crate::key::Key;
use crate::{StoreError, Tables};

fn key() -> Key {
    Key::new("K", "K")
}

/// Loads the keyring; the first caller creates it.
///
/// # Errors
/// [`StoreError`] when DynamoDB or KMS doesn't answer.
pub async fn load(
    db: &Client,
    tables: &Tables,
    client: &Kms,
    key_id: &str,
) -> Result<Keyring, StoreError> {
    if let Some(wrapped) = fetch(db, tables).await? {
        return kms::unwrap(client, &wrapped)
            .await
            .map_err(StoreError::unavailable);
    }
    let first = kms::generate(client, key_id, 1)
        .await
        .map_err(StoreError::unavailable)?;
    let wrapped = [
        ("version".to_owned(), n(first.version)),
        (
            "blob".to_owned(),
            AttributeValue::B(Blob::new(first.blob.clone())),
        ),
    ]
    .into();
    let put = db
        .put_item()
        .table_name(&tables.main)
        .set_item(Some(key().into_item()))
        .item("keys", AttributeValue::L(vec![AttributeValue::M(wrapped)]))
        .condition_expression("attribute_not_exists(pk)")
        .send()
        .await;
    // If another container created the keyring first, that one is used.
    took_effect(put)?;
    let wrapped = fetch(db, tables)
        .await?
        .ok_or_else(|| StoreError::corrupt("the keyring"))?;
    kms::unwrap(client, &wrapped)
        .await
        .map_err(StoreError::unavailable)
}

async fn fetch(db: &Client, tables: &Tables) -> Result<Option<Vec<WrappedKey>>, StoreError> {
    let got = db
        .get_item()
        .table_name(&tables.main)
        .set_key(Some(key().into_item()))
        .consistent_read(true)
        .send()
        .await
        .map_err(StoreError::call)?;
    let Some(item) = got.item else {
        return Ok(None);
    };
    let parse = |value: &AttributeValue| {
        let key = value.as_m().ok()?;
        Some(WrappedKey {
            version: key.get("version")?.as_n().ok()?.parse().ok()?,
            blob: key.get("blob")?.as_b().ok()?.clone().into_inner(),
        })
    };
    let wrapped: Option<Vec<_>> = item
        .get("keys")
        .and_then(|k| k.as_l().ok())
        .and_then(|list| list.iter().map(parse).collect());
    wrapped
        .map(Some)
        .ok_or_else(|| StoreError::corrupt("the keyring"))
}
