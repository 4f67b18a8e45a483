//! Scheduled follow-ups of an organization, and notices to its administrators.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::policy::Role;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::Email;

/// The purpose of a follow-up.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum FollowUpKind {
    /// Notify administrators of scheduled actions on their users.
    AdminNotice,
    /// Check whether the organization has a backup administrator (AG-04).
    Backup,
    /// Check whether an access review is due or incomplete (EX-11).
    Review,
}

impl FollowUpKind {
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;
}

/// A scheduled check of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    pub portal: PortalId,
    pub organization: OrganizationId,
    pub kind: FollowUpKind,
    /// The first day on which it is due.
    pub on: Date,
    /// Incremented each time it is set. It can be completed only if it has not been set again since
    /// it was read.
    pub version: u64,
}

/// A notice to an organization's administrators. Notices of one day are sent together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminNotice {
    pub portal: PortalId,
    pub organization: OrganizationId,
    /// The user concerned.
    pub account: AccountId,
    /// The user's name.
    pub person: String,
    pub username: String,
    pub outcome: AccountOutcome,
    pub on: Date,
}

/// An administrator who can act for an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    pub account: AccountId,
    pub role: Role,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
    pub name: String,
    pub email: Email,
}

/// The result of a scheduled action on a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountOutcome {
    /// The account was disabled: no sign-in for too long (BA-01).
    Disabled,
    /// The access was removed: its end date had passed (UX-07).
    Ended,
    /// The account was deleted: disabled, and no sign-in for too long (BA-02).
    Deleted,
}
