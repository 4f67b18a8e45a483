//! The request with which an application sends a user to sign in (OpenID Connect Core 1.0, 3.1.2.1; SO-01).

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use strum::IntoStaticStr;

use crate::policy::{Application, Policy};
use crate::state::session::Session;
use crate::state::single_sign_on::Scope;

/// The maximum length of `state`, `nonce` and other texts of an application.
const MAX_TEXT: usize = 2048;

/// An authentication without a second factor, as NIST SP 800-63B-4 names it.
pub const AAL1: &str = "http://idmanagement.gov/ns/assurance/aal/1";

/// An authentication with a second factor.
pub const AAL2: &str = "http://idmanagement.gov/ns/assurance/aal/2";

/// An error of OAuth that an application receives (RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ErrorCode {
    InvalidRequest,
    UnsupportedResponseType,
    InvalidScope,
    AccessDenied,
    LoginRequired,
    InteractionRequired,
    UnmetAuthenticationRequirements,
    RequestNotSupported,
    RequestUriNotSupported,
}

/// An error with a sentence for the developer of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    pub code: ErrorCode,
    pub description: &'static str,
}

impl OAuthError {
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description }
    }

    const fn invalid(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }
}

/// Why a request leads nowhere. The browser stays on the portal, because the address that the request names may
/// be anybody's (RFC 9700, 4.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswerable {
    /// The client id is none of the portal's, or is given twice.
    UnknownApplication,
    /// The redirect address is not one of the application's, or is given twice.
    UnknownRedirectUri,
}

/// Where the response to a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnAddress {
    pub redirect_uri: String,
    pub state: Option<String>,
}

/// A valid request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    pub scopes: BTreeSet<Scope>,
    pub code_challenge: String,
    pub nonce: Option<String>,
    /// Nobody may be asked anything (`prompt=none`).
    pub is_silent: bool,
    /// The user has to sign in again (`prompt=login`).
    pub requires_sign_in: bool,
    /// How long ago the user may have signed in (`max_age`).
    pub max_age: Option<SignedDuration>,
    /// A second factor is required (`acr_values`, or by the policy).
    pub requires_second_factor: bool,
}

/// A parameter that is given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GivenTwice;

/// The parameters of a request, in which none is given twice (RFC 6749, 3.1).
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a>(&'a [(String, String)]);

impl<'a> Parameters<'a> {
    pub const fn new(pairs: &'a [(String, String)]) -> Self {
        Self(pairs)
    }

    /// Returns a parameter. One without a value counts as absent (RFC 6749, 3.1).
    ///
    /// # Errors
    /// If it is given twice.
    pub fn get(&self, name: &str) -> Result<Option<&'a str>, GivenTwice> {
        let mut found = self.0.iter().filter(|(n, _)| n == name);
        let first = found.next();
        match found.next() {
            Some(_) => Err(GivenTwice),
            None => Ok(first.map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())),
        }
    }
}

/// Returns the application of a request, and where the response goes.
///
/// # Errors
/// [`Unanswerable`]
pub fn return_address<'p>(
    parameters: Parameters<'_>,
    policy: &'p Policy,
) -> Result<(&'p Application, ReturnAddress), Unanswerable> {
    let client = parameters.get("client_id").ok().flatten();
    let application = client.and_then(|id| policy.application(id));
    let application = application.ok_or(Unanswerable::UnknownApplication)?;
    let redirect_uri = parameters.get("redirect_uri").ok().flatten();
    let redirect_uri = redirect_uri
        .filter(|uri| {
            application
                .redirect_uris
                .iter()
                .any(|own| own.as_str() == *uri)
        })
        .ok_or(Unanswerable::UnknownRedirectUri)?;
    let state = parameters.get("state").ok().flatten();
    let address = ReturnAddress {
        redirect_uri: redirect_uri.to_owned(),
        state: state.filter(|s| s.len() <= MAX_TEXT).map(str::to_owned),
    };
    Ok((application, address))
}

