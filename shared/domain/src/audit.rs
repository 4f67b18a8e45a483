//! The audit trail: who did what to which object, for whom, when, from where, and how it ended.

use jiff::Timestamp;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, AuditId, OrganisationId, PortalId};

/// What was done. Names are stable: they are searched for and exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Somebody registered against the plan's records.
    Register,
    /// Somebody with an account registered for a further organisation.
    RegisterFurther,
    /// Somebody registered through an invitation.
    AcceptInvitation,
    /// An administrator invited somebody.
    Invite,
    /// An administrator sent an invitation again.
    ResendInvitation,
    /// An administrator took an invitation back.
    RevokeInvitation,
    /// An administrator added a user.
    AddUser,
    /// An administrator approved a user.
    ApproveUser,
    /// An administrator gave a user another role, services or group codes.
    AssignAccess,
    /// An administrator disabled a user.
    DisableUser,
    /// An administrator reinstated a user.
    ReinstateUser,
    /// An administrator removed a user from the organisation.
    RemoveUser,
    /// Somebody signed in, or tried to.
    SignIn,
    /// Somebody signed out.
    SignOut,
    /// Somebody said for which organisation they work in a session.
    ChooseOrganisation,
    /// Somebody chose a new password.
    ChangePassword,
    /// A PIN was entered, rightly or wrongly.
    ActivatePin,
    /// A PIN was issued anew.
    ReissuePin,
    /// A registration code was entered, rightly or wrongly.
    RedeemRegistrationCode,
    /// Somebody asked for a new password, having forgotten theirs.
    AskPasswordReset,
    /// Somebody set a new password, having forgotten theirs.
    ResetPassword,
    /// Somebody asked for their user name, having forgotten it.
    RecoverUserName,
    /// Somebody changed their own profile.
    EditProfile,
    /// Somebody asked for another address.
    AskEmailChange,
    /// Somebody confirmed another address.
    ChangeEmail,
    /// Somebody sent feedback.
    SendFeedback,
    /// An agreement came on file.
    RecordAgreement,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused; nothing changed.
    Refused,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Actor {
    /// The owner of an account.
    Account(AccountId),
    /// Somebody who isn't known: before registration, or with a wrong password.
    Unknown,
    /// The system itself: a feed, a sweep.
    System,
}

/// One entry of the trail. It holds identifiers, never names, addresses or secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its identifier.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// On which portal.
    pub portal: PortalId,
    /// Who.
    pub actor: Actor,
    /// For which organisation.
    pub organisation: Option<OrganisationId>,
    /// What.
    pub action: Action,
    /// To what: the identifier of an account, invitation or record.
    pub object: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused, as a name in the API.
    pub reason: Option<String>,
    /// From where.
    pub source: Option<String>,
}

/// What every entry of one request has in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The portal.
    pub portal: PortalId,
    /// When the request was made.
    pub at: Timestamp,
    /// From where it came.
    pub source: Option<String>,
}

impl AuditEvent {
    /// An entry about something done.
    pub fn done(origin: &Origin, actor: Actor, action: Action, rng: &mut impl Rng) -> Self {
        Self {
            id: AuditId::random(rng),
            at: origin.at,
            portal: origin.portal.clone(),
            actor,
            organisation: None,
            action,
            object: None,
            outcome: Outcome::Done,
            reason: None,
            source: origin.source.clone(),
        }
    }

    /// The same about something refused.
    pub fn refused(
        origin: &Origin,
        actor: Actor,
        action: Action,
        reason: &str,
        rng: &mut impl Rng,
    ) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason: Some(reason.to_owned()),
            ..Self::done(origin, actor, action, rng)
        }
    }

    /// Names the object.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Names the organisation.
    #[must_use]
    pub fn for_organisation(mut self, organisation: Option<&OrganisationId>) -> Self {
        self.organisation = organisation.cloned();
        self
    }
}
