//! `GET` and `POST /{portal}/userinfo`: returns the claims about the user of an access token (SO-02, SO-03).

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use vestibule_http::caller::bearer;
use vestibule_http::oauth::OAuthFailure;
use vestibule_http::openapi::PortalParams;
use vestibule_http::{App, Portal};

use crate::{ClaimsResponse, OAuthErrorResponse, access};

/// Show the user of an access token
///
/// Returns the claims about the user, as they are now. An access token is refused as soon as the session, the account
/// or the assignment of the application's service ends.
#[utoipa::path(
    get, path = "/{portal}/userinfo", tag = "single sign-on",
    operation_id = "show_user_info",
    params(PortalParams),
    security(("access_token" = [])),
    responses(
        (status = 200, body = ClaimsResponse, description = "The claims"),
        (status = 401, body = OAuthErrorResponse, description = "`invalid_token`"),
    )
)]
pub(crate) async fn show_user(
    State(app): State<App>,
    Portal(policy): Portal,
    headers: HeaderMap,
) -> Result<Json<ClaimsResponse>, OAuthFailure> {
    let invalid = || OAuthFailure::new("invalid_token", "the access token is not valid");
    let token = bearer(&headers).ok_or_else(invalid)?;
    let access = access(&app, &policy, token.trim()).await?;
    Ok(Json(access.ok_or_else(invalid)?.claims.into()))
}

/// Show the user of an access token by POST
///
/// The same as with GET, which applications may choose (OpenID Connect Core 1.0, 5.3).
#[utoipa::path(
    post, path = "/{portal}/userinfo", tag = "single sign-on",
    operation_id = "show_user_info_by_post",
    params(PortalParams),
    security(("access_token" = [])),
    responses(
        (status = 200, body = ClaimsResponse, description = "The claims"),
        (status = 401, body = OAuthErrorResponse, description = "`invalid_token`"),
    )
)]
pub(crate) async fn show_user_by_post(
    app: State<App>,
    portal: Portal,
    headers: HeaderMap,
) -> Result<Json<ClaimsResponse>, OAuthFailure> {
    show_user(app, portal, headers).await
}
