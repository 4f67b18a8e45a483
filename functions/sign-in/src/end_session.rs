//! `DELETE /{portal}/sessions/{id}`: ends one of the caller's sessions (UX-05).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_http::openapi::{NotFoundProblems, SessionParams, SignedInProblems};
use vestibule_http::request::Id;
use vestibule_http::{App, Problem, SignedIn, sessions};

/// End a session
///
/// Ends one of the caller's open sessions, such as one on another device.
#[utoipa::path(
    delete, path = "/{portal}/sessions/{id}", tag = "sessions",
    operation_id = "end_session",
    params(SessionParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The session is ended"),
        SignedInProblems, NotFoundProblems,
    )
)]
pub(crate) async fn end_session(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let open = app
        .store
        .sessions(&caller.policy.portal, &caller.account.id)
        .await?;
    let session = open
        .iter()
        .find(|s| s.id == id)
        .ok_or_else(|| Problem::not_found("session"))?;
    sessions::end(&app, session, (&caller.policy, &caller.origin)).await?;
    Ok(StatusCode::NO_CONTENT)
}
