//! The policy of a portal: everything in which one portal differs from another, as data.
//!
//! A policy is a TOML file read at run time; `docs/portals.md` explains every field. Reading one
//! reports the first fault with file, line and field, so that a wrong policy stops the start.

pub mod calendar;
pub mod portals;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use crate::values::ids::PortalId;
use crate::values::record_kind::{Fact, RecordKind};
use crate::values::text::{Country, Email, Username, eight_characters};

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<const MIN: u32, const MAX: u32>;
        impl<const MIN: u32, const MAX: u32> serde::de::Visitor<'_> for Whole<MIN, MAX> {
            type Value = Bounded<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Self::Value, E> {
                match u32::try_from(n) {
                    Ok(n) if (MIN..=MAX).contains(&n) => Ok(Bounded(n)),
                    _ => Err(E::custom(format!(
                        "must be a whole number from {MIN} to {MAX}, not {n}"
                    ))),
                }
            }
        }
        deserializer.deserialize_i64(Whole)
    }
}

/// A span of days.
pub type Days = Bounded<1, 3650>;
/// How often something may be tried.
pub type AttemptLimit = Bounded<1, 1000>;

/// A text of one line, not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty()
            || text.chars().any(char::is_control)
            || text.chars().count() > 500
        {
            return Err(serde::de::Error::custom(
                "must be a text of one line, 1 to 500 characters",
            ));
        }
        Ok(Self(text.trim().to_owned()))
    }
}

/// A name inside a policy or an API: `a-z`, `0-9`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Reads a slug of 1 to 40 characters.
    ///
    /// # Errors
    /// A sentence saying what is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 40 of a-z, 0-9, _ and -")
        }
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// An `http(s)` address without a trailing slash, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress(String);

impl WebAddress {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WebAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let fits = rest.is_some_and(|r| {
            !r.is_empty()
                && !r.ends_with('/')
                && r.bytes()
                    .all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b))
        });
        if fits {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom(
                "must be an address such as https://agents.example.com, without a slash, query or fragment at its end",
            ))
        }
    }
}

/// A day, as TOML's own date or as a text.
struct Day(Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::Datetime(d) => d.to_string(),
            toml::Value::String(t) => t,
            toml::Value::Integer(n) => n.to_string(),
            _ => "something else".to_owned(),
        };
        match text.parse() {
            Ok(date) if text.len() == 10 => Ok(Self(date)),
            _ => Err(serde::de::Error::custom(format!(
                "must be a date such as 2027-01-31, not {text:?}"
            ))),
        }
    }
}

fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<Date>, D::Error> {
    Vec::<Day>::deserialize(deserializer).map(|days| days.into_iter().map(|d| d.0).collect())
}

/// A time zone by its IANA name; it decides when a day begins on this portal.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(TimeZone);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        TimeZone::get(&name).map(Self).map_err(|_| {
            serde::de::Error::custom(format!(
                "must be the IANA name of a time zone such as America/Chicago, not {name:?}"
            ))
        })
    }
}

/// What a user is within an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The first person of an organization, with power to sign for it (AG-03).
    Principal,
    /// Manages others of the organization.
    Administrator,
    /// Manages others, named as the stand-in of an administrator (BA-08).
    AlternativeAdministrator,
    /// Works for the organization and manages nobody.
    User,
    /// A member of the plan, who belongs to no organization.
    Member,
    /// Of the plan's help desk: looks at accounts of other portals (UX-12).
    HelpDeskReader,
    /// Of the plan's help desk: looks at accounts of other portals, and acts on them (UX-12).
    HelpDeskAgent,
}

impl Role {
    /// Whether the role manages others; such users are an organization's administrators (AG-15).
    pub const fn is_administrator(self) -> bool {
        matches!(
            self,
            Self::Principal | Self::Administrator | Self::AlternativeAdministrator
        )
    }

    /// How high it stands; nobody acts on who stands higher.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Principal => 3,
            Self::Administrator => 2,
            Self::AlternativeAdministrator => 1,
            Self::User | Self::Member | Self::HelpDeskReader | Self::HelpDeskAgent => 0,
        }
    }

    /// As it stands in the API and the policy files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Administrator => "administrator",
            Self::AlternativeAdministrator => "alternative_administrator",
            Self::User => "user",
            Self::Member => "member",
            Self::HelpDeskReader => "help_desk_reader",
            Self::HelpDeskAgent => "help_desk_agent",
        }
    }

    /// Whether it is a tier of the plan's help desk.
    pub const fn is_help_desk(self) -> bool {
        matches!(self, Self::HelpDeskReader | Self::HelpDeskAgent)
    }
}

/// What a role may do to others of the organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    /// Send, list, resend and revoke invitations, or add users where the portal has no invitations.
    AddUsers,
    /// Invite again somebody whom the organization deleted (AG-10, BA-06).
    InviteDeleted,
    /// Approve those who registered, with services and group codes.
    ApproveUsers,
    /// List and search the users of the organization.
    ListUsers,
    /// Change the data, services and group codes of a user.
    EditUsers,
    /// Make users administrators.
    GrantRoles,
    /// Disable and reinstate users.
    DisableUsers,
    /// Delete users that are not administrators.
    DeleteUsers,
    /// Delete administrators too.
    DeleteAdministrators,
    /// Send a lost registration code again, or have a password reset.
    ReissueCodes,
    /// See when each user last signed in (BA-07).
    SeeLastSignIn,
    /// Download the list of users as CSV (BA-09).
    DownloadUsers,
    /// Confirm or remove each account in a review of access (EX-11).
    ReviewAccess,
    /// Read the organization's audit trail.
    SeeAudit,
    /// Look up the ids of the agents under a managing agent (AG-12).
    LookUpAgents,
    /// Find and look at accounts of the portals that a help desk serves (UX-12).
    FindAccounts,
    /// Act on them (UX-12).
    ActOnAccounts,
    /// Search the audit trails of the portals that a help desk serves (UX-11).
    SearchAudit,
}

