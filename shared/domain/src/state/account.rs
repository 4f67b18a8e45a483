//! An account: one person's login on one portal, and what they are in each of its organizations.
//!
//! The account is one aggregate and one item: its memberships are inside it, so that one read
//! tells who may come in, and one condition on its version decides every race.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::Policy;
use crate::state::membership::Membership;
use crate::state::record::Mac;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::{Email, PersonName, Username};

/// A password's Argon2id hash in PHC string format.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes a PHC string.
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// Where an account stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It can sign in.
    Active,
    /// It can't, until somebody reinstates it (BA-04, BA-06).
    Disabled,
    /// It never will again (AG-10, BA-06).
    Deleted,
}

impl Status {
    /// As it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
        }
    }
}

/// The password and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Its hash.
    pub hash: PasswordHash,
    /// Since when it is this one; its age counts from here (AG-02).
    pub changed_at: Timestamp,
    /// Whether its owner must choose another before anything else (EX-09).
    pub must_change: bool,
}

/// The one link with which the owner can set a new password now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetLink {
    /// The digest of its token.
    pub token: String,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// A new address that its owner has not confirmed yet (BL-12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEmail {
    /// The address.
    pub email: Email,
    /// The digest of the token that was sent there.
    pub token: String,
    /// Until when it can be confirmed.
    pub expires_at: Timestamp,
}

/// That mails don't reach an account's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeliverable {
    /// Since when it is known.
    pub detected_at: Timestamp,
    /// What happened.
    pub kind: UndeliverableKind,
}

/// Why mails don't reach an address; the later, the graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndeliverableKind {
    /// Its owner called a mail unwanted.
    Complained,
    /// SES refused to send a mail there.
    Refused,
    /// The mail system there said that there is no such address; nothing more is sent to it.
    Bounced,
}

impl UndeliverableKind {
    /// As it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complained => "complained",
            Self::Refused => "refused",
            Self::Bounced => "bounced",
        }
    }
}

/// A link that a user keeps in the profile (BL-11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    /// What the user calls it.
    pub title: String,
    /// Where it leads.
    pub url: String,
}

/// A question and the code of its answer. The answer is stored in no other form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAnswer {
    /// The question.
    pub question: String,
    /// The answer's code.
    pub answer: Mac,
}

/// One person's account on one portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its identifier.
    pub id: AccountId,
    /// Its portal.
    pub portal: PortalId,
    /// Counts its changes; every write is conditional on it.
    pub version: u64,
    /// Its username.
    pub username: Username,
    /// Since when it is this one; none: since the account was made.
    pub username_since: Option<Timestamp>,
    /// Whether its owner must choose another: a campaign released the one they had, somebody else has
    /// chosen it, and this one stands in for it (ME-10).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must_choose_username: bool,
    /// The person.
    pub name: PersonName,
    /// Where mail goes.
    pub email: Email,
    /// That mails don't arrive there, where it is known; until it is changed or confirmed.
    pub email_undeliverable: Option<Undeliverable>,
    /// The address that shall take its place, once confirmed.
    pub pending_email: Option<PendingEmail>,
    /// The realm in which the address is unique, where the portal has one (EX-08).
    pub email_realm: Option<String>,
    /// Where it stands in its life.
    pub status: Status,
    /// Its password; none before a registration code is redeemed (BL-08).
    pub password: Option<Password>,
    /// The hashes of earlier passwords, latest first, as many as the portal remembers (UX-10).
    pub former_passwords: Vec<PasswordHash>,
    /// The reset link that works, if one was sent.
    pub reset: Option<ResetLink>,
    /// Security questions (ME-04).
    pub security_answers: Vec<QuestionAnswer>,
    /// The hint question (BL-14).
    pub hint: Option<QuestionAnswer>,
    /// The links of the profile (BL-11).
    pub bookmarks: Vec<Bookmark>,
    /// The e-news subscribed to (BL-13).
    pub subscriptions: BTreeSet<String>,
    /// What it is where.
    pub memberships: Vec<Membership>,
    /// Sessions begun under an older number are over.
    pub session_epoch: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last signed in.
    pub last_sign_in_at: Option<Timestamp>,
    /// From which address that was.
    pub last_sign_in_from: Option<String>,
    /// The digests of the devices it was signed in from, each with when it was last used (UX-06).
    pub devices: BTreeMap<String, Timestamp>,
    /// When it was last found in use from several places at once (EX-01).
    pub concurrent_use_detected_at: Option<Timestamp>,
    /// Since when it is disabled, or since when it is reinstated.
    pub status_since: Option<Timestamp>,
    /// When its owner was told of what time brings.
    pub notices: Notices,
}

