//! Problem responses, `application/problem+json` (RFC 9457), with a message that a person can act on and
//! the help desk where they cannot (AG-18).

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::{Policy, PolicyError};
use vestibule_domain::rules::next_step::NextStep;
use vestibule_domain::state::audit::Action;
use vestibule_store::{CommitError, StoreError};

use crate::privileged::Refused;
use crate::request::foreign_cursor;

/// The maximum number of fields that a problem names, to limit the size of the response.
const MAX_ERRORS: usize = 20;

/// A field error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The path of the field, such as `verification.date_of_birth`.
    pub field: String,
    /// A message for a person that completes a sentence starting with the field's name, such as "is
    /// required".
    pub detail: String,
}

/// The portal's help desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HelpDesk {
    /// The name of the help desk.
    pub name: String,
    /// The phone number of the help desk.
    pub phone: String,
    /// The hours when the help desk is available.
    pub hours: String,
}

/// A problem response (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemBody {
    /// The stable identifier of the kind of problem, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary of the kind of problem.
    pub title: String,
    /// The HTTP status code.
    pub status: u16,
    /// A message for a person: what happened and what to do next.
    pub detail: String,
    /// The invalid fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The step that the user must complete first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The help desk to contact if the user cannot resolve the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help_desk: Option<HelpDesk>,
}

/// A problem to return as a response.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    /// The header `Retry-After` in seconds; every 429 and 503 has it (RFC 6585, 4).
    retry_after: Option<u32>,
    /// The action that was refused, if it is not that of the operation.
    action: Option<Action>,
    body: Box<ProblemBody>,
}

/// The `Retry-After` in seconds when a dependency is unavailable (RFC 9110, 15.6.4).
const UNAVAILABLE_RETRY_AFTER: u32 = 30;

