//! `POST /{portal}/email-confirmations`: confirms a new email address (BL-12).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::profile;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, Portal, Problem, transact};

/// The token from the confirmation link, which follows the `#`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfirmEmailRequest {
    /// The token from the link that was sent to the new address.
    token: String,
}

/// Confirm an email address
///
/// Makes the new address the account's email address.
#[utoipa::path(
    post, path = "/{portal}/email-confirmations", tag = "profile",
    operation_id = "confirm_email",
    params(PortalParams),
    request_body = ConfirmEmailRequest,
    responses(
        (status = 204, description = "The email address is confirmed"),
        (status = 409, description = "`already-taken`"),
        (status = 410, description = "`email-link-unusable`"),
        FieldProblems,
    )
)]
pub(crate) async fn confirm_email(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<ConfirmEmailRequest>,
) -> Result<StatusCode, Problem> {
    let unusable = || {
        Problem::new(StatusCode::GONE, "email-link-unusable", "Link no longer valid", "This link has expired, was already used, or was replaced by a newer one. Sign in and enter the new address again.")
            .with_help(&policy)
    };
    let token = Token::parse(TokenKind::Email, &request.token).ok_or_else(unusable)?;
    let (app, portal, token) = (&app, &policy.portal, &token);
    transact(
        app,
        |_| async move { Ok(app.store.account_of_token(portal, token).await?) },
        |account, rng| {
            let context = Context::new(&policy, &origin, rng);
            let account = account.as_ref().ok_or_else(unusable)?;
            let decision = profile::confirm_email(account, token, context);
            Ok(((), decision.ok_or_else(unusable)?))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
