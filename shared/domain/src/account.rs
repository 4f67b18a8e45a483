//! An account: one person's login on one portal, and what they are in each of its organizations.
//!
//! The account is one aggregate and one item: its memberships are inside it, so that one read
//! tells who may come in, and one condition on its version decides every race.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::campaign;
use crate::clockwork::Notices;
use crate::ids::{AccountId, IssueId, MessageId, OrganizationId, PortalId};
use crate::policy::{Agreement, NamedBy, Policy, RecordedBy, Role, Slug, Way, Withholds};
use crate::record::{Mac, RecordKey};
use crate::review::Confirmation;
use crate::text::{Email, PersonName, PostalAddress, Username};

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
    pub since: Timestamp,
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
    pub address: String,
}

/// A question and the code of its answer. The answer is stored in no other form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionAnswer {
    /// The question.
    pub question: String,
    /// The answer's code.
    pub answer: Mac,
}

/// A PIN or registration code on its way to its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its tries are counted under this, and its code is bound to it.
    pub id: IssueId,
    /// The keyed code of the digits.
    pub code: Mac,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Until when it can be entered.
    pub expires_at: Timestamp,
    /// The mail or letter that carries it.
    pub carried_by: MessageId,
    /// Whether the letter goes abroad (ME-08).
    pub abroad: bool,
}

/// What stands between a membership and what it opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "gate")]
pub enum Gate {
    /// Nothing: it is open.
    Open,
    /// An administrator has to approve (AG-08).
    Approval,
    /// The PIN of a posted letter has to be entered (ME-06, BL-04).
    Pin {
        /// The PIN.
        issue: Issue,
    },
    /// An agreement has to be on file before the PIN letter is posted (BL-10).
    PinLetterWithheld,
    /// The code of an email has to be entered (BL-08).
    RegistrationCode {
        /// The code.
        issue: Issue,
    },
    /// The plan record has ended. If it returns, the membership is where it was.
    RecordEnded {
        /// What stood there before.
        before: Box<Self>,
    },
}

/// What an account is in one organization, or, for a member of the plan, by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The organization; none for members of the plan.
    pub organization: Option<OrganizationId>,
    /// What the person is there.
    pub role: Role,
    /// What stands between it and what it opens.
    pub gate: Gate,
    /// The services assigned.
    pub services: BTreeSet<String>,
    /// The group codes assigned.
    pub group_codes: BTreeSet<String>,
    /// Since when.
    pub since: Timestamp,
    /// The last day, in the portal's time zone, on which it opens anything (UX-07); none: no end.
    pub ends_on: Option<Date>,
    /// When a manager last confirmed it in a review of access (EX-11).
    pub confirmed: Option<Confirmation>,
    /// When the person last registered again in a campaign (AG-13).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_again_at: Option<Timestamp>,
    /// How the person registered, where it was against the plan's records.
    pub way: Option<String>,
    /// The plan record they registered with.
    pub record: Option<RecordKey>,
    /// The record's category.
    pub category: Option<String>,
    /// The agreements on file for it, with their revisions: one organization's open no other.
    pub agreements: BTreeMap<String, String>,
    /// Those of them that the help desk has recorded and the plan's feed doesn't tell yet.
    pub ahead_of_feed: BTreeSet<String>,
    /// Where its PIN letter goes, on portals where the person says so (BL-03). Sealed in the table.
    pub postal_address: Option<PostalAddress>,
}

impl Membership {
    /// What it is to have joined an organization by its administrators' doing: no record, no way.
    pub(crate) fn joined(
        organization: OrganizationId,
        role: Role,
        gate: Gate,
        now: Timestamp,
    ) -> Self {
        Self {
            organization: Some(organization),
            role,
            gate,
            services: BTreeSet::new(),
            group_codes: BTreeSet::new(),
            since: now,
            confirmed: None,
            registered_again_at: None,
            ends_on: None,
            way: None,
            record: None,
            category: None,
            agreements: BTreeMap::new(),
            ahead_of_feed: BTreeSet::new(),
            postal_address: None,
        }
    }

