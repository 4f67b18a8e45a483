//! `GET /{portal}/sessions`: lists the caller's open sessions (UX-05).

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::responses::{Page, moment};
use vestibule_http::{App, Problem, SignedIn};

/// An open session of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenSession {
    /// The id of the session, used to end it.
    id: String,
    /// Whether this is the session that made the request.
    is_current: bool,
    started_at: String,
    /// When the session was last used, accurate to a few minutes.
    last_seen_at: String,
    expires_at: String,
    /// The IP address from which the session was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// List open sessions
///
/// Returns the caller's open sessions, most recent first.
#[utoipa::path(
    get, path = "/{portal}/sessions", tag = "sessions",
    operation_id = "list_sessions",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<OpenSession>, description = "The open sessions"),
        SignedInProblems,
    )
)]
pub(crate) async fn list_sessions(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Page<OpenSession>>, Problem> {
    let mut sessions = app
        .store
        .sessions(&caller.policy.portal, &caller.account.id)
        .await?;
    sessions.retain(|s| s.is_open(&caller.account, &caller.policy, caller.origin.at));
    sessions.sort_by_key(|s| std::cmp::Reverse(s.started_at));
    let items = sessions
        .into_iter()
        .map(|s| OpenSession {
            is_current: s.id == caller.session.id,
            started_at: moment(s.started_at),
            last_seen_at: moment(s.last_seen_at),
            expires_at: moment(s.expires_at),
            source: s.source,
            id: s.id,
        })
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}
