//! Administrators' actions on the users of their organization.

use std::collections::BTreeSet;

use jiff::civil::Date;
use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{AccessChange, MailText, Message, ResetAsked, mail, mail_as};
use crate::policy::{Onboarding, Permission, Policy, RecoveryMeans, Reissuer, Role};
use crate::rules::acting::{ActingAdministrator, Denied, authorize_on, authorize_removal};
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::rules::register::{Applicant, Registered};
use crate::rules::{access_review, recover};
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, Origin};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::values::ids::MessageId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The administrator lacks the permission.
    NotAllowed,
    /// The organization has no such user (BL-17).
    Unknown,
    /// The portal doesn't support adding users this way.
    UnsupportedOnPortal,
    /// The user isn't waiting for approval.
    ApprovalNotPending,
    /// The user isn't waiting for a registration code.
    NoPendingCode,
    /// The user has no password yet or can't sign in (BL-14).
    NotRecoverable,
    /// On this portal only the help desk can do this.
    AskHelpDesk,
    /// The account isn't part of the access review (EX-11).
    NotInReview,
    /// The portal has no such service.
    NoSuchService(String),
    /// The organization has no such group code.
    NoSuchGroupCode(String),
    /// Administrators can't do this to their own account.
    SelfActionForbidden,
    /// The end date has passed (UX-07).
    EndsInPast,
    /// A principal's access can't have an end date, so that the organization always has a principal
    /// (UX-07).
    PrincipalsStay,
    /// The organization would have no principal left.
    LastPrincipal,
    /// The user belongs to other organizations too.
    SeveralOrganizations,
}

impl Refusal {
    /// Returns the reason recorded on the audit trail.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::Unknown => "unknown",
            Self::UnsupportedOnPortal => "unsupported_on_portal",
            Self::ApprovalNotPending => "approval_not_pending",
            Self::NoPendingCode => "no_pending_code",
            Self::NotRecoverable => "not_recoverable",
            Self::AskHelpDesk => "ask_help_desk",
            Self::NotInReview => "not_in_review",
            Self::NoSuchService(_) => "no_such_service",
            Self::NoSuchGroupCode(_) => "no_such_group_code",
            Self::SelfActionForbidden => "self-action-forbidden",
            Self::EndsInPast => "ends_in_past",
            Self::PrincipalsStay => "principals_stay",
            Self::LastPrincipal => "last_principal",
            Self::SeveralOrganizations => "several_organizations",
        }
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::NotAllowed => Self::NotAllowed,
            Denied::Unknown => Self::Unknown,
            Denied::SelfActionForbidden => Self::SelfActionForbidden,
        }
    }
}

impl From<access_review::NotConfirmed> for Refusal {
    fn from(cause: access_review::NotConfirmed) -> Self {
        match cause {
            access_review::NotConfirmed::Denied(denied) => denied.into(),
            access_review::NotConfirmed::NotInReview => Self::NotInReview,
        }
    }
}

/// The access that an approval gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    /// `None` keeps the end date of the invitation, `Some(None)` removes it (UX-07).
    pub end_date: Option<Option<Date>>,
}

/// Approves a user who registered, with exactly these services and group codes (AG-08).
pub fn approve(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    approval: Approval,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    if acting.allowed(Permission::ApproveUsers, policy) != Some(&organization.id) {
        return Err(Refusal::NotAllowed);
    }
    let mut after = user.clone();
    let membership = after
        .membership_mut(Some(&organization.id))
        .filter(|_| user.status != Status::Deleted)
        .ok_or(Refusal::Unknown)?;
    if !policy.grants(acting.membership.role, membership.role) {
        return Err(Refusal::NotAllowed);
    }
    if membership.pending_step != PendingStep::Approval {
        return Err(Refusal::ApprovalNotPending);
    }
    check_offered(
        &approval.services,
        &approval.group_codes,
        organization,
        policy,
    )?;
    if let Some(end_date) = approval.end_date {
        membership.end_date = end_date;
    }
    check_end(membership.end_date, membership.role, policy, origin)?;
    membership.pending_step = PendingStep::Open;
    membership.services = approval.services;
    membership.group_codes = approval.group_codes;
    let titles = titles(membership, policy);
    let end_date = membership.end_date;
    let notice = mail(
        user,
        origin.at,
        MailText::Approved {
            organization: organization.name.clone(),
            services: titles,
            end_date,
        },
        rng,
    );
    let decision = Decision::recording(
        acting
            .audit(origin, Action::ApproveUser, rng)
            .on(user.id.as_str()),
    )
    .update(user, after.clone())
    .send([notice]);
    Ok((after, decision))
}

