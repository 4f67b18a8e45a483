//! `PUT /{portal}/accounts/{account_portal}/{id}/user-name`: an account gets another user name (ME-09).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::text::UserName;
use vestibule_http::{App, Body, Entitled, Fields, Problem, ProblemBody};

use crate::AccountAnswer;
use crate::case::{AccountPath, Wants, act, allowed, why};

/// Another user name.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renaming {
    /// Why, for the audit trail: 5 to 300 characters. The owner doesn't read it.
    reason: String,
    /// The user name as it shall be.
    user_name: String,
}

/// Gives an account another user name, on portals where people choose theirs.
#[utoipa::path(
    put, path = "/{portal}/accounts/{account_portal}/{id}/user-name", tag = "help desk",
    operation_id = "rename_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    request_body = Renaming,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountAnswer, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`already-taken`, `name-fixed`, `account-disabled`, `account-deleted`, `changed-meanwhile`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rename(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<Renaming>,
) -> Result<Json<AccountAnswer>, Problem> {
    allowed(&caller, Permission::ActOnAccounts)?;
    let mut fields = Fields::default();
    let shortest = path.user_name_min_length(&app)?;
    let user_name = fields.take("user_name", UserName::parse(&request.user_name, shortest));
    let why = why(&request.reason, None, &mut fields);
    let ((reason, _), user_name) = fields.finish(why.zip(user_name))?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        Wants::Nothing,
        |case, staff, rng| {
            let user_name = user_name.clone();
            help_desk::rename(
                staff,
                &case.account,
                user_name,
                case.policy,
                &case.origin,
                rng,
            )
        },
    )
    .await
    .map(Json)
}