    /// The first agreement that isn't on file in its current revision (AG-11, BL-10, UX-13).
    pub fn missing_agreement<'p>(&self, policy: &'p Policy) -> Option<&'p Agreement> {
        policy
            .agreements
            .iter()
            .find(|a| a.is_asked_of(self) && !a.is_current(&self.agreements))
    }

    /// Whether its last day is over (UX-07). What is over opens nothing; that it is still there only
    /// means that nobody has removed it yet.
    pub fn is_over(&self, today: Date) -> bool {
        self.ends_on.is_some_and(|last| last < today)
    }

    /// How far the person's registration is (BL-02).
    pub const fn registration(&self) -> Registration {
        match self.gate {
            Gate::Open => Registration::Registered,
            Gate::Approval => Registration::AwaitingApproval,
            Gate::Pin { .. } | Gate::PinLetterWithheld | Gate::RegistrationCode { .. } => {
                Registration::Pending
            }
            Gate::RecordEnded { .. } => Registration::RecordEnded,
        }
    }
}

/// How far a registration is, as administrators see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// A PIN or registration code has to be entered (BL-02).
    Pending,
    /// An administrator has to approve (AG-08).
    AwaitingApproval,
    /// Complete.
    Registered,
    /// The plan record that it rests on has ended.
    RecordEnded,
}

impl Registration {
    /// As it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Registered => "registered",
            Self::RecordEnded => "record_ended",
        }
    }
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
    pub used_from_several_places_at: Option<Timestamp>,
    /// Since when it is disabled, or since when it is reinstated.
    pub status_since: Option<Timestamp>,
    /// When its owner was told of what time brings.
    pub notices: Notices,
}

/// What has to be done in a session before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextStep {
    /// Choose a new password (AG-02, EX-09).
    ChangePassword,
    /// Choose the username again, which a campaign has released (ME-10).
    ChooseUsername,
    /// Say for which organization one works now (BL-01).
    ChooseOrganization,
    /// Register again, as a campaign asks and the transition is over (AG-13).
    RegisterAgain,
    /// Ask the help desk: it wasn't done before the campaign's cutoff (AG-13).
    CampaignOver,
    /// Enter the PIN of the letter (BL-04).
    EnterPin,
    /// Enter the code of the email (BL-08).
    EnterRegistrationCode,
    /// Wait for an administrator (AG-08).
    AwaitApproval,
    /// Sign, or have recorded, an agreement (AG-11).
    SignAgreement,
    /// Nothing that the person could do here: the plan record has ended.
    RecordEnded,
}

