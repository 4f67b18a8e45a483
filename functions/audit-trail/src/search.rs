//! `GET /{portal}/audit-events`: searches the audit trail of the caller's organization (EX-01,
//! EX-02, UX-11).

use axum::Json;
use axum::extract::State;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;
use utoipa::IntoParams;
use vestibule_domain::policy::{Permission, Policy};
use vestibule_domain::state::audit::{Action, Outcome};
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_http::openapi::{EntitledProblems, PortalParams, QueryProblems};
use vestibule_http::request::{Query, cursor, limit};
use vestibule_http::responses::Page;
use vestibule_http::{App, Caller, Entitled, Problem};
use vestibule_store::{AuditCursor, AuditFilter, AuditOf};

use crate::AuditEventResponse;

/// Filters and paging for the audit trail.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// Returns only events in which a user with one of these ids was the actor or the object. Ids
    /// are separated by commas.
    user_ids: Option<String>,
    /// Returns only events with this action, such as `sign_in`.
    #[param(value_type = Option<String>)]
    action: Option<Action>,
    /// Returns only events with this outcome: `done` or `refused`.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// The first day to include, as `YYYY-MM-DD` in the portal's time zone.
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

/// Search audit events
///
/// Searches the audit trail of the caller's organization, newest first. A page may hold fewer
/// events than `limit`, or none, even if more follow: continue while `next_cursor` is present.
#[utoipa::path(
    get, path = "/{portal}/audit-events", tag = "audit",
    operation_id = "search_audit_events",
    params(PortalParams, SearchQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<AuditEventResponse>, description = "A page of events"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn search(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Page<AuditEventResponse>>, Problem> {
    let organization = readable(&caller)?;
    let wanted = WantedPage::of(query.cursor.as_deref(), query.limit)?;
    let filter = query.filter(organization, &caller.policy)?;
    record(&caller, &app, Action::SearchAudit, &filter).await?;
    wanted.of_trail(&caller.policy.portal, &filter, &app).await
}

/// The requested page of a result.
pub(crate) struct WantedPage {
    after: Option<AuditCursor>,
    limit: usize,
}

impl WantedPage {
    /// Parses the cursor and the limit.
    pub fn of(after: Option<&str>, most: Option<u32>) -> Result<Self, Problem> {
        Ok(Self {
            limit: limit(most, 50)?,
            after: cursor(after, AuditCursor::parse)?,
        })
    }

    /// Loads the page. The caller must already be authorized.
    pub async fn of_trail(
        self,
        portal: &PortalId,
        filter: &AuditFilter,
        app: &App,
    ) -> Result<Json<Page<AuditEventResponse>>, Problem> {
        let page = app
            .store
            .audit(portal, filter, self.after.as_ref(), self.limit)
            .await?;
        Ok(Json(Page {
            items: AuditEventResponse::all_of(page.items, portal, app).await?,
            next_cursor: page.next,
        }))
    }
}

/// Returns the organization whose trail the caller may read: their own, if their role allows it
/// (BL-17).
pub(crate) fn readable(caller: &Caller) -> Result<OrganizationId, Problem> {
    caller
        .acting()?
        .allowed(Permission::SeeAudit, &caller.policy)
        .cloned()
        .ok_or_else(|| Problem::not_allowed(&caller.policy))
}

/// Returns the users that the search is about.
pub(crate) fn subjects(filter: &AuditFilter) -> &[AccountId] {
    match &filter.of {
        AuditOf::Users { users, .. } => users,
        AuditOf::Organization(_) | AuditOf::Portal => &[],
    }
}

/// Records a search or a download before anything is shown, for each user that it is about.
pub(crate) async fn record(
    caller: &Caller,
    app: &App,
    action: Action,
    filter: &AuditFilter,
) -> Result<(), Problem> {
    let users = subjects(filter);
    if users.is_empty() {
        return caller.record_reading(app, action, None).await;
    }
    for user in users {
        let reading = caller.record_reading(app, action, Some(user.as_str()));
        reading.await?;
    }
    Ok(())
}

/// The maximum number of users in a search: those who have or had one username.
const MAX_USERS: usize = 26;

/// Parses the ids of users, separated by commas.
pub(crate) fn parse_user_ids(given: Option<&str>) -> Result<Option<Vec<AccountId>>, Problem> {
    let Some(given) = given else { return Ok(None) };
    let ids: Result<Vec<_>, _> = given.split(',').map(AccountId::parse).collect();
    ids.ok()
        .filter(|ids| ids.len() <= MAX_USERS)
        .map(Some)
        .ok_or_else(|| {
            let why = format!("must be at most {MAX_USERS} ids of users, separated by commas");
            Problem::invalid_field("user_ids", &why)
        })
}

impl SearchQuery {
    /// Builds the filter for one organization.
    pub fn filter(
        &self,
        organization: OrganizationId,
        policy: &Policy,
    ) -> Result<AuditFilter, Problem> {
        let users = parse_user_ids(self.user_ids.as_deref())?;
        let (from, until) = between(self.from, self.to, policy)?;
        Ok(AuditFilter {
            of: match users {
                Some(users) => AuditOf::Users {
                    users,
                    organization: Some(organization),
                },
                None => AuditOf::Organization(organization),
            },
            action: self.action,
            outcome: self.outcome,
            from,
            until,
        })
    }
}

/// Returns the start of the first day and the end of the last day, in the portal's time zone.
pub(crate) fn between(
    from: Option<Date>,
    to: Option<Date>,
    policy: &Policy,
) -> Result<(Timestamp, Timestamp), Problem> {
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        return Err(Problem::invalid_field(
            "to",
            "must not be earlier than the first day",
        ));
    }
    let past = to.map(|to| to.checked_add(1.day()).unwrap_or(to));
    Ok((
        begin(from, Timestamp::UNIX_EPOCH, "from", policy)?,
        begin(past, LATEST, "to", policy)?,
    ))
}

/// Later than any event, with as many digits, so that keys sort correctly.
const LATEST: Timestamp = Timestamp::constant(253_370_764_800, 0);

/// Returns the start of a day in the portal's time zone.
fn begin(
    day: Option<Date>,
    ineligible_message: Timestamp,
    field: &str,
    policy: &Policy,
) -> Result<Timestamp, Problem> {
    let Some(day) = day else {
        return Ok(ineligible_message);
    };
    if !(2000..9000).contains(&day.year()) {
        return Err(Problem::invalid_field(
            field,
            "is outside the supported range",
        ));
    }
    let midnight = policy.begin_of(day);
    midnight.ok_or_else(|| Problem::invalid_field(field, "is outside the supported range"))
}