impl Permission {
    /// Whether it reaches accounts of other portals.
    const fn is_help_desk(self) -> bool {
        matches!(
            self,
            Self::FindAccounts | Self::ActOnAccounts | Self::SearchAudit
        )
    }

    /// Whether who has it can change nobody's rights, so that it goes with a tier of the help desk.
    const fn raises_nobody(self) -> bool {
        self.is_help_desk()
            || matches!(self, Self::ListUsers | Self::SeeLastSignIn | Self::SeeAudit)
    }
}

/// What one role is called and may do on this portal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolePolicy {
    /// What the portal calls it: "office manager", "delegated administrator".
    pub title: Line,
    /// What it may do.
    #[serde(default)]
    pub permissions: BTreeSet<Permission>,
    /// The roles it may give to others.
    #[serde(default)]
    pub can_grant: BTreeSet<Role>,
}

/// The insurer that runs the portal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Whose records people are compared with; portals of one insurer share it.
    pub id: Slug,
    /// What people call it.
    pub name: Line,
    /// The sender's address on letters, line by line.
    pub return_address: Vec<Line>,
    /// Where its letters are posted: they are not "abroad" there, and are printed on the paper usual there.
    pub home_country: CountryField,
}

/// Whom to turn to when the portal can't help (AG-18).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelpDesk {
    /// What it is called.
    pub name: Line,
    /// Its number.
    pub phone: Line,
    /// When it answers.
    pub hours: Line,
    /// Its address, where it has one.
    pub email: Option<EmailField>,
}

/// The portals whose people a help desk serves (UX-12).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelpDeskFor {
    /// These; empty: every portal of the same insurer.
    #[serde(default)]
    pub portals: BTreeSet<PortalId>,
}

/// An email address in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailField(pub Email);

impl<'de> Deserialize<'de> for EmailField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Email::parse(&String::deserialize(deserializer)?)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// Who makes the username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenBy {
    /// The person who registers (ME-02).
    User,
    /// The system (BL-16).
    System,
}

/// Usernames.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsernamePolicy {
    /// Who makes it.
    pub chosen_by: ChosenBy,
    /// The fewest characters of a chosen name.
    pub min_length: Bounded<3, 30>,
    /// What a system-made name begins with.
    pub prefix: Option<Slug>,
}

/// Email addresses.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailPolicy {
    /// Where set, an address serves one account among all portals that name the same realm (EX-08).
    pub unique_in: Option<Slug>,
    /// The sender of the portal's mails.
    pub from: EmailField,
}

/// A kind of character that a password must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CharacterKind {
    /// A letter of any script.
    Letter,
    /// A capital letter.
    Uppercase,
    /// A small letter.
    Lowercase,
    /// A digit.
    Digit,
    /// Anything that is neither a letter nor a digit.
    Symbol,
}

impl CharacterKind {
    /// As it stands in the API and the policy files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Letter => "letter",
            Self::Uppercase => "uppercase",
            Self::Lowercase => "lowercase",
            Self::Digit => "digit",
            Self::Symbol => "symbol",
        }
    }
}

/// Passwords.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordPolicy {
    /// The fewest characters.
    pub min_length: Bounded<6, 64>,
    /// What it must hold at least one of.
    #[serde(default)]
    pub required_characters: BTreeSet<CharacterKind>,
    /// Whether obscene words are refused (ME-03).
    pub reject_obscene_words: bool,
    /// After how many days it must be changed; absent: never.
    pub max_age_days: Option<Days>,
    /// How many days before that the owner is warned, most first.
    #[serde(default)]
    pub warning_days: Vec<Days>,
    /// How many earlier passwords can't be chosen again.
    #[serde(default)]
    pub history: Option<Bounded<1, 24>>,
}

/// Security questions (ME-04).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityQuestionPolicy {
    /// How many a person sets up.
    pub required: Bounded<1, 5>,
    /// The questions to choose from.
    pub questions: Vec<Line>,
}

/// Sessions (AG-14).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionPolicy {
    /// After how many hours a session ends, whatever its user does.
    pub max_hours: Bounded<1, 24>,
    /// After how many minutes without a request it ends; absent: only the hours count.
    pub idle_minutes: Option<Bounded<1, 480>>,
}

/// Noticing that an account is used from several places at once (EX-01).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConcurrentUsePolicy {
    /// How long after a sign-in the use of an older session from elsewhere counts as at once.
    pub within_minutes: Bounded<1, 480>,
}

/// How often something may be guessed within a window.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimits {
    /// Passwords, codes and answers, by username and by source.
    pub sign_in: RateLimit,
    /// Registrations, by plan record and by source.
    pub registration: RateLimit,
}

/// A limit on guesses.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// Tries for one username, or one plan record.
    pub max_attempts: AttemptLimit,
    /// Tries from one source address, whatever it tries.
    pub max_attempts_per_source: Bounded<1, 100_000>,
    /// The length of the window, in minutes.
    pub window_minutes: Bounded<1, 1440>,
}

/// What a plan record must say for a way of registering to be open to it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordCondition {
    /// The kinds of provider, group or agent it is open to; empty: all.
    #[serde(default)]
    pub categories: BTreeSet<Slug>,
    /// Whether the provider must participate in the plan's network; absent: it doesn't matter.
    pub participating: Option<bool>,
}

/// A way to register against the plan's records.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationType {
    /// Its name in the API.
    pub id: Slug,
    /// What the portal calls it.
    pub title: Line,
    /// Which of the plan's records are looked up.
    pub record_type: RecordKind,
    /// What must match them, besides the number that finds the record (AG-07, ME-01, EX-05).
    pub verify: BTreeSet<Fact>,
    /// What the person is afterward.
    pub role: Role,
    /// What kind of organization is registered; absent for members.
    pub organization: Option<Line>,
    /// Whether the person must state that they may sign for the organization (AG-03).
    #[serde(default)]
    pub requires_signing_authority: bool,
    /// What the record must say.
    #[serde(default)]
    pub eligible: RecordCondition,
    /// What someone reads whose record matches but isn't one of those (EX-04).
    pub ineligible_message: Option<Line>,
    /// Whether a PIN letter must be answered before anything protected is shown.
    #[serde(default)]
    pub pin: bool,
    /// The services the person has; absent: all that the portal offers.
    pub services: Option<BTreeSet<Slug>>,
    /// Whether the plan writes to whom this way is newly open, with the numbers it takes (EX-06).
    #[serde(default)]
    pub notification_letter: bool,
}

