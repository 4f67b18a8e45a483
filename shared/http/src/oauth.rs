//! What applications send and receive at the endpoints of OAuth 2.0 and OpenID Connect: forms, client
//! authentication and errors (RFC 6749; SO-01).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use jiff::{SignedDuration, Timestamp};
use rand::RngExt;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vestibule_domain::policy::{Application, ClientAuthentication, Policy};
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::Purpose;
use vestibule_secrets::jwt::{Unverified, VerifyingKey};
use vestibule_secrets::signing::SigningError;
use vestibule_store::StoreError;

use crate::{App, Problem};

/// The paths below a portal that applications call, and not its pages. They read no cookie, so the checks against
/// requests of other websites do not concern them.
const FOR_APPLICATIONS: [&str; 7] = [
    "/.well-known/openid-configuration",
    "/jwks.json",
    "/token",
    "/userinfo",
    "/introspect",
    "/revoke",
    "/end-session",
];

/// Returns whether a path is one that applications call.
pub(crate) fn is_for_applications(path: &str) -> bool {
    let path = path.trim_start_matches('/');
    let below = path.find('/').map(|slash| &path[slash..]);
    below.is_some_and(|below| FOR_APPLICATIONS.contains(&below))
}

/// An error of OAuth 2.0 (RFC 6749, 5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OAuthErrorResponse {
    /// The error, for programs.
    pub error: &'static str,
    /// A sentence for the developer of the application.
    pub error_description: String,
}

/// Why a request of an application is refused.
#[derive(Debug)]
pub enum OAuthFailure {
    /// An error of OAuth.
    Error(StatusCode, OAuthErrorResponse),
    /// A failure of the system.
    Problem(Problem),
}

impl OAuthFailure {
    pub fn new(error: &'static str, description: &str) -> Self {
        let status = match error {
            "invalid_client" | "invalid_token" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        let error_description = description.to_owned();
        let response = OAuthErrorResponse {
            error,
            error_description,
        };
        Self::Error(status, response)
    }

    pub fn invalid_request(description: &str) -> Self {
        Self::new("invalid_request", description)
    }

    /// The same for all causes, so that nobody learns which applications there are.
    fn invalid_client() -> Self {
        Self::new("invalid_client", "client authentication failed")
    }
}

impl<E: Into<Problem>> From<E> for OAuthFailure {
    fn from(cause: E) -> Self {
        Self::Problem(cause.into())
    }
}

impl From<SigningError> for Problem {
    fn from(cause: SigningError) -> Self {
        Self::unavailable(&cause)
    }
}

impl IntoResponse for OAuthFailure {
    fn into_response(self) -> Response {
        let (status, body) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Error(status, body) => (status, body),
        };
        let challenge = match body.error {
            "invalid_client" => Some("Basic realm=\"token\", charset=\"UTF-8\""),
            "invalid_token" => Some("Bearer error=\"invalid_token\""),
            _ => None,
        };
        let mut response = (status, Json(body)).into_response();
        let challenge = challenge.map(HeaderValue::from_static);
        let headers = response.headers_mut();
        headers.extend(challenge.map(|value| (header::WWW_AUTHENTICATE, value)));
        response
    }
}

/// Parameters as a browser or application sends them in a query or form. Unknown ones are ignored (RFC 6749, 3.1).
pub type Pairs = Vec<(String, String)>;

/// Parses a query or form.
pub fn pairs(text: &[u8]) -> Pairs {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Extracts the form that an application sends. No parameter may be given twice.
#[derive(Debug)]
pub struct ClientForm(Pairs);

impl FromRequest<App> for ClientForm {
    type Rejection = OAuthFailure;

    async fn from_request(request: Request, app: &App) -> Result<Self, OAuthFailure> {
        let content = request.headers().get(header::CONTENT_TYPE);
        let content = content.and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = content.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let description = "the content type must be application/x-www-form-urlencoded";
            return Err(OAuthFailure::invalid_request(description));
        }
        let bytes = Bytes::from_request(request, app).await;
        let bytes = bytes.map_err(|_| OAuthFailure::invalid_request("the form is too large"))?;
        let pairs = pairs(&bytes);
        let mut names: Vec<_> = pairs.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err(OAuthFailure::invalid_request("a parameter is given twice"));
        }
        Ok(Self(pairs))
    }
}

impl ClientForm {
    /// Returns a parameter. One without a value counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    /// Returns all parameters.
    pub const fn pairs(&self) -> &Pairs {
        &self.0
    }