fn check_offered(
    services: &BTreeSet<String>,
    group_codes: &BTreeSet<String>,
    organization: &Organization,
    policy: &Policy,
) -> Result<(), Refusal> {
    if let Some(s) = services
        .iter()
        .find(|s| !policy.services.iter().any(|o| o.id.as_str() == **s))
    {
        return Err(Refusal::NoSuchService(s.clone()));
    }
    if let Some(c) = group_codes
        .iter()
        .find(|c| !organization.group_codes.contains(*c))
    {
        return Err(Refusal::NoSuchGroupCode(c.clone()));
    }
    Ok(())
}

/// Checks that an end date hasn't passed and isn't set for a principal (UX-07).
pub(crate) fn check_end(
    end_date: Option<Date>,
    role: Role,
    policy: &Policy,
    origin: &Origin,
) -> Result<(), Refusal> {
    match end_date {
        Some(day) if day < policy.today(origin.at) => Err(Refusal::EndsInPast),
        Some(_) if role == Role::Principal => Err(Refusal::PrincipalsStay),
        _ => Ok(()),
    }
}

fn titles(membership: &Membership, policy: &Policy) -> Vec<String> {
    policy
        .services
        .iter()
        .filter(|s| membership.services.contains(s.id.as_str()))
        .map(|s| s.title.to_string())
        .collect()
}

/// A user to add.
#[derive(Debug)]
pub struct NewUser {
    /// The person. Without a password if a registration code is sent.
    pub applicant: Applicant,
    pub role: Role,
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
    /// A new registration code, on portals that send one.
    pub code: Option<FreshCode>,
}

/// Adds a user to the organization (BL-07, BL-08, EX-09).
pub fn add_user(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    new: NewUser,
    context: Context<'_>,
) -> Result<Registered, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let NewUser {
        applicant,
        role,
        services,
        group_codes,
        end_date,
        code,
    } = new;
    let staff = policy.staff.as_ref().ok_or(Refusal::UnsupportedOnPortal)?;
    let allowed = acting.allowed(Permission::AddUsers, policy) == Some(&organization.id);
    if !allowed || !policy.grants(acting.membership.role, role) {
        return Err(Refusal::NotAllowed);
    }
    check_offered(&services, &group_codes, organization, policy)?;
    check_end(end_date, role, policy, origin)?;
    let now = origin.at;
    let name = organization.name.clone();
    let username = applicant.username.to_string();
    let message_id = MessageId::random(rng);
    let (pending_step, text) = match (staff.onboarding, code) {
        (Onboarding::RegistrationCode, Some(fresh)) => {
            let carried_by = message_id.clone();
            activate::issue_code(fresh, (name, username), carried_by, end_date, policy, now)
                .ok_or(Refusal::UnsupportedOnPortal)?
        }
        (Onboarding::InitialPassword, None) => {
            let pending_step = if staff.approval {
                PendingStep::Approval
            } else {
                PendingStep::Open
            };
            (
                pending_step,
                MailText::AccountMade {
                    organization: name,
                    username,
                },
            )
        }
        _ => return Err(Refusal::UnsupportedOnPortal),
    };
    let membership = Membership {
        services,
        group_codes,
        end_date,
        ..Membership::joined(organization.id.clone(), role, pending_step, now)
    };
    let account = applicant.into_account(membership, policy, now);
    let notice = mail_as(message_id, &account, now, text);
    let decision = Decision::recording(
        acting
            .audit(origin, Action::AddUser, rng)
            .on(account.id.as_str()),
    )
    .change(Change::CreateAccount(Box::new(account.clone())))
    .send([notice]);
    Ok(Registered { account, decision })
}

