//! Loads, creates and refreshes the keyring. Its wrapped keys are stored in the main table; KMS unwraps them.
//!
//! A missing keyring is never replaced silently, because everything that the lost keys protect would be
//! unreadable (SE-11): [`Keys::load`] fails, and only [`Keys::create`], an explicit step on new tables, creates one.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kms::Client as Kms;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use vestibule_secrets::{Keyring, WrappedKey, kms};

use crate::attributes::Item;
use crate::error::took_effect;
use crate::expression::n;
use crate::key::Key;
use crate::{StoreError, Tables};

/// How often a process that serves requests looks for new keys.
pub const REFRESH: SignedDuration = SignedDuration::from_mins(5);

pub(crate) fn key() -> Key {
    Key::new("K", "K")
}

/// The tables and the KMS key of a keyring.
#[derive(Debug, Clone)]
pub struct Keys {
    pub db: Client,
    pub tables: Tables,
    pub kms: Kms,
    /// The id, ARN or alias of the KMS key that wraps new data keys.
    pub key_id: String,
}

/// The item of the keyring.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stored {
    pub keys: Vec<StoredKey>,
    /// The version with which everything sealed has been sealed again.
    pub resealed: u32,
    /// Where sealing again continues after an interruption: the key of the last item.
    pub cursor: Option<(String, String)>,
    /// The attribute with the keys, to write it only if it has not changed.
    pub raw: Option<AttributeValue>,
}

/// A wrapped key and the time from which it is the current one.
#[derive(Debug, Clone)]
pub(crate) struct StoredKey {
    pub wrapped: WrappedKey,
    pub active_at: Timestamp,
}

impl StoredKey {
    pub fn to_value(&self) -> AttributeValue {
        let fields = [
            ("version".to_owned(), n(self.wrapped.version)),
            (
                "blob".to_owned(),
                AttributeValue::B(Blob::new(self.wrapped.blob.clone())),
            ),
            ("active_at".to_owned(), n(self.active_at.as_second())),
        ];
        AttributeValue::M(fields.into())
    }

    fn parse(value: &AttributeValue) -> Option<Self> {
        let key = value.as_m().ok()?;
        let active_at: i64 = key.get("active_at")?.as_n().ok()?.parse().ok()?;
        Some(Self {
            wrapped: WrappedKey {
                version: key.get("version")?.as_n().ok()?.parse().ok()?,
                blob: key.get("blob")?.as_b().ok()?.clone().into_inner(),
            },
            active_at: Timestamp::from_second(active_at).ok()?,
        })
    }
}

impl Stored {
    fn parse(item: &Item) -> Option<Self> {
        let raw = item.get("keys")?;
        let keys: Option<Vec<_>> = raw.as_l().ok()?.iter().map(StoredKey::parse).collect();
        let cursor = |name| item.get(name)?.as_s().ok().cloned();
        Some(Self {
            keys: keys?,
            resealed: item.get("resealed")?.as_n().ok()?.parse().ok()?,
            cursor: cursor("cursor_pk").zip(cursor("cursor_sk")),
            raw: Some(raw.clone()),
        })
    }

    /// Returns the key with the highest version.
    pub fn newest(&self) -> Option<&StoredKey> {
        self.keys.iter().max_by_key(|key| key.wrapped.version)
    }

    /// Returns the version that is current at a time.
    fn current(&self, now: Timestamp) -> Option<u32> {
        let active = self.keys.iter().filter(|key| key.active_at <= now);
        active.map(|key| key.wrapped.version).max()
    }

    fn versions(&self) -> Vec<u32> {
        let mut versions: Vec<_> = self.keys.iter().map(|key| key.wrapped.version).collect();
        versions.sort_unstable();
        versions
    }
}

/// Returns whether a keyring contains every key of an earlier one, unchanged.
pub(crate) fn continues(earlier: &Item, later: &Item) -> bool {
    let keys = |item: &Item| item.get("keys")?.as_l().ok().cloned();
    match (keys(earlier), keys(later)) {
        (Some(earlier), Some(later)) => later.starts_with(&earlier),
        _ => false,
    }
}

