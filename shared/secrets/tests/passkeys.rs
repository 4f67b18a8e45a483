//! Passkey ceremonies with an authenticator and a browser that are not part of this project (1Password's
//! passkey-rs), and everything that can be wrong in a response.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::slice;

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::KeyPair as _;
use coset::iana::Algorithm;
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use passkey_crypto::{AvailableSecretKey, SecretKeyT};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vestibule_authenticator::{Browser, browser};
use vestibule_domain::values::passkey::StoredPasskey;
use vestibule_secrets::Keyring;
use vestibule_secrets::passkey::{
    Assertion, CEREMONY_SECONDS, Ceremonies, MAX_CEREMONY_LENGTH, PasskeyRefusal, PasskeyUser,
    RelyingParty, Started, credential_of,
};

const ORIGIN: &str = "https://portal.example.com";
const BINDING: &str = "provider/sign-in/session-1";
const HANDLE: &[u8] = b"26 characters of an id";

/// The relying party with its keys, at one moment.
struct Site {
    rp: RelyingParty,
    keyring: Keyring,
    binding: String,
    now: Timestamp,
    rng: StdRng,
}

impl Site {
    fn new() -> Self {
        Self {
            rp: RelyingParty {
                id: "example.com".to_owned(),
                origins: vec![ORIGIN.to_owned(), "https://www.example.com".to_owned()],
                name: "Lakeside Health".to_owned(),
            },
            keyring: Keyring::new([(1, [7; 32])]).unwrap(),
            binding: BINDING.to_owned(),
            now: "2026-01-06T15:00:00Z".parse().unwrap(),
            rng: StdRng::seed_from_u64(1),
        }
    }

    fn ceremonies(&self) -> Ceremonies<'_> {
        Ceremonies {
            rp: self.rp.clone(),
            keyring: &self.keyring,
            binding: self.binding.clone(),
            now: self.now,
        }
    }

    fn start_registration(&mut self, exclude: &[StoredPasskey]) -> Started {
        let user = PasskeyUser {
            handle: HANDLE,
            username: "ruth.lee",
            display_name: "Ruth Lee",
        };
        let mut rng = StdRng::from_rng(&mut self.rng);
        self.ceremonies()
            .start_registration(user, exclude, &mut rng)
    }

    fn start_authentication(&mut self, allow: &[StoredPasskey]) -> Started {
        let mut rng = StdRng::from_rng(&mut self.rng);
        self.ceremonies().start_authentication(allow, &mut rng)
    }

    fn registers(
        &self,
        ceremony: &str,
        response: &Value,
    ) -> Result<(StoredPasskey, bool), PasskeyRefusal> {
        self.ceremonies().finish_registration(ceremony, response)
    }

    fn authenticates(
        &self,
        ceremony: &str,
        response: &Value,
        passkey: &StoredPasskey,
    ) -> Result<Assertion, PasskeyRefusal> {
        self.ceremonies()
            .finish_authentication(ceremony, response, Some(passkey))
    }

    /// Registers a passkey of this browser.
    async fn passkey(&mut self, browser: &mut Browser) -> StoredPasskey {
        let started = self.start_registration(&[]);
        let response = create(browser, &started.options).await;
        self.registers(&started.ceremony, &response).unwrap().0
    }
}

async fn create(browser: &mut Browser, options: &Value) -> Value {
    vestibule_authenticator::create(browser, ORIGIN, options).await
}

async fn get(browser: &mut Browser, options: &Value) -> Value {
    vestibule_authenticator::get(browser, ORIGIN, options).await
}

fn encode(bytes: &[u8]) -> Value {
    BASE64URL_NOPAD.encode(bytes).into()
}

fn decode(text: &Value) -> Vec<u8> {
    BASE64URL_NOPAD
        .decode(text.as_str().unwrap().as_bytes())
        .unwrap()
}

/// Changes the client data of a response.
fn change_client_data(response: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut response = response.clone();
    let data = &mut response["response"]["clientDataJSON"];
    let mut json = serde_json::from_slice(&decode(data)).unwrap();
    change(&mut json);
    *data = encode(json.to_string().as_bytes());
    response
}

