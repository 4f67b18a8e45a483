//! The audit trail to who may see it: searched, downloaded, one's own part of it; and the job that
//! seals it (EX-01, EX-02, UX-11). No other function reads the trail.

mod activity;
mod download;
mod search;
mod served;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::audit::AuditEvent;
use vestibule_domain::ids::PortalId;
use vestibule_http::{App, answer};
use vestibule_store::{AuditEntry, Unavailable};

vestibule_http::routes! {
    search::search,
    download::csv,
    download::json_lines,
    activity::activity,
    served::search,
}

/// Seals the trails of all portals up to the last whole hour. It may come late, twice or at once
/// with another, and may be killed at any moment; one portal that fails doesn't keep it from the
/// others.
///
/// # Errors
/// When the trail of a portal can't be sealed.
pub async fn seal(app: &App) -> Result<Sealed, Unavailable> {
    let now = app.clock.now();
    let mut sealed = Sealed::default();
    let mut failed = None;
    for portal in app.portals.names() {
        match app.store.seal_audit(portal, now).await {
            Ok(seals) => sealed.seals += seals,
            Err(cause) => {
                tracing::error!(%portal, %cause, "the audit trail isn't sealed");
                failed = Some(cause);
            }
        }
    }
    tracing::info!(
        seals = sealed.seals,
        complete = failed.is_none(),
        "sealed the audit trail"
    );
    failed.map_or(Ok(sealed), Err)
}

/// What a run of the job has done.
#[derive(Debug, Default, Serialize)]
pub struct Sealed {
    /// How many seals it made.
    pub seals: u32,
}

/// An entry of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
struct EntryAnswer {
    id: String,
    /// When it was done.
    at: String,
    /// What was done, such as `sign_in`, `look_at_user` or `open_service`.
    action: String,
    /// `done` or `refused`.
    outcome: String,
    /// Why it was refused, or why it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Why the help desk did it, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    justification: Option<String>,
    /// Who did it: `account`, `help_desk`, `unknown` (not signed in) or `system`.
    actor: &'static str,
    /// Whose account it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    /// That account's username as it is now; removed accounts keep theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_username: Option<String>,
    /// On whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
    /// What it was done to: the id of a user, an invitation or a record, or the name of a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    /// Where it is a user: the username as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    object_username: Option<String>,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Whether the entry is what was written when it was done. If not, it was altered.
    verified: bool,
}

impl EntryAnswer {
    fn of(AuditEntry { event, genuine }: AuditEntry, names: &BTreeMap<String, String>) -> Self {
        let AuditEvent {
            id,
            at,
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
            at: answer::moment(at),
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
            verified: genuine,
        }
    }

    /// A page of them, with the names in it.
    async fn all_of(
        entries: Vec<AuditEntry>,
        portal: &PortalId,
        app: &App,
    ) -> Result<Vec<Self>, Unavailable> {
        let names = app.store.usernames_in(portal, &entries).await?;
        Ok(entries
            .into_iter()
            .map(|entry| Self::of(entry, &names))
            .collect())
    }
}
