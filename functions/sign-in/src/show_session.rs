//! `GET /{portal}/sessions/current`: shows the current session and its next step.

use axum::Json;
use vestibule_http::SignedIn;
use vestibule_http::openapi::{PortalParams, SignedInProblems};

use crate::SessionResponse;

/// Show the current session
///
/// Returns the caller's session and the step that the user must complete next, if any.
#[utoipa::path(
    get, path = "/{portal}/sessions/current", tag = "sessions",
    operation_id = "show_session",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SessionResponse, description = "The session"),
        SignedInProblems,
    )
)]
pub(crate) async fn show_session(SignedIn(caller): SignedIn) -> Json<SessionResponse> {
    Json(SessionResponse::of(
        &caller.session,
        &caller.account,
        &caller.policy,
        &caller.origin,
    ))
}
