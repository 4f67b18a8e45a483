//! `POST /{portal}/accounts/{account_portal}/{id}/pin`: replaces a lost PIN letter (BL-06).

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{
    AccountPath, OrganizationActionRequest, RequiredData, act, allowed, parse_reason,
};

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
        (status = 409, description = "`approval-not-pending`, `unsupported-on-portal`, `no-address`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn reissue_pin(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<OrganizationActionRequest>,
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
            help_desk::reissue_pin(
                staff,
                context.target(organization.as_ref()),
                fresh,
                |membership| context.address(membership),
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
