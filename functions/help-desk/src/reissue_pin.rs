//! `POST /{portal}/accounts/{account_portal}/{id}/pin`: replaces a lost PIN letter (BL-06).

use axum::Json;
use vestibule_domain::rules::actions::reissue_pin;
use vestibule_domain::state::membership::Membership;
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, OrganizationActionRequest, RequiredData};

/// Send a new PIN letter
///
/// Sends the owner a letter with a new PIN. The previous PIN stops working immediately.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/pin", tag = "help desk",
    operation_id = "reissue_pin_for_account",
    params(AccountParams),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`approval-not-pending`, `unsupported-on-portal`, `no-address`, `letter-not-printable`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn reissue_pin(
    action: Action<OrganizationActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Addresses, |target, found, context| {
            let digits = found.policy.pin.as_ref().map_or(0, |p| p.digits.get());
            let fresh = found.app.fresh_pin(digits, context.rng);
            let address = |membership: &Membership| found.address(membership);
            reissue_pin::reissue_pin(staff, target, fresh, address, context)
        })
        .await
}
