//! Bulk requests from a CSV file (UX-08). Each row is processed separately, so that an invalid row does
//! not affect the others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::civil::Date;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::Role;
use vestibule_domain::values::csv;
use vestibule_domain::values::text::{Email, PersonName};

use crate::privileged::Refused;
use crate::problem::FieldError;
use crate::{FieldErrors, Problem, credentials};

/// The maximum size of a file in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The maximum number of rows in a file, not counting the header.
pub const MAX_ROWS: usize = 500;

/// The number of rows processed concurrently.
pub const CONCURRENCY: usize = 8;

/// The columns of a file.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    pub required: &'static [&'static str],
    /// Columns that may be missing and whose cells may be empty.
    pub optional: &'static [&'static str],
}

impl Columns {
    fn known(&self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }
}

/// A row of a file, with its cells by column.
#[derive(Debug, Clone)]
pub struct Row {
    /// The line of the file; the header is on line 1.
    pub line: u64,
    cells: Result<BTreeMap<&'static str, String>, String>,
}

/// A person, as described by a row.
#[derive(Debug, Clone)]
pub struct Person {
    pub name: PersonName,
    pub email: Email,
    /// [`Role::User`] if the row names no role.
    pub role: Role,
    /// The last day of access; `None` if access does not end.
    pub end_date: Option<Date>,
}

impl Row {
    fn cell(&self, column: &str) -> Option<&str> {
        let cells = self.cells.as_ref().ok()?;
        cells
            .get(column)
            .map(|c| c.trim())
            .filter(|c| !c.is_empty())
    }

    /// Returns the words of a cell, such as a list of services or group codes.
    pub fn words(&self, column: &str) -> BTreeSet<String> {
        let text = self.cell(column).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// Returns the key of the row's email address, used to find duplicates.
    pub fn address(&self) -> Option<String> {
        Some(Email::parse(self.cell("email")?).ok()?.key())
    }

    /// Parses the person.
    ///
    /// # Errors
    /// A problem that names every invalid cell.
    pub fn person(&self) -> Result<Person, Problem> {
        if let Err(fault) = &self.cells {
            return Err(Problem::invalid_field("(row)", fault));
        }
        let text = |column| self.cell(column).unwrap_or_default();
        let mut fields = FieldErrors::default();
        let name = credentials::name(text("first_name"), text("last_name"), &mut fields);
        let email = fields.take("email", Email::parse(text("email")));
        let role = match self.cell("role") {
            None => Some(Role::User),
            Some(text) => {
                let text: StrDeserializer<'_, Error> = text.into_deserializer();
                let role = Role::deserialize(text).ok();
                if role.is_none() {
                    fields.push("role", "must be a role, such as user or administrator");
                }
                role
            }
        };
        let end_date = credentials::end_date(self.cell("end_date"), &mut fields);
        let parsed = (|| {
            Some(Person {
                name: name?,
                email: email?,
                role: role?,
                end_date: end_date?,
            })
        })();
        fields.into_result(parsed)
    }
}

/// The result of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// The invitation or user was created, and the email was queued.
    Created,
    /// The person was already invited or added; nothing was sent.
    AlreadyExists,
    /// The row is invalid or not allowed; nothing was sent. `detail` and `errors` give the reason.
    Rejected,
    /// A temporary error occurred; upload the file again.
    Retry,
}

/// The result of one row.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RowResponse {
    /// The line of the file; the header is on line 1.
    pub row: u64,
    /// The status of the row.
    pub status: RowStatus,
    /// The id of the invitation or user that was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A message for a person that explains why nothing was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The invalid cells.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Whether the caller may not do what the row requests.
    #[serde(skip)]
    refused: Option<Refused>,
}

/// The results of a file, one per row and in file order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BulkResponse {
    /// The number of rows that created an invitation or user.
    pub created: usize,
    /// The number of rows whose person was already invited or added.
    pub already_exists: usize,
    /// The number of rows that are invalid or not allowed.
    pub rejected: usize,
    /// The number of rows to upload again.
    pub retry: usize,
    /// The result of each row.
    pub rows: Vec<RowResponse>,
}

impl BulkResponse {
    /// Sorts the rows and counts them by status.
    pub fn of(mut rows: Vec<RowResponse>) -> Self {
        rows.sort_by_key(|r| r.row);
        let count = |status| rows.iter().filter(|r| r.status == status).count();
        Self {
            created: count(RowStatus::Created),
            already_exists: count(RowStatus::AlreadyExists),
            rejected: count(RowStatus::Rejected),
            retry: count(RowStatus::Retry),
            rows,
        }
    }
}

impl RowResponse {
    /// Converts a result to that of a row. `already` lists the problem types that mean that the person
    /// was already invited or added.
    pub fn of(line: u64, result: Result<String, Problem>, already: &[&str]) -> Self {
        match result {
            Ok(id) => Self {
                row: line,
                status: RowStatus::Created,
                id: Some(id),
                detail: None,
                errors: Vec::new(),
                refused: None,
            },
            Err(problem) => {
                let status = match problem.kind() {
                    kind if already.contains(&kind) => RowStatus::AlreadyExists,
                    "unavailable" | "internal" | "conflict" => RowStatus::Retry,
                    _ => RowStatus::Rejected,
                };
                let refused = Refused::of(problem.kind(), None);
                let (detail, errors) = problem.into_parts();
                Self {
                    row: line,
                    status,
                    id: None,
                    detail: Some(detail),
                    errors,
                    refused,
                }
            }
        }
    }
}

