//! The audit trail: search, downloads, a user's own activity, and the job that seals it (EX-01,
//! EX-02, UX-11). No other function reads the trail.

mod download;
mod find_users;
mod seal;
mod search;
mod search_portal;
mod show_activity;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::state::audit::AuditEvent;
use vestibule_domain::values::ids::PortalId;
use vestibule_http::{App, responses};
use vestibule_store::{AuditEntry, StoreError};

pub use seal::{SealError, Sealed, Sealer};

vestibule_http::routes! {
    search::search,
    find_users::find_users,
    download::csv,
    download::json_lines,
    show_activity::show_activity,
    search_portal::search_portal,
    find_users::find_portal_users,
    download::portal_csv,
    download::portal_json_lines,
}

/// An event on the audit trail.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEventResponse {
    id: String,
    /// When the event occurred.
    occurred_at: String,
    /// The action, such as `sign_in`, `view_user` or `open_service`.
    action: String,
    /// The outcome: `done` or `refused`.
    outcome: String,
    /// Why the action was refused, or why it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The help desk's reason for the action, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<String>,
    /// The type of actor: `account`, `help_desk`, `unknown` (not signed in) or `system`.
    actor: &'static str,
    /// The id of the actor's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    /// The actor's current username. Removed accounts keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_username: Option<String>,
    /// The organization that the action was done for.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
    /// The object of the action: the id of a user, an invitation or a record, or the name of a
    /// service.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// The object's current username, if the object is a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_username: Option<String>,
    /// The IP address of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Whether the event is unchanged since it was recorded. `false` means that it was altered.
    is_verified: bool,
}

impl AuditEventResponse {
    fn of(AuditEntry { event, genuine }: AuditEntry, names: &BTreeMap<String, String>) -> Self {
        let AuditEvent {
            id,
            occurred_at,
            portal: _,
            actor,
            organization,
            action,
            object,
            outcome,
            reason,
            justification,
            source,
        } = event;
        let (kind, account) = actor.parts();
        let name = |id: &str| names.get(id).cloned();
        Self {
            id: id.to_string(),
            occurred_at: responses::moment(occurred_at),
            action: action.to_string(),
            outcome: outcome.to_string(),
            reason,
            justification,
            actor: kind,
            actor_id: account.map(ToString::to_string),
            actor_username: account.and_then(|id| name(id.as_str())),
            organization_id: organization.map(|o| o.to_string()),
            object_username: object.as_deref().and_then(name),
            object,
            source,
            is_verified: genuine,
        }
    }

    /// Converts a page of events and adds the usernames.
    async fn all_of(
        entries: Vec<AuditEntry>,
        portal: &PortalId,
        app: &App,
    ) -> Result<Vec<Self>, StoreError> {
        let names = app.store.usernames_in(portal, &entries).await?;
        Ok(entries
            .into_iter()
            .map(|entry| Self::of(entry, &names))
            .collect())
    }
}
