//! A local KMS: `GenerateDataKey`, `GenerateDataKeyWithoutPlaintext`, `Decrypt`, `GetPublicKey`, `Sign` and
//! `UpdateAlias` in the AWS JSON 1.1 protocol.
//!
//! One master key wraps every data key. Every key ID is accepted; as in KMS, a data key can be unwrapped only with
//! the key ID and the encryption context that it was wrapped with.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use data_encoding::BASE64;
use rand::CryptoRng;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The first byte of a wrapped key. The length of the key ID (16 bits, big-endian), the key ID, the nonce, the
/// ciphertext and the tag follow.
const LAYOUT: u8 = 1;

const NONCE_BYTES: usize = 12;

/// The local KMS. Cheap to clone.
#[derive(Clone)]
pub struct LocalKms(Arc<Inner>);

struct Inner {
    cipher: Aes256Gcm,
    signing: Mutex<SigningKeys>,
    rng: Mutex<Box<dyn CryptoRng + Send>>,
}

impl fmt::Debug for LocalKms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKms(***)")
    }
}

/// Serves the local KMS at `/`.
pub fn router(kms: LocalKms) -> Router {
    Router::new().route("/", post(answer)).with_state(kms)
}

async fn answer(State(kms): State<LocalKms>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers
        .get("x-amz-target")
        .and_then(|target| target.to_str().ok())
        .unwrap_or_default();
    let (status, answer) = match kms.call(target, &body) {
        Ok(answer) => (StatusCode::OK, answer),
        Err(Refused { code, message }) => (
            StatusCode::BAD_REQUEST,
            json!({ "__type": code, "message": message }),
        ),
    };
    (
        status,
        [(header::CONTENT_TYPE, "application/x-amz-json-1.1")],
        answer.to_string(),
    )
        .into_response()
}

/// An error of KMS.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    code: &'static str,
    message: String,
}

