//! Passkeys: the relying party's part of WebAuthn Level 3 (sections 7.1 and 7.2), without attestation.
//!
//! A ceremony has two requests. The first one starts it and returns the options for the browser, and its own
//! state sealed in a text. The second one brings the browser's response and that text, so that nothing is
//! stored when options are requested. The text is bound to the relying party, to the kind of ceremony and to
//! a `binding` that the caller chooses, such as portal, purpose and session; it expires after
//! [`CEREMONY_SECONDS`]. It can be sent twice within that time: the caller stores
//! [`Assertion::challenge_id`] once (MF-05), and a credential id once.

mod authenticator_data;
mod cbor;
mod public_key;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use vestibule_domain::values::passkey::StoredPasskey;

use crate::keyring::{Keyring, Purpose};
use authenticator_data::{AuthenticatorData, MAX_CREDENTIAL_ID_BYTES};
use cbor::Reader;
use public_key::PublicKey;

/// How long a person has to complete a ceremony. WebAuthn Level 3 (section 15.1) recommends 5 minutes if
/// the authenticator verifies the person.
pub const CEREMONY_SECONDS: i64 = 300;

/// The length of a challenge in bytes. WebAuthn Level 3 (section 13.4.3) requires at least 16.
pub const CHALLENGE_BYTES: usize = 32;

/// The longest sealed ceremony that is opened, in characters.
pub const MAX_CEREMONY_LENGTH: usize = 2_048;

/// The longest user handle in bytes (WebAuthn Level 3, section 5.4.3).
pub const MAX_USER_HANDLE_BYTES: usize = 64;

/// The longest parts of a browser's response, in bytes. The largest attestation statements contain a chain
/// of certificates, the largest signatures are those of RSA with 4,096 bits.
const MAX_CLIENT_DATA_BYTES: usize = 4_096;
const MAX_ATTESTATION_BYTES: usize = 16_384;
const MAX_AUTHENTICATOR_DATA_BYTES: usize = 4_096;
const MAX_SIGNATURE_BYTES: usize = 1_024;

/// The transports of WebAuthn Level 3 (section 5.8.4). Others are not stored.
const TRANSPORTS: [&str; 6] = ["ble", "hybrid", "internal", "nfc", "smart-card", "usb"];

/// The length of the hash that stands for a credential id in a sealed ceremony, in bytes.
const ID_HASH_BYTES: usize = 16;

/// The most credentials that a ceremony lists. Their hashes fit [`MAX_CEREMONY_LENGTH`].
pub const MAX_LISTED_PASSKEYS: usize = 64;

/// A valid key whose private part nobody has, as a `COSE_Key` for ES256: its x is the SHA-256 of `vestibule/decoy-passkey/0`.
/// Signatures of unknown passkeys are verified with it, so that they take the same time (UX-09).
const DECOY_KEY: &[u8] = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20\
\x7e\xc0\x51\xf3\xe3\x24\x37\x7a\x4a\xf0\xd5\x97\x3a\xfa\xc6\xc9\x68\x49\xd7\x14\xeb\x54\x25\x52\x38\xd6\x56\x09\x47\xb7\xb2\xc9\
\x22\x58\x20\
\x9d\x40\xcc\x7d\xe7\x95\xd2\xc8\x2e\x58\x3c\x8e\x04\xd6\xf6\xbc\xc0\x35\x61\xf1\x7f\x66\x04\x24\x45\xd1\x7f\x53\x54\x30\xaf\x8e";

/// The relying party: the site that a passkey belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// The domain that passkeys are bound to: that of the site, or a parent of it. Passkeys can't be moved to another one.
    pub id: String,
    /// The origins whose pages may perform ceremonies, exactly as browsers send them: `https://portal.example.com`.
    pub origins: Vec<String>,
    /// Displayed when a passkey is created.
    pub name: String,
}

/// The person for whom a passkey is created.
#[derive(Debug, Clone, Copy)]
pub struct PasskeyUser<'a> {
    /// Identifies the account to the authenticator, which stores it readable: at most [`MAX_USER_HANDLE_BYTES`],
    /// and nothing about the person.
    pub handle: &'a [u8],
    pub username: &'a str,
    pub display_name: &'a str,
}

/// A ceremony that has started.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// What `PublicKeyCredential.parseCreationOptionsFromJSON` or `parseRequestOptionsFromJSON` takes.
    pub options: Value,
    /// The sealed state, which comes back with the browser's response. At most [`MAX_CEREMONY_LENGTH`] characters.
    pub ceremony: String,
}

