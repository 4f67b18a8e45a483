//! Sessions: start, show, list and end; and changing the password.

mod change_password;
mod choose_organization;
mod end_session;
mod give_second_factor;
mod list_sessions;
mod passkey_challenge;
mod reset_second_factors;
mod show_session;
mod sign_in;
mod sign_in_with_passkey;
mod sign_out;
mod start_session;

use axum::middleware;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::next_step::{NextStep, next_step};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::state::session::Session;
use vestibule_http::responses;
use vestibule_http::router::refusals_in_least_time;

vestibule_http::routes! {
    sign_in::sign_in,
    passkey_challenge::start_passkey_sign_in,
    sign_in_with_passkey::sign_in_with_passkey,
    passkey_challenge::start_second_factor,
    give_second_factor::give_second_factor,
    give_second_factor::confirm_password,
    reset_second_factors::reset_second_factors,
    list_sessions::list_sessions,
    end_session::end_session,
    show_session::show_session,
    sign_out::sign_out,
    change_password::change_password,
    choose_organization::choose_organization,
    ; layer: middleware::from_fn(refusals_in_least_time)
}

/// A session of the caller.
#[derive(Debug, Serialize, ToSchema)]
struct SessionResponse {
    /// The id of the user; absent until the second factor is given (MF-04).
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The id of the current organization; absent for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
    /// The second factors that the user can give: `passkey`, `authenticator_app` and `recovery_code`. Absent
    /// for a user who has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    second_factors: Vec<&'static str>,
    /// What completes a reset of the second factors that was started for the user: `email` or `pin_letter`. Absent if
    /// none is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor_reset: Option<&'static str>,
    /// The step that the user must complete first: `enter_second_factor`, `change_password`,
    /// `set_up_second_factor`, `choose_username`,
    /// `choose_organization`, `register_again`, `call_help_desk`, `enter_pin`,
    /// `enter_registration_code`, `await_approval` or `sign_agreement`. Absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The deadlines for registering again; present during a registration campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    register_again: Option<responses::ReregistrationDeadlines>,
    /// The delivery problem of the user's email address; present until the address is changed or
    /// confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_undeliverable: Option<responses::EmailDeliveryProblem>,
    /// When the session started.
    started_at: String,
    /// When the session expires, regardless of activity.
    expires_at: String,
    /// The session token, if it was requested in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The value that identifies this device, returned with the token. Store it and send it with the
    /// next sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

impl SessionResponse {
    fn of(session: &Session, account: &Account, policy: &Policy, origin: &Origin) -> Self {
        let now = origin.at;
        let next_step = next_step(account, session, policy, now);
        // Until the second factor is given, the response reveals nothing about the person (MF-04).
        let is_known = next_step != Some(NextStep::EnterSecondFactor);
        let organization = session.organization.as_ref().filter(|_| is_known);
        let membership = account.membership(organization).filter(|_| is_known);
        Self {
            user_id: is_known.then(|| session.account.to_string()),
            organization_id: organization.map(ToString::to_string),
            second_factors: second_factors(account, policy),
            second_factor_reset: account
                .second_factors
                .pending_reset(now)
                .map(|reset| reset.verification().into_str()),
            next_step: responses::step(next_step),
            reason: responses::reason(next_step),
            register_again: responses::register_again(membership, policy, now),
            email_undeliverable: account
                .email_undeliverable
                .filter(|_| is_known)
                .map(Into::into),
            started_at: responses::moment(session.started_at),
            expires_at: responses::moment(session.expires_at),
            token: None,
            device: None,
        }
    }
}

/// Returns the names of the second factors that an account can give.
fn second_factors(account: &Account, policy: &Policy) -> Vec<&'static str> {
    let factors = &account.second_factors;
    let section = policy.second_factor.as_ref();
    let methods = section.map(|s| factors.methods(s)).unwrap_or_default();
    let codes = !methods.is_empty() && !factors.recovery_codes.is_empty();
    let recovery = codes.then_some("recovery_code");
    let methods = methods.into_iter().map(|method| method.into_str());
    methods.chain(recovery).collect()
}