/// Replaces a lost registration code with a new one. The old code becomes invalid (BL-09).
pub fn reissue_code(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    fresh: Option<FreshCode>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    authorize_on(acting, Permission::ReissueCodes, organization, user, policy)?;
    let audit = acting
        .audit(origin, Action::ReissueRegistrationCode, rng)
        .on(user.id.as_str());
    activate::reissue_code(
        user,
        (&organization.id, &organization.name),
        Reissuer::Administrator,
        fresh.ok_or(Refusal::NoPendingCode)?,
        audit,
        Context::new(policy, origin, rng),
    )
    .map_err(|refusal| match refusal {
        activate::Refusal::NotYours => Refusal::AskHelpDesk,
        activate::Refusal::Expired => Refusal::EndsInPast,
        activate::Refusal::ApprovalNotPending
        | activate::Refusal::Wrong
        | activate::Refusal::NoAddress => Refusal::NoPendingCode,
    })
}

/// Sends a password reset link to the user's own address only (BL-14). The portal's other recovery
/// requirements still apply.
pub fn send_reset_link(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    authorize_on(acting, Permission::ReissueCodes, organization, user, policy)?;
    if !policy
        .recovery
        .forgot_password
        .contains(&RecoveryMeans::Email)
    {
        return Err(Refusal::AskHelpDesk);
    }
    let requested_by = ResetAsked::ByAdministrator(organization.name.clone());
    let (after, link) = recover::link(user, requested_by, Context::new(policy, origin, rng))
        .ok_or(Refusal::NotRecoverable)?;
    let audit = acting
        .audit(origin, Action::AskPasswordReset, rng)
        .on(user.id.as_str());
    Ok(Decision::recording(audit).update(user, after).send([link]))
}

/// Sends a forgotten username to the user's own address (BL-15).
pub fn send_username(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    authorize_on(acting, Permission::ReissueCodes, organization, user, policy)?;
    let reminder = recover::reminder(user, Context::new(policy, origin, rng))
        .ok_or(Refusal::NotRecoverable)?;
    let audit = acting
        .audit(origin, Action::RecoverUsername, rng)
        .on(user.id.as_str());
    Ok(Decision::recording(audit).send([reminder]))
}

/// A user's access in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub role: Role,
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
}

/// Returns the change of an organization's principals when a user's role changes, if any.
pub(crate) fn with_principals(
    organization: &Organization,
    user: &Account,
    role: Option<Role>,
) -> Result<Option<Change>, Refusal> {
    let mut after = organization.clone();
    if role == Some(Role::Principal) {
        after.principals.insert(user.id.clone());
    } else if after.principals.remove(&user.id) && after.principals.is_empty() {
        return Err(Refusal::LastPrincipal);
    }
    Ok(
        (after != *organization).then(|| Change::UpdateOrganization {
            before: Box::new(organization.clone()),
            after: Box::new(after),
        }),
    )
}

pub(crate) fn changed(decision: Decision, change: Option<Change>) -> Decision {
    change.into_iter().fold(decision, Decision::change)
}

fn notice(
    user: &Account,
    organization: &Organization,
    change: AccessChange,
    origin: &Origin,
    rng: &mut (impl Rng + ?Sized),
) -> Message {
    mail(
        user,
        origin.at,
        MailText::AccessChanged {
            organization: organization.name.clone(),
            change,
        },
        rng,
    )
}

