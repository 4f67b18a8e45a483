//! `GET /{portal}/sessions/current`: shows the current session and its next step.

use axum::Json;
use vestibule_http::{ProblemBody, SignedIn};

use crate::SessionResponse;

/// Show the current session
///
/// Returns the caller's session and the step that the user must complete next, if any.
#[utoipa::path(
    get, path = "/{portal}/sessions/current", tag = "sessions",
    operation_id = "show_session",
    params(("portal" = String, Path, description = "The portal")),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SessionResponse, description = "The session"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn current(SignedIn(caller): SignedIn) -> Json<SessionResponse> {
    Json(SessionResponse::of(
        &caller.session,
        &caller.account,
        &caller.policy,
        &caller.origin,
    ))
}