impl IntoResponse for BulkResponse {
    /// Marks the response if rows were refused, so that the file leaves one event on the audit trail (SE-10).
    fn into_response(self) -> Response {
        let refused = self.rows.iter().find_map(|row| row.refused);
        let mut response = Json(self).into_response();
        if let Some(refused) = refused {
            response.extensions_mut().insert(refused);
        }
        response
    }
}

/// Reads a CSV file (RFC 4180) in UTF-8, with commas and a header, as spreadsheets write it. Each line is
/// a row, so that an unclosed quote affects only its own row.
///
/// # Errors
/// A problem when the media type, size, encoding or header of the file is invalid. No row is processed
/// then.
pub async fn read(request: Request, columns: Columns) -> Result<Vec<Row>, Problem> {
    let csv = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .is_some_and(|v| v.trim().eq_ignore_ascii_case("text/csv"));
    if !csv {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-csv",
            "Not CSV",
            "The file must be a CSV file, sent with content type text/csv.",
        )
        .with_field("content-type", "must be text/csv"));
    }
    let bytes = to_bytes(request.into_body(), MAX_FILE_BYTES)
        .await
        .map_err(|_| {
            too_large(format!(
                "The file is too large; the limit is {MAX_FILE_BYTES} bytes. Split it into smaller files."
            ))
        })?;
    parse(&bytes, columns)
}

fn too_large(detail: String) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "too-large",
        "Too large",
        detail,
    )
    .with_field("(body)", "is too large")
}

fn unreadable(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid-csv",
        "Not a readable CSV file",
        detail,
    )
}

fn parse(bytes: &[u8], columns: Columns) -> Result<Vec<Row>, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| {
        unreadable("The file is not encoded in UTF-8. Save it as \"CSV UTF-8 (comma delimited)\".")
    })?;
    // Spreadsheets start a UTF-8 file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = csv::lines(text)
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    let (first, _) = lines.next().unwrap_or_default();
    if !first.contains(',') && (first.contains(';') || first.contains('\t')) {
        return Err(unreadable(
            "The columns are separated by semicolons or tabs. Save the file with commas instead.",
        ));
    }
    let head =
        csv::split(first).map_err(|_| unreadable("The first line of the file cannot be read."))?;
    let names = header_of(&head, columns)?;
    let mut rows = Vec::new();
    for (text, line) in lines {
        let cells = csv::split(text);
        let is_blank = |cells: &Vec<Cow<'_, str>>| cells.iter().all(|c| c.trim().is_empty());
        if cells.as_ref().is_ok_and(is_blank) {
            continue;
        }
        if rows.len() == MAX_ROWS {
            return Err(too_large(format!(
                "The file is too long; the limit is {MAX_ROWS} rows. Split it into smaller files."
            )));
        }
        let cells = match cells {
            Ok(cells) if cells.len() == names.len() => {
                let cells = cells.into_iter().map(Cow::into_owned);
                Ok(names.iter().copied().zip(cells).collect())
            }
            Ok(cells) => Err(format!(
                "must have {} cells like the header, but has {}",
                names.len(),
                cells.len()
            )),
            Err(fault) => Err(fault.to_owned()),
        };
        rows.push(Row { line, cells });
    }
    if rows.is_empty() {
        return Err(unreadable("The file has no rows below the header."));
    }
    Ok(rows)
}

/// Returns the columns in the order of the header.
fn header_of(head: &[Cow<'_, str>], columns: Columns) -> Result<Vec<&'static str>, Problem> {
    let mut fields = FieldErrors::default();
    let mut names = Vec::new();
    for cell in head {
        let shown: String = cell.trim().chars().take(40).collect();
        match columns.known().find(|known| *known == shown) {
            Some(name) if names.contains(&name) => fields.push(name, "appears more than once"),
            Some(name) => names.push(name),
            None => {
                let known: Vec<_> = columns.known().collect();
                let why = format!(
                    "is not a recognized column; the columns are {}",
                    known.join(", ")
                );
                fields.push(&shown, why);
            }
        }
    }
    for missing in columns.required.iter().filter(|r| !names.contains(r)) {
        fields.push(missing, "is a required column");
    }
    fields.into_result(Some(names))
}

/// Separates the rows whose email address repeats that of an earlier row, and returns results for them.
pub fn without_doubles(rows: Vec<Row>) -> (Vec<Row>, Vec<RowResponse>) {
    let mut first = BTreeMap::new();
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for row in rows {
        let earlier = row.address().and_then(|address| {
            let line = *first.entry(address).or_insert(row.line);
            (line != row.line).then_some(line)
        });
        match earlier {
            Some(line) => {
                let why = format!("is also the email address in row {line}");
                let problem = Problem::invalid_field("email", &why);
                refused.push(RowResponse::of(row.line, Err(problem), &[]));
            }
            None => kept.push(row),
        }
    }
    (kept, refused)
}
