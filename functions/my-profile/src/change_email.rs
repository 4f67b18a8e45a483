//! `PUT /{portal}/me/email`: requests a change of email address, which takes effect once confirmed
//! (BL-12).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Change;
use vestibule_domain::rules::{password, profile};
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::text::Email;
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::secret_check::{self, Described};
use vestibule_http::{App, Body, FieldErrors, Problem, SignedIn, transact};

/// The new email address. The password is required because whoever receives the account's email can
/// take over the account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeEmailRequest {
    /// The new email address.
    email: String,
    /// The caller's current password.
    password: String,
}

/// Change your email address
///
/// Sends a confirmation link to the new address and notifies the old one. The address changes when
/// the link is used.
#[utoipa::path(
    put, path = "/{portal}/me/email", tag = "profile",
    operation_id = "change_email",
    params(PortalParams),
    request_body = ChangeEmailRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "The confirmation link is queued"),
        (status = 422, description = "`invalid-fields`"),
        (status = 429, description = "`too-many-attempts`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn change_email(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<ChangeEmailRequest>,
) -> Result<StatusCode, Problem> {
    let (policy, account) = (&caller.policy, &caller.account);
    let mut fields = FieldErrors::default();
    let email = fields.take("email", Email::parse(&request.email));
    // The current address may be requested again only if emails to it could not be delivered.
    let is_own = |e: &Email| e.as_str() == account.email.as_str();
    if email.as_ref().is_some_and(is_own) && account.email_undeliverable.is_none() {
        fields.push("email", "is already your email address");
    }
    let password = fields.take("password", password::normalize(&request.password));
    let (email, password) = fields.into_result(email.zip(password))?;

    let described = Described::by(&caller, Action::RequestEmailChange);
    let scene = (&**policy, &caller.origin);
    let right = secret_check::password(&app, account, &password, described, scene).await?;
    let proven = right.ok_or_else(|| Problem::invalid_field("password", "is incorrect"))?;
    let organization = caller.session.organization.as_ref();
    transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let (email, context) = (email.clone(), caller.context(rng));
            let decision = profile::request_email_change(account, organization, email, context);
            Ok((
                (),
                decision.change(Change::ForgetAttempts(proven.attempts())),
            ))
        },
    )
    .await?;
    Ok(StatusCode::ACCEPTED)
}
