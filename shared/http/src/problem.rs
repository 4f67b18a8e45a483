//! Problems: what is wrong, as `application/problem+json` (RFC 9457), in a sentence a person can act
//! on, with the help desk where they can't (AG-18).

use std::fmt;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::account::NextStep;
use vestibule_domain::policy::{Policy, PolicyError};
use vestibule_store::{CommitError, Unavailable};

/// The most fields that a problem names: nobody mends more at once, and an answer stays small.
const MOST_ERRORS: usize = 20;

/// A field and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The field, as a path such as `proof.date_of_birth`.
    pub field: String,
    /// What is wrong, as a sentence that follows the field's name.
    pub detail: String,
}

/// Whom to turn to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HelpDesk {
    /// What it is called.
    pub name: String,
    /// Its number.
    pub phone: String,
    /// When it answers.
    pub hours: String,
}

/// A problem (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Names the kind of problem; stable, for programs.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened and what to do, for a person.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// What the session has to do first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
    /// Whom to turn to, where the person can't mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help_desk: Option<HelpDesk>,
}

/// A problem on its way out.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    body: Box<ProblemBody>,
}

impl Problem {
    /// A problem of a kind: `urn:vestibule:problem:` and its name.
    pub fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            body: Box::new(ProblemBody {
                kind: format!("urn:vestibule:problem:{kind}"),
                title: title.to_owned(),
                status: status.as_u16(),
                detail: detail.into(),
                errors: Vec::new(),
                next_step: None,
                help_desk: None,
            }),
        }
    }

    /// Names the fields.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.body.errors = errors;
        self
    }

    /// Names one field.
    #[must_use]
    pub fn with_field(self, field: &str, detail: &str) -> Self {
        self.with_errors(vec![FieldError {
            field: field.into(),
            detail: detail.into(),
        }])
    }

    /// Names the help desk.
    #[must_use]
    pub fn with_help(mut self, policy: &Policy) -> Self {
        self.body.help_desk = Some(HelpDesk {
            name: policy.help_desk.name.to_string(),
            phone: policy.help_desk.phone.to_string(),
            hours: policy.help_desk.hours.to_string(),
        });
        self
    }

    /// The request is well-formed and its fields are wrong.
    pub fn invalid(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MOST_ERRORS);
        let names: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
        let detail = format!("Please correct: {}.", names.join(", "));
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-fields",
            "Some fields are not valid",
            detail,
        )
        .with_errors(errors)
    }

    /// One field is wrong.
    pub fn invalid_field(field: &str, detail: &str) -> Self {
        Self::invalid(vec![FieldError {
            field: field.into(),
            detail: detail.into(),
        }])
    }

    /// Something that the system is made of is not there; what, is for the log alone.
    pub fn unavailable(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "the system is unavailable");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Not available at the moment",
            "The system is not available at the moment. Please try again in a minute.",
        )
    }

    /// There is no such thing here, or not for this caller: the same answer (BL-17).
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("There is no such {what}."),
        )
    }

    /// Nobody is signed in.
    pub fn sign_in_first() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not-signed-in",
            "Not signed in",
            "Your session is over or was never begun. Please sign in.",
        )
    }

    /// The caller is known and may not do this.
    pub fn not_allowed(policy: &Policy) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not-allowed", "Not allowed", "Your role does not allow this. An administrator of your organization can tell you who may do it.").with_help(policy)
    }

    /// The session has something to do first.
    pub fn next_step(step: NextStep, policy: &Policy) -> Self {
        let detail = match step {
            NextStep::ChangePassword => "Please choose a new password first.",
            NextStep::ChooseUsername => "Please choose your username again first.",
            NextStep::RegisterAgain => {
                "Please register again first: everybody on this portal has to."
            }
            NextStep::CampaignOver => {
                "Everybody on this portal had to register again, and the last day for it is over. Please ask the help desk."
            }
            NextStep::ChooseOrganization => {
                "Please choose the organization you are working for first."
            }
            NextStep::EnterPin => "Please enter the PIN from your letter first.",
            NextStep::EnterRegistrationCode => {
                "Please enter the registration code from your email first."
            }
            NextStep::AwaitApproval => {
                "An administrator of your organization has to approve your registration first."
            }
            NextStep::SignAgreement => {
                "A signed agreement has to be on file first. You can download its form on the portal."
            }
            NextStep::RecordEnded => {
                "The plan's records say that your coverage, contract or participation has ended. If that is wrong, please call the help desk."
            }
        };
        let mut problem = Self::new(
            StatusCode::FORBIDDEN,
            "next-step-required",
            "Something has to be done first",
            detail,
        )
        .with_help(policy);
        problem.body.next_step = Some(step.as_str().to_owned());
        problem
    }

    /// Too many guesses.
    pub fn too_many_attempts(detail: impl Into<String>, policy: &Policy) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-attempts",
            "Too many attempts",
            detail,
        )
        .with_help(policy)
    }

    /// Somebody else changed the same thing at the same time.
    pub fn conflict() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "changed-meanwhile",
            "Changed meanwhile",
            "This was changed by somebody else at the same moment. Please look at it again and repeat what you wanted.",
        )
    }

    /// Something unexpected: the caller learns nothing of it, the log everything.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "unexpected");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong",
            "Something went wrong on our side. Please try again.",
        )
    }

    /// What happened, and the fields that are wrong: for an answer that is one of many.
    pub fn into_parts(self) -> (String, Vec<FieldError>) {
        (self.body.detail, self.body.errors)
    }

    /// The kind's name, without the prefix.
    pub fn kind(&self) -> &str {
        self.body.kind.rsplit(':').next().unwrap_or_default()
    }
}

impl From<PolicyError> for Problem {
    fn from(cause: PolicyError) -> Self {
        Self::unavailable(&cause)
    }
}

impl From<Unavailable> for Problem {
    fn from(cause: Unavailable) -> Self {
        Self::unavailable(&cause)
    }
}

impl From<CommitError> for Problem {
    /// For what a verb doesn't handle itself: another change came first.
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Unavailable(cause) => cause.into(),
            CommitError::Stale | CommitError::Taken(_) => Self::conflict(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("30"));
        }
        response
    }
}
