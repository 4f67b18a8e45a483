//! `GET /{portal}/audit-events.csv` and `.jsonl`: download the audit trail of the caller's
//! organization, in full or filtered, for other programs. The same under
//! `/{portal}/accounts/{account_portal}` is for the help desk and a whole portal (UX-11).

use axum::extract::{RawQuery, State};
use axum::response::Response;
use utoipa::IntoResponses;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::ids::PortalId;
use vestibule_http::csv::cell;
use vestibule_http::openapi::{AccountPortalParams, EntitledProblems, PortalParams, QueryProblems};
use vestibule_http::parts::{File, Wanted};
use vestibule_http::request::{AccountPortal, Query};
use vestibule_http::{App, Caller, Entitled, Problem};
use vestibule_store::{AuditCursor, AuditFilter};

use crate::AuditEventResponse;
use crate::search::{SearchQuery, readable, record};
use crate::search_portal::PortalSearchQuery;

/// Download audit events as CSV
///
/// Returns the audit trail of the caller's organization as CSV (RFC 4180, UTF-8), newest first, in
/// parts of at most 3 MB. If more follows, the `Link` header gives the next part as `next`; only
/// the first part has the header row. Cells are written so that spreadsheets don't treat them as
/// formulas.
#[utoipa::path(
    get, path = "/{portal}/audit-events.csv", tag = "audit",
    operation_id = "download_audit_events_csv",
    params(PortalParams, SearchQuery),
    security(("session" = []), ("cookie" = [])),
    responses(CsvPart, EntitledProblems, QueryProblems)
)]
pub(crate) async fn csv(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(search): Query<SearchQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    of_organization(&app, &caller, search, query, CSV).await
}

/// Download audit events as JSON Lines
///
/// Returns the audit trail of the caller's organization as JSON Lines, one event per line, newest
/// first, in parts of at most 3 MB. If more follows, the `Link` header gives the next part as
/// `next`.
#[utoipa::path(
    get, path = "/{portal}/audit-events.jsonl", tag = "audit",
    operation_id = "download_audit_events_json_lines",
    params(PortalParams, SearchQuery),
    security(("session" = []), ("cookie" = [])),
    responses(JsonLinesPart, EntitledProblems, QueryProblems)
)]
pub(crate) async fn json_lines(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(search): Query<SearchQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    of_organization(&app, &caller, search, query, JSON_LINES).await
}