impl Problem {
    /// Creates a problem with the type `urn:vestibule:problem:<kind>`.
    pub fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            retry_after: None,
            action: None,
            body: Box::new(ProblemBody {
                kind: format!("urn:vestibule:problem:{kind}"),
                title: title.to_owned(),
                status: status.as_u16(),
                detail: detail.into(),
                errors: Vec::new(),
                next_step: None,
                reason: None,
                help_desk: None,
            }),
        }
    }

    /// Sets the field errors.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.body.errors = errors;
        self
    }

    /// Names the action that was refused, for an operation that stands for several.
    #[must_use]
    pub const fn refusing(mut self, action: Action) -> Self {
        self.action = Some(action);
        self
    }

    /// Sets one field error.
    #[must_use]
    pub fn with_field(self, field: &str, detail: &str) -> Self {
        self.with_errors(vec![FieldError {
            field: field.into(),
            detail: detail.into(),
        }])
    }

    /// Adds the portal's help desk.
    #[must_use]
    pub fn with_help(mut self, policy: &Policy) -> Self {
        self.body.help_desk = Some(HelpDesk {
            name: policy.help_desk.name.to_string(),
            phone: policy.help_desk.phone.to_string(),
            hours: policy.help_desk.hours.to_string(),
        });
        self
    }

    /// Creates the problem for a well-formed request with invalid fields.
    pub fn invalid(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_ERRORS);
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-fields",
            "Some fields are not valid",
            "Some fields are not valid. Correct them and try again.",
        )
        .with_errors(errors)
    }

    /// Creates the problem for one invalid field.
    pub fn invalid_field(field: &str, detail: &str) -> Self {
        Self::invalid(vec![FieldError {
            field: field.into(),
            detail: detail.into(),
        }])
    }

    /// Creates the problem for an unavailable dependency; the cause is only logged.
    pub fn unavailable(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "the system is unavailable");
        let mut problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Temporarily unavailable",
            "The system is temporarily unavailable. Try again in a minute.",
        );
        problem.retry_after = Some(UNAVAILABLE_RETRY_AFTER);
        problem
    }

    /// Creates the problem for something that does not exist or that the caller may not see; both look the
    /// same (BL-17).
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("No {what} was found."),
        )
    }

    /// Creates the problem for a missing or expired session.
    pub fn sign_in_first() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not-signed-in",
            "Not signed in",
            "Your session has expired. Sign in again.",
        )
    }

    /// Creates the problem for an operation that the portal does not offer.
    pub fn unsupported_on_portal(policy: &Policy, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "unsupported-on-portal",
            "Not available on this portal",
            detail,
        )
        .with_help(policy)
    }

    /// Creates the problem for a caller without the required permission.
    pub fn not_allowed(policy: &Policy) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "not-allowed",
            "Not allowed",
            "Your role does not allow this. Contact an administrator of your organization.",
        )
        .with_help(policy)
    }

    /// Creates the problem for a caller who must complete a step first.
    pub fn next_step(step: NextStep, policy: &Policy) -> Self {
        let detail = match step {
            NextStep::EnterSecondFactor => "Enter your second factor to continue.",
            NextStep::SetUpSecondFactor => {
                "Your role requires a second factor. Set up a passkey or an authenticator app to continue."
            }
            NextStep::ChangePassword => "Choose a new password to continue.",
            NextStep::ChooseUsername => "Confirm or change your username to continue.",
            NextStep::RegisterAgain => {
                "All users of this portal must register again. Register again to continue."
            }
            NextStep::CampaignOver => {
                "The deadline to register again on this portal has passed. Call the help desk for assistance."
            }
            NextStep::ChooseOrganization => {
                "Choose the organization that you want to work for to continue."
            }
            NextStep::EnterPin => "Enter the PIN from your letter to continue.",
            NextStep::EnterRegistrationCode => {
                "Enter the registration code from your email to continue."
            }
            NextStep::AwaitApproval => {
                "Your registration is waiting for approval by an administrator of your organization."
            }
            NextStep::SignAgreement => {
                "We need a signed agreement on file before you can continue. You can download the form on the portal."
            }
            NextStep::RecordEnded => {
                "The plan's records show that your coverage, contract or participation has ended. If this is not correct, call the help desk."
            }
        };
        let mut problem = Self::new(
            StatusCode::FORBIDDEN,
            "next-step-required",
            "Action required",
            detail,
        )
        .with_help(policy);
        problem.body.next_step = Some(step.into_str().to_owned());
        problem.body.reason = step.reason().map(str::to_owned);
        problem
    }

    /// Creates the problem for an exceeded limit of attempts, whose window has this many minutes.
    pub fn too_many_attempts(detail: impl Into<String>, minutes: u32, policy: &Policy) -> Self {
        let mut problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many attempts",
            detail,
        );
        problem.retry_after = Some(60 * minutes);
        problem.with_help(policy)
    }

    /// Creates the problem for a change that conflicts with another one.
    pub fn conflict() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "conflict",
            "Conflicting change",
            "Someone else changed this while you were working. Reload the page and try again.",
        )
    }

    /// Creates the problem for an unexpected error; the cause is only logged.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "unexpected");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong",
            "Something went wrong on our end. Try again.",
        )
    }

    /// Returns the message and the field errors, for a response with many results.
    pub fn into_parts(self) -> (String, Vec<FieldError>) {
        (self.body.detail, self.body.errors)
    }

    /// Returns the problem type without its prefix.
    pub fn kind(&self) -> &str {
        self.body.kind.rsplit(':').next().unwrap_or_default()
    }
}

impl From<PolicyError> for Problem {
    fn from(cause: PolicyError) -> Self {
        Self::unavailable(&cause)
    }
}

impl From<StoreError> for Problem {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::ForeignCursor => foreign_cursor(),
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => Self::unavailable(&cause),
        }
    }
}

impl From<CommitError> for Problem {
    /// Converts commit errors that a handler does not handle itself.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(cause) => cause.into(),
            CommitError::Stale | CommitError::Taken(_) => Self::conflict(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let refused = Refused::of(self.kind(), self.action);
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(refused) = refused {
            response.extensions_mut().insert(refused);
        }
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}
