//! The step that a session has to complete before anything else.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::policy::Policy;
use crate::rules::campaign;
use crate::state::account::Account;
use crate::state::membership::{Membership, PendingStep};
use crate::state::session::Session;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum NextStep {
    /// Enter the second factor (MF-04). It comes before every other step.
    EnterSecondFactor,
    /// Choose a new password (AG-02, EX-09).
    ChangePassword,
    /// Set up a second factor, which the role requires (MF-02).
    SetUpSecondFactor,
    /// Choose a username again, because a campaign released it (ME-10).
    ChooseUsername,
    /// Choose the organization to work for (BL-01).
    ChooseOrganization,
    /// Register again; the campaign's transition period has ended (AG-13).
    RegisterAgain,
    /// Call the help desk; the campaign's cutoff has passed (AG-13).
    #[strum(serialize = "call_help_desk")]
    CampaignOver,
    /// Enter the PIN from the letter (BL-04).
    EnterPin,
    /// Enter the code from the email (BL-08).
    EnterRegistrationCode,
    /// Wait for an administrator's approval (AG-08).
    AwaitApproval,
    /// Sign an agreement or have it recorded (AG-11).
    SignAgreement,
    /// Call the help desk; the plan record has ended.
    #[strum(serialize = "call_help_desk")]
    RecordEnded,
}

impl NextStep {
    /// Returns why the user must call the help desk; `None` for every other step.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::CampaignOver => Some("campaign_cutoff_passed"),
            Self::RecordEnded => Some("record_ended"),
            _ => None,
        }
    }
}

/// Returns the first step for a session of an account, or `None` if it has full access.
pub fn next_step(
    account: &Account,
    session: &Session,
    policy: &Policy,
    now: Timestamp,
) -> Option<NextStep> {
    if account.has_second_factor(policy) && !session.has_second_factor() {
        return Some(NextStep::EnterSecondFactor);
    }
    let membership = account.membership(session.organization.as_ref());
    step_after_sign_in(account, membership, policy, now)
}

/// Returns the first step for an account that is signed in with all its factors and works for `membership`.
pub fn step_after_sign_in(
    account: &Account,
    membership: Option<&Membership>,
    policy: &Policy,
    now: Timestamp,
) -> Option<NextStep> {
    let password_expired = account.password.as_ref().is_some_and(|p| {
        p.must_change
            || policy
                .password_expires_at(p.changed_at)
                .is_some_and(|end| now >= end)
    });
    if password_expired {
        return Some(NextStep::ChangePassword);
    }
    let today = policy.today(now);
    if requires_second_factor(account, policy, today) && !account.has_second_factor(policy) {
        return Some(NextStep::SetUpSecondFactor);
    }
    if campaign::must_choose_username(account, policy, today) {
        return Some(NextStep::ChooseUsername);
    }
    let Some(membership) = membership else {
        return Some(NextStep::ChooseOrganization);
    };
    // A user can't register again with a record that has ended.
    if matches!(membership.pending_step, PendingStep::RecordEnded { .. }) {
        return Some(NextStep::RecordEnded);
    }
    match campaign::call(membership, policy, today) {
        Some(call) if call.is_over(today) => return Some(NextStep::CampaignOver),
        Some(call) if !call.leaves_access(today) => return Some(NextStep::RegisterAgain),
        _ => {}
    }
    match membership.pending_step {
        PendingStep::Approval => Some(NextStep::AwaitApproval),
        PendingStep::Pin { .. } => Some(NextStep::EnterPin),
        PendingStep::RegistrationCode { .. } => Some(NextStep::EnterRegistrationCode),
        PendingStep::PinLetterWithheld => Some(NextStep::SignAgreement),
        PendingStep::RecordEnded { .. } => Some(NextStep::RecordEnded),
        PendingStep::Open if membership.missing_agreement(policy).is_some() => {
            Some(NextStep::SignAgreement)
        }
        PendingStep::Open => None,
    }
}

/// Returns whether a role of the account requires a second factor (MF-02).
pub fn requires_second_factor(account: &Account, policy: &Policy, today: Date) -> bool {
    policy.second_factor.as_ref().is_some_and(|section| {
        let mut running = account.running_memberships(today);
        running.any(|m| section.required_for.contains(&m.role))
    })
}