/// What follows from the plan's records (AG-16).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordsPolicy {
    /// What becomes of the people whose record has ended.
    #[serde(default)]
    pub on_termination: OnTermination,
    /// How many percent of a kind's records a full feed may end before it is refused as suspicious.
    #[serde(default = "few_percent")]
    pub max_terminated_percent: Bounded<1, 100>,
}

impl Default for RecordsPolicy {
    fn default() -> Self {
        Self {
            on_termination: OnTermination::default(),
            max_terminated_percent: few_percent(),
        }
    }
}

const fn few_percent() -> Bounded<1, 100> {
    Bounded(5)
}

/// What becomes of the people whose record has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTermination {
    /// They lose access until it returns.
    #[default]
    Close,
    /// They keep it.
    Keep,
}

/// Whose address a PIN letter goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterAddress {
    /// The address in the plan records (ME-06).
    PlanRecords,
    /// The address the person designates when registering (BL-03).
    Designated,
}

/// Who may have a PIN or code issued anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reissuer {
    /// The person it was issued to.
    User,
    /// An administrator of the organization.
    Administrator,
    /// The plan's help desk.
    HelpDesk,
}

/// A span of business days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<i64>")]
pub struct BusinessDays {
    /// The earliest.
    pub from: u8,
    /// The latest.
    pub to: u8,
}

impl TryFrom<Vec<i64>> for BusinessDays {
    type Error = &'static str;
    fn try_from(days: Vec<i64>) -> Result<Self, Self::Error> {
        let day = |n: i64| u8::try_from(n).ok().filter(|n| (1..=60).contains(n));
        match days.as_slice() {
            [from, to] if from <= to => {
                day(*from).zip(day(*to)).map(|(from, to)| Self { from, to })
            }
            _ => None,
        }
        .ok_or("must be two numbers of business days, 1 to 60, the earlier first")
    }
}

/// PINs that go by letter.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinPolicy {
    /// How many digits.
    pub digits: Bounded<4, 12>,
    /// How many wrong ones kill it.
    pub max_attempts: Bounded<1, 20>,
    /// How long it can be entered, counted from its issue.
    pub valid_days: Days,
    /// Where the letter goes.
    pub address: LetterAddress,
    /// Who may have it issued anew (ME-07, BL-06).
    pub reissued_by: BTreeSet<Reissuer>,
    /// When a letter within the home country arrives (ME-08).
    pub delivery_days: BusinessDays,
    /// When a letter abroad arrives.
    pub international_delivery_days: BusinessDays,
    /// Days besides Saturday and Sunday on which no letter is carried.
    #[serde(default, deserialize_with = "days")]
    pub holidays: BTreeSet<Date>,
}

/// A country in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryField(pub Country);

impl<'de> Deserialize<'de> for CountryField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Country::parse(&String::deserialize(deserializer)?)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// Registration codes that go by email (BL-08).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationCodePolicy {
    /// What every code begins with.
    pub prefix: Line,
    /// How many digits follow.
    pub digits: Bounded<6, 12>,
    /// How many wrong ones kill it.
    pub max_attempts: Bounded<1, 20>,
    /// How long it can be entered.
    pub valid_days: Days,
    /// Who may have it sent again (BL-09).
    pub reissued_by: BTreeSet<Reissuer>,
}

/// How an administrator's people come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Onboarding {
    /// A link in an email, through which they register themselves (AG-08).
    Invitation,
    /// An account made by the administrator, and a code by email (BL-08).
    RegistrationCode,
    /// An account made by the administrator, with a password to be changed at once (EX-09).
    InitialPassword,
}

/// The administrator's people.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaffPolicy {
    /// How they come in.
    pub onboarding: Onboarding,
    /// Whether an administrator must approve them afterward (AG-08).
    #[serde(default)]
    pub approval: bool,
    /// How long an invitation can be used.
    pub invitation_valid_days: Option<Days>,
    /// Whether the principal is asked for a backup with administrator's rights (AG-04).
    #[serde(default)]
    pub requires_backup_administrator: bool,
}

/// Who records that an agreement is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedBy {
    /// The plan, from the paper it received: it stands in the plan records (AG-11).
    Plan,
    /// The user, by accepting it on the portal (UX-13).
    User,
}

/// What is held back until an agreement is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blocks {
    /// Everything protected (AG-11).
    ProtectedInformation,
    /// The PIN letter (BL-10).
    PinLetter,
}

/// An agreement and its current revision.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Its name in the API and in the plan records.
    pub id: Slug,
    /// What people call it.
    pub title: Line,
    /// The current revision; an older one on file doesn't count.
    pub revision: Line,
    /// Where its form can be downloaded.
    pub form_url: WebAddress,
    /// Who records the signature.
    pub recorded_by: RecordedBy,
    /// What waits for it.
    pub blocks: Blocks,
    /// The ways of registering that need it; empty: everybody does.
    #[serde(default)]
    pub registration_types: BTreeSet<Slug>,
    /// The categories of plan record that need it; empty: all.
    #[serde(default)]
    pub categories: BTreeSet<Slug>,
}

/// A means of proving oneself when the password or username is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryMeans {
    /// All the security answers (ME-05).
    SecurityAnswers,
    /// A link to the address on record.
    Email,
    /// The answer to the hint question (BL-14).
    HintQuestion,
}

impl RecoveryMeans {
    /// As it stands in the API and the policy files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecurityAnswers => "security_answers",
            Self::Email => "email",
            Self::HintQuestion => "hint_question",
        }
    }
}

/// Getting back in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveryPolicy {
    /// What a forgotten password takes, all of it.
    pub forgot_password: BTreeSet<RecoveryMeans>,
    /// What a forgotten username takes, all of it.
    pub forgot_username: BTreeSet<RecoveryMeans>,
    /// How long a link can be used.
    pub link_minutes: Bounded<5, 1440>,
}

