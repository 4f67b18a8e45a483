//! The audit trail: who did what to which object, for which organization, when, from where, and
//! with what outcome.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::values::ids::{AccountId, AuditId, OrganizationId, PortalId};

/// What was done. The names are stored, searched for and exported, so they must not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A person registered against the plan's records.
    Register,
    /// A user registered an additional organization.
    RegisterAdditionalOrganization,
    /// A user registered again in a campaign (AG-13).
    RegisterAgain,
    /// A person repeated a completed registration with the right password and got the same response.
    RepeatRegistration,
    /// A person registered through an invitation.
    AcceptInvitation,
    Invite,
    ResendInvitation,
    RevokeInvitation,
    /// An administrator added a user.
    AddUser,
    ApproveUser,
    /// An administrator changed a user's role, services or group codes.
    AssignAccess,
    /// An administrator disabled a user.
    DisableUser,
    /// An administrator reinstated a user.
    ReinstateUser,
    /// An administrator removed a user from the organization.
    RemoveUser,
    ReissueRegistrationCode,
    /// An access review started.
    StartAccessReview,
    /// A manager confirmed a user's access in an access review.
    ConfirmAccess,
    /// A user signed in or tried to.
    SignIn,
    SignOut,
    /// A user chose the organization that a session works for.
    ChooseOrganization,
    /// A user changed their password.
    ChangePassword,
    /// A user entered a PIN, correct or not.
    ActivatePin,
    ReissuePin,
    /// A user entered a registration code, correct or not.
    RedeemRegistrationCode,
    /// A user gave a second factor, right or not (MF-04).
    EnterSecondFactor,
    /// A user entered the password again to confirm a sensitive action (MF-01).
    ConfirmPassword,
    /// A user added a passkey or an authenticator app.
    AddSecondFactor,
    RenameSecondFactor,
    RemoveSecondFactor,
    /// A user ended the trust in a device (MF-08).
    RemoveTrustedDevice,
    /// A user replaced their recovery codes.
    CreateRecoveryCodes,
    /// An administrator or the help desk started a reset of a user's second factors (MF-06).
    StartSecondFactorReset,
    /// A user proved the address on record, right or not, so that the second factors are removed.
    ResetSecondFactors,
    /// A user canceled a reset of the second factors.
    CancelSecondFactorReset,
    /// A password reset was requested.
    RequestPasswordReset,
    /// A user set a new password with a reset link or after verification.
    ResetPassword,
    /// A forgotten username was requested.
    RecoverUsername,
    /// A user changed their own profile.
    EditProfile,
    /// A user requested a change of email address.
    RequestEmailChange,
    /// A user confirmed a new email address.
    ChangeEmail,
    /// A user canceled a change of email address that was not confirmed.
    CancelEmailChange,
    /// Emails to an account's address were found undeliverable.
    MarkUndeliverable,
    /// A PIN letter was found unprintable.
    MarkLetterNotPrinted,
    SendFeedback,
    /// The scheduler warned a user that the account will be disabled or deleted.
    WarnIdle,
    /// The scheduler disabled an idle account.
    DisableIdle,
    /// The scheduler deleted an idle account.
    DeleteIdle,
    /// The scheduler removed access whose end date had passed.
    EndAccess,
    /// The scheduler sent a notice or reminder.
    Remind,
    /// A signed agreement was recorded.
    RecordAgreement,
    /// The help desk searched for or viewed an account.
    ViewAccount,
    /// A help desk action was refused, because the staff member may not act.
    ActOnAccount,
    /// The help desk reset the counters of failed attempts.
    UnlockUser,
    /// The help desk cleared the count of attempts at a plan record (SE-09).
    UnlockRecord,
    /// The help desk ended every way into an account that someone else may have used (SE-01).
    SecureUser,
    /// The help desk changed a username.
    RenameUser,
    /// A user chose a username in a campaign (ME-10).
    ChooseUsername,
    /// A released username was transferred to the user who chose it (ME-10).
    ReleaseUsername,
    /// The help desk reversed a registration that was matched with the wrong record.
    DetachRecord,
    /// The help desk changed a user's subscriptions.
    EditSubscriptions,
    /// The help desk corrected the postal address that a user designated for letters.
    CorrectPostalAddress,
    /// An administrator listed or searched the organization's users.
    ListUsers,
    /// An administrator viewed a user.
    ViewUser,
    /// An administrator downloaded the list of users.
    DownloadUsers,
    ListInvitations,
    /// A manager viewed the access review.
    ViewAccessReview,
    /// A managing agent searched for the agents they manage.
    LookUpAgents,
    /// A user opened a service, which contains protected health information.
    OpenService,
    /// A user went to an application, which got a code (SO-01).
    AuthorizeApplication,
    /// An application got tokens for a user, whose information they open (SO-02).
    OpenApplication,
    /// An application gave back an access token.
    RevokeToken,
    /// A user's access to applications ended, and they are notified (SO-03).
    EndApplicationAccess,
    SearchAudit,
    DownloadAudit,
    /// An account was found in use from several places at once (EX-01).
    NoticeConcurrentUse,
    /// A plan record ended, and access based on it ended too.
    EndRecord,
    /// A plan record returned, and access based on it was restored.
    ReturnRecord,
    /// A plan record's change was applied to an organization.
    FollowRecord,
    /// A provider was notified that it can register (EX-06).
    NotifyProvider,
    /// An email was not sent, because its recipient or sender reached a daily limit (SE-06).
    SendEmail,
}