/// Changes the authenticator data of a response.
fn change_authenticator_data(response: &Value, change: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut response = response.clone();
    let data = &mut response["response"]["authenticatorData"];
    let mut bytes = decode(data);
    change(&mut bytes);
    *data = encode(&bytes);
    response
}

/// Signs a changed assertion, as an authenticator would that has the passkey and does not follow the rules.
fn sign_again(browser: &Browser, mut response: Value) -> Value {
    let id = decode(&response["rawId"]);
    let passkey = &browser.authenticator().store().0[&id];
    let mut key = AvailableSecretKey::from_cose_key(&passkey.key).unwrap();
    let parts = &mut response["response"];
    let client_data = Sha256::digest(decode(&parts["clientDataJSON"]));
    let message = [decode(&parts["authenticatorData"]).as_slice(), &client_data].concat();
    parts["signature"] = encode(&key.sign(&message));
    response
}

/// The places of the flags and of the counter in authenticator data.
const FLAGS: usize = 32;
const COUNTER: usize = 33;

/// Removes the flag that the person was verified.
fn unverified(browser: &Browser, response: &Value) -> Value {
    sign_again(
        browser,
        change_authenticator_data(response, |data| data[FLAGS] &= !4),
    )
}

#[tokio::test]
async fn mf_01_passkeys_of_each_algorithm_are_registered_and_used() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let mut site = Site::new();
        let mut browser = browser(algorithm, true);
        let started = site.start_registration(&[]);
        let response = create(&mut browser, &started.options).await;
        let (mut passkey, user_verified) = site.registers(&started.ceremony, &response).unwrap();
        assert!(user_verified);
        assert_eq!(passkey.credential_id, decode(&response["rawId"]));
        assert_eq!(passkey.transports, ["hybrid", "internal"]);
        for _ in 0..3 {
            let started = site.start_authentication(slice::from_ref(&passkey));
            let response = get(&mut browser, &started.options).await;
            let (id, handle) = credential_of(&response).unwrap();
            assert_eq!(id, passkey.credential_id);
            assert!(handle.is_none_or(|handle| handle == HANDLE));
            let assertion = site
                .authenticates(&started.ceremony, &response, &passkey)
                .unwrap();
            assert!(assertion.user_verified);
            assert!(assertion.sign_count > passkey.sign_count);
            let challenge = decode(&started.options["challenge"]);
            assert_eq!(assertion.challenge_id[..], Sha256::digest(challenge)[..]);
            passkey.sign_count = assertion.sign_count;
        }
    }
}

