//! `PUT /{portal}/accounts/{account_portal}/{id}/username`: changes an account's username (ME-09).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_domain::text::Username;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{AccountPath, RequiredData, act, allowed, parse_reason};

/// The new username of an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameAccountRequest {
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
    params(AccountParams),
    request_body = RenameAccountRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`already-taken`, `username-immutable`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn rename(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<RenameAccountRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    allowed(&caller, Permission::ActOnAccounts)?;
    let mut fields = FieldErrors::default();
    let shortest = path.username_min_length(&app)?;
    let username = fields.take("username", Username::parse(&request.username, shortest));
    let parsed = parse_reason(&request.reason, None, &mut fields);
    let ((reason, _), username) = fields.into_result(parsed.zip(username))?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        RequiredData::Nothing,
        |context, staff, rng| {
            let username = username.clone();
            help_desk::rename(
                staff,
                &context.account,
                username,
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
