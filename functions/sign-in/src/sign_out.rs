//! `DELETE /{portal}/sessions/current`: signs the caller out.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use vestibule_http::caller::COOKIE;
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::{App, Problem, SignedIn, sessions};

/// Sign out
///
/// Ends the current session and clears its cookie.
#[utoipa::path(
    delete, path = "/{portal}/sessions/current", tag = "sessions",
    operation_id = "sign_out",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The session is ended"),
        SignedInProblems,
    )
)]
pub(crate) async fn sign_out(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<(StatusCode, [(HeaderName, String); 1]), Problem> {
    sessions::end(&app, &caller.session, (&caller.policy, &caller.origin)).await?;
    let cleared = format!("{COOKIE}=; Path=/; HttpOnly; Secure; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cleared)]))
}
