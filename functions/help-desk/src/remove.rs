//! `POST /{portal}/accounts/{account_portal}/{id}/removal`: removes any person, including managers
//! and administrators (EX-12).

use axum::Json;
use vestibule_domain::rules::actions::remove;
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, OrganizationActionRequest, RequiredData};

/// Remove a person
///
/// Removes a person from an organization immediately, whatever their role, or deletes a member's
/// account. If the person belongs to no other organization, the account is deleted permanently. An
/// organization's last principal can't be removed.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/removal", tag = "help desk",
    operation_id = "remove_account",
    params(AccountParams),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`last-principal`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn remove(
    action: Action<OrganizationActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let authority = action.authority();
    action
        .perform(RequiredData::Nothing, |target, _, context| {
            remove::remove(authority, target, context)
        })
        .await
}
