//! A membership: an account's role in one organization, and the step that its owner still has to
//! complete.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::policy::{Agreement, Policy, Role};
use crate::state::record::{Mac, RecordKey};
use crate::values::ids::{AccountId, IssueId, MessageId, OrganizationId};
use crate::values::text::PostalAddress;

/// An issued PIN or registration code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Attempts are counted under this id, and the MAC is bound to it.
    pub id: IssueId,
    /// The MAC of the digits.
    pub code: Mac,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
    /// The email or letter that contains it.
    pub carried_by: MessageId,
    /// Whether the letter goes to another country (ME-08).
    pub abroad: bool,
    /// The administrator who added the user or last sent the code. Their standing is what a
    /// registration code is worth when it is redeemed (SE-02). `None` for a PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_by: Option<AccountId>,
    /// When printing the letter failed, because its text or address does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_printed_at: Option<Timestamp>,
}

/// A step that has to be completed before a membership gives access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "pending_step")]
pub enum PendingStep {
    /// No step is pending.
    Open,
    /// An administrator has to approve the user (AG-08).
    Approval,
    /// The user has to enter the PIN from a mailed letter (ME-06, BL-04).
    Pin { issue: Issue },
    /// An agreement has to be signed before the PIN letter is mailed (BL-10).
    PinLetterWithheld,
    /// The user has to enter the code from an email (BL-08).
    RegistrationCode { issue: Issue },
    /// The plan record has ended. If it returns, the earlier step is restored.
    RecordEnded {
        /// The step to restore.
        before: Box<Self>,
    },
}

/// An account's role and access in one organization or, for a member of the plan, on their own
/// behalf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// `None` for members of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    pub role: Role,
    pub pending_step: PendingStep,
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    pub joined_at: Timestamp,
    /// The last day of access, in the portal's time zone (UX-07); `None` if it doesn't end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<Date>,
    /// The administrator who invited the user or changed their role, if another one has to approve it
    /// (UX-12).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<AccountId>,
    /// The latest confirmation in an access review (EX-11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confirmation>,
    /// When the person last registered again in a campaign (AG-13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_again_at: Option<Timestamp>,
    /// The registration type, if the person registered against the plan's records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_type: Option<String>,
    /// The plan record the person registered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordKey>,
    /// The plan record's category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The signed agreements with their revisions. They apply to this organization only.
    pub agreements: BTreeMap<String, String>,
    /// The agreements that the help desk recorded and the plan's feed doesn't contain yet.
    pub recorded_before_feed: BTreeSet<String>,
    /// Where the PIN letter is mailed, on portals where the person chooses the address (BL-03).
    /// Stored encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_address: Option<PostalAddress>,
}

impl Membership {
    /// Creates the membership of a user whom an administrator invited or added, without a plan
    /// record.
    pub(crate) fn joined(
        organization: OrganizationId,
        role: Role,
        pending_step: PendingStep,
        now: Timestamp,
    ) -> Self {
        Self {
            organization: Some(organization),
            role,
            pending_step,
            services: BTreeSet::new(),
            group_codes: BTreeSet::new(),
            joined_at: now,
            granted_by: None,
            confirmed: None,
            registered_again_at: None,
            end_date: None,
            registration_type: None,
            record: None,
            category: None,
            agreements: BTreeMap::new(),
            recorded_before_feed: BTreeSet::new(),
            postal_address: None,
        }
    }

    /// Returns whether this membership requires an agreement.
    pub fn needs(&self, agreement: &Agreement) -> bool {
        agreement.applies_to(self.registration_type.as_deref(), self.category.as_deref())
    }

    /// Returns the first required agreement that isn't signed in its current revision (AG-11,
    /// BL-10, UX-13).
    pub fn missing_agreement<'p>(&self, policy: &'p Policy) -> Option<&'p Agreement> {
        policy
            .agreements
            .iter()
            .find(|a| self.needs(a) && !a.is_current(&self.agreements))
    }

    /// Returns whether the last day of access has passed (UX-07). The membership gives no access
    /// from then on, even if the scheduler has not removed it yet.
    pub fn is_over(&self, today: Date) -> bool {
        self.end_date.is_some_and(|last| last < today)
    }

    /// Returns the progress of the registration (BL-02).
    pub const fn registration(&self) -> Registration {
        match self.pending_step {
            PendingStep::Open => Registration::Registered,
            PendingStep::Approval => Registration::AwaitingApproval,
            PendingStep::Pin { .. }
            | PendingStep::PinLetterWithheld
            | PendingStep::RegistrationCode { .. } => Registration::Pending,
            PendingStep::RecordEnded { .. } => Registration::RecordEnded,
        }
    }
}

/// The progress of a registration, as shown to administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Registration {
    /// The user has to enter a PIN or registration code (BL-02).
    Pending,
    /// An administrator has to approve the user (AG-08).
    AwaitingApproval,
    Registered,
    /// The plan record on which the membership is based has ended.
    RecordEnded,
}

/// The delivery status of a PIN letter (ME-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterStatus {
    pub issued_on: Date,
    /// The first day on which it should arrive.
    pub arrives_from: Date,
    /// The last day on which it should arrive.
    pub arrives_by: Date,
    /// Whether that day has passed. The address on record should then be checked.
    pub overdue: bool,
    /// Whether the letter could not be printed, so that none will arrive.
    pub not_printed: bool,
}

impl LetterStatus {
    /// Computes the status of a letter, or `None` on a portal without PIN letters.
    pub fn of(issue: &Issue, policy: &Policy, now: Timestamp) -> Option<Self> {
        let pin = policy.pin.as_ref()?;
        let span = if issue.abroad {
            pin.international_delivery_days
        } else {
            pin.delivery_days
        };
        let issued_on = policy.date_of(issue.issued_at);
        let arrives_by = policy.business_day_after(issued_on, span.to);
        Some(Self {
            issued_on,
            arrives_from: policy.business_day_after(issued_on, span.from),
            arrives_by,
            overdue: policy.today(now) > arrives_by,
            not_printed: issue.not_printed_at.is_some(),
        })
    }

    /// Returns the name used in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self {
                not_printed: true, ..
            } => "not_printed",
            Self { overdue: true, .. } => "overdue",
            _ => "mailed",
        }
    }
}

/// A manager's confirmation of a user's access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The manager.
    pub by: AccountId,
    /// The manager's name.
    pub name: String,
    pub at: Timestamp,
}
