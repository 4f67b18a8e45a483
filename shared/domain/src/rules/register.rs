//! Registration against the plan's records: principals, members and others who verify their
//! identity.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use strum::IntoStaticStr;

use crate::decision::{Change, Decision, RecordClaim};
use crate::outbox::mail::{MailText, ManagedEvent, Message, mail};
use crate::policy::{LetterAddress, Permission, Policy, RegistrationType, Role};
use crate::rules::activate::{self, NewPin};
use crate::rules::context::Context;
use crate::rules::follow_up::notices_to_managers;
use crate::state::account::{Account, Password, PasswordHash, QuestionAnswer, Status};
use crate::state::audit::{Action, AuditEvent};
use crate::state::follow_up::Manager;
use crate::state::membership::{Issue, LetterStatus, Membership, PendingStep};
use crate::state::organization::{Organization, next_due_on};
use crate::state::record::{PlanRecord, RecordData};
use crate::state::second_factor::SecondFactors;
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

/// An organization that a person joins with its plan record.
#[derive(Debug, Clone, Copy)]
pub struct ExistingOrganization<'a> {
    pub organization: &'a Organization,
    /// Everyone who manages it and can act. They are notified (SE-08).
    pub managers: &'a [Manager],
}

/// A request to register with a plan record.
#[derive(Debug)]
pub struct Registration<'a> {
    pub registration_type: &'a RegistrationType,
    pub applicant: Applicant,
    /// The address for the PIN letter, on portals where the person chooses it (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A new PIN, used if the registration requires one.
    pub pin: Option<NewPin>,
    /// The id for a new organization, used if none was registered with the record.
    pub organization: OrganizationId,
    /// The organization that was registered with the record through another registration type
    /// (EX-03).
    pub existing_organization: Option<ExistingOrganization<'a>>,
}

#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
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
    #[strum(serialize = "too_many_organizations")]
    TooMany,
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
            second_factors: SecondFactors::default(),
            bookmarks: Vec::new(),
            subscriptions: Default::default(),
            memberships: vec![membership],
            session_epoch: 0,
            uses_applications: false,
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
    pin: Option<NewPin>,
    organization: OrganizationId,
    existing_organization: Option<ExistingOrganization<'a>>,
}

