//! What is wrong with policy files: every fault, with its file, line and field.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// One fault of a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFault {
    /// The file's name.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, as a path such as `registration_type[0].verify`; `(file)` for the whole file.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl PolicyFault {
    /// Returns a fault in a field of the file `file` that holds `text`.
    pub(super) fn in_field(file: &str, text: &str, field: &str, reason: String) -> Self {
        Self {
            file: file.to_owned(),
            line: line_at(text, offset_of(text, field).unwrap_or(0)),
            field: field.to_owned(),
            reason,
        }
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            field,
            reason,
        } = self;
        write!(f, "{file}:{line}: {field}: {reason}")
    }
}

/// Why policy files can't be used: all their faults, file by file in the order of their lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The faults; at least one.
    pub faults: Vec<PolicyFault>,
}

impl fmt::Display for PolicyError {
    /// Writes one fault per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            let line_end = if i == 0 { "" } else { "\n" };
            write!(f, "{line_end}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyError {}

/// The faults that are found while a file is read.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Found>);

#[derive(Debug)]
struct Found {
    /// Where in the text it is; `None`: where the field is.
    offset: Option<usize>,
    field: String,
    reason: String,
}

impl Faults {
    /// Adds a fault at a place in the text.
    pub(super) fn add_at(
        &mut self,
        offset: usize,
        field: impl fmt::Display,
        reason: impl Into<String>,
    ) {
        self.0.push(Found {
            offset: Some(offset),
            field: field.to_string(),
            reason: reason.into(),
        });
    }

    /// Adds a fault in a field, which is looked up in the text later.
    pub(super) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Found {
            offset: None,
            field: field.into(),
            reason: reason.into(),
        });
    }

    /// Returns how many faults were found so far.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the faults of the file `file` that holds `text`, in the order of their lines.
    pub(super) fn into_error(self, file: &str, text: &str) -> PolicyError {
        let mut found: Vec<_> = self
            .0
            .into_iter()
            .map(|f| {
                (
                    f.offset.or_else(|| offset_of(text, &f.field)).unwrap_or(0),
                    f,
                )
            })
            .collect();
        found.sort_by_key(|(offset, _)| *offset);
        let faults = found
            .into_iter()
            .map(|(offset, found)| PolicyFault {
                file: file.to_owned(),
                line: line_at(text, offset),
                field: found.field,
                reason: found.reason,
            })
            .collect();
        PolicyError { faults }
    }
}

/// Returns the line that the byte at `offset` is on, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

/// Returns where in the text a field such as `registration_type[0].verify` is, or the nearest part of it that is there.
fn offset_of(text: &str, field: &str) -> Option<usize> {
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table: Option<&DeTable<'_>> = Some(root.get_ref());
    for part in field.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, value)) = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref() == name))
        else {
            return found;
        };
        found = Some(key.span().start);
        let mut value = value;
        if let (Some(i), DeValue::Array(array)) = (index, value.get_ref())
            && let Some(item) = array.get(i)
        {
            found = Some(item.span().start);
            value = item;
        }
        table = match value.get_ref() {
            DeValue::Table(t) => Some(t),
            _ => None,
        };
    }
    found
}