/// Download audit events of a portal as CSV
///
/// Returns the audit trail of a portal that the help desk supports as CSV (RFC 4180, UTF-8), newest
/// first, in parts of at most 3 MB, with the filters of the search. If more follows, the `Link` header
/// gives the next part as `next`. The download is itself recorded on that portal's trail.
#[utoipa::path(
    get, path = "/{portal}/accounts/{account_portal}/audit-events.csv", tag = "audit",
    operation_id = "download_audit_events_of_portal_csv",
    params(AccountPortalParams, PortalSearchQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        CsvPart,
        (status = 404, description = "`not-found`: the help desk does not support this portal"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn portal_csv(
    State(app): State<App>,
    Entitled(caller): Entitled,
    AccountPortal(portal): AccountPortal,
    Query(search): Query<PortalSearchQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    of_portal(&app, (&caller, &portal), search, query, CSV).await
}

/// Download audit events of a portal as JSON Lines
///
/// Returns the audit trail of a portal that the help desk supports as JSON Lines, one event per line,
/// newest first, in parts of at most 3 MB, with the filters of the search. If more follows, the `Link`
/// header gives the next part as `next`. The download is itself recorded on that portal's trail.
#[utoipa::path(
    get, path = "/{portal}/accounts/{account_portal}/audit-events.jsonl", tag = "audit",
    operation_id = "download_audit_events_of_portal_json_lines",
    params(AccountPortalParams, PortalSearchQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        JsonLinesPart,
        (status = 404, description = "`not-found`: the help desk does not support this portal"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn portal_json_lines(
    State(app): State<App>,
    Entitled(caller): Entitled,
    AccountPortal(portal): AccountPortal,
    Query(search): Query<PortalSearchQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    of_portal(&app, (&caller, &portal), search, query, JSON_LINES).await
}

/// The response with a part of a CSV file.
#[derive(IntoResponses)]
#[response(status = 200, content_type = "text/csv", description = "A part of the events", headers(("Link" = String, description = "The next part, as `<…>; rel=\"next\"`; absent on the last part")))]
#[expect(dead_code, reason = "only for the description")]
struct CsvPart(String);

/// The response with a part of a JSON Lines file.
#[derive(IntoResponses)]
#[response(status = 200, content_type = "application/jsonl", description = "A part of the events, one per line", headers(("Link" = String, description = "The next part, as `<…>; rel=\"next\"`; absent on the last part")))]
#[expect(dead_code, reason = "only for the description")]
struct JsonLinesPart(#[to_schema] AuditEventResponse);

async fn of_organization(
    app: &App,
    caller: &Caller,
    search: SearchQuery,
    query: Option<String>,
    format: Format,
) -> Result<Response, Problem> {
    let organization = readable(caller)?;
    let wanted = wanted(query, search.cursor.as_deref(), search.limit)?;
    let filter = search.filter(organization, &caller.policy)?;
    record(caller, app, Action::DownloadAudit, &filter).await?;
    part(app, &caller.policy.portal, &filter, wanted, format).await
}

async fn of_portal(
    app: &App,
    (caller, portal): (&Caller, &str),
    search: PortalSearchQuery,
    query: Option<String>,
    format: Format,
) -> Result<Response, Problem> {
    let wanted = wanted(query, search.cursor.as_deref(), search.limit)?;
    let (portal, filter) = search
        .authorize(portal, caller, Action::DownloadAudit, app)
        .await?;
    part(app, &portal, &filter, wanted, format).await
}

/// How many events are read from the store at a time.
const AT_A_TIME: usize = 200;

/// A file and how it shows an event.
type Format = (File, fn(&AuditEventResponse) -> String);

const CSV: Format = (
    File {
        media_type: "text/csv; charset=utf-8",
        name: "audit-events.csv",
        head: HEAD,
        at_a_time: AT_A_TIME,
    },
    csv_line,
);

const JSON_LINES: Format = (
    File {
        media_type: "application/jsonl",
        name: "audit-events.jsonl",
        head: "",
        at_a_time: AT_A_TIME,
    },
    json_line,
);

fn wanted(
    query: Option<String>,
    cursor: Option<&str>,
    limit: Option<u32>,
) -> Result<Wanted<AuditCursor>, Problem> {
    Wanted::of(query, cursor, limit, AuditCursor::parse)
}

/// Returns a part of the events. The caller must be authorized, and the download recorded.
async fn part(
    app: &App,
    portal: &PortalId,
    filter: &AuditFilter,
    wanted: Wanted<AuditCursor>,
    (file, line): Format,
) -> Result<Response, Problem> {
    file.part(wanted, |after, rows| async move {
        let page = app
            .store
            .audit(portal, filter, after.as_ref(), rows)
            .await?;
        let entries = AuditEventResponse::all_of(page.items, portal, app).await?;
        Ok((entries.iter().map(line).collect(), page.next))
    })
    .await
}

const HEAD: &str = "id,occurred_at,action,outcome,reason,justification,actor,actor_id,actor_username,organization_id,object,object_username,source,is_verified\r\n";

fn csv_line(entry: &AuditEventResponse) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let cells = [
        entry.id.clone(),
        entry.occurred_at.clone(),
        entry.action.clone(),
        entry.outcome.clone(),
        or_empty(&entry.reason),
        or_empty(&entry.justification),
        entry.actor.to_owned(),
        or_empty(&entry.actor_id),
        or_empty(&entry.actor_username),
        or_empty(&entry.organization_id),
        or_empty(&entry.object),
        or_empty(&entry.object_username),
        or_empty(&entry.source),
        entry.is_verified.to_string(),
    ];
    cells.map(|text| cell(&text)).join(",") + "\r\n"
}

fn json_line(entry: &AuditEventResponse) -> String {
    serde_json::to_string(entry).map_or_else(|_| String::new(), |line| line + "\n")
}
