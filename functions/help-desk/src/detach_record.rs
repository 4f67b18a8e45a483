//! `POST /{portal}/accounts/{account_portal}/{id}/record-detachment`: undoes a registration that
//! was matched with someone else's plan record.

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
        RequiredData::Colleagues,
        |context, staff, rng| {
            help_desk::detach_record(
                staff,
                context.target(organization.as_ref()),
                |id| context.alone(id),
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
