//! `POST /{portal}/introspect`: returns whether an access token of an application is valid (RFC 7662; SO-03).

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::ClientAuthentication;
use vestibule_http::oauth::{ClientForm, OAuthFailure, authenticate};
use vestibule_http::openapi::PortalParams;
use vestibule_http::{App, Portal};

use crate::{ClaimsResponse, OAuthErrorResponse, access, scope};

client_form! {
    /// A token, as a form, with the credentials of the client as for `token`.
    TokenRequest {
        /// The access token.
        #[schema(max_length = 16384)]
        token: String,
        /// `access_token`.
        #[schema(max_length = 40)]
        token_type_hint: Option<String>,
    }
}

/// Whether a token is valid, and for what (RFC 7662, 2.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntrospectionResponse {
    /// Whether the token is valid. Nothing else is returned if it is not.
    active: bool,
    #[serde(flatten)]
    token: Option<ActiveToken>,
}

/// A valid token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveToken {
    iss: String,
    /// The client id.
    client_id: String,
    aud: String,
    scope: String,
    /// `Bearer`.
    token_type: &'static str,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    claims: ClaimsResponse,
}

/// Introspect an access token
///
/// Returns whether an access token that was issued to the client is valid now, with the claims about its user.
#[utoipa::path(
    post, path = "/{portal}/introspect", tag = "single sign-on",
    operation_id = "introspect",
    params(PortalParams),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    security(("client" = [])),
    responses(
        (status = 200, body = IntrospectionResponse, description = "Whether the token is valid"),
        (status = 400, body = OAuthErrorResponse, description = "`invalid_request`"),
        (status = 401, body = OAuthErrorResponse, description = "`invalid_client`"),
    )
)]
pub(crate) async fn introspect(
    State(app): State<App>,
    Portal(policy): Portal,
    headers: HeaderMap,
    form: ClientForm,
) -> Result<Json<IntrospectionResponse>, OAuthFailure> {
    let application = authenticate(&app, &policy, &headers, &form, app.clock.now()).await?;
    if application.authentication == ClientAuthentication::None {
        let description = "a client without credentials can't introspect tokens";
        return Err(OAuthFailure::new("invalid_client", description));
    }
    let found = access(&app, &policy, form.required("token")?).await?;
    let own = found.filter(|access| access.token.grant.application == application.id.as_str());
    let token = own.map(|access| ActiveToken {
        iss: policy.issuer(),
        client_id: application.id.to_string(),
        aud: application.id.to_string(),
        scope: scope(&access.token),
        token_type: "Bearer",
        iat: access.token.issued_at.as_second(),
        exp: access.token.expires_at.as_second(),
        claims: access.claims.into(),
    });
    Ok(Json(IntrospectionResponse {
        active: token.is_some(),
        token,
    }))
}
