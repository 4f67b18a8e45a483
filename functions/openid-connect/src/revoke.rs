//! `POST /{portal}/revoke`: an application gives back an access token (RFC 7009).

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::single_sign_on as rules;
use vestibule_http::oauth::{ClientForm, OAuthFailure, authenticate};
use vestibule_http::openapi::PortalParams;
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Portal};

use crate::introspect::TokenRequest;
use crate::{OAuthErrorResponse, parse};

/// Revoke an access token
///
/// Ends an access token that was issued to the client. One that is unknown or has expired is no error.
#[utoipa::path(
    post, path = "/{portal}/revoke", tag = "single sign-on",
    operation_id = "revoke_token",
    params(PortalParams),
    request_body(content = TokenRequest, content_type = "application/x-www-form-urlencoded"),
    security((), ("client" = [])),
    responses(
        (status = 200, description = "The token is not valid, or no longer"),
        (status = 400, body = OAuthErrorResponse, description = "`invalid_request`, or `unauthorized_client`: the token belongs to another client"),
        (status = 401, body = OAuthErrorResponse, description = "`invalid_client`"),
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: ClientForm,
) -> Result<StatusCode, OAuthFailure> {
    let application = authenticate(&app, &policy, &headers, &form, origin.at).await?;
    let token = parse(&app, &policy, form.required("token")?).await?;
    let found = match token {
        Some(token) => app.store.access_token(&policy.portal, &token).await?,
        None => None,
    };
    let Some(found) = found else {
        return Ok(StatusCode::OK);
    };
    if found.item.grant.application != application.id.as_str() {
        let description = "the token was issued to another client";
        return Err(OAuthFailure::new("unauthorized_client", description));
    }
    let mut rng = app.rng();
    let decision = rules::revoke(&found.item, Context::new(&policy, &origin, &mut rng));
    app.commit(decision, &mut rng).await?;
    Ok(StatusCode::OK)
}
