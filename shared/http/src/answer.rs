//! Small pieces that several answers share.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::account::{Account, Membership, NextStep, Undeliverable};
use vestibule_domain::campaign;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::next_step::next_step;

use crate::Caller;

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

/// That one has to register again.
#[derive(Debug, Serialize, ToSchema)]
pub struct RegisterAgain {
    /// The last day on which everything stays open all the same, `YYYY-MM-DD`.
    pub access_until: String,
    /// The last day on which it can be done.
    pub cutoff: String,
}

/// What a campaign asks of somebody for one of their memberships (AG-13).
pub fn register_again(
    membership: Option<&Membership>,
    policy: &Policy,
    now: Timestamp,
) -> Option<RegisterAgain> {
    let call = campaign::call(membership?, policy, policy.today(now))?;
    Some(RegisterAgain {
        access_until: call.access_until.to_string(),
        cutoff: call.cutoff.to_string(),
    })
}

/// What a step leads to.
#[derive(Debug, Serialize, ToSchema)]
pub struct Onward {
    /// What has to be done before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<&'static str>,
    /// What is open now, once nothing has to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlements: Option<Entitlements>,
}

impl Onward {
    /// Where the caller's session stands with the account as it is now.
    pub fn of(account: &Account, caller: &Caller) -> Self {
        let membership = account.membership(caller.session.organization.as_ref());
        let next_step = next_step(account, membership, &caller.policy, caller.origin.at);
        Self {
            next_step: step(next_step),
            entitlements: membership
                .filter(|_| next_step.is_none())
                .map(Entitlements::of),
        }
    }
}

/// What a membership opens, once nothing stands in front of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Entitlements {
    /// The organization worked for; absent for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
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
            organization_id: membership.organization.as_ref().map(ToString::to_string),
            role: membership.role.as_str().to_owned(),
            services: membership.services.iter().cloned().collect(),
            group_codes: membership.group_codes.iter().cloned().collect(),
        }
    }
}
