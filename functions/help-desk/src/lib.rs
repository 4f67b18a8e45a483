//! What the plan's help desk does for the users of the portals that it supports: find, view and
//! change accounts (UX-12). Staff sign in on the help desk's own portal; everything they view or do
//! is recorded on the audit trail of the account's portal.

mod account_context;
mod correct_address;
mod detach_record;
mod find_accounts;
mod list_invitations;
mod record_agreement;
mod reinstate;
mod reissue_code;
mod reissue_pin;
mod remove;
mod rename;
mod resend_invitation;
mod reset_second_factors;
mod secure;
mod set_subscriptions;
mod show;
mod start_reset;
mod unlock;
mod unlock_record;

use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::state::account::{Account, Status};
use vestibule_domain::state::membership::{LetterStatus, Membership, PendingStep};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::text::Email;
use vestibule_http::responses::{self, EmailDeliveryProblem};
use vestibule_http::second_factor::FactorResetResponse;

vestibule_http::routes! {
    find_accounts::find_accounts,
    show::show,
    list_invitations::list_invitations,
    reissue_pin::reissue_pin,
    reissue_code::reissue_code,
    resend_invitation::resend_invitation,
    start_reset::start_reset,
    reset_second_factors::start_factor_reset,
    unlock::unlock,
    unlock_record::unlock_record,
    secure::secure,
    reinstate::reinstate,
    rename::rename,
    set_subscriptions::set_subscriptions,
    correct_address::correct_address,
    remove::remove,
    record_agreement::record_agreement,
    detach_record::detach_record,
}

/// An account, as shown to the help desk. It contains no secrets and nothing that verifies the
/// owner's identity; the email address is masked so that a caller can be asked for it.
#[derive(Debug, Serialize, ToSchema)]
struct AccountResponse {
    /// The portal that the account belongs to.
    portal: String,
    id: String,
    username: String,
    first_name: String,
    last_name: String,
    /// The email address, masked except for its first character and its domain. Absent if the
    /// account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// Why emails can't be delivered to the address, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_undeliverable: Option<EmailDeliveryProblem>,
    /// Whether a new email address is awaiting confirmation.
    has_pending_email_change: bool,
    /// The account status: `active`, `disabled` or `deleted`.
    status: &'static str,
    /// Whether sign-in or recovery is temporarily locked after too many failed attempts.
    is_locked: bool,
    created_at: String,
    /// When the owner last signed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sign_in_at: Option<String>,
    /// When the password was last changed. Absent if no password has been set.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_changed_at: Option<String>,
    /// Whether the owner must change the password at the next sign-in.
    must_change_password: bool,
    /// When the latest password reset link expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    reset_link_expires_at: Option<String>,
    /// Whether the owner has a second factor that the portal uses.
    has_second_factor: bool,
    /// The reset of the second factors that was started. Absent if none is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    second_factor_reset: Option<FactorResetResponse>,
    /// The e-news publications that the owner subscribes to.
    subscriptions: Vec<String>,
    /// The account's role and status in each organization.
    memberships: Vec<MembershipResponse>,
}

/// The role and status of an account in one organization, or on its own.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_id: Option<String>,
    /// The organization's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    role: &'static str,
    /// The registration status: `pending`, `awaiting_approval` or `registered` (BL-02).
    registration: &'static str,
    joined_at: String,
    /// The last day of access. Absent if access has no end date.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    /// The pending PIN letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    letter: Option<AccountLetterResponse>,
    /// The last day on which the pending registration code can be entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_code_expires_on: Option<String>,
    /// The id of an agreement that has not been signed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_agreement: Option<String>,
    /// The registration campaign, if the person must register again, with its deadline (AG-13).
    #[serde(skip_serializing_if = "Option::is_none")]
    register_again: Option<responses::ReregistrationDeadlines>,
}

/// The status of a PIN letter.
#[derive(Debug, Serialize, ToSchema)]
struct AccountLetterResponse {
    /// The letter's status: `mailed`, `overdue`, `not_printed` if the address must be corrected first, or
    /// `withheld` until an agreement is on file.
    status: &'static str,
    /// The day on which the letter was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_on: Option<String>,
    /// The day by which the letter should arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrives_by: Option<String>,
    /// The last day on which the PIN can be entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<String>,
}

