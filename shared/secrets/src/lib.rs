//! What keeps a stolen table from telling anything: the keyring that KMS wraps, keyed codes of short
//! secrets, sealed texts, and Argon2id for passwords.
//!
//! One data key of 32 bytes is everything's root. KMS wraps it; [`kms::unwrap`] asks KMS once in a
//! process's life. From it HKDF-SHA256 (RFC 5869) derives one key for each use, so that what is made
//! for one use is worth nothing in another:
//!
//! | use | key's `info` | made by |
//! |---|---|---|
//! | keyed code of a short secret | `vestibule/mac/<purpose>` | [`Keyring::mac`], HMAC-SHA256 |
//! | sealed text | `vestibule/seal/<purpose>` | [`Keyring::seal`], AES-256-GCM |
//! | pepper of password hashes | `vestibule/pepper` | [`Hasher`], Argon2id's secret input |
//!
//! To rotate, add a data key with a higher version: new codes, texts and hashes are made under it,
//! and old ones name the version that they were made under.

mod keyring;
pub mod kms;
mod passwords;

pub use keyring::{CannotOpen, Keyring, Purpose, WrappedKey};
pub use passwords::{HashParameters, Hasher, Verified};
