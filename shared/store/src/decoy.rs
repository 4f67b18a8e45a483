//! A decoy account that is parsed when no account is found, so that both cases take the same work (UX-09).

use std::sync::LazyLock;

use crate::attributes::Item;

/// The item of the decoy, with as many attributes as a typical account.
static NOBODY: LazyLock<Item> = LazyLock::new(|| {
    let fields: Option<serde_json::Value> = serde_json::from_str(include_str!("decoy.json")).ok();
    fields
        .and_then(|f| serde_dynamo::aws_sdk_dynamodb_1::to_item(f).ok())
        .unwrap_or_default()
});

/// Returns the item of the decoy.
pub(crate) fn item() -> Item {
    NOBODY.clone()
}

#[cfg(test)]
mod tests {
    use vestibule_domain::state::account::Account;

    use super::*;

    #[test]
    fn ux_09_nobodys_account_is_read_to_its_end() {
        let read: Account = crate::item::read(NOBODY.clone()).expect("an account");
        assert_eq!(read.username.as_str(), "nobody.nowhere");
        assert_eq!(read.security_answers.len(), 3);
    }
}
