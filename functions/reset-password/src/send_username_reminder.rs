//! `POST /{portal}/username-reminders`: emails forgotten usernames to the address on file (BL-15).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::outbox::mail::{Forgotten, Message, RecoveryRequest};
use vestibule_domain::policy::RecoveryMeans;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::values::ids::MessageId;
use vestibule_domain::values::text::Email;
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, FieldErrors, Portal, Problem};

use crate::{count, unsupported};

/// A request for a username reminder.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsernameReminderRequest {
    /// The email address of the account.
    email: String,
}

/// Email a username reminder
///
/// Sends the usernames that belong to an email address to that address. The response is the same if it
/// has none.
#[utoipa::path(
    post, path = "/{portal}/username-reminders", tag = "recovery",
    operation_id = "send_username_reminder",
    params(PortalParams),
    request_body = UsernameReminderRequest,
    responses(
        (status = 202, description = "The email is queued if an account has this address"),
        (status = 409, description = "`unsupported-on-portal`"),
        FieldProblems,
    )
)]
pub(crate) async fn send_username_reminder(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<UsernameReminderRequest>,
) -> Result<StatusCode, Problem> {
    if !policy
        .recovery
        .forgot_username
        .contains(&RecoveryMeans::Email)
    {
        return Err(unsupported(&policy));
    }
    let mut fields = FieldErrors::default();
    let email = fields.take("email", Email::parse(&request.email));
    let email = fields.into_result(email)?;
    let scene = (&*policy, &origin);
    count(&app, "remind", Action::RecoverUsername, scene).await?;
    let mut rng = app.rng();
    let audit = AuditEvent::done(&origin, Actor::Unknown, Action::RecoverUsername, &mut rng);
    let noted = Message::Recovery(RecoveryRequest {
        id: MessageId::random(&mut rng),
        origin,
        forgotten: Forgotten::Username { email },
    });
    app.commit(Decision::recording(audit).send([noted]), &mut rng)
        .await?;
    Ok(StatusCode::ACCEPTED)
}