    /// Returns a parameter that is required.
    ///
    /// # Errors
    /// `invalid_request`
    pub fn required(&self, name: &str) -> Result<&str, OAuthFailure> {
        let missing = || OAuthFailure::invalid_request(&format!("{name} is required"));
        self.get(name).ok_or_else(missing)
    }
}

/// The type of a client assertion (RFC 7523, 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The longest lifetime of a client assertion.
const ASSERTION_VALID: SignedDuration = SignedDuration::from_mins(10);

/// How far the clock of an application may be off.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Returns the application that sends a request, which proved who it is in the way that the policy says (OpenID
/// Connect Core 1.0, 9). A secret has 256 bits, so attempts are not counted.
///
/// # Errors
/// `invalid_client`, or `invalid_request` if it uses several ways.
pub async fn authenticate<'p>(
    app: &App,
    policy: &'p Policy,
    headers: &HeaderMap,
    form: &ClientForm,
    now: Timestamp,
) -> Result<&'p Application, OAuthFailure> {
    let basic = headers.get(header::AUTHORIZATION).map(basic);
    let assertion = form.get("client_assertion");
    let posted = form.get("client_secret");
    if [basic.is_some(), assertion.is_some(), posted.is_some()]
        .iter()
        .filter(|b| **b)
        .count()
        > 1
    {
        let description = "the client must authenticate in one way";
        return Err(OAuthFailure::invalid_request(description));
    }
    let named = form.get("client_id");
    let find = |id: &str| {
        policy
            .application(id)
            .filter(|_| named.is_none_or(|n| n == id))
    };
    let found = match (basic, assertion) {
        (Some(basic), _) => basic.and_then(|(id, secret)| {
            let application = find(&id)?;
            is_secret(app, policy, application, &secret).then_some(application)
        }),
        (None, Some(assertion)) => {
            let is_jwt = form.get("client_assertion_type") == Some(JWT_BEARER);
            let token = is_jwt.then(|| Unverified::parse(assertion)).flatten();
            let asserted = token.and_then(|token| asserted(token, policy, find, now));
            match asserted {
                Some(asserted) => first_use(app, policy, asserted, now).await?,
                None => None,
            }
        }
        (None, None) => named.and_then(find).filter(|application| match posted {
            Some(secret) => is_secret(app, policy, application, &Sensitive::new(secret)),
            None => application.authentication == ClientAuthentication::None,
        }),
    };
    found.ok_or_else(OAuthFailure::invalid_client)
}

/// Parses `Authorization: Basic`; id and secret are each encoded as in forms (RFC 6749, 2.3.1).
fn basic(value: &HeaderValue) -> Option<(String, Sensitive)> {
    let (scheme, value) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64.decode(value.trim().as_bytes()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| {
        let form = format!("v={part}");
        let mut pairs = form_urlencoded::parse(form.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned())
    };
    Some((decode(id)?, Sensitive::new(decode(secret)?)))
}

/// A valid assertion.
struct Assertion<'p> {
    application: &'p Application,
    jti: String,
    expires_at: Timestamp,
}

/// Returns the application of an assertion that is used for the first time.
async fn first_use<'p>(
    app: &App,
    policy: &Policy,
    assertion: Assertion<'p>,
    now: Timestamp,
) -> Result<Option<&'p Application>, StoreError> {
    let Assertion {
        application,
        jti,
        expires_at,
    } = assertion;
    // Until it would no longer be accepted.
    let times = (now, expires_at + CLOCK_SKEW);
    let subject = (&policy.portal, application.id.as_str());
    let attempt = app.rng().random();
    let is_first = app
        .store
        .use_assertion(subject, &jti, times, attempt)
        .await?;
    Ok(is_first.then_some(application))
}

