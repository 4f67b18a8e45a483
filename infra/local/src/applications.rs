//! A sample application per portal, which signs its users in by single sign-on and shows what it learns (SO-01). It
//! is a client like any other: it reads the portal's configuration and talks to it by HTTP. It has another host name
//! than the portal, which is another site for a browser.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use data_encoding::BASE64URL_NOPAD;
use rand::RngExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use vestibule_domain::policy::{Application, Policy};
use vestibule_http::caller::cookie;
use vestibule_http::oauth::client_secret;
use vestibule_secrets::jwt::{Unverified, VerifyingKey};

use crate::links::{APPLICATIONS, application_address};
use crate::pages::{Site, sample_page};
use crate::{Instance, StartError};

/// The cookie of the sample applications.
const COOKIE: &str = "vestibule-sample";

/// A sign-in that has begun.
struct Begun {
    portal: String,
    verifier: String,
    nonce: String,
}

/// A signed-in user of a sample application.
#[derive(Clone)]
struct User {
    portal: String,
    id_token: String,
    claims: Value,
}

/// The sample applications and their signed-in users.
#[derive(Clone)]
struct Samples {
    site: Site,
    http: reqwest::Client,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    begun: HashMap<String, Begun>,
    users: HashMap<String, User>,
}

/// Returns the routes of the sample applications.
pub fn router(site: Site) -> Router {
    Router::new()
        .route(&format!("/{APPLICATIONS}/{{portal}}/"), get(home))
        .route(&format!("/{APPLICATIONS}/{{portal}}/sign-in"), get(sign_in))
        .route(
            &format!("/{APPLICATIONS}/{{portal}}/callback"),
            get(callback),
        )
        .route(
            &format!("/{APPLICATIONS}/{{portal}}/sign-out"),
            get(sign_out),
        )
        .route(
            &format!("/{APPLICATIONS}/{{portal}}/backchannel-logout"),
            post(log_out),
        )
        .with_state(Samples {
            site,
            http: reqwest::Client::new(),
            known: Arc::default(),
        })
}

#[derive(Template)]
#[template(path = "application.html")]
struct ApplicationPage<'a> {
    here: &'static str,
    mails: usize,
    letters: usize,
    portal: &'a str,
    portal_title: &'a str,
    title: &'a str,
    reason: Option<&'a str>,
    claims: Vec<(String, String)>,
}

impl Samples {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance(&self) -> &Instance {
        &self.site.instance
    }

    /// Returns a portal and its first application.
    fn application(&self, portal: &str) -> Option<(&Policy, &Application)> {
        let policy = self.instance().policy(portal)?;
        Some((policy, policy.applications.first()?))
    }

    /// Returns the name of the browser's cookie and its signed-in user.
    fn user(&self, portal: &str, headers: &HeaderMap) -> Option<(String, User)> {
        let id = cookie(headers, COOKIE)?.to_owned();
        let user = self.known().users.get(&id).cloned()?;
        (user.portal == portal).then_some((id, user))
    }

    fn random(&self) -> String {
        let bytes: [u8; 32] = self.instance().app.rng().random();
        BASE64URL_NOPAD.encode(&bytes)
    }

    fn page(&self, portal: &str, user: Option<&User>, reason: Option<&str>) -> Response {
        let Some((policy, application)) = self.application(portal) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let claims = user.and_then(|user| user.claims.as_object());
        let claims = claims.into_iter().flatten();
        sample_page(&ApplicationPage {
            here: "",
            mails: self.instance().inbox.len(),
            letters: self.instance().letters().len(),
            portal,
            portal_title: policy.title.as_str(),
            title: application.title.as_str(),
            reason,
            claims: claims
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect(),
        })
    }

    /// Returns the portal's configuration.
    async fn configuration(&self, policy: &Policy) -> Result<Value, StartError> {
        let url = format!("{}/.well-known/openid-configuration", policy.issuer());
        self.json(self.http.get(url)).await
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value, StartError> {
        let response = request.send().await?;
        let status = response.status();
        let body: Value = serde_json::from_str(&response.text().await?)?;
        match status.is_success() {
            true => Ok(body),
            false => Err(body["error_description"]
                .as_str()
                .unwrap_or("it failed")
                .to_owned()
                .into()),
        }
    }

    /// Returns the claims of a token that the portal signed.
    async fn verify(
        &self,
        policy: &Policy,
        application: &Application,
        token: &str,
    ) -> Result<Value, StartError> {
        let configuration = self.configuration(policy).await?;
        let url = text(&configuration, "jwks_uri")?;
        let keys = self.json(self.http.get(url)).await?;
        let parsed = Unverified::parse(token).ok_or("the token can't be read")?;
        let mut keys = keys["keys"].as_array().into_iter().flatten();
        let key = keys.find(|key| key["kid"].as_str() == parsed.header.kid.as_deref());
        let key = key.ok_or("the token's key is unknown")?;
        let part = |name| {
            BASE64URL_NOPAD
                .decode(text(key, name)?.as_bytes())
                .map_err(StartError::from)
        };
        let key = VerifyingKey::rsa(&part("n")?, &part("e")?).ok_or("the key is no RSA key")?;
        let claims = parsed.verify(&key).ok_or("the signature is wrong")?;
        let is_for_us =
            claims["iss"] == policy.issuer().as_str() && claims["aud"] == application.id.as_str();
        is_for_us
            .then_some(claims)
            .ok_or_else(|| "the token is for another application".into())
    }

    /// Exchanges a code and returns the user.
    async fn exchange(&self, begun: &Begun, code: &str) -> Result<User, StartError> {
        let found = self.application(&begun.portal);
        let (policy, application) = found.ok_or("there is no such application")?;
        let configuration = self.configuration(policy).await?;
        let secret = client_secret(&self.instance().app, policy, application);
        let request = self
            .http
            .post(text(&configuration, "token_endpoint")?)
            .basic_auth(application.id.as_str(), Some(secret.expose()))
            .form(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", &self.callback(&begun.portal)),
                ("code_verifier", &begun.verifier),
            ]);
        let tokens = self.json(request).await?;
        let id_token = text(&tokens, "id_token")?;
        let mut claims = self.verify(policy, application, id_token).await?;
        if claims["nonce"] != begun.nonce.as_str() {
            return Err("the ID token is for another request".into());
        }
        let request = self.http.get(text(&configuration, "userinfo_endpoint")?);
        let request = request.bearer_auth(text(&tokens, "access_token")?);
        let userinfo = self.json(request).await?;
        for (name, value) in userinfo.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        Ok(User {
            portal: begun.portal.clone(),
            id_token: id_token.to_owned(),
            claims,
        })
    }

