//! Collects what is wrong with the fields of a request, so that a person learns all of it at once.

use vestibule_domain::text::Invalid;

use crate::problem::{FieldError, Problem};

/// The faults found so far.
#[derive(Debug, Default)]
pub struct Fields(Vec<FieldError>);

impl Fields {
    /// Takes a parsed field, or notes what is wrong with it.
    pub fn take<T>(&mut self, field: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed
            .map_err(|fault| self.fault(field, fault.to_string()))
            .ok()
    }

    /// Takes a field that must be there, and parses it.
    pub fn required<T>(
        &mut self,
        field: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let Some(text) = text else {
            self.fault(field, "is required");
            return None;
        };
        self.take(field, parse(text))
    }

    /// Notes a fault.
    pub fn fault(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(FieldError {
            field: field.to_owned(),
            detail: detail.into(),
        });
    }

    /// Notes a fault where a field is given that has no place here.
    pub fn unwanted(&mut self, field: &str, given: bool, why: &str) {
        if given {
            self.fault(field, why);
        }
    }

    /// What was parsed, if nothing is wrong.
    ///
    /// # Errors
    /// A problem that names every wrong field.
    pub fn finish<T>(self, parsed: Option<T>) -> Result<T, Problem> {
        match parsed {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.0)),
        }
    }
}
