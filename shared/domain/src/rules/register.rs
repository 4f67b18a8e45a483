//! Registering against the plan's records: principals, members, everybody with a proof.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use rand::Rng;

use crate::decision::{Change, Decision, RecordClaim};
use crate::outbox::mail::mail;
use crate::outbox::mail::{MailText, Message};
use crate::policy::{LetterAddress, Policy, RegistrationType, Role};
use crate::rules::activate::{self, FreshCode};
use crate::state::account::{Account, Password, PasswordHash, QuestionAnswer, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::membership::{Issue, LetterStatus, Membership, PendingStep};
use crate::state::organization::{Organization, next_due_on};
use crate::state::record::{PlanRecord, RecordData};
use crate::values::ids::{AccountId, OrganizationId};
use crate::values::text::{Email, PersonName, PostalAddress, Username};

/// The person who registers: all of it parsed, secrets already turned into hashes and codes.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// The account's id to be: [`Account::natural_id`], or a random one where that is taken.
    pub id: AccountId,
    /// Their username.
    pub username: Username,
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
    pub accepted_agreements: BTreeMap<String, String>,
}

/// A request to register.
#[derive(Debug)]
pub struct Registration<'a> {
    /// How.
    pub registration_type: &'a RegistrationType,
    /// Who.
    pub applicant: Applicant,
    /// Where the PIN letter shall go, where the portal lets the person say so (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A fresh PIN, for the case that one is needed.
    pub pin: Option<FreshCode>,
    /// The id of the organization to be, where none was made of the record yet.
    pub organization: OrganizationId,
    /// The organization that was made of it, by who registered another way (EX-03).
    pub existing_organization: Option<&'a Organization>,
}

/// Why a registration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was entered matches no record (AG-06).
    NotMatched,
    /// The record is registered already, this way. Answered like [`Refusal::NotMatched`] (UX-09).
    AlreadyRegistered,
    /// The record isn't one of those this way is open to (EX-04), in the portal's words.
    NotOpen(String),
    /// There is no address to post the PIN letter to. Answered like [`Refusal::NotMatched`].
    NoAddress,
    /// The account belongs to as many organizations as one can.
    TooMany,
}

impl Refusal {
    /// As it stands on the audit trail.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotMatched => "not_matched",
            Self::AlreadyRegistered => "already_registered",
            Self::NotOpen(_) => "not_open",
            Self::NoAddress => "no_address",
            Self::TooMany => "too_many_organizations",
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
        mut membership: Membership,
        policy: &Policy,
        now: Timestamp,
    ) -> Account {
        membership.agreements.extend(self.accepted_agreements);
        Account {
            id: self.id,
            portal: policy.portal.clone(),
            version: 0,
            username: self.username,
            username_since: None,
            must_choose_username: false,
            name: self.name,
            email: self.email,
            email_undeliverable: None,
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
            bookmarks: Vec::new(),
            subscriptions: Default::default(),
            memberships: vec![membership],
            session_epoch: 0,
            created_at: now,
            last_sign_in_at: None,
            last_sign_in_from: None,
            devices: BTreeMap::new(),
            concurrent_use_detected_at: None,
            status_since: None,
            notices: Default::default(),
        }
    }
}

/// What a plan record opens to a person: a place in an organization, or their own account.
struct Admission {
    membership: Membership,
    claim: Change,
    /// What becomes of the organization, where it is new or has a new principal.
    organization: Option<Change>,
    /// What it is called.
    name: Option<String>,
    /// The letter with the PIN.
    letter: Option<Message>,
}

/// What a person asks with, besides who they are.
struct Application<'a> {
    registration_type: &'a RegistrationType,
    accepted_agreements: &'a BTreeMap<String, String>,
    designated_address: Option<PostalAddress>,
    pin: Option<FreshCode>,
    organization: OrganizationId,
    existing_organization: Option<&'a Organization>,
}