impl AuthorizationRequest {
    /// Reads the request of an application.
    ///
    /// # Errors
    /// The error that the application receives.
    pub fn parse(
        parameters: Parameters<'_>,
        application: &Application,
    ) -> Result<Self, OAuthError> {
        let text = |name: &str| {
            let found = parameters.get(name);
            let found =
                found.map_err(|GivenTwice| OAuthError::invalid("a parameter is given twice"))?;
            match found {
                Some(text) if text.len() > MAX_TEXT => Err(OAuthError::invalid(
                    "a parameter is longer than 2048 characters",
                )),
                found => Ok(found),
            }
        };
        text("state")?;
        if text("request")?.is_some() {
            let description = "request objects are not supported";
            return Err(OAuthError::new(ErrorCode::RequestNotSupported, description));
        }
        if text("request_uri")?.is_some() {
            let description = "request_uri is not supported";
            return Err(OAuthError::new(
                ErrorCode::RequestUriNotSupported,
                description,
            ));
        }
        match text("response_type")? {
            Some("code") => {}
            Some(_) => {
                let description = "response_type must be code";
                return Err(OAuthError::new(
                    ErrorCode::UnsupportedResponseType,
                    description,
                ));
            }
            None => return Err(OAuthError::invalid("response_type is required")),
        }
        if text("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(OAuthError::invalid("response_mode must be query"));
        }
        let scope = text("scope")?.unwrap_or_default();
        let scopes: BTreeSet<Scope> = scope.split(' ').filter_map(Scope::parse).collect();
        if !scopes.contains(&Scope::OpenId) {
            let description = "scope must contain openid";
            return Err(OAuthError::new(ErrorCode::InvalidScope, description));
        }
        if text("code_challenge_method")? != Some("S256") {
            return Err(OAuthError::invalid("code_challenge_method must be S256"));
        }
        let challenge = text("code_challenge")?.unwrap_or_default();
        if !is_challenge(challenge) {
            return Err(OAuthError::invalid(
                "code_challenge must be the SHA-256 of the verifier, base64url",
            ));
        }
        let prompts: BTreeSet<&str> = text("prompt")?
            .unwrap_or_default()
            .split(' ')
            .filter(|prompt| !prompt.is_empty())
            .collect();
        let is_silent = prompts.contains("none");
        if is_silent && prompts.len() > 1 {
            return Err(OAuthError::invalid("prompt=none excludes other values"));
        }
        let max_age = text("max_age")?
            .map(|seconds| seconds.parse::<u32>())
            .transpose()
            .map_err(|_| OAuthError::invalid("max_age must be a number of seconds"))?;
        let levels: BTreeSet<&str> = text("acr_values")?.unwrap_or_default().split(' ').collect();
        let asks_second_factor = levels.contains(AAL2) && !levels.contains(AAL1);
        Ok(Self {
            scopes,
            code_challenge: challenge.to_owned(),
            nonce: text("nonce")?.map(str::to_owned),
            is_silent,
            requires_sign_in: prompts.contains("login") || prompts.contains("select_account"),
            max_age: max_age.map(|seconds| SignedDuration::from_secs(seconds.into())),
            requires_second_factor: asks_second_factor || application.second_factor,
        })
    }

    /// Returns whether the user of a session has to sign in again first. `started_at` is when the request started, if
    /// it comes back after a sign-in.
    pub(crate) fn is_too_old(
        &self,
        session: &Session,
        started_at: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        let at = session.authenticated_at();
        if started_at.is_some_and(|started_at| at >= started_at) {
            return false;
        }
        let max_age = self.max_age;
        self.requires_sign_in || max_age.is_some_and(|age| now.duration_since(at) > age)
    }
}

/// Returns whether a text can be the SHA-256 of a verifier, base64url without padding (RFC 7636, 4.2).
fn is_challenge(text: &str) -> bool {
    data_encoding::BASE64URL_NOPAD
        .decode(text.as_bytes())
        .is_ok_and(|hash| hash.len() == 32)
}
