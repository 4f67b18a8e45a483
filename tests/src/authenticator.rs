//! Authenticators that are not part of this project: a browser with passkeys (1Password's passkey-rs), and an
//! authenticator app (totp-rs).

use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use totp_rs::{Secret, TOTP};
use vestibule_authenticator::{Algorithm, browser};

use crate::World;
use crate::client::{Person, Response};

/// Returns the code that an authenticator app with a secret (base32) shows.
pub fn app_code(secret: &str, now: Timestamp) -> String {
    let secret = Secret::Encoded(secret.to_owned()).to_bytes().unwrap();
    let app = TOTP::new_unchecked(totp_rs::Algorithm::SHA1, 6, 1, 30, secret);
    app.generate(u64::try_from(now.as_second()).unwrap())
}

/// A browser on a page, with an authenticator that counts its signatures.
pub struct Browser {
    client: vestibule_authenticator::Browser,
    page: String,
}

impl Browser {
    /// Opens a page. `is_verified` is whether the authenticator verifies its user by a PIN or biometrics.
    pub fn on(page: &str, is_verified: bool) -> Self {
        let client = browser(Algorithm::ES256, is_verified);
        Self {
            client: client.user_verification_when_preferred(is_verified),
            page: page.to_owned(),
        }
    }

    /// Does what `navigator.credentials.create()` does.
    pub async fn create(&mut self, options: &Value) -> Value {
        vestibule_authenticator::create(&mut self.client, &self.page, options).await
    }

    /// Does what `navigator.credentials.get()` does.
    pub async fn get(&mut self, options: &Value) -> Value {
        vestibule_authenticator::get(&mut self.client, &self.page, options).await
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