/// Decides whether the record lets this person in, and into what (AG-03, BL-03, EX-03 to EX-05).
fn admit(
    record: &PlanRecord,
    application: Application<'_>,
    (id, greeting): (&AccountId, String),
    policy: &Policy,
    now: Timestamp,
    rng: &mut impl Rng,
) -> Result<Admission, Refusal> {
    let Application {
        registration_type,
        accepted_agreements,
        designated_address,
        pin,
        organization: new_id,
        existing_organization,
    } = application;
    if !registration_type.eligible.holds_for(&record.data) {
        return Err(Refusal::NotOpen(
            registration_type
                .ineligible_message
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ));
    }
    let taken = record
        .claimed_by(&policy.portal, registration_type)
        .is_some();
    let made_of_it = record.organization(&policy.portal);
    if taken || made_of_it != existing_organization.map(|o| &o.id) {
        return Err(Refusal::AlreadyRegistered);
    }
    let principal = registration_type.role == Role::Principal;
    let (organization, change, claims) =
        match (existing_organization, &registration_type.organization) {
            (Some(found), Some(_)) => {
                let mut after = found.clone();
                if principal {
                    after.principals.insert(id.clone());
                }
                let change = principal.then(|| Change::UpdateOrganization {
                    before: Box::new(found.clone()),
                    after: Box::new(after.clone()),
                });
                let claims = RecordClaim::JoinExisting(found.id.clone());
                (Some(after), change, claims)
            }
            (None, Some(kind)) => {
                let new = Organization {
                    id: new_id,
                    portal: policy.portal.clone(),
                    kind: kind.to_string(),
                    name: record.data.name.clone(),
                    record: Some(record.key.clone()),
                    registered_by: id.clone(),
                    registered_at: now,
                    registered_again_at: None,
                    version: 0,
                    ended_at: None,
                    principals: principal.then(|| id.clone()).into_iter().collect(),
                    group_codes: group_codes(&record.data, policy),
                    review: None,
                    next_review_due_on: next_due_on(policy, now),
                };
                let claims = RecordClaim::NewOrganization(Some(new.id.clone()));
                let change = Change::CreateOrganization(new.clone());
                (Some(new), Some(change), claims)
            }
            (None, None) => (None, None, RecordClaim::NewOrganization(None)),
            (Some(_), None) => return Err(Refusal::AlreadyRegistered),
        };
    let name = organization.as_ref().map(|o| o.name.clone());
    let mut agreements = record.data.agreements.clone();
    agreements.extend(accepted_agreements.clone());
    let (pending_step, letter) = if registration_type.pin {
        let withheld = policy.withholds_letter(
            registration_type,
            record.data.category.as_deref(),
            &agreements,
        );
        let address = letter_address(policy, &record.data, designated_address.as_ref())
            .ok_or(Refusal::NoAddress)?;
        if withheld {
            (PendingStep::PinLetterWithheld, None)
        } else {
            let fresh = pin.ok_or(Refusal::NoAddress)?;
            let (issue, letter) =
                activate::post_pin(fresh, address, greeting, name.clone(), policy, now, rng)
                    .ok_or(Refusal::NoAddress)?;
            (PendingStep::Pin { issue }, Some(letter))
        }
    } else {
        (PendingStep::Open, None)
    };
    let membership = Membership {
        organization: organization.as_ref().map(|o| o.id.clone()),
        role: registration_type.role,
        pending_step,
        services: registration_type
            .services
            .clone()
            .unwrap_or_else(|| policy.service_ids())
            .iter()
            .map(ToString::to_string)
            .collect(),
        group_codes: organization.map(|o| o.group_codes).unwrap_or_default(),
        joined_at: now,
        end_date: None,
        confirmed: None,
        registered_again_at: None,
        registration_type: Some(registration_type.id.to_string()),
        record: Some(record.key.clone()),
        category: RegistrationType::category(&record.data).map(|c| c.to_string()),
        agreements,
        ahead_of_feed: Default::default(),
        postal_address: designated_address,
    };
    Ok(Admission {
        membership,
        claim: Change::ClaimRecord {
            record: record.key.clone(),
            portal: policy.portal.clone(),
            registration_type: registration_type.id.clone(),
            account: id.clone(),
            claims,
        },
        organization: change,
        name,
        letter,
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
        registration_type,
        applicant,
        designated_address,
        pin,
        organization,
        existing_organization,
    } = request;
    let now = origin.at;
    let admission = admit(
        record,
        Application {
            registration_type,
            accepted_agreements: &applicant.accepted_agreements,
            designated_address,
            pin,
            organization,
            existing_organization,
        },
        (&applicant.id, applicant.name.full()),
        policy,
        now,
        rng,
    )?;
    let organization = admission.membership.organization.clone();
    let account = applicant.into_account(admission.membership, policy, now);
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::Register,
        rng,
    )
    .on(account.id.as_str())
    .for_organization(organization.as_ref());
    let mut messages = vec![mail(
        &account,
        now,
        registered_text(&account, policy, now),
        rng,
    )];
    if let Some(organization) = admission.name
        && requires_backup_administrator(registration_type.role, policy)
    {
        let says = MailText::BackupWanted { organization };
        messages.push(mail(&account, now, says, rng));
    }
    messages.extend(admission.letter);
    let decision = Decision::recording(audit)
        .change(admission.claim)
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send(messages);
    let decision = admission
        .organization
        .into_iter()
        .fold(decision, Decision::change);
    Ok(Registered { account, decision })
}

