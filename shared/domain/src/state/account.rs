//! An account: one person's login on one portal, with its memberships in organizations.
//!
//! The account is one aggregate, stored as one item that includes its memberships. One read is
//! enough to authorize a request, and one condition on its version resolves every race.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::policy::Policy;
use crate::state::membership::Membership;
use crate::state::record::Mac;
use crate::state::second_factor::SecondFactors;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::{Email, PersonName, Username};

/// An Argon2id hash in PHC string format.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    pub fn new(phc: String) -> Self {
        Self(phc)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

/// The lifecycle state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Status {
    /// The account can sign in.
    Active,
    /// The account can't sign in until it is reinstated (BA-04, BA-06).
    Disabled,
    /// The account can't be used or reinstated (AG-10, BA-06).
    Deleted,
}

/// A password with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    pub hash: PasswordHash,
    /// When it was set. Its age counts from here (AG-02).
    pub changed_at: Timestamp,
    /// Whether the user must change it before anything else (EX-09).
    pub must_change: bool,
}

/// A password reset link. An account has at most one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetLink {
    /// The digest of the token.
    pub token: String,
    pub expires_at: Timestamp,
}

/// A new email address that its owner has not confirmed yet (BL-12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEmail {
    pub email: Email,
    /// The digest of the token that was sent to the address.
    pub token: String,
    /// The digest of the token that was sent to the old address, with which its owner cancels the
    /// change without signing in (SE-01).
    #[serde(default)]
    pub cancellation: String,
    pub expires_at: Timestamp,
}

/// Emails don't reach the account's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undeliverable {
    pub detected_at: Timestamp,
    pub kind: UndeliverableKind,
}

/// Why emails don't reach an address, in order of severity.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum UndeliverableKind {
    /// The recipient marked an email as spam.
    Complained,
    /// SES rejected an email to this address.
    Refused,
    /// The receiving mail server reported that the address doesn't exist. No further email is sent
    /// to it.
    Bounced,
}

/// A link that a user saved in the profile (BL-11).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bookmark {
    pub title: String,
    pub url: String,
}

/// A question and the MAC of its answer. The answer itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAnswer {
    pub question: String,
    pub answer: Mac,
}

/// One person's account on one portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub portal: PortalId,
    /// Incremented by every change. Every write is conditional on it.
    pub version: u64,
    pub username: Username,
    /// When the username was last set; `None` if it is the one the account was created with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username_since: Option<Timestamp>,
    /// Whether the user must choose a username: a campaign released the previous one, somebody else
    /// has chosen it, and this one is a temporary replacement (ME-10).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must_choose_username: bool,
    pub name: PersonName,
    pub email: Email,
    /// Set when emails don't arrive, until the address is changed or confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_undeliverable: Option<Undeliverable>,
    /// The address that replaces `email` once it is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_email: Option<PendingEmail>,
    /// The realm in which the address is unique, if the portal has one (EX-08).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_realm: Option<String>,
    pub status: Status,
    /// `None` until a registration code is redeemed (BL-08).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Hashes of earlier passwords, latest first, as many as the policy's history (UX-10).
    pub former_passwords: Vec<PasswordHash>,
    /// The valid reset link, if one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetLink>,
    /// Security questions (ME-04).
    pub security_answers: Vec<QuestionAnswer>,
    /// The hint question (BL-14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<QuestionAnswer>,
    /// Second factors (MF-01).
    #[serde(default, skip_serializing_if = "SecondFactors::is_empty")]
    pub second_factors: SecondFactors,
    /// Links saved in the profile (BL-11).
    pub bookmarks: Vec<Bookmark>,
    /// E-news subscriptions (BL-13).
    pub subscriptions: BTreeSet<String>,
    pub memberships: Vec<Membership>,
    /// Sessions that started under a lower number are invalid.
    pub session_epoch: u32,
    /// Whether an application was ever opened with it, so that its applications are notified when access ends
    /// (SO-03).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uses_applications: bool,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign_in_at: Option<Timestamp>,
    /// The IP address of the last sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sign_in_from: Option<String>,
    /// Digests of the devices used to sign in, each with its last use (UX-06).
    pub devices: BTreeMap<String, Timestamp>,
    /// When concurrent use from several places was last detected (EX-01).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_use_detected_at: Option<Timestamp>,
    /// When the account was last disabled or reinstated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_since: Option<Timestamp>,
    pub notices: Notices,
}

