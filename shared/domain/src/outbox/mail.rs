//! Emails and letters that a decision sends. They are written in the same transaction as its
//! changes and sent later, so that no message is lost and none reports something that didn't
//! happen.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::outbox::letter::Letter;
use crate::policy::FactorMethod;
use crate::state::account::Account;
use crate::state::audit::Origin;
use crate::state::follow_up::AccountOutcome;
use crate::values::ids::{AccountId, MessageId, PortalId};
use crate::values::text::{Email, Sensitive};
use rand::Rng;

/// A message in the outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    Mail(Mail),
    Letter(Letter),
    /// A recovery request. Its recipient is looked up when it leaves the outbox, not while the
    /// person waits.
    Recovery(RecoveryRequest),
    /// An account's access may have ended. Which applications are notified is found when it leaves the outbox.
    AccessCheck(AccessCheck),
    /// A notice to an application that a session has ended for it (SO-03).
    Logout(LogoutNotice),
}

impl Message {
    pub const fn id(&self) -> &MessageId {
        match self {
            Self::Mail(m) => &m.id,
            Self::Letter(l) => &l.id,
            Self::Recovery(r) => &r.id,
            Self::AccessCheck(c) => &c.id,
            Self::Logout(n) => &n.id,
        }
    }
}

/// A request to recover a password or username. It is only stored when it is made and processed
/// when it leaves the outbox, so that the response cannot reveal whether the account exists
/// (UX-09).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRequest {
    pub id: MessageId,
    /// The portal, time and source of the request.
    pub origin: Origin,
    pub forgotten: Forgotten,
}

/// An account whose sessions, or whose access in them, may have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessCheck {
    pub id: MessageId,
    pub portal: PortalId,
    pub account: AccountId,
    /// The session that will end by itself; absent if something else may have ended access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<EndingSession>,
}

/// A session that ends when nobody uses it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingSession {
    /// The id of the session.
    pub session: String,
    /// When to check whether it has ended.
    pub check_at: Timestamp,
}

/// A notice to an application that a user's session has ended for it (OpenID Connect Back-Channel Logout 1.0).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogoutNotice {
    pub id: MessageId,
    pub portal: PortalId,
    /// The client id.
    pub application: String,
    pub account: AccountId,
    /// The id of the session.
    pub session: String,
}

/// What the person forgot, with the identifier they provided instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgotten {
    Password {
        /// The username's key.
        username: String,
    },
    Username {
        email: Email,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub id: MessageId,
    /// The portal that sends the email.
    pub portal: PortalId,
    pub to: Email,
    /// The name in the greeting.
    pub greeting: String,
    /// The time of the decision.
    pub at: Timestamp,
    pub text: MailText,
}

