//! The audit trail: who did what to which object, for whom, when, from where, and how it ended.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::values::ids::{AccountId, AuditId, OrganizationId, PortalId};

/// What was done. Names are stable: they are searched for and exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Somebody registered against the plan's records.
    Register,
    /// Somebody with an account registered for a further organization.
    RegisterFurther,
    /// Somebody registered again in a campaign (AG-13).
    RegisterAgain,
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
    /// An administrator removed a user from the organization.
    RemoveUser,
    /// A registration code was issued anew and sent.
    ReissueRegistrationCode,
    /// A review of access began.
    StartAccessReview,
    /// A manager confirmed somebody's access in a review.
    ConfirmAccess,
    /// Somebody signed in, or tried to.
    SignIn,
    /// Somebody signed out.
    SignOut,
    /// Somebody said for which organization they work in a session.
    ChooseOrganization,
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
    /// Somebody asked for their username, having forgotten it.
    RecoverUsername,
    /// Somebody changed their own profile.
    EditProfile,
    /// Somebody asked for another address.
    AskEmailChange,
    /// Somebody confirmed another address.
    ChangeEmail,
    /// Mails turned out not to reach an account's address.
    MarkUndeliverable,
    /// Somebody sent feedback.
    SendFeedback,
    /// The clockwork warned somebody that their account will be disabled or deleted.
    WarnIdle,
    /// The clockwork disabled an idle account.
    DisableIdle,
    /// The clockwork deleted an idle account.
    DeleteIdle,
    /// The clockwork took an access away whose last day was over.
    EndAccess,
    /// The clockwork told or reminded somebody of something.
    Remind,
    /// An agreement came on file.
    RecordAgreement,
    /// The help desk looked for an account, or at one.
    LookAtAccount,
    /// The help desk cleared the counts of wrong guesses.
    UnlockUser,
    /// The help desk changed a username.
    RenameUser,
    /// Somebody chose their username again in a campaign (ME-10).
    ChooseUsername,
    /// A username that a campaign had released was given up for somebody who chose it (ME-10).
    ReleaseUsername,
    /// The help desk undid a registration that was matched by mistake.
    DetachRecord,
    /// The help desk changed somebody's subscriptions.
    EditSubscriptions,
    /// An administrator listed or searched the organization's users.
    ListUsers,
    /// An administrator looked at a user.
    LookAtUser,
    /// An administrator downloaded the list of users.
    DownloadUsers,
    /// An administrator listed the organization's invitations.
    ListInvitations,
    /// A managing agent looked up the agents under them.
    LookUpAgents,
    /// Somebody opened a service: protected information.
    OpenService,
    /// Somebody searched the audit trail.
    SearchAudit,
    /// Somebody downloaded the audit trail.
    DownloadAudit,
    /// An account was found in use from several places at once (EX-01).
    NoticeSharedUse,
    /// A plan record ended, and with it somebody's access.
    EndRecord,
    /// A plan record returned, and with it somebody's access.
    ReturnRecord,
    /// What a plan record says of an organization has changed.
    FollowRecord,
    /// The plan wrote to a provider who can register now (EX-06).
    NotifyProvider,
}

/// The name by which it is stored, searched for and exported.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
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

/// The name by which it is stored, searched for and exported.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
pub enum Actor {
    /// The owner of an account.
    Account(AccountId),
    /// Somebody of the plan's help desk, whose account is on another portal than the entry.
    HelpDesk(AccountId),
    /// Somebody who isn't known: before registration, or with a wrong password.
    Unknown,
    /// The system itself: a feed, a sweep.
    System,
}

impl Actor {
    /// What kind of actor it is, and whose account where it is one's.
    pub const fn parts(&self) -> (&'static str, Option<&AccountId>) {
        match self {
            Self::Account(id) => ("account", Some(id)),
            Self::HelpDesk(id) => ("help_desk", Some(id)),
            Self::Unknown => ("unknown", None),
            Self::System => ("system", None),
        }
    }
}

/// For how many years an entry is kept (UX-11; 45 CFR 164.316(b)(2)(i)).
const YEARS_KEPT: i32 = 6;

/// Until when an entry of this moment is kept.
pub fn kept_until(at: Timestamp) -> Timestamp {
    at.to_zoned(TimeZone::UTC)
        .checked_add(YEARS_KEPT.years())
        .map_or(Timestamp::MAX, |end| end.timestamp())
}

/// One entry of the trail. It holds identifiers, never names, addresses or secrets; only what the help
/// desk says of why it acted is in people's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its identifier.
    pub id: AuditId,
    /// When.
    pub occurred_at: Timestamp,
    /// On which portal.
    pub portal: PortalId,
    /// Who.
    pub actor: Actor,
    /// For which organization.
    pub organization: Option<OrganizationId>,
    /// What.
    pub action: Action,
    /// To what: the identifier of an account, invitation or record.
    pub object: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused, as a name in the API.
    pub reason: Option<String>,
    /// Why the help desk did it, in its own words (UX-12).
    pub justification: Option<String>,
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

    /// Names the organization.
    #[must_use]
    pub fn for_organization(mut self, organization: Option<&OrganizationId>) -> Self {
        self.organization = organization.cloned();
        self
    }

    /// All it says in one text, of which its code is made. Two entries that differ in anything differ
    /// here: each field stands behind its length in bytes.
    ///
    /// Entries are checked for as long as they are kept, so this form must not change: a new field
    /// makes a second form, with another first line.
    pub fn canonical(&self) -> String {
        // A new field must not be forgotten here.
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

    fn entry() -> AuditEvent {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let origin = Origin {
            portal: PortalId::parse("group").unwrap(),
            at: "2026-11-23T15:00:00Z".parse().unwrap(),
            source: Some("192.0.2.1".into()),
        };
        AuditEvent::refused(&origin, Actor::Unknown, Action::SignIn, "failed", &mut rng)
    }

    #[test]
    fn names_are_those_that_are_stored() {
        assert_eq!(Action::OpenService.to_string(), "open_service");
        assert_eq!(Outcome::Refused.to_string(), "refused");
    }

    #[test]
    fn the_canonical_form_stays_as_it_is() {
        let id = entry().id;
        assert_eq!(
            entry().canonical(),
            format!(
                "vestibule audit 1\nid 26:{id}\noccurred_at 20:2026-11-23T15:00:00Z\nportal 5:group\nactor 7:unknown\n\
                 account -\norganization -\naction 7:sign_in\nobject -\noutcome 7:refused\nreason 6:failed\njustification -\nsource 9:192.0.2.1\n"
            )
        );
    }

    #[test]
    fn no_two_entries_have_one_canonical_form() {
        let mut forms: Vec<_> = [
            entry(),
            entry().on("-"),
            entry().on(""),
            entry().on("x\noutcome 4:done"),
            AuditEvent {
                reason: None,
                ..entry()
            },
            AuditEvent {
                source: None,
                reason: Some("failed\nsource 9:192.0.2.1".into()),
                ..entry()
            },
            AuditEvent {
                actor: Actor::System,
                ..entry()
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
    fn ux_11_entries_are_kept_for_six_years() {
        let at = "2028-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(kept_until(at).to_string(), "2034-02-28T12:00:00Z");
    }
}