/// A verified signature of a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assertion {
    /// Whether the authenticator verified the person by PIN or biometrics, so that the passkey is two factors in one.
    pub user_verified: bool,
    /// The new signature counter, to be stored.
    pub sign_count: u32,
    /// Whether the passkey is synchronized now, to be stored.
    pub backed_up: bool,
    /// The SHA-256 of the challenge. The caller accepts it once, by a condition, until the ceremony has expired.
    pub challenge_id: [u8; 32],
}

/// Why a ceremony is refused. It never contains input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeyRefusal {
    /// More than [`CEREMONY_SECONDS`] have passed.
    #[error("the ceremony has expired")]
    Expired,
    /// The sealed ceremony was changed, or belongs to another session, portal, purpose or kind; or the response has
    /// another challenge or type.
    #[error("the response belongs to another ceremony")]
    WrongCeremony,
    /// The page is not one of the relying party's, or is embedded in a page of another origin.
    #[error("the response was made for another page")]
    WrongOrigin,
    /// The authenticator used the id of another relying party.
    #[error("the response was made for another relying party")]
    WrongRelyingParty,
    /// Nobody touched the authenticator, or its flags contradict each other or the stored passkey.
    #[error("the flags of the authenticator are not acceptable")]
    WrongFlags,
    /// The passkey would be the only factor, and the authenticator did not verify the person.
    #[error("the authenticator did not verify the person")]
    NotVerified,
    /// The key is of an algorithm that was not offered, or is not valid.
    #[error("the public key is not acceptable")]
    UnsupportedKey,
    /// The account already has this passkey.
    #[error("the passkey is registered already")]
    AlreadyRegistered,
    /// The passkey is none of those that the ceremony lists, or not the stored one.
    #[error("the passkey is none of those requested")]
    NotListed,
    /// The signature is not the passkey's, or the passkey is unknown.
    #[error("the signature is not valid")]
    BadSignature,
    /// The signature counter has not increased: the authenticator may have been copied.
    #[error("the signature counter has not increased")]
    Counter,
    /// The response does not have the documented form, or is too long.
    #[error("the response is malformed")]
    Malformed,
}

/// The kinds of ceremonies, with the `type` that browsers sign.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Registration,
    Authentication,
}

impl Kind {
    const fn client_data_type(self) -> &'static str {
        match self {
            Self::Registration => "webauthn.create",
            Self::Authentication => "webauthn.get",
        }
    }
}

/// What is sealed between the two requests of a ceremony.
struct State {
    /// Unix time in seconds.
    expires_at: i64,
    challenge: [u8; CHALLENGE_BYTES],
    /// Hashes of the credential ids in the options: those to exclude, or those to allow.
    listed: Vec<[u8; ID_HASH_BYTES]>,
}

impl State {
    fn to_bytes(&self) -> Vec<u8> {
        let listed = self.listed.as_flattened();
        [&self.expires_at.to_be_bytes()[..], &self.challenge, listed].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (expires_at, rest) = bytes.split_first_chunk()?;
        let (challenge, rest) = rest.split_first_chunk()?;
        let (listed, rest) = rest.as_chunks();
        rest.is_empty().then(|| Self {
            expires_at: i64::from_be_bytes(*expires_at),
            challenge: *challenge,
            listed: listed.to_vec(),
        })
    }

    fn lists(&self, credential_id: &[u8]) -> bool {
        self.listed.contains(&id_hash(credential_id))
    }
}

fn id_hash(credential_id: &[u8]) -> [u8; ID_HASH_BYTES] {
    let mut hash = [0; ID_HASH_BYTES];
    hash.copy_from_slice(&Sha256::digest(credential_id)[..ID_HASH_BYTES]);
    hash
}

/// The place and time of a ceremony. Both requests of a ceremony must have the same `rp` and `binding`.
#[derive(Debug, Clone)]
pub struct Ceremonies<'a> {
    pub rp: RelyingParty,
    pub keyring: &'a Keyring,
    /// What the ceremony is for, such as portal, purpose and session.
    pub binding: String,
    pub now: Timestamp,
}

