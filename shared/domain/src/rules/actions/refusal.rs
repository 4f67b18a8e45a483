//! Why an action on an account is refused.

use crate::rules::access_review::NotConfirmed;
use crate::rules::access_terms::InvalidTerms;
use crate::rules::acting::Denied;
use crate::rules::activate;

#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The account isn't part of the access review (EX-11).
    NotInReview,
    /// The access to give is invalid.
    Terms(InvalidTerms),
    /// The organization would have no principal left.
    LastPrincipal,
    /// The organization would have no administrator left whose access lasts (SE-07).
    LastAdministrator,
    /// The organization would have no principal left, and it has other users.
    OthersThere,
    /// The user belongs to other organizations too.
    SeveralOrganizations,
    /// Usernames are assigned by the system and can't be changed (BL-16).
    NameFixed,
    /// The user has activated the account and chooses subscriptions themselves (BL-13).
    Activated,
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
            Self::NotAllowed => "not_allowed",
            Self::Unknown => "unknown",
            Self::SelfActionForbidden => "self_action_forbidden",
            Self::Deleted => "deleted",
            Self::Disabled => "disabled",
            Self::NotInOrganization => "not_in_organization",
            Self::WhichOrganization => "which_organization",
            Self::UnsupportedOnPortal => "unsupported_on_portal",
            Self::NotReissuer => "not_reissuer",
            Self::AskHelpDesk => "ask_help_desk",
            Self::AnotherMustApprove => "another_must_approve",
            Self::ApprovalNotPending => "approval_not_pending",
            Self::NothingPending => "nothing_pending",
            Self::AccessOver => "access_over",
            Self::NoAddress => "no_address",
            Self::NotRecoverable => "not_recoverable",
            Self::NotInReview => "not_in_review",
            Self::Terms(terms) => terms.reason(),
            Self::LastPrincipal => "last_principal",
            Self::LastAdministrator => "last_administrator",
            Self::OthersThere => "organization_not_empty",
            Self::SeveralOrganizations => "several_organizations",
            Self::NameFixed => "username_immutable",
            Self::Activated => "already_activated",
            Self::NoSuchPublication => "no_such_publication",
            Self::NoRecord => "no_record",
            Self::NoSuchAgreement => "no_such_agreement",
            Self::OtherRevision => "other_revision",
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
            activate::Refusal::NothingPending | activate::Refusal::Wrong => Self::NothingPending,
        }
    }
}
