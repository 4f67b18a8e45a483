//! `POST /{portal}/accounts/{account_portal}/{id}/second-factor-reset`: starts a reset of the owner's lost second
//! factors (MF-06).

use axum::Json;
use vestibule_domain::rules::actions::reset_second_factors;
use vestibule_domain::state::membership::Membership;
use vestibule_http::Problem;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};

use crate::AccountResponse;
use crate::account_context::{Action, OrganizationActionRequest, RequiredData};

/// Start a reset of the second factors
///
/// Sends the owner an email with a link or, as the portal's policy says, a letter with a PIN. The second factors stay
/// until the owner has proved the address with it, besides the password. The owner can cancel the reset.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/second-factor-reset", tag = "help desk",
    operation_id = "start_second_factor_reset_for_account",
    params(AccountParams),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`no-second-factor`, `unsupported-on-portal`, `no-password`, `no-address`, `letter-not-printable`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn start_factor_reset(
    action: Action<OrganizationActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let authority = action.authority();
    action
        .perform(RequiredData::ResetAddresses, |target, found, context| {
            let digits = found.policy.pin.as_ref().map_or(0, |p| p.digits.get());
            let fresh = found.app.fresh_pin(digits, context.rng);
            let address = |membership: &Membership| found.address(membership);
            reset_second_factors::start(authority, target, fresh, address, context)
        })
        .await
}