impl Refused {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    fn ciphertext() -> Self {
        Self::new(
            "InvalidCiphertextException",
            "the blob was changed or was wrapped with another context or key",
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Generate {
    key_id: String,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    #[serde(default)]
    encryption_context: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Decrypt {
    ciphertext_blob: String,
    key_id: Option<String>,
    #[serde(default)]
    encryption_context: BTreeMap<String, String>,
}

impl LocalKms {
    /// A KMS whose symmetric keys are all the one master key. `rng` makes data keys and nonces; with the same
    /// master key it must never run the same course twice.
    pub fn new(
        master_key: [u8; 32],
        rng: impl CryptoRng + Send + 'static,
        signing: SigningKeys,
    ) -> Self {
        Self(Arc::new(Inner {
            signing: Mutex::new(signing),
            cipher: Aes256Gcm::new(&master_key.into()),
            rng: Mutex::new(Box::new(rng)),
        }))
    }

    fn call(&self, target: &str, body: &[u8]) -> Result<Value, Refused> {
        match target {
            "TrentService.GenerateDataKey" => self.generate(&read(body)?, true),
            "TrentService.GenerateDataKeyWithoutPlaintext" => self.generate(&read(body)?, false),
            "TrentService.Decrypt" => self.decrypt(&read(body)?),
            "TrentService.GetPublicKey" => self.signing().public_key(&read(body)?),
            "TrentService.Sign" => self.signing().sign(&read(body)?),
            "TrentService.UpdateAlias" => self.signing().update_alias(&read(body)?),
            _ => Err(Refused::new(
                "UnknownOperationException",
                format!("{target:?} is not supported by the local KMS"),
            )),
        }
    }

    fn signing(&self) -> MutexGuard<'_, SigningKeys> {
        self.0
            .signing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn generate(&self, asked: &Generate, with_plaintext: bool) -> Result<Value, Refused> {
        let bytes = match (asked.key_spec.as_deref(), asked.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(bytes @ 1..=1024)) => bytes,
            _ => {
                return Err(Refused::invalid(
                    "either KeySpec (AES_128 or AES_256) or NumberOfBytes (1 to 1024) is required",
                ));
            }
        };
        let key_id = key_name(&asked.key_id)?;
        let mut plain = vec![0; bytes];
        let mut nonce = [0; NONCE_BYTES];
        {
            let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.fill_bytes(&mut plain);
            rng.fill_bytes(&mut nonce);
        }
        let bound = bound_to(key_id, &asked.encryption_context);
        let sealed = self.0.cipher.encrypt(
            &Nonce::from(nonce),
            Payload {
                msg: &plain,
                aad: &bound,
            },
        );
        let sealed = sealed.map_err(|_| {
            Refused::new("KMSInternalException", "the data key could not be wrapped")
        })?;
        let length =
            u16::try_from(key_id.len()).map_err(|_| Refused::invalid("KeyId is too long"))?;
        let blob = [
            &[LAYOUT],
            &length.to_be_bytes()[..],
            key_id.as_bytes(),
            &nonce,
            &sealed,
        ]
        .concat();
        let mut answer = json!({ "CiphertextBlob": BASE64.encode(&blob), "KeyId": arn(key_id) });
        if with_plaintext {
            answer["Plaintext"] = BASE64.encode(&plain).into();
        }
        Ok(answer)
    }

    fn decrypt(&self, asked: &Decrypt) -> Result<Value, Refused> {
        let blob = BASE64
            .decode(asked.ciphertext_blob.as_bytes())
            .map_err(|_| Refused::new("SerializationException", "CiphertextBlob is not base64"))?;
        let (key_id, nonce, sealed) = parts(&blob).ok_or_else(Refused::ciphertext)?;
        if let Some(named) = &asked.key_id
            && key_name(named)? != key_id
        {
            return Err(Refused::new(
                "IncorrectKeyException",
                "the blob was wrapped under another key",
            ));
        }
        let bound = bound_to(key_id, &asked.encryption_context);
        let plain = self.0.cipher.decrypt(
            &Nonce::from(nonce),
            Payload {
                msg: sealed,
                aad: &bound,
            },
        );
        let plain = plain.map_err(|_| Refused::ciphertext())?;
        Ok(json!({
            "Plaintext": BASE64.encode(&plain),
            "KeyId": arn(key_id),
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetPublicKey {
    key_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Sign {
    key_id: String,
    message: String,
    message_type: String,
    signing_algorithm: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct UpdateAlias {
    alias_name: String,
    target_key_id: String,
}

/// The names of the RSA keys, and the ends of the aliases that name them at first.
const RSA_KEYS: [(&str, &str); 2] = [("rsa-a", "-current"), ("rsa-b", "-next")];

/// The RSA keys for signing. They are made when they are first used. Every alias that ends with `-current` names the
/// first one and every alias that ends with `-next` the second one, until it is moved.
pub struct SigningKeys {
    /// Where the keys are stored; none if all instances of the process share them, because making them takes time.
    folder: Option<PathBuf>,
    keys: BTreeMap<&'static str, Arc<KeyPair>>,
    moved: BTreeMap<String, &'static str>,
}

/// The keys of all instances in memory.
static SHARED: LazyLock<Mutex<BTreeMap<&'static str, Arc<KeyPair>>>> =
    LazyLock::new(Mutex::default);

impl SigningKeys {
    /// Keys that all instances of the process share.
    pub const fn shared() -> Self {
        Self {
            folder: None,
            keys: BTreeMap::new(),
            moved: BTreeMap::new(),
        }
    }

    /// Keys that are stored in a folder, with the aliases that were moved.
    pub fn in_folder(folder: PathBuf) -> Self {
        let moved = fs::read(folder.join("aliases.json")).ok();
        let moved: Option<BTreeMap<String, String>> =
            moved.and_then(|text| serde_json::from_slice(&text).ok());
        let known = |name: &String| RSA_KEYS.iter().find(|(key, _)| key == name);
        let moved = moved.into_iter().flatten();
        Self {
            moved: moved
                .filter_map(|(alias, key)| Some((alias, known(&key)?.0)))
                .collect(),
            folder: Some(folder),
            keys: BTreeMap::new(),
        }
    }

    /// Returns the name of the key that an ID, ARN or alias names.
    fn name_of(&self, id: &str) -> Result<&'static str, Refused> {
        let name = key_name(id)?;
        let own = RSA_KEYS.iter().find(|(key, _)| *key == name);
        let end = |end: &&(&str, &str)| name.starts_with("alias/") && name.ends_with(end.1);
        let first = own
            .or_else(|| RSA_KEYS.iter().find(end))
            .map(|(key, _)| *key);
        let found = self.moved.get(name).copied().or(first);
        found.ok_or_else(|| Refused::new("NotFoundException", format!("there is no key {name}")))
    }

    fn key(&mut self, name: &'static str) -> Result<Arc<KeyPair>, Refused> {
        if let Some(key) = self.keys.get(name) {
            return Ok(Arc::clone(key));
        }
        let failed = |cause: &dyn fmt::Display| {
            let message = format!("the signing key can't be made or read: {cause}");
            Refused::new("KMSInternalException", message)
        };
        let key = match &self.folder {
            Some(folder) => Arc::new(stored(folder, name).map_err(|e| failed(&*e))?),
            None => {
                let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
                if !shared.contains_key(name) {
                    let made = KeyPair::generate(KeySize::Rsa2048).map_err(|e| failed(&e))?;
                    shared.insert(name, Arc::new(made));
                }
                Arc::clone(&shared[name])
            }
        };
        self.keys.insert(name, Arc::clone(&key));
        Ok(key)
    }

    fn public_key(&mut self, asked: &GetPublicKey) -> Result<Value, Refused> {
        let name = self.name_of(&asked.key_id)?;
        let key = self.key(name)?;
        let der = key.public_key().as_der();
        let der = der.map_err(|_| Refused::new("KMSInternalException", "the key has no form"))?;
        Ok(json!({
            "KeyId": arn(name),
            "PublicKey": BASE64.encode(der.as_ref()),
            "KeySpec": "RSA_2048",
            "KeyUsage": "SIGN_VERIFY",
            "SigningAlgorithms": ["RSASSA_PKCS1_V1_5_SHA_256"],
        }))
    }

    fn sign(&mut self, asked: &Sign) -> Result<Value, Refused> {
        if (
            asked.message_type.as_str(),
            asked.signing_algorithm.as_str(),
        ) != ("DIGEST", "RSASSA_PKCS1_V1_5_SHA_256")
        {
            return Err(Refused::invalid(
                "the local KMS signs digests with RSASSA_PKCS1_V1_5_SHA_256",
            ));
        }
        let name = self.name_of(&asked.key_id)?;
        let key = self.key(name)?;
        let digest = BASE64.decode(asked.message.as_bytes()).ok();
        let digest = digest.and_then(|bytes| Digest::import_less_safe(&bytes, &SHA256).ok());
        let digest = digest.ok_or_else(|| Refused::invalid("Message is no digest of SHA-256"))?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign_digest(&RSA_PKCS1_SHA256, &digest, &mut signature)
            .map_err(|_| Refused::new("KMSInternalException", "the digest was not signed"))?;
        Ok(json!({
            "KeyId": arn(name),
            "Signature": BASE64.encode(&signature),
            "SigningAlgorithm": asked.signing_algorithm,
        }))
    }

    fn update_alias(&mut self, asked: &UpdateAlias) -> Result<Value, Refused> {
        let target = self.name_of(&asked.target_key_id)?;
        self.moved.insert(asked.alias_name.clone(), target);
        if let Some(folder) = &self.folder {
            let moved = json!(self.moved).to_string();
            let written = fs::create_dir_all(folder)
                .and_then(|()| fs::write(folder.join("aliases.json"), moved));
            written.map_err(|e| Refused::new("KMSInternalException", e.to_string()))?;
        }
        Ok(json!({}))
    }
}

/// Reads a key from a folder, or makes it and stores it there, which is acceptable only on a developer's machine.
fn stored(folder: &Path, name: &str) -> Result<KeyPair, crate::StartError> {
    let file = folder.join(format!("{name}.der"));
    if file.exists() {
        return KeyPair::from_pkcs8(&fs::read(file)?).map_err(|e| e.to_string().into());
    }
    let made = KeyPair::generate(KeySize::Rsa2048).map_err(|e| e.to_string())?;
    fs::create_dir_all(folder)?;
    fs::write(file, made.as_der().map_err(|e| e.to_string())?.as_ref())?;
    Ok(made)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::invalid(error.to_string()))
}

/// Splits a wrapped key into key ID, nonce, and ciphertext with tag.
fn parts(blob: &[u8]) -> Option<(&str, [u8; NONCE_BYTES], &[u8])> {
    let (&[LAYOUT, high, low], rest) = blob.split_first_chunk::<3>()? else {
        return None;
    };
    let (key_id, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
    Some((std::str::from_utf8(key_id).ok()?, *nonce, sealed))
}

/// Returns the name of a key that is given by ID, ARN or alias.
fn key_name(id: &str) -> Result<&str, Refused> {
    let name = id.rsplit(':').next().unwrap_or_default();
    let name = name.strip_prefix("key/").unwrap_or(name);
    if name.is_empty() {
        return Err(Refused::invalid("KeyId must not be empty"));
    }
    Ok(name)
}

fn arn(key_name: &str) -> String {
    let kind = if key_name.starts_with("alias/") {
        ""
    } else {
        "key/"
    };
    format!("arn:aws:kms:us-east-1:000000000000:{kind}{key_name}")
}

/// Returns the data that a wrapped key is bound to: the key ID and the sorted context, each text after its length.
fn bound_to(key_id: &str, context: &BTreeMap<String, String>) -> Vec<u8> {
    let texts = std::iter::once(key_id).chain(
        context
            .iter()
            .flat_map(|(name, value)| [name.as_str(), value]),
    );
    texts
        .flat_map(|text| [&(text.len() as u64).to_be_bytes()[..], text.as_bytes()].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kms::Client;
    use aws_sdk_kms::config::retry::RetryConfig;
    use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_kms::primitives::Blob;
    use aws_sdk_kms::types::DataKeySpec;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use vestibule_domain::values::text::Sensitive;
    use vestibule_secrets::{Purpose, SystemMac};

    fn local(master_key: u8, seed: u64) -> LocalKms {
        LocalKms::new(
            [master_key; 32],
            StdRng::seed_from_u64(seed),
            SigningKeys::shared(),
        )
    }

    async fn client(kms: LocalKms) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router(kms)).await });
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .build();
        Client::from_conf(config)
    }

    #[tokio::test]
    async fn the_keyring_is_made_and_unwrapped_as_on_aws() {
        let before = client(local(1, 1)).await;
        let old = vestibule_secrets::kms::generate(&before, "alias/keyring", 1)
            .await
            .unwrap();
        let new = vestibule_secrets::kms::generate(&before, "alias/keyring", 2)
            .await
            .unwrap();
        assert_ne!(old.blob, new.blob);
        let keyring = vestibule_secrets::kms::unwrap(&before, &[old.clone(), new.clone()])
            .await
            .unwrap();
        let mac = keyring.mac(Purpose::Pin, "issue", &Sensitive::new("1234"));
        assert_eq!(mac.key, 2);

        // After a restart, the same master key unwraps the same keys.
        let after = client(local(1, 2)).await;
        let again = vestibule_secrets::kms::unwrap(&after, std::slice::from_ref(&new))
            .await
            .unwrap();
        let entry = keyring.mac(Purpose::AuditEntry, "entry", &Sensitive::new("signed in"));
        assert!(again.is_authentic(
            &entry,
            SystemMac::Entry,
            "entry",
            &Sensitive::new("signed in")
        ));

        let elsewhere = client(local(2, 1)).await;
        let error = vestibule_secrets::kms::unwrap(&elsewhere, &[new])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("version 2") && error.contains("InvalidCiphertextException"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_data_key_is_the_same_when_it_is_unwrapped() {
        let client = client(local(1, 1)).await;
        for (spec, bytes, length) in [
            (Some(DataKeySpec::Aes256), None, 32),
            (Some(DataKeySpec::Aes128), None, 16),
            (None, Some(48), 48),
        ] {
            let made = client
                .generate_data_key()
                .key_id("one")
                .set_key_spec(spec)
                .set_number_of_bytes(bytes)
                .encryption_context("a", "b")
                .send()
                .await
                .unwrap();
            assert_eq!(
                made.key_id(),
                Some("arn:aws:kms:us-east-1:000000000000:key/one")
            );
            for key_id in [None, Some("one"), made.key_id()] {
                let opened = client
                    .decrypt()
                    .ciphertext_blob(made.ciphertext_blob().unwrap().clone())
                    .set_key_id(key_id.map(str::to_owned))
                    .encryption_context("a", "b")
                    .send()
                    .await
                    .unwrap();
                assert_eq!(opened.plaintext(), made.plaintext());
                assert_eq!(opened.plaintext().unwrap().as_ref().len(), length);
                assert_eq!(opened.key_id(), made.key_id());
            }
        }
    }

    #[tokio::test]
    async fn a_key_unwraps_only_with_its_context_and_unchanged() {
        let client = client(local(1, 1)).await;
        let made = client
            .generate_data_key_without_plaintext()
            .key_id("one")
            .key_spec(DataKeySpec::Aes256)
            .encryption_context("a", "b")
            .encryption_context("c", "d")
            .send()
            .await
            .unwrap();
        let blob = made.ciphertext_blob().unwrap().as_ref().to_vec();
        let decrypt = async |blob: &[u8], context: &[(&str, &str)]| {
            let mut call = client.decrypt().ciphertext_blob(Blob::new(blob));
            for (name, value) in context {
                call = call.encryption_context(*name, *value);
            }
            call.send()
                .await
                .map_err(aws_sdk_kms::error::SdkError::into_service_error)
        };
        assert!(decrypt(&blob, &[("c", "d"), ("a", "b")]).await.is_ok());
        for context in [
            &[][..],
            &[("a", "b")],
            &[("a", "bc"), ("", "d")],
            &[("a", "d"), ("c", "b")],
        ] {
            let error = decrypt(&blob, context).await.unwrap_err();
            assert!(
                error.is_invalid_ciphertext_exception(),
                "{context:?} {error:?}"
            );
        }
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            let error = decrypt(&changed, &[("a", "b"), ("c", "d")])
                .await
                .unwrap_err();
            assert!(error.is_invalid_ciphertext_exception(), "{at} {error:?}");
            let error = decrypt(&blob[..at.max(1)], &[("a", "b"), ("c", "d")])
                .await
                .unwrap_err();
            assert!(error.is_invalid_ciphertext_exception(), "{at} {error:?}");
        }
        let other_key = client
            .decrypt()
            .ciphertext_blob(Blob::new(blob))
            .key_id("two")
            .encryption_context("a", "b")
            .encryption_context("c", "d");
        assert!(
            other_key
                .send()
                .await
                .unwrap_err()
                .into_service_error()
                .is_incorrect_key_exception()
        );
    }

    #[test]
    fn what_it_does_not_know_it_refuses() {
        let kms = local(1, 1);
        for (target, body, code) in [
            ("TrentService.Encrypt", "{}", "UnknownOperationException"),
            ("", "{}", "UnknownOperationException"),
            ("TrentService.GenerateDataKey", "", "ValidationException"),
            (
                "TrentService.GenerateDataKey",
                r#"{"KeyId":"k"}"#,
                "ValidationException",
            ),
            (
                "TrentService.GenerateDataKey",
                r#"{"KeyId":"","KeySpec":"AES_256"}"#,
                "ValidationException",
            ),
            (
                "TrentService.GenerateDataKey",
                r#"{"KeyId":"k","NumberOfBytes":1025}"#,
                "ValidationException",
            ),
            (
                "TrentService.GenerateDataKey",
                r#"{"KeyId":"k","KeySpec":"AES_256","NumberOfBytes":1}"#,
                "ValidationException",
            ),
            (
                "TrentService.GenerateDataKey",
                r#"{"KeyId":"k","KeySpec":"AES_256","DryRun":true}"#,
                "ValidationException",
            ),
            (
                "TrentService.Decrypt",
                r#"{"CiphertextBlob":"?"}"#,
                "SerializationException",
            ),
            (
                "TrentService.Decrypt",
                r#"{"CiphertextBlob":"AQ=="}"#,
                "InvalidCiphertextException",
            ),
        ] {
            assert_eq!(
                kms.call(target, body.as_bytes()).unwrap_err().code,
                code,
                "{target} {body}"
            );
        }
        assert_eq!(format!("{kms:?}"), "LocalKms(***)");
    }
}
