//! A decoy account that is parsed when no account is found, so that both cases take the same work (UX-09).

use std::hint::black_box;
use std::sync::LazyLock;

use vestibule_domain::state::account::Account;
use vestibule_secrets::Keyring;

use crate::item::Item;
use crate::{StoreError, accounts};

/// The item of the decoy, with as many attributes as a typical account.
static NOBODY: LazyLock<Item> = LazyLock::new(|| {
    let fields: Option<serde_json::Value> = serde_json::from_str(include_str!("decoy.json")).ok();
    fields
        .and_then(|f| serde_dynamo::aws_sdk_dynamodb_1::to_item(f).ok())
        .unwrap_or_default()
});

/// Parses the decoy account and discards it.
pub(crate) fn read(keyring: &Keyring) {
    let read: Result<Account, StoreError> = accounts::read_account(NOBODY.clone(), keyring);
    let _ = black_box(read);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ux_09_nobodys_account_is_read_to_its_end() {
        let read: Account = crate::item::read(NOBODY.clone()).expect("an account");
        assert_eq!(read.username.as_str(), "nobody.nowhere");
        assert_eq!(read.security_answers.len(), 3);
    }
}
