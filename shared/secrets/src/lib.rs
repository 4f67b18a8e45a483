//! Protects secrets in the tables: a keyring wrapped by KMS, keyed MACs of short secrets, sealed texts, and
//! Argon2id for passwords. Verifies second factors: [`totp`], [`recovery_code`] and [`passkey`].
//!
//! Everything derives from one data key of 32 bytes. KMS wraps it, and [`kms::unwrap`] calls KMS once per
//! process. HKDF-SHA256 (RFC 5869) derives a separate key for each use, so that a result of one use is not
//! valid in another:
//!
//! | Use | `info` of the key | Made by |
//! |---|---|---|
//! | keyed MAC of a short secret | `vestibule/mac/<purpose>` | [`Keyring::mac`], HMAC-SHA256 |
//! | sealed text | `vestibule/seal/<purpose>` | [`Keyring::seal`], AES-256-GCM |
//! | pepper of password hashes | `vestibule/pepper` | [`Hasher`], Argon2id's secret input |
//! | keyed id | `vestibule/id` of the oldest key | [`Keyring::keyed_id`], HMAC-SHA256 |
//!
//! To rotate keys, add a data key with a higher version. New MACs, texts and hashes use it; existing ones
//! name the version that they use. Keyed ids and [`Keyring::lasting_code`] use the oldest key, which must
//! therefore never be removed.

pub mod jwt;
mod keyring;
pub mod kms;
pub mod passkey;
mod passwords;
pub mod recovery_code;
pub mod signing;
pub mod totp;

pub use keyring::{CannotOpen, Keyring, Purpose, SystemMac, WrappedKey, sealed_with};
pub use passwords::{HashParameters, Hasher, Verified};