#[tokio::test]
async fn mf_01_a_passkey_with_rsa_is_registered_and_used() {
    let mut site = Site::new();
    let key = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    // RSAPublicKey of RFC 8017 (appendix A.1.1): a sequence of the modulus, after a zero, and of the exponent.
    let modulus = key.public_key().as_ref()[9..][..256].to_vec();
    let id = encode(b"id-1");
    let response_of = |response: Value| json!({"id": id, "rawId": id, "type": "public-key", "response": response});
    let head = |flags, count| {
        let rp_id_hash = Sha256::digest("example.com");
        [&rp_id_hash[..], &[flags, 0, 0, 0, count]].concat()
    };
    let client_data = |kind: &str, options: &Value| {
        json!({"type": kind, "challenge": options["challenge"], "origin": ORIGIN}).to_string()
    };
    let registration = |options: &Value, modulus: &[u8], exponent: &[u8]| {
        let length = u16::try_from(modulus.len()).unwrap().to_be_bytes();
        let public_key = [
            b"\xa4\x01\x03\x03\x39\x01\x00\x20\x59",
            &length[..],
            modulus,
            b"\x21",
            exponent,
        ]
        .concat();
        let data = [&head(0x45, 1)[..], &[0; 16], &[0, 4], b"id-1", &public_key].concat();
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        let object = [
            b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59",
            &length[..],
            &data,
        ]
        .concat();
        response_of(json!({
            "clientDataJSON": encode(client_data("webauthn.create", options).as_bytes()),
            "attestationObject": encode(&object),
            "transports": ["usb", "nfc", "usb", "telepathy"],
        }))
    };
    let started = site.start_registration(&[]);
    let options = &started.options;
    let response = registration(options, &modulus, b"\x43\x01\x00\x01");
    let (passkey, _) = site.registers(&started.ceremony, &response).unwrap();
    assert_eq!(passkey.transports, ["nfc", "usb"]);
    // An exponent of 1, short and long keys, and a leading zero.
    let long = [modulus.as_slice(), &[1; 257]].concat();
    for (modulus, exponent) in [
        (modulus.as_slice(), &b"\x41\x01"[..]),
        (&modulus[1..], b"\x43\x01\x00\x01"),
        (&long, b"\x43\x01\x00\x01"),
        (&[&[0], modulus.as_slice()].concat(), b"\x43\x01\x00\x01"),
    ] {
        let response = registration(options, modulus, exponent);
        let refused = site.registers(&started.ceremony, &response);
        assert_eq!(refused, Err(PasskeyRefusal::UnsupportedKey));
    }

    let started = site.start_authentication(slice::from_ref(&passkey));
    let client_data = client_data("webauthn.get", &started.options);
    let data = head(1, 2);
    let message = [&data[..], &Sha256::digest(&client_data)].concat();
    let mut signature = vec![0; key.public_modulus_len()];
    let rng = aws_lc_rs::rand::SystemRandom::new();
    let padding = &aws_lc_rs::signature::RSA_PKCS1_SHA256;
    key.sign(padding, &rng, &message, &mut signature).unwrap();
    let mut response = response_of(json!({
        "clientDataJSON": encode(client_data.as_bytes()),
        "authenticatorData": encode(&data),
        "signature": encode(&signature),
        "userHandle": null,
    }));
    let assertion = site.authenticates(&started.ceremony, &response, &passkey);
    assert!(!assertion.unwrap().user_verified);
    signature[7] ^= 1;
    response["response"]["signature"] = encode(&signature);
    let refused = site.authenticates(&started.ceremony, &response, &passkey);
    assert_eq!(refused, Err(PasskeyRefusal::BadSignature));
}

#[tokio::test]
async fn mf_03_a_discoverable_passkey_names_its_account() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let passkey = site.passkey(&mut browser).await;
    let started = site.start_authentication(&[]);
    assert_eq!(started.options["userVerification"], "required");
    assert_eq!(started.options["allowCredentials"], json!([]));
    let response = get(&mut browser, &started.options).await;
    let (id, handle) = credential_of(&response).unwrap();
    assert_eq!(id, passkey.credential_id);
    assert_eq!(handle.as_deref(), Some(HANDLE));
    let assertion = site
        .authenticates(&started.ceremony, &response, &passkey)
        .unwrap();
    assert!(assertion.user_verified);
    // An unknown passkey looks like a wrong signature (UX-09).
    let unknown = site
        .ceremonies()
        .finish_authentication(&started.ceremony, &response, None);
    assert_eq!(unknown, Err(PasskeyRefusal::BadSignature));
}

#[tokio::test]
async fn mf_03_a_passkey_that_is_the_only_factor_verifies_the_person() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let passkey = site.passkey(&mut browser).await;
    let started = site.start_authentication(&[]);
    let response = get(&mut browser, &started.options).await;
    let response = unverified(&browser, &response);
    let refused = site.authenticates(&started.ceremony, &response, &passkey);
    assert_eq!(refused, Err(PasskeyRefusal::NotVerified));
    // It is accepted as a second factor.
    let started = site.start_authentication(slice::from_ref(&passkey));
    let response = get(&mut browser, &started.options).await;
    let response = unverified(&browser, &response);
    let accepted = site.authenticates(&started.ceremony, &response, &passkey);
    assert!(!accepted.unwrap().user_verified);
}

#[tokio::test]
async fn mf_01_a_security_key_without_verification_is_a_second_factor() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, false).user_verification_when_preferred(false);
    let started = site.start_registration(&[]);
    let response = create(&mut browser, &started.options).await;
    let (passkey, user_verified) = site.registers(&started.ceremony, &response).unwrap();
    assert!(!user_verified);
    let started = site.start_authentication(slice::from_ref(&passkey));
    let response = get(&mut browser, &started.options).await;
    let accepted = site.authenticates(&started.ceremony, &response, &passkey);
    assert!(!accepted.unwrap().user_verified);
}