/// Decides whether the record can be registered, and with which membership (AG-03, BL-03, EX-03 to
/// EX-05).
fn admit(
    record: &PlanRecord,
    application: Application<'_>,
    (id, greeting): (&AccountId, String),
    mut context: Context<'_>,
) -> Result<Admission, Refusal> {
    let (policy, origin) = (context.policy, context.origin);
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
    if taken || registered_organization != existing_organization.map(|o| &o.organization.id) {
        return Err(Refusal::AlreadyRegistered);
    }
    let awaits_approval = registration_type.joining_requires_approval
        && existing_organization.is_some_and(|existing| {
            existing
                .managers
                .iter()
                .any(|m| policy.allows(m.role, Permission::ApproveUsers))
        });
    // A principal who awaits approval becomes one when they are approved.
    let principal = registration_type.role == Role::Principal && !awaits_approval;
    let (organization, change, claims) =
        match (existing_organization, &registration_type.organization) {
            (
                Some(ExistingOrganization {
                    organization: found,
                    ..
                }),
                Some(_),
            ) => {
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
            let NewPin {
                fresh,
                is_printable,
            } = pin.ok_or(Refusal::NoAddress)?;
            let (mut issue, letter) = activate::pin_letter(
                fresh,
                address,
                (id, greeting),
                name.clone(),
                context.reborrow(),
            )
            .ok_or(Refusal::NoAddress)?;
            // The letter stays in the outbox, so that operators find it in the list of problems.
            issue.not_printed_at = (!is_printable(&letter, policy)).then_some(now);
            (PendingStep::Pin { issue }, Some(letter))
        }
    } else if awaits_approval {
        (PendingStep::Approval, None)
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
        granted_by: None,
        confirmed: None,
        registered_again_at: None,
        registration_type: Some(registration_type.id.to_string()),
        record: Some(record.key.clone()),
        category: RegistrationType::category(&record.data).map(|c| c.to_string()),
        agreements,
        recorded_before_feed: Default::default(),
        postal_address: designated_address,
    };
    Ok(Admission {
        membership,
        claim: Change::ClaimRecord {
            record: record.key.clone(),
            version: record.version,
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
    mut context: Context<'_>,
) -> Result<Registered, Refusal> {
    let (policy, origin) = (context.policy, context.origin);
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
        context.reborrow(),
    )?;
    let organization = admission.membership.organization.clone();
    let account = applicant.into_account(admission.membership, policy, now);
    let audit = AuditEvent::by_owner(origin, &account.id, Action::Register, context.rng)
        .for_organization(organization.as_ref());
    let mut messages = vec![mail(
        &account,
        now,
        registered_text(&account, policy, now),
        context.rng,
    )];
    if let Some(organization) = admission.name
        && requires_backup_administrator(registration_type.role, policy)
    {
        let text = MailText::BackupWanted { organization };
        messages.push(mail(&account, now, text, context.rng));
    }
    messages.extend(admission.letter);
    messages.extend(unprintable_notice(
        &account,
        account.memberships.first(),
        context.reborrow(),
    ));
    messages.extend(joined(existing_organization, &account, context.reborrow()));
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

/// Returns the notice to a user whose PIN letter cannot be printed (ME-08).
fn unprintable_notice(
    account: &Account,
    membership: Option<&Membership>,
    context: Context<'_>,
) -> Option<Message> {
    let now = context.now();
    let issue = match membership.map(|m| &m.pending_step) {
        Some(PendingStep::Pin { issue }) => issue,
        _ => return None,
    };
    issue
        .not_printed_at
        .map(|_| mail(account, now, MailText::LetterNotPrinted, context.rng))
}

/// A user's request to register an additional organization (BL-01).
#[derive(Debug)]
pub struct AdditionalOrganization<'a> {
    pub registration_type: &'a RegistrationType,
    /// The agreements accepted on the portal, with revisions.
    pub accepted_agreements: BTreeMap<String, String>,
    /// The address for the PIN letter, on portals where the person chooses it (BL-03).
    pub designated_address: Option<PostalAddress>,
    /// A new PIN, used if the registration requires one.
    pub pin: Option<NewPin>,
    /// The id for a new organization, used if none was registered with the record.
    pub organization: OrganizationId,
    /// The organization that was registered with the record through another registration type
    /// (EX-03).
    pub existing_organization: Option<ExistingOrganization<'a>>,
}

/// Adds an organization, whose record the user's verification matched, to an existing account. The
/// requirements are those of a first registration: verification, attestation, PIN letter and
/// agreement (BL-01, EX-13).
///
/// # Errors
/// [`Refusal`]. It reveals no more than the refusal of a first registration.
pub fn register_additional_organization(
    account: &Account,
    record: Option<&PlanRecord>,
    request: AdditionalOrganization<'_>,
    mut context: Context<'_>,
) -> Result<Registered, Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let record = record.ok_or(Refusal::NotMatched)?;
    let now = origin.at;
    let AdditionalOrganization {
        registration_type,
        accepted_agreements,
        designated_address,
        pin,
        organization,
        existing_organization,
    } = request;
    // A user has at most one membership in an organization.
    if existing_organization.is_some_and(|o| account.membership(Some(&o.organization.id)).is_some())
    {
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
        context.reborrow(),
    )?;
    let membership = admission.membership;
    let audit = AuditEvent::by_owner(
        origin,
        &account.id,
        Action::RegisterAdditionalOrganization,
        context.rng,
    )
    .for_organization(membership.organization.as_ref());
    let mut messages = Vec::new();
    if let Some(organization) = admission.name {
        let text = additional_organization_text(organization.clone(), &membership, policy, now);
        messages.push(mail(account, now, text, context.rng));
        if requires_backup_administrator(registration_type.role, policy) {
            let text = MailText::BackupWanted { organization };
            messages.push(mail(account, now, text, context.rng));
        }
    }
    messages.extend(admission.letter);
    messages.extend(unprintable_notice(
        account,
        Some(&membership),
        context.reborrow(),
    ));
    let mut after = account.clone();
    after.memberships.push(membership);
    messages.extend(joined(existing_organization, &after, context.reborrow()));
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

/// Returns the notices to everyone who manages an organization that a person joined (SE-08).
fn joined(
    existing: Option<ExistingOrganization<'_>>,
    account: &Account,
    context: Context<'_>,
) -> Vec<Message> {
    let Some(ExistingOrganization {
        organization,
        managers,
    }) = existing
    else {
        return Vec::new();
    };
    let Some(membership) = account.membership(Some(&organization.id)) else {
        return Vec::new();
    };
    let event = ManagedEvent::Joined {
        awaits_approval: membership.pending_step == PendingStep::Approval,
    };
    notices_to_managers(
        managers,
        organization,
        (account, membership),
        event,
        context,
    )
}

/// The maximum number of organizations of an account. Sign-in writes one row for each, in a
/// transaction of at most 100 writes.
pub const MAX_ORGANIZATIONS: usize = 50;

/// Returns the email to a user who joined an additional organization.
pub(crate) fn additional_organization_text(
    organization: String,
    membership: &Membership,
    policy: &Policy,
    now: Timestamp,
) -> MailText {
    MailText::AdditionalOrganization {
        organization,
        awaits_approval: membership.pending_step == PendingStep::Approval,
        pin_letter_by: letter_by(membership, policy, now),
        agreement: agreement_of(membership, policy),
    }
}

fn letter_by(membership: &Membership, policy: &Policy, now: Timestamp) -> Option<Date> {
    let issue = pin_issue(membership)?;
    let letter = LetterStatus::of(issue, policy, now)?;
    (!letter.not_printed).then_some(letter.arrives_by)
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