/// The kind of email, with its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailText {
    /// Sent to a person who has registered.
    Registered {
        username: String,
        /// The date by which the PIN letter should arrive, if one is mailed.
        pin_letter_by: Option<Date>,
        /// The title and form URL of an agreement that has to be signed first.
        agreement: Option<(String, String)>,
    },
    /// Sent to a user who has joined an additional organization (BL-01).
    AdditionalOrganization {
        organization: String,
        /// Whether an administrator has to approve the user first.
        awaits_approval: bool,
        /// The date by which the PIN letter should arrive, if one is mailed.
        pin_letter_by: Option<Date>,
        /// The title and form URL of an agreement that has to be signed first.
        agreement: Option<(String, String)>,
    },
    /// Sent to a principal whose organization has no backup administrator (AG-04).
    BackupWanted { organization: String },
    /// Sent to an invited person (AG-08).
    Invitation {
        organization: String,
        /// The name of the administrator who sent the invitation.
        inviter: String,
        /// The title of the role that the person will have.
        role: String,
        /// The token in the link.
        token: Sensitive,
        /// The last day on which the invitation can be used.
        expires_on: Date,
    },
    /// Sent to the administrators of an organization when an invitation was accepted (AG-08, SE-02).
    InvitedPersonRegistered {
        organization: String,
        /// The name of the administrator who sent the invitation; `None` in the email to that
        /// administrator.
        inviter: Option<String>,
        /// The name of the person who registered.
        person: String,
        username: String,
        /// Whether the person is waiting for approval.
        awaits_approval: bool,
    },
    /// Sent to a user who was approved (AG-08).
    Approved {
        organization: String,
        /// The titles of the services assigned.
        services: Vec<String>,
        /// The last day of access, if it ends (UX-07).
        end_date: Option<Date>,
    },
    /// Sent to a user whom an administrator added (BL-08).
    RegistrationCode {
        organization: String,
        /// The username that was assigned.
        username: String,
        code: Sensitive,
        /// The last day on which the code can be used.
        expires_on: Date,
    },
    /// Sent to a user whom an administrator added with an initial password (EX-09).
    AccountMade {
        organization: String,
        username: String,
    },
    /// Sent to a user whose PIN was reissued (ME-07).
    PinReissued {
        /// The date by which the letter should arrive.
        arrives_by: Date,
    },
    /// Sent to a user whose access an administrator changed.
    AccessChanged {
        organization: String,
        change: AccessChange,
    },
    /// Sent to managers when an access review starts (EX-11).
    AccessReview {
        organization: String,
        due_date: Date,
    },
    /// Sent to managers who have not completed an access review (EX-11).
    AccessReviewOpen {
        organization: String,
        due_date: Date,
        /// Whether the due date has passed.
        overdue: bool,
        /// The names of the first users who are neither confirmed nor removed.
        unanswered: Vec<String>,
        /// The number of further users.
        others: usize,
    },
    /// Sent to a user who has to register again in a campaign (AG-13).
    RegisterAgain { call: Call },
    /// Sent to a user who has registered again (AG-13).
    RegisteredAgain,
    /// Sent to a user whose username was released by a campaign (ME-10).
    UsernameReleased { username: String },
    /// Sent to a user whose released username somebody else has chosen (ME-10).
    UsernameGone {
        /// The username that the user had.
        username: String,
        /// The temporary username that replaces it.
        instead: String,
    },
    /// Sent to a user who has chosen another username in a campaign (ME-10).
    UsernameChosen {
        /// The new username.
        username: String,
    },
    /// Sent to a user whose account the help desk changed (UX-12).
    HelpDeskActed { act: HelpDeskAct },
    /// Sent to a user whose access ended because a plan record ended, or was restored because it
    /// returned.
    RecordEnded {
        /// The organization; `None` if the record is the person's own.
        organization: Option<String>,
        /// Whether the record returned.
        returned: bool,
    },
    /// Sent to a user whose password was changed (UX-06).
    PasswordChanged,
    /// Sent to a user after a sign-in from a new device (UX-06).
    NewDevice {
        /// The client's IP address.
        source: Option<String>,
        /// A description of the browser and operating system.
        program: String,
    },
    /// Sent to a user whose account is in use from several places at once (EX-01).
    ConcurrentUse {
        /// The IP addresses.
        sources: Vec<String>,
    },
    /// Sent to a user whose security questions or hint question changed (UX-06).
    QuestionsChanged,
    /// Sent to a user whose second factors changed (MF-01).
    SecondFactorChanged { event: FactorEvent },
    /// Sent to a user when an administrator or the help desk starts a reset of the second factors (MF-06).
    SecondFactorReset {
        initiator: ResetInitiator,
        evidence: MailedEvidence,
        /// The token in the link that cancels the reset.
        cancellation: Sensitive,
    },
    /// Sent to a new email address for confirmation (BL-12).
    ConfirmEmail {
        /// The token in the link.
        token: Sensitive,
        /// The last day on which the link can be used.
        expires_on: Date,
    },
    /// Sent to the old address when a change is requested (BL-12, UX-06).
    EmailChangeRequested {
        /// The token in the link that cancels the change (SE-01).
        cancellation: Sensitive,
    },
    /// Sent to the old address when a change is confirmed (BL-12, UX-06).
    EmailChanged,
    /// Feedback from a user, sent to the help desk (AG-17).
    Feedback {
        username: String,
        /// The user's email address.
        reply_to: String,
        /// The user's message.
        text: String,
    },
    /// Sent to a user who has to set a new password.
    PasswordReset {
        /// The token in the link.
        token: Sensitive,
        /// How long the link can be used, in minutes.
        minutes: u32,
        initiator: ResetInitiator,
    },
    /// Sent to a user who hasn't signed in for a long time (UX-02).
    Idle {
        /// The day of the last sign-in, or the day the account was created.
        since: Date,
        /// Whether the user has ever signed in.
        signed_in: bool,
        then: IdleStep,
        /// The day of the step. For a disabled account, the day it will be deleted.
        on: Option<Date>,
    },
    /// Sent to a user whose access has reached its end date (UX-07).
    AccessEnded {
        /// The last day of access.
        last: Date,
        /// Whether no other access was left, so that the account was deleted.
        whole: bool,
    },
    /// Sent to a user whose password expires soon (UX-02).
    PasswordExpires {
        on: Date,
        /// Whether it has already expired because the notice is late.
        over: bool,
    },
    /// Sent to a user whose PIN letter could not be printed (ME-08).
    LetterNotPrinted,
    /// Sent to a user whose PIN letter should have arrived (ME-08).
    LetterOverdue {
        /// The date by which it should have arrived.
        arrives_by: Date,
    },
    /// Sent to everyone who manages an organization when a person joins it, or gets a role, without them
    /// (SE-08, UX-12).
    ManagedUserChanged {
        organization: String,
        /// The name of the person.
        person: String,
        username: String,
        /// The title of the person's role.
        role: String,
        event: ManagedEvent,
    },
    /// Informs administrators of scheduled actions that affected users of their organization.
    UsersChanged {
        organization: String,
        users: Vec<NoticeLine>,
    },
    /// Sent to a user who requested their username.
    UsernameReminder {
        username: String,
        /// Whether someone who claims to be the owner requested it, and not an administrator or the help desk.
        #[serde(default)]
        is_asked_by_owner: bool,
    },
}