impl Account {
    /// Returns the membership in an organization. `None` selects the membership of a member, which
    /// has no organization.
    pub fn membership(&self, organization: Option<&OrganizationId>) -> Option<&Membership> {
        self.memberships
            .iter()
            .find(|m| m.organization.as_ref() == organization)
    }

    pub fn membership_mut(
        &mut self,
        organization: Option<&OrganizationId>,
    ) -> Option<&mut Membership> {
        self.memberships
            .iter_mut()
            .find(|m| m.organization.as_ref() == organization)
    }

    /// Returns the memberships whose last day has not passed (UX-07).
    pub fn running_memberships(&self, today: Date) -> impl Iterator<Item = &Membership> {
        self.memberships.iter().filter(move |m| !m.is_over(today))
    }

    /// Returns whether the account can be used: it is active, and not all of its memberships have
    /// ended.
    pub fn is_usable(&self, today: Date) -> bool {
        let all_ended =
            !self.memberships.is_empty() && self.running_memberships(today).next().is_none();
        self.status == Status::Active && !all_ended
    }

    /// Sets the username and ends the obligation to choose one.
    pub fn set_username(&mut self, username: Username, now: Timestamp) {
        self.username = username;
        self.username_since = Some(now);
        self.must_choose_username = false;
    }

    /// Sets the password, adds the old one to the history and ends every other way in (SE-01).
    pub fn set_password(&mut self, hash: PasswordHash, policy: &Policy, now: Timestamp) {
        let history = policy.password.history.map_or(0, |n| n.get() as usize);
        let old = self.password.replace(Password {
            hash,
            changed_at: now,
            must_change: false,
        });
        self.former_passwords.splice(0..0, old.map(|p| p.hash));
        self.former_passwords.truncate(history);
        self.end_other_access();
    }

    /// Returns the passwords that can't be chosen: the current one and the history (UX-10).
    pub fn used_passwords(&self) -> impl Iterator<Item = &PasswordHash> {
        self.password
            .iter()
            .map(|p| &p.hash)
            .chain(&self.former_passwords)
    }

    /// Disables the account and ends every way in, so that reinstating it revives none (BA-01,
    /// UX-04, SE-01).
    pub fn disable(&mut self, now: Timestamp) {
        self.status = Status::Disabled;
        self.status_since = Some(now);
        self.end_other_access();
    }

    /// Reinstates the account. The idle limits count from now (BA-06, UX-02).
    pub fn reinstate(&mut self, now: Timestamp) {
        self.status = Status::Active;
        self.status_since = Some(now);
        self.end_sessions();
    }

    /// Deletes the account permanently. The id and username remain for as long as audit events
    /// refer to them; the name, contact information and identity verification are removed.
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
        self.second_factors = SecondFactors::default();
        self.must_choose_username = false;
        self.last_sign_in_from = None;
        self.devices.clear();
        self.uses_applications = false;
        self.memberships.clear();
        self.end_sessions();
    }

    /// Removes the memberships that `keep` rejects, and deletes the account if none is left.
    /// Returns whether it was deleted. A session that works for a removed organization has to
    /// choose another.
    pub fn keep_memberships(&mut self, keep: impl FnMut(&Membership) -> bool) -> bool {
        self.memberships.retain(keep);
        let deleted = self.memberships.is_empty();
        if deleted {
            self.delete();
        }
        deleted
    }

    /// Ends every way into the account besides its password and second factors: its sessions, a reset
    /// link, a change of email address that is not confirmed, with both of its links, and the trust in
    /// devices (SE-01; OWASP ASVS 5.0, 7.4.3).
    /// Factors that the owner proves with, such as security answers, are cleared only by the help desk.
    pub fn end_other_access(&mut self) {
        self.reset = None;
        self.pending_email = None;
        self.second_factors.end_other_access();
        self.end_sessions();
    }

    /// Returns whether the account has a second factor that the portal uses.
    pub fn has_second_factor(&self, policy: &Policy) -> bool {
        let section = policy.second_factor.as_ref();
        section.is_some_and(|s| !self.second_factors.methods(s).is_empty())
    }

    /// Ends all sessions at their next request (UX-04).
    pub fn end_sessions(&mut self) {
        self.session_epoch += 1;
    }
}

/// The day of the latest notice of each kind, so that none is sent twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notices {
    /// The account will be disabled or deleted.
    pub idle: Option<Date>,
    /// The password expires.
    pub password: Option<Date>,
    /// A letter is overdue.
    pub letter: Option<Date>,
    /// A campaign requires registering again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Date>,
    /// The username is released.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<Date>,
}
