//! Parts that several responses share.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::campaign;
use vestibule_domain::rules::next_step::{NextStep, next_step};
use vestibule_domain::state::account::{Account, Undeliverable};
use vestibule_domain::state::membership::Membership;

use crate::Caller;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The value to send as `cursor` to get the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Formats a time as RFC 3339 in UTC.
pub fn moment(at: Timestamp) -> String {
    at.to_string()
}

/// Returns the API name of a pending step.
pub fn step(step: Option<NextStep>) -> Option<&'static str> {
    step.map(|s| s.into_str())
}

/// Returns the API name of the reason for a pending step, if it has one.
pub fn reason(step: Option<NextStep>) -> Option<&'static str> {
    step.and_then(NextStep::reason)
}

/// A delivery problem of an email address.
#[derive(Debug, Serialize, ToSchema)]
pub struct EmailDeliveryProblem {
    /// When the problem was detected.
    pub detected_at: String,
    /// The kind of problem. `bounced`: the address does not exist, and no more email is sent to it;
    /// `refused`: an email could not be sent to it; `complained`: the recipient marked an email as
    /// unwanted.
    pub kind: &'static str,
}

impl From<Undeliverable> for EmailDeliveryProblem {
    fn from(undeliverable: Undeliverable) -> Self {
        Self {
            detected_at: moment(undeliverable.detected_at),
            kind: undeliverable.kind.into_str(),
        }
    }
}

/// The deadlines of a registration campaign.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReregistrationDeadlines {
    /// The last day of access without registering again, `YYYY-MM-DD`.
    pub access_end_date: String,
    /// The last day on which the user can register again, `YYYY-MM-DD`.
    pub cutoff_date: String,
}

/// Returns the campaign deadlines that apply to a membership, if any (AG-13).
pub fn register_again(
    membership: Option<&Membership>,
    policy: &Policy,
    now: Timestamp,
) -> Option<ReregistrationDeadlines> {
    let call = campaign::call(membership?, policy, policy.today(now))?;
    Some(ReregistrationDeadlines {
        access_end_date: call.access_expires_at.to_string(),
        cutoff_date: call.cutoff.to_string(),
    })
}

/// A hint question.
#[derive(Debug, Serialize, ToSchema)]
pub struct HintResponse {
    /// The question.
    pub question: String,
}

/// The user's next step or entitlements after completing a step.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextStepResponse {
    /// The step that the user must complete next; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<&'static str>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The user's entitlements; absent while a step must still be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entitlements: Option<EntitlementsResponse>,
}

impl NextStepResponse {
    /// Builds the response for the caller's session from the updated account.
    pub fn of(account: &Account, caller: &Caller) -> Self {
        let membership = account.membership(caller.session.organization.as_ref());
        let next_step = next_step(account, &caller.session, &caller.policy, caller.origin.at);
        Self {
            next_step: step(next_step),
            reason: reason(next_step),
            entitlements: membership
                .filter(|_| next_step.is_none())
                .map(EntitlementsResponse::of),
        }
    }
}

/// What a membership gives access to.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntitlementsResponse {
    /// The id of the current organization; absent for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<String>,
    /// The user's role in the organization.
    pub role: String,
    /// The ids of the services assigned to the user.
    pub services: Vec<String>,
    /// The group codes assigned to the user.
    pub group_codes: Vec<String>,
}

impl EntitlementsResponse {
    pub fn of(membership: &Membership) -> Self {
        Self {
            organization_id: membership.organization.as_ref().map(ToString::to_string),
            role: membership.role.into_str().to_owned(),
            services: membership.services.iter().cloned().collect(),
            group_codes: membership.group_codes.iter().cloned().collect(),
        }
    }
}