/// Assigns a role, services, group codes and end date. They apply from the user's next request on
/// (UX-04, BL-07).
pub fn assign(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    to: Assignment,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let current = authorize_on(acting, Permission::EditUsers, organization, user, policy)?;
    if current.pending_step == PendingStep::Approval {
        // The access of a user who is waiting for approval is set by the approval.
        return Err(Refusal::ApprovalNotPending);
    }
    let own_role = acting.membership.role;
    let changes_role = to.role != current.role;
    let can_change_role = policy.allows(own_role, Permission::GrantRoles)
        && policy.grants(own_role, to.role)
        && policy.grants(own_role, current.role);
    if changes_role && !can_change_role {
        return Err(Refusal::NotAllowed);
    }
    if to.role.rank() < current.role.rank() && own_role.rank() <= current.role.rank() {
        // A higher administrator can take back what they granted (EX-10). Without this check, an
        // administrator could demote an equal to a user and then remove them (EX-12).
        authorize_removal(acting, current, policy)?;
    }
    check_offered(&to.services, &to.group_codes, organization, policy)?;
    check_end(to.end_date, to.role, policy, origin)?;
    let end_date = to.end_date;
    let principals = if changes_role {
        with_principals(organization, user, Some(to.role))?
    } else {
        None
    };
    let mut after = user.clone();
    if let Some(membership) = after.membership_mut(Some(&organization.id)) {
        membership.role = to.role;
        membership.services = to.services;
        membership.group_codes = to.group_codes;
        membership.end_date = end_date;
    }
    let audit = acting
        .audit(origin, Action::AssignAccess, rng)
        .on(user.id.as_str());
    let decision = changed(Decision::recording(audit), principals)
        .update(user, after.clone())
        .send([notice(
            user,
            organization,
            AccessChange::Assigned { end_date },
            origin,
            rng,
        )]);
    Ok((after, decision))
}

/// Disables or reinstates a user. Sessions end at their next request (UX-04, BA-06). Returns `None`
/// if the status is already the requested one.
pub fn set_disabled(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    disabled: bool,
    context: Context<'_>,
) -> Result<Option<(Account, Decision)>, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let membership = authorize_on(acting, Permission::DisableUsers, organization, user, policy)?;
    authorize_removal(acting, membership, policy)?;
    if user.memberships.len() > 1 {
        return Err(Refusal::SeveralOrganizations);
    }
    let (status, action, change) = if disabled {
        (
            Status::Disabled,
            Action::DisableUser,
            AccessChange::Disabled,
        )
    } else {
        (
            Status::Active,
            Action::ReinstateUser,
            AccessChange::Reinstated,
        )
    };
    if user.status == status {
        return Ok(None);
    }
    let mut after = user.clone();
    if disabled {
        after.disable(origin.at);
    } else {
        after.reinstate(origin.at);
    }
    let decision = Decision::recording(acting.audit(origin, action, rng).on(user.id.as_str()))
        .update(user, after.clone())
        .send([notice(user, organization, change, origin, rng)]);
    Ok(Some((after, decision)))
}

/// Removes a user from the organization at once. A user without another organization is deleted
/// permanently (AG-09, AG-10, BL-07, EX-12).
pub fn remove(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    user: &Account,
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let membership = authorize_on(acting, Permission::DeleteUsers, organization, user, policy)?;
    authorize_removal(acting, membership, policy)?;
    let audit = acting
        .audit(origin, Action::RemoveUser, rng)
        .on(user.id.as_str());
    let removal = removal_changes(organization, user, &audit.actor, origin)?;
    let mut after = user.clone();
    after.keep_memberships(|m| m.organization.as_ref() != Some(&organization.id));
    let message = notice(user, organization, AccessChange::Removed, origin, rng);
    Ok(removal
        .into_iter()
        .fold(Decision::recording(audit), Decision::change)
        .update(user, after)
        .send([message]))
}

/// Returns the organization's changes when a user is removed: its principals, the record of a
/// former user (AG-10) and, if the user is part of an access review, the record for that (EX-11).
pub(crate) fn removal_changes(
    organization: &Organization,
    user: &Account,
    by: &Actor,
    origin: &Origin,
) -> Result<Vec<Change>, Refusal> {
    let principals = with_principals(organization, user, None)?;
    let former = Change::NoteFormerUser {
        portal: organization.portal.clone(),
        organization: organization.id.clone(),
        email: user.email.clone(),
    };
    let review_trace = access_review::trace(organization, user, by, origin.at);
    Ok(principals
        .into_iter()
        .chain([former])
        .chain(review_trace)
        .collect())
}
