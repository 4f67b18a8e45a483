//! The data keys, and the MACs and encryption that use keys derived from them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aes_gcm::aead::{Aead, AeadInOut, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use data_encoding::BASE64URL_NOPAD;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use strum::IntoStaticStr;
use vestibule_domain::state::record::Mac;
use vestibule_domain::values::text::Sensitive;
use zeroize::{Zeroize, Zeroizing};

/// The length of every key in bytes, for AES-256 and HMAC-SHA256.
pub(crate) const KEY_BYTES: usize = 32;

/// A GCM nonce of 96 bits, the length that NIST SP 800-38D (8.2) recommends.
const NONCE_BYTES: usize = 12;

type Key = Zeroizing<[u8; KEY_BYTES]>;

/// The purpose of a keyed MAC or a sealed text. Each purpose has its own keys, so that a MAC made for one
/// purpose is never valid for another. The keys are derived from its name, which must therefore never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case", const_into_str)]
pub enum Purpose {
    /// Facts in plan records that verify a person.
    RecordProof,
    /// PINs that are sent by letter.
    Pin,
    RegistrationCode,
    /// Answers to security and hint questions.
    SecurityAnswer,
    PostalAddress,
    /// Emails and letters that have not been sent yet.
    Outbox,
    /// Subjects of rate limits.
    Attempt,
    /// Entries of the audit trail.
    AuditEntry,
    /// Seals of the audit trail.
    AuditSeal,
    /// Responses that are kept for requests with an idempotency key.
    Response,
    /// Secrets that are shared with an authenticator app (MF-01).
    AppSecret,
    /// Recovery codes for a lost second factor (MF-01).
    RecoveryCode,
    /// Passkey ceremonies that have started.
    Ceremony,
    /// Secrets of applications.
    ClientSecret,
    /// Authorization requests that have started.
    AuthorizationRequest,
    /// Cursors that contain a name.
    Cursor,
}

impl Purpose {
    const ALL: [Self; 16] = [
        Self::RecordProof,
        Self::Pin,
        Self::RegistrationCode,
        Self::SecurityAnswer,
        Self::PostalAddress,
        Self::Outbox,
        Self::Attempt,
        Self::AuditEntry,
        Self::AuditSeal,
        Self::Response,
        Self::AppSecret,
        Self::RecoveryCode,
        Self::Ceremony,
        Self::ClientSecret,
        Self::AuthorizationRequest,
        Self::Cursor,
    ];
}

/// The kinds of MACs that anyone with the keyring can verify, because nobody guesses their values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemMac {
    /// An entry of the audit trail.
    Entry,
    /// A seal of the audit trail.
    Seal,
}

/// A data key wrapped by KMS; safe to store, useless without KMS.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    /// The version that MACs, sealed texts and hashes refer to.
    pub version: u32,
    /// The `CiphertextBlob` of KMS.
    pub blob: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Returns the version of the key that sealed a text; `None` for what [`Keyring::seal`] did not write.
pub fn sealed_with(sealed: &str) -> Option<u32> {
    canonical_number(sealed.split_once('.')?.0)
}

/// The keys derived from one data key. They are on the heap, so that no move leaves a copy behind.
struct Derived {
    mac: [Key; Purpose::ALL.len()],
    seal: [Key; Purpose::ALL.len()],
    pepper: Key,
    id: Key,
}

impl Derived {
    fn from(data_key: &[u8; KEY_BYTES]) -> Arc<Self> {
        let hkdf = Hkdf::<Sha256>::new(None, data_key);
        let mut derived = Box::new(Self {
            mac: Default::default(),
            seal: Default::default(),
            pepper: Key::default(),
            id: Key::default(),
        });
        let fill = |info: String, key: &mut Key| {
            hkdf.expand(info.as_bytes(), key.as_mut_slice())
                .expect("HKDF-SHA256 outputs up to 8160 bytes");
        };
        for purpose in Purpose::ALL {
            fill(
                format!("vestibule/mac/{}", purpose.into_str()),
                &mut derived.mac[purpose as usize],
            );
            fill(
                format!("vestibule/seal/{}", purpose.into_str()),
                &mut derived.seal[purpose as usize],
            );
        }
        fill("vestibule/pepper".to_owned(), &mut derived.pepper);
        fill("vestibule/id".to_owned(), &mut derived.id);
        derived.into()
    }
}

