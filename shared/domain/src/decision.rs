//! What a verb decides: changes, messages, and at least one audit entry, for one transaction.

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
use crate::values::ids::{AccountId, MessageId, OrganizationId, PortalId};
use crate::values::text::Email;

/// Names a counter of guesses; made by the store, which keys it so that it tells nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptKey(pub String);

/// One change of state. The store adds the condition under which it may happen, and everything
/// that follows from it: unique markers and the rows by which an organization lists its users.
#[derive(Debug, Clone)]
pub enum Change {
    /// A new account. Its username, and its address where the portal says so, must be free.
    CreateAccount(Box<Account>),
    /// An account as it was read, and as it shall be.
    UpdateAccount {
        /// As it was read; the write fails if it has changed since.
        before: Box<Account>,
        /// As it shall be, save for the version, which the store counts.
        after: Box<Account>,
    },
    /// A sign-in: notes the moment without counting as a change, so that two don't collide.
    NoteSignIn {
        /// The account as it was read.
        account: Box<Account>,
        /// When.
        at: Timestamp,
        /// The password under the current parameters, where they have changed.
        rehashed: Option<PasswordHash>,
        /// From which address.
        from: Option<String>,
        /// The digest of the device, which is remembered.
        device: String,
        /// The devices that are forgotten.
        forgotten_devices: Vec<String>,
    },
    /// A new organization.
    CreateOrganization(Organization),
    /// An organization as it was read, and as it shall be, save for the version.
    UpdateOrganization {
        /// As it was read; the write fails if it has changed since.
        before: Box<Organization>,
        /// As it shall be.
        after: Box<Organization>,
    },
    /// Notes that the owner of an address was removed from an organization (AG-10).
    NoteFormerUser {
        /// The portal.
        portal: PortalId,
        /// The organization.
        organization: OrganizationId,
        /// The address.
        email: Email,
    },
    /// Notes that somebody who was in a review of access was removed (EX-11).
    NoteRemovedInReview {
        /// The portal.
        portal: PortalId,
        /// The organization.
        organization: OrganizationId,
        /// The review.
        started_at: Timestamp,
        /// Who.
        removed: Box<Removed>,
    },
    /// Ties a plan record on a portal to what is made of it, and a way of registering to the one
    /// account that uses it.
    ClaimRecord {
        /// The record.
        record: RecordKey,
        /// The portal.
        portal: PortalId,
        /// The way.
        registration_type: Slug,
        /// The account.
        account: AccountId,
        /// What is made of the record.
        claims: RecordClaim,
    },
    /// Unties a way of registering from the account that used it, so that another can.
    ReleaseRecord {
        /// The record.
        record: RecordKey,
        /// The portal.
        portal: PortalId,
        /// The way, by its id.
        registration_type: String,
        /// The account; the write fails if another has it.
        account: AccountId,
        /// Whether what was made of the record is over too: it is as if nobody had registered with it.
        whole: bool,
    },
    /// Notes that the notification letter of a record goes out; it does so once (EX-06).
    NoteNotified(RecordKey),
    /// An invitation, new or changed.
    SaveInvitation {
        /// As it was read; none for a new one.
        before: Option<Box<Invitation>>,
        /// As it shall be, save for the version.
        after: Box<Invitation>,
    },
    /// A new session.
    StartSession(Session),
    /// A session under its account's new epoch; it must still be there.
    RenewSession(Session),
    /// The end of one.
    EndSession(Session),
    /// Takes a letter back that has not been printed yet.
    WithdrawLetter(MessageId),
    /// Notes what the administrators of an organization are to be told (BA-01, BA-02).
    QueueAdminNotice(AdminNotice),
    /// Drops what they have been told.
    ClearAdminNotices(Vec<AdminNotice>),
    /// Ends an alarm, or sets it again; nobody must have set it meanwhile.
    ResolveFollowUp {
        /// As it was read.
        follow_up: FollowUp,
        /// The day on which to look again.
        again: Option<Date>,
    },
    /// Clears a counter of guesses.
    ForgetAttempts(AttemptKey),
}

/// What is made of a plan record when it is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordClaim {
    /// Something new: an organization, or nothing but the person's own account. Nobody may have
    /// registered with the record yet.
    NewOrganization(Option<OrganizationId>),
    /// A place in the organization that was made of it by another way.
    JoinExisting(OrganizationId),
}

/// Everything one verb does, to be done whole or not at all. It can't be made without an audit
/// entry, so no change goes unrecorded.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What changes.
    pub changes: Vec<Change>,
    /// What is sent.
    pub messages: Vec<Message>,
    /// What is recorded.
    pub audit: AuditEvent,
}

impl Decision {
    /// A decision that so far only records something.
    pub const fn recording(audit: AuditEvent) -> Self {
        Self {
            changes: Vec::new(),
            messages: Vec::new(),
            audit,
        }
    }

    /// Adds a change.
    #[must_use]
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Adds messages.
    #[must_use]
    pub fn send(mut self, messages: impl IntoIterator<Item = Message>) -> Self {
        self.messages.extend(messages);
        self
    }

    /// Adds the change of an account as it was read.
    #[must_use]
    pub fn update(self, before: &Account, after: Account) -> Self {
        self.change(Change::UpdateAccount {
            before: Box::new(before.clone()),
            after: Box::new(after),
        })
    }
}
