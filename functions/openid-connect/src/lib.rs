//! Single sign-on: each portal is an OpenID Connect provider for the applications in its policy (SO-01 to SO-05).
//!
//! The authorization endpoint itself is a page, because browsers do not send the session cookie when another
//! website leads to the portal (`SameSite=Strict`). The page calls [`authorize`].

/// Declares a form with the credentials of its client (OpenID Connect Core 1.0, 9). The form is read leniently, as OAuth
/// requires, so the type only describes it. It is a macro because a flattened field becomes `allOf`, which tools for
/// OpenAPI understand less well.
macro_rules! client_form {
    ($(#[$about:meta])* $name:ident { $($(#[$field_about:meta])* $field:ident: $kind:ty,)+ }) => {
        $(#[$about])*
        #[derive(Debug, utoipa::ToSchema)]
        #[allow(dead_code, reason = "describes the form")]
        pub(crate) struct $name {
            $($(#[$field_about])* $field: $kind,)+
            /// The client id, unless the client authenticates with `Authorization: Basic`.
            #[schema(max_length = 40)]
            client_id: Option<String>,
            /// The secret of the client, for `client_secret_post`.
            #[schema(max_length = 100)]
            client_secret: Option<String>,
            /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, for `private_key_jwt`.
            #[schema(max_length = 100)]
            client_assertion_type: Option<String>,
            /// The JWT that the client signed. It is accepted once.
            #[schema(max_length = 16384)]
            client_assertion: Option<String>,
        }
    };
}

mod authorize;
mod discovery;
mod end_session;
mod exchange_code;
mod introspect;
mod revoke;
mod show_user;

use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::single_sign_on::{self as rules, Claims, User};
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::state::single_sign_on::{AccessToken, Scope};
use vestibule_http::oauth::OAuthErrorResponse;
use vestibule_http::{App, Problem};
use vestibule_store::grants::Issued;

vestibule_http::routes! {
    discovery::show_configuration,
    discovery::show_keys,
    authorize::authorize,
    exchange_code::exchange_code,
    show_user::show_user,
    show_user::show_user_by_post,
    introspect::introspect,
    revoke::revoke,
    end_session::end_application_session,
    end_session::end_application_session_by_post,
}

/// The type of ID tokens. It distinguishes them from all other tokens that the system signs (RFC 8725, 3.11).
const ID_TOKEN: &str = "JWT";

/// The type of access tokens in the form of a JWT (RFC 9068).
const ACCESS_TOKEN: &str = "at+jwt";

/// Parses an access token of either form; `None` for any other text.
async fn parse(app: &App, policy: &Policy, text: &str) -> Result<Option<Token>, Problem> {
    if let Some(token) = Token::parse(TokenKind::AccessToken, text) {
        return Ok(Some(token));
    }
    let now = app.clock.now();
    let claims = app.signer.verify(ACCESS_TOKEN, text, now).await?;
    Ok(claims.and_then(|claims| {
        if claims["iss"] != policy.issuer().as_str() {
            return None;
        }
        let part = |name: &str| claims[name].as_str();
        Token::of_jwt(part("sub")?, part("sid")?, part("jti")?)
    }))
}

/// An access token that is valid now, with what it gives access to.
struct Access {
    token: AccessToken,
    claims: Claims,
}

/// Returns what an access token gives access to now, or `None`. One read finds the token, the session and the
/// account, so that a change to any of them takes effect at the next call (SO-03, UX-04).
async fn access(app: &App, policy: &Policy, text: &str) -> Result<Option<Access>, Problem> {
    let now = app.clock.now();
    let Some(token) = parse(app, policy, text).await? else {
        return Ok(None);
    };
    let found = app.store.access_token(&policy.portal, &token).await?;
    Ok(found.and_then(
        |Issued {
             item: token,
             account,
             session,
         }| {
            let (account, session) = (account?, session?);
            let user = User {
                account: &account,
                session: &session,
            };
            let claims = rules::claims(&token.grant, user, (policy, now))?;
            (now < token.expires_at).then_some(Access { token, claims })
        },
    ))
}

/// Returns scopes as OAuth writes them.
fn scope(token: &AccessToken) -> String {
    let scopes: Vec<_> = token.grant.scopes.iter().map(Scope::into_str).collect();
    scopes.join(" ")
}

/// Returns an address with more parameters in its query.
fn with_query<'q>(uri: &str, parameters: impl IntoIterator<Item = (&'q str, &'q str)>) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(parameters)
        .finish();
    let separator = if uri.contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{query}")
}

/// The organization that the user works for.
#[derive(Debug, Serialize, ToSchema)]
struct OrganizationClaimResponse {
    id: String,
    /// The name in the plan's records.
    name: String,
    /// The number that the plan assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
}

/// What an application learns about a user (OpenID Connect Core 1.0, 5.1).
#[derive(Debug, Serialize, ToSchema)]
struct ClaimsResponse {
    /// The id of the user.
    sub: String,
    /// The id of the session.
    sid: String,
    /// When the user signed in, in seconds since the epoch.
    auth_time: i64,
    /// The level of authentication (NIST SP 800-63B-4).
    acr: &'static str,
    /// The authentication methods (RFC 8176).
    amr: Vec<&'static str>,
    /// The organization that the user works for; absent for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<OrganizationClaimResponse>,
    /// The user's role in the organization.
    roles: Vec<&'static str>,
    /// The ids of the services assigned to the user.
    entitlements: Vec<String>,
    /// The group codes assigned to the user.
    groups: Vec<String>,
    /// The user's name, with scope `profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<String>,
    /// The username, with scope `profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    /// The email address, with scope `email`.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

impl From<Claims> for ClaimsResponse {
    fn from(claims: Claims) -> Self {
        Self {
            sub: claims.sub.to_string(),
            sid: claims.sid,
            auth_time: claims.auth_time,
            acr: claims.acr,
            amr: claims.amr.into_iter().collect(),
            organization: claims.organization.map(|o| OrganizationClaimResponse {
                id: o.id.to_string(),
                name: o.name,
                number: o.number,
            }),
            roles: claims.roles,
            entitlements: claims.entitlements.into_iter().collect(),
            groups: claims.groups.into_iter().collect(),
            name: claims.name,
            given_name: claims.given_name,
            family_name: claims.family_name,
            preferred_username: claims.preferred_username,
            email: claims.email,
        }
    }
}
