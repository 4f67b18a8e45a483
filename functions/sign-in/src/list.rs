//! `GET /{portal}/sessions`: lists the caller's open sessions (UX-05).

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_http::answer::{Listed, moment};
use vestibule_http::{App, Problem, ProblemBody, SignedIn};

/// An open session of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenSession {
    /// The id of the session, used to end it.
    id: String,
    /// Whether this is the session that made the request.
    current: bool,
    began_at: String,
    /// When the session was last used, accurate to a few minutes.
    last_seen_at: String,
    ends_at: String,
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
    params(("portal" = String, Path, description = "The portal")),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Listed<OpenSession>, description = "Done; this is how it is now"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<Json<Listed<OpenSession>>, Problem> {
    let mut sessions = app
        .store
        .sessions(&caller.policy.portal, &caller.account.id)
        .await?;
    sessions.retain(|s| s.is_open(&caller.account, &caller.policy, caller.origin.at));
    sessions.sort_by_key(|s| std::cmp::Reverse(s.began_at));
    let items = sessions
        .into_iter()
        .map(|s| OpenSession {
            current: s.id == caller.session.id,
            began_at: moment(s.began_at),
            last_seen_at: moment(s.last_seen_at),
            ends_at: moment(s.ends_at),
            source: s.source,
            id: s.id,
        })
        .collect();
    Ok(Json(Listed {
        items,
        next_cursor: None,
    }))
}
