//! `PUT /{portal}/accounts/{account_portal}/{id}/subscriptions`: changes e-news subscriptions
//! before activation (BL-13).

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::help_desk;
use vestibule_domain::policy::Permission;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, ProblemBody};

use crate::AccountResponse;
use crate::case::{AccountPath, Wants, act, allowed, why};

/// The e-news subscriptions of an account. They replace the current ones.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionsRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    reason: String,
    /// The publications to subscribe to, by id.
    subscriptions: BTreeSet<String>,
}

/// Change e-news subscriptions
///
/// Replaces the e-news subscriptions of an account that has a pending PIN or registration code.
/// After activation, only the owner can change them.
#[utoipa::path(
    put, path = "/{portal}/accounts/{account_portal}/{id}/subscriptions", tag = "help desk",
    operation_id = "set_subscriptions_of_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    request_body = SubscriptionsRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`already-activated`, `unsupported-on-portal`, `account-disabled`, `account-deleted`, `conflict`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn subscribe(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<SubscriptionsRequest>,
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
            let subscriptions = request.subscriptions.clone();
            help_desk::subscribe(
                staff,
                &case.account,
                subscriptions,
                case.policy,
                &case.origin,
                rng,
            )
        },
    )
    .await
    .map(Json)
}
