//! Responses to requests with an idempotency key (AP-01), in the partition of the caller's account. They are
//! sealed, because they contain what the caller was shown.

use jiff::Timestamp;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use vestibule_domain::decision::{KeptResponse, RepeatKey};
use vestibule_domain::values::ids::{AccountId, PortalId};
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::Purpose;

use crate::commit::{Unique, Writes};
use crate::expression::{Expression, n};
use crate::key::Key;
use crate::tables::EXPIRES;
use crate::{Store, StoreError, accounts, item};

pub(crate) const KEPT: &str = "K#";

fn key(portal: &PortalId, account: &AccountId, RepeatKey(digest): &RepeatKey) -> Key {
    Key::new(accounts::key(portal, account).pk, format!("{KEPT}{digest}"))
}

/// What the response is bound to, so that it cannot be moved to another item.
fn context(key: &Key) -> String {
    format!("{}/{}", key.pk, key.sk)
}

#[derive(Serialize, Deserialize)]
struct Row {
    response: String,
    expires: i64,
}

impl Store {
    /// Loads what was kept for a caller's key; `None` if the key is new or has expired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept_response(
        &self,
        portal: &PortalId,
        account: &AccountId,
        repeat_key: &RepeatKey,
        now: Timestamp,
    ) -> Result<Option<Sensitive>, StoreError> {
        let key = key(portal, account, repeat_key);
        let Some(found) = self.get(key.clone()).await? else {
            return Ok(None);
        };
        let row: Row = item::read(found)?;
        if row.expires <= now.as_second() {
            return Ok(None);
        }
        let corrupt = |_| StoreError::corrupt("a kept response");
        let opened = self
            .keys()
            .await?
            .open(Purpose::Response, &context(&key), &row.response);
        let plain = opened.map_err(corrupt)?;
        let text = std::str::from_utf8(&plain).map_err(|_| StoreError::corrupt("a response"))?;
        Ok(Some(Sensitive::new(text)))
    }
}

impl Writes<'_> {
    /// Keeps a response. Fails if another request with the same key was committed first.
    pub(crate) fn keep_response(
        &mut self,
        kept: &KeptResponse,
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let key = key(&kept.portal, &kept.account, &kept.key);
        let response = self.store.keyring.seal(
            Purpose::Response,
            &context(&key),
            kept.response.expose().as_bytes(),
            rng,
        );
        let row = Row {
            response,
            expires: kept.expires_at.as_second(),
        };
        let put = self
            .put_of(item::write(key, &row)?)
            .condition_expression("attribute_not_exists(pk) OR #expires <= :now")
            .names([("#expires", EXPIRES)])
            .values([(":now", n(self.at.as_second()))]);
        self.push_put(put, Some(Unique::RepeatKey))
    }
}