/// Idle accounts (BA-01 to BA-03).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InactivityPolicy {
    /// Disabled after more than this many days without a sign-in.
    pub disable_after_days: Days,
    /// Deleted after more than this many days without a sign-in.
    pub delete_after_days: Days,
    /// Roles that are neither disabled nor deleted.
    #[serde(default)]
    pub exempt_roles: BTreeSet<Role>,
    /// How many days before either the owner is warned, most first.
    #[serde(default)]
    pub warning_days: Vec<Days>,
    /// How many days a reinstated account has to be used (UX-02).
    pub grace_days: Days,
}

/// A campaign with dates (AG-13, ME-10).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "WrittenCampaign")]
pub enum Campaign {
    /// Everybody registers again.
    ReRegistration {
        /// The first day.
        start: Date,
        /// The last day on which those already registered can do so.
        cutoff: Date,
        /// How long after the start they keep access all the same.
        transition_days: Days,
        /// How many days before the end of that, and before the cutoff, they are reminded, most first.
        warning_days: Vec<Days>,
    },
    /// Usernames made before a date become free.
    ReleaseUsernames {
        /// The day on which they do.
        on: Date,
        /// Names made before this day.
        created_before: Date,
    },
}

/// A campaign as its section stands in the file, so that a fault is reported where it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCampaign {
    kind: CampaignKind,
    #[serde(default)]
    start: Option<Day>,
    #[serde(default)]
    cutoff: Option<Day>,
    #[serde(default)]
    transition_days: Option<Days>,
    #[serde(default)]
    warning_days: Vec<Days>,
    #[serde(default)]
    on: Option<Day>,
    #[serde(default)]
    created_before: Option<Day>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CampaignKind {
    ReRegistration,
    ReleaseUsernames,
}

impl TryFrom<WrittenCampaign> for Campaign {
    type Error = &'static str;
    fn try_from(written: WrittenCampaign) -> Result<Self, Self::Error> {
        let WrittenCampaign {
            kind,
            start,
            cutoff,
            transition_days,
            warning_days,
            on,
            created_before,
        } = written;
        match (kind, start, cutoff, transition_days, on, created_before) {
            (
                CampaignKind::ReRegistration,
                Some(Day(start)),
                Some(Day(cutoff)),
                Some(transition_days),
                None,
                None,
            ) => Ok(Self::ReRegistration {
                start,
                cutoff,
                transition_days,
                warning_days,
            }),
            (
                CampaignKind::ReleaseUsernames,
                None,
                None,
                None,
                Some(Day(on)),
                Some(Day(created_before)),
            ) if warning_days.is_empty() => Ok(Self::ReleaseUsernames { on, created_before }),
            (CampaignKind::ReRegistration, ..) => Err(
                "re_registration takes exactly start, cutoff and transition_days, and perhaps warning_days",
            ),
            (CampaignKind::ReleaseUsernames, ..) => {
                Err("release_usernames takes exactly on and created_before")
            }
        }
    }
}

/// A periodic review of who has access (EX-11).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessReviewPolicy {
    /// How often.
    pub interval_days: Days,
    /// How long managers have to answer before they are chased.
    pub due_within_days: Days,
    /// How many days before the end of that they are reminded of what is unanswered, most first.
    #[serde(default)]
    pub reminder_days: Vec<Days>,
}

/// What the portal says in its own words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Messages {
    /// To who signs in with a wrong username or password (BA-05).
    #[serde(default = "login_failed")]
    pub login_failed: Line,
    /// To who signs in rightly to a disabled account (BA-04).
    #[serde(default = "account_disabled")]
    pub account_disabled: Line,
    /// To whose data doesn't match the plan records (AG-06).
    #[serde(default = "registration_refused")]
    pub registration_refused: Line,
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            login_failed: login_failed(),
            account_disabled: account_disabled(),
            registration_refused: registration_refused(),
        }
    }
}

fn login_failed() -> Line {
    Line("Login failed due to either an invalid user ID and/or password, or a connection cannot be established. Please try again.".into())
}

fn account_disabled() -> Line {
    Line("This user ID no longer has access to the system. Please contact your security administrator for more information.".into())
}

fn registration_refused() -> Line {
    Line("We could not register you with what you entered. Please compare it with your plan documents. If you or your organization may already be registered, sign in or ask your administrator.".into())
}

/// A thing with a name in the API and a title for people: a service, a publication.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// Its name in the API.
    pub id: Slug,
    /// What people call it.
    pub title: Line,
}

/// Where the group codes come from that an administrator can assign (AG-08).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCodePolicy {
    /// The organization's plan record lists them.
    #[serde(default)]
    pub from_records: bool,
    /// These, for every organization.
    #[serde(default)]
    pub offered: BTreeSet<String>,
}

