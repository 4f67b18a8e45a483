//! A sample application per portal, which signs its users in by single sign-on and shows what it learns (SO-01). It
//! is a client like any other, with the library `openidconnect`: it reads the portal's configuration and talks to it
//! by HTTP. It has another host name than the portal, which is another site for a browser.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::DateTime;
use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreGenderClaim, CoreProviderMetadata,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
    UserInfoClaims,
};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
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
    verifier: PkceCodeVerifier,
    nonce: Nonce,
}

/// A client of the library that knows the portal's configuration.
type DiscoveredClient = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A request of the library on its way.
type Sent = Pin<Box<dyn Future<Output = Result<HttpResponse, reqwest::Error>> + Send>>;

/// The claims that the library does not know, such as the organization.
#[derive(Debug, Deserialize, Serialize)]
struct OtherClaims(BTreeMap<String, Value>);

impl AdditionalClaims for OtherClaims {}

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

    /// Sends a request of the library.
    fn transport(&self) -> impl Fn(HttpRequest) -> Sent + Sync {
        let http = self.http.clone();
        move |request| {
            let http = http.clone();
            Box::pin(async move {
                let received = http.execute(request.try_into()?).await?;
                let mut response = HttpResponse::default();
                *response.status_mut() = received.status();
                *response.headers_mut() = received.headers().clone();
                *response.body_mut() = received.bytes().await?.to_vec();
                Ok(response)
            })
        }
    }

    /// Returns the portal's configuration.
    async fn configuration(&self, policy: &Policy) -> Result<CoreProviderMetadata, StartError> {
        let issuer = IssuerUrl::new(policy.issuer())?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.transport()).await;
        found.map_err(described)
    }

    /// Returns the client of an application.
    async fn client(&self, portal: &str) -> Result<DiscoveredClient, StartError> {
        let found = self.application(portal);
        let (policy, application) = found.ok_or("there is no such application")?;
        let secret = client_secret(&self.instance().app, policy, application);
        let client = CoreClient::from_provider_metadata(
            self.configuration(policy).await?,
            ClientId::new(application.id.to_string()),
            Some(ClientSecret::new(secret.expose().to_owned())),
        );
        Ok(client.set_redirect_uri(RedirectUrl::new(self.callback(portal))?))
    }

    /// Returns the claims of a logout token that the portal signed. The library knows only ID tokens.
    async fn verify(
        &self,
        policy: &Policy,
        application: &Application,
        token: &str,
    ) -> Result<Value, StartError> {
        let configuration = self.configuration(policy).await?;
        let keys = serde_json::to_value(configuration.jwks())?;
        let parsed = Unverified::parse(token).ok_or("the token can't be read")?;
        let mut keys = keys["keys"].as_array().into_iter().flatten();
        let key = keys.find(|key| key["kid"].as_str() == parsed.header.kid.as_deref());
        let key = key.ok_or("the token's key is unknown")?;
        let part = |name: &str| {
            let text = key[name].as_str().unwrap_or_default();
            BASE64URL_NOPAD
                .decode(text.as_bytes())
                .map_err(StartError::from)
        };
        let key = VerifyingKey::rsa(&part("n")?, &part("e")?).ok_or("the key is no RSA key")?;
        let claims = parsed.verify(&key).ok_or("the signature is wrong")?;
        let now = self.instance().app.clock.now().as_second();
        let is_for_us =
            claims["iss"] == policy.issuer().as_str() && claims["aud"] == application.id.as_str();
        let is_current = claims["exp"].as_i64().is_some_and(|expires| now < expires);
        (is_for_us && is_current)
            .then_some(claims)
            .ok_or_else(|| "the token is for another application, or has expired".into())
    }

    /// Exchanges a code and returns the user.
    async fn exchange(&self, begun: Begun, code: &str) -> Result<User, StartError> {
        let client = self.client(&begun.portal).await?;
        let transport = self.transport();
        let tokens = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))?
            .set_pkce_verifier(begun.verifier)
            .request_async(&transport)
            .await
            .map_err(described)?;
        let id_token = tokens.id_token().ok_or("there is no ID token")?;
        // The clock of this machine can be moved.
        let clock = self.instance().app.clock.clone();
        let verifier = client.id_token_verifier().set_time_fn(move || {
            DateTime::from_timestamp_millis(clock.now().as_millisecond()).unwrap_or_default()
        });
        let claims = id_token.claims(&verifier, &begun.nonce)?;
        let expected = claims.access_token_hash().ok_or("there is no at_hash")?;
        let key = id_token.signing_key(&verifier)?;
        let hash =
            AccessTokenHash::from_token(tokens.access_token(), id_token.signing_alg()?, key)?;
        if *expected != hash {
            return Err("the access token is another one's".into());
        }
        let userinfo: UserInfoClaims<OtherClaims, CoreGenderClaim> = client
            .user_info(
                tokens.access_token().clone(),
                Some(claims.subject().clone()),
            )?
            .request_async(&transport)
            .await
            .map_err(described)?;
        let mut shown = serde_json::to_value(claims)?;
        let userinfo = serde_json::to_value(&userinfo)?;
        for (name, value) in userinfo.as_object().into_iter().flatten() {
            shown[name] = value.clone();
        }
        Ok(User {
            portal: begun.portal,
            id_token: id_token.to_string(),
            claims: shown,
        })
    }

    fn callback(&self, portal: &str) -> String {
        format!("{}/callback", application_address(&self.site.base, portal))
    }
}

/// Returns an error of the library with its causes.
fn described(error: impl std::error::Error) -> StartError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.into()
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
    if samples.application(&portal).is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let client = match samples.client(&portal).await {
        Ok(client) => client,
        Err(error) => return samples.page(&portal, None, Some(&error.to_string())),
    };
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("profile".to_owned()))
        .add_scope(Scope::new("email".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let begun = Begun {
        portal,
        verifier,
        nonce,
    };
    samples.known().begun.insert(state.into_secret(), begun);
    Redirect::to(url.as_str()).into_response()
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
    match samples.exchange(begun, get("code")).await {
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