#[tokio::test]
async fn mf_05_a_ceremony_belongs_to_its_place_and_time() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let passkey = site.passkey(&mut browser).await;
    let started = site.start_authentication(slice::from_ref(&passkey));
    let response = get(&mut browser, &started.options).await;
    let wrong = Err(PasskeyRefusal::WrongCeremony);
    let started_at = site.now;
    let ceremony = &started.ceremony;

    // Another session, portal or purpose, another relying party, other keys.
    for binding in [
        "provider/sign-in/session-2",
        "employer/sign-in/session-1",
        "provider/step-up/session-1",
        "",
    ] {
        site.binding = binding.to_owned();
        let refused = site.authenticates(ceremony, &response, &passkey);
        assert_eq!(refused, wrong, "{binding}");
    }
    site.binding = BINDING.to_owned();
    site.rp.id = "other.example.com".to_owned();
    assert_eq!(site.authenticates(ceremony, &response, &passkey), wrong);
    site.rp.id = "example.com".to_owned();
    site.keyring = Keyring::new([(1, [8; 32])]).unwrap();
    assert_eq!(site.authenticates(ceremony, &response, &passkey), wrong);
    site.keyring = Keyring::new([(1, [7; 32])]).unwrap();

    // Another kind, another start, or a changed text.
    let registered = site.registers(ceremony, &response);
    assert_eq!(registered, Err(PasskeyRefusal::WrongCeremony));
    let other = site
        .start_authentication(slice::from_ref(&passkey))
        .ceremony;
    assert_eq!(site.authenticates(&other, &response, &passkey), wrong);
    for ceremony in [
        "",
        "1.",
        "1.AAAA",
        &ceremony[..ceremony.len() - 2],
        &format!("{ceremony}A"),
        &"1.".repeat(MAX_CEREMONY_LENGTH),
    ] {
        assert_eq!(site.authenticates(ceremony, &response, &passkey), wrong);
    }

    site.now = started_at + SignedDuration::from_secs(CEREMONY_SECONDS - 1);
    assert!(site.authenticates(ceremony, &response, &passkey).is_ok());
    site.now = started_at + SignedDuration::from_secs(CEREMONY_SECONDS);
    let expired = site.authenticates(ceremony, &response, &passkey);
    assert_eq!(expired, Err(PasskeyRefusal::Expired));
}

#[tokio::test]
async fn se_11_a_rotation_of_the_data_key_does_not_end_a_ceremony() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let started = site.start_registration(&[]);
    let response = create(&mut browser, &started.options).await;
    site.keyring = Keyring::new([(1, [7; 32]), (2, [9; 32])]).unwrap();
    assert!(site.registers(&started.ceremony, &response).is_ok());
}

#[tokio::test]
async fn mf_01_a_passkey_is_registered_once() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let started = site.start_registration(&[]);
    let response = create(&mut browser, &started.options).await;
    let (passkey, _) = site.registers(&started.ceremony, &response).unwrap();
    // A browser that ignores the list of excluded passkeys.
    let again = site.start_registration(slice::from_ref(&passkey));
    let excluded = &again.options["excludeCredentials"];
    assert_eq!(excluded[0]["id"], response["rawId"]);
    let response = change_client_data(&response, |data| {
        data["challenge"] = again.options["challenge"].clone();
    });
    let refused = site.registers(&again.ceremony, &response);
    assert_eq!(refused, Err(PasskeyRefusal::AlreadyRegistered));
}

