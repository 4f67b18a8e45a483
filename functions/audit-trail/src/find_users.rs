//! `POST /{portal}/audit-events/users/search` and
//! `POST /{portal}/accounts/{account_portal}/audit-events/users/search`: find the users whose events to search
//! for by a username (EX-02, UX-11).
//!
//! The username is in the request body, and searches of the trail take ids, to keep usernames out of URLs.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use futures::future;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::values::text::Username;
use vestibule_http::openapi::{AccountPortalParams, EntitledProblems, FieldProblems, PortalParams};
use vestibule_http::request::AccountPortal;
use vestibule_http::{App, Body, Entitled, Problem};

use crate::search::readable;
use crate::search_portal::{record_on, searchable};

/// The username to search for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditUserSearchRequest {
    /// The username, not case-sensitive.
    username: String,
}

/// The users who have or had the username.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditUserSearchResponse {
    /// The users, which may be none.
    items: Vec<AuditUser>,
}

/// A user who has or had the username.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditUser {
    /// The id, for `user_ids` of a search.
    id: String,
}

impl AuditUserSearchResponse {
    fn of(users: Vec<AccountId>) -> Json<Self> {
        let user = |id: AccountId| AuditUser { id: id.to_string() };
        Json(Self {
            items: users.into_iter().map(user).collect(),
        })
    }
}

/// Find users for a search of audit events
///
/// Finds the users of the caller's organization who have or had a username, including those who were removed or renamed.
/// `user_ids` of a search selects their events.
#[utoipa::path(
    post, path = "/{portal}/audit-events/users/search", tag = "audit",
    operation_id = "find_users_of_audit_events",
    params(PortalParams),
    request_body = AuditUserSearchRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AuditUserSearchResponse, description = "The users, which may be none"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn find_users(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Body(request): Body<AuditUserSearchRequest>,
) -> Result<Json<AuditUserSearchResponse>, Problem> {
    let organization = readable(&caller)?;
    let portal = &caller.policy.portal;
    let found = users_named(&request.username, Some(&organization), portal, &app).await?;
    caller.record_reading(&app, Action::ListUsers, None).await?;
    Ok(AuditUserSearchResponse::of(found))
}

/// Find users for a search of a portal's audit events
///
/// Finds the users of a portal that the help desk supports who have or had a username, including those who were removed or
/// renamed. `user_ids` of a search selects their events. The search is itself recorded on that portal's trail, for each
/// user found.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/audit-events/users/search", tag = "audit",
    operation_id = "find_users_of_audit_events_of_portal",
    params(AccountPortalParams),
    request_body = AuditUserSearchRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AuditUserSearchResponse, description = "The users, which may be none"),
        (status = 404, description = "`not-found`: the help desk does not support this portal"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn find_portal_users(
    State(app): State<App>,
    Entitled(caller): Entitled,
    AccountPortal(portal): AccountPortal,
    Body(request): Body<AuditUserSearchRequest>,
) -> Result<Json<AuditUserSearchResponse>, Problem> {
    let policy = searchable(&portal, &caller, &app)?;
    let found = users_named(&request.username, None, &policy.portal, &app).await?;
    record_on(policy, &caller, (Action::ViewAccount, None), &found, &app).await?;
    Ok(AuditUserSearchResponse::of(found))
}

/// Returns the accounts that have or had a username: in one organization, or on the whole portal. Users
/// who left it, were removed or were renamed are found by the username that they had.
async fn users_named(
    username: &str,
    organization: Option<&OrganizationId>,
    portal: &PortalId,
    app: &App,
) -> Result<Vec<AccountId>, Problem> {
    let key = Username::parse(username.trim(), 1)
        .map_err(|_| Problem::invalid_field("username", "must be a username"))?
        .key();
    let (mut current, former) = future::try_join(
        app.store.owner_of_username(portal, &key),
        app.store.former_users(portal, &key),
    )
    .await?;
    if let (Some(id), Some(organization)) = (&current, organization) {
        // Must not reveal whether users of other organizations exist (BL-17).
        let found = app.store.accounts(portal, std::slice::from_ref(id)).await?;
        let mut accounts = found.into_iter().flatten();
        if !accounts.any(|a| a.membership(Some(organization)).is_some()) {
            current = None;
        }
    }
    let former = former
        .into_iter()
        .filter(|(_, left)| organization.is_none_or(|o| left.contains(o.as_str())))
        .map(|(id, _)| id);
    let all: BTreeSet<_> = former.chain(current).collect();
    Ok(all.into_iter().collect())
}
