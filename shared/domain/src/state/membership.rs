//! What an account is in one organization, and what its owner still has to do there.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::policy::{Agreement, Policy, Role};
use crate::state::record::{Mac, RecordKey};
use crate::values::ids::{AccountId, IssueId, MessageId, OrganizationId};
use crate::values::text::PostalAddress;

/// A PIN or registration code on its way to its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its tries are counted under this, and its code is bound to it.
    pub id: IssueId,
    /// The keyed code of the digits.
    pub code: Mac,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Until when it can be entered.
    pub expires_at: Timestamp,
    /// The mail or letter that carries it.
    pub carried_by: MessageId,
    /// Whether the letter goes abroad (ME-08).
    pub abroad: bool,
}

/// What stands between a membership and what it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "pending_step")]
pub enum PendingStep {
    /// Nothing: it is open.
    Open,
    /// An administrator has to approve (AG-08).
    Approval,
    /// The PIN of a posted letter has to be entered (ME-06, BL-04).
    Pin {
        /// The PIN.
        issue: Issue,
    },
    /// An agreement has to be on file before the PIN letter is posted (BL-10).
    PinLetterWithheld,
    /// The code of an email has to be entered (BL-08).
    RegistrationCode {
        /// The code.
        issue: Issue,
    },
    /// The plan record has ended. If it returns, the membership is where it was.
    RecordEnded {
        /// What stood there before.
        before: Box<Self>,
    },
}

/// What an account is in one organization, or, for a member of the plan, by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organization; none for members of the plan.
    pub organization: Option<OrganizationId>,
    /// What the person is there.
    pub role: Role,
    /// What stands between it and what it opens.
    pub pending_step: PendingStep,
    /// The services assigned.
    pub services: BTreeSet<String>,
    /// The group codes assigned.
    pub group_codes: BTreeSet<String>,
    /// Since when.
    pub joined_at: Timestamp,
    /// The last day, in the portal's time zone, on which it opens anything (UX-07); none: no end.
    pub end_date: Option<Date>,
    /// When a manager last confirmed it in a review of access (EX-11).
    pub confirmed: Option<Confirmation>,
    /// When the person last registered again in a campaign (AG-13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_again_at: Option<Timestamp>,
    /// How the person registered, where it was against the plan's records.
    pub registration_type: Option<String>,
    /// The plan record they registered with.
    pub record: Option<RecordKey>,
    /// The record's category.
    pub category: Option<String>,
    /// The agreements on file for it, with their revisions: one organization's open no other.
    pub agreements: BTreeMap<String, String>,
    /// Those of them that the help desk has recorded and the plan's feed doesn't tell yet.
    pub ahead_of_feed: BTreeSet<String>,
    /// Where its PIN letter goes, on portals where the person says so (BL-03). Sealed in the table.
    pub postal_address: Option<PostalAddress>,
}

impl Membership {
    /// What it is to have joined an organization by its administrators' doing: no record, no way.
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
            confirmed: None,
            registered_again_at: None,
            end_date: None,
            registration_type: None,
            record: None,
            category: None,
            agreements: BTreeMap::new(),
            ahead_of_feed: BTreeSet::new(),
            postal_address: None,
        }
    }

    /// Returns whether the owner of this membership has to sign an agreement.
    pub fn needs(&self, agreement: &Agreement) -> bool {
        agreement.applies_to(self.registration_type.as_deref(), self.category.as_deref())
    }

    /// The first agreement that isn't on file in its current revision (AG-11, BL-10, UX-13).
    pub fn missing_agreement<'p>(&self, policy: &'p Policy) -> Option<&'p Agreement> {
        policy
            .agreements
            .iter()
            .find(|a| self.needs(a) && !a.is_current(&self.agreements))
    }

    /// Whether its last day is over (UX-07). What is over opens nothing; that it is still there only
    /// means that nobody has removed it yet.
    pub fn is_over(&self, today: Date) -> bool {
        self.end_date.is_some_and(|last| last < today)
    }

    /// How far the person's registration is (BL-02).
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

/// How far a registration is, as administrators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// A PIN or registration code has to be entered (BL-02).
    Pending,
    /// An administrator has to approve (AG-08).
    AwaitingApproval,
    /// Complete.
    Registered,
    /// The plan record that it rests on has ended.
    RecordEnded,
}

impl Registration {
    /// As it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Registered => "registered",
            Self::RecordEnded => "record_ended",
        }
    }
}

/// Where a PIN letter is on its way (ME-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterStatus {
    /// The day it was issued.
    pub issued_on: Date,
    /// The first day on which it should be there.
    pub arrives_from: Date,
    /// The day by which it should be there.
    pub arrives_by: Date,
    /// Whether that day is over, so that the address on record should be checked.
    pub overdue: bool,
}

impl LetterStatus {
    /// The status of a letter; none on a portal without PIN letters.
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
        })
    }
}

/// That a manager has confirmed somebody's access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Who.
    pub by: AccountId,
    /// What they are called.
    pub name: String,
    /// When.
    pub at: Timestamp,
}
