//! Rotation of the data key (SE-11), while requests are served.
//!
//! 1. [`start`](Keys::start_rotation) adds a key that becomes current only after [`SPREAD`], when every process has
//!    learned of it ([`REFRESH`](crate::keyring::REFRESH)).
//! 2. After another [`SPREAD`], when every process uses it, [`reseal`](Keys::reseal) seals again what older keys
//!    sealed.
//!
//! MACs of PINs, codes, answers and facts can't be computed again without the secret. They name their key and
//! are checked with it, so no PIN or code is revived; the names of attempt counters don't depend on the new
//! key. Passwords are hashed again at the next sign-in, facts with the next feed. Old keys stay in the keyring.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use vestibule_secrets::{Keyring, Purpose, kms, sealed_with};

use crate::StoreError;
use crate::attributes::{Item, text};
use crate::error::took_effect;
use crate::expression::{Expression, n, s};
use crate::key::Key;
use crate::keyring::{self, Keys, StoredKey};

/// How long a new key is known before it is used, and used before texts are sealed again. Twice the time in
/// which a process refreshes its keyring.
pub const SPREAD: SignedDuration = SignedDuration::from_mins(10);

/// The number of items that are read at once.
const PAGE: i32 = 100;

/// How often an item that changes at the same time is tried.
const MAX_ATTEMPTS: u32 = 10;

/// A rotation that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The version of the new key.
    pub version: u32,
    /// Whether an earlier command started it.
    pub is_resumed: bool,
    /// When texts can be sealed again.
    pub reseal_at: Timestamp,
}

/// What has been done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Items that were read.
    pub items: u64,
    /// Texts that were sealed again.
    pub resealed: u64,
}

/// The attributes that contain a sealed text, by the first letter of their item's key.
pub(crate) const SEALED: [(&str, &str, Purpose); 4] = [
    ("A#", "postal_addresses", Purpose::PostalAddress),
    ("A#", "authenticator_secrets", Purpose::AppSecret),
    ("R#", "address", Purpose::PostalAddress),
    ("X#", "payload", Purpose::Outbox),
];

/// Returns the context to which a sealed text is bound.
fn context(key: &Key, purpose: Purpose) -> String {
    match purpose {
        Purpose::Outbox => key.pk.clone(),
        _ => format!("{}/{}", key.pk, key.sk),
    }
}