/// The policy of one portal.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The portal, from the name of the file.
    #[serde(skip, default = "unnamed")]
    pub portal: PortalId,
    /// What people call the portal.
    pub title: Line,
    /// Where its pages are; links in mails begin with it.
    pub site: WebAddress,
    /// The web origins that may call the API (CORS).
    #[serde(default)]
    pub origins: Vec<WebAddress>,
    /// Where its days begin and end.
    pub time_zone: Zone,
    /// The insurer behind it.
    pub plan: Plan,
    /// Whom to turn to.
    pub help_desk: HelpDesk,
    /// Whose people its staff serve, where the portal is the plan's help desk.
    pub help_desk_for: Option<HelpDeskFor>,
    /// Usernames.
    pub username: UsernamePolicy,
    /// Email addresses.
    pub email: EmailPolicy,
    /// Passwords.
    pub password: PasswordPolicy,
    /// Security questions; absent: none.
    pub security_questions: Option<SecurityQuestionPolicy>,
    /// Whether people set a hint question of their own (BL-14).
    #[serde(default)]
    pub hint_question: bool,
    /// Sessions.
    pub session: SessionPolicy,
    /// Noticing shared accounts; absent: they aren't noticed.
    pub concurrent_use: Option<ConcurrentUsePolicy>,
    /// How often anything may be guessed.
    pub rate_limits: RateLimits,
    /// The ways to register against the plan's records.
    #[serde(rename = "registration_type", default)]
    pub registration_types: Vec<RegistrationType>,
    /// PIN letters; needed where a way asks for a PIN.
    pub pin: Option<PinPolicy>,
    /// Registration codes; needed where staff join by one.
    pub registration_code: Option<RegistrationCodePolicy>,
    /// The administrator's people; absent where there are none.
    pub staff: Option<StaffPolicy>,
    /// Agreements to sign.
    #[serde(rename = "agreement", default)]
    pub agreements: Vec<Agreement>,
    /// Getting back in.
    pub recovery: RecoveryPolicy,
    /// Idle accounts; absent: they are left alone.
    pub inactivity: Option<InactivityPolicy>,
    /// Reviews of access; absent: none.
    pub access_review: Option<AccessReviewPolicy>,
    /// Campaigns.
    #[serde(rename = "campaign", default)]
    pub campaigns: Vec<Campaign>,
    /// What follows from the plan's records.
    #[serde(default)]
    pub records: RecordsPolicy,
    /// What the portal says in its own words.
    #[serde(default)]
    pub messages: Messages,
    /// The services on offer.
    #[serde(rename = "service", default)]
    pub services: Vec<Offered>,
    /// The group codes on offer.
    #[serde(default)]
    pub group_codes: GroupCodePolicy,
    /// E-news that can be subscribed to (BL-13).
    #[serde(rename = "publication", default)]
    pub publications: Vec<Offered>,
    /// What each role may do.
    #[serde(deserialize_with = "roles")]
    pub roles: BTreeMap<Role, RolePolicy>,
}

/// Reads the roles by their names as texts, under which a fault can then be reported.
fn roles<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Role, RolePolicy>, D::Error> {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct Name(Role);
    impl<'de> Deserialize<'de> for Name {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Role::deserialize(String::deserialize(deserializer)?.into_deserializer()).map(Self)
        }
    }
    let named = BTreeMap::<Name, RolePolicy>::deserialize(deserializer)?;
    Ok(named
        .into_iter()
        .map(|(name, policy)| (name.0, policy))
        .collect())
}

fn unnamed() -> PortalId {
    PortalId::parse("unnamed").unwrap_or_else(|_| unreachable!("a constant"))
}

/// Why a policy file can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {field}: {reason}")]
pub struct PolicyError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The field, as a path such as `registration_type[0].verify`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl PolicyError {
    /// A fault in a field of the file `file` that holds `text`.
    pub fn new(file: &str, text: &str, field: &str, reason: String) -> Self {
        Self {
            file: file.to_owned(),
            line: span_of(text, field).map_or(1, |at| line_at(text, at)),
            field: field.to_owned(),
            reason,
        }
    }
}

/// The line on which the byte at `offset` stands, from 1.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

