//! Collects the field errors of a request, so that the response reports all of them at once.

use vestibule_domain::values::text::Invalid;

use crate::problem::{FieldError, Problem};

/// The field errors found so far.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Returns a parsed field, or records its error.
    pub fn take<T>(&mut self, field: &str, parsed: Result<T, Invalid>) -> Option<T> {
        parsed
            .map_err(|fault| self.push(field, fault.to_string()))
            .ok()
    }

    /// Parses a required field, or records its error.
    pub fn required<T>(
        &mut self,
        field: &str,
        text: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let Some(text) = text else {
            self.push(field, "is required");
            return None;
        };
        self.take(field, parse(text))
    }

    /// Records an error.
    pub fn push(&mut self, field: &str, detail: impl Into<String>) {
        self.0.push(FieldError {
            field: field.to_owned(),
            detail: detail.into(),
        });
    }

    /// Records an error if a field is present that is not allowed.
    pub fn reject_if_present(&mut self, field: &str, given: bool, why: &str) {
        if given {
            self.push(field, why);
        }
    }

    /// Returns the parsed value if there are no errors.
    ///
    /// # Errors
    /// A problem that names every invalid field.
    pub fn into_result<T>(self, parsed: Option<T>) -> Result<T, Problem> {
        match parsed {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.0)),
        }
    }
}
