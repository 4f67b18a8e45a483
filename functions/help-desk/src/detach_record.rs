//! `POST /{portal}/accounts/{account_portal}/{id}/record-detachment`: undoes a registration that
//! was matched with someone else's plan record.

use axum::Json;
use vestibule_domain::rules::actions::detach_record;
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, OrganizationActionRequest, RequiredData};

/// Detach an account from a plan record
///
/// Undoes a registration that was matched with the wrong person's plan record, so that the record
/// can be used to register again. The account loses the access that the record gave it and is
/// deleted if it has no other. An organization without remaining users is closed too.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/record-detachment", tag = "help desk",
    operation_id = "detach_record_of_account",
    params(AccountParams),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`no-record`, `organization-not-empty`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn detach_record(
    action: Action<OrganizationActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Colleagues, |target, found, context| {
            detach_record::detach_record(staff, target, |id| found.alone(id), context)
        })
        .await
}
