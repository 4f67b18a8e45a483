//! `POST /{portal}/accounts/{account_portal}/{id}/reinstatement`: reinstates a disabled account
//! (BA-06).

use axum::Json;
use vestibule_domain::rules::actions::set_status::{self, NewStatus};
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, HelpDeskActionRequest, RequiredData};

/// Reinstate an account
///
/// Reinstates a disabled account. A deleted account can't be reinstated; the person needs a new
/// user id.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/reinstatement", tag = "help desk",
    operation_id = "reinstate_account",
    params(AccountParams),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn reinstate(
    action: Action<HelpDeskActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let authority = action.authority();
    action
        .perform(RequiredData::Nothing, |target, _, context| {
            set_status::set_status(authority, target, NewStatus::Active, context)
        })
        .await
}
