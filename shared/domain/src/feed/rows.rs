//! Reads a feed of plan records: one CSV file per [`RecordKind`], row by row (AG-16).
//!
//! An invalid row becomes a [`Reject`], and reading continues with the next one. No field of a
//! record contains a line break, so each line is one row regardless of quotes. An unclosed quote
//! therefore affects only its own row, row numbers equal line numbers, and only one line is in
//! memory at a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

use crate::policy::Slug;
use crate::state::record::{NewRecord, RecordData, RecordKey};
use crate::values::csv::split;
use crate::values::record_kind::{Fact, RecordKind};
use crate::values::text::{
    self, AddressLine, Addressee, Country, Invalid, NamePart, OrganizationName, PersonName,
    PostalAddress, Sensitive,
};

/// The maximum length of a line. It limits the memory that a malformed feed can use.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// A column of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// Whether the header must contain the column. An omitted column is empty in every row.
    pub required: bool,
}

const fn required(name: &'static str) -> Column {
    Column {
        name,
        required: true,
    }
}

const fn optional(name: &'static str) -> Column {
    Column {
        name,
        required: false,
    }
}

const MEMBERS: [Column; 13] = [
    required("enrollee_id"),
    required("person"),
    required("first_name"),
    required("last_name"),
    required("subscriber_last_name"),
    required("date_of_birth"),
    required("address_line1"),
    optional("address_line2"),
    optional("address_line3"),
    required("city"),
    optional("region"),
    optional("postal_code"),
    required("country"),
];

const AGENTS: [Column; 9] = [
    required("agent_id"),
    required("name"),
    required("first_name"),
    required("last_name"),
    required("ssn_last4"),
    optional("manager"),
    required("agreements"),
    required("group_codes"),
    optional("category"),
];

const GROUPS: [Column; 12] = [
    required("group_number"),
    required("name"),
    required("tax_id"),
    required("group_codes"),
    optional("category"),
    optional("address_line1"),
    optional("address_line2"),
    optional("address_line3"),
    optional("city"),
    optional("region"),
    optional("postal_code"),
    optional("country"),
];

const PROVIDERS: [Column; 13] = [
    required("provider_id"),
    required("name"),
    required("tax_id"),
    required("category"),
    required("participating"),
    required("agreements"),
    optional("address_line1"),
    optional("address_line2"),
    optional("address_line3"),
    optional("city"),
    optional("region"),
    optional("postal_code"),
    optional("country"),
];

/// An optional column of every kind of feed: `yes` if the record has ended. Only the key of such a
/// row is read.
const ENDED: Column = optional("ended");

/// Returns the columns of a file of this kind, in their usual order.
pub const fn columns(kind: RecordKind) -> &'static [Column] {
    match kind {
        RecordKind::Member => &MEMBERS,
        RecordKind::Agent => &AGENTS,
        RecordKind::Group => &GROUPS,
        RecordKind::Provider => &PROVIDERS,
    }
}

/// Returns the name of the file that contains records of this kind.
pub const fn file_name(kind: RecordKind) -> &'static str {
    match kind {
        RecordKind::Member => "members.csv",
        RecordKind::Agent => "agents.csv",
        RecordKind::Group => "groups.csv",
        RecordKind::Provider => "providers.csv",
    }
}

/// A row that is not a valid record. Its content may be personal data, so it is never repeated
/// here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The line number as an editor shows it. The header is usually line 1.
    pub row: u64,
    /// The invalid column; `None` if the whole row is invalid.
    pub column: Option<&'static str>,
    /// What is wrong, as a phrase that follows the column or line number.
    pub reason: String,
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "line {}: {column} {}", self.row, self.reason),
            None => write!(f, "line {} {}", self.row, self.reason),
        }
    }
}

impl std::error::Error for Reject {}