/// The daily limit that an email counts toward, besides the one of its sender (SE-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// Administrators can cause it by knowing an address: codes, first passwords, invitations.
    Requested,
    /// Anyone can cause it by knowing an address or username: reset links and reminders. It is counted when the
    /// request leaves the outbox, before it replaces a link, and not again (SE-05).
    Recovery,
    /// The confirmation of an address that a user entered. It counts as requested, and it has a
    /// smaller limit per sender, because the address can be a stranger's.
    Confirmation,
    /// Reports something that happened. It has its own limit, so that nobody can suppress the
    /// notice of an attack by causing other emails first.
    Notice,
    /// Feedback to the help desk, which has a limit of its own.
    Feedback,
}

impl MailText {
    pub const fn volume(&self) -> Volume {
        match self {
            // The way in that is left when a stranger has used up the owner's own requests (SE-05).
            Self::PasswordReset {
                initiator: ResetInitiator::ByAdministrator(_) | ResetInitiator::ByHelpDesk,
                ..
            } => Volume::Notice,
            Self::Invitation { .. } | Self::RegistrationCode { .. } | Self::AccountMade { .. } => {
                Volume::Requested
            }
            Self::PasswordReset { .. }
            | Self::UsernameReminder {
                is_asked_by_owner: true,
                ..
            } => Volume::Recovery,
            Self::ConfirmEmail { .. } => Volume::Confirmation,
            Self::Feedback { .. } => Volume::Feedback,
            _ => Volume::Notice,
        }
    }
}

/// What happened to the second factors of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorEvent {
    Added {
        method: FactorMethod,
        /// The name that the user gave it.
        name: String,
    },
    Removed {
        method: FactorMethod,
        name: String,
    },
    RecoveryCodesCreated,
    /// All were removed after a reset (MF-06).
    Reset,
    /// A recovery code was used to sign in.
    RecoveryCodeUsed {
        /// The number of recovery codes that are left.
        left: usize,
    },
}

/// What the owner proves the address on record with before the second factors are removed (MF-06).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailedEvidence {
    Link {
        /// The token in the link.
        token: Sensitive,
        /// How long the link can be used, in minutes.
        minutes: u32,
    },
    /// The PIN of a letter.
    Letter {
        /// The date by which it should arrive.
        arrives_by: Date,
    },
}

