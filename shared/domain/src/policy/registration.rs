//! `[[registration_type]]`: the ways to register against the plan's records.

use std::collections::BTreeSet;

use super::faults::Faults;
use super::fields::{Line, Slug};
use super::offers::Offered;
use super::read::{List, section};
use super::roles::{Permission, ReadRoles, Role};
use crate::values::record_kind::{Fact, RecordKind};

section! {
    /// The plan records that are eligible for a registration type.
    #[derive(Default)]
    pub struct RecordCondition {
        /// The eligible categories of provider, group or agent; empty: all.
        pub categories: BTreeSet<Slug> = BTreeSet::new(),
        /// Whether the provider must or must not participate in the plan's network; absent: either.
        pub participating: Option<bool> = None,
    }
}

section! {
    /// A registration type: one way to register against the plan's records.
    pub struct RegistrationType {
        /// Its identifier in the API.
        pub id: Slug,
        pub title: Line,
        /// The kind of plan record that is looked up.
        pub record_type: RecordKind,
        /// The facts that must match, besides the number that finds the record (AG-07, ME-01, EX-05).
        pub verify: BTreeSet<Fact>,
        /// The role that the person gets.
        pub role: Role,
        /// The kind of organization that is registered; absent for members.
        pub organization: Option<Line> = None,
        /// Whether the person must attest that they can sign for the organization (AG-03).
        pub requires_signing_authority: bool = false,
        /// The eligible records.
        pub eligible: RecordCondition = RecordCondition::default(),
        /// Shown to a person whose record matches but is not eligible (EX-04).
        pub ineligible_message: Option<Line> = None,
        /// Whether the PIN of a letter must be entered before protected information is shown.
        pub pin: bool = false,
        /// The services that the person gets; absent: all that the portal offers.
        pub services: Option<BTreeSet<Slug>> = None,
        /// Whether a person who joins an organization that exists already must be approved by those who
        /// manage it (SE-08).
        pub joining_requires_approval: bool = false,
        /// Whether the plan sends newly eligible providers a letter with the numbers they need (EX-06).
        pub notification_letter: bool = false,
    }
}

impl RegistrationType {
    /// Checks that a registration type is complete, and that the sections it refers to exist.
    pub(super) fn check(
        &self,
        i: usize,
        has_pin: bool,
        roles: Option<&ReadRoles>,
        services: &List<Offered>,
        faults: &mut Faults,
    ) {
        let mut no = |field: &str, reason: String| {
            faults.add(format!("registration_type[{i}].{field}"), reason)
        };
        if self.verify.is_empty() {
            no("verify", "must name at least one fact".into());
        }
        for fact in self.verify.iter().filter(|f| !self.record_type.has(**f)) {
            let reason = format!("records of this kind hold no {}", fact.into_str());
            no("verify", reason);
        }
        if (self.role == Role::Member) == self.organization.is_some() {
            no(
                "organization",
                "must be given for every role but member".into(),
            );
        }
        if self.pin && !has_pin {
            no("pin", "needs a [pin] section".into());
        }
        let conditional =
            !self.eligible.categories.is_empty() || self.eligible.participating.is_some();
        if conditional != self.ineligible_message.is_some() {
            no(
                "ineligible_message",
                "must be given exactly where eligible is".into(),
            );
        }
        if self.joining_requires_approval {
            if self.pin {
                no(
                    "joining_requires_approval",
                    "goes without pin: a step is pending until the PIN is entered".into(),
                );
            }
            if roles.is_some_and(|r| r.lacks_permission(Permission::ApproveUsers)) {
                no(
                    "joining_requires_approval",
                    "needs a role with approve_users".into(),
                );
            }
        }
        if self.role.is_help_desk() {
            no("role", "is never registered: staff are invited".into());
        } else if roles.is_some_and(|r| r.lacks(self.role)) {
            let reason = format!("has no [roles.{}] section", self.role.into_str());
            no("role", reason);
        }
        for service in self.services.iter().flatten() {
            if services.lacks(|offered| offered.id == *service) {
                no("services", format!("{service} is no [[service]]"));
            }
        }
    }
}

/// Checks that a portal has registration types, and a help desk none.
pub(super) fn check_presence(has_types: bool, is_help_desk: bool, faults: &mut Faults) {
    match (is_help_desk, has_types) {
        (false, false) => faults.add(
            "registration_type",
            "must be given at least once: [[registration_type]]",
        ),
        (true, true) => faults.add(
            "registration_type",
            "goes without [help_desk_for]: a help desk's staff are in no plan records",
        ),
        _ => {}
    }
}
