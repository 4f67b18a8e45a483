//! `GET /{portal}/audit-events.csv` and `.jsonl`: the audit trail of the caller's organisation, whole
//! or in part, for other programs (UX-11).

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::stream;
use vestibule_domain::audit::Action;
use vestibule_http::csv::cell;
use vestibule_http::request::Query;
use vestibule_http::{App, Caller, Entitled, Problem, ProblemBody};
use vestibule_store::{AuditCursor, Unavailable};

use crate::EntryAnswer;
use crate::search::{Which, readable, subject};

/// Downloads the audit trail of the caller's organisation as CSV (RFC 4180, UTF-8), the latest entry
/// first. No cell begins a formula in a spreadsheet.
#[utoipa::path(
    get, path = "/{portal}/audit-events.csv", tag = "audit",
    operation_id = "download_audit_csv",
    params(("portal" = String, Path, description = "The portal"), Which),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = String, content_type = "text/csv", description = "The entries"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, description = "`invalid-fields`: a filter is not valid", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn csv(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let form = Form {
        media_type: "text/csv; charset=utf-8; header=present",
        disposition: "attachment; filename=\"audit-events.csv\"",
        head: HEAD,
        line: csv_line,
    };
    download(app, caller, which, form).await
}

/// Downloads the audit trail of the caller's organisation as JSON lines: an entry a line, the latest
/// first.
#[utoipa::path(
    get, path = "/{portal}/audit-events.jsonl", tag = "audit",
    operation_id = "download_audit_json_lines",
    params(("portal" = String, Path, description = "The portal"), Which),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = EntryAnswer, content_type = "application/jsonl", description = "The entries, each on a line of its own"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, description = "`invalid-fields`: a filter is not valid", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn json_lines(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(which): Query<Which>,
) -> Result<Response, Problem> {
    let form = Form {
        media_type: "application/jsonl",
        disposition: "attachment; filename=\"audit-events.jsonl\"",
        head: "",
        line: json_line,
    };
    download(app, caller, which, form).await
}

/// How a download is written.
struct Form {
    media_type: &'static str,
    disposition: &'static str,
    head: &'static str,
    line: fn(&EntryAnswer) -> String,
}

/// How many entries are fetched at a time: the memory it takes doesn't grow with the trail.
const AT_A_TIME: usize = 200;

async fn download(app: App, caller: Caller, which: Which, form: Form) -> Result<Response, Problem> {
    let organisation = readable(&caller)?;
    let filter = which.filter(organisation, &app, &caller.policy).await?;
    caller
        .record_reading(&app, Action::DownloadAudit, subject(&filter))
        .await?;
    let headers = [
        (header::CONTENT_TYPE, form.media_type),
        (header::CONTENT_DISPOSITION, form.disposition),
    ];
    let portal = caller.policy.portal.clone();
    let pages = stream::try_unfold(Some(None), move |cursor: Option<Option<AuditCursor>>| {
        let (app, portal, filter) = (app.clone(), portal.clone(), filter.clone());
        async move {
            let Some(cursor) = cursor else {
                return Ok(None);
            };
            let page = app
                .store
                .audit(&portal, &filter, cursor.as_ref(), AT_A_TIME)
                .await?;
            let entries = EntryAnswer::all_of(page.items, &portal, &app).await?;
            let head = if cursor.is_none() { form.head } else { "" };
            let text = entries
                .iter()
                .fold(head.to_owned(), |text, entry| text + &(form.line)(entry));
            let next = page.next.and_then(|n| AuditCursor::parse(&n)).map(Some);
            Ok::<_, Unavailable>(Some((text, next)))
        }
    });
    Ok((headers, Body::from_stream(pages)).into_response())
}

const HEAD: &str = "id,at,action,outcome,reason,justification,actor,actor_id,actor_user_name,organisation_id,object,object_user_name,source,verified\r\n";

fn csv_line(entry: &EntryAnswer) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let cells = [
        entry.id.clone(),
        entry.at.clone(),
        entry.action.clone(),
        entry.outcome.clone(),
        or_empty(&entry.reason),
        or_empty(&entry.justification),
        entry.actor.to_owned(),
        or_empty(&entry.actor_id),
        or_empty(&entry.actor_user_name),
        or_empty(&entry.organisation_id),
        or_empty(&entry.object),
        or_empty(&entry.object_user_name),
        or_empty(&entry.source),
        entry.verified.to_string(),
    ];
    cells.map(|text| cell(&text)).join(",") + "\r\n"
}

fn json_line(entry: &EntryAnswer) -> String {
    serde_json::to_string(entry).map_or_else(|_| String::new(), |line| line + "\n")
}
