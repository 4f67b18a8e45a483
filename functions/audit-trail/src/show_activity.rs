//! `GET /{portal}/me/activity`: shows recent activity on the caller's own account, so that they
//! notice what they didn't do themselves (UX-06).

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vestibule_domain::state::audit::Actor;
use vestibule_domain::values::ids::AccountId;
use vestibule_http::openapi::{PortalParams, QueryProblems, SignedInProblems};
use vestibule_http::request::{Query, cursor};
use vestibule_http::responses::{Page, moment};
use vestibule_http::{App, Problem, SignedIn};
use vestibule_store::{AuditCursor, AuditEntry, AuditFilter, AuditOf};

/// The page of the activity list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ActivityQuery {
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// An event on the caller's account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActivityResponse {
    occurred_at: String,
    /// The action, such as `sign_in` or `change_password`.
    action: String,
    /// The outcome: `done` or `refused`.
    outcome: String,
    /// Who did it: `you`, `somebody_else` (a person who manages your access), `help_desk`,
    /// `system`, or `unknown` (a person who was not signed in, such as after a wrong password).
    actor: &'static str,
    /// The IP address. Shown for your own actions and for attempts without signing in.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

impl ActivityResponse {
    fn of(AuditEntry { event, .. }: AuditEntry, me: &AccountId) -> Self {
        let (by, shows_source) = match &event.actor {
            Actor::Account(id) if id == me => ("you", true),
            Actor::Account(_) => ("somebody_else", false),
            Actor::HelpDesk(_) => ("help_desk", false),
            Actor::Unknown => ("unknown", true),
            Actor::System => ("system", false),
        };
        Self {
            occurred_at: moment(event.occurred_at),
            action: event.action.to_string(),
            outcome: event.outcome.to_string(),
            actor: by,
            source: event.source.filter(|_| shows_source),
        }
    }
}

/// The period that the list covers.
const LATELY: SignedDuration = SignedDuration::from_hours(24 * 90);

const ON_A_PAGE: usize = 25;

/// Show your account activity
///
/// Lists what happened on the caller's account in the last 90 days, newest first.
#[utoipa::path(
    get, path = "/{portal}/me/activity", tag = "profile",
    operation_id = "show_activity",
    params(PortalParams, ActivityQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<ActivityResponse>, description = "A page of events"),
        SignedInProblems, QueryProblems,
    )
)]
pub(crate) async fn show_activity(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Query(query): Query<ActivityQuery>,
) -> Result<Json<Page<ActivityResponse>>, Problem> {
    let after = cursor(query.cursor.as_deref(), AuditCursor::parse)?;
    let me = &caller.account.id;
    let now = caller.origin.at;
    let filter = AuditFilter {
        of: AuditOf::Users {
            users: vec![me.clone()],
            organization: None,
        },
        action: None,
        outcome: None,
        from: now.checked_sub(LATELY).unwrap_or(Timestamp::UNIX_EPOCH),
        until: now + SignedDuration::from_secs(1),
    };
    let page = app
        .store
        .audit(&caller.policy.portal, &filter, after.as_ref(), ON_A_PAGE)
        .await?;
    Ok(Json(Page {
        items: page
            .items
            .into_iter()
            .map(|entry| ActivityResponse::of(entry, me))
            .collect(),
        next_cursor: page.next,
    }))
}
