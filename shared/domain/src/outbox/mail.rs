//! Mails and letters that a decision sends. They are written in the decision's own transaction and
//! leave later, so that none is lost and none tells of something that didn't happen.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::outbox::letter::Letter;
use crate::state::account::Account;
use crate::state::audit::Origin;
use crate::state::follow_up::AccountOutcome;
use crate::values::ids::{MessageId, PortalId};
use crate::values::text::{Email, Sensitive};
use rand::Rng;

/// What leaves the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// By email.
    Mail(Mail),
    /// By post.
    Letter(Letter),
    /// To whom it goes is still to be found out, away from who asked for it.
    Recovery(RecoveryRequest),
}

impl Message {
    /// Its identifier.
    pub const fn id(&self) -> &MessageId {
        match self {
            Self::Mail(m) => &m.id,
            Self::Letter(l) => &l.id,
            Self::Recovery(r) => &r.id,
        }
    }
}

/// Somebody has forgotten something. The request is only noted when it is made, and looked into when
/// it leaves the outbox: so its answer can't tell whether there is such an account (UX-09).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryRequest {
    /// Its identifier.
    pub id: MessageId,
    /// On which portal, when and from where it was made.
    pub origin: Origin,
    /// What was forgotten, and whose it would be.
    pub forgotten: Forgotten,
}

/// What was forgotten, with what is known instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgotten {
    /// The password of this username.
    Password {
        /// The username's key.
        username: String,
    },
    /// The usernames of this address.
    Username {
        /// The address.
        email: Email,
    },
}

