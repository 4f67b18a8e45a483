//! Items to types and back. Postal addresses are sealed on the way in and opened on the way out.

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

/// An item of this key with the fields of `value`.
pub(crate) fn write(key: Key, value: &impl Serialize) -> Result<Item, Unavailable> {
    let mut item: Item = to_item(value).map_err(Unavailable::new)?;
    item.retain(|_, v| !v.is_null());
    item.extend(key.into_item());
    Ok(item)
}

/// The value that an item holds.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T, Unavailable> {
    // serde's message may quote a value, so only the kind of thing is told.
    from_item(item).map_err(|_| Unavailable::corrupt(std::any::type_name::<T>()))
}

/// Seals an address under the key of the item that holds it.
pub(crate) fn seal_address(
    key: &Key,
    address: &PostalAddress,
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
pub(crate) fn open_address(
    key: &Key,
    sealed: &AttributeValue,
    keyring: &Keyring,
) -> Result<PostalAddress, Unavailable> {
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

const ADDRESS: &str = "postal_address";

/// The item of an account.
pub(crate) fn write_account(
    account: &Account,
    keyring: &Keyring,
    rng: &mut impl CryptoRng,
) -> Result<Item, Unavailable> {
    let key = keys::account(&account.portal, &account.id);
    let sealed = account
        .postal_address
        .as_ref()
        .map(|a| seal_address(&key, a, keyring, rng))
        .transpose()?;
    let mut item = write(
        key,
        &Account {
            postal_address: None,
            ..account.clone()
        },
    )?;
    item.extend(sealed.map(|s| (ADDRESS.to_owned(), s)));
    Ok(item)
}

/// The account of an item.
pub(crate) fn read_account(mut item: Item, keyring: &Keyring) -> Result<Account, Unavailable> {
    let sealed = item.remove(ADDRESS);
    let mut account: Account = read(item)?;
    if let Some(sealed) = sealed {
        let key = keys::account(&account.portal, &account.id);
        account.postal_address = Some(open_address(&key, &sealed, keyring)?);
    }
    Ok(account)
}
