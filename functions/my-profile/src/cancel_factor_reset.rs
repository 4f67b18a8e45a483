//! `DELETE /{portal}/me/second-factor-reset` and `POST /{portal}/second-factor-reset-cancellations`: cancel a reset of
//! the second factors that is not completed (MF-06).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::rules::second_factor as rules;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::request::RequestOrigin;
use vestibule_http::second_factor::reset_unusable;
use vestibule_http::{App, Body, Portal, Problem, SignedIn, transact};

use crate::disown;

/// Cancel a reset of your second factors
///
/// Cancels a reset that an administrator or the help desk started; its link or PIN stops working. Does nothing if none
/// is pending.
#[utoipa::path(
    delete, path = "/{portal}/me/second-factor-reset", tag = "profile",
    operation_id = "cancel_second_factor_reset",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "No reset is pending"),
        SignedInProblems,
    )
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<StatusCode, Problem> {
    transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let canceled = rules::cancel_reset(account, &caller.session, caller.context(rng));
            Ok(((), canceled))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token from the cancellation link, which follows the `#`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondFactorResetCancellationRequest {
    /// The token from the link that was sent when the reset was started.
    token: String,
}

/// Cancel a reset of the second factors by link
///
/// Cancels a reset that the owner did not request, and ends all sessions of the account. Requires no session.
#[utoipa::path(
    post, path = "/{portal}/second-factor-reset-cancellations", tag = "profile",
    operation_id = "cancel_second_factor_reset_by_link",
    params(PortalParams),
    request_body = SecondFactorResetCancellationRequest,
    responses(
        (status = 204, description = "The reset is canceled, and all sessions are ended"),
        (status = 410, description = "`second-factor-reset-unusable`"),
        FieldProblems,
    )
)]
pub(crate) async fn cancel_by_link(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<SecondFactorResetCancellationRequest>,
) -> Result<StatusCode, Problem> {
    let unusable = || reset_unusable(&policy);
    let token = Token::parse(TokenKind::FactorResetCancellation, &request.token);
    disown(
        &app,
        (&policy, &origin),
        token,
        unusable,
        rules::disown_reset,
    )
    .await
}
