//! `POST /{portal}/accounts/{account_portal}/{id}/registration-code`: replaces a lost registration
//! code (BL-09).

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::help_desk::Refusal;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{
    AccountPath, OrganizationActionRequest, RequiredData, act, allowed, parse_reason,
};

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
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn reissue_code(
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
        RequiredData::Nothing,
        |context, staff, rng| {
            let fresh = app
                .fresh_registration_code(context.policy, rng)
                .ok_or(Refusal::UnsupportedOnPortal)?;
            help_desk::reissue_code(
                staff,
                context.target(organization.as_ref()),
                fresh,
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
