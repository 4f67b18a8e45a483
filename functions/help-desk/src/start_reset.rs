//! `POST /{portal}/accounts/{account_portal}/{id}/password-reset`: sends the owner a password reset
//! link (BL-14).

use axum::Json;
use vestibule_domain::rules::actions::send_reset_link;
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, HelpDeskActionRequest, RequiredData};

/// Send a password reset link
///
/// Emails a password reset link to the owner's address on record. The owner needs nothing but the
/// link to set a new password.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/password-reset", tag = "help desk",
    operation_id = "start_password_reset_for_account",
    params(AccountParams),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`no-password`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn start_reset(
    action: Action<HelpDeskActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let authority = action.authority();
    action
        .perform(RequiredData::Nothing, |target, _, context| {
            send_reset_link::send_reset_link(authority, target, context)
        })
        .await
}
