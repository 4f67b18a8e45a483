//! `POST /{portal}/accounts/{account_portal}/{id}/record-detachment`: undoes a registration that
//! was matched with someone else's plan record.

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, ProblemBody};

use crate::AccountResponse;
use crate::case::{AccountPath, OrganizationActionRequest, Wants, act, allowed, why};

/// Detach an account from a plan record
///
/// Undoes a registration that was matched with the wrong person's plan record, so that the record
/// can be used to register again. The account loses the access that the record gave it and is
/// deleted if it has no other. An organization without remaining users is closed too.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/record-detachment", tag = "help desk",
    operation_id = "detach_record_of_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    request_body = OrganizationActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`no-record`, `organization-not-empty`, `account-deleted`, `conflict`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
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
        Wants::Colleagues,
        |case, staff, rng| {
            help_desk::detach_record(
                staff,
                &case.account,
                organization.as_ref(),
                &case.organizations,
                |id| case.alone(id),
                &case.origin,
                rng,
            )
        },
    )
    .await
    .map(Json)
}
