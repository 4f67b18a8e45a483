//! Changing the access of a user (BL-07, UX-04).

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::decision::Decision;
use crate::outbox::mail::{AccessChange, MailText, ManagedEvent, mail};
use crate::policy::{Permission, Policy, Role};
use crate::rules::access_terms::{check_end, check_offered, ends_earlier};
use crate::rules::acting::{ActingAdministrator, authorize_on, authorize_removal};
use crate::rules::actions::Refusal;
use crate::rules::actions::administrators::{taken_from, with_principals};
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::context::Context;
use crate::rules::follow_up::notices_to_managers;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::{Membership, PendingStep};

/// A user's access in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    pub role: Role,
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
}

/// Assigns a role, services, group codes and end date. They apply from the user's next request on
/// (UX-04, BL-07).
pub fn assign(
    acting: ActingAdministrator<'_>,
    target: Target<'_>,
    to: Assignment,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let user = target.account;
    let organization = target.organizations.first().ok_or(Refusal::Unknown)?;
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
    authorize_reduction(acting, current, &to, policy)?;
    check_offered(&to.services, &to.group_codes, organization, policy)?;
    check_end(to.end_date, to.role, policy, origin)?;
    let end_date = to.end_date;
    // Nobody raises a role alone, not even that of a second account of their own (UX-12).
    let awaits_approval = policy.approval_by_another() && policy.raises(current.role, to.role);
    let principals = if changes_role {
        let role = (!awaits_approval).then_some(to.role);
        with_principals(organization, user, role)?
    } else {
        None
    };
    let authority = Authority::Administrator(acting);
    let stays =
        !awaits_approval && to.role.rank() >= Role::Administrator.rank() && end_date.is_none();
    let administrators = if stays || current.end_date.is_some() {
        principals
    } else {
        taken_from(authority, target, current, organization, principals)?
    };
    let mut after = user.clone();
    if let Some(membership) = after.membership_mut(Some(&organization.id)) {
        membership.role = to.role;
        membership.services = to.services;
        membership.group_codes = to.group_codes;
        membership.end_date = end_date;
        if awaits_approval {
            membership.pending_step = PendingStep::Approval;
            membership.granted_by = Some(acting.account.id.clone());
        }
    }
    let audit = acting
        .audit(origin, Action::AssignAccess, context.rng)
        .on(user.id.as_str());
    let mut messages = Vec::new();
    if let Some(membership) = after.membership(Some(&organization.id))
        && changes_role
        && policy.approval_by_another()
    {
        let event = ManagedEvent::RoleChanged {
            by: acting.account.name.full(),
            awaits_approval,
        };
        let managers = target.managers;
        let user_and_role = (user, membership);
        messages = notices_to_managers(
            managers,
            organization,
            user_and_role,
            event,
            context.reborrow(),
        );
    }
    let text = MailText::AccessChanged {
        organization: organization.name.clone(),
        change: AccessChange::Assigned { end_date },
    };
    let decision = administrators
        .into_iter()
        .fold(Decision::recording(audit), Decision::change)
        .update(user, after.clone())
        .send([mail(user, origin.at, text, context.rng)])
        .send(messages);
    Ok((after, decision))
}

/// Checks that an administrator who takes something away has the right to take everything away (SE-07):
/// an earlier end date is a removal, and fewer services or group codes disable a part of the access.
/// Otherwise an administrator could do in disguise what their role doesn't allow.
fn authorize_reduction(
    acting: ActingAdministrator<'_>,
    current: &Membership,
    to: &Assignment,
    policy: &Policy,
) -> Result<(), Refusal> {
    let own_role = acting.membership.role;
    let is_shorter = ends_earlier(current.end_date, to.end_date);
    let is_less = !current.services.is_subset(&to.services)
        || !current.group_codes.is_subset(&to.group_codes);
    let is_demoted = to.role.rank() < current.role.rank();
    if (is_shorter && !policy.allows(own_role, Permission::DeleteUsers))
        || (is_less && !policy.allows(own_role, Permission::DisableUsers))
    {
        return Err(Refusal::NotAllowed);
    }
    // A higher administrator can take back what they granted (EX-10), but not end the access. Without
    // this check, an administrator could demote an equal to a user and then remove them (EX-12).
    let is_higher = own_role.rank() > current.role.rank();
    if is_shorter || ((is_less || is_demoted) && !is_higher) {
        authorize_removal(acting, current, policy)?;
    }
    Ok(())
}