/// Returns the application that signed an assertion with one of its keys (RFC 7523, 3).
fn asserted<'p>(
    token: Unverified<'_>,
    policy: &'p Policy,
    find: impl Fn(&str) -> Option<&'p Application>,
    now: Timestamp,
) -> Option<Assertion<'p>> {
    let id = token.unverified_text("sub")?.to_owned();
    let application = find(&id)?;
    let kid = token.header.kid.clone()?;
    let key = application
        .jwks
        .iter()
        .find(|key| key.kid.as_str() == kid)?;
    let claims = token.verify(&VerifyingKey::of_application(key)?)?;
    let issuer = policy.issuer();
    let audience = |aud: &Value| {
        let own = [issuer.clone(), format!("{issuer}/token")];
        aud.as_str().is_some_and(|aud| own.iter().any(|o| o == aud))
    };
    let is_for_us = match &claims["aud"] {
        Value::Array(list) => list.len() == 1 && list.iter().all(audience),
        one => audience(one),
    };
    let at = |name: &str| {
        claims[name]
            .as_i64()
            .and_then(|s| Timestamp::from_second(s).ok())
    };
    let expires = at("exp")?;
    let is_current = expires > now - CLOCK_SKEW
        && expires <= now + ASSERTION_VALID + CLOCK_SKEW
        && at("nbf").is_none_or(|from| from <= now + CLOCK_SKEW);
    let jti = claims["jti"].as_str().filter(|jti| !jti.is_empty())?;
    let is_own = claims["iss"] == id.as_str();
    (is_for_us && is_current && is_own).then(|| Assertion {
        application,
        jti: jti.to_owned(),
        expires_at: expires,
    })
}

fn context(policy: &Policy, application: &Application) -> String {
    let version = application.secret_version.get();
    format!("{}/{}/{version}", policy.portal, application.id)
}

/// Returns the secret of an application. It is derived from the keyring and its version, and is stored nowhere.
pub fn client_secret(app: &App, policy: &Policy, application: &Application) -> Sensitive {
    let context = context(policy, application);
    let none = Sensitive::new("");
    let code = app
        .keyring()
        .lasting_code(Purpose::ClientSecret, &context, &none);
    Sensitive::new(BASE64URL_NOPAD.encode(&code))
}

fn is_secret(app: &App, policy: &Policy, application: &Application, secret: &Sensitive) -> bool {
    let Ok(code) = BASE64URL_NOPAD.decode(secret.expose().as_bytes()) else {
        return false;
    };
    let context = context(policy, application);
    let none = Sensitive::new("");
    application.authentication == ClientAuthentication::Secret
        && app
            .keyring()
            .is_lasting_code(Purpose::ClientSecret, &context, &none, &code)
}

/// How long a user may take to sign in and complete steps before an application opens.
const REQUEST_VALID: SignedDuration = SignedDuration::from_hours(1);

/// Returns a text that proves when the request of an application started, so that a sign-in after it counts as the
/// one that the application demands (SO-04).
pub fn start_proof(app: &App, policy: &Policy, application: &Application, at: Timestamp) -> String {
    let (context, at) = (policy.portal.as_str(), at.as_millisecond());
    let value = Sensitive::new(format!("{at}/{}", application.id));
    let code = app
        .keyring()
        .lasting_code(Purpose::AuthorizationRequest, context, &value);
    format!("{at}.{}", BASE64URL_NOPAD.encode(&code))
}

/// Returns when a request started, from the text of [`start_proof`]; `None` if it is not authentic or too old.
pub fn started_at(
    app: &App,
    policy: &Policy,
    application: &Application,
    text: &str,
    now: Timestamp,
) -> Option<Timestamp> {
    let (at, code) = text.split_once('.')?;
    let code = BASE64URL_NOPAD.decode(code.as_bytes()).ok()?;
    let value = Sensitive::new(format!("{at}/{}", application.id));
    let (purpose, context) = (Purpose::AuthorizationRequest, policy.portal.as_str());
    let is_authentic = app
        .keyring()
        .is_lasting_code(purpose, context, &value, &code);
    let at = Timestamp::from_millisecond(at.parse().ok()?).ok()?;
    (is_authentic && now.duration_since(at) <= REQUEST_VALID).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_paths_for_applications_are_exempt_from_the_checks_of_pages() {
        for path in ["/group/token", "/group/.well-known/openid-configuration"] {
            assert!(is_for_applications(path), "{path}");
        }
        for path in [
            "/token",
            "token",
            "/group/token/",
            "/group/users/token",
            "/group/authorizations",
            "/group/sessions",
            "/",
            "",
        ] {
            assert!(!is_for_applications(path), "{path}");
        }
    }

    #[test]
    fn the_credentials_of_basic_authentication_are_decoded_as_in_forms() {
        let header = |text: &str| {
            HeaderValue::from_str(&format!("basic {}", BASE64.encode(text.as_bytes()))).unwrap()
        };
        let (id, secret) = basic(&header("desk%2D1:a%3Ab+c")).unwrap();
        assert_eq!((id.as_str(), secret.expose()), ("desk-1", "a:b c"));
        assert!(basic(&header("desk")).is_none());
        assert!(basic(&HeaderValue::from_static("Bearer abc")).is_none());
        assert!(basic(&HeaderValue::from_static("Basic ***")).is_none());
    }
}
