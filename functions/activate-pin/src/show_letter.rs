//! `GET /{portal}/pin/letter`: shows when the PIN letter was issued and is expected (ME-08).

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Reissuer;
use vestibule_domain::state::membership::{LetterStatus, PendingStep};
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::{Caller, Problem, SignedIn};

/// The status of a PIN letter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LetterResponse {
    /// The status of the letter: `mailed`, `overdue`, `not_printed` if no letter can arrive, or `withheld`
    /// until an agreement is on file.
    status: &'static str,
    /// The day on which the letter was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_on: Option<String>,
    /// The first day on which the letter is expected to arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrives_from: Option<String>,
    /// The last day on which the letter is expected to arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrives_by: Option<String>,
    /// The last day on which the PIN can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
    /// A message for the user about what to expect or do next.
    advice: String,
}

/// Show the status of the PIN letter
///
/// Returns when the caller's PIN letter was issued and is expected to arrive, and what to do if it is
/// late.
#[utoipa::path(
    get, path = "/{portal}/pin/letter", tag = "activation",
    operation_id = "show_letter",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = LetterResponse, description = "The status of the letter"),
        (status = 404, description = "`not-found`: no PIN is pending"),
        SignedInProblems,
    )
)]
pub(crate) async fn show_letter(
    SignedIn(caller): SignedIn,
) -> Result<Json<LetterResponse>, Problem> {
    of(&caller).map(Json)
}

/// Returns the status of the caller's letter.
///
/// # Errors
/// A problem when no letter is pending.
pub(crate) fn of(caller: &Caller) -> Result<LetterResponse, Problem> {
    let policy = &caller.policy;
    let desk = &policy.help_desk;
    let pending_step = caller.membership().map(|m| &m.pending_step);
    if pending_step == Some(&PendingStep::PinLetterWithheld) {
        return Ok(LetterResponse {
            status: "withheld",
            issued_on: None,
            arrives_from: None,
            arrives_by: None,
            expires_on: None,
            advice: format!(
                "We will mail your letter when your signed agreement is on file. To check whether we received it, call {} at {}.",
                desk.name, desk.phone
            ),
        });
    }
    let Some((issue, status)) = (match pending_step {
        Some(PendingStep::Pin { issue }) => {
            LetterStatus::of(issue, policy, caller.origin.at).map(|s| (issue, s))
        }
        _ => None,
    }) else {
        return Err(Problem::not_found("pending PIN letter"));
    };
    let by_user = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&Reissuer::User));
    let advice = match (status.overdue, by_user) {
        _ if status.not_printed => format!(
            "We could not print your letter, because your mailing address is too long or has characters that we cannot print. Call {} at {} to correct it and get a new letter.",
            desk.name, desk.phone
        ),
        (false, _) => format!(
            "Your letter should arrive between {} and {}.",
            status.arrives_from, status.arrives_by
        ),
        (true, true) => format!(
            "Your letter should have arrived by {}. Call {} at {} to confirm your mailing address, and then request a new PIN.",
            status.arrives_by, desk.name, desk.phone
        ),
        (true, false) => format!(
            "Your letter should have arrived by {}. Call {} at {} to confirm your mailing address and request a new PIN.",
            status.arrives_by, desk.name, desk.phone
        ),
    };
    Ok(LetterResponse {
        status: status.as_str(),
        issued_on: Some(status.issued_on.to_string()),
        arrives_from: (!status.not_printed).then(|| status.arrives_from.to_string()),
        arrives_by: (!status.not_printed).then(|| status.arrives_by.to_string()),
        expires_on: Some(policy.last_day(issue.expires_at).to_string()),
        advice,
    })
}