/// Why a feed can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The file has no line that isn't blank.
    #[error("the feed is empty and has no header")]
    Empty,
    /// The header is not a valid CSV row.
    #[error("the header {0}")]
    Header(&'static str),
    /// The header contains an unknown column. Its name is kept only if it looks like a column name,
    /// because a file without a header has personal data in its place.
    #[error("{} is not one of: {known}", describe_column(*position, name.as_deref()))]
    UnknownColumn {
        /// The position in the header, counted from 1.
        position: usize,
        name: Option<String>,
        /// The known columns.
        known: String,
    },
    #[error("the column {0} appears twice in the header")]
    RepeatedColumn(&'static str),
    #[error("the column {0} is missing from the header")]
    MissingColumn(&'static str),
    /// The header couldn't be read.
    #[error("the feed could not be read")]
    Read(#[from] io::Error),
}

fn describe_column(position: usize, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("the column {name} of the header"),
        None => format!("column {position} of the header"),
    }
}

/// An iterator over the records and rejects of a feed, in the order of the file.
#[derive(Debug)]
pub struct Feed<R> {
    lines: Lines<R>,
    kind: RecordKind,
    plan: Slug,
    header: Vec<&'static str>,
    broken_off: Option<io::Error>,
}

impl<R: Read> Feed<R> {
    /// Opens a feed of one plan's records of one kind and reads its header.
    ///
    /// # Errors
    /// [`FeedError`] if the header is invalid.
    pub fn open(kind: RecordKind, plan: &Slug, reader: R) -> Result<Self, FeedError> {
        let mut lines = Lines::new(reader);
        loop {
            if !lines.advance()? {
                return Err(FeedError::Empty);
            }
            if !lines.is_blank() {
                break;
            }
        }
        let fields = lines.text().and_then(split).map_err(FeedError::Header)?;
        let header = read_header(kind, &fields)?;
        Ok(Self {
            lines,
            kind,
            plan: plan.clone(),
            header,
            broken_off: None,
        })
    }

    /// Returns the key of the row read last, if it can be read, even if another column of the row
    /// is invalid.
    pub fn last_key(&self) -> Option<RecordKey> {
        let fields = self.lines.text().and_then(split).ok()?;
        let row = Row {
            number: self.lines.number,
            header: &self.header,
            fields,
        };
        row.key(self.kind, &self.plan).ok()
    }

    /// Returns the error that ended the feed early, if any. The last item is then a [`Reject`].
    pub fn broken_off(&self) -> Option<&io::Error> {
        self.broken_off.as_ref()
    }
}

impl<R: Read> Iterator for Feed<R> {
    type Item = Result<NewRecord, Reject>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.broken_off.is_some() {
            return None;
        }
        loop {
            match self.lines.advance() {
                Ok(true) if self.lines.is_blank() => {}
                Ok(true) => {
                    return Some(
                        Row::read(&self.header, &self.lines)
                            .and_then(|row| row.record(self.kind, &self.plan)),
                    );
                }
                Ok(false) => return None,
                Err(error) => {
                    self.broken_off = Some(error);
                    return Some(Err(Reject {
                        row: self.lines.number + 1,
                        column: None,
                        reason: "could not be read; the rest of the feed was not read".into(),
                    }));
                }
            }
        }
    }
}

/// Returns the columns in the order of the header.
fn read_header(kind: RecordKind, fields: &[Cow<'_, str>]) -> Result<Vec<&'static str>, FeedError> {
    let known = columns(kind);
    let mut header = Vec::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        let field = field.trim();
        let mut all = known.iter().chain([&ENDED]);
        let Some(column) = all.find(|c| c.name == field) else {
            return Err(FeedError::UnknownColumn {
                position: i + 1,
                name: looks_like_a_column(field).then(|| field.to_owned()),
                known: known.iter().map(|c| c.name).collect::<Vec<_>>().join(", "),
            });
        };
        if header.contains(&column.name) {
            return Err(FeedError::RepeatedColumn(column.name));
        }
        header.push(column.name);
    }
    match known
        .iter()
        .find(|c| c.required && !header.contains(&c.name))
    {
        Some(missing) => Err(FeedError::MissingColumn(missing.name)),
        None => Ok(header),
    }
}

fn looks_like_a_column(field: &str) -> bool {
    field.len() <= 40
        && field.starts_with(|c: char| c.is_ascii_lowercase())
        && field
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// The lines of a file, ended by LF, CRLF or CR. Only one line is in memory at a time.
#[derive(Debug)]
struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
    too_long: bool,
    after_cr: bool,
}

impl<R: Read> Lines<R> {
    fn new(reader: R) -> Self {
        let reader = BufReader::new(reader);
        Self {
            reader,
            line: Vec::new(),
            number: 0,
            too_long: false,
            after_cr: false,
        }
    }

    /// Reads the next line. Returns false at the end of the file.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.too_long = false;
        let mut has_read = false;
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if chunk.is_empty() {
                break;
            }
            if std::mem::take(&mut self.after_cr) && chunk.starts_with(b"\n") {
                self.reader.consume(1);
                continue;
            }
            has_read = true;
            let end = chunk.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                self.too_long = true;
            } else {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.after_cr = end.is_some_and(|i| chunk.get(i) == Some(&b'\r'));
            self.reader.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        self.number += u64::from(has_read);
        if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
            self.line.drain(..3);
        }
        Ok(has_read)
    }
}

