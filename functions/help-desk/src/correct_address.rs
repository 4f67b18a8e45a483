//! `PUT /{portal}/accounts/{account_portal}/{id}/postal-address`: corrects the address that a user
//! designated for letters (BL-03).

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::actions::correct_address;
use vestibule_domain::values::text::PostalAddress;
use vestibule_http::credentials::{self, PostalAddressFields};
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{Action, ActionRequest, RequiredData};

/// The correct postal address of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CorrectPostalAddressRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    reason: String,
    /// The address for letters. It replaces the one that the user designated.
    postal_address: PostalAddressFields,
    /// The organization that the action applies to. Required if the account belongs to several.
    organization_id: Option<String>,
}

impl ActionRequest for CorrectPostalAddressRequest {
    type Fields = PostalAddress;

    fn reason(&self) -> &str {
        &self.reason
    }

    fn organization_id(&self) -> Option<&str> {
        self.organization_id.as_deref()
    }

    fn parse(self, policy: &Policy, errors: &mut FieldErrors) -> Option<PostalAddress> {
        // The rule keeps the addressee of the current address.
        credentials::postal_address(&self.postal_address, "Addressee", policy, errors)
    }
}

/// Correct a postal address
///
/// Corrects the address that the user designated for letters. If a PIN is pending, a letter with a
/// new PIN is mailed to the address and the previous PIN stops working immediately.
#[utoipa::path(
    put, path = "/{portal}/accounts/{account_portal}/{id}/postal-address", tag = "help desk",
    operation_id = "correct_postal_address_of_account",
    params(AccountParams),
    request_body = CorrectPostalAddressRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`unsupported-on-portal`, `no-address`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn correct_address(
    action: Action<CorrectPostalAddressRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Nothing, |target, found, context| {
            let digits = found.policy.pin.as_ref().map_or(0, |p| p.digits.get());
            let fresh = found.app.fresh_pin(digits, context.rng);
            let address = action.fields.clone();
            correct_address::correct_address(staff, target, address, fresh, context)
        })
        .await
}