/// Somebody with an account, and what they register a further organization with (BL-01).
#[derive(Debug)]
pub struct Further<'a> {
    /// How.
    pub registration_type: &'a RegistrationType,
    /// The agreements they accept on the portal, with revisions.
    pub accepted_agreements: BTreeMap<String, String>,
    /// Where the PIN letter shall go, where the portal lets the person say so (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A fresh PIN, for the case that one is needed.
    pub pin: Option<FreshCode>,
    /// The id of the organization to be, where none was made of the record yet.
    pub organization: OrganizationId,
    /// The organization that was made of it, by who registered another way (EX-03).
    pub existing_organization: Option<&'a Organization>,
}

/// Gives the owner of an account a place in a further organization, whose record their proof led to:
/// the same proof, statement, letter and agreement as at a first registration (BL-01, EX-13).
///
/// # Errors
/// [`Refusal`]; none of them tells who doesn't hold the proof more than a registration would.
pub fn register_further(
    account: &Account,
    record: Option<&PlanRecord>,
    request: Further<'_>,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Registered, Refusal> {
    let record = record.ok_or(Refusal::NotMatched)?;
    let now = origin.at;
    let Further {
        registration_type,
        accepted_agreements,
        designated_address,
        pin,
        organization,
        existing_organization,
    } = request;
    // A person is one thing in an organization.
    if existing_organization.is_some_and(|o| account.membership(Some(&o.id)).is_some()) {
        return Err(Refusal::AlreadyRegistered);
    }
    if account.memberships.len() >= MAX_ORGANIZATIONS {
        return Err(Refusal::TooMany);
    }
    let admission = admit(
        record,
        Application {
            registration_type,
            accepted_agreements: &accepted_agreements,
            designated_address,
            pin,
            organization,
            existing_organization,
        },
        (&account.id, account.name.full()),
        policy,
        now,
        rng,
    )?;
    let membership = admission.membership;
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::RegisterFurther,
        rng,
    )
    .on(account.id.as_str())
    .for_organization(membership.organization.as_ref());
    let mut messages = Vec::new();
    if let Some(organization) = admission.name {
        let says = further_text(organization.clone(), &membership, policy, now);
        messages.push(mail(account, now, says, rng));
        if requires_backup_administrator(registration_type.role, policy) {
            let says = MailText::BackupWanted { organization };
            messages.push(mail(account, now, says, rng));
        }
    }
    messages.extend(admission.letter);
    let mut after = account.clone();
    after.memberships.push(membership);
    let decision = Decision::recording(audit)
        .change(admission.claim)
        .update(account, after.clone())
        .send(messages);
    let decision = admission
        .organization
        .into_iter()
        .fold(decision, Decision::change);
    Ok(Registered {
        account: after,
        decision,
    })
}

/// The organizations of one login: a sign-in writes a row of each, in one transaction of at most a
/// hundred writes.
pub const MAX_ORGANIZATIONS: usize = 50;

/// What is written to who has a place in a further organization.
pub(crate) fn further_text(
    organization: String,
    membership: &Membership,
    policy: &Policy,
    now: Timestamp,
) -> MailText {
    MailText::AdditionalOrganizationResponse {
        organization,
        awaits_approval: membership.pending_step == PendingStep::Approval,
        pin_letter_by: letter_by(membership, policy, now),
        agreement: agreement_of(membership, policy),
    }
}

fn letter_by(membership: &Membership, policy: &Policy, now: Timestamp) -> Option<Date> {
    let issue = pin_issue(membership)?;
    LetterStatus::of(issue, policy, now).map(|s| s.arrives_by)
}

fn agreement_of(membership: &Membership, policy: &Policy) -> Option<(String, String)> {
    let missing = membership.missing_agreement(policy)?;
    Some((missing.title.to_string(), missing.form_url.to_string()))
}

/// Whether the portal asks this person for a backup (AG-04).
pub fn requires_backup_administrator(role: Role, policy: &Policy) -> bool {
    role == Role::Principal
        && policy
            .staff
            .as_ref()
            .is_some_and(|s| s.requires_backup_administrator)
}

/// The group codes that an organization's administrators can assign.
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
    MailText::Registered {
        username: account.username.to_string(),
        pin_letter_by: membership.and_then(|m| letter_by(m, policy, now)),
        agreement: membership.and_then(|m| agreement_of(m, policy)),
    }
}

/// The PIN that a membership waits for.
pub fn pin_issue(membership: &Membership) -> Option<&Issue> {
    match &membership.pending_step {
        PendingStep::Pin { issue } => Some(issue),
        _ => None,
    }
}