impl Policy {
    /// Reads the policy of `portal` from the text of its file.
    ///
    /// # Errors
    /// [`PolicyError`] with the file, line and field of the first fault.
    pub fn parse(portal: PortalId, file: &str, text: &str) -> Result<Self, PolicyError> {
        let fault = |line, field: String, reason: String| PolicyError {
            file: file.to_owned(),
            line,
            field,
            reason,
        };
        let deserializer = toml::Deserializer::parse(text).map_err(|e| {
            let line = e.span().map_or(1, |s| line_at(text, s.start));
            fault(line, "(file)".into(), e.message().to_owned())
        })?;
        let mut policy = Self::deserialize(deserializer).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start);
            let field = field_at(text, at).unwrap_or_else(|| "(file)".into());
            fault(line_at(text, at), field, e.message().to_owned())
        })?;
        policy.portal = portal;
        policy
            .check()
            .map_err(|(field, reason)| PolicyError::new(file, text, &field, reason))?;
        Ok(policy)
    }

    /// What no single field shows: that the parts of a policy fit together.
    fn check(&self) -> Result<(), (String, String)> {
        let no = |field: &str, reason: &str| Err((field.to_owned(), reason.to_owned()));
        if self.username.chosen_by == ChosenBy::System && self.username.prefix.is_none() {
            return no(
                "username",
                "needs a prefix when the system makes the usernames",
            );
        }
        if let Some(q) = &self.security_questions
            && q.questions.len() < q.required.get() as usize
        {
            return no(
                "security_questions.questions",
                "has fewer questions than are asked",
            );
        }
        if let Some(i) = self
            .origins
            .iter()
            .position(|o| o.as_str().matches('/').count() != 2)
        {
            return no(
                &format!("origins[{i}]"),
                "must be an origin such as https://agents.example.com, without a path",
            );
        }
        match self.password.max_age_days {
            Some(end) => check_warnings("password.warning_days", &self.password.warning_days, end)?,
            None if !self.password.warning_days.is_empty() => {
                return no("password.warning_days", "needs max_age_days");
            }
            None => {}
        }
        self.check_registration_types()?;
        self.check_staff()?;
        self.check_tiers()?;
        self.check_agreements()?;
        self.check_recovery()?;
        if let Some(i) = &self.inactivity {
            if i.delete_after_days <= i.disable_after_days {
                return no(
                    "inactivity.delete_after_days",
                    "must be more than disable_after_days",
                );
            }
            check_warnings(
                "inactivity.warning_days",
                &i.warning_days,
                i.disable_after_days,
            )?;
        }
        if let Some(review) = &self.access_review {
            if review.due_within_days >= review.interval_days {
                return no(
                    "access_review.due_within_days",
                    "must be less than interval_days",
                );
            }
            let (field, end) = ("access_review.reminder_days", review.due_within_days);
            check_warnings(field, &review.reminder_days, end)?;
        }
        self.check_campaigns()?;
        if let Some(code) = self
            .group_codes
            .offered
            .iter()
            .find(|c| crate::values::text::plan_number(c).as_ref() != Ok(c))
        {
            return no(
                "group_codes.offered",
                &format!("{code:?} is no group code: 1 to 20 capital letters, digits and -"),
            );
        }
        unique("service", self.services.iter().map(|s| &s.id))?;
        unique("publication", self.publications.iter().map(|s| &s.id))?;
        unique("agreement", self.agreements.iter().map(|s| &s.id))?;
        unique(
            "registration_type",
            self.registration_types.iter().map(|s| &s.id),
        )
    }

    fn check_campaigns(&self) -> Result<(), (String, String)> {
        for (i, campaign) in self.campaigns.iter().enumerate() {
            let no = |field: &str, reason: &str| {
                Err((format!("campaign[{i}]{field}"), reason.to_owned()))
            };
            match campaign {
                Campaign::ReRegistration { .. } if self.help_desk_for.is_some() => {
                    return no(
                        "",
                        "goes without [help_desk_for]: a help desk's staff are in no plan records",
                    );
                }
                Campaign::ReRegistration { start, cutoff, .. } if cutoff < start => {
                    return no(".cutoff", "must not be before the start");
                }
                Campaign::ReRegistration {
                    transition_days,
                    warning_days,
                    ..
                } => check_warnings(
                    &format!("campaign[{i}].warning_days"),
                    warning_days,
                    *transition_days,
                )?,
                Campaign::ReleaseUsernames { .. } if self.username.chosen_by != ChosenBy::User => {
                    return no(
                        "",
                        "goes with usernames that people choose: those made by the system stay",
                    );
                }
                Campaign::ReleaseUsernames { on, created_before } if on < created_before => {
                    return no(
                        ".created_before",
                        "must not be after the day of the release",
                    );
                }
                Campaign::ReleaseUsernames { .. } => {}
            }
        }
        Ok(())
    }

    fn check_registration_types(&self) -> Result<(), (String, String)> {
        match (&self.help_desk_for, self.registration_types.is_empty()) {
            (None, true) => {
                return Err((
                    "registration_type".into(),
                    "must be given at least once: [[registration_type]]".into(),
                ));
            }
            (Some(_), false) => {
                return Err((
                    "registration_type".into(),
                    "goes without [help_desk_for]: a help desk's staff are in no plan records"
                        .into(),
                ));
            }
            _ => {}
        }
        for (i, registration_type) in self.registration_types.iter().enumerate() {
            let no = |field: &str, reason: String| {
                Err((format!("registration_type[{i}]{field}"), reason))
            };
            if registration_type.verify.is_empty() {
                return no(".verify", "must name at least one fact".into());
            }
            if let Some(fact) = registration_type
                .verify
                .iter()
                .find(|f| !registration_type.record_type.has(**f))
            {
                return no(
                    ".verify",
                    format!("records of this kind hold no {}", fact.as_str()),
                );
            }
            if (registration_type.role == Role::Member) == registration_type.organization.is_some()
            {
                return no(
                    ".organization",
                    "must be given for every role but member".into(),
                );
            }
            if registration_type.pin && self.pin.is_none() {
                return no(".pin", "needs a [pin] section".into());
            }
            let conditional = !registration_type.eligible.categories.is_empty()
                || registration_type.eligible.participating.is_some();
            if conditional != registration_type.ineligible_message.is_some() {
                return no(
                    ".ineligible_message",
                    "must be given exactly where eligible is".into(),
                );
            }
            if registration_type.role.is_help_desk() {
                return no(".role", "is never registered: staff are invited".into());
            }
            if !self.roles.contains_key(&registration_type.role) {
                return no(
                    ".role",
                    format!("has no [roles.{}] section", registration_type.role.as_str()),
                );
            }
            let offered = |s: &Slug| self.services.iter().any(|o| o.id == *s);
            if let Some(service) = registration_type
                .services
                .iter()
                .flatten()
                .find(|s| !offered(s))
            {
                return no(".services", format!("{service} is no [[service]]"));
            }
        }
        Ok(())
    }

    fn check_staff(&self) -> Result<(), (String, String)> {
        let no = |field: &str, reason: &str| Err((field.to_owned(), reason.to_owned()));
        for (role, policy) in &self.roles {
            if let Some(granted) = policy
                .can_grant
                .iter()
                .find(|g| !self.roles.contains_key(g))
            {
                return no(
                    &format!("roles.{}.can_grant", role.as_str()),
                    &format!("{} has no section of its own", granted.as_str()),
                );
            }
        }
        let Some(staff) = &self.staff else {
            return Ok(());
        };
        if staff.onboarding == Onboarding::Invitation && staff.invitation_valid_days.is_none() {
            return no("staff.onboarding", "invitations need invitation_valid_days");
        }
        if staff.onboarding != Onboarding::Invitation && staff.invitation_valid_days.is_some() {
            return no("staff.invitation_valid_days", "goes with invitations only");
        }
        if staff.onboarding == Onboarding::RegistrationCode && self.registration_code.is_none() {
            return no("staff.onboarding", "needs a [registration_code] section");
        }
        if staff.onboarding == Onboarding::RegistrationCode && staff.approval {
            return no(
                "staff.approval",
                "goes with invitations and initial passwords: a registration code is the approval",
            );
        }
        if staff.onboarding == Onboarding::RegistrationCode
            && self.username.chosen_by == ChosenBy::User
        {
            return no(
                "staff.onboarding",
                "registration codes go with usernames made by the system",
            );
        }
        if self.help_desk_for.is_none() && !self.roles.contains_key(&Role::User) {
            return no("staff", "needs a [roles.user] section");
        }
        Ok(())
    }

    /// That a help desk has somebody to manage its staff, and that nobody who serves other portals
    /// can raise anybody's rights (UX-12).
    fn check_tiers(&self) -> Result<(), (String, String)> {
        if self.help_desk_for.is_some()
            && (self.staff.is_none() || !self.roles.contains_key(&Role::Principal))
        {
            return Err((
                "help_desk_for".into(),
                "needs a [staff] and a [roles.principal] section: somebody manages the staff"
                    .into(),
            ));
        }
        for (role, policy) in &self.roles {
            let no = |field: &str, reason: &str| {
                Err((format!("roles.{}{field}", role.as_str()), reason.to_owned()))
            };
            if role.is_help_desk() && self.help_desk_for.is_none() {
                return no("", "goes with a [help_desk_for] section");
            }
            if !role.is_help_desk() && policy.permissions.iter().any(|p| p.is_help_desk()) {
                return no(
                    ".permissions",
                    "find_accounts, act_on_accounts and search_audit are for help_desk_reader and help_desk_agent",
                );
            }
            if role.is_help_desk() && !policy.permissions.iter().all(|p| p.raises_nobody()) {
                return no(
                    ".permissions",
                    "of the help desk's tiers nobody manages users, so that none can raise their own rights",
                );
            }
            if role.is_help_desk() && !policy.can_grant.is_empty() {
                return no(
                    ".can_grant",
                    "must be absent, so that none can raise their own rights",
                );
            }
            if policy.permissions.contains(&Permission::ActOnAccounts)
                && (*role != Role::HelpDeskAgent
                    || !policy.permissions.contains(&Permission::FindAccounts))
            {
                return no(
                    ".permissions",
                    "act_on_accounts is for help_desk_agent, with find_accounts",
                );
            }
        }
        Ok(())
    }

    fn check_agreements(&self) -> Result<(), (String, String)> {
        for (i, agreement) in self.agreements.iter().enumerate() {
            let registration_type = |s: &Slug| self.registration_types.iter().find(|w| w.id == *s);
            for id in &agreement.registration_types {
                match registration_type(id) {
                    None => {
                        return Err((
                            format!("agreement[{i}].registration_types"),
                            format!("{id} is no [[registration_type]]"),
                        ));
                    }
                    Some(w) if agreement.blocks == Blocks::PinLetter && !w.pin => {
                        return Err((
                            format!("agreement[{i}].registration_types"),
                            format!("{id} has no PIN letter to withhold"),
                        ));
                    }
                    Some(_) => {}
                }
            }
            if agreement.blocks == Blocks::PinLetter && agreement.recorded_by != RecordedBy::Plan {
                return Err((
                    format!("agreement[{i}].recorded_by"),
                    "must be \"plan\" where the PIN letter waits for it".into(),
                ));
            }
        }
        Ok(())
    }

    fn check_recovery(&self) -> Result<(), (String, String)> {
        for (field, means) in [
            ("recovery.forgot_password", &self.recovery.forgot_password),
            ("recovery.forgot_username", &self.recovery.forgot_username),
        ] {
            if means.is_empty() {
                return Err((
                    field.into(),
                    "must name at least one means: nobody gets in without proof".into(),
                ));
            }
            if means.contains(&RecoveryMeans::SecurityAnswers) && self.security_questions.is_none()
            {
                return Err((field.into(), "needs a [security_questions] section".into()));
            }
            if means.contains(&RecoveryMeans::HintQuestion) && !self.hint_question {
                return Err((field.into(), "needs hint_question = true".into()));
            }
        }
        Ok(())
    }

    /// The day it is on this portal.
    pub fn today(&self, now: Timestamp) -> Date {
        self.date_of(now)
    }

    /// The day on which a moment falls on this portal.
    pub fn date_of(&self, moment: Timestamp) -> Date {
        moment.to_zoned(self.time_zone.0.clone()).date()
    }

    /// Noon of a day on this portal.
    pub fn noon_of(&self, day: Date) -> Option<Timestamp> {
        let noon = day.at(12, 0, 0, 0).to_zoned(self.time_zone.0.clone());
        noon.ok().map(|z| z.timestamp())
    }

    /// A moment on the portal's clock, as people write it.
    pub fn clock_time(&self, moment: Timestamp) -> String {
        let moment = moment.to_zoned(self.time_zone.0.clone());
        moment.strftime("%A, %B %-d, %Y, %-I:%M %p %Z").to_string()
    }

    /// When a day begins on this portal; none at the end of time.
    pub fn begin_of(&self, day: Date) -> Option<Timestamp> {
        let midnight = day.to_zoned(self.time_zone.0.clone()).ok()?;
        Some(midnight.timestamp())
    }

    /// The way of registering with this name.
    pub fn registration_type(&self, id: &str) -> Option<&RegistrationType> {
        self.registration_types.iter().find(|w| w.id.as_str() == id)
    }

    /// Whether a role has a permission here.
    pub fn allows(&self, role: Role, permission: Permission) -> bool {
        self.roles
            .get(&role)
            .is_some_and(|r| r.permissions.contains(&permission))
    }

    /// Whether a role may give another to somebody.
    pub fn grants(&self, giver: Role, given: Role) -> bool {
        self.roles
            .get(&giver)
            .is_some_and(|r| r.can_grant.contains(&given))
    }

    /// Whether its staff serve the people of another portal: of the same insurer, and never of a help
    /// desk, so that nobody there can be raised by their colleagues (UX-12).
    pub fn serves(&self, other: &Self) -> bool {
        self.plan.id == other.plan.id
            && other.help_desk_for.is_none()
            && self
                .help_desk_for
                .as_ref()
                .is_some_and(|s| s.portals.is_empty() || s.portals.contains(&other.portal))
    }

    /// What a role is called here.
    pub fn role_title(&self, role: Role) -> &str {
        self.roles
            .get(&role)
            .map_or(role.as_str(), |r| r.title.as_str())
    }

    /// The services on offer.
    pub fn service_ids(&self) -> BTreeSet<Slug> {
        self.services.iter().map(|s| s.id.clone()).collect()
    }

    /// When a password set at `changed_at` has to be changed (AG-02): after the last of its days.
    pub fn password_expires_at(&self, changed_at: Timestamp) -> Option<Timestamp> {
        self.password
            .max_age_days
            .map(|d| days_after(changed_at, d.get()))
    }

    /// The last day on which something issued now with so many days can be used, and the moment at
    /// which that day is over.
    pub fn valid_until(&self, now: Timestamp, days: u32) -> (Date, Timestamp) {
        let last = self.today(now).saturating_add(i64::from(days).days());
        (last, self.end_of(last))
    }

    /// The same for what is of no use after `end_date`, where that day comes first (UX-07).
    pub fn valid_until_at_most(
        &self,
        now: Timestamp,
        days: u32,
        end_date: Option<Date>,
    ) -> (Date, Timestamp) {
        let (last, over) = self.valid_until(now, days);
        match end_date {
            Some(day) if day < last => (day, self.end_of(day)),
            _ => (last, over),
        }
    }

    /// The moment at which a day is over on this portal, whatever daylight saving does to it.
    fn end_of(&self, day: Date) -> Timestamp {
        let over = day
            .tomorrow()
            .and_then(|d| d.to_zoned(self.time_zone.0.clone()));
        over.map_or(Timestamp::MAX, |z| z.timestamp())
    }

    /// The last day before a moment at which a day is over.
    pub fn last_day(&self, over: Timestamp) -> Date {
        self.date_of(over - SignedDuration::from_secs(1))
    }

    /// When a session begun at `now` ends, whatever its user does (AG-14).
    pub fn session_ends_at(&self, now: Timestamp) -> Timestamp {
        now + SignedDuration::from_hours(self.session.max_hours.get().into())
    }

    /// The last business day of a span that begins on the day after `day` (ME-08).
    pub fn business_day_after(&self, day: Date, count: u8) -> Date {
        let no_holidays = BTreeSet::new();
        let holidays = self.pin.as_ref().map_or(&no_holidays, |p| &p.holidays);
        let mut day = day;
        let mut left = count;
        while left > 0 {
            day = day.saturating_add(1.day());
            let weekend = matches!(
                day.weekday(),
                jiff::civil::Weekday::Saturday | jiff::civil::Weekday::Sunday
            );
            if !weekend && !holidays.contains(&day) {
                left -= 1;
            }
        }
        day
    }
}