impl NextStep {
    /// As it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ChangePassword => "change_password",
            Self::ChooseUsername => "choose_username",
            Self::ChooseOrganization => "choose_organization",
            Self::RegisterAgain => "register_again",
            Self::EnterPin => "enter_pin",
            Self::EnterRegistrationCode => "enter_registration_code",
            Self::AwaitApproval => "await_approval",
            Self::SignAgreement => "sign_agreement",
            Self::CampaignOver | Self::RecordEnded => "call_help_desk",
        }
    }
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

    /// What a session that works for `organization` has to do first; none: everything is open.
    pub fn next_step(
        &self,
        membership: Option<&Membership>,
        policy: &Policy,
        now: Timestamp,
    ) -> Option<NextStep> {
        let password_over = self.password.as_ref().is_some_and(|p| {
            p.must_change
                || policy
                    .password_expires_at(p.changed_at)
                    .is_some_and(|end| now >= end)
        });
        if password_over {
            return Some(NextStep::ChangePassword);
        }
        let today = policy.today(now);
        if campaign::must_choose_username(self, policy, today) {
            return Some(NextStep::ChooseUsername);
        }
        let Some(membership) = membership else {
            return Some(NextStep::ChooseOrganization);
        };
        // Nobody can register again with a record that has ended.
        if matches!(membership.gate, Gate::RecordEnded { .. }) {
            return Some(NextStep::RecordEnded);
        }
        match campaign::call(membership, policy, today) {
            Some(call) if call.is_over(today) => return Some(NextStep::CampaignOver),
            Some(call) if !call.leaves_access(today) => return Some(NextStep::RegisterAgain),
            _ => {}
        }
        match membership.gate {
            Gate::Approval => Some(NextStep::AwaitApproval),
            Gate::Pin { .. } => Some(NextStep::EnterPin),
            Gate::RegistrationCode { .. } => Some(NextStep::EnterRegistrationCode),
            Gate::PinLetterWithheld => Some(NextStep::SignAgreement),
            Gate::RecordEnded { .. } => Some(NextStep::RecordEnded),
            Gate::Open if membership.missing_agreement(policy).is_some() => {
                Some(NextStep::SignAgreement)
            }
            Gate::Open => None,
        }
    }

    /// Gives it another username, or the same anew.
    pub fn set_username(&mut self, username: Username, now: Timestamp) {
        self.username = username;
        self.username_since = Some(now);
        self.must_choose_username = false;
    }

    /// Sets a new password, remembers the old one, kills a reset link and ends all sessions.
    pub fn set_password(&mut self, hash: PasswordHash, policy: &Policy, now: Timestamp) {
        let remembered = policy.password.remembered.map_or(0, |n| n.get() as usize);
        let old = self.password.replace(Password {
            hash,
            changed_at: now,
            must_change: false,
        });
        self.former_passwords.splice(0..0, old.map(|p| p.hash));
        self.former_passwords.truncate(remembered);
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

impl Agreement {
    /// Whether somebody who registered this way, with a record of this category, needs it.
    pub fn applies_to(&self, way: Option<&str>, category: Option<&str>) -> bool {
        let among = |set: &BTreeSet<Slug>, value: Option<&str>| {
            set.is_empty() || value.is_some_and(|v| set.iter().any(|s| s.as_str() == v))
        };
        among(&self.ways, way) && among(&self.categories, category)
    }

    /// Whether it is asked of somebody with this membership.
    pub fn is_asked_of(&self, membership: &Membership) -> bool {
        self.applies_to(membership.way.as_deref(), membership.category.as_deref())
    }

    /// Whether what is on file is its current revision. Revisions are compared as text, so that
    /// policies number them by date.
    pub fn is_current(&self, on_file: &BTreeMap<String, String>) -> bool {
        on_file
            .get(self.id.as_str())
            .is_some_and(|r| r.as_str() >= self.revision.as_str())
    }
}

impl Policy {
    /// Whether somebody's PIN letter waits for an agreement that isn't on file (BL-10).
    pub fn withholds_letter(
        &self,
        way: &Way,
        category: Option<&str>,
        on_file: &BTreeMap<String, String>,
    ) -> bool {
        self.agreements.iter().any(|a| {
            a.withholds == Withholds::PinLetter
                && a.recorded_by == RecordedBy::Plan
                && a.applies_to(Some(way.id.as_str()), category)
                && !a.is_current(on_file)
        })
    }

    /// A username made by the system: prefix and eight characters (BL-16).
    pub fn make_username(&self, rng: &mut impl rand::Rng) -> Option<Username> {
        if self.username.chosen_by != NamedBy::System {
            return None;
        }
        let tail = eight_characters(rng);
        let prefix = self.username.prefix.as_ref()?;
        Username::parse(&format!("{prefix}{tail}"), 1).ok()
    }
}

/// Random letters and digits, none of which is misread.
pub(crate) fn eight_characters(rng: &mut impl rand::Rng) -> String {
    const PLAIN: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..8)
        .map(|_| char::from(PLAIN[rng.random_range(0..PLAIN.len())]))
        .collect()
}

/// Where a PIN letter is on its way (ME-08).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LetterStatus {
    /// The day it was issued.
    pub issued_on: Date,
    /// The first day on which it should be there.
    pub arrives_from: Date,
    /// The day by which it should be there.
    pub arrives_by: Date,
    /// Whether that day is over, so that the address on record should be checked.
    pub overdue: bool,
}

impl LetterStatus {
    /// The status of a letter; none on a portal without PIN letters.
    pub fn of(issue: &Issue, policy: &Policy, now: Timestamp) -> Option<Self> {
        let pin = policy.pin.as_ref()?;
        let span = if issue.abroad {
            pin.arrives_abroad_in
        } else {
            pin.arrives_in
        };
        let issued_on = policy.date_of(issue.issued_at);
        let arrives_by = policy.business_day_after(issued_on, span.to);
        Some(Self {
            issued_on,
            arrives_from: policy.business_day_after(issued_on, span.from),
            arrives_by,
            overdue: policy.today(now) > arrives_by,
        })
    }
}