impl AccountLetterResponse {
    fn of(membership: &Membership, policy: &Policy, now: jiff::Timestamp) -> Option<Self> {
        match &membership.pending_step {
            PendingStep::PinLetterWithheld => Some(Self {
                status: "withheld",
                issued_on: None,
                arrives_by: None,
                expires_on: None,
            }),
            PendingStep::Pin { issue } => {
                let letter = LetterStatus::of(issue, policy, now)?;
                Some(Self {
                    status: letter.as_str(),
                    issued_on: Some(letter.issued_on.to_string()),
                    arrives_by: (!letter.not_printed).then(|| letter.arrives_by.to_string()),
                    expires_on: Some(policy.last_day(issue.expires_at).to_string()),
                })
            }
            PendingStep::Open
            | PendingStep::Approval
            | PendingStep::RegistrationCode { .. }
            | PendingStep::RecordEnded { .. } => None,
        }
    }
}

impl MembershipResponse {
    fn of(
        membership: &Membership,
        organizations: &[Organization],
        policy: &Policy,
        now: jiff::Timestamp,
    ) -> Self {
        let id = membership.organization.as_ref();
        let code = match &membership.pending_step {
            PendingStep::RegistrationCode { issue } => {
                Some(policy.last_day(issue.expires_at).to_string())
            }
            _ => None,
        };
        Self {
            organization_id: id.map(ToString::to_string),
            organization: organizations
                .iter()
                .find(|o| Some(&o.id) == id)
                .map(|o| o.name.clone()),
            role: membership.role.into_str(),
            registration: membership.registration().into_str(),
            joined_at: responses::moment(membership.joined_at),
            end_date: membership.end_date.map(|d| d.to_string()),
            letter: AccountLetterResponse::of(membership, policy, now),
            registration_code_expires_on: code,
            missing_agreement: membership
                .missing_agreement(policy)
                .map(|a| a.id.to_string()),
            register_again: responses::register_again(Some(membership), policy, now),
        }
    }
}

impl AccountResponse {
    fn of(
        account: &Account,
        organizations: &[Organization],
        locked: bool,
        policy: &Policy,
        now: jiff::Timestamp,
    ) -> Self {
        let password = account.password.as_ref();
        Self {
            portal: account.portal.to_string(),
            id: account.id.to_string(),
            username: account.username.to_string(),
            first_name: account.name.first.to_string(),
            last_name: account.name.last.to_string(),
            email: masked_email(account),
            email_undeliverable: account.email_undeliverable.map(Into::into),
            has_pending_email_change: account.pending_email.is_some(),
            status: account.status.into_str(),
            is_locked: locked,
            created_at: responses::moment(account.created_at),
            last_sign_in_at: account.last_sign_in_at.map(responses::moment),
            password_changed_at: password.map(|p| responses::moment(p.changed_at)),
            must_change_password: password.is_some_and(|p| p.must_change),
            reset_link_expires_at: account
                .reset
                .as_ref()
                .filter(|r| now < r.expires_at)
                .map(|r| responses::moment(r.expires_at)),
            has_second_factor: account.has_second_factor(policy),
            second_factor_reset: FactorResetResponse::of(account, now),
            subscriptions: account.subscriptions.iter().cloned().collect(),
            memberships: account
                .memberships
                .iter()
                .map(|m| MembershipResponse::of(m, organizations, policy, now))
                .collect(),
        }
    }
}

/// Masks an email address except for its first character and its domain. Returns `None` for a
/// deleted account.
fn masked_email(account: &Account) -> Option<String> {
    if account.status == Status::Deleted {
        return None;
    }
    masked(&account.email)
}

fn masked(email: &Email) -> Option<String> {
    let (local, domain) = email.as_str().rsplit_once('@')?;
    Some(format!("{}…@{domain}", local.chars().next()?))
}
