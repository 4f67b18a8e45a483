//! Many at once, from a CSV file (UX-08): each row is read, done and answered for by itself, so that a
//! wrong one costs the others nothing.

use std::collections::{BTreeMap, BTreeSet};

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use jiff::civil::Date;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::Role;
use vestibule_domain::text::{Email, PersonName};

use crate::problem::FieldError;
use crate::{Fields, Problem, credentials};

/// The most bytes of a file.
pub const LARGEST_FILE: usize = 1024 * 1024;

/// The most rows of a file, besides its header.
pub const MOST_ROWS: usize = 500;

/// How many rows are worked on at once.
pub const AT_ONCE: usize = 8;

/// The columns of a file.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// Those that must be there.
    pub required: &'static [&'static str],
    /// Those that may be left out, and whose cells may be empty.
    pub optional: &'static [&'static str],
}

impl Columns {
    fn known(&self) -> impl Iterator<Item = &'static str> {
        self.required.iter().chain(self.optional).copied()
    }
}

/// A row, its cells by column.
#[derive(Debug, Clone)]
pub struct Row {
    /// The line of the file on which it begins; the header is on line 1.
    pub line: u64,
    cells: Result<BTreeMap<&'static str, String>, String>,
}

/// What a row says of a person.
#[derive(Debug, Clone)]
pub struct Person {
    /// The name.
    pub name: PersonName,
    /// The address.
    pub email: Email,
    /// What they will be; a user if nothing is said.
    pub role: Role,
    /// The last day of their access, if it ends.
    pub ends_on: Option<Date>,
}

impl Row {
    fn cell(&self, column: &str) -> Option<&str> {
        let cells = self.cells.as_ref().ok()?;
        cells
            .get(column)
            .map(|c| c.trim())
            .filter(|c| !c.is_empty())
    }

