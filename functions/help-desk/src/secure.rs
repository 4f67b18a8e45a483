//! `POST /{portal}/accounts/{account_portal}/{id}/secure`: secures an account that someone else may have used
//! (SE-01).

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::actions::secure::{self, Cleared, Securing};
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems, NotFoundProblems};
use vestibule_http::{FieldErrors, Problem, credentials};

use crate::AccountResponse;
use crate::account_context::{Action, ActionRequest, RequiredData};

/// How to secure an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecureAccountRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    reason: String,
    /// Whether to remove the security questions and the hint, because someone else may have set their answers.
    #[serde(default)]
    clear_security_answers: bool,
    /// Whether to remove the second factors and recovery codes, because the owner lost them or someone else may
    /// have added one. The owner proves the address on record with the reset link. Not on portals that reset second
    /// factors with a PIN letter (MF-06).
    #[serde(default)]
    clear_second_factors: bool,
}

impl ActionRequest for SecureAccountRequest {
    type Fields = Cleared;

    fn reason(&self) -> &str {
        &self.reason
    }

    fn parse(self, _: &Policy, _: &mut FieldErrors) -> Option<Cleared> {
        Some(Cleared {
            answers: self.clear_security_answers,
            factors: self.clear_second_factors,
        })
    }
}

/// Secure an account
///
/// Ends everything through which someone else may use the account: its password stops working, and its sessions,
/// reset links and unconfirmed changes of the email address end. Then check the address on record with the owner
/// and send a password reset link.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/secure", tag = "help desk",
    operation_id = "secure_account",
    params(AccountParams),
    request_body = SecureAccountRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account after the action"),
        (status = 409, description = "`account-disabled`, `account-deleted`, `unsupported-on-portal` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn secure(
    action: Action<SecureAccountRequest>,
) -> Result<Json<AccountResponse>, Problem> {
    let staff = action.staff();
    let securing = Securing {
        unknown_password: credentials::unknown_password(&action.app).await,
        clears: action.fields,
    };
    action
        .perform(RequiredData::Nothing, |target, _, context| {
            secure::secure(staff, target, securing.clone(), context)
        })
        .await
}
