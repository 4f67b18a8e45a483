//! `[[service]]`, `[[publication]]` and `[group_codes]`: what the portal offers.

use std::collections::BTreeSet;

use super::faults::Faults;
use super::fields::{Line, Slug};
use super::read::section;
use crate::values::text::plan_number;

section! {
    /// A service or a publication.
    pub struct Offered {
        /// Its identifier in the API.
        pub id: Slug,
        pub title: Line,
    }
}

section! {
    /// The group codes that an administrator can assign (AG-08).
    #[derive(Default)]
    pub struct GroupCodePolicy {
        /// Whether the group codes in the organization's plan record can be assigned.
        pub from_records: bool = false,
        /// The group codes that every organization can assign.
        pub offered: BTreeSet<String> = BTreeSet::new(),
    }
}

impl GroupCodePolicy {
    /// Returns the group codes that an organization can assign, given those in its plan record.
    pub fn assignable(&self, recorded: &BTreeSet<String>) -> BTreeSet<String> {
        let recorded = recorded.iter().filter(|_| self.from_records);
        self.offered.iter().chain(recorded).cloned().collect()
    }

    /// Checks the form of the codes.
    pub(super) fn check(&self, faults: &mut Faults) {
        for code in &self.offered {
            if plan_number(code).as_ref() != Ok(code) {
                faults.add(
                    "group_codes.offered",
                    format!("{code:?} is no group code: 1 to 20 capital letters, digits and -"),
                );
            }
        }
    }
}

/// Checks that no id is given twice.
pub(super) fn check_unique<'a>(
    field: &str,
    ids: impl Iterator<Item = (usize, &'a Slug)>,
    faults: &mut Faults,
) {
    let mut seen = BTreeSet::new();
    for (i, id) in ids {
        if !seen.insert(id) {
            faults.add(format!("{field}[{i}].id"), format!("{id} is given twice"));
        }
    }
}