impl Account {
    /// The id that an account with this username gets where it is free. Sign-in can so fetch the
    /// username's marker and the account in one read; renamed accounts take a second one.
    pub fn natural_id(portal: &PortalId, username_key: &str) -> AccountId {
        let hash = Sha256::digest(format!("account/{portal}/{username_key}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        AccountId::from_bytes(bytes)
    }

    /// What it is in an organization, or by itself.
    pub fn membership(&self, organization: Option<&OrganizationId>) -> Option<&Membership> {
        self.memberships
            .iter()
            .find(|m| m.organization.as_ref() == organization)
    }

    /// The same, to be changed.
    pub fn membership_mut(
        &mut self,
        organization: Option<&OrganizationId>,
    ) -> Option<&mut Membership> {
        self.memberships
            .iter_mut()
            .find(|m| m.organization.as_ref() == organization)
    }

    /// The memberships whose last day isn't over (UX-07).
    pub fn running_memberships(&self, today: Date) -> impl Iterator<Item = &Membership> {
        self.memberships.iter().filter(move |m| !m.is_over(today))
    }

    /// Whether its owner can come in at all: it is active, and not all that it had is over.
    pub fn is_usable(&self, today: Date) -> bool {
        let over = !self.memberships.is_empty() && self.running_memberships(today).next().is_none();
        self.status == Status::Active && !over
    }

    /// Gives it another username, or the same anew.
    pub fn set_username(&mut self, username: Username, now: Timestamp) {
        self.username = username;
        self.username_since = Some(now);
        self.must_choose_username = false;
    }

    /// Sets a new password, remembers the old one, kills a reset link and ends all sessions.
    pub fn set_password(&mut self, hash: PasswordHash, policy: &Policy, now: Timestamp) {
        let history = policy.password.history.map_or(0, |n| n.get() as usize);
        let old = self.password.replace(Password {
            hash,
            changed_at: now,
            must_change: false,
        });
        self.former_passwords.splice(0..0, old.map(|p| p.hash));
        self.former_passwords.truncate(history);
        self.reset = None;
        self.end_sessions();
    }

    /// The passwords that can't be chosen: the present one, and those the portal remembers (UX-10).
    pub fn used_passwords(&self) -> impl Iterator<Item = &PasswordHash> {
        self.password
            .iter()
            .map(|p| &p.hash)
            .chain(&self.former_passwords)
    }

    /// Disables it, and ends its sessions at their next request (BA-01, UX-04).
    pub fn disable(&mut self, now: Timestamp) {
        self.status = Status::Disabled;
        self.status_since = Some(now);
        self.end_sessions();
    }

    /// Lets it be used again; the days of grace count from now (BA-06, UX-02).
    pub fn reinstate(&mut self, now: Timestamp) {
        self.status = Status::Active;
        self.status_since = Some(now);
        self.end_sessions();
    }

    /// Removes it for good. Its id and username stay for who reads the audit trail, as long as that
    /// is kept; the person's name, how to reach them, and how they proved who they are, go.
    pub fn delete(&mut self) {
        self.status = Status::Deleted;
        self.name = PersonName::removed();
        self.email = Email::removed();
        self.email_undeliverable = None;
        self.password = None;
        self.former_passwords.clear();
        self.reset = None;
        self.pending_email = None;
        self.bookmarks.clear();
        self.subscriptions.clear();
        self.security_answers.clear();
        self.hint = None;
        self.must_choose_username = false;
        self.last_sign_in_from = None;
        self.devices.clear();
        self.memberships.clear();
        self.end_sessions();
    }

    /// Takes away the memberships that aren't kept, and deletes it where none is left; tells whether that
    /// was so. A session that works for what is taken away has to choose another organization.
    pub fn keep_memberships(&mut self, keep: impl FnMut(&Membership) -> bool) -> bool {
        self.memberships.retain(keep);
        let deleted = self.memberships.is_empty();
        if deleted {
            self.delete();
        }
        deleted
    }

    /// Ends all its sessions at their next request (UX-04).
    pub fn end_sessions(&mut self) {
        self.session_epoch += 1;
    }
}

/// When an account's owner was last told of what time brings, so that nothing is told twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// That the account will be disabled or deleted.
    pub idle: Option<Date>,
    /// That the password expires.
    pub password: Option<Date>,
    /// That a letter is overdue.
    pub letter: Option<Date>,
    /// That a campaign asks to register again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Date>,
    /// That the username is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Date>,
}
