//! Invitations into an organization (AG-01, AG-05, UX-01).

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::Role;
use crate::values::ids::{AccountId, InvitationId, OrganizationId, PortalId};
use crate::values::text::{Email, PersonName};

/// Where an invitation stands. That it is expired follows from the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// It waits for the invited person.
    Pending,
    /// The person has registered with it.
    Accepted {
        /// As this account.
        account: AccountId,
    },
    /// An administrator took it back.
    Revoked,
}

/// An invitation. An organization has at most one for an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Its identifier, from organization and address.
    pub id: InvitationId,
    /// Counts its changes.
    pub version: u64,
    /// The portal.
    pub portal: PortalId,
    /// The organization.
    pub organization: OrganizationId,
    /// Its name, for the page behind the link.
    pub organization_name: String,
    /// Whom it is for.
    pub name: PersonName,
    /// The only address that can use it.
    pub email: Email,
    /// What the person will be.
    pub role: Role,
    /// The last day of their access, if it ends (UX-07).
    pub end_date: Option<Date>,
    /// Who sent it.
    pub invited_by: AccountId,
    /// That person's name.
    pub inviter: String,
    /// Where that person is told (AG-08).
    pub inviter_email: Email,
    /// The digest of the one token that works.
    pub token: String,
    /// When it was last sent.
    pub sent_at: Timestamp,
    /// How often it was sent.
    pub sent: u32,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: State,
}

/// Where an invitation stands at a moment, as administrators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    /// It can be used.
    Pending,
    /// Its time is over.
    Expired,
    /// The person has registered.
    Accepted,
    /// It was taken back.
    Revoked,
}

impl InvitationStatus {
    /// As it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Expired => "expired",
            Self::Accepted => "accepted",
            Self::Revoked => "revoked",
        }
    }
}

impl Invitation {
    /// The id of an organization's invitation to an address.
    pub fn natural_id(organization: &OrganizationId, email: &Email) -> InvitationId {
        let hash = Sha256::digest(format!("invitation/{organization}/{}", email.key()));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        InvitationId::from_bytes(bytes)
    }

    /// Where it stands.
    pub fn status(&self, now: Timestamp) -> InvitationStatus {
        match self.state {
            State::Accepted { .. } => InvitationStatus::Accepted,
            State::Revoked => InvitationStatus::Revoked,
            State::Pending if now >= self.expires_at => InvitationStatus::Expired,
            State::Pending => InvitationStatus::Pending,
        }
    }
}
