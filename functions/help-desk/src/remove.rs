//! `POST /{portal}/accounts/{account_portal}/{id}/removal`: removes any person, including managers
//! and administrators (EX-12).

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
            help_desk::remove(
                staff,
                context.target(organization.as_ref()),
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
