//! `GET /{portal}/audit-events.csv` and `.jsonl`: download the audit trail of the caller's
//! organization, in full or filtered, for other programs (UX-11).

use axum::extract::{RawQuery, State};
use axum::response::Response;
use vestibule_domain::state::audit::Action;
use vestibule_http::csv::cell;
use vestibule_http::openapi::{EntitledProblems, PortalParams, QueryProblems};
use vestibule_http::parts::{File, Wanted};
use vestibule_http::request::Query;
use vestibule_http::{App, Caller, Entitled, Problem};
use vestibule_store::AuditCursor;

use crate::AuditEventResponse;
use crate::search::{SearchQuery, readable, subject};

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
    responses(
        (status = 200, body = String, content_type = "text/csv", description = "A part of the events", headers(("Link" = String, description = "The next part, as `<…>; rel=\"next\"`; absent on the last part"))),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn csv(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(search): Query<SearchQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let file = File {
        media_type: "text/csv; charset=utf-8",
        name: "audit-events.csv",
        head: HEAD,
        at_a_time: AT_A_TIME,
    };
    download(app, caller, search, query, (file, csv_line)).await
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
    responses(
        (status = 200, body = AuditEventResponse, content_type = "application/jsonl", description = "A part of the events, one per line", headers(("Link" = String, description = "The next part, as `<…>; rel=\"next\"`; absent on the last part"))),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn json_lines(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(search): Query<SearchQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let file = File {
        media_type: "application/jsonl",
        name: "audit-events.jsonl",
        head: "",
        at_a_time: AT_A_TIME,
    };
    download(app, caller, search, query, (file, json_line)).await
}

/// How many events are read from the store at a time.
const AT_A_TIME: usize = 200;

async fn download(
    app: App,
    caller: Caller,
    search: SearchQuery,
    query: Option<String>,
    (file, line): (File, fn(&AuditEventResponse) -> String),
) -> Result<Response, Problem> {
    let organization = readable(&caller)?;
    let (given, limit) = (search.cursor.as_deref(), search.limit);
    let wanted = Wanted::of(query, given, limit, AuditCursor::parse)?;
    let filter = search.filter(organization, &app, &caller.policy).await?;
    caller
        .record_reading(&app, Action::DownloadAudit, subject(&filter))
        .await?;
    let (app, portal, filter) = (&app, &caller.policy.portal, &filter);
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
