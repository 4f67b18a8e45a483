//! `[email]`: the sender, and where an address must be unique.

use super::fields::{EmailField, Slug};
use super::read::section;

section! {
    /// Email addresses.
    pub struct EmailPolicy {
        /// If set, an address belongs to at most one account across all portals with the same realm (EX-08).
        pub unique_in: Option<Slug> = None,
        /// The sender of the portal's emails.
        pub from: EmailField,
    }
}
