//! Values: text, identifiers, countries, and the kinds of plan record.

pub(crate) mod countries;
pub mod csv;
pub mod folding;
pub mod ids;
pub mod record_kind;
pub mod source;
pub mod text;
