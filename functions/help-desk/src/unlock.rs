//! `POST /{portal}/accounts/{account_portal}/{id}/unlock`: clears the failed attempts of an
//! account.

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, ProblemBody, rate_limit};

use crate::AccountResponse;
use crate::case::{AccountPath, HelpDeskActionRequest, Wants, act, allowed, why};

/// Unlock an account
///
/// Clears the counts of failed sign-in and recovery attempts, so that the owner can try again
/// immediately. A PIN or registration code that was locked stays locked; issue a new one.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/unlock", tag = "help desk",
    operation_id = "unlock_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`account-disabled`, `account-deleted`, `conflict`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn unlock(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<HelpDeskActionRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    allowed(&caller, Permission::ActOnAccounts)?;
    let mut fields = FieldErrors::default();
    let why = why(&request.reason, None, &mut fields);
    let (reason, _) = fields.into_result(why)?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        Wants::Nothing,
        |case, staff, rng| {
            let counters = rate_limit::of_account(&app, &case.account, case.policy, case.origin.at);
            help_desk::unlock(staff, &case.account, counters, &case.origin, rng)
        },
    )
    .await
    .map(Json)
}
