//! `PUT /{portal}/accounts/{account_portal}/{id}/username`: changes an account's username (ME-09).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::text::Username;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, ProblemBody};

use crate::AccountResponse;
use crate::case::{AccountPath, Wants, act, allowed, why};

/// The new username of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    reason: String,
    /// The new username.
    username: String,
}

/// Change an account's username
///
/// Changes the username on portals where users choose their own.
#[utoipa::path(
    put, path = "/{portal}/accounts/{account_portal}/{id}/username", tag = "help desk",
    operation_id = "rename_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    request_body = RenameRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`already-taken`, `username-immutable`, `account-disabled`, `account-deleted`, `conflict`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rename(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<RenameRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    allowed(&caller, Permission::ActOnAccounts)?;
    let mut fields = FieldErrors::default();
    let shortest = path.username_min_length(&app)?;
    let username = fields.take("username", Username::parse(&request.username, shortest));
    let why = why(&request.reason, None, &mut fields);
    let ((reason, _), username) = fields.into_result(why.zip(username))?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        Wants::Nothing,
        |case, staff, rng| {
            let username = username.clone();
            help_desk::rename(
                staff,
                &case.account,
                username,
                case.policy,
                &case.origin,
                rng,
            )
        },
    )
    .await
    .map(Json)
}
