//! Registration against the plan's records: principals, members and others who verify their
//! identity.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::decision::{Change, Decision, RecordClaim};
use crate::outbox::mail::mail;
use crate::outbox::mail::{MailText, Message};
use crate::policy::{LetterAddress, Policy, RegistrationType, Role};
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::state::account::{Account, Password, PasswordHash, QuestionAnswer, Status};
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::membership::{Issue, LetterStatus, Membership, PendingStep};
use crate::state::organization::{Organization, next_due_on};
use crate::state::record::{PlanRecord, RecordData};
use crate::values::ids::{AccountId, OrganizationId};
use crate::values::text::{Email, PersonName, PostalAddress, Username};

/// The person who registers. All fields are parsed, and secrets are already hashed.
#[derive(Debug, Clone)]
pub struct Applicant {
    /// The keyed id of the username, or a random id if that is taken.
    pub id: AccountId,
    pub username: Username,
    pub name: PersonName,
    pub email: Email,
    /// `None` until a registration code is redeemed.
    pub password: Option<PasswordHash>,
    /// Whether the password must be changed at the first sign-in.
    pub must_change_password: bool,
    pub security_answers: Vec<QuestionAnswer>,
    pub hint: Option<QuestionAnswer>,
    /// The agreements accepted on the portal, with revisions.
    pub accepted_agreements: BTreeMap<String, String>,
}

/// A request to register with a plan record.
#[derive(Debug)]
pub struct Registration<'a> {
    pub registration_type: &'a RegistrationType,
    pub applicant: Applicant,
    /// The address for the PIN letter, on portals where the person chooses it (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A new PIN, used if the registration requires one.
    pub pin: Option<FreshCode>,
    /// The id for a new organization, used if none was registered with the record.
    pub organization: OrganizationId,
    /// The organization that was registered with the record through another registration type
    /// (EX-03).
    pub existing_organization: Option<&'a Organization>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The entered facts match no record (AG-06).
    NotMatched,
    /// The record was already registered through this registration type. The response is the same
    /// as for [`Refusal::NotMatched`] (UX-09).
    AlreadyRegistered,
    /// The record isn't eligible for this registration type (EX-04), with the policy's message.
    NotOpen(String),
    /// There is no address for the PIN letter. The response is the same as for
    /// [`Refusal::NotMatched`].
    NoAddress,
    /// The account has reached the maximum number of organizations.
    TooMany,
}

impl Refusal {
    /// Returns the reason recorded on the audit trail.
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

/// An account that registered or joined an organization, with the decision to commit.
#[derive(Debug)]
pub struct Registered {
    pub account: Account,
    pub decision: Decision,
}

impl Applicant {
    /// Creates the account, with one membership.
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

/// What a plan record gives a person: a membership, and the changes to commit with it.
struct Admission {
    membership: Membership,
    claim: Change,
    /// Creates the organization, or adds a principal to it.
    organization: Option<Change>,
    /// The organization's name.
    name: Option<String>,
    /// The PIN letter.
    letter: Option<Message>,
}

/// A request for a membership, without the applicant's identity.
struct Application<'a> {
    registration_type: &'a RegistrationType,
    accepted_agreements: &'a BTreeMap<String, String>,
    designated_address: Option<PostalAddress>,
    pin: Option<FreshCode>,
    organization: OrganizationId,
    existing_organization: Option<&'a Organization>,
}

/// Decides whether the record can be registered, and with which membership (AG-03, BL-03, EX-03 to
/// EX-05).
fn admit(
    record: &PlanRecord,
    application: Application<'_>,
    (id, greeting): (&AccountId, String),
    context: Context<'_>,
) -> Result<Admission, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
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
    let registered_organization = record.organization(&policy.portal);
    if taken || registered_organization != existing_organization.map(|o| &o.id) {
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
                    group_codes: policy.group_codes.assignable(&record.data.group_codes),
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
        let is_withheld = policy.withholds_letter(
            registration_type,
            record.data.category.as_deref(),
            &agreements,
        );
        let address = letter_address(policy, &record.data, designated_address.as_ref())
            .ok_or(Refusal::NoAddress)?;
        if is_withheld {
            (PendingStep::PinLetterWithheld, None)
        } else {
            let fresh = pin.ok_or(Refusal::NoAddress)?;
            let (issue, letter) = activate::pin_letter(
                fresh,
                address,
                greeting,
                name.clone(),
                Context::new(policy, origin, rng),
            )
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

/// Registers a person whose verification matched `record` (AG-03, ME-01, BL-03, EX-04, EX-05).
///
/// # Errors
/// [`Refusal`]. None of them reveals which field was wrong.
pub fn register(
    record: Option<&PlanRecord>,
    request: Registration<'_>,
    context: Context<'_>,
) -> Result<Registered, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
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
        Context::new(policy, origin, rng),
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
        let text = MailText::BackupWanted { organization };
        messages.push(mail(&account, now, text, rng));
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

/// A user's request to register an additional organization (BL-01).
#[derive(Debug)]
pub struct Further<'a> {
    pub registration_type: &'a RegistrationType,
    /// The agreements accepted on the portal, with revisions.
    pub accepted_agreements: BTreeMap<String, String>,
    /// The address for the PIN letter, on portals where the person chooses it (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A new PIN, used if the registration requires one.
    pub pin: Option<FreshCode>,
    /// The id for a new organization, used if none was registered with the record.
    pub organization: OrganizationId,
    /// The organization that was registered with the record through another registration type
    /// (EX-03).
    pub existing_organization: Option<&'a Organization>,
}

/// Adds an organization, whose record the user's verification matched, to an existing account. The
/// requirements are those of a first registration: verification, attestation, PIN letter and
/// agreement (BL-01, EX-13).
///
/// # Errors
/// [`Refusal`]. It reveals no more than the refusal of a first registration.
pub fn register_further(
    account: &Account,
    record: Option<&PlanRecord>,
    request: Further<'_>,
    context: Context<'_>,
) -> Result<Registered, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
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
    // A user has at most one membership in an organization.
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
        Context::new(policy, origin, rng),
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
        let text = further_text(organization.clone(), &membership, policy, now);
        messages.push(mail(account, now, text, rng));
        if requires_backup_administrator(registration_type.role, policy) {
            let text = MailText::BackupWanted { organization };
            messages.push(mail(account, now, text, rng));
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

/// The maximum number of organizations of an account. Sign-in writes one row for each, in a
/// transaction of at most 100 writes.
pub const MAX_ORGANIZATIONS: usize = 50;

/// Returns the email to a user who joined an additional organization.
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

/// Returns whether the portal asks this user to add a backup administrator (AG-04).
pub fn requires_backup_administrator(role: Role, policy: &Policy) -> bool {
    role == Role::Principal
        && policy
            .staff
            .as_ref()
            .is_some_and(|s| s.requires_backup_administrator)
}

/// Returns the address for the PIN letter (ME-06, BL-03).
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

/// Returns the welcome email, with the steps that the account still has to complete.
fn registered_text(account: &Account, policy: &Policy, now: Timestamp) -> MailText {
    let membership = account.memberships.first();
    MailText::Registered {
        username: account.username.to_string(),
        pin_letter_by: membership.and_then(|m| letter_by(m, policy, now)),
        agreement: membership.and_then(|m| agreement_of(m, policy)),
    }
}

/// Returns the PIN that a membership is waiting for.
pub fn pin_issue(membership: &Membership) -> Option<&Issue> {
    match &membership.pending_step {
        PendingStep::Pin { issue } => Some(issue),
        _ => None,
    }
}
