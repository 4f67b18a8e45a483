//! Authenticators that are not part of this project: a browser with passkeys (1Password's passkey-rs), and an
//! authenticator app (totp-rs).

use std::collections::HashMap;

use jiff::Timestamp;
use passkey_authenticator::{
    Authenticator, CredentialStore, DiscoverabilitySupport, StoreInfo, UiHint, UserCheck,
    UserValidationMethod,
};
use passkey_client::{Client, DefaultClientData};
use passkey_crypto::AvailableBackend;
use passkey_types::Passkey;
use passkey_types::ctap2::make_credential::{
    Options, PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity,
};
use passkey_types::ctap2::{Aaguid, Ctap2Error, StatusCode};
use passkey_types::webauthn::PublicKeyCredentialDescriptor;
use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Algorithm, Secret, TOTP};
use url::Url;

use crate::World;
use crate::client::{Person, Response};

/// Returns the code that an authenticator app with a secret (base32) shows.
pub fn app_code(secret: &str, now: Timestamp) -> String {
    let secret = Secret::Encoded(secret.to_owned()).to_bytes().unwrap();
    let app = TOTP::new_unchecked(Algorithm::SHA1, 6, 1, 30, secret);
    app.generate(u64::try_from(now.as_second()).unwrap())
}

/// The person at the authenticator.
struct User {
    is_verified: bool,
}

#[async_trait::async_trait]
impl UserValidationMethod for User {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        _: UiHint<'a, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        Ok(UserCheck {
            presence,
            verification: verification && self.is_verified,
        })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        self.is_verified.then_some(true)
    }
}

/// The memory of an authenticator, which finds passkeys without their ids too.
#[derive(Default)]
struct Memory(HashMap<Vec<u8>, Passkey>);

#[async_trait::async_trait]
impl CredentialStore for Memory {
    type PasskeyItem = Passkey;

    async fn find_credentials(
        &self,
        ids: Option<&[PublicKeyCredentialDescriptor]>,
        rp_id: &str,
        _: Option<&[u8]>,
    ) -> Result<Vec<Passkey>, StatusCode> {
        let of_site = self.0.values().filter(|passkey| passkey.rp_id == rp_id);
        let is_listed = |passkey: &&Passkey| {
            let listed = ids.filter(|ids| !ids.is_empty());
            listed.is_none_or(|ids| ids.iter().any(|id| id.id == passkey.credential_id))
        };
        let found: Vec<_> = of_site.filter(is_listed).cloned().collect();
        if found.is_empty() {
            return Err(Ctap2Error::NoCredentials.into());
        }
        Ok(found)
    }

    async fn save_credential(
        &mut self,
        passkey: Passkey,
        _: PublicKeyCredentialUserEntity,
        _: PublicKeyCredentialRpEntity,
        _: Options,
    ) -> Result<(), StatusCode> {
        self.0.insert(passkey.credential_id.to_vec(), passkey);
        Ok(())
    }

    async fn update_credential(&mut self, passkey: &Passkey) -> Result<(), StatusCode> {
        self.0
            .insert(passkey.credential_id.to_vec(), passkey.clone());
        Ok(())
    }

    async fn get_info(&self) -> StoreInfo {
        StoreInfo {
            discoverability: DiscoverabilitySupport::Full,
        }
    }
}

/// A browser on a page, with an authenticator that counts its signatures.
pub struct Browser {
    client: Client<Memory, User, AvailableBackend, public_suffix::PublicSuffixList, ()>,
    page: Url,
}

impl Browser {
    /// Opens a page. `is_verified` is whether the authenticator verifies its user by a PIN or biometrics.
    pub fn on(page: &str, is_verified: bool) -> Self {
        let (memory, user) = (Memory::default(), User { is_verified });
        let mut authenticator =
            Authenticator::new(Aaguid::new_empty(), memory, user, AvailableBackend);
        authenticator.set_make_credentials_with_signature_counter(true);
        Self {
            client: Client::new(authenticator).user_verification_when_preferred(is_verified),
            page: Url::parse(page).unwrap(),
        }
    }

    /// Does what `navigator.credentials.create()` does.
    pub async fn create(&mut self, options: &Value) -> Value {
        let options = serde_json::from_value(json!({ "publicKey": options })).unwrap();
        let created = self
            .client
            .register(&self.page, options, DefaultClientData)
            .await
            .unwrap();
        serde_json::to_value(created).unwrap()
    }

    /// Does what `navigator.credentials.get()` does.
    pub async fn get(&mut self, options: &Value) -> Value {
        let options = serde_json::from_value(json!({ "publicKey": options })).unwrap();
        let got = self
            .client
            .authenticate(&self.page, options, DefaultClientData)
            .await
            .unwrap();
        serde_json::to_value(got).unwrap()
    }
}

/// What people do with their second factors.
impl Person {
    /// Adds an authenticator app and returns its secret.
    pub async fn adds_app(&self, world: &World, name: &str) -> String {
        let (secret, added) = self.enrolls_app(world, name).await;
        added.expect(201);
        secret
    }

    /// Answers a challenge for signing in by a passkey alone, with the token in the body.
    pub async fn signs_challenge(&self, browser: &mut Browser) -> Value {
        let started = self.send(Method::POST, "/passkey-challenges", None).await;
        let started = started.expect(200);
        let credential = browser.get(&started.body["options"]).await;
        json!({
            "passkey": { "ceremony": started.text_at("/ceremony"), "credential": credential },
            "token_delivery": "body",
        })
    }

    /// Sets up an authenticator app. Returns its secret, and the response to its first code.
    pub async fn enrolls_app(&self, world: &World, name: &str) -> (String, Response) {
        let path = "/me/authenticator-apps/enrollment";
        let started = self.send(Method::POST, path, None).await.expect(200);
        let secret = started.text_at("/secret").to_owned();
        let body = json!({
            "name": name,
            "enrollment": started.text_at("/enrollment"),
            "code": app_code(&secret, world.now()),
        });
        let added = self.post("/me/authenticator-apps", body).await;
        (secret, added)
    }

    /// Adds a passkey of a browser.
    pub async fn adds_passkey(&self, browser: &mut Browser, name: &str) -> Response {
        let path = "/me/passkeys/challenge";
        let started = self.send(Method::POST, path, None).await.expect(200);
        let credential = browser.create(&started.body["options"]).await;
        let body = json!({
            "name": name,
            "passkey": { "ceremony": started.text_at("/ceremony"), "credential": credential },
        });
        self.post("/me/passkeys", body).await
    }

    /// Creates recovery codes and returns them.
    pub async fn creates_recovery_codes(&self) -> Vec<String> {
        let created = self.send(Method::POST, "/me/recovery-codes", None).await;
        let codes = created.expect(201).body["codes"].clone();
        serde_json::from_value(codes).unwrap()
    }

    /// Gives a second factor in the session.
    pub async fn gives_factor(&self, body: Value) -> Response {
        self.put("/sessions/current/second-factor", body).await
    }
}
