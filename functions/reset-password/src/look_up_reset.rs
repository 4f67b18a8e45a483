//! `POST /{portal}/password-resets/look-up`: returns what the page of a reset link has to request.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::RecoveryMeans;
use vestibule_domain::rules::recover;
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::responses::HintResponse;
use vestibule_http::{App, Body, Portal, Problem};

use crate::names;

/// The password reset link to look up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookUpPasswordResetRequest {
    /// The token from the most recent reset link, after the `#`.
    token: String,
}

/// What a password reset requires besides the link.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LookUpPasswordResetResponse {
    /// Everything that the reset requires: `email`, `security_answers`, `hint_question`.
    verification_methods: Vec<&'static str>,
    /// The hint question to answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<HintResponse>,
    /// The security questions to answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<String>,
}

/// Look up a password reset link
///
/// Returns what the holder of a reset link must also provide. The link can still be used afterward.
#[utoipa::path(
    post, path = "/{portal}/password-resets/look-up", tag = "recovery",
    operation_id = "look_up_password_reset",
    params(PortalParams),
    request_body = LookUpPasswordResetRequest,
    responses(
        (status = 200, body = LookUpPasswordResetResponse, description = "What the reset requires"),
        (status = 410, description = "`reset-link-unusable`"),
        FieldProblems,
    )
)]
pub(crate) async fn look_up_reset(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<LookUpPasswordResetRequest>,
) -> Result<Json<LookUpPasswordResetResponse>, Problem> {
    let unusable = || {
        Problem::new(StatusCode::GONE, "reset-link-unusable", "Link no longer valid", "This link has expired, has already been used, or is not the most recent one. Request a new link.")
            .with_help(&policy)
    };
    let token = recover::parse_link(&request.token).ok_or_else(unusable)?;
    let account = app
        .store
        .account_of_token(&policy.portal, &token)
        .await?
        .filter(|a| recover::link_works(a, &token, &policy, &origin))
        .ok_or_else(unusable)?;
    let means = recover::means_for(Some(&token), &policy);
    let asks = |m| means.contains(&m);
    Ok(Json(LookUpPasswordResetResponse {
        verification_methods: names(&means),
        hint: account
            .hint
            .filter(|_| asks(RecoveryMeans::HintQuestion))
            .map(|h| HintResponse {
                question: h.question,
            }),
        questions: account
            .security_answers
            .into_iter()
            .filter(|_| asks(RecoveryMeans::SecurityAnswers))
            .map(|a| a.question)
            .collect(),
    }))
}
