//! `POST /{portal}/users/{id}/password-reset`: sends a user a password reset link (BL-14).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::rules::actions::send_reset_link;
use vestibule_http::openapi::{NotFoundProblems, SignedInProblems, UserEmailResponses, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem};

use crate::email_user;

/// Send a password reset link
///
/// Emails a password reset link to the user's own address. The caller doesn't see the link.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/password-reset", tag = "users",
    operation_id = "send_reset_link_to_user",
    params(UserParams),
    security(("session" = []), ("cookie" = [])),
    responses(UserEmailResponses, SignedInProblems, NotFoundProblems)
)]
pub(crate) async fn send_reset_link(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    email_user(&app, &caller, &id, send_reset_link::send_reset_link).await
}
