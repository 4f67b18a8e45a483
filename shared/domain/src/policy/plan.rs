//! `[plan]`, `[help_desk]` and `[help_desk_for]`: the insurer, its help desk, and whom a help desk serves.

use std::collections::BTreeSet;

use super::fields::{CountryField, EmailField, Line, Slug};
use super::read::section;
use crate::values::ids::PortalId;

section! {
    /// The insurer that runs the portal.
    pub struct Plan {
        /// The identifier of the plan whose records are used; portals of one insurer share it.
        pub id: Slug,
        pub name: Line,
        /// The return address on letters, line by line.
        pub return_address: Vec<Line>,
        /// The country its letters are mailed from. It decides the paper size and which letters are international.
        pub home_country: CountryField,
    }
}

section! {
    /// The help desk that users can contact (AG-18).
    pub struct HelpDesk {
        pub name: Line,
        pub phone: Line,
        /// Its opening hours.
        pub hours: Line,
        pub email: Option<EmailField> = None,
    }
}

section! {
    /// The portals whose users a help desk serves (UX-12).
    #[derive(Default)]
    pub struct HelpDeskFor {
        /// The portals; empty: all of the same insurer.
        pub portals: BTreeSet<PortalId> = BTreeSet::new(),
    }
}
