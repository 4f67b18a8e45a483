//! The result of a rule: changes, messages and one audit event, committed in one transaction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::outbox::mail::Message;
use crate::policy::Slug;
use crate::state::account::{Account, PasswordHash};
use crate::state::audit::AuditEvent;
use crate::state::follow_up::{AdminNotice, FollowUp};
use crate::state::invitation::Invitation;
use crate::state::organization::{Organization, Removed};
use crate::state::record::RecordKey;
use crate::state::session::Session;
use crate::state::single_sign_on::{AccessToken, AuthorizationCode, OpenedApplication};
use crate::values::ids::{AccountId, MessageId, OrganizationId, PortalId};
use crate::values::text::{Email, Sensitive};

/// Identifies an attempt counter. The store derives it with a key, so it reveals nothing about the
/// username or record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptKey(pub String);

/// One state change. The store adds the condition under which it applies and derives the dependent
/// items: uniqueness markers and the rows that list an organization's users.
#[derive(Debug, Clone)]
pub enum Change {
    /// Fails if the username is taken, or the email address on portals where addresses are unique.
    CreateAccount(Box<Account>),
    UpdateAccount {
        /// The account as it was read. The write fails if it has changed since.
        before: Box<Account>,
        /// The new state. The store increments the version.
        after: Box<Account>,
    },
    /// Records a sign-in. It doesn't increment the version, so that concurrent sign-ins don't
    /// conflict.
    NoteSignIn {
        account: Box<Account>,
        at: Timestamp,
        /// The password hashed with the current parameters, if the stored hash uses older ones.
        rehashed: Option<PasswordHash>,
        /// The client's IP address.
        from: Option<String>,
        /// The digest of the device, which is remembered.
        device: String,
        /// Digests of the devices to forget.
        forgotten_devices: Vec<String>,
    },
    CreateOrganization(Organization),
    UpdateOrganization {
        /// The organization as it was read. The write fails if it has changed since.
        before: Box<Organization>,
        /// The new state. The store increments the version.
        after: Box<Organization>,
    },
    /// Records that the owner of a mailbox was removed from an organization (AG-10).
    NoteFormerUser {
        portal: PortalId,
        organization: OrganizationId,
        email: Email,
    },
    /// Records that a person included in an access review was removed (EX-11).
    NoteRemovedInReview {
        portal: PortalId,
        organization: OrganizationId,
        /// The start of the review, which identifies it.
        started_at: Timestamp,
        removed: Box<Removed>,
    },
    /// Links a plan record on a portal to the organization or account registered with it, and a
    /// registration type to the one account that uses it.
    ClaimRecord {
        record: RecordKey,
        /// The version of the record as it was read. The write fails if a feed has changed it since.
        version: u64,
        portal: PortalId,
        registration_type: Slug,
        account: AccountId,
        claims: RecordClaim,
    },
    /// Unlinks a registration type from the account that used it, so that another account can use
    /// it.
    ReleaseRecord {
        record: RecordKey,
        portal: PortalId,
        /// The id of the registration type.
        registration_type: String,
        /// The account. The write fails if another account holds the claim.
        account: AccountId,
        /// Whether to remove the whole claim, as if nobody had registered with the record.
        whole: bool,
    },
    /// Records that the notification letter of a plan record was sent. It is sent only once
    /// (EX-06).
    NoteNotified(RecordKey),
    SaveInvitation {
        /// The invitation as it was read; `None` for a new one.
        before: Option<Box<Invitation>>,
        /// The new state. The store increments the version.
        after: Box<Invitation>,
    },
    StartSession(Session),
    /// Moves a session to its account's new epoch. Fails if the session no longer exists.
    RenewSession(Session),
    EndSession(Session),
    /// Records that an application was opened in a session. Fails if the session no longer exists.
    OpenApplication {
        session: Session,
        /// The client id.
        application: String,
        opened: OpenedApplication,
    },
    /// Removes applications from a session, which are notified that access ended. Fails if the session's
    /// applications changed since they were read.
    CloseApplications {
        /// The session as it was read.
        session: Session,
        /// The applications that stay.
        kept: BTreeMap<String, OpenedApplication>,
    },
    /// Stores a code.
    IssueCode(AuthorizationCode),
    /// Exchanges a code for an access token. Fails if the code was exchanged before.
    RedeemCode {
        code: Box<AuthorizationCode>,
        token: AccessToken,
    },
    /// Deletes an access token, if it still exists.
    RevokeToken {
        portal: PortalId,
        account: AccountId,
        /// The digest of the token.
        token: String,
    },
    /// Cancels a letter that has not been printed yet.
    WithdrawLetter(MessageId),
    /// Queues a notice to the administrators of an organization (BA-01, BA-02).
    QueueAdminNotice(AdminNotice),
    /// Removes notices that were sent.
    ClearAdminNotices(Vec<AdminNotice>),
    /// Completes or reschedules a follow-up. Fails if it was rescheduled since it was read.
    ResolveFollowUp {
        /// The follow-up as it was read.
        follow_up: FollowUp,
        /// The day of the next follow-up; `None` to complete it.
        again: Option<Date>,
    },
    /// Resets an attempt counter.
    ForgetAttempts(AttemptKey),
    /// Keeps the response to the request. Fails if a request with the same key was committed first (AP-01).
    KeepResponse(Box<KeptResponse>),
}

/// The digest of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatKey(pub String);

/// A response to a caller's request, kept for a repetition of the request (AP-01).
#[derive(Debug, Clone)]
pub struct KeptResponse {
    pub portal: PortalId,
    /// The caller. Another caller's key is another key.
    pub account: AccountId,
    pub key: RepeatKey,
    /// The fingerprint of the request and the response. The store encrypts them.
    pub response: Sensitive,
    pub expires_at: Timestamp,
}

/// What a claimed plan record is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordClaim {
    /// A new organization, or only the person's own account. Fails if anyone has registered with
    /// the record.
    NewOrganization(Option<OrganizationId>),
    /// Membership in the organization that was registered with the record through another
    /// registration type.
    JoinExisting(OrganizationId),
}

/// Everything that one operation does, committed as a whole or not at all. It can't be created
/// without an audit event, so every change is recorded.
#[derive(Debug, Clone)]
pub struct Decision {
    pub changes: Vec<Change>,
    pub messages: Vec<Message>,
    pub audit: AuditEvent,
}

impl Decision {
    /// Returns a decision that only records an audit event.
    pub const fn recording(audit: AuditEvent) -> Self {
        Self {
            changes: Vec::new(),
            messages: Vec::new(),
            audit,
        }
    }

    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    #[must_use]
    pub fn send(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.messages.extend(messages);
        self
    }

    /// Adds an account update. `before` is the account as it was read.
    #[must_use]
    pub fn update(self, before: &Account, after: Account) -> Self {
        self.change(Change::UpdateAccount {
            before: Box::new(before.clone()),
            after: Box::new(after),
        })
    }
}