impl Ceremonies<'_> {
    /// Starts the creation of a passkey. `exclude` contains the account's passkeys, so that an authenticator
    /// does not create a second one.
    ///
    /// The passkey is discoverable if the authenticator can store it, and the person is verified if the authenticator can
    /// do so. The browser extension `credProps` reports the first.
    pub fn start_registration(
        &self,
        user: PasskeyUser<'_>,
        exclude: &[StoredPasskey],
        rng: &mut impl rand::CryptoRng,
    ) -> Started {
        let (challenge, ceremony) = self.start(Kind::Registration, exclude, rng);
        let algorithms =
            public_key::ALGORITHMS.map(|algorithm| json!({"type": "public-key", "alg": algorithm}));
        let options = json!({
            "rp": {"id": self.rp.id, "name": self.rp.name},
            "user": {
                "id": BASE64URL_NOPAD.encode(user.handle),
                "name": user.username,
                "displayName": user.display_name,
            },
            "challenge": challenge,
            "pubKeyCredParams": algorithms,
            "timeout": CEREMONY_SECONDS * 1_000,
            "excludeCredentials": descriptors(exclude),
            "authenticatorSelection": {
                "residentKey": "preferred",
                "requireResidentKey": false,
                "userVerification": "preferred",
            },
            "attestation": "none",
            "extensions": {"credProps": true},
        });
        Started { options, ceremony }
    }

    /// Verifies the response to `navigator.credentials.create` (WebAuthn Level 3, section 7.1) and returns the
    /// passkey, and whether the authenticator verified the person.
    ///
    /// Attestation is not requested. The statements of authenticators that send one without request are
    /// ignored, because nothing depends on them.
    ///
    /// # Errors
    /// [`PasskeyRefusal`], in the order of its variants.
    pub fn finish_registration(
        &self,
        ceremony: &str,
        response: &Value,
    ) -> Result<(StoredPasskey, bool), PasskeyRefusal> {
        let state = self.open(Kind::Registration, ceremony)?;
        let credential: Credential<RegistrationResponse> = Credential::read(response)?;
        let id = credential.id()?;
        let response = credential.response;
        let client_data = decode(&response.client_data_json, MAX_CLIENT_DATA_BYTES)?;
        self.check_client_data(Kind::Registration, &state, &client_data)?;
        let attestation = decode(&response.attestation_object, MAX_ATTESTATION_BYTES)?;
        let data = attested_data(&attestation).ok_or(PasskeyRefusal::Malformed)?;
        let data = self.check_authenticator_data(data)?;
        let new = data.credential.as_ref().ok_or(PasskeyRefusal::Malformed)?;
        if new.id != id {
            return Err(PasskeyRefusal::Malformed);
        }
        PublicKey::parse(new.public_key).ok_or(PasskeyRefusal::UnsupportedKey)?;
        if state.lists(&id) {
            return Err(PasskeyRefusal::AlreadyRegistered);
        }
        let passkey = StoredPasskey {
            credential_id: id,
            public_key: new.public_key.to_vec(),
            sign_count: data.sign_count,
            backup_eligible: data.is_backup_eligible(),
            backed_up: data.is_backed_up(),
            transports: known_transports(&response.transports),
        };
        Ok((passkey, data.is_user_verified()))
    }

    /// Starts an authentication with one of the passkeys in `allow`, or with any discoverable passkey if it is
    /// empty. The person is then identified by the passkey alone, so the authenticator must verify them (MF-03).
    pub fn start_authentication(
        &self,
        allow: &[StoredPasskey],
        rng: &mut impl rand::CryptoRng,
    ) -> Started {
        let (challenge, ceremony) = self.start(Kind::Authentication, allow, rng);
        let user_verification = if allow.is_empty() {
            "required"
        } else {
            "preferred"
        };
        let options = json!({
            "challenge": challenge,
            "timeout": CEREMONY_SECONDS * 1_000,
            "rpId": self.rp.id,
            "allowCredentials": descriptors(allow),
            "userVerification": user_verification,
        });
        Started { options, ceremony }
    }

    /// Verifies the response to `navigator.credentials.get` (WebAuthn Level 3, section 7.2).
    ///
    /// `passkey` is the one that [`credential_of`] names, of the account that signs in or that the user handle
    /// names; the caller compares the user handle. Without a passkey, the same work is done with a key that
    /// nobody has, and the result is [`PasskeyRefusal::BadSignature`], so that unknown passkeys look
    /// like wrong signatures (UX-09).
    ///
    /// # Errors
    /// [`PasskeyRefusal`].
    pub fn finish_authentication(
        &self,
        ceremony: &str,
        response: &Value,
        passkey: Option<&StoredPasskey>,
    ) -> Result<Assertion, PasskeyRefusal> {
        let state = self.open(Kind::Authentication, ceremony)?;
        let credential: Credential<AuthenticationResponse> = Credential::read(response)?;
        let id = credential.id()?;
        let response = credential.response;
        let client_data = decode(&response.client_data_json, MAX_CLIENT_DATA_BYTES)?;
        self.check_client_data(Kind::Authentication, &state, &client_data)?;
        let signed_data = decode(&response.authenticator_data, MAX_AUTHENTICATOR_DATA_BYTES)?;
        let data = self.check_authenticator_data(&signed_data)?;
        let signature = decode(&response.signature, MAX_SIGNATURE_BYTES)?;
        // A discoverable passkey is the only factor.
        if state.listed.is_empty() && !data.is_user_verified() {
            return Err(PasskeyRefusal::NotVerified);
        }
        if !state.listed.is_empty() && !state.lists(&id) {
            return Err(PasskeyRefusal::NotListed);
        }
        let key = passkey.map_or(DECOY_KEY, |passkey| passkey.public_key.as_slice());
        let key = PublicKey::parse(key).ok_or(PasskeyRefusal::UnsupportedKey)?;
        let message = [signed_data.as_slice(), &Sha256::digest(&client_data)].concat();
        let is_signed = key.verifies(&message, &signature);
        let Some(passkey) = passkey.filter(|_| is_signed) else {
            return Err(PasskeyRefusal::BadSignature);
        };
        if passkey.credential_id != id {
            return Err(PasskeyRefusal::NotListed);
        }
        if passkey.backup_eligible != data.is_backup_eligible() {
            return Err(PasskeyRefusal::WrongFlags);
        }
        let counts = passkey.sign_count != 0 || data.sign_count != 0;
        if counts && data.sign_count <= passkey.sign_count {
            return Err(PasskeyRefusal::Counter);
        }
        Ok(Assertion {
            user_verified: data.is_user_verified(),
            sign_count: data.sign_count,
            backed_up: data.is_backed_up(),
            challenge_id: Sha256::digest(state.challenge).into(),
        })
    }

    /// Draws a challenge and returns it encoded, with the sealed ceremony.
    fn start(
        &self,
        kind: Kind,
        listed: &[StoredPasskey],
        rng: &mut impl rand::CryptoRng,
    ) -> (String, String) {
        let mut challenge = [0; CHALLENGE_BYTES];
        rng.fill_bytes(&mut challenge);
        let listed = listed.iter().take(MAX_LISTED_PASSKEYS);
        let state = State {
            expires_at: self.now.as_second().saturating_add(CEREMONY_SECONDS),
            challenge,
            listed: listed
                .map(|passkey| id_hash(&passkey.credential_id))
                .collect(),
        };
        let place = self.place(kind);
        let sealed = self
            .keyring
            .seal(Purpose::Ceremony, &place, &state.to_bytes(), rng);
        (BASE64URL_NOPAD.encode(&challenge), sealed)
    }

    fn open(&self, kind: Kind, ceremony: &str) -> Result<State, PasskeyRefusal> {
        if ceremony.len() > MAX_CEREMONY_LENGTH {
            return Err(PasskeyRefusal::WrongCeremony);
        }
        let opened = self
            .keyring
            .open(Purpose::Ceremony, &self.place(kind), ceremony);
        let state = opened.ok().and_then(|bytes| State::from_bytes(&bytes));
        let state = state.ok_or(PasskeyRefusal::WrongCeremony)?;
        if self.now.as_second() >= state.expires_at {
            return Err(PasskeyRefusal::Expired);
        }
        Ok(state)
    }

    /// Returns the context that a ceremony is sealed for.
    fn place(&self, kind: Kind) -> String {
        // Lengths separate the parts, so that no other parts give the same context.
        let (rp_id, binding) = (&self.rp.id, &self.binding);
        format!(
            "{}/{}/{rp_id}/{binding}",
            kind.client_data_type(),
            rp_id.len()
        )
    }

    /// Checks what the browser signed: steps 5 to 11 of section 7.1, and 9 to 14 of section 7.2.
    fn check_client_data(
        &self,
        kind: Kind,
        state: &State,
        json: &[u8],
    ) -> Result<(), PasskeyRefusal> {
        // "UTF-8 decode" of the Encoding standard removes a byte order mark.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let data: ClientData =
            serde_json::from_slice(json).map_err(|_| PasskeyRefusal::Malformed)?;
        let challenge = BASE64URL_NOPAD
            .decode(data.challenge.as_bytes())
            .unwrap_or_default();
        let is_right = bool::from(challenge.ct_eq(&state.challenge));
        if data.kind != kind.client_data_type() || !is_right {
            return Err(PasskeyRefusal::WrongCeremony);
        }
        let is_embedded = data.cross_origin.unwrap_or(false) || data.top_origin.is_some();
        if is_embedded || !self.rp.origins.contains(&data.origin) {
            return Err(PasskeyRefusal::WrongOrigin);
        }
        Ok(())
    }

    /// Checks what the authenticator reports: steps 14 to 18 of section 7.1, and 15 to 18 of section 7.2.
    fn check_authenticator_data<'a>(
        &self,
        bytes: &'a [u8],
    ) -> Result<AuthenticatorData<'a>, PasskeyRefusal> {
        let data = AuthenticatorData::parse(bytes).ok_or(PasskeyRefusal::Malformed)?;
        if data.rp_id_hash[..] != Sha256::digest(&self.rp.id)[..] {
            return Err(PasskeyRefusal::WrongRelyingParty);
        }
        let contradicts = data.is_backed_up() && !data.is_backup_eligible();
        if !data.is_user_present() || contradicts {
            return Err(PasskeyRefusal::WrongFlags);
        }
        Ok(data)
    }
}