#[tokio::test]
async fn client_data_of_other_pages_and_ceremonies_is_refused() {
    use PasskeyRefusal::{Malformed, WrongCeremony, WrongOrigin};
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let created = site.start_registration(&[]);
    let registration = create(&mut browser, &created.options).await;
    let (passkey, _) = site.registers(&created.ceremony, &registration).unwrap();
    let started = site.start_authentication(slice::from_ref(&passkey));
    let response = get(&mut browser, &started.options).await;

    for (field, value, refusal) in [
        ("origin", json!("https://portal.example.org"), WrongOrigin),
        ("origin", json!("http://portal.example.com"), WrongOrigin),
        (
            "origin",
            json!("https://portal.example.com:8443"),
            WrongOrigin,
        ),
        ("origin", json!("https://portal.example.com/"), WrongOrigin),
        ("origin", json!("https://PORTAL.example.com"), WrongOrigin),
        ("origin", json!("https://example.com"), WrongOrigin),
        ("origin", json!(""), WrongOrigin),
        ("crossOrigin", json!(true), WrongOrigin),
        ("topOrigin", json!(ORIGIN), WrongOrigin),
        ("type", json!("payment.get"), WrongCeremony),
        ("type", json!("WEBAUTHN.GET"), WrongCeremony),
        ("challenge", json!(""), WrongCeremony),
        ("challenge", json!("AAAA"), WrongCeremony),
        ("challenge", encode(&[0; 32]), WrongCeremony),
        ("challenge", Value::Null, Malformed),
        ("crossOrigin", json!("true"), Malformed),
        ("filler", json!("a".repeat(4_096)), Malformed),
    ] {
        let change = |data: &mut Value| data[field] = value.clone();
        let changed = change_client_data(&registration, change);
        let refused = site.registers(&created.ceremony, &changed);
        assert_eq!(refused, Err(refusal), "{field}: {value}");
        // It is signed, so that only this check refuses it.
        let changed = sign_again(&browser, change_client_data(&response, change));
        let refused = site.authenticates(&started.ceremony, &changed, &passkey);
        assert_eq!(refused, Err(refusal), "{field}: {value}");
    }
    // Each kind with the other kind's type.
    let changed = change_client_data(&registration, |data| data["type"] = "webauthn.get".into());
    let refused = site.registers(&created.ceremony, &changed);
    assert_eq!(refused, Err(WrongCeremony));
    let changed = change_client_data(&response, |data| data["type"] = "webauthn.create".into());
    let changed = sign_again(&browser, changed);
    let refused = site.authenticates(&started.ceremony, &changed, &passkey);
    assert_eq!(refused, Err(WrongCeremony));

    // Unknown fields, another allowed origin, and a byte order mark.
    let allowed = change_client_data(&response, |data| {
        data["origin"] = "https://www.example.com".into();
        data["crossOrigin"] = false.into();
        data["other_keys_can_be_added_here"] = "do not compare with a template".into();
    });
    let mut allowed = sign_again(&browser, allowed);
    let accepted = site.authenticates(&started.ceremony, &allowed, &passkey);
    assert!(accepted.is_ok());
    let data = decode(&allowed["response"]["clientDataJSON"]);
    allowed["response"]["clientDataJSON"] = encode(&[b"\xef\xbb\xbf", data.as_slice()].concat());
    let allowed = sign_again(&browser, allowed);
    let accepted = site.authenticates(&started.ceremony, &allowed, &passkey);
    assert!(accepted.is_ok());
}

