//! `POST /{portal}/accounts/{account_portal}/{id}/unlock`: clears the failed attempts of an
//! account.

use axum::Json;
use vestibule_domain::rules::actions::unlock;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{Problem, rate_limit};

use crate::AccountResponse;
use crate::account_context::{Action, HelpDeskActionRequest, RequiredData};

/// Unlock an account
///
/// Clears the counts of failed sign-in and recovery attempts, so that the owner can try again
/// immediately. A PIN or registration code that was locked stays locked; issue a new one.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/unlock", tag = "help desk",
    operation_id = "unlock_account",
    params(AccountParams),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn unlock(
    action: Action<HelpDeskActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Nothing, |target, found, context| {
            let counters =
                rate_limit::of_account(found.app, target.account, found.policy, found.origin.at);
            unlock::unlock(staff, target, counters, context)
        })
        .await
}