/// Returns the credential id and the user handle of a response to `navigator.credentials.get`, to find the
/// account and its passkey before the response is verified. `None` if it is malformed.
pub fn credential_of(response: &Value) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let credential: Credential<AuthenticationResponse> = Credential::read(response).ok()?;
    let id = credential.id().ok()?;
    let handle = match &credential.response.user_handle {
        Some(handle) => Some(decode(handle, MAX_USER_HANDLE_BYTES).ok()?),
        None => None,
    };
    Some((id, handle))
}

/// `RegistrationResponseJSON` or `AuthenticationResponseJSON` (WebAuthn Level 3, section 5.1): the result of
/// `toJSON()` of a `PublicKeyCredential`. Browsers may add fields.
#[derive(Deserialize)]
struct Credential<R> {
    id: String,
    #[serde(rename = "rawId")]
    raw_id: String,
    #[serde(rename = "type")]
    kind: String,
    response: R,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    attestation_object: String,
    #[serde(default)]
    transports: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthenticationResponse {
    #[serde(rename = "clientDataJSON")]
    client_data_json: String,
    authenticator_data: String,
    signature: String,
    user_handle: Option<String>,
}

/// `CollectedClientData` (WebAuthn Level 3, section 5.8.1). Browsers may add fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    cross_origin: Option<bool>,
    top_origin: Option<String>,
}