impl Keys {
    /// Adds a key, or returns the rotation that an earlier command did not finish. `spread` is [`SPREAD`], or
    /// zero if nothing else uses the tables.
    ///
    /// # Errors
    /// [`StoreError`] when there is no keyring, another command changed it, or DynamoDB or KMS doesn't respond.
    pub async fn start_rotation(
        &self,
        now: Timestamp,
        spread: SignedDuration,
    ) -> Result<Started, StoreError> {
        let stored = self.existing().await?;
        let newest = stored.newest();
        let newest = newest.ok_or_else(|| StoreError::corrupt("the keyring has no key"))?;
        if newest.wrapped.version > stored.resealed {
            return Ok(Started {
                version: newest.wrapped.version,
                is_resumed: true,
                reseal_at: newest.active_at + spread,
            });
        }
        let version = newest.wrapped.version + 1;
        let wrapped = kms::generate(&self.kms, &self.key_id, version)
            .await
            .map_err(StoreError::unavailable)?;
        let active_at = now + spread;
        let added = StoredKey { wrapped, active_at };
        let keys = stored.keys.iter().chain([&added]).map(StoredKey::to_value);
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keyring::key().into_item()))
            .update_expression("SET #keys = :keys")
            .condition_expression("#keys = :before")
            .names([("#keys", "keys")])
            .values([
                (":keys", AttributeValue::L(keys.collect())),
                (
                    ":before",
                    stored.raw.clone().unwrap_or(AttributeValue::Null(true)),
                ),
            ]);
        if !took_effect(update.send().await)? {
            return Err(StoreError::Unavailable(
                "another command is rotating the key: wait until it is finished".into(),
            ));
        }
        Ok(Started {
            version,
            is_resumed: false,
            reseal_at: active_at + spread,
        })
    }

    /// Seals every text again that an older key sealed. It can be interrupted at any time; the next call
    /// continues. Requests that write at the same time win.
    ///
    /// # Errors
    /// [`StoreError`] when the new key is not in use yet, or DynamoDB or KMS doesn't respond.
    pub async fn reseal(
        &self,
        now: Timestamp,
        rng: &mut impl CryptoRng,
        mut progress: impl FnMut(Progress),
    ) -> Result<Progress, StoreError> {
        let stored = self.existing().await?;
        let keyring = self.load(now).await?;
        let newest = stored.newest().map(|key| key.wrapped.version);
        if newest != Some(keyring.current()) {
            return Err(StoreError::Unavailable(
                "the new key is not in use yet: continue later".into(),
            ));
        }
        let mut done = Progress::default();
        let mut cursor = stored.cursor;
        loop {
            let start = cursor.map(|(pk, sk)| Key::new(&pk, &sk).into_item());
            let page = self
                .db
                .scan()
                .table_name(&self.tables.main)
                .consistent_read(true)
                .limit(PAGE)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(StoreError::call)?;
            for item in page.items.unwrap_or_default() {
                done.items += 1;
                done.resealed += self.reseal_item(item, &keyring, rng).await?;
            }
            progress(done);
            let last = page.last_evaluated_key.as_ref();
            cursor =
                last.and_then(|key| Some((text(key, "pk")?.clone(), text(key, "sk")?.clone())));
            self.save_progress(cursor.as_ref(), keyring.current())
                .await?;
            if cursor.is_none() {
                return Ok(done);
            }
        }
    }

    /// Seals the texts of one item again. Returns their number.
    async fn reseal_item(
        &self,
        item: Item,
        keyring: &Keyring,
        rng: &mut impl CryptoRng,
    ) -> Result<u64, StoreError> {
        let (Some(pk), Some(sk)) = (text(&item, "pk").cloned(), text(&item, "sk").cloned()) else {
            return Ok(0);
        };
        let key = Key::new(&pk, &sk);
        let mut resealed = 0;
        for (prefix, attribute, purpose) in SEALED {
            if pk.starts_with(prefix) {
                let text = (attribute, purpose);
                resealed += self
                    .reseal_text(item.clone(), &key, text, (keyring, rng))
                    .await?;
            }
        }
        Ok(resealed)
    }

    /// Seals one text of an item again. Returns whether it did, as a number.
    async fn reseal_text(
        &self,
        mut item: Item,
        key: &Key,
        (attribute, purpose): (&str, Purpose),
        (keyring, rng): (&Keyring, &mut impl CryptoRng),
    ) -> Result<u64, StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(sealed) = text(&item, attribute) else {
                return Ok(0);
            };
            if sealed_with(sealed) == Some(keyring.current()) {
                return Ok(0);
            }
            let context = context(key, purpose);
            let plain = keyring
                .open(purpose, &context, sealed)
                .map_err(|_| StoreError::corrupt("a sealed text"))?;
            let again = keyring.seal(purpose, &context, &plain, rng);
            let update = self
                .db
                .update_item()
                .table_name(&self.tables.main)
                .set_key(Some(key.clone().into_item()))
                .update_expression("SET #sealed = :again")
                .condition_expression("#sealed = :before")
                .names([("#sealed", attribute)])
                .values([(":again", s(again)), (":before", s(sealed))]);
            if took_effect(update.send().await)? {
                return Ok(1);
            }
            // A request wrote the item at the same time.
            let got = self
                .db
                .get_item()
                .table_name(&self.tables.main)
                .set_key(Some(key.clone().into_item()))
                .consistent_read(true)
                .send()
                .await
                .map_err(StoreError::call)?;
            item = got.item.unwrap_or_default();
        }
        Err(StoreError::Unavailable(
            "an item changes all the time: continue later".into(),
        ))
    }

    /// Saves where to continue, or that everything is sealed with a version.
    async fn save_progress(
        &self,
        cursor: Option<&(String, String)>,
        version: u32,
    ) -> Result<(), StoreError> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keyring::key().into_item()))
            .condition_expression("attribute_exists(pk)");
        let update = match cursor {
            Some((pk, sk)) => update
                .update_expression("SET cursor_pk = :pk, cursor_sk = :sk")
                .values([(":pk", s(pk)), (":sk", s(sk))]),
            None => update
                .update_expression("SET resealed = :version REMOVE cursor_pk, cursor_sk")
                .values([(":version", n(version))]),
        };
        update.send().await.map_err(StoreError::call)?;
        Ok(())
    }
}
