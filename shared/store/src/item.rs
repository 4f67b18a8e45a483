//! Converts between items and types. What is secret is sealed when written and opened when read.

use aws_sdk_dynamodb::types::AttributeValue;
use rand::CryptoRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use vestibule_secrets::{Keyring, Purpose};
use zeroize::Zeroizing;

use crate::StoreError;
use crate::attributes::Item;
use crate::key::Key;

/// Builds an item with this key and the fields of `value`.
pub(crate) fn write(key: Key, value: &impl Serialize) -> Result<Item, StoreError> {
    let mut item: Item = to_item(value).map_err(StoreError::unavailable)?;
    item.retain(|_, v| !v.is_null());
    item.extend(key.into_item());
    Ok(item)
}

/// Parses an item.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T, StoreError> {
    // serde's message may quote a value, so only the type is reported.
    from_item(item).map_err(|_| StoreError::corrupt(std::any::type_name::<T>()))
}

/// Seals a value as one text, bound to the key of the item that contains it.
pub(crate) fn seal(
    purpose: Purpose,
    key: &Key,
    value: &impl Serialize,
    (keyring, rng): (&Keyring, &mut impl CryptoRng),
) -> Result<AttributeValue, StoreError> {
    let plain = serde_json::to_vec(value).map_err(StoreError::unavailable)?;
    let plain = Zeroizing::new(plain);
    let sealed = keyring.seal(purpose, &format!("{}/{}", key.pk, key.sk), &plain, rng);
    Ok(AttributeValue::S(sealed))
}

/// Opens what [`seal`] sealed.
pub(crate) fn open<T: DeserializeOwned>(
    purpose: Purpose,
    key: &Key,
    sealed: &AttributeValue,
    keyring: &Keyring,
) -> Result<T, StoreError> {
    let corrupt = || StoreError::corrupt("a sealed text");
    let sealed = sealed.as_s().map_err(|_| corrupt())?;
    let plain = keyring
        .open(purpose, &format!("{}/{}", key.pk, key.sk), sealed)
        .map_err(|_| corrupt())?;
    serde_json::from_slice(&plain).map_err(|_| corrupt())
}
