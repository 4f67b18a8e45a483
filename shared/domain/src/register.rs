//! Registering against the plan's records: principals, members, everybody with a proof.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rand::Rng;

use crate::account::{
    Account, Gate, Issue, Membership, Password, PasswordHash, QuestionAnswer, Status,
};
use crate::activate::{self, FreshCode};
use crate::audit::{Action, Actor, AuditEvent, Origin};
use crate::decision::{Change, Decision};
use crate::ids::{AccountId, MessageId, OrganisationId};
use crate::message::{Mail, MailText, Message};
use crate::organisation::Organisation;
use crate::policy::{LetterAddress, Policy, Role, Way};
use crate::record::{PlanRecord, RecordData};
use crate::text::{Email, PersonName, PostalAddress, UserName};

/// The person who registers: all of it parsed, secrets already turned into hashes and codes.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// The account's id to be: [`Account::natural_id`], or a random one where that is taken.
    pub id: AccountId,
    /// Their user name.
    pub user_name: UserName,
    /// Their name.
    pub name: PersonName,
    /// Where mail goes.
    pub email: Email,
    /// The hash of their password; none before a registration code is redeemed.
    pub password: Option<PasswordHash>,
    /// Whether they must choose another at the first sign-in.
    pub must_change_password: bool,
    /// Their security answers.
    pub security_answers: Vec<QuestionAnswer>,
    /// Their hint question.
    pub hint: Option<QuestionAnswer>,
    /// The agreements they accept on the portal, with revisions.
    pub accepts: BTreeMap<String, String>,
}

/// A request to register.
#[derive(Debug)]
pub struct Registration<'a> {
    /// How.
    pub way: &'a Way,
    /// Who.
    pub applicant: Applicant,
    /// Where the PIN letter shall go, where the portal lets the person say so (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A fresh PIN, for the case that one is needed.
    pub pin: Option<FreshCode>,
    /// The id of the organisation to be.
    pub organisation: OrganisationId,
}

/// Why a registration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was entered matches no record (AG-06).
    NotMatched,
    /// The record is registered already. Answered like [`Refusal::NotMatched`] (UX-09).
    AlreadyRegistered,
    /// The record isn't one of those this way is open to (EX-04), in the portal's words.
    NotOpen(String),
    /// There is no address to post the PIN letter to. Answered like [`Refusal::NotMatched`].
    NoAddress,
}

impl Refusal {
    /// As it stands on the audit trail.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotMatched => "not_matched",
            Self::AlreadyRegistered => "already_registered",
            Self::NotOpen(_) => "not_open",
            Self::NoAddress => "no_address",
        }
    }
}

/// What a registration leads to.
#[derive(Debug)]
pub struct Registered {
    /// The new account.
    pub account: Account,
    /// What is to be committed.
    pub decision: Decision,
}

impl Applicant {
    /// The account of a new person, with one membership.
    pub(crate) fn into_account(
        self,
        membership: Membership,
        policy: &Policy,
        now: Timestamp,
    ) -> Account {
        Account {
            id: self.id,
            portal: policy.portal.clone(),
            version: 0,
            user_name: self.user_name,
            name: self.name,
            email: self.email,
            pending_email: None,
            email_realm: policy.email.unique_in.as_ref().map(ToString::to_string),
            status: Status::Active,
            password: self.password.map(|hash| Password {
                hash,
                changed_at: now,
                must_change: self.must_change_password,
            }),
            former_passwords: Vec::new(),
            reset: None,
            security_answers: self.security_answers,
            hint: self.hint,
            postal_address: None,
            bookmarks: Vec::new(),
            subscriptions: Default::default(),
            agreements: self.accepts,
            memberships: vec![membership],
            session_epoch: 0,
            created_at: now,
            last_sign_in_at: None,
        }
    }
}

/// A mail to an account's owner.
pub(crate) fn mail(
    account: &Account,
    at: Timestamp,
    says: MailText,
    rng: &mut impl Rng,
) -> Message {
    Message::Mail(Mail {
        id: MessageId::random(rng),
        portal: account.portal.clone(),
        to: account.email.clone(),
        greeting: account.name.full(),
        at,
        says,
    })
}

