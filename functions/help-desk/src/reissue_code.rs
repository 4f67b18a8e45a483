//! `POST /{portal}/accounts/{account_portal}/{id}/registration-code`: replaces a lost registration
//! code (BL-09).

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::help_desk::Refusal;
use vestibule_domain::policy::Permission;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, ProblemBody};

use crate::AccountResponse;
use crate::case::{AccountPath, OrganizationActionRequest, Wants, act, allowed, why};

/// Send a new registration code
///
/// Emails the owner a new registration code. The previous code stops working immediately.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/registration-code", tag = "help desk",
    operation_id = "reissue_registration_code_for_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`approval-not-pending`, `unsupported-on-portal`, `account-disabled`, `account-deleted`, `conflict`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
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
    let why = why(
        &request.reason,
        request.organization_id.as_deref(),
        &mut fields,
    );
    let (reason, organization) = fields.into_result(why)?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        Wants::Nothing,
        |case, staff, rng| {
            let fresh = app
                .fresh_registration_code(case.policy, rng)
                .ok_or(Refusal::UnsupportedOnPortal)?;
            help_desk::reissue_code(
                staff,
                &case.account,
                organization.as_ref(),
                &case.organizations,
                fresh,
                case.policy,
                &case.origin,
                rng,
            )
        },
    )
    .await
    .map(Json)
}