/// Why a sealed text can't be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// The text does not have the format that [`Keyring::seal`] writes.
    #[error("the sealed text is malformed: expected <version>.<base64url>")]
    Malformed,
    /// The keyring does not contain the data key that sealed the text.
    #[error("the sealed text uses data key version {version}, which is not in the keyring")]
    UnknownKey { version: u32 },
    /// The text was changed, or was sealed for another purpose or context or with another key.
    #[error("the sealed text was changed or moved")]
    Refused,
}

/// The data keys by version.
///
/// # Panics
/// Whatever uses a key panics if the keys have not been [loaded](Keyring::is_loaded): a code or an id that was
/// made without a key must never be written.
///
/// One version is current, usually the highest; the others verify and open what was made with them. During a
/// rotation, the keys are [replaced](Keyring::replace) while requests use them (SE-11). Keys are wiped when
/// the last user of the keyring drops them.
pub struct Keyring(RwLock<Arc<Ring>>);

struct Ring {
    keys: BTreeMap<u32, Arc<Derived>>,
    current: u32,
}

impl Ring {
    fn current(&self) -> &Derived {
        &self.keys[&self.current]
    }

    /// Returns the key that never changes, because rotations only add keys.
    fn oldest(&self) -> &Derived {
        let (_, oldest) = self.keys.first_key_value().expect("the keys are loaded");
        oldest
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("versions", &self.versions())
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Creates a keyring from data keys with their versions; `None` if there are none. The highest version is
    /// the current one. A later key replaces an earlier one with the same version.
    pub fn new(keys: impl IntoIterator<Item = (u32, [u8; KEY_BYTES])>) -> Option<Self> {
        let keys: BTreeMap<_, _> = keys
            .into_iter()
            .map(|(version, mut key)| {
                let derived = Derived::from(&key);
                key.zeroize();
                (version, derived)
            })
            .collect();
        let current = *keys.last_key_value()?.0;
        Some(Self(RwLock::new(Arc::new(Ring { keys, current }))))
    }

    /// Creates a keyring whose keys are loaded later, with [`replace`](Keyring::replace).
    pub fn unloaded() -> Self {
        let keys = BTreeMap::new();
        Self(RwLock::new(Arc::new(Ring { keys, current: 0 })))
    }

    /// Returns whether the keys were loaded.
    pub fn is_loaded(&self) -> bool {
        !self.ring().keys.is_empty()
    }

    /// Makes another version the current one; `None` if the keyring does not contain it.
    #[must_use]
    pub fn with_current(self, current: u32) -> Option<Self> {
        let keys = self.ring().keys.clone();
        let ring = keys
            .contains_key(&current)
            .then_some(Ring { keys, current });
        ring.map(|ring| Self(RwLock::new(Arc::new(ring))))
    }

    /// Replaces the keys for everyone who shares this keyring. Operations in progress continue with the old ones.
    pub fn replace(&self, by: &Self) {
        let ring = by.ring();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// Returns a keyring with the same keys that is replaced on its own.
    #[must_use]
    pub fn separate(&self) -> Self {
        Self(RwLock::new(self.ring()))
    }

    /// Returns the versions of the keys, in order.
    pub fn versions(&self) -> Vec<u32> {
        self.ring().keys.keys().copied().collect()
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the version used for new MACs, sealed texts and hashes.
    pub fn current(&self) -> u32 {
        self.ring().current
    }

    /// Returns the secret input of Argon2id for a version of the data key.
    pub(crate) fn pepper(&self, version: u32) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
        self.ring().keys.get(&version).map(|key| key.pepper.clone())
    }

    /// Computes a code like [`Keyring::mac`], under the oldest key, so that a rotation does not change it: for
    /// the names of attempt counters, which would otherwise start again, and for choices that must stay.
    pub fn lasting_code(&self, purpose: Purpose, context: &str, value: &Sensitive) -> Vec<u8> {
        let ring = self.ring();
        let code = framed(&ring.oldest().mac[purpose as usize], context, value);
        code.finalize().into_bytes().to_vec()
    }

    /// Compares a code with that of [`Keyring::lasting_code`], in constant time.
    pub fn is_lasting_code(
        &self,
        purpose: Purpose,
        context: &str,
        value: &Sensitive,
        code: &[u8],
    ) -> bool {
        let ring = self.ring();
        let own = framed(&ring.oldest().mac[purpose as usize], context, value);
        own.verify_slice(code).is_ok()
    }

    /// Computes the keyed MAC of a short secret: HMAC-SHA256 (RFC 2104) with the current key.
    ///
    /// `context` binds the MAC to its place, such as the key of an item, so that it can't be moved.
    pub fn mac(&self, purpose: Purpose, context: &str, value: &Sensitive) -> Mac {
        let ring = self.ring();
        let code = framed(&ring.current().mac[purpose as usize], context, value);
        Mac {
            key: ring.current,
            code: code.finalize().into_bytes().to_vec(),
        }
    }

    /// Verifies the MAC of something that the system wrote itself. Secrets that a person enters are
    /// compared by [`Hasher::is_code`](crate::Hasher::is_code).
    pub fn is_authentic(
        &self,
        mac: &Mac,
        kind: SystemMac,
        context: &str,
        value: &Sensitive,
    ) -> bool {
        let purpose = match kind {
            SystemMac::Entry => Purpose::AuditEntry,
            SystemMac::Seal => Purpose::AuditSeal,
        };
        self.verify(mac, purpose, context, value)
    }

    /// Verifies the MAC of `value` for a purpose and context, in constant time. Returns `false` if the
    /// keyring does not contain the key that the MAC refers to.
    pub(crate) fn verify(
        &self,
        mac: &Mac,
        purpose: Purpose,
        context: &str,
        value: &Sensitive,
    ) -> bool {
        self.ring().keys.get(&mac.key).is_some_and(|key| {
            framed(&key.mac[purpose as usize], context, value)
                .verify_slice(&mac.code)
                .is_ok()
        })
    }

    /// Derives an identifier that nobody can compute without the keyring (UX-09): the first half of an
    /// HMAC-SHA256. It uses the oldest key, which stays in the keyring, so that it never changes.
    pub fn keyed_id(&self, name: &str) -> [u8; 16] {
        let ring = self.ring();
        let code = framed(&ring.oldest().id, "", &Sensitive::new(name)).finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&code.into_bytes()[..16]);
        id
    }

    /// Encrypts with the current key: AES-256-GCM with a random 96-bit nonce, bound to `context`.
    ///
    /// The result is `<version>.<base64url of nonce, ciphertext and tag>`. With random nonces NIST SP
    /// 800-38D (8.3) allows 2^32 texts for each purpose before the data key must be rotated.
    pub fn seal(
        &self,
        purpose: Purpose,
        context: &str,
        plain: &[u8],
        rng: &mut impl rand::CryptoRng,
    ) -> String {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: plain,
            aad: context.as_bytes(),
        };
        let ring = self.ring();
        let sealed = cipher(&ring.current().seal[purpose as usize])
            .encrypt(&Nonce::from(nonce), payload)
            .expect("GCM encrypts up to 64 GiB");
        format!(
            "{}.{}",
            ring.current,
            BASE64URL_NOPAD.encode(&[&nonce[..], &sealed].concat())
        )
    }