/// Registers a person whose proof led to `record` (AG-03, ME-01, BL-03, EX-04, EX-05).
///
/// # Errors
/// [`Refusal`]; none of them tells an outsider which field was wrong.
pub fn register(
    record: Option<&PlanRecord>,
    request: Registration<'_>,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Registered, Refusal> {
    let record = record.ok_or(Refusal::NotMatched)?;
    let Registration {
        way,
        applicant,
        designated_address: designated,
        pin,
        organisation,
    } = request;
    if !way.only_for.holds_for(&record.data) {
        return Err(Refusal::NotOpen(
            way.otherwise
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ));
    }
    if record.claims.contains_key(&policy.portal) {
        return Err(Refusal::AlreadyRegistered);
    }
    let now = origin.at;
    let organisation = way.organisation.as_ref().map(|kind| Organisation {
        id: organisation,
        portal: policy.portal.clone(),
        kind: kind.to_string(),
        name: record.data.name.clone(),
        record: record.key.clone(),
        registered_by: applicant.id.clone(),
        registered_at: now,
        version: 0,
        principals: (way.role == Role::Principal)
            .then(|| applicant.id.clone())
            .into_iter()
            .collect(),
        group_codes: group_codes(&record.data, policy),
    });
    let mut agreements = record.data.agreements.clone();
    agreements.extend(applicant.accepts.clone());
    let (gate, letter) = if way.pin {
        let withheld = policy.withholds_letter(way, record.data.category.as_deref(), &agreements);
        let address =
            letter_address(policy, &record.data, designated.as_ref()).ok_or(Refusal::NoAddress)?;
        if withheld {
            (Gate::PinLetterWithheld, None)
        } else {
            let fresh = pin.ok_or(Refusal::NoAddress)?;
            let greeting = applicant.name.full();
            let name = organisation.as_ref().map(|o| o.name.clone());
            let (issue, letter) =
                activate::post_pin(fresh, address, greeting, name, policy, now, rng)
                    .ok_or(Refusal::NoAddress)?;
            (Gate::Pin { issue }, Some(letter))
        }
    } else {
        (Gate::Open, None)
    };
    let membership = Membership {
        organisation: organisation.as_ref().map(|o| o.id.clone()),
        role: way.role,
        gate,
        services: way
            .services
            .clone()
            .unwrap_or_else(|| policy.service_ids())
            .iter()
            .map(ToString::to_string)
            .collect(),
        group_codes: organisation
            .as_ref()
            .map(|o| o.group_codes.clone())
            .unwrap_or_default(),
        since: now,
        ends_on: None,
        way: Some(way.id.to_string()),
        record: Some(record.key.clone()),
        category: Way::category(&record.data).map(|c| c.to_string()),
    };
    let mut account = applicant.into_account(membership, policy, now);
    account.agreements = agreements;
    account.postal_address = designated;

    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::Register,
        rng,
    )
    .on(account.id.as_str())
    .for_organisation(organisation.as_ref().map(|o| &o.id));
    let mut messages = vec![mail(
        &account,
        now,
        registered_text(&account, policy, now),
        rng,
    )];
    if let Some(o) = &organisation
        && asks_for_backup(way.role, policy)
    {
        messages.push(mail(
            &account,
            now,
            MailText::BackupWanted {
                organisation: o.name.clone(),
            },
            rng,
        ));
    }
    messages.extend(letter);
    let mut decision = Decision::recording(audit)
        .change(Change::ClaimRecord {
            record: record.key.clone(),
            account: Box::new(account.clone()),
        })
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send(messages);
    if let Some(organisation) = organisation {
        decision = decision.change(Change::CreateOrganisation(organisation));
    }
    Ok(Registered { account, decision })
}

/// Whether the portal asks this person for a backup (AG-04).
pub fn asks_for_backup(role: Role, policy: &Policy) -> bool {
    role == Role::Principal && policy.staff.as_ref().is_some_and(|s| s.asks_for_backup)
}

/// The group codes that an organisation's administrators can assign.
fn group_codes(record: &RecordData, policy: &Policy) -> std::collections::BTreeSet<String> {
    let mut codes = policy.group_codes.offered.clone();
    if policy.group_codes.from_records {
        codes.extend(record.group_codes.iter().cloned());
    }
    codes
}

/// Where the PIN letter goes (ME-06, BL-03).
pub fn letter_address(
    policy: &Policy,
    record: &RecordData,
    designated: Option<&PostalAddress>,
) -> Option<PostalAddress> {
    match policy.pin.as_ref()?.address {
        LetterAddress::PlanRecords => record.address.clone(),
        LetterAddress::Designated => designated.cloned(),
    }
}

/// The welcome that fits what the account still has to do.
fn registered_text(account: &Account, policy: &Policy, now: Timestamp) -> MailText {
    let membership = account.memberships.first();
    let issue = membership.and_then(pin_issue);
    let agreement = membership
        .and_then(|m| account.missing_agreement(m, policy))
        .map(|a| (a.title.to_string(), a.form.to_string()));
    MailText::Registered {
        user_name: account.user_name.to_string(),
        pin_letter_by: issue
            .and_then(|i| crate::account::LetterStatus::of(i, policy, now))
            .map(|s| s.arrives_by),
        agreement,
    }
}

/// The PIN that a membership waits for.
pub fn pin_issue(membership: &Membership) -> Option<&Issue> {
    match &membership.gate {
        Gate::Pin { issue } => Some(issue),
        _ => None,
    }
}