impl<R> Lines<R> {
    fn is_blank(&self) -> bool {
        !self.too_long && self.line.iter().all(u8::is_ascii_whitespace)
    }

    fn text(&self) -> Result<&str, &'static str> {
        if self.too_long {
            return Err("is longer than 64 KiB");
        }
        std::str::from_utf8(&self.line).map_err(|_| "is not valid UTF-8")
    }
}

/// A row with as many fields as the header.
struct Row<'a> {
    number: u64,
    header: &'a [&'static str],
    fields: Vec<Cow<'a, str>>,
}

impl<'a> Row<'a> {
    fn read<R>(header: &'a [&'static str], lines: &'a Lines<R>) -> Result<Self, Reject> {
        let number = lines.number;
        let reject = |reason: String| Reject {
            row: number,
            column: None,
            reason,
        };
        let fields = lines
            .text()
            .and_then(split)
            .map_err(|reason| reject(reason.into()))?;
        if fields.len() == header.len() {
            return Ok(Self {
                number,
                header,
                fields,
            });
        }
        let (found, expected) = (fields.len(), header.len());
        Err(reject(format!(
            "has {found} fields, but the header has {expected}"
        )))
    }

    /// Returns the trimmed value of a column, or an empty text if the file doesn't have the column.
    fn text(&self, column: &str) -> &str {
        let position = self.header.iter().position(|name| *name == column);
        position
            .and_then(|i| self.fields.get(i))
            .map_or("", |field| field.trim())
    }

    fn parse<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Result<T, Reject> {
        parse(self.text(column)).map_err(|Invalid(reason)| Reject {
            row: self.number,
            column: Some(column),
            reason,
        })
    }

    fn parse_if_any<T>(
        &self,
        column: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Reject> {
        if self.text(column).is_empty() {
            Ok(None)
        } else {
            self.parse(column, parse).map(Some)
        }
    }

    fn key(&self, kind: RecordKind, plan: &Slug) -> Result<RecordKey, Reject> {
        Ok(RecordKey {
            plan: plan.to_string(),
            kind,
            number: self.parse(kind.number_field(), |t| kind.parse_number(t))?,
            person: match kind {
                RecordKind::Member => self.parse("person", person_number)?,
                RecordKind::Agent | RecordKind::Group | RecordKind::Provider => 0,
            },
        })
    }

    fn record(&self, kind: RecordKind, plan: &Slug) -> Result<NewRecord, Reject> {
        let key = self.key(kind, plan)?;
        if self.parse_if_any(ENDED.name, yes_or_no)? == Some(true) {
            return Ok(NewRecord {
                key,
                facts: BTreeMap::new(),
                data: data_named(String::new()),
                ended: true,
            });
        }
        let facts;
        let data = match kind {
            RecordKind::Member => {
                facts = self.facts(&[
                    Fact::SubscriberLastName,
                    Fact::FirstName,
                    Fact::LastName,
                    Fact::DateOfBirth,
                ])?;
                let name = PersonName {
                    first: self.parse("first_name", NamePart::parse)?,
                    last: self.parse("last_name", NamePart::parse)?,
                };
                let name = name.full();
                RecordData {
                    address: self.address(&name)?,
                    ..data_named(name)
                }
            }
            RecordKind::Agent => {
                facts = self.facts(&[Fact::FirstName, Fact::LastName, Fact::SsnLast4])?;
                let manager = |t: &str| match kind.parse_number(t) {
                    Ok(manager) if manager == key.number => {
                        Err(Invalid::new("must be a different agent"))
                    }
                    other => other,
                };
                RecordData {
                    category: self.parse_if_any("category", category)?,
                    manager: self.parse_if_any("manager", manager)?,
                    agreements: self.parse("agreements", agreements)?,
                    group_codes: self.parse("group_codes", group_codes)?,
                    ..data_named(self.organization_name()?)
                }
            }
            RecordKind::Group => {
                facts = self.tax_id()?;
                let name = self.organization_name()?;
                RecordData {
                    category: self.parse_if_any("category", category)?,
                    group_codes: self.parse("group_codes", group_codes)?,
                    address: self.address(&name)?,
                    ..data_named(name)
                }
            }
            RecordKind::Provider => {
                facts = self.tax_id()?;
                let name = self.organization_name()?;
                RecordData {
                    category: Some(self.parse("category", category)?),
                    participating: self.parse_if_any("participating", yes_or_no)?,
                    agreements: self.parse("agreements", agreements)?,
                    address: self.address(&name)?,
                    ..data_named(name)
                }
            }
        };
        Ok(NewRecord {
            key,
            facts,
            data,
            ended: false,
        })
    }

    fn organization_name(&self) -> Result<String, Reject> {
        self.parse("name", |t| {
            OrganizationName::parse(t).map(|n| n.to_string())
        })
    }

    fn facts(&self, facts: &[Fact]) -> Result<BTreeMap<Fact, Sensitive>, Reject> {
        facts
            .iter()
            .map(|fact| Ok((*fact, self.parse(fact.into_str(), |t| fact.parse(t))?)))
            .collect()
    }

    /// Reads the tax ID, and derives its last four digits as a separate fact.
    fn tax_id(&self) -> Result<BTreeMap<Fact, Sensitive>, Reject> {
        self.parse("tax_id", |t| {
            let whole = Fact::TaxId.parse(t)?;
            let last4 = Fact::TaxIdLast4.parse(whole.expose().get(5..).unwrap_or_default())?;
            Ok([(Fact::TaxId, whole), (Fact::TaxIdLast4, last4)].into())
        })
    }

    /// Reads the address. It must be complete if any of its columns has a value.
    fn address(&self, name: &str) -> Result<Option<PostalAddress>, Reject> {
        const LINES: [&str; 3] = ["address_line1", "address_line2", "address_line3"];
        let rest = ["city", "region", "postal_code", "country"];
        if LINES
            .iter()
            .chain(&rest)
            .all(|column| self.text(column).is_empty())
        {
            return Ok(None);
        }
        let [first, second, third] = LINES;
        let mut lines = vec![self.parse(first, AddressLine::parse)?];
        lines.extend(self.parse_if_any(second, AddressLine::parse)?);
        lines.extend(self.parse_if_any(third, AddressLine::parse)?);
        let addressee = Addressee::parse(name).map_err(|_| Reject {
            row: self.number,
            column: None,
            reason: "has no name to address a letter to".into(),
        })?;
        Ok(Some(PostalAddress {
            addressee,
            lines,
            city: self.parse("city", AddressLine::parse)?,
            region: self.parse_if_any("region", AddressLine::parse)?,
            postal_code: self.parse_if_any("postal_code", AddressLine::parse)?,
            country: self.parse("country", Country::parse)?,
        }))
    }
}