/// An email.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its identifier.
    pub id: MessageId,
    /// The portal in whose name it is written.
    pub portal: PortalId,
    /// Where it goes.
    pub to: Email,
    /// How the person is called.
    pub greeting: String,
    /// When it was decided on.
    pub at: Timestamp,
    /// What it says.
    pub says: MailText,
}

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailText {
    /// To who has registered.
    Registered {
        /// Their username.
        username: String,
        /// By when the letter with the PIN should arrive, where one is posted.
        pin_letter_by: Option<Date>,
        /// Title and form of an agreement that has to be signed first.
        agreement: Option<(String, String)>,
    },
    /// To who has an account and now a place in a further organization (BL-01).
    AdditionalOrganizationResponse {
        /// The organization.
        organization: String,
        /// Whether an administrator has to approve first.
        awaits_approval: bool,
        /// By when the letter with the PIN should arrive, where one is posted.
        pin_letter_by: Option<Date>,
        /// Title and form of an agreement that has to be signed first.
        agreement: Option<(String, String)>,
    },
    /// To a principal without a backup (AG-04).
    BackupWanted {
        /// The organization.
        organization: String,
    },
    /// To who is invited (AG-08).
    Invitation {
        /// The organization.
        organization: String,
        /// Who invites.
        inviter: String,
        /// What the person will be.
        role: String,
        /// The token that the link carries.
        token: Sensitive,
        /// The last day on which it can be used.
        expires_on: Date,
    },
    /// To the administrator who invited somebody that has now registered (AG-08).
    InvitedPersonRegistered {
        /// The organization.
        organization: String,
        /// Who registered.
        person: String,
        /// Their username.
        username: String,
        /// Whether they wait for approval.
        awaits_approval: bool,
    },
    /// To who has been approved (AG-08).
    Approved {
        /// The organization.
        organization: String,
        /// The titles of the services assigned.
        services: Vec<String>,
        /// The last day of the access, if it ends (UX-07).
        end_date: Option<Date>,
    },
    /// To a user whom an administrator added (BL-08).
    RegistrationCode {
        /// The organization.
        organization: String,
        /// The username that was made for them.
        username: String,
        /// The code.
        code: Sensitive,
        /// The last day on which it can be used.
        expires_on: Date,
    },
    /// To a user whom an administrator added with an initial password (EX-09).
    AccountMade {
        /// The organization.
        organization: String,
        /// The username.
        username: String,
    },
    /// To who had a new PIN issued (ME-07).
    PinReissued {
        /// By when the letter should arrive.
        arrives_by: Date,
    },
    /// To whose access an administrator has changed.
    AccessChanged {
        /// The organization.
        organization: String,
        /// What became of it.
        change: AccessChange,
    },
    /// To managers who are asked to review who has access (EX-11).
    AccessReview {
        /// The organization.
        organization: String,
        /// The last day for the answers.
        due_date: Date,
    },
    /// To managers who leave a review of access unanswered (EX-11).
    AccessReviewOpen {
        /// The organization.
        organization: String,
        /// The last day for the answers.
        due_date: Date,
        /// Whether that day is over.
        overdue: bool,
        /// Of whom no access is confirmed or removed, the first of them.
        unanswered: Vec<String>,
        /// How many there are besides.
        others: usize,
    },
    /// To who has to register again in a campaign (AG-13).
    RegisterAgain {
        /// What the campaign asks.
        call: Call,
    },
    /// To who has registered again (AG-13).
    RegisteredAgain,
    /// To whose username a campaign has released (ME-10).
    UsernameReleased {
        /// The username.
        username: String,
    },
    /// To whose released username somebody else has chosen (ME-10).
    UsernameGone {
        /// The username that was theirs.
        username: String,
        /// The one that stands in for it.
        instead: String,
    },
    /// To who has chosen another username in a campaign (ME-10).
    UsernameChosen {
        /// The username now.
        username: String,
    },
    /// To whose account the help desk has changed (UX-12).
    HelpDeskActed {
        /// What it did.
        act: HelpDeskAct,
    },
    /// To who loses access because a plan record has ended, or has it back because it returned.
    RecordEnded {
        /// The organization, where the record is one's.
        organization: Option<String>,
        /// Whether it returned.
        returned: bool,
    },
    /// To who has a new password (UX-06).
    PasswordChanged,
    /// To whose account was signed in to from a new device (UX-06).
    NewDevice {
        /// From which address.
        source: Option<String>,
        /// With what kind of program, in words of ours.
        program: String,
    },
    /// To whose account is in use from several places at once (EX-01).
    SharedUse {
        /// The addresses.
        sources: Vec<String>,
    },
    /// To whose security or hint questions have changed (UX-06).
    QuestionsChanged,
    /// To the new address, which its owner has to confirm (BL-12).
    ConfirmEmail {
        /// The token that the link carries.
        token: Sensitive,
        /// The last day on which it can be used.
        expires_on: Date,
    },
    /// To the old address, when a new one is asked for and when it is confirmed (BL-12, UX-06).
    EmailChange {
        /// Whether it is confirmed.
        confirmed: bool,
    },
    /// To the help desk: what a user thinks of the site (AG-17).
    Feedback {
        /// The username.
        username: String,
        /// Where to answer.
        reply_to: String,
        /// What the user wrote.
        text: String,
    },
    /// To who asked for a new password.
    PasswordReset {
        /// The token that the link carries.
        token: Sensitive,
        /// For how many minutes it can be used.
        minutes: u32,
        /// Who has asked for it.
        asked: ResetAsked,
    },
    /// To who hasn't signed in for long: what becomes, or became, of the account (UX-02).
    Idle {
        /// The day of the last sign-in, or of the account's making.
        since: Date,
        /// Whether there was a sign-in.
        signed_in: bool,
        /// What happens.
        then: IdleStep,
        /// The day on which it happens; of a disabled account, on which it will be deleted.
        on: Option<Date>,
    },
    /// To whose access had an end date, which is over (UX-07).
    AccessEnded {
        /// The last day on which it could be used.
        last: Date,
        /// Whether there was no other access, so that the account is deleted.
        whole: bool,
    },
    /// To whose password expires soon (UX-02).
    PasswordExpires {
        /// The day.
        on: Date,
        /// Whether it is over already: the notice is late.
        over: bool,
    },
    /// To whose PIN letter should have arrived (ME-08).
    LetterOverdue {
        /// By which day.
        arrives_by: Date,
    },
    /// To administrators: what the clockwork did to users of their organization.
    UsersChanged {
        /// The organization.
        organization: String,
        /// The users.
        users: Vec<NoticeLine>,
    },
    /// To who asked for the username.
    UsernameReminder {
        /// The username.
        username: String,
    },
}

