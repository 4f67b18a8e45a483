//! Invitations to an organization (AG-01, AG-05, UX-01).

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::policy::Role;
use crate::values::ids::{AccountId, InvitationId, OrganizationId, PortalId};
use crate::values::text::{Email, PersonName};

/// The stored state of an invitation. Expiration is computed from the time; see
/// [`InvitationStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    Pending,
    Accepted {
        /// The account that was registered or that joined.
        account: AccountId,
    },
    Revoked,
}

/// An invitation. An organization has at most one per email address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The keyed id of the email address in the organization, so that an address has at most one.
    pub id: InvitationId,
    /// Incremented by every change.
    pub version: u64,
    pub portal: PortalId,
    pub organization: OrganizationId,
    /// The organization's name, for the page that the link opens.
    pub organization_name: String,
    pub name: PersonName,
    /// The only address that can accept the invitation.
    pub email: Email,
    /// The role that the person will have.
    pub role: Role,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
    /// The administrator who last sent it. Their standing is what the invitation is worth when it
    /// is accepted (SE-02).
    pub invited_by: AccountId,
    /// The administrator who sent it first, if another one has resent it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_invited_by: Option<AccountId>,
    /// The name of the administrator who last sent it.
    pub inviter: String,
    /// The digest of the only valid token.
    pub token: String,
    pub sent_at: Timestamp,
    /// How often it was sent.
    pub sent: u32,
    pub expires_at: Timestamp,
    pub state: State,
}

/// The status of an invitation at a given time, as shown to administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum InvitationStatus {
    Pending,
    /// It can't be accepted now, because the person who last sent it can no longer invite to its role, or the
    /// organization has ended (SE-02). An administrator who resends it makes it valid again.
    Suspended,
    Expired,
    Accepted,
    Revoked,
}

impl Invitation {
    /// Returns the administrator who chose the person and the role.
    pub fn chosen_by(&self) -> &AccountId {
        self.first_invited_by.as_ref().unwrap_or(&self.invited_by)
    }

    /// Returns the status without regard to the person who sent the invitation;
    /// [`Standing::status`](crate::rules::accept_invitation::Standing::status) considers both.
    pub fn status(&self, now: Timestamp) -> InvitationStatus {
        match self.state {
            State::Accepted { .. } => InvitationStatus::Accepted,
            State::Revoked => InvitationStatus::Revoked,
            State::Pending if now >= self.expires_at => InvitationStatus::Expired,
            State::Pending => InvitationStatus::Pending,
        }
    }
}