fn data_named(name: String) -> RecordData {
    RecordData {
        name,
        category: None,
        participating: None,
        manager: None,
        agreements: BTreeMap::new(),
        group_codes: BTreeSet::new(),
        address: None,
    }
}

fn person_number(text: &str) -> Result<u8, Invalid> {
    text::digits(text, 1, 3)
        .ok()
        .and_then(|d| d.expose().parse().ok())
        .ok_or_else(|| Invalid::new("must be 0 for the subscriber or 1 to 255 for a dependent"))
}

fn category(text: &str) -> Result<String, Invalid> {
    Slug::parse(text)
        .map(|slug| slug.to_string())
        .map_err(Invalid::new)
}

fn yes_or_no(text: &str) -> Result<bool, Invalid> {
    match text.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Invalid::new("must be yes, no or empty")),
    }
}

/// Splits a list such as `A;B`.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn group_codes(text: &str) -> Result<BTreeSet<String>, Invalid> {
    parts(text)
        .map(|code| {
            text::plan_number(code).map_err(|_| {
                Invalid::new(
                    "must be codes such as A1;B2, each of 1 to 20 letters, digits and hyphens",
                )
            })
        })
        .collect()
}

fn agreements(text: &str) -> Result<BTreeMap<String, String>, Invalid> {
    let mut all = BTreeMap::new();
    for part in parts(text) {
        let (id, revision) = part
            .split_once('=')
            .map(|(id, revision)| (id.trim(), revision.trim()))
            .filter(|(id, revision)| Slug::parse(id).is_ok() && is_revision(revision))
            .ok_or_else(|| {
                Invalid::new("must be agreements and their revisions, such as terms=2026-01")
            })?;
        if all.insert(id.to_owned(), revision.to_owned()).is_some() {
            return Err(Invalid::new("must not list an agreement twice"));
        }
    }
    Ok(all)
}