/// What the help desk has done to somebody's account. What it says to itself isn't in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelpDeskAct {
    /// Cleared the counts of wrong guesses.
    Unlocked,
    /// Reinstated it (BA-06).
    Reinstated,
    /// Gave it another username (ME-09).
    Renamed {
        /// The username now.
        username: String,
    },
    /// Chose other e-news (BL-13).
    SubscriptionsChanged {
        /// The titles of what is subscribed to now.
        titles: Vec<String>,
    },
    /// Recorded that an agreement is signed (AG-11, BL-10).
    AgreementRecorded {
        /// The agreement's title.
        title: String,
        /// By when the PIN letter that waited for it should arrive.
        letter_by: Option<Date>,
    },
    /// Undid a registration that was matched with somebody else's plan record.
    RecordDetached {
        /// The organization; none of a member.
        organization: Option<String>,
        /// Whether the account is deleted.
        deleted: bool,
    },
    /// Removed the person from an organization, or deleted the account (EX-12).
    Removed {
        /// The organization; none where the person belonged to none.
        organization: Option<String>,
        /// Whether the account is deleted.
        deleted: bool,
    },
}

/// Who has asked for a link for a new password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetAsked {
    /// Somebody who says they are the owner.
    ByOwner,
    /// An administrator of this organization (BL-14).
    ByAdministrator(String),
    /// The help desk, which knows whom it speaks to (BL-14).
    ByHelpDesk,
}

/// What became of somebody's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessChange {
    /// Another role, services, group codes or end.
    Assigned {
        /// The last day of the access, if it ends (UX-07).
        end_date: Option<Date>,
    },
    /// It is disabled.
    Disabled,
    /// It is reinstated.
    Reinstated,
    /// It is removed.
    Removed,
}

/// What happens to an account that nobody signs in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdleStep {
    /// It will be disabled.
    WillBeDisabled,
    /// It is disabled now.
    Disabled,
    /// It will be deleted.
    WillBeDeleted,
    /// It is deleted now.
    Deleted,
}

/// A user and what became of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeLine {
    /// The person's name.
    pub person: String,
    /// Their username.
    pub username: String,
    /// What became of them.
    pub outcome: AccountOutcome,
    /// On which day.
    pub on: Date,
}

/// That somebody has to register again, and until when what is possible. Days are the portal's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The last day on which all that they have stays open.
    pub access_expires_at: Date,
    /// The last day on which they can register again.
    pub cutoff: Date,
}

impl Call {
    /// Whether all that they have is open on a day.
    pub fn leaves_access(&self, today: Date) -> bool {
        today <= self.access_expires_at
    }

    /// Whether it is too late to register again.
    pub fn is_over(&self, today: Date) -> bool {
        today > self.cutoff
    }
}

/// A mail to an account's owner.
pub(crate) fn mail(
    account: &Account,
    at: Timestamp,
    says: MailText,
    rng: &mut impl Rng,
) -> Message {
    mail_as(MessageId::random(rng), account, at, says)
}

/// The same under an id that something else names already.
pub(crate) fn mail_as(id: MessageId, account: &Account, at: Timestamp, says: MailText) -> Message {
    Message::Mail(Mail {
        id,
        portal: account.portal.clone(),
        to: account.email.clone(),
        greeting: account.name.full(),
        at,
        says,
    })
}