#[tokio::test]
async fn authenticator_data_that_breaks_the_rules_is_refused() {
    use PasskeyRefusal::{Counter, Malformed, WrongFlags, WrongRelyingParty};
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let mut passkey = site.passkey(&mut browser).await;
    passkey.sign_count = 5;
    let started = site.start_authentication(slice::from_ref(&passkey));
    let response = get(&mut browser, &started.options).await;
    let response = change_authenticator_data(&response, |data| {
        data[COUNTER..].copy_from_slice(&6_u32.to_be_bytes());
    });

    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change, Result<(), PasskeyRefusal>); 15] = [
        ("nothing", |_| (), Ok(())),
        (
            "first byte of the hash",
            |d| d[0] ^= 1,
            Err(WrongRelyingParty),
        ),
        (
            "last byte of the hash",
            |d| d[31] ^= 0x80,
            Err(WrongRelyingParty),
        ),
        (
            "the id of a subdomain",
            |d| d[..32].copy_from_slice(&Sha256::digest("portal.example.com")),
            Err(WrongRelyingParty),
        ),
        ("nobody present", |d| d[FLAGS] &= !1, Err(WrongFlags)),
        ("flag of a credential", |d| d[FLAGS] |= 0x40, Err(Malformed)),
        ("flag of extensions", |d| d[FLAGS] |= 0x80, Err(Malformed)),
        ("one byte more", |d| d.push(0), Err(Malformed)),
        ("one byte less", |d| d.truncate(36), Err(Malformed)),
        ("no bytes", Vec::clear, Err(Malformed)),
        ("the same count", |d| d[COUNTER + 3] = 5, Err(Counter)),
        ("a lower count", |d| d[COUNTER + 3] = 4, Err(Counter)),
        ("no count", |d| d[COUNTER + 3] = 0, Err(Counter)),
        ("a much higher count", |d| d[COUNTER] = 0xff, Ok(())),
        (
            "an extension",
            |d| {
                d[FLAGS] |= 0x80;
                d.extend(b"\xa1\x61x\xf5");
            },
            Ok(()),
        ),
    ];
    for (what, change, expected) in changes {
        let changed = change_authenticator_data(&response, change);
        // The signature was made for the data before all changes.
        let unsigned = site.authenticates(&started.ceremony, &changed, &passkey);
        assert!(unsigned.is_err(), "{what}");
        let signed = sign_again(&browser, changed);
        let result = site.authenticates(&started.ceremony, &signed, &passkey);
        assert_eq!(result.map(|_| ()), expected, "{what}");
    }
    // A passkey is synchronized only if it can be, and it can or it can't forever.
    for (can_be, flags, expected) in [
        (false, 0, Ok(())),
        (true, 0x08, Ok(())),
        (true, 0x18, Ok(())),
        (false, 0x10, Err(WrongFlags)),
        (false, 0x08, Err(WrongFlags)),
        (true, 0, Err(WrongFlags)),
    ] {
        passkey.backup_eligible = can_be;
        let changed = change_authenticator_data(&response, |data| {
            data[FLAGS] = data[FLAGS] & !0x18 | flags;
        });
        let signed = sign_again(&browser, changed);
        let result = site.authenticates(&started.ceremony, &signed, &passkey);
        let result = result.map(|assertion| assert_eq!(assertion.backed_up, flags == 0x18));
        assert_eq!(result, expected, "{can_be} {flags}");
    }
    let signed = sign_again(&browser, response.clone());
    let data = decode(&signed["response"]["authenticatorData"]);
    passkey.backup_eligible = data[FLAGS] & 8 != 0;
    // Authenticators that do not count always send 0.
    passkey.sign_count = 0;
    let zero = change_authenticator_data(&response, |data| data[COUNTER + 3] = 0);
    let zero = sign_again(&browser, zero);
    let accepted = site.authenticates(&started.ceremony, &zero, &passkey);
    assert!(accepted.is_ok());
}

#[tokio::test]
async fn signatures_of_other_passkeys_are_refused() {
    use PasskeyRefusal::{BadSignature, NotListed};
    let mut site = Site::new();
    let mut ruths_browser = browser(Algorithm::ES256, true);
    let mut sams_browser = browser(Algorithm::ES256, true);
    let ruths = site.passkey(&mut ruths_browser).await;
    let sams = site.passkey(&mut sams_browser).await;
    let started = site.start_authentication(slice::from_ref(&ruths));
    let response = get(&mut ruths_browser, &started.options).await;
    let listed = site.start_authentication(slice::from_ref(&sams));
    let result =
        |response: &Value, passkey| site.authenticates(&started.ceremony, response, passkey);
    assert!(result(&response, &ruths).is_ok());

    // The stored passkey is another one.
    assert_eq!(result(&response, &sams), Err(BadSignature));
    let swapped = StoredPasskey {
        public_key: ruths.public_key.clone(),
        ..sams.clone()
    };
    assert_eq!(result(&response, &swapped), Err(NotListed));
    // The passkey is none of those listed.
    let moved = change_client_data(&response, |data| {
        data["challenge"] = listed.options["challenge"].clone();
    });
    let moved = sign_again(&ruths_browser, moved);
    let refused = site.authenticates(&listed.ceremony, &moved, &ruths);
    assert_eq!(refused, Err(NotListed));

    let signature = decode(&response["response"]["signature"]);
    let with_signature = |signature: &[u8]| {
        let mut changed = response.clone();
        changed["response"]["signature"] = encode(signature);
        changed
    };
    for at in 0..signature.len() {
        let mut bytes = signature.clone();
        bytes[at] ^= 1;
        let refused = result(&with_signature(&bytes), &ruths);
        assert_eq!(refused, Err(BadSignature), "{at}");
    }
    for wrong in [
        &b""[..],
        &signature[..signature.len() - 1],
        &[0; 64],
        &[0x30, 6, 2, 1, 0, 2, 1, 0],
    ] {
        let refused = result(&with_signature(wrong), &ruths);
        assert_eq!(refused, Err(BadSignature));
    }
}