/// Writes the name by which it is stored, searched for and exported.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    /// The request was refused and nothing changed.
    Refused,
}

/// Writes the name by which it is stored, searched for and exported.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Actor {
    Account(AccountId),
    /// A help desk agent, whose account is on a different portal than the event.
    HelpDesk(AccountId),
    /// A person who is not identified: before registration, or with a wrong password.
    Unknown,
    /// The system itself: a feed import or scheduled action.
    System,
}

impl Actor {
    /// Returns the kind of actor, and the account if there is one.
    pub const fn parts(&self) -> (&'static str, Option<&AccountId>) {
        match self {
            Self::Account(id) => ("account", Some(id)),
            Self::HelpDesk(id) => ("help_desk", Some(id)),
            Self::Unknown => ("unknown", None),
            Self::System => ("system", None),
        }
    }
}

/// How long an event is kept, in years (UX-11; 45 CFR 164.316(b)(2)(i)).
const YEARS_KEPT: i32 = 6;

/// Returns the time until which an event that occurred at `at` is kept.
pub fn kept_until(at: Timestamp) -> Timestamp {
    at.to_zoned(TimeZone::UTC)
        .checked_add(YEARS_KEPT.years())
        .map_or(Timestamp::MAX, |end| end.timestamp())
}

/// One event on the audit trail. It contains identifiers and no names, addresses or secrets. Only
/// the help desk's justification is free text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    pub id: AuditId,
    pub occurred_at: Timestamp,
    pub portal: PortalId,
    pub actor: Actor,
    pub organization: Option<OrganizationId>,
    pub action: Action,
    /// The identifier of the account, invitation or record acted on.
    pub object: Option<String>,
    pub outcome: Outcome,
    /// Why the request was refused, as a name in the API.
    pub reason: Option<String>,
    /// The help desk agent's reason, in their own words (UX-12).
    pub justification: Option<String>,
    /// The client's IP address.
    pub source: Option<String>,
}

/// What all audit events of one request have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub portal: PortalId,
    pub at: Timestamp,
    /// The client's IP address.
    pub source: Option<String>,
}

impl AuditEvent {
    /// Creates an event for something that was done.
    pub fn done(
        origin: &Origin,
        actor: Actor,
        action: Action,
        rng: &mut (impl Rng + ?Sized),
    ) -> Self {
        Self {
            id: AuditId::random(rng),
            occurred_at: origin.at,
            portal: origin.portal.clone(),
            actor,
            organization: None,
            action,
            object: None,
            outcome: Outcome::Done,
            reason: None,
            justification: None,
            source: origin.source.clone(),
        }
    }

