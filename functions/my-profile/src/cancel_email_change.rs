//! `DELETE /{portal}/me/email` and `POST /{portal}/email-change-cancellations`: cancel a change of email
//! address that is not confirmed (SE-01).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::rules::profile;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, Portal, Problem, SignedIn, transact};

use crate::disown;

/// Cancel a change of your email address
///
/// Cancels a change that is not confirmed yet; the link that was sent to the new address stops working. Does
/// nothing if no change is pending.
#[utoipa::path(
    delete, path = "/{portal}/me/email", tag = "profile",
    operation_id = "cancel_email_change",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "No change is pending"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<StatusCode, Problem> {
    let organization = caller.session.organization.as_ref();
    transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let canceled = profile::cancel_email_change(account, organization, caller.context(rng));
            Ok(((), canceled.map(|(_, decision)| decision)))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token from the cancellation link, which follows the `#`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmailChangeCancellationRequest {
    /// The token from the link that was sent to the old address.
    token: String,
}

/// Cancel a change of email address by link
///
/// Cancels a change that the owner of the old address did not request, and ends all sessions of the account.
/// Requires no session.
#[utoipa::path(
    post, path = "/{portal}/email-change-cancellations", tag = "profile",
    operation_id = "cancel_email_change_by_link",
    params(PortalParams),
    request_body = EmailChangeCancellationRequest,
    responses(
        (status = 204, description = "The change is canceled, and all sessions are ended"),
        (status = 410, description = "`email-link-unusable`"),
        FieldProblems,
    )
)]
pub(crate) async fn cancel_by_link(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<EmailChangeCancellationRequest>,
) -> Result<StatusCode, Problem> {
    let unusable = || {
        Problem::new(StatusCode::GONE, "email-link-unusable", "Link no longer valid", "This link has expired, or the change was already canceled, replaced or completed. Sign in to check your email address.")
            .with_help(&policy)
    };
    let token = Token::parse(TokenKind::EmailCancellation, &request.token);
    disown(
        &app,
        (&policy, &origin),
        token,
        unusable,
        profile::disown_email_change,
    )
    .await
}