#[tokio::test]
async fn malformed_responses_are_refused() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let created = site.start_registration(&[]);
    let registration = create(&mut browser, &created.options).await;
    let (passkey, _) = site.registers(&created.ceremony, &registration).unwrap();
    let started = site.start_authentication(slice::from_ref(&passkey));
    let response = get(&mut browser, &started.options).await;
    let values = [
        Value::Null,
        json!(1),
        json!("!"),
        json!("AA=="),
        json!("AB"),
        json!("A".repeat(30_000)),
        json!({}),
    ];
    for pointer in [
        "",
        "/id",
        "/rawId",
        "/type",
        "/response",
        "/response/clientDataJSON",
        "/response/attestationObject",
    ] {
        for value in &values {
            let mut changed = registration.clone();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            let refused = site.registers(&created.ceremony, &changed);
            assert_eq!(refused, Err(PasskeyRefusal::Malformed), "{pointer}");
        }
    }
    for pointer in [
        "",
        "/id",
        "/rawId",
        "/type",
        "/response",
        "/response/clientDataJSON",
        "/response/authenticatorData",
        "/response/signature",
    ] {
        for value in &values {
            let mut changed = response.clone();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            let refused = site.authenticates(&started.ceremony, &changed, &passkey);
            assert_eq!(refused, Err(PasskeyRefusal::Malformed), "{pointer}");
        }
    }
    for handle in [json!(1), json!("!"), json!("A".repeat(88))] {
        let mut changed = response.clone();
        changed["response"]["userHandle"] = handle;
        assert_eq!(credential_of(&changed), None);
    }
    let longest = BASE64URL_NOPAD.encode(&[7; 1_023]);
    let longer = BASE64URL_NOPAD.encode(&[7; 1_024]);
    for (id, is_allowed) in [(longest, true), (longer, false), (String::new(), false)] {
        let mut changed = response.clone();
        changed["id"] = id.clone().into();
        changed["rawId"] = id.into();
        assert_eq!(credential_of(&changed).is_some(), is_allowed);
    }
}

