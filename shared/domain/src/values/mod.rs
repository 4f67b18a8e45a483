//! Values: text, identifiers, countries, passkeys, and the kinds of plan record.

pub mod address;
pub(crate) mod base64url;
pub(crate) mod countries;
pub mod csv;
pub mod folding;
pub mod ids;
pub mod passkey;
pub mod record_kind;
pub mod source;
pub mod text;
