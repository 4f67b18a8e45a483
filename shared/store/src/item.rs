//! Converts between items and types. Postal addresses are sealed when written and opened when read.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rand::CryptoRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_item};
use vestibule_domain::account::Account;
use vestibule_domain::text::PostalAddress;
use vestibule_secrets::{Keyring, Purpose};

use crate::Unavailable;
use crate::keys::{self, Key};

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Builds an item with this key and the fields of `value`.
pub(crate) fn write(key: Key, value: &impl Serialize) -> Result<Item, Unavailable> {
    let mut item: Item = to_item(value).map_err(Unavailable::new)?;
    item.retain(|_, v| !v.is_null());
    item.extend(key.into_item());
    Ok(item)
}

/// Parses an item.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T, Unavailable> {
    // serde's message may quote a value, so only the type is reported.
    from_item(item).map_err(|_| Unavailable::corrupt(std::any::type_name::<T>()))
}

/// Seals postal addresses, bound to the key of the item that contains them.
pub(crate) fn seal_address(
    key: &Key,
    address: &impl Serialize,
    keyring: &Keyring,
    rng: &mut impl CryptoRng,
) -> Result<AttributeValue, Unavailable> {
    let plain = serde_json::to_vec(address).map_err(Unavailable::new)?;
    let sealed = keyring.seal(
        Purpose::PostalAddress,
        &format!("{}/{}", key.pk, key.sk),
        &plain,
        rng,
    );
    Ok(AttributeValue::S(sealed))
}

/// Opens what [`seal_address`] sealed.
pub(crate) fn open_address<T: DeserializeOwned>(
    key: &Key,
    sealed: &AttributeValue,
    keyring: &Keyring,
) -> Result<T, Unavailable> {
    let sealed = sealed
        .as_s()
        .map_err(|_| Unavailable::corrupt("a sealed address"))?;
    let plain = keyring
        .open(
            Purpose::PostalAddress,
            &format!("{}/{}", key.pk, key.sk),
            sealed,
        )
        .map_err(Unavailable::new)?;
    serde_json::from_slice(&plain).map_err(|_| Unavailable::corrupt("a postal address"))
}

/// The attribute with the addresses of an account's memberships, in order, sealed as one text.
const ADDRESSES: &str = "postal_addresses";

/// Builds the item of an account.
pub(crate) fn write_account(
    account: &Account,
    keyring: &Keyring,
    rng: &mut impl CryptoRng,
) -> Result<Item, Unavailable> {
    let key = keys::account(&account.portal, &account.id);
    let mut open = account.clone();
    let addresses: Vec<Option<PostalAddress>> = open
        .memberships
        .iter_mut()
        .map(|m| m.postal_address.take())
        .collect();
    let sealed = addresses
        .iter()
        .any(Option::is_some)
        .then(|| seal_address(&key, &addresses, keyring, rng))
        .transpose()?;
    let mut item = write(key, &open)?;
    item.extend(sealed.map(|s| (ADDRESSES.to_owned(), s)));
    Ok(item)
}

/// Parses the item of an account.
pub(crate) fn read_account(mut item: Item, keyring: &Keyring) -> Result<Account, Unavailable> {
    let sealed = item.remove(ADDRESSES);
    let mut account: Account = read(item)?;
    if let Some(sealed) = sealed {
        let key = keys::account(&account.portal, &account.id);
        let addresses: Vec<Option<PostalAddress>> = open_address(&key, &sealed, keyring)?;
        for (membership, address) in account.memberships.iter_mut().zip(addresses) {
            membership.postal_address = address;
        }
    }
    Ok(account)
}