#[tokio::test]
async fn attestation_objects_that_break_the_rules_are_refused() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let started = site.start_registration(&[]);
    let response = create(&mut browser, &started.options).await;
    let object = decode(&response["response"]["attestationObject"]);
    let registers = |object: &[u8]| {
        let mut response = response.clone();
        response["response"]["attestationObject"] = encode(object);
        site.registers(&started.ceremony, &response).map(|_| ())
    };
    let place_of = |part: &[u8]| {
        let place = object.windows(part.len()).rposition(|bytes| bytes == part);
        place.unwrap_or_else(|| panic!("{part:02x?} in {object:02x?}"))
    };
    let replaced = |from: &[u8], to: &[u8]| {
        let at = place_of(from);
        registers(&[&object[..at], to, &object[at + from.len()..]].concat())
    };
    assert_eq!(registers(&object), Ok(()));

    let malformed = Err(PasskeyRefusal::Malformed);
    // The statement of the format "none" is empty. That of other formats is ignored.
    assert_eq!(replaced(b"attStmt\xa0", b"attStmt\xa1\x61a\x01"), malformed);
    assert_eq!(replaced(b"attStmt\xa0", b"attStmt\x80"), malformed);
    assert_eq!(replaced(b"\x64none", b"\x66packed"), Ok(()));
    assert_eq!(replaced(b"\x63fmt", b"\x63fmu"), malformed);
    assert_eq!(replaced(b"\x64none", b"\x44none"), malformed);

    // A key of another algorithm, type or curve, one without its algorithm, and one that is not on its curve.
    let unsupported = Err(PasskeyRefusal::UnsupportedKey);
    let key = b"\xa5\x01\x02\x03\x26\x20\x01";
    for other in [
        b"\xa5\x01\x02\x03\x27\x20\x01",
        b"\xa5\x01\x02\x03\x22\x20\x01",
        b"\xa5\x01\x01\x03\x26\x20\x01",
        b"\xa5\x01\x02\x03\x26\x20\x02",
        b"\xa5\x01\x02\x04\x26\x20\x01",
        b"\xa5\x01\x02\x01\x02\x20\x01",
    ] {
        assert_eq!(replaced(key, other), unsupported, "{other:02x?}");
    }
    let mut off_curve = object.clone();
    off_curve[place_of(b"\x22\x58\x20") + 10] ^= 1;
    assert_eq!(registers(&off_curve), unsupported);

    // Another credential id than that of the response.
    let id = decode(&response["rawId"]);
    let mut other_id = id.clone();
    other_id[0] ^= 1;
    assert_eq!(replaced(&id, &other_id), malformed);

    // Cut off anywhere, or continued.
    for length in 0..object.len() {
        assert_eq!(registers(&object[..length]), malformed, "{length}");
    }
    assert_eq!(registers(&[&object[..], &[0]].concat()), malformed);
}

#[tokio::test]
async fn options_are_those_that_browsers_parse() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let passkey = site.passkey(&mut browser).await;
    let listed = json!([{
        "type": "public-key",
        "id": encode(&passkey.credential_id),
        "transports": ["hybrid", "internal"],
    }]);
    let mut registration = site.start_registration(slice::from_ref(&passkey)).options;
    let challenge = registration["challenge"].take();
    assert_eq!(decode(&challenge).len(), 32);
    assert_eq!(
        registration,
        json!({
            "rp": {"id": "example.com", "name": "Lakeside Health"},
            "user": {"id": encode(HANDLE), "name": "ruth.lee", "displayName": "Ruth Lee"},
            "challenge": null,
            "pubKeyCredParams": [
                {"type": "public-key", "alg": -7},
                {"type": "public-key", "alg": -8},
                {"type": "public-key", "alg": -257},
            ],
            "timeout": 300_000,
            "excludeCredentials": listed,
            "authenticatorSelection": {
                "residentKey": "preferred",
                "requireResidentKey": false,
                "userVerification": "preferred",
            },
            "attestation": "none",
            "extensions": {"credProps": true},
        })
    );
    let mut authentication = site.start_authentication(slice::from_ref(&passkey)).options;
    assert_ne!(authentication["challenge"].take(), challenge);
    assert_eq!(
        authentication,
        json!({
            "challenge": null,
            "timeout": 300_000,
            "rpId": "example.com",
            "allowCredentials": listed,
            "userVerification": "preferred",
        })
    );
    // The most passkeys that are listed fit the ceremony.
    let many: Vec<_> = (0..100_u8)
        .map(|number| StoredPasskey {
            credential_id: vec![number; 64],
            ..passkey.clone()
        })
        .collect();
    let started = site.start_authentication(&many);
    assert!(started.ceremony.len() <= MAX_CEREMONY_LENGTH);
    let listed = started.options["allowCredentials"].as_array().unwrap();
    assert_eq!(listed.len(), 64);
}

#[tokio::test]
async fn a_stored_passkey_is_written_as_text() {
    let mut site = Site::new();
    let mut browser = browser(Algorithm::ES256, true);
    let passkey = site.passkey(&mut browser).await;
    let stored = serde_json::to_value(&passkey).unwrap();
    assert_eq!(stored["credential_id"], encode(&passkey.credential_id));
    assert_eq!(stored["public_key"], encode(&passkey.public_key));
    let read: StoredPasskey = serde_json::from_value(stored).unwrap();
    assert_eq!(read, passkey);
}
