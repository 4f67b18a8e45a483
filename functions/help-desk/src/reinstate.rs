//! `POST /{portal}/accounts/{account_portal}/{id}/reinstatement`: reinstates a disabled account
//! (BA-06).

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

/// Reinstate an account
///
/// Reinstates a disabled account. A deleted account can't be reinstated; the person needs a new
/// user id.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/reinstatement", tag = "help desk",
    operation_id = "reinstate_account",
    params(AccountParams),
    request_body = HelpDeskActionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn reinstate(
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
            help_desk::reinstate(
                staff,
                &context.account,
                Context::new(context.policy, &context.origin, rng),
            )
        },
    )
    .await
    .map(Json)
}