/// What happened to a user whom others manage too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagedEvent {
    /// The person registered with the organization's plan record.
    Joined {
        /// Whether an administrator has to approve the person first.
        awaits_approval: bool,
    },
    /// An administrator approved the person.
    Approved { by: String },
    /// An administrator changed the person's role.
    RoleChanged {
        by: String,
        /// Whether another administrator has to approve the role first.
        awaits_approval: bool,
    },
}

/// What the help desk did to an account. Excludes the agent's reason, which is internal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelpDeskAct {
    /// Reset the counters of failed attempts.
    Unlocked,
    /// Ended every way into the account (SE-01).
    Secured {
        /// Whether the security questions and answers were cleared, too.
        answers_cleared: bool,
        /// Whether the second factors were removed.
        #[serde(default)]
        factors_cleared: bool,
    },
    /// Reinstated the account (BA-06).
    Reinstated,
    /// Changed the username (ME-09).
    Renamed {
        /// The new username.
        username: String,
    },
    /// Changed the e-news subscriptions (BL-13).
    SubscriptionsChanged {
        /// The titles of the current subscriptions.
        titles: Vec<String>,
    },
    /// Corrected the postal address for letters (BL-03). The email doesn't contain the address.
    AddressCorrected {
        /// The date by which the new PIN letter should arrive, if one is mailed.
        letter_by: Option<Date>,
    },
    /// Recorded a signed agreement (AG-11, BL-10).
    AgreementRecorded {
        title: String,
        /// The date by which the PIN letter that was waiting for it should arrive.
        letter_by: Option<Date>,
    },
    /// Reversed a registration that was matched with another person's plan record.
    RecordDetached {
        /// The organization; `None` for a member.
        organization: Option<String>,
        /// Whether the account was deleted.
        deleted: bool,
    },
    /// Removed the user from an organization, or deleted the account (EX-12).
    Removed {
        /// The organization; `None` if the user belonged to none.
        organization: Option<String>,
        /// Whether the account was deleted.
        deleted: bool,
    },
}

/// Who requested a password reset link or a reset of second factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetInitiator {
    /// Someone who claims to be the account's owner.
    ByOwner,
    /// An administrator of this organization (BL-14).
    ByAdministrator(String),
    /// The help desk, after verifying the caller (BL-14).
    ByHelpDesk,
}

/// A change to a user's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessChange {
    /// The role, services, group codes or end date changed.
    Assigned {
        /// The last day of access, if it ends (UX-07).
        end_date: Option<Date>,
    },
    Disabled,
    Reinstated,
    Removed,
}

/// A step in the lifecycle of an idle account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdleStep {
    WillBeDisabled,
    Disabled,
    WillBeDeleted,
    Deleted,
}

/// One user in a notice to administrators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeLine {
    pub person: String,
    pub username: String,
    pub outcome: AccountOutcome,
    pub on: Date,
}

/// A campaign's request to register again. Dates are in the portal's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The last day of full access without registering again.
    pub access_expires_at: Date,
    /// The last day on which the person can register again.
    pub cutoff: Date,
}

impl Call {
    /// Returns whether the person still has full access.
    pub fn leaves_access(&self, today: Date) -> bool {
        today <= self.access_expires_at
    }

    /// Returns whether it is too late to register again.
    pub fn is_over(&self, today: Date) -> bool {
        today > self.cutoff
    }
}

/// Creates an email to an account's owner.
pub(crate) fn mail(
    account: &Account,
    at: Timestamp,
    text: MailText,
    rng: &mut (impl Rng + ?Sized),
) -> Message {
    mail_as(MessageId::random(rng), account, at, text)
}

/// Creates an email with an id that something else already refers to.
pub(crate) fn mail_as(id: MessageId, account: &Account, at: Timestamp, text: MailText) -> Message {
    Message::Mail(Mail {
        id,
        portal: account.portal.clone(),
        to: account.email.clone(),
        greeting: account.name.full(),
        at,
        text,
    })
}