/// A moment a number of 24-hour days later.
pub fn days_after(moment: Timestamp, days: u32) -> Timestamp {
    moment + SignedDuration::from_hours(24 * i64::from(days))
}

/// That warnings come in their order, and before what they warn of.
fn check_warnings(field: &str, warning_days: &[Days], end: Days) -> Result<(), (String, String)> {
    let falling = warning_days.windows(2).all(|pair| pair[0] > pair[1]);
    if falling && warning_days.first().is_none_or(|first| *first < end) {
        Ok(())
    } else {
        Err((
            field.to_owned(),
            format!("must be given most first, each less than {}", end.get()),
        ))
    }
}

fn unique<'a>(field: &str, ids: impl Iterator<Item = &'a Slug>) -> Result<(), (String, String)> {
    let mut seen = BTreeSet::new();
    for (i, id) in ids.enumerate() {
        if !seen.insert(id) {
            return Err((format!("{field}[{i}].id"), format!("{id} is given twice")));
        }
    }
    Ok(())
}

/// The innermost field, such as `registration_type[0].verify`, whose name or value stands at a place in the text.
///
/// It is looked for only where a policy is wrong: to note the path while reading takes half of the time that
/// reading takes.
fn field_at(text: &str, at: usize) -> Option<String> {
    use toml::de::{DeTable, DeValue};
    fn within(value: &DeValue<'_>, path: &str, at: usize) -> Option<String> {
        match value {
            DeValue::Table(table) => in_table(table, path, at),
            DeValue::Array(items) => items.iter().enumerate().find_map(|(i, item)| {
                let path = format!("{path}[{i}]");
                within(item.get_ref(), &path, at).or(item.span().contains(&at).then_some(path))
            }),
            _ => None,
        }
    }
    fn in_table(table: &DeTable<'_>, path: &str, at: usize) -> Option<String> {
        table.iter().find_map(|(key, value)| {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", key.get_ref());
            let here = key.span().contains(&at) || value.span().contains(&at);
            within(value.get_ref(), &path, at).or(here.then_some(path))
        })
    }
    in_table(DeTable::parse(text).ok()?.get_ref(), "", at)
}

