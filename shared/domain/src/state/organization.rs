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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Organization {
    pub id: OrganizationId,
    pub portal: PortalId,
    /// The kind of organization, such as "agency" or "practice".
    pub kind: String,
    /// The name in the plan's records.
    pub name: String,
    /// The plan record it registered with; `None` for the plan's own help desk.
    pub record: Option<RecordKey>,
    /// The account that registered it first (AG-03).
    pub registered_by: AccountId,
    pub registered_at: Timestamp,
    /// When it was last registered again in a campaign, by a person who verified against the plan
    /// record (AG-13).
    pub registered_again_at: Option<Timestamp>,
    /// Incremented by every change. Every write is conditional on it.
    pub version: u64,
    /// When the help desk ended it because its plan record had been matched by mistake. The record
    /// can be used again.
    pub ended_at: Option<Timestamp>,
    /// The principals. The last one can't be removed unless the organization ends.
    pub principals: BTreeSet<AccountId>,
    /// The group codes that can be assigned to its users.
    pub group_codes: BTreeSet<String>,
    /// The latest access review, if there was one (EX-11).
    pub review: Option<Review>,
    /// When the next access review is due; `None` on portals without reviews.
    pub next_review_due_on: Option<Date>,
}

/// An access review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// When it started. Users who joined later aren't included.
    pub started_at: Timestamp,
    pub started_by: Actor,
    /// The last day to complete the review. Managers are reminded after it.
    pub due_date: Date,
}

/// A person who was included in an access review and has been removed since, for any reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    pub account: AccountId,
    pub username: String,
    pub name: PersonName,
    pub role: Role,
    /// Who removed the person.
    pub by: Actor,
    pub at: Timestamp,
}

/// Returns the day of the next review, counted from the latest review or the registration; `None`
/// on a portal without reviews.
pub fn next_due_on(policy: &Policy, from: Timestamp) -> Option<Date> {
    let interval_days = policy.access_review.as_ref()?.interval_days.get();
    Some(
        policy
            .today(from)
            .saturating_add(i64::from(interval_days).days()),
    )
}