    fn callback(&self, portal: &str) -> String {
        format!("{}/callback", application_address(&self.site.base, portal))
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, StartError> {
    let found = value[name].as_str();
    found.ok_or_else(|| format!("the portal's response has no {name}").into())
}

async fn home(
    State(samples): State<Samples>,
    Path(portal): Path<String>,
    headers: HeaderMap,
) -> Response {
    let user = samples.user(&portal, &headers);
    samples.page(&portal, user.as_ref().map(|(_, user)| user), None)
}

async fn sign_in(State(samples): State<Samples>, Path(portal): Path<String>) -> Response {
    let Some((policy, application)) = samples.application(&portal) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let endpoint = samples.configuration(policy).await;
    let endpoint = endpoint.and_then(|c| Ok(text(&c, "authorization_endpoint")?.to_owned()));
    let endpoint = match endpoint {
        Ok(endpoint) => endpoint,
        Err(error) => return samples.page(&portal, None, Some(&error.to_string())),
    };
    let [state, nonce, verifier] = [(); 3].map(|()| samples.random());
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", application.id.as_str()),
            ("redirect_uri", &samples.callback(&portal)),
            ("scope", "openid profile email"),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge_method", "S256"),
        ])
        .append_pair(
            "code_challenge",
            &BASE64URL_NOPAD.encode(&Sha256::digest(&verifier)),
        )
        .finish();
    let begun = Begun {
        portal,
        verifier,
        nonce,
    };
    samples.known().begun.insert(state, begun);
    Redirect::to(&format!("{endpoint}?{query}")).into_response()
}

async fn callback(
    State(samples): State<Samples>,
    Path(portal): Path<String>,
    Query(response): Query<HashMap<String, String>>,
) -> Response {
    let get = |name: &str| response.get(name).map_or("", String::as_str);
    let begun = samples.known().begun.remove(get("state"));
    let Some(begun) = begun.filter(|begun| begun.portal == portal) else {
        return samples.page(
            &portal,
            None,
            Some("This sign-in was not begun here. Try again."),
        );
    };
    if !get("error").is_empty() {
        let reason = format!("The portal refused: {}.", get("error_description"));
        return samples.page(&portal, None, Some(&reason));
    }
    match samples.exchange(&begun, get("code")).await {
        Ok(user) => {
            let id = samples.random();
            samples.known().users.insert(id.clone(), user);
            let cookie =
                format!("{COOKIE}={id}; Path=/{APPLICATIONS}/{portal}/; HttpOnly; SameSite=Lax");
            let home = application_address(&samples.site.base, &portal);
            (
                [(header::SET_COOKIE, cookie)],
                Redirect::to(&format!("{home}/")),
            )
                .into_response()
        }
        Err(error) => {
            let reason = format!("The sign-in failed: {error}.");
            samples.page(&portal, None, Some(&reason))
        }
    }
}

async fn sign_out(
    State(samples): State<Samples>,
    Path(portal): Path<String>,
    headers: HeaderMap,
) -> Response {
    let home = format!("{}/", application_address(&samples.site.base, &portal));
    let Some((id, user)) = samples.user(&portal, &headers) else {
        return Redirect::to(&home).into_response();
    };
    samples.known().users.remove(&id);
    let Some((policy, _)) = samples.application(&portal) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("id_token_hint", &user.id_token)
        .append_pair("post_logout_redirect_uri", &home)
        .finish();
    Redirect::to(&format!("{}/end-session?{query}", policy.issuer())).into_response()
}

/// Signs the user of a session out, because the portal says so.
async fn log_out(
    State(samples): State<Samples>,
    Path(portal): Path<String>,
    body: axum::body::Bytes,
) -> StatusCode {
    let Some((policy, application)) = samples.application(&portal) else {
        return StatusCode::NOT_FOUND;
    };
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let token = form.get("logout_token").map_or("", String::as_str);
    let Ok(claims) = samples.verify(policy, application, token).await else {
        return StatusCode::BAD_REQUEST;
    };
    let is_notice =
        claims["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object();
    if !is_notice || claims.get("nonce").is_some() {
        return StatusCode::BAD_REQUEST;
    }
    let sid = &claims["sid"];
    samples
        .known()
        .users
        .retain(|_, user| user.claims["sid"] != *sid);
    StatusCode::OK
}
