//! A browser with an authenticator that is not part of this project (1Password's passkey-rs), for tests.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

pub use coset::iana::Algorithm;
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
use serde_json::{Value, json};
use url::Url;

/// The person at the authenticator.
#[derive(Debug, Clone, Copy)]
pub struct User {
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
        let verification = verification && self.is_verified;
        Ok(UserCheck {
            presence,
            verification,
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
#[derive(Debug, Default)]
pub struct Memory(pub HashMap<Vec<u8>, Passkey>);

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

/// A browser with an authenticator.
pub type Browser = Client<Memory, User, AvailableBackend, public_suffix::PublicSuffixList, ()>;

/// Returns a browser with an authenticator for one algorithm.
pub fn browser(algorithm: Algorithm, is_verified: bool) -> Browser {
    let user = User { is_verified };
    let memory = Memory::default();
    let mut authenticator = Authenticator::new(Aaguid::new_empty(), memory, user, AvailableBackend);
    authenticator.set_make_credentials_with_signature_counter(true);
    authenticator.set_algorithms(&[algorithm]).unwrap();
    Client::new(authenticator)
}

/// Returns what `navigator.credentials.create` returns on a page, as JSON.
///
/// # Panics
/// When the browser or its authenticator refuses.
pub async fn create(browser: &mut Browser, page: &str, options: &Value) -> Value {
    let options = serde_json::from_value(json!({ "publicKey": options })).unwrap();
    let page = Url::parse(page).unwrap();
    let created = browser.register(&page, options, DefaultClientData).await;
    serde_json::to_value(created.unwrap()).unwrap()
}

/// Returns what `navigator.credentials.get` returns on a page, as JSON.
///
/// # Panics
/// When the browser or its authenticator refuses.
pub async fn get(browser: &mut Browser, page: &str, options: &Value) -> Value {
    let options = serde_json::from_value(json!({ "publicKey": options })).unwrap();
    let page = Url::parse(page).unwrap();
    let got = browser
        .authenticate(&page, options, DefaultClientData)
        .await;
    serde_json::to_value(got.unwrap()).unwrap()
}
