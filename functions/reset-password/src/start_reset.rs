//! `POST /{portal}/password-resets`: starts the reset of a forgotten password (BL-14, EX-07, ME-05).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::outbox::mail::{Forgotten, Message, RecoveryRequest};
use vestibule_domain::policy::RecoveryMeans;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::values::ids::MessageId;
use vestibule_domain::values::text::Username;
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, FieldErrors, Portal, Problem};

use crate::{count, names, questions};

/// A request to reset a forgotten password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartPasswordResetRequest {
    /// The username of the account, not case-sensitive.
    username: String,
}

/// What a password reset requires. The response is the same for an unknown username.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartPasswordResetResponse {
    /// Everything that the reset requires: `email` (the link sent by email, if the account exists),
    /// `security_answers`, `hint_question`.
    verification_methods: Vec<&'static str>,
    /// The security questions to answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    questions: Vec<String>,
}

/// Start a password reset
///
/// Returns what the user must provide to set a new password. On portals that reset passwords by email,
/// it also sends a link to the email address on file.
#[utoipa::path(
    post, path = "/{portal}/password-resets", tag = "recovery",
    operation_id = "start_password_reset",
    params(PortalParams),
    request_body = StartPasswordResetRequest,
    responses(
        (status = 202, body = StartPasswordResetResponse, description = "What the reset requires"),
        FieldProblems,
    )
)]
pub(crate) async fn start_reset(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<StartPasswordResetRequest>,
) -> Result<(StatusCode, Json<StartPasswordResetResponse>), Problem> {
    let mut fields = FieldErrors::default();
    let username = fields.take("username", Username::parse(request.username.trim(), 1));
    let key = fields.into_result(username)?.key();
    let scene = (&*policy, &origin);
    count(&app, "ask-reset", Action::RequestPasswordReset, scene).await?;

    let mut rng = app.rng();
    let means = &policy.recovery.forgot_password;
    let mut asked = Vec::new();
    if means.contains(&RecoveryMeans::SecurityAnswers) {
        let account = app.store.account_by_username(&policy.portal, &key).await?;
        asked = questions(&app, &policy, &key, account.as_ref());
    }
    let mut decision = Decision::recording(AuditEvent::done(
        &origin,
        Actor::Unknown,
        Action::RequestPasswordReset,
        &mut rng,
    ));
    if means.contains(&RecoveryMeans::Email) {
        decision = decision.send([Message::Recovery(RecoveryRequest {
            id: MessageId::random(&mut rng),
            origin: origin.clone(),
            forgotten: Forgotten::Password { username: key },
        })]);
    }
    app.commit(decision, &mut rng).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(StartPasswordResetResponse {
            verification_methods: names(means),
            questions: asked,
        }),
    ))
}