    /// Creates an event for something that the owner of an account did to it.
    pub fn by_owner(
        origin: &Origin,
        account: &AccountId,
        action: Action,
        rng: &mut (impl Rng + ?Sized),
    ) -> Self {
        Self::done(origin, Actor::Account(account.clone()), action, rng).on(account.as_str())
    }

    /// Creates an event for something that was refused.
    pub fn refused(
        origin: &Origin,
        actor: Actor,
        action: Action,
        reason: &str,
        rng: &mut (impl Rng + ?Sized),
    ) -> Self {
        Self {
            outcome: Outcome::Refused,
            reason: Some(reason.to_owned()),
            ..Self::done(origin, actor, action, rng)
        }
    }

    /// Sets the object acted on.
    #[must_use]
    pub fn on(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    #[must_use]
    pub fn for_organization(mut self, organization: Option<&OrganizationId>) -> Self {
        self.organization = organization.cloned();
        self
    }

    /// Returns all fields as one text, over which the event's MAC is computed. Events that differ
    /// in any field have different texts, because each value is preceded by its length in bytes.
    ///
    /// Events are verified for as long as they are kept, so this form must not change. A new field
    /// requires a second form with a different first line.
    pub fn canonical(&self) -> String {
        // Destructured so that a new field can't be forgotten.
        let Self {
            id,
            occurred_at,
            portal,
            actor,
            organization,
            action,
            object,
            outcome,
            reason,
            justification,
            source,
        } = self;
        let (kind, account) = actor.parts();
        let text = |value: &dyn fmt::Display| Some(value.to_string());
        let fields = [
            ("id", text(id)),
            ("occurred_at", text(occurred_at)),
            ("portal", text(portal)),
            ("actor", text(&kind)),
            ("account", account.map(ToString::to_string)),
            (
                "organization",
                organization.as_ref().map(ToString::to_string),
            ),
            ("action", text(action)),
            ("object", object.clone()),
            ("outcome", text(outcome)),
            ("reason", reason.clone()),
            ("justification", justification.clone()),
            ("source", source.clone()),
        ];
        fields
            .into_iter()
            .fold("vestibule audit 1\n".to_owned(), |all, (name, value)| {
                let value = value.map_or_else(|| "-".to_owned(), |v| format!("{}:{v}", v.len()));
                format!("{all}{name} {value}\n")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn event() -> AuditEvent {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let origin = Origin {
            portal: PortalId::parse("group").unwrap(),
            at: "2026-11-23T15:00:00Z".parse().unwrap(),
            source: Some("192.0.2.1".into()),
        };
        AuditEvent::refused(&origin, Actor::Unknown, Action::SignIn, "failed", &mut rng)
    }

    #[test]
    fn display_returns_the_stored_name() {
        assert_eq!(Action::OpenService.to_string(), "open_service");
        assert_eq!(Outcome::Refused.to_string(), "refused");
    }

    #[test]
    fn the_canonical_form_is_stable() {
        let id = event().id;
        assert_eq!(
            event().canonical(),
            format!(
                "vestibule audit 1\nid 26:{id}\noccurred_at 20:2026-11-23T15:00:00Z\nportal 5:group\nactor 7:unknown\n\
                 account -\norganization -\naction 7:sign_in\nobject -\noutcome 7:refused\nreason 6:failed\njustification -\nsource 9:192.0.2.1\n"
            )
        );
    }

    #[test]
    fn different_events_have_different_canonical_forms() {
        let mut forms: Vec<_> = [
            event(),
            event().on("-"),
            event().on(""),
            event().on("x\noutcome 4:done"),
            AuditEvent {
                reason: None,
                ..event()
            },
            AuditEvent {
                source: None,
                reason: Some("failed\nsource 9:192.0.2.1".into()),
                ..event()
            },
            AuditEvent {
                actor: Actor::System,
                ..event()
            },
        ]
        .iter()
        .map(AuditEvent::canonical)
        .collect();
        let count = forms.len();
        forms.sort();
        forms.dedup();
        assert_eq!(forms.len(), count);
    }

    #[test]
    fn ux_11_events_are_kept_for_six_years() {
        let at = "2028-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(kept_until(at).to_string(), "2034-02-28T12:00:00Z");
    }
}
