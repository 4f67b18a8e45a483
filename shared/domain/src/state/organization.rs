//! Organizations: agencies, employer groups, practices, facilities, billing agencies.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Role};
use crate::state::audit::Actor;
use crate::state::record::RecordKey;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::PersonName;
use jiff::ToSpan;

/// An organization that registered on a portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    /// Its identifier.
    pub id: OrganizationId,
    /// Its portal.
    pub portal: PortalId,
    /// What it is: "agency", "practice".
    pub kind: String,
    /// What the plan calls it.
    pub name: String,
    /// The plan record it registered with; none for the plan's own help desk.
    pub record: Option<RecordKey>,
    /// Who registered it first (AG-03).
    pub registered_by: AccountId,
    /// When.
    pub registered_at: Timestamp,
    /// When somebody who proved it with the plan's record last did so again in a campaign (AG-13).
    pub registered_again_at: Option<Timestamp>,
    /// Counts its changes; every write is conditional on it.
    pub version: u64,
    /// When the help desk ended it: its record had been matched by mistake, and is free again.
    pub ended_at: Option<Timestamp>,
    /// Its principals. It never loses the last one, but at its end.
    pub principals: BTreeSet<AccountId>,
    /// The group codes that can be assigned to its people.
    pub group_codes: BTreeSet<String>,
    /// The latest review of access, if there was one (EX-11).
    pub review: Option<Review>,
    /// When the next one is due; none on portals without.
    pub next_review_due_on: Option<Date>,
}

/// The latest review of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// When it began. Who came later isn't in it.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: Actor,
    /// The last day for the answers; from then on managers are chased.
    pub due_date: Date,
}

/// Somebody who was in a review and was removed since, in answer to it or otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Who.
    pub account: AccountId,
    /// Their username.
    pub username: String,
    /// The person.
    pub name: PersonName,
    /// What they were.
    pub role: Role,
    /// Who removed them.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// The day of the next review, counted from one or from the registration; none on a portal without.
pub fn next_due_on(policy: &Policy, from: Timestamp) -> Option<Date> {
    let every = policy.access_review.as_ref()?.interval_days.get();
    Some(policy.today(from).saturating_add(i64::from(every).days()))
}