impl Keys {
    /// Creates the keyring of new tables. Returns whether it did; `false` if there is one.
    ///
    /// # Errors
    /// [`StoreError`] when the table contains other items, whose keyring was lost, or when DynamoDB or KMS
    /// doesn't respond.
    pub async fn create(&self, now: Timestamp) -> Result<bool, StoreError> {
        if self.fetch().await?.is_some() {
            return Ok(false);
        }
        let found = self.db.scan().table_name(&self.tables.main).limit(1);
        let found = found.consistent_read(true).send().await;
        if found.map_err(StoreError::call)?.count > 0 {
            return Err(StoreError::Unavailable(format!(
                "table {} contains data but no keyring (item K). A new keyring could not read that data: restore the item from a backup",
                self.tables.main
            )));
        }
        let wrapped = kms::generate(&self.kms, &self.key_id, 1)
            .await
            .map_err(StoreError::unavailable)?;
        let first = StoredKey {
            wrapped,
            active_at: now,
        };
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.main)
            .set_item(Some(key().into_item()))
            .item("keys", AttributeValue::L(vec![first.to_value()]))
            .item("resealed", n(1))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        took_effect(put)
    }

    /// Loads the keyring.
    ///
    /// # Errors
    /// [`StoreError`] when there is none, or when DynamoDB or KMS doesn't respond.
    pub async fn load(&self, now: Timestamp) -> Result<Keyring, StoreError> {
        let stored = self.existing().await?;
        self.unwrap(&stored, now).await
    }

    /// Loads the keyring and returns a guard that refreshes it.
    ///
    /// # Errors
    /// Those of [`Keys::load`].
    pub async fn open(self, now: Timestamp) -> Result<OpenKeyring, StoreError> {
        let keyring = Arc::new(self.load(now).await?);
        Ok(OpenKeyring::new(self, keyring, now))
    }

    /// Returns a guard that loads the keyring when it is first needed.
    pub fn open_later(self) -> OpenKeyring {
        OpenKeyring::new(self, Arc::new(Keyring::unloaded()), Timestamp::MIN)
    }

    async fn unwrap(&self, stored: &Stored, now: Timestamp) -> Result<Keyring, StoreError> {
        let wrapped: Vec<_> = stored.keys.iter().map(|key| key.wrapped.clone()).collect();
        let keyring = kms::unwrap(&self.kms, &wrapped)
            .await
            .map_err(StoreError::unavailable)?;
        stored
            .current(now)
            .and_then(|current| keyring.with_current(current))
            .ok_or_else(|| StoreError::corrupt("the keyring has no current key"))
    }

    pub(crate) async fn existing(&self) -> Result<Stored, StoreError> {
        self.fetch().await?.ok_or_else(|| {
            StoreError::Unavailable(format!(
                "table {} has no keyring (item K). If the tables are new, create it with `cargo portal create-keyring --on-aws`; otherwise restore the item from a backup",
                self.tables.main
            ))
        })
    }

    async fn fetch(&self) -> Result<Option<Stored>, StoreError> {
        let got = self
            .db
            .get_item()
            .table_name(&self.tables.main)
            .set_key(Some(key().into_item()))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::call)?;
        let parse =
            |item: Item| Stored::parse(&item).ok_or_else(|| StoreError::corrupt("the keyring"));
        got.item.map(parse).transpose()
    }
}

/// The keyring of a process that serves requests. It learns of new keys within [`REFRESH`], so a key that is
/// used only later is known everywhere before it is used (SE-11).
#[derive(Debug)]
pub struct OpenKeyring {
    keys: Keys,
    keyring: Arc<Keyring>,
    /// When the item was last read, in seconds.
    read_at: AtomicI64,
    /// Held while the keys are loaded, so that concurrent reads load them once.
    loading: Mutex<()>,
}

impl OpenKeyring {
    /// Refreshes a keyring that was read at a time.
    pub fn new(keys: Keys, keyring: Arc<Keyring>, read_at: Timestamp) -> Self {
        Self {
            keys,
            keyring,
            read_at: AtomicI64::new(read_at.as_second()),
            loading: Mutex::default(),
        }
    }

    /// Returns the keys to share with everything that uses them.
    pub const fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Loads the keys if that has not happened yet.
    ///
    /// # Errors
    /// Those of [`Keys::load`]; the next call tries again.
    pub async fn load(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.keyring.is_loaded() {
            return Ok(());
        }
        let _loading = self.loading.lock().await;
        if !self.keyring.is_loaded() {
            self.keyring.replace(&self.keys.load(now).await?);
            self.read_at.store(now.as_second(), Ordering::Release);
        }
        Ok(())
    }

    /// Reads the item again if the keys were loaded and the last time was [`REFRESH`] ago; call it before each
    /// event. KMS is called only if a key was added.
    ///
    /// # Errors
    /// [`StoreError`] when the keyring is missing: what is written now could not be read later. If DynamoDB or
    /// KMS doesn't respond, the keys stay as they are until the next call.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), StoreError> {
        let read_at = self.read_at.load(Ordering::Acquire);
        if !self.keyring.is_loaded() || now.as_second().saturating_sub(read_at) < REFRESH.as_secs()
        {
            return Ok(());
        }
        let stored = match self.keys.fetch().await {
            Ok(Some(stored)) => stored,
            Ok(None) => return self.keys.existing().await.map(|_| ()),
            Err(error) => {
                tracing::warn!(%error, "the keyring was not refreshed");
                return Ok(());
            }
        };
        let known = (self.keyring.versions(), Some(self.keyring.current()));
        if known != (stored.versions(), stored.current(now)) {
            match self.keys.unwrap(&stored, now).await {
                Ok(keyring) => self.keyring.replace(&keyring),
                Err(error) => {
                    tracing::warn!(%error, "the keyring was not refreshed");
                    return Ok(());
                }
            }
        }
        self.read_at.store(now.as_second(), Ordering::Release);
        Ok(())
    }
}
