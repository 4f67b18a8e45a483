//! Small pieces that several answers share.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::account::{Membership, NextStep, Undeliverable};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// Send it as `cursor` to get the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A moment as RFC 3339 in UTC.
pub fn moment(at: Timestamp) -> String {
    at.to_string()
}

/// The name of the step a session has to do first.
pub fn step(step: Option<NextStep>) -> Option<&'static str> {
    step.map(NextStep::as_str)
}

/// That mails don't reach an address.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmailUndeliverable {
    /// Since when it is known.
    pub since: String,
    /// `bounced`: there is no such address, and nothing more is sent there; `refused`: a mail could not
    /// be sent there; `complained`: somebody there called a mail unwanted.
    pub kind: &'static str,
}

impl From<Undeliverable> for EmailUndeliverable {
    fn from(undeliverable: Undeliverable) -> Self {
        Self {
            since: moment(undeliverable.since),
            kind: undeliverable.kind.as_str(),
        }
    }
}

/// What a membership opens, once nothing stands in front of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entitlements {
    /// The organisation worked for; absent for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation_id: Option<String>,
    /// The role there.
    pub role: String,
    /// The services assigned.
    pub services: Vec<String>,
    /// The group codes assigned.
    pub group_codes: Vec<String>,
}

impl Entitlements {
    /// Those of a membership.
    pub fn of(membership: &Membership) -> Self {
        Self {
            organisation_id: membership.organisation.as_ref().map(ToString::to_string),
            role: membership.role.as_str().to_owned(),
            services: membership.services.iter().cloned().collect(),
            group_codes: membership.group_codes.iter().cloned().collect(),
        }
    }
}
