//! `POST /{portal}/accounts/{account_portal}/{id}/agreements`: records that the plan received a
//! signed agreement (AG-11, BL-10).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{AccountPath, RequiredData, act, allowed, parse_reason};

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
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<RecordAgreementRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    allowed(&caller, Permission::ActOnAccounts)?;
    let mut fields = FieldErrors::default();
    let parsed = parse_reason(
        &request.reason,
        request.organization_id.as_deref(),
        &mut fields,
    );
    let (reason, organization) = fields.into_result(parsed)?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        RequiredData::Addresses,
        |context, staff, rng| {
            let digits = context.policy.pin.as_ref().map_or(0, |p| p.digits.get());
            let fresh = app.fresh_pin(digits, rng);
            help_desk::record_agreement(
                staff,
                context.target(organization.as_ref()),
                (&request.agreement, &request.revision),
                fresh,
                |membership| context.address(membership),
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
