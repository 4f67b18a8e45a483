//! What the scheduler has to do for an organization, and what it has to report to its administrators.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::policy::Role;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::Email;

/// For what the clockwork looks at an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUpKind {
    /// To tell its administrators what became of its users.
    AdminNotice,
    /// To see whether it has a backup (AG-04).
    Backup,
    /// To see whether a review of access is due or unanswered (EX-11).
    Review,
}

impl FollowUpKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AdminNotice, Self::Backup, Self::Review];

    /// As it stands in keys and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminNotice => "admin_notice",
            Self::Backup => "backup",
            Self::Review => "review",
        }
    }
}

/// That the clockwork shall look at an organization on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowUp {
    /// The portal.
    pub portal: PortalId,
    /// The organization.
    pub organization: OrganizationId,
    /// For what.
    pub kind: FollowUpKind,
    /// From which day on.
    pub on: Date,
    /// Counts how often it was set; it is answered only if nobody has set it meanwhile.
    pub version: u64,
}

/// Something that an organization's administrators are told, together with the rest of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminNotice {
    /// The portal.
    pub portal: PortalId,
    /// The organization.
    pub organization: OrganizationId,
    /// Whom it is about.
    pub account: AccountId,
    /// That person's name.
    pub person: String,
    /// Their username.
    pub username: String,
    /// What became of them.
    pub outcome: AccountOutcome,
    /// On which day.
    pub on: Date,
}

/// An administrator of an organization who can act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    /// What they are.
    pub role: Role,
    /// How they are called.
    pub name: String,
    /// Their address.
    pub email: Email,
}

/// What the clockwork did to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountOutcome {
    /// It disabled the account: no sign-in for too long (BA-01).
    Disabled,
    /// It took the access away: its last day was over (UX-07).
    Ended,
    /// It deleted the account: disabled, and no sign-in for too long (BA-02).
    Deleted,
}
