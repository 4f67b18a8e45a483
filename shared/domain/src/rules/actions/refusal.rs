//! Why an action on an account is refused.

use strum::IntoStaticStr;

use crate::rules::access_review::NotConfirmed;
use crate::rules::access_terms::InvalidTerms;
use crate::rules::acting::Denied;
use crate::rules::activate;

#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Refusal {
    /// The administrator lacks the permission.
    NotAllowed,
    /// The organization has no such user (BL-17).
    Unknown,
    /// Administrators can't do this to their own account.
    SelfActionForbidden,
    /// The account is deleted, which can't be undone (BA-06).
    Deleted,
    /// The account is disabled and has to be reinstated first.
    Disabled,
    /// The account has no membership in the organization.
    NotInOrganization,
    /// The account has several memberships, and the request names no organization.
    WhichOrganization,
    /// The portal doesn't support the action.
    UnsupportedOnPortal,
    /// The portal's policy reserves the action for others.
    NotReissuer,
    /// On this portal only the help desk can do this.
    AskHelpDesk,
    /// The administrator invited the user or chose their role, so another one has to approve it
    /// (UX-12).
    AnotherMustApprove,
    /// The user isn't waiting for approval.
    ApprovalNotPending,
    /// No PIN, registration code or agreement is pending.
    NothingPending,
    /// The access that the code would activate has ended.
    AccessOver,
    /// There is no address for a letter.
    NoAddress,
    /// The user has no password yet or can't sign in (BL-14).
    NotRecoverable,
    /// The account has no second factor to reset (MF-06).
    NoSecondFactor,
    /// The portal removes second factors only after a PIN letter (MF-06).
    PinLetterRequired,
    /// The account isn't part of the access review (EX-11).
    NotInReview,
    /// The access to give is invalid.
    Terms(InvalidTerms),
    /// The organization would have no principal left.
    LastPrincipal,
    /// The organization would have no administrator left whose access lasts (SE-07).
    LastAdministrator,
    /// The organization would have no principal left, and it has other users.
    OrganizationNotEmpty,
    /// The user belongs to other organizations too.
    SeveralOrganizations,
    /// Usernames are assigned by the system and can't be changed (BL-16).
    UsernameImmutable,
    /// The user has activated the account and chooses subscriptions themselves (BL-13).
    AlreadyActivated,
    /// The portal has no such publication.
    NoSuchPublication,
    /// The membership is not based on a plan record.
    NoRecord,
    /// The plan doesn't record such an agreement.
    NoSuchAgreement,
    /// The signed revision isn't the current one.
    OtherRevision,
}

impl Refusal {
    /// Returns the reason recorded on the audit trail.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Terms(terms) => terms.into_str(),
            other => other.into_str(),
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NotAllowed => Self::NotAllowed,
            Denied::Unknown => Self::Unknown,
            Denied::SelfActionForbidden => Self::SelfActionForbidden,
        }
    }
}

impl From<NotConfirmed> for Refusal {
    fn from(cause: NotConfirmed) -> Self {
        match cause {
            NotConfirmed::Denied(denied) => denied.into(),
            NotConfirmed::NotInReview => Self::NotInReview,
        }
    }
}

impl From<InvalidTerms> for Refusal {
    fn from(terms: InvalidTerms) -> Self {
        Self::Terms(terms)
    }
}

impl From<activate::Refusal> for Refusal {
    fn from(refusal: activate::Refusal) -> Self {
        match refusal {
            activate::Refusal::NotReissuer => Self::NotReissuer,
            activate::Refusal::NoAddress => Self::NoAddress,
            activate::Refusal::Expired => Self::AccessOver,
            activate::Refusal::NothingPending
            | activate::Refusal::Wrong
            | activate::Refusal::WithoutStanding => Self::NothingPending,
        }
    }
}