fn is_revision(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'.' | b'_' | b'-');
    (1..=40).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMBER_HEADER: &str = "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,address_line2,address_line3,city,region,postal_code,country";
    const MEMBER: &str =
        "100200302,0,Thomas,O'Brien,O'Brien,1965-11-03,12 Heron Way,,,Springfield,IL,62704,US";

    fn open<R: Read>(kind: RecordKind, reader: R) -> Result<Feed<R>, FeedError> {
        Feed::open(kind, &Slug::parse("harbor").unwrap(), reader)
    }

    fn read(kind: RecordKind, text: impl AsRef<[u8]>) -> Vec<Result<NewRecord, Reject>> {
        open(kind, text.as_ref()).unwrap().collect()
    }

    fn one(kind: RecordKind, text: &str) -> NewRecord {
        match read(kind, text).as_slice() {
            [Ok(record)] => record.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn fact(record: &NewRecord, fact: Fact) -> &str {
        record.facts[&fact].expose()
    }

    /// A valid row of this kind, with its columns in their usual order.
    fn row(kind: RecordKind) -> &'static str {
        match kind {
            RecordKind::Member => MEMBER,
            RecordKind::Agent => "A1,A B,A,B,1234,,,,",
            RecordKind::Group => "G1,G,001234567,,,,,,,,,",
            RecordKind::Provider => "P1,P,001234567,dental,,,,,,,,,",
        }
    }

    /// A member's row with one column replaced.
    fn member_with(column: &str, value: &str) -> String {
        let at = MEMBER_HEADER
            .split(',')
            .position(|name| name == column)
            .unwrap();
        let mut fields: Vec<_> = MEMBER.split(',').collect();
        fields[at] = value;
        format!("{MEMBER_HEADER}\n{}\n", fields.join(","))
    }

    fn only_reject(kind: RecordKind, text: &str) -> Reject {
        match read(kind, text).as_slice() {
            [Err(reject)] => reject.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_member() {
        let record = one(
            RecordKind::Member,
            "country,enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,address_line2,city,postal_code\n\
             de,100200303,2,Annika,Müller,von Alpen,1990-07-21,Kranichgasse 5,\"Hof 2, links\",Berlin,10437\n",
        );
        assert_eq!(
            record.key.context(Fact::LastName),
            "harbor/member/100200303/2/last_name"
        );
        assert_eq!(record.facts.len(), 4);
        assert_eq!(fact(&record, Fact::FirstName), "annika");
        assert_eq!(fact(&record, Fact::LastName), "muller");
        assert_eq!(fact(&record, Fact::SubscriberLastName), "vonalpen");
        assert_eq!(fact(&record, Fact::DateOfBirth), "1990-07-21");
        assert_eq!(record.data.name, "Annika Müller");
        let address = record.data.address.unwrap();
        assert_eq!(address.addressee.as_str(), "Annika Müller");
        let lines: Vec<_> = address.lines.iter().map(AddressLine::as_str).collect();
        assert_eq!(lines, ["Kranichgasse 5", "Hof 2, links"]);
        assert_eq!((address.city.as_str(), address.region), ("Berlin", None));
        assert_eq!(address.country.as_str(), "DE");
    }

    #[test]
    fn an_agent() {
        let record = one(
            RecordKind::Agent,
            "agent_id,name,first_name,last_name,ssn_last4,manager,agreements,group_codes\n\
             ag10003,Priya Nair,Priya,Nair,2954,ag10001,producer_agreement=2024-01; other=2,b2;A1;\n",
        );
        assert_eq!(
            (record.key.number.as_str(), record.key.person),
            ("AG10003", 0)
        );
        assert_eq!(fact(&record, Fact::SsnLast4), "2954");
        assert_eq!(record.facts.len(), 3);
        let data = record.data;
        assert_eq!(data.manager.as_deref(), Some("AG10001"));
        assert_eq!(data.agreements["producer_agreement"], "2024-01");
        assert_eq!(data.agreements.len(), 2);
        assert!(data.group_codes.iter().eq(["A1", "B2"]));
        assert_eq!(
            (data.category, data.address, data.participating),
            (None, None, None)
        );
    }

    #[test]
    fn a_group_and_a_provider_have_the_full_tax_id_and_its_last_four_digits() {
        let group = one(
            RecordKind::Group,
            "group_number,name,tax_id,group_codes,category\n\
             GR20001,\"The \"\"Blue Heron\"\", Inc.\",00-1234567,BH01;BH02,\n",
        );
        let provider = one(
            RecordKind::Provider,
            "provider_id,name,tax_id,category,participating,agreements\n\
             PV30003,Oakview Dental Studio,001234567,dental,No,\n",
        );
        for record in [&group, &provider] {
            assert_eq!(fact(record, Fact::TaxId), "001234567");
            assert_eq!(fact(record, Fact::TaxIdLast4), "4567");
            assert_eq!(record.facts.len(), 2);
        }
        assert_eq!(group.data.name, "The \"Blue Heron\", Inc.");
        assert_eq!((group.data.category, group.data.address), (None, None));
        assert_eq!(provider.data.category.as_deref(), Some("dental"));
        assert_eq!(provider.data.participating, Some(false));
    }

    #[test]
    fn a_record_has_only_facts_of_its_kind() {
        let header = |kind| {
            columns(kind)
                .iter()
                .map(|c| c.name)
                .collect::<Vec<_>>()
                .join(",")
        };
        for (kind, row) in [
            (RecordKind::Member, MEMBER),
            (RecordKind::Agent, "A1,A B,A,B,1234,,,,"),
            (RecordKind::Group, "G1,G,001234567,,,,,,,,,"),
            (RecordKind::Provider, "P1,P,001234567,dental,,,,,,,,,"),
        ] {
            let record = one(kind, &format!("{}\n{row}", header(kind)));
            assert!(!record.facts.is_empty());
            assert!(record.facts.keys().all(|fact| kind.has(*fact)), "{kind:?}");
        }
    }

    #[test]
    fn an_invalid_header_is_an_error_that_names_the_column() {
        let error = |text: &str| {
            open(RecordKind::Member, text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error(""), FeedError::Empty.to_string());
        assert_eq!(error("\u{feff}\r\n \r\n"), FeedError::Empty.to_string());
        assert!(error(&format!("{MEMBER_HEADER},nickname")).starts_with("the column nickname of"));
        assert_eq!(
            error(&MEMBER_HEADER.replace(",person", "")),
            "the column person is missing from the header"
        );
        assert_eq!(
            error(&format!("{MEMBER_HEADER},city")),
            "the column city appears twice in the header"
        );
        assert!(error("\"enrollee_id").contains("quote"));
        let columns = "enrollee_id, person, first_name, last_name, subscriber_last_name, ";
        let no_header = error(MEMBER);
        assert!(no_header.starts_with(&format!("column 1 of the header is not one of: {columns}")));
        assert!(!no_header.contains("100200302"));
        assert!(matches!(
            open(RecordKind::Member, &b"\xff\xfee\0n\0"[..]),
            Err(FeedError::Header("is not valid UTF-8"))
        ));
    }

    #[test]
    fn row_numbers_are_line_numbers() {
        for end in ["\n", "\r\n", "\r"] {
            let text =
                format!("\u{feff}{MEMBER_HEADER}{end}{end}{MEMBER}{end}  {end}x,y{end}{MEMBER}");
            let rows = read(RecordKind::Member, text);
            assert_eq!(rows.len(), 3, "{end:?}");
            assert!(rows[0].is_ok() && rows[2].is_ok());
            let reject = rows[1].as_ref().unwrap_err();
            assert_eq!(
                reject.to_string(),
                "line 5 has 2 fields, but the header has 13"
            );
        }
    }

    #[test]
    fn an_invalid_row_affects_no_other_row() {
        let unreadable: [(&[u8], &str); 6] = [
            (
                b"100200302,0,\"Thomas,O'Brien",
                "has an opening quote without a closing quote",
            ),
            (
                b"100200302,0,Tho\"mas,O'Brien",
                "has a quote inside an unquoted field",
            ),
            (
                b"100200302,0,\"Thomas\" ,O'Brien",
                "has text after a closing quote",
            ),
            (b"100200302,0,Thom\xe1s,O'Brien", "is not valid UTF-8"),
            (b"100200302,0", "has 2 fields, but the header has 13"),
            (&[b'x'; MAX_LINE_BYTES + 1], "is longer than 64 KiB"),
        ];
        for (row, reason) in unreadable {
            let lines = [
                MEMBER_HEADER.as_bytes(),
                MEMBER.as_bytes(),
                row,
                MEMBER.as_bytes(),
                b"",
            ];
            let rows = read(RecordKind::Member, lines.join(&b'\n'));
            assert!(
                rows.len() == 3 && rows[0].is_ok() && rows[2].is_ok(),
                "{reason}"
            );
            let reject = rows[1].clone().unwrap_err();
            assert_eq!(
                reject,
                Reject {
                    row: 3,
                    column: None,
                    reason: reason.into()
                }
            );
        }
    }

    #[test]
    fn a_reject_names_the_column_and_does_not_repeat_the_value() {
        for (column, value) in [
            ("enrollee_id", "10020030X"),
            ("enrollee_id", ""),
            ("person", "-1"),
            ("person", "+1"),
            ("person", "256"),
            ("person", ""),
            ("first_name", ""),
            ("first_name", "Tho\u{202e}mas"),
            ("last_name", "..."),
            ("subscriber_last_name", ""),
            ("date_of_birth", "11/03/1965"),
            ("date_of_birth", "1965-02-30"),
            ("address_line1", ""),
            ("city", ""),
            ("country", ""),
            ("country", "USA"),
        ] {
            let reject = only_reject(RecordKind::Member, &member_with(column, value));
            assert_eq!((reject.row, reject.column), (2, Some(column)), "{value:?}");
            assert!(
                value.is_empty() || !reject.reason.contains(value),
                "{reject}"
            );
        }
        let agents = "agent_id,name,first_name,last_name,ssn_last4,manager,agreements,group_codes";
        for (row, column) in [
            ("A1,A B,A,B,123,,,", "ssn_last4"),
            ("A1,A B,A,B,1234,A1,,", "manager"),
            ("A1,A B,A,B,1234,A_2,,", "manager"),
            ("A1,A B,A,B,1234,,terms,", "agreements"),
            ("A1,A B,A,B,1234,,terms=,", "agreements"),
            ("A1,A B,A,B,1234,,terms=1;terms=2,", "agreements"),
            ("A1,A B,A,B,1234,,,A1;B 2", "group_codes"),
            ("A1,,A,B,1234,,,", "name"),
        ] {
            let reject = only_reject(RecordKind::Agent, &format!("{agents}\n{row}"));
            assert_eq!(reject.column, Some(column), "{row}");
        }
        let providers = "provider_id,name,tax_id,category,participating,agreements";
        for (row, column) in [
            ("P1,P,12345678,dental,,", "tax_id"),
            ("P1,P,001234567,,,", "category"),
            ("P1,P,001234567,Dental,,", "category"),
            ("P1,P,001234567,dental,maybe,", "participating"),
        ] {
            let reject = only_reject(RecordKind::Provider, &format!("{providers}\n{row}"));
            assert_eq!(reject.column, Some(column), "{row}");
        }
    }

    #[test]
    fn a_member_without_an_address_is_valid() {
        let text =
            format!("{MEMBER_HEADER}\n100200302,0,Thomas,O'Brien,O'Brien,1965-11-03,,,,,,,\n");
        assert_eq!(one(RecordKind::Member, &text).data.address, None);
    }

    #[test]
    fn a_letter_is_addressed_to_the_whole_name() {
        let long = "Wolfeschlegelstein".repeat(3);
        let record = one(RecordKind::Member, &member_with("first_name", &long));
        let addressee = record.data.address.unwrap().addressee;
        assert_eq!(addressee.as_str(), format!("{long} O'Brien"));
    }

    /// Returns one byte at a time, with an interruption before each, and fails at the end.
    struct Dribble<'a>(&'a [u8], bool);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match self.0.split_first() {
                Some((first, rest)) => {
                    into[0] = *first;
                    self.0 = rest;
                    Ok(1)
                }
                None => Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
    }

    #[test]
    fn a_read_error_is_reported_and_ends_the_feed() {
        let text = format!("\u{feff}{MEMBER_HEADER}\r\n{MEMBER}\r\n1002003");
        let mut feed = open(RecordKind::Member, Dribble(text.as_bytes(), false)).unwrap();
        assert!(matches!(feed.next(), Some(Ok(_))));
        assert!(feed.broken_off().is_none());
        let reject = feed.next().unwrap().unwrap_err();
        assert_eq!(
            reject.to_string(),
            "line 3 could not be read; the rest of the feed was not read"
        );
        assert_eq!(
            feed.broken_off().unwrap().kind(),
            io::ErrorKind::ConnectionReset
        );
        assert!(feed.next().is_none());
    }

    #[test]
    fn memory_does_not_grow_with_an_endless_line() {
        let start = format!("{MEMBER_HEADER}\n\"");
        let end = format!("\n{MEMBER}\n");
        let endless = io::repeat(b'x').take(10 * 1024 * 1024);
        let reader = start.as_bytes().chain(endless).chain(end.as_bytes());
        let mut feed = open(RecordKind::Member, reader).unwrap();
        assert_eq!(
            feed.next().unwrap().unwrap_err().reason,
            "is longer than 64 KiB"
        );
        assert!(feed.next().unwrap().is_ok());
        assert!(feed.lines.line.capacity() <= 2 * MAX_LINE_BYTES);
    }

    /// Quotes a field.
    fn quoted(field: &str) -> String {
        format!("\"{}\"", field.replace('"', "\"\""))
    }

    proptest! {
        #[test]
        fn reading_never_panics(kind in 0..4usize, header: bool, text in prop::collection::vec(any::<u8>(), 0..400)) {
            let kind = RecordKind::ALL[kind];
            let names: Vec<_> = columns(kind).iter().map(|c| c.name).collect();
            let head = if header { names.join(",") + "\n" } else { String::new() };
            if let Ok(feed) = open(kind, &*[head.as_bytes(), &text].concat()) { feed.for_each(drop); }
        }

        #[test]
        fn no_reject_repeats_a_value(
            kind in 0..4usize,
            column in 0..13usize,
            value in "§\\PC{0,80}|§.{0,80}|[0-9;=A-Za-z-]{0,20}§",
        ) {
            let kind = RecordKind::ALL[kind];
            let header: Vec<_> = columns(kind).iter().map(|c| c.name).collect();
            let mut fields: Vec<_> = row(kind).split(',').map(quoted).collect();
            let last = fields.len() - 1;
            fields[column.min(last)] = quoted(&value);
            // Every value contains a character that no message has.
            for reject in read(kind, format!("{}\n{}\n", header.join(","), fields.join(","))) {
                prop_assert!(reject.err().is_none_or(|r| !r.to_string().contains('§')));
            }
        }

        #[test]
        fn quoted_fields_round_trip(fields in prop::collection::vec("\\PC{0,20}|[\",; ]{0,6}", 1..8)) {
            let line = fields.iter().map(|f| quoted(f)).collect::<Vec<_>>().join(",");
            prop_assert_eq!(split(&line).unwrap(), fields);
        }

        #[test]
        fn valid_rows_are_read_whatever_surrounds_them(
            rows in prop::collection::vec(prop::option::of(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                "[\",a0\r\n]{0,20}".prop_map(String::into_bytes),
            ]), 0..12),
        ) {
            let mut text = format!("{MEMBER_HEADER}\n").into_bytes();
            let mut good = Vec::new();
            for (i, bad) in rows.iter().enumerate() {
                match bad {
                    Some(bytes) => text.extend(bytes),
                    None => {
                        good.push(format!("{:09}", i));
                        text.extend(MEMBER.replace("100200302", &format!("{i:09}")).bytes());
                    }
                }
                text.push(b'\n');
            }
            let read: Vec<_> = read(RecordKind::Member, text)
                .into_iter()
                .filter_map(|row| row.ok().map(|record| record.key.number))
                .collect();
            prop_assert_eq!(read, good);
        }
    }
}
