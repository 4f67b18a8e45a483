//! `POST /{portal}/users/{id}/username-reminder`: sends a user their username (BL-15).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::rules::actions::send_username;
use vestibule_http::openapi::{NotFoundProblems, SignedInProblems, UserEmailResponses, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem};

use crate::email_user;

/// Send a username reminder
///
/// Emails the username to the user's own address.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/username-reminder", tag = "users",
    operation_id = "send_username_to_user",
    params(UserParams),
    security(("session" = []), ("cookie" = [])),
    responses(UserEmailResponses, SignedInProblems, NotFoundProblems)
)]
pub(crate) async fn send_username(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    email_user(&app, &caller, &id, send_username::send_username).await
}
