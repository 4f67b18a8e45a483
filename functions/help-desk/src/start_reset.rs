//! `POST /{portal}/accounts/{account_portal}/{id}/password-reset`: sends the owner a password reset
//! link (BL-14).

use axum::Json;
use axum::extract::State;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{
    AccountPath, HelpDeskActionRequest, RequiredData, act, allowed, parse_reason,
};

/// Send a password reset link
///
/// Emails a password reset link to the owner's address on record. The owner needs nothing but the
/// link to set a new password.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/password-reset", tag = "help desk",
    operation_id = "start_password_reset_for_account",
    params(AccountParams),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`no-password`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn start_reset(
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
            help_desk::start_reset(
                staff,
                &context.account,
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