/// Where in the text a field such as `registration_type[0].verify` stands, or the nearest part of it that does.
fn span_of(text: &str, field: &str) -> Option<usize> {
    use toml::de::{DeTable, DeValue};
    let root = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table: Option<&DeTable<'_>> = Some(root.get_ref());
    for part in field.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let Some((key, value)) = table.and_then(|t| t.iter().find(|(k, _)| k.get_ref() == name))
        else {
            return found;
        };
        found = Some(key.span().start);
        let mut value = value;
        if let (Some(i), DeValue::Array(array)) = (index, value.get_ref())
            && let Some(item) = array.get(i)
        {
            found = Some(item.span().start);
            value = item;
        }
        table = match value.get_ref() {
            DeValue::Table(t) => Some(t),
            _ => None,
        };
    }
    found
}

impl Agreement {
    /// Whether somebody who registered this way, with a record of this category, needs it.
    pub fn applies_to(&self, registration_type: Option<&str>, category: Option<&str>) -> bool {
        let among = |set: &BTreeSet<Slug>, value: Option<&str>| {
            set.is_empty() || value.is_some_and(|v| set.iter().any(|s| s.as_str() == v))
        };
        among(&self.registration_types, registration_type) && among(&self.categories, category)
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
        registration_type: &RegistrationType,
        category: Option<&str>,
        on_file: &BTreeMap<String, String>,
    ) -> bool {
        self.agreements.iter().any(|a| {
            a.blocks == Blocks::PinLetter
                && a.recorded_by == RecordedBy::Plan
                && a.applies_to(Some(registration_type.id.as_str()), category)
                && !a.is_current(on_file)
        })
    }

    /// A username made by the system: prefix and eight characters (BL-16).
    pub fn make_username(&self, rng: &mut (impl rand::Rng + ?Sized)) -> Option<Username> {
        if self.username.chosen_by != ChosenBy::System {
            return None;
        }
        let tail = eight_characters(rng);
        let prefix = self.username.prefix.as_ref()?;
        Username::parse(&format!("{prefix}{tail}"), 1).ok()
    }
}
