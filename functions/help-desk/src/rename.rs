//! `PUT /{portal}/accounts/{account_portal}/{id}/username`: changes an account's username (ME-09).

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::actions::rename;
use vestibule_domain::values::text::Username;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{FieldErrors, Problem};

use crate::AccountResponse;
use crate::account_context::{Action, ActionRequest, RequiredData};

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

impl ActionRequest for RenameAccountRequest {
    type Fields = Username;

    fn reason(&self) -> &str {
        &self.reason
    }

    fn parse(self, policy: &Policy, errors: &mut FieldErrors) -> Option<Username> {
        let min_length = policy.username.min_length.get() as usize;
        errors.take("username", Username::parse(&self.username, min_length))
    }
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
    action: Action<RenameAccountRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    action
        .perform(RequiredData::Nothing, |target, _, context| {
            rename::rename(staff, target, action.fields.clone(), context)
        })
        .await
}
