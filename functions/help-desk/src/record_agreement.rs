//! `POST /{portal}/accounts/{account_portal}/{id}/agreements`: records that the plan received a
//! signed agreement (AG-11, BL-10).

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::actions::record_agreement;
use vestibule_domain::state::membership::Membership;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{Action, ActionRequest, RequiredData};

/// A signed agreement that the plan has received.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordAgreementRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    reason: String,
    /// The id of the agreement.
    agreement: String,
    /// The revision that was signed. It must be the current one.
    revision: String,
    /// The organization that the action applies to. Required if the account belongs to several.
    organization_id: Option<String>,
}

impl ActionRequest for RecordAgreementRequest {
    type Fields = (String, String);

    fn reason(&self) -> &str {
        &self.reason
    }

    fn organization_id(&self) -> Option<&str> {
        self.organization_id.as_deref()
    }

    fn parse(self, _: &Policy, _: &mut FieldErrors) -> Option<(String, String)> {
        Some((self.agreement, self.revision))
    }
}

/// Record a signed agreement
///
/// Records that the plan has received a signed agreement. A PIN letter that was withheld until then
/// is sent.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/agreements", tag = "help desk",
    operation_id = "record_agreement_of_account",
    params(AccountParams),
    request_body = RecordAgreementRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`approval-not-pending` (not required of this account, or already on file), `no-address`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn record_agreement(
    action: Action<RecordAgreementRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Addresses, |target, found, context| {
            let digits = found.policy.pin.as_ref().map_or(0, |p| p.digits.get());
            let fresh = found.app.fresh_pin(digits, context.rng);
            let (agreement, revision) = &action.fields;
            let address = |membership: &Membership| found.address(membership);
            record_agreement::record_agreement(
                staff,
                target,
                (agreement, revision),
                fresh,
                address,
                context,
            )
        })
        .await
}
