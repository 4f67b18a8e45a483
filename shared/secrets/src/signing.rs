//! Signs tokens with KMS. The private keys never leave it.
//!
//! Two aliases name an RSA key each, the current and the next one, and both keys are published. To rotate, the two
//! aliases change places: whoever still signs with the former key makes tokens that everyone can verify.

use std::sync::{Arc, PoisonError, RwLock};

use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use data_encoding::BASE64URL_NOPAD;
use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::jwt::{Unverified, VerifyingKey, rsa_parts, signing_input, thumbprint};
use crate::kms::explain_signing;

/// What follows the common part of both aliases.
const ALIASES: [&str; 2] = ["current", "next"];

/// How long public keys are used before the aliases are read again.
const KEYS_VALID: SignedDuration = SignedDuration::from_mins(5);

/// Why KMS did not sign. The message says what to check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    #[error("KMS did not return the public key of {alias}: {reason}")]
    NoKey { alias: String, reason: String },
    #[error("KMS did not sign: {0}")]
    NotSigned(String),
}

/// A public key that verifies the system's tokens.
#[derive(Debug)]
pub struct SigningKey {
    /// The ARN of the KMS key.
    id: String,
    /// The id in tokens and in the set of keys.
    pub kid: String,
    n: Vec<u8>,
    e: Vec<u8>,
    verifying: VerifyingKey,
}

impl SigningKey {
    /// Returns the key as a JSON Web Key (RFC 7517).
    pub fn jwk(&self) -> Value {
        json!({
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": BASE64URL_NOPAD.encode(&self.n),
            "e": BASE64URL_NOPAD.encode(&self.e),
        })
    }
}

type Keys = Arc<Vec<SigningKey>>;

/// Signs tokens, and verifies its own.
#[derive(Debug)]
pub struct Signer {
    kms: Client,
    /// The common part of both aliases.
    alias: String,
    keys: RwLock<Option<(Timestamp, Keys)>>,
}

impl Signer {
    /// Creates a signer whose aliases are `{alias}-current` and `{alias}-next`.
    pub fn new(kms: Client, alias: impl Into<String>) -> Self {
        Self {
            kms,
            alias: alias.into(),
            keys: RwLock::default(),
        }
    }

    /// Returns the public keys, the current one first.
    ///
    /// # Errors
    /// [`SigningError::NoKey`]
    pub async fn keys(&self, now: Timestamp) -> Result<Keys, SigningError> {
        {
            let known = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, keys)) = known.as_ref()
                && now.duration_since(*at).abs() < KEYS_VALID
            {
                return Ok(Arc::clone(keys));
            }
        }
        let keys = try_join_all(ALIASES.map(|name| self.key(name))).await?;
        let keys = Arc::new(keys);
        let known = Some((now, Arc::clone(&keys)));
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(keys)
    }

    async fn key(&self, name: &str) -> Result<SigningKey, SigningError> {
        let alias = format!("{}-{name}", self.alias);
        let none = |reason: String| SigningError::NoKey {
            alias: alias.clone(),
            reason,
        };
        let found = self.kms.get_public_key().key_id(&alias).send().await;
        let found = found.map_err(|e| none(explain_signing(&e, "kms:GetPublicKey")))?;
        let key = found.public_key.and_then(|der| {
            let (n, e) = rsa_parts(der.as_ref())?;
            Some(SigningKey {
                id: found.key_id?,
                kid: thumbprint(&n, &e),
                verifying: VerifyingKey::rsa(&n, &e)?,
                n,
                e,
            })
        });
        key.ok_or_else(|| {
            none("it is not an RSA key: create it with the key spec RSA_2048".to_owned())
        })
    }

    /// Signs claims with the current key. `typ` is the type of the token (RFC 8725, 3.11).
    ///
    /// # Errors
    /// [`SigningError`]
    pub async fn sign(
        &self,
        typ: &str,
        claims: &Value,
        now: Timestamp,
    ) -> Result<String, SigningError> {
        let keys = self.keys(now).await?;
        let unsigned = || SigningError::NotSigned("there is no key".to_owned());
        let key = keys.first().ok_or_else(unsigned)?;
        let header = json!({ "alg": "RS256", "kid": key.kid, "typ": typ });
        let message = signing_input(&header, claims);
        // The key by its own id, because the alias may have moved since its public key was read. The digest,
        // because KMS takes messages of at most 4096 bytes.
        let signed = self
            .kms
            .sign()
            .key_id(&key.id)
            .message_type(MessageType::Digest)
            .message(Blob::new(Sha256::digest(&message).to_vec()))
            .signing_algorithm(SigningAlgorithmSpec::RsassaPkcs1V15Sha256)
            .send()
            .await
            .map_err(|e| SigningError::NotSigned(explain_signing(&e, "kms:Sign")))?;
        let signature = signed.signature.ok_or_else(unsigned)?;
        Ok(format!(
            "{message}.{}",
            BASE64URL_NOPAD.encode(signature.as_ref())
        ))
    }

    /// Returns the claims of a token of this type that the system signed, whether or not it has expired.
    ///
    /// # Errors
    /// [`SigningError::NoKey`]
    pub async fn verify(
        &self,
        typ: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<Value>, SigningError> {
        let Some(token) = Unverified::parse(token) else {
            return Ok(None);
        };
        if token.header.typ.as_deref() != Some(typ) {
            return Ok(None);
        }
        let keys = self.keys(now).await?;
        let kid = token.header.kid.as_deref();
        let key = keys.iter().find(|key| kid == Some(key.kid.as_str()));
        Ok(key.and_then(|key| token.verify(&key.verifying)))
    }
}