    /// Decrypts what [`Keyring::seal`] encrypted for this purpose and context. The result is wiped when it
    /// is dropped.
    ///
    /// # Errors
    /// [`CannotOpen`] if the text is malformed, its key is missing, or it was changed or moved.
    pub fn open(
        &self,
        purpose: Purpose,
        context: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let (version, bytes) = sealed.split_once('.').ok_or(CannotOpen::Malformed)?;
        let version = canonical_number(version).ok_or(CannotOpen::Malformed)?;
        let bytes = BASE64URL_NOPAD
            .decode(bytes.as_bytes())
            .map_err(|_| CannotOpen::Malformed)?;
        let (nonce, sealed) = bytes
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(CannotOpen::Malformed)?;
        let ring = self.ring();
        let key = ring
            .keys
            .get(&version)
            .ok_or(CannotOpen::UnknownKey { version })?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        cipher(&key.seal[purpose as usize])
            .decrypt_in_place(&Nonce::from(*nonce), context.as_bytes(), &mut *opened)
            .map_err(|_| CannotOpen::Refused)?;
        Ok(opened)
    }
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new(
        key.as_slice()
            .try_into()
            .expect("an AES-256 key has 32 bytes"),
    )
}

/// Computes an HMAC over context and value, each prefixed with its length in bytes (64 bits, big endian),
/// so that no other pair has the same encoding.
fn framed(key: &Key, context: &str, value: &Sensitive) -> Hmac<Sha256> {
    let mut hmac =
        Hmac::<Sha256>::new_from_slice(key.as_slice()).expect("HMAC accepts keys of any length");
    for part in [context.as_bytes(), value.expose().as_bytes()] {
        hmac.update(&(part.len() as u64).to_be_bytes());
        hmac.update(part);
    }
    hmac
}

