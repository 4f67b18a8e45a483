//! `POST /{portal}/accounts/{account_portal}/{id}/registration-code`: replaces a lost registration
//! code (BL-09).

use axum::Json;
use vestibule_domain::rules::actions::{Refusal, reissue_code};
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, OrganizationActionRequest, RequiredData};

/// Send a new registration code
///
/// Emails the owner a new registration code. The previous code stops working immediately.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/registration-code", tag = "help desk",
    operation_id = "reissue_registration_code_for_account",
    params(AccountParams),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`approval-not-pending`, `unsupported-on-portal`, `access-expired`, `account-disabled`, `account-deleted` or `conflict`"),
        (status = 429, description = "`too-many-attempts`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn reissue_code(
    action: Action<OrganizationActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let authority = action.authority();
    action
        .perform(RequiredData::Nothing, |target, found, context| {
            let fresh = found
                .app
                .fresh_registration_code(found.policy, context.rng)
                .ok_or(Refusal::UnsupportedOnPortal)?;
            reissue_code::reissue_code(authority, target, Some(fresh), context)
        })
        .await
}
