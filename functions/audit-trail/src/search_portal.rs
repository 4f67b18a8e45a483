//! `GET /{portal}/accounts/{account_portal}/audit-events`: searches the audit trail of a portal
//! that the help desk supports (EX-02, UX-11).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;
use vestibule_domain::policy::{Permission, Policy};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Outcome};
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_http::openapi::{AccountPortalParams, EntitledProblems, QueryProblems};
use vestibule_http::request::{AccountPortal, Query};
use vestibule_http::responses::Page;
use vestibule_http::{App, Caller, Entitled, Problem};
use vestibule_store::{AuditFilter, AuditOf};

use crate::AuditEventResponse;
use crate::search::{WantedPage, between, parse_user_ids, subjects};

/// Filters and paging for the audit trail of the portal.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PortalSearchQuery {
    /// Returns only events in which a user with one of these ids was the actor or the object. Ids
    /// are separated by commas.
    user_ids: Option<String>,
    /// Returns only events of the organization with this id.
    organization_id: Option<String>,
    /// Returns only events with this action, such as `sign_in`.
    #[param(value_type = Option<String>)]
    action: Option<Action>,
    /// Returns only events with this outcome: `done` or `refused`.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// The first day to include, as `YYYY-MM-DD` in the time zone of the searched portal. Required
    /// unless a user or an organization is given.
    #[param(value_type = Option<String>)]
    from: Option<Date>,
    /// The last day to include.
    #[param(value_type = Option<String>)]
    to: Option<Date>,
    /// The `next_cursor` of the previous page or, for a download, the cursor from the `Link` header
    /// of the previous part.
    pub cursor: Option<String>,
    /// The maximum number of events: 1 to 50 on a page, 50 by default; 1 to 100000 in a part of a
    /// download, as many as fit by default.
    pub limit: Option<u32>,
}

/// Search audit events of a portal
///
/// Searches the whole audit trail of a portal that the help desk supports, newest first. A page may
/// hold fewer events than `limit`, or none, even if more follow: continue while `next_cursor` is
/// present. The search is itself recorded on that portal's trail, for the user and the organization
/// that were searched for.
#[utoipa::path(
    get, path = "/{portal}/accounts/{account_portal}/audit-events", tag = "audit",
    operation_id = "search_audit_events_of_portal",
    params(AccountPortalParams, PortalSearchQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<AuditEventResponse>, description = "A page of events"),
        (status = 404, description = "`not-found`: the help desk does not support this portal"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn search_portal(
    State(app): State<App>,
    Entitled(caller): Entitled,
    AccountPortal(portal): AccountPortal,
    Query(query): Query<PortalSearchQuery>,
) -> Result<Json<Page<AuditEventResponse>>, Problem> {
    let wanted = WantedPage::of(query.cursor.as_deref(), query.limit)?;
    let (portal, filter) = query
        .authorize(&portal, &caller, Action::SearchAudit, &app)
        .await?;
    wanted.of_trail(&portal, &filter, &app).await
}

/// Returns the policy of a portal whose trail the caller may search.
pub(crate) fn searchable<'a>(
    portal: &str,
    caller: &Caller,
    app: &'a App,
) -> Result<&'a Arc<Policy>, Problem> {
    caller
        .acting()?
        .allowed(Permission::SearchAudit, &caller.policy)
        .ok_or_else(|| Problem::not_allowed(&caller.policy))?;
    caller
        .served(app, portal)?
        .ok_or_else(|| Problem::not_found("portal"))
}

/// Records on the trail of a portal, before anything is shown, that a help desk agent reads about each of the users,
/// or about none.
pub(crate) async fn record_on(
    policy: &Policy,
    caller: &Caller,
    (action, organization): (Action, Option<&OrganizationId>),
    users: &[AccountId],
    app: &App,
) -> Result<(), Problem> {
    let nobody = users.is_empty().then_some(None);
    for user in users.iter().map(Some).chain(nobody) {
        let staff = Actor::HelpDesk(caller.account.id.clone());
        let origin = caller.origin_on(policy);
        let mut reading =
            AuditEvent::done(&origin, staff, action, &mut app.rng()).for_organization(organization);
        reading.object = user.map(ToString::to_string);
        app.store.record(&reading).await?;
    }
    Ok(())
}

impl PortalSearchQuery {
    /// Checks that the caller may search the trail of the portal, builds the filter, and records the
    /// search on that trail before anything is shown.
    pub async fn authorize(
        &self,
        portal: &str,
        caller: &Caller,
        action: Action,
        app: &App,
    ) -> Result<(PortalId, AuditFilter), Problem> {
        let policy = searchable(portal, caller, app)?;
        let (filter, organization) = self.filter(policy, caller.origin.at)?;
        let reading = (action, organization.as_ref());
        record_on(policy, caller, reading, subjects(&filter), app).await?;
        Ok((policy.portal.clone(), filter))
    }

    /// Builds the filter, and returns the organization that was searched for.
    fn filter(
        &self,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(AuditFilter, Option<OrganizationId>), Problem> {
        let users = parse_user_ids(self.user_ids.as_deref())?;
        let organization = self.organization_id.as_deref().map(OrganizationId::parse);
        let organization = organization.transpose().map_err(|_| {
            Problem::invalid_field("organization_id", "must be the id of an organization")
        })?;
        let (from, until) = between(self.from, self.to, policy)?;
        let of = match (users, &organization) {
            (Some(users), _) => AuditOf::Users {
                users,
                organization: organization.clone(),
            },
            (None, Some(organization)) => AuditOf::Organization(organization.clone()),
            (None, None) if self.from.is_none() => {
                let why = "is required unless you search for a user or an organization";
                return Err(Problem::invalid_field("from", why));
            }
            (None, None) => AuditOf::Portal,
        };
        let filter = AuditFilter {
            of,
            action: self.action,
            outcome: self.outcome,
            from,
            // Nothing is later, so later days need not be read.
            until: until.min(now + SignedDuration::from_secs(1)),
        };
        Ok((filter, organization))
    }
}
