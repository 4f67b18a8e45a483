//! Loads the keyring. Its wrapped keys are stored in the main table; KMS unwraps them once per container.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::Client as Kms;
use vestibule_secrets::{Keyring, WrappedKey, kms};

use crate::{Tables, Unavailable, keys};

/// Loads the keyring; the first caller creates it.
///
/// # Errors
/// [`Unavailable`] when DynamoDB or KMS doesn't answer.
pub async fn load(
    db: &Client,
    tables: &Tables,
    client: &Kms,
    key_id: &str,
) -> Result<Keyring, Unavailable> {
    if let Some(wrapped) = fetch(db, tables).await? {
        return kms::unwrap(client, &wrapped)
            .await
            .map_err(Unavailable::new);
    }
    let first = kms::generate(client, key_id, 1)
        .await
        .map_err(Unavailable::new)?;
    let put = db
        .put_item()
        .table_name(&tables.main)
        .set_item(Some(keys::keyring().into_item()))
        .item(
            "keys",
            AttributeValue::L(vec![AttributeValue::M(
                [
                    (
                        "version".to_owned(),
                        AttributeValue::N(first.version.to_string()),
                    ),
                    (
                        "blob".to_owned(),
                        AttributeValue::B(Blob::new(first.blob.clone())),
                    ),
                ]
                .into(),
            )]),
        )
        .condition_expression("attribute_not_exists(pk)")
        .send()
        .await;
    match put {
        Ok(_) => {}
        // Another container created the keyring first. Use that one.
        Err(e)
            if e.as_service_error()
                .is_some_and(|e| e.is_conditional_check_failed_exception()) => {}
        Err(e) => return Err(Unavailable::call(e)),
    }
    let wrapped = fetch(db, tables)
        .await?
        .ok_or_else(|| Unavailable::corrupt("the keyring"))?;
    kms::unwrap(client, &wrapped)
        .await
        .map_err(Unavailable::new)
}

async fn fetch(db: &Client, tables: &Tables) -> Result<Option<Vec<WrappedKey>>, Unavailable> {
    let got = db
        .get_item()
        .table_name(&tables.main)
        .set_key(Some(keys::keyring().into_item()))
        .consistent_read(true)
        .send()
        .await
        .map_err(Unavailable::call)?;
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
        .ok_or_else(|| Unavailable::corrupt("the keyring"))
}