/// Parses a number in canonical form: decimal, without sign or leading zeros.
pub(crate) fn canonical_number(text: &str) -> Option<u32> {
    let canonical =
        text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| canonical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn data_key() -> [u8; KEY_BYTES] {
        std::array::from_fn(|i| i as u8)
    }

    fn keyring() -> Keyring {
        Keyring::new([(1, data_key()), (2, [9; KEY_BYTES])]).unwrap()
    }

    fn old_keyring() -> Keyring {
        Keyring::new([(1, data_key())]).unwrap()
    }

    fn rng(seed: u64) -> StdRng {
        StdRng::seed_from_u64(seed)
    }

    #[test]
    fn the_names_that_keys_are_derived_from_are_unchanged() {
        assert_eq!(
            Purpose::ALL.map(|purpose| purpose.into_str()),
            [
                "record-proof",
                "pin",
                "registration-code",
                "security-answer",
                "postal-address",
                "outbox",
                "attempt",
                "audit-entry",
                "audit-seal",
                "response",
                "app-secret",
                "recovery-code",
                "ceremony",
                "client-secret",
                "authorization-request",
                "cursor",
            ]
        );
    }

    fn any_purpose() -> impl Strategy<Value = Purpose> {
        select(&Purpose::ALL[..])
    }

    /// Computed with Python's hmac and the HKDF of cryptography for the data key 00 01 … 1f.
    #[test]
    fn codes_are_hmac_sha256_over_length_prefixed_parts() {
        let mac = old_keyring().mac(Purpose::Pin, "issue/1", &Sensitive::new("0042"));
        assert_eq!(mac.key, 1);
        assert_eq!(
            BASE64URL_NOPAD.encode(&mac.code),
            "S-cRiju_Qrj7TM2JhenxIOKtJS25fbxigEjXh3cQufM"
        );
    }

    /// Computed with Python's cryptography for the same data key and the nonce 07 … 07.
    #[test]
    fn sealed_texts_are_aes_256_gcm() {
        let opened = old_keyring().open(
            Purpose::Outbox,
            "mail/1",
            "1.BwcHBwcHBwcHBwcHgc1AxFa_mFxVmaWtAYz2Y38tzzdB3Dw",
        );
        assert_eq!(opened.unwrap().as_slice(), "Grüße".as_bytes());
    }

    #[test]
    fn every_use_has_its_own_key() {
        let derived = Derived::from(&data_key());
        let mut keys: Vec<&[u8]> = derived
            .mac
            .iter()
            .chain(&derived.seal)
            .map(|key| key.as_slice())
            .collect();
        keys.push(derived.pepper.as_slice());
        keys.push(derived.id.as_slice());
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        let expected = 2 * Purpose::ALL.len() + 2;
        assert_eq!((keys.len(), count), (expected, expected));
        assert!(
            Purpose::ALL
                .iter()
                .enumerate()
                .all(|(i, purpose)| *purpose as usize == i)
        );
    }

    #[test]
    fn a_keyring_needs_a_key_and_the_highest_version_is_current() {
        assert!(Keyring::new([]).is_none());
        let keyring = Keyring::new([(7, [1; 32]), (3, [2; 32])]).unwrap();
        assert_eq!(keyring.current(), 7);
        assert!(
            keyring
                .seal(Purpose::Outbox, "", b"", &mut rng(1))
                .starts_with("7.")
        );
        assert_eq!(keyring.mac(Purpose::Pin, "", &Sensitive::default()).key, 7);
    }

    #[test]
    fn ux_09_ids_need_the_oldest_key_and_stay_when_keys_are_added() {
        let id = old_keyring().keyed_id("account/member/maria.alvarez");
        assert_eq!(keyring().keyed_id("account/member/maria.alvarez"), id);
        assert_ne!(keyring().keyed_id("account/member/maria.alvare"), id);
        let other = Keyring::new([(1, [9; KEY_BYTES])]).unwrap();
        assert_ne!(other.keyed_id("account/member/maria.alvarez"), id);
    }

    #[test]
    fn what_an_older_key_made_stays_good() {
        let value = Sensitive::new("0042");
        let mac = old_keyring().mac(Purpose::Pin, "issue/1", &value);
        let sealed = old_keyring().seal(Purpose::Outbox, "mail/1", b"text", &mut rng(1));
        assert!(keyring().verify(&mac, Purpose::Pin, "issue/1", &value));
        assert_eq!(
            keyring()
                .open(Purpose::Outbox, "mail/1", &sealed)
                .unwrap()
                .as_slice(),
            b"text"
        );
        let mac = keyring().mac(Purpose::Pin, "issue/1", &value);
        let sealed = keyring().seal(Purpose::Outbox, "mail/1", b"text", &mut rng(1));
        assert!(!old_keyring().verify(&mac, Purpose::Pin, "issue/1", &value));
        assert_eq!(
            old_keyring().open(Purpose::Outbox, "mail/1", &sealed),
            Err(CannotOpen::UnknownKey { version: 2 })
        );
    }

    #[test]
    fn se_11_keys_are_replaced_for_everyone_who_shares_them_and_lasting_codes_stay() {
        let value = Sensitive::new("maria.alvarez");
        let (shared, own) = (old_keyring(), old_keyring().separate());
        let name = shared.lasting_code(Purpose::Attempt, "password", &value);
        let mac = shared.mac(Purpose::Pin, "issue/1", &value);
        shared.replace(&keyring());
        assert_eq!((shared.current(), own.current()), (2, 1));
        assert_eq!(
            shared.lasting_code(Purpose::Attempt, "password", &value),
            name
        );
        assert!(shared.verify(&mac, Purpose::Pin, "issue/1", &value));
        // A new key is known before it is used.
        let early = keyring().with_current(1).unwrap();
        assert_eq!((early.current(), early.versions()), (1, vec![1, 2]));
        let sealed = shared.seal(Purpose::Outbox, "mail/1", b"text", &mut rng(1));
        assert_eq!(sealed_with(&sealed), Some(2));
        assert!(early.open(Purpose::Outbox, "mail/1", &sealed).is_ok());
        assert!(keyring().with_current(3).is_none());
    }

    #[test]
    fn parts_of_a_code_cannot_change_places() {
        let keyring = keyring();
        let mac = keyring.mac(Purpose::Pin, "ab", &Sensitive::new("c"));
        for (context, value) in [("a", "bc"), ("abc", ""), ("", "abc"), ("c", "ab")] {
            assert!(
                !keyring.verify(&mac, Purpose::Pin, context, &Sensitive::new(value)),
                "{context} {value}"
            );
        }
        for wrong in [
            vec![],
            mac.code[..31].to_vec(),
            [&mac.code[..], &[0]].concat(),
            vec![0; 32],
        ] {
            assert!(!keyring.verify(
                &Mac {
                    key: mac.key,
                    code: wrong
                },
                Purpose::Pin,
                "ab",
                &Sensitive::new("c")
            ));
        }
    }

    #[test]
    fn damaged_texts_do_not_open() {
        let keyring = keyring();
        let sealed = keyring.seal(Purpose::Outbox, "", b"", &mut rng(1));
        let body = sealed.split_once('.').unwrap().1;
        for malformed in [
            "",
            ".",
            "2",
            "2.",
            "2.AAAA",
            body,
            &format!("02.{body}"),
            &format!("+2.{body}"),
            &format!(" 2.{body}"),
            &format!("4294967298.{body}"),
            &format!("{sealed}="),
            &format!("{sealed}."),
            &format!("2.{}", &body[..12]),
        ] {
            assert_eq!(
                keyring.open(Purpose::Outbox, "", malformed),
                Err(CannotOpen::Malformed),
                "{malformed}"
            );
        }
        // A nonce, but an incomplete tag.
        assert_eq!(
            keyring.open(Purpose::Outbox, "", &format!("2.{}", &body[..32])),
            Err(CannotOpen::Refused)
        );
    }

    #[test]
    fn nothing_secret_is_printed() {
        let keyring = Keyring::new([(1, [7; 32]), (2, [8; 32])]).unwrap();
        assert_eq!(format!("{keyring:?}"), "Keyring { versions: [1, 2], .. }");
        assert_eq!(
            format!(
                "{:?}",
                WrappedKey {
                    version: 3,
                    blob: vec![7; 9]
                }
            ),
            "WrappedKey { version: 3, .. }"
        );
    }

    proptest! {
        #[test]
        fn codes_are_right_in_their_place_only(
            (purpose, other_purpose) in (any_purpose(), any_purpose()), (context, other_context) in (".{0,20}", ".{0,20}"),
            (value, other_value) in (".{0,20}", ".{0,20}"), (at, bit) in (any::<Index>(), 0u8..8)
        ) {
            let keyring = keyring();
            let (value, other_value) = (Sensitive::new(value), Sensitive::new(other_value));
            let mac = keyring.mac(purpose, &context, &value);
            prop_assert!(keyring.verify(&mac, purpose, &context, &value));
            prop_assert_eq!(keyring.verify(&mac, other_purpose, &context, &value), other_purpose == purpose);
            prop_assert_eq!(keyring.verify(&mac, purpose, &other_context, &value), other_context == context);
            prop_assert_eq!(keyring.verify(&mac, purpose, &context, &other_value), other_value == value);
            for key in [0, 1, 3] {
                let moved = Mac { key, code: mac.code.clone() };
                prop_assert!(!keyring.verify(&moved, purpose, &context, &value));
            }
            let mut changed = mac;
            let at = at.index(changed.code.len());
            changed.code[at] ^= 1u8 << bit;
            prop_assert!(!keyring.verify(&changed, purpose, &context, &value));
        }

        #[test]
        fn texts_open_in_their_place_only(
            (purpose, other_purpose) in (any_purpose(), any_purpose()), (context, other_context) in (".{0,20}", ".{0,20}"),
            plain in prop::collection::vec(any::<u8>(), 0..200), seed in any::<u64>(), (at, bit) in (any::<Index>(), 0u8..8)
        ) {
            let keyring = keyring();
            let mut rng = rng(seed);
            let sealed = keyring.seal(purpose, &context, &plain, &mut rng);
            prop_assert_ne!(&sealed, &keyring.seal(purpose, &context, &plain, &mut rng));
            let opened = keyring.open(purpose, &context, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), plain.as_slice());
            prop_assert_eq!(keyring.open(other_purpose, &context, &sealed).is_ok(), other_purpose == purpose);
            prop_assert_eq!(keyring.open(purpose, &other_context, &sealed).is_ok(), other_context == context);
            let body = sealed.strip_prefix("2.").unwrap();
            prop_assert_eq!(keyring.open(purpose, &context, &format!("1.{body}")), Err(CannotOpen::Refused));
            prop_assert_eq!(keyring.open(purpose, &context, &format!("3.{body}")), Err(CannotOpen::UnknownKey { version: 3 }));
            let mut bytes = BASE64URL_NOPAD.decode(body.as_bytes()).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            let changed = format!("2.{}", BASE64URL_NOPAD.encode(&bytes));
            prop_assert_eq!(keyring.open(purpose, &context, &changed), Err(CannotOpen::Refused));
            bytes[at] ^= 1u8 << bit;
            bytes.truncate(at);
            let short = format!("2.{}", BASE64URL_NOPAD.encode(&bytes));
            prop_assert!(keyring.open(purpose, &context, &short).is_err());
        }

        #[test]
        fn opening_never_panics(text in "\\PC{0,60}|[0-9]{1,11}\\.[A-Za-z0-9_-]{0,80}") {
            prop_assert!(keyring().open(Purpose::Outbox, "", &text).is_err());
        }
    }
}
