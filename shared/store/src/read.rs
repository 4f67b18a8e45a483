//! Reads of any kind of item: a batch of keys, one key, and a page of a partition.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use data_encoding::BASE64URL_NOPAD;

use crate::attributes::{Item, text};
use crate::expression::{Expression, s};
use crate::key::Key;
use crate::rotation::SEALED;
use crate::{Store, StoreError};

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// An opaque cursor for the next page; `None` on the last page.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Creates a page whose next one starts after a sort key.
    pub(crate) fn new(items: Vec<T>, last: Option<String>) -> Self {
        Self {
            items,
            next: last.map(|sk| BASE64URL_NOPAD.encode(sk.as_bytes())),
        }
    }
}

/// Decodes the sort key of a cursor, if the cursor belongs to this list.
pub(crate) fn read_cursor(cursor: &str, prefix: &str) -> Option<String> {
    if cursor.len() > 200 {
        return None;
    }
    let sk = String::from_utf8(BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?).ok()?;
    sk.starts_with(prefix).then_some(sk)
}

/// How often reads that DynamoDB throttles are repeated while a request waits.
const MAX_ROUNDS: u32 = 5;

/// Loads items by key with strong consistency. Keys that DynamoDB leaves out, because it throttles or the items
/// exceed the size of a response, are read again, at most `max_rounds` times.
pub(crate) async fn batch_get(
    (db, table): (&Client, &str),
    wanted: KeysAndAttributesBuilder,
    max_rounds: u32,
) -> Result<Vec<Item>, StoreError> {
    let wanted = wanted.consistent_read(true).build();
    let mut wanted = Some(wanted.map_err(StoreError::unavailable)?);
    let mut items = Vec::new();
    let mut rounds = 0;
    while let Some(request) = wanted.take() {
        let got = db
            .batch_get_item()
            .request_items(table, request)
            .send()
            .await
            .map_err(StoreError::call)?;
        let found = got.responses.and_then(|mut r| r.remove(table));
        items.extend(found.into_iter().flatten());
        wanted = got.unprocessed_keys.and_then(|mut u| u.remove(table));
        rounds += 1;
        if wanted.is_some() {
            if rounds > max_rounds {
                return Err(StoreError::Unavailable("reads are throttled".into()));
            }
            tokio::time::sleep(std::time::Duration::from_millis(10 << rounds)).await;
        }
    }
    Ok(items)
}

impl Store {
    /// Loads items by key with strong consistency, in one call unless DynamoDB throttles.
    pub(crate) async fn batch(&self, keys: Vec<Key>) -> Result<Vec<Item>, StoreError> {
        self.batch_of(keys, None).await
    }

    /// Does the same for selected attributes.
    pub(crate) async fn batch_of(
        &self,
        keys: Vec<Key>,
        attributes: Option<&str>,
    ) -> Result<Vec<Item>, StoreError> {
        let wanted = KeysAndAttributes::builder()
            .set_projection_expression(attributes.map(str::to_owned))
            .set_keys(Some(keys.into_iter().map(Key::into_item).collect()));
        let items = batch_get((&self.db, &self.tables.main), wanted, MAX_ROUNDS).await?;
        self.load_keys_for(&items).await?;
        Ok(items)
    }

    /// Loads the keyring if an item contains a sealed text.
    pub(crate) async fn load_keys_for(&self, items: &[Item]) -> Result<(), StoreError> {
        let is_sealed =
            |item: &Item| (SEALED.iter()).any(|(_, attribute, _)| item.contains_key(*attribute));
        if items.iter().any(is_sealed) {
            self.keys().await?;
        }
        Ok(())
    }

    pub(crate) async fn get(&self, key: Key) -> Result<Option<Item>, StoreError> {
        let got = self
            .db
            .get_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::call)?;
        self.load_keys_for(got.item.as_slice()).await?;
        Ok(got.item)
    }

    /// Loads one page of a partition's items whose sort key starts with `prefix`.
    pub(crate) async fn page(
        &self,
        pk: String,
        prefix: &str,
        after: Option<String>,
        limit: i32,
    ) -> Result<(Vec<Item>, Option<String>), StoreError> {
        let start = after.map(|sk| Key { pk: pk.clone(), sk }.into_item());
        let mut query = self
            .db
            .query()
            .table_name(&self.tables.main)
            .key_condition_expression("pk = :pk")
            .values([(":pk", s(pk))]);
        if !prefix.is_empty() {
            query = query
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .values([(":prefix", s(prefix))]);
        }
        let got = query
            .set_exclusive_start_key(start)
            .limit(limit)
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::call)?;
        let next = got
            .last_evaluated_key
            .and_then(|key| text(&key, "sk").cloned());
        Ok((got.items.unwrap_or_default(), next))
    }
}