    /// The words of a cell, as `users.csv` lists services and group codes.
    pub fn words(&self, column: &str) -> BTreeSet<String> {
        let text = self.cell(column).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// What stands in the address's cell, to find an address that comes twice.
    pub fn address(&self) -> Option<String> {
        Some(Email::parse(self.cell("email")?).ok()?.key())
    }

    /// Reads the person.
    ///
    /// # Errors
    /// A problem that names every wrong cell.
    pub fn person(&self) -> Result<Person, Problem> {
        if let Err(fault) = &self.cells {
            return Err(Problem::invalid_field("(row)", fault));
        }
        let text = |column| self.cell(column).unwrap_or_default();
        let mut fields = Fields::default();
        let name = credentials::name(text("first_name"), text("last_name"), &mut fields);
        let email = fields.take("email", Email::parse(text("email")));
        let role = match self.cell("role") {
            None => Some(Role::User),
            Some(text) => {
                let text: StrDeserializer<'_, Error> = text.into_deserializer();
                let role = Role::deserialize(text).ok();
                if role.is_none() {
                    fields.fault("role", "must be a role, such as user or administrator");
                }
                role
            }
        };
        let ends_on = credentials::ends_on(self.cell("ends_on"), &mut fields);
        let parsed = (|| {
            Some(Person {
                name: name?,
                email: email?,
                role: role?,
                ends_on: ends_on?,
            })
        })();
        fields.finish(parsed)
    }
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RowStatus {
    /// It was done, and the mail is on its way.
    Done,
    /// It had been done before; nothing was sent.
    Already,
    /// It is wrong or not allowed; nothing was sent. `detail` and `errors` say why.
    Refused,
    /// Something went wrong on our side; send the file again.
    TryAgain,
}

/// The answer to a row.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RowAnswer {
    /// The line of the file on which the row begins; the header is on line 1.
    pub row: u64,
    /// What became of it.
    pub status: RowStatus,
    /// What was made: the invitation, or the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why it was not done, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The cells that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The answer to a file: a row each, in their order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct BulkAnswer {
    /// How many rows were done now.
    pub done: usize,
    /// How many had been done before.
    pub already: usize,
    /// How many are wrong or not allowed.
    pub refused: usize,
    /// How many have to be sent again.
    pub try_again: usize,
    /// Each row.
    pub rows: Vec<RowAnswer>,
}

impl BulkAnswer {
    /// Puts the rows in order and counts them.
    pub fn of(mut rows: Vec<RowAnswer>) -> Self {
        rows.sort_by_key(|r| r.row);
        let count = |status| rows.iter().filter(|r| r.status == status).count();
        Self {
            done: count(RowStatus::Done),
            already: count(RowStatus::Already),
            refused: count(RowStatus::Refused),
            try_again: count(RowStatus::TryAgain),
            rows,
        }
    }
}

impl RowAnswer {
    /// What became of a row: the id of what was made, or a problem. Problems of these kinds say that
    /// it had been done before.
    pub fn of(line: u64, result: Result<String, Problem>, already: &[&str]) -> Self {
        match result {
            Ok(id) => Self {
                row: line,
                status: RowStatus::Done,
                id: Some(id),
                detail: None,
                errors: Vec::new(),
            },
            Err(problem) => {
                let status = match problem.kind() {
                    kind if already.contains(&kind) => RowStatus::Already,
                    "unavailable" | "internal" | "changed-meanwhile" => RowStatus::TryAgain,
                    _ => RowStatus::Refused,
                };
                let (detail, errors) = problem.into_parts();
                Self {
                    row: line,
                    status,
                    id: None,
                    detail: Some(detail),
                    errors,
                }
            }
        }
    }
}

/// Reads a file: CSV (RFC 4180) in UTF-8, with commas and a header, as spreadsheets write it.
///
/// # Errors
/// A problem of the file as a whole: its type, its size, its encoding, its header. Nothing is done
/// with any row then.
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
            "Please send the file as content-type: text/csv.",
        )
        .with_field("content-type", "must be text/csv"));
    }
    let bytes = to_bytes(request.into_body(), LARGEST_FILE)
        .await
        .map_err(|_| too_large(format!("The file must be at most {LARGEST_FILE} bytes.")))?;
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
        unreadable("The file is not in UTF-8. Save it as \"CSV UTF-8 (comma delimited)\".")
    })?;
    // Spreadsheets begin a UTF-8 file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = text.lines().next().unwrap_or_default();
    if !first.contains(',') && (first.contains(';') || first.contains('\t')) {
        return Err(unreadable(
            "The columns are separated by semicolons or tabs. Save the file with commas.",
        ));
    }
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(text.as_bytes());
    let head = reader
        .headers()
        .map_err(|_| unreadable("The first line can't be read."))?
        .clone();
    let names = header_of(&head, columns)?;
    let mut rows = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for record in reader.into_records() {
        let record = record.map_err(|_| unreadable("A row of the file can't be read."))?;
        // The reader's own count is one behind after CRLF: the line is counted up to where the row begins.
        let begins = record.position().map_or(0, |p| p.byte() as usize);
        let blank = text[begins..].find(|c| c != '\r' && c != '\n');
        let begins = begins + blank.unwrap_or(0);
        line += text[counted..begins].matches('\n').count() as u64;
        counted = begins;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if rows.len() == MOST_ROWS {
            return Err(too_large(format!(
                "The file must have at most {MOST_ROWS} rows. Please split it."
            )));
        }
        let cells = if record.len() == names.len() {
            let cells = names.iter().copied().zip(record.iter().map(str::to_owned));
            Ok(cells.collect())
        } else {
            Err(format!(
                "must have {} cells as the header has, not {}",
                names.len(),
                record.len()
            ))
        };
        rows.push(Row { line, cells });
    }
    if rows.is_empty() {
        return Err(unreadable("The file has no rows below its header."));
    }
    Ok(rows)
}

/// The columns in the order of the header.
fn header_of(head: &csv::StringRecord, columns: Columns) -> Result<Vec<&'static str>, Problem> {
    let mut fields = Fields::default();
    let mut names = Vec::new();
    for cell in head {
        let shown: String = cell.trim().chars().take(40).collect();
        match columns.known().find(|known| *known == shown) {
            Some(name) if names.contains(&name) => fields.fault(name, "is a column twice"),
            Some(name) => names.push(name),
            None => {
                let known: Vec<_> = columns.known().collect();
                let why = format!(
                    "is no column of this file; there can be {}",
                    known.join(", ")
                );
                fields.fault(&shown, why);
            }
        }
    }
    for missing in columns.required.iter().filter(|r| !names.contains(r)) {
        fields.fault(missing, "is a column that must be there");
    }
    fields.finish(Some(names))
}

/// The rows whose address no earlier row has, and the answers to the others.
pub fn without_doubles(rows: Vec<Row>) -> (Vec<Row>, Vec<RowAnswer>) {
    let mut first = BTreeMap::new();
    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    for row in rows {
        let earlier = row.address().and_then(|address| {
            let line = *first.entry(address).or_insert(row.line);
            (line != row.line).then_some(line)
        });
        match earlier {
            Some(line) => {
                let why = format!("is the address of row {line} too");
                let problem = Problem::invalid_field("email", &why);
                refused.push(RowAnswer::of(row.line, Err(problem), &[]));
            }
            None => kept.push(row),
        }
    }
    (kept, refused)
}