impl<'v, R: Deserialize<'v>> Credential<R> {
    fn read(response: &'v Value) -> Result<Self, PasskeyRefusal> {
        let credential = Self::deserialize(response).map_err(|_| PasskeyRefusal::Malformed)?;
        let is_consistent = credential.kind == "public-key" && credential.id == credential.raw_id;
        is_consistent
            .then_some(credential)
            .ok_or(PasskeyRefusal::Malformed)
    }

    fn id(&self) -> Result<Vec<u8>, PasskeyRefusal> {
        let id = decode(&self.id, MAX_CREDENTIAL_ID_BYTES)?;
        if id.is_empty() {
            return Err(PasskeyRefusal::Malformed);
        }
        Ok(id)
    }
}

/// Decodes base64url of at most `longest` bytes.
fn decode(text: &str, longest: usize) -> Result<Vec<u8>, PasskeyRefusal> {
    if text.len() > BASE64URL_NOPAD.encode_len(longest) {
        return Err(PasskeyRefusal::Malformed);
    }
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| PasskeyRefusal::Malformed)
}

/// Returns the authenticator data of an attestation object (WebAuthn Level 3, section 6.5), ignoring its statement.
fn attested_data(attestation_object: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(attestation_object);
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..reader.map()? {
        let is_new = match reader.text()? {
            "fmt" => format.replace(reader.text()?).is_none(),
            "attStmt" => statement.replace(reader.item()?).is_none(),
            "authData" => data.replace(reader.bytes()?).is_none(),
            _ => false,
        };
        if !is_new {
            return None;
        }
    }
    let entries = Reader::new(statement?).map()?;
    // The statement of the format "none" is empty (section 8.7).
    let is_complete = reader.rest().is_empty() && (format? != "none" || entries == 0);
    data.filter(|_| is_complete)
}

fn descriptors(passkeys: &[StoredPasskey]) -> Vec<Value> {
    let descriptor = |passkey: &StoredPasskey| {
        json!({
            "type": "public-key",
            "id": BASE64URL_NOPAD.encode(&passkey.credential_id),
            "transports": passkey.transports,
        })
    };
    passkeys
        .iter()
        .take(MAX_LISTED_PASSKEYS)
        .map(descriptor)
        .collect()
}

/// Returns the known transports, sorted, each once.
fn known_transports(sent: &[String]) -> Vec<String> {
    let is_sent = |known: &&str| sent.iter().any(|sent| sent == known);
    TRANSPORTS
        .into_iter()
        .filter(is_sent)
        .map(str::to_owned)
        .collect()
}
