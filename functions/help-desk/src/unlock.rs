//! `POST /{portal}/accounts/{account_portal}/{id}/unlock`: clears the failed attempts of an
//! account.

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, rate_limit};

use crate::AccountResponse;
use crate::account_context::{
    AccountPath, HelpDeskActionRequest, RequiredData, act, allowed, parse_reason,
};

/// Unlock an account
///
/// Clears the counts of failed sign-in and recovery attempts, so that the owner can try again
/// immediately. A PIN or registration code that was locked stays locked; issue a new one.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/unlock", tag = "help desk",
    operation_id = "unlock_account",
    params(AccountParams),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
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
    let parsed = parse_reason(&request.reason, None, &mut fields);
    let (reason, _) = fields.into_result(parsed)?;
    act(
        &app,
        &caller,
        &path,
        &reason,
        RequiredData::Nothing,
        |context, staff, rng| {
            let counters =
                rate_limit::of_account(&app, &context.account, context.policy, context.origin.at);
            help_desk::unlock(
                staff,
                &context.account,
                counters,
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
