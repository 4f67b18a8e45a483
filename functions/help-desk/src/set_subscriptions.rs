//! `PUT /{portal}/accounts/{account_portal}/{id}/subscriptions`: changes e-news subscriptions
//! before activation (BL-13).

use std::collections::BTreeSet;

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::actions::set_subscriptions;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{Action, ActionRequest, RequiredData};

/// The e-news subscriptions of an account. They replace the current ones.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetSubscriptionsRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    reason: String,
    /// The publications to subscribe to, by id.
    subscriptions: BTreeSet<String>,
}

impl ActionRequest for SetSubscriptionsRequest {
    type Fields = BTreeSet<String>;

    fn reason(&self) -> &str {
        &self.reason
    }

    fn parse(self, _: &Policy, _: &mut FieldErrors) -> Option<BTreeSet<String>> {
        Some(self.subscriptions)
    }
}

/// Change e-news subscriptions
///
/// Replaces the e-news subscriptions of an account that has a pending PIN or registration code.
/// After activation, only the owner can change them.
#[utoipa::path(
    put, path = "/{portal}/accounts/{account_portal}/{id}/subscriptions", tag = "help desk",
    operation_id = "set_subscriptions_of_account",
    params(AccountParams),
    request_body = SetSubscriptionsRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`already-activated`, `unsupported-on-portal`, `account-disabled`, `account-deleted` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn set_subscriptions(
    action: Action<SetSubscriptionsRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Nothing, |target, _, context| {
            set_subscriptions::set_subscriptions(staff, target, action.fields.clone(), context)
        })
        .await
}
