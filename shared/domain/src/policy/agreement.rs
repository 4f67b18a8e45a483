//! `[[agreement]]`: agreements that have to be signed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::fields::{Line, Slug, WebAddress};
use super::read::{List, leaves, section};
use super::registration::RegistrationType;

/// Who records that an agreement is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedBy {
    /// The plan, from the signed paper; the plan records say so (AG-11).
    Plan,
    /// The user, by accepting it on the portal (UX-13).
    User,
}

/// What is blocked until an agreement is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// All protected information (AG-11).
    ProtectedInformation,
    PinLetter,
}

section! {
    /// An agreement and its current revision.
    pub struct Agreement {
        /// Its identifier in the API and in the plan records.
        pub id: Slug,
        pub title: Line,
        /// The current revision. An older one on file doesn't count.
        pub revision: Line,
        /// The address of its form.
        pub form_url: WebAddress,
        pub recorded_by: RecordedBy,
        pub blocks: Blocks,
        /// The registration types that require it; empty: all.
        pub registration_types: BTreeSet<Slug> = BTreeSet::new(),
        /// The categories of plan record that require it; empty: all.
        pub categories: BTreeSet<Slug> = BTreeSet::new(),
    }
}

impl Agreement {
    /// Returns whether it is required for a registration type and a category of plan record.
    pub fn applies_to(&self, registration_type: Option<&str>, category: Option<&str>) -> bool {
        let among = |set: &BTreeSet<Slug>, value: Option<&str>| {
            set.is_empty() || value.is_some_and(|v| set.iter().any(|s| s.as_str() == v))
        };
        among(&self.registration_types, registration_type) && among(&self.categories, category)
    }

    /// Returns whether the revision on file is current. Revisions are compared as text, so policies
    /// number them by date.
    pub fn is_current(&self, on_file: &BTreeMap<String, String>) -> bool {
        on_file
            .get(self.id.as_str())
            .is_some_and(|r| r.as_str() >= self.revision.as_str())
    }
}

leaves!(RecordedBy, Blocks);

impl Agreement {
    /// Checks that the registration types it names exist, and that what it blocks exists for them.
    pub(super) fn check(
        &self,
        i: usize,
        registration_types: &List<RegistrationType>,
        faults: &mut Faults,
    ) {
        let pin_letter = self.blocks == Blocks::PinLetter;
        for id in &self.registration_types {
            let field = || format!("agreement[{i}].registration_types");
            let mut named = registration_types
                .iter()
                .filter(|(_, registration_type)| registration_type.id == *id);
            if registration_types.lacks(|registration_type| registration_type.id == *id) {
                faults.add(field(), format!("{id} is no [[registration_type]]"));
            } else if pin_letter && named.any(|(_, registration_type)| !registration_type.pin) {
                let reason = format!("{id} has no PIN letter to withhold");
                faults.add(field(), reason);
            }
        }
        if pin_letter && self.recorded_by != RecordedBy::Plan {
            faults.add(
                format!("agreement[{i}].recorded_by"),
                "must be \"plan\" where the PIN letter waits for it",
            );
        }
    }
}
