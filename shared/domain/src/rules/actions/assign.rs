//! Changing the access of a user (BL-07, UX-04).

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::decision::Decision;
use crate::outbox::mail::{AccessChange, MailText, mail};
use crate::policy::{Permission, Role};
use crate::rules::access_terms::{check_end, check_offered};
use crate::rules::acting::{ActingAdministrator, authorize_on, authorize_removal};
use crate::rules::actions::Refusal;
use crate::rules::actions::remove::with_principals;
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::PendingStep;
use crate::state::organization::Organization;

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
    let text = MailText::AccessChanged {
        organization: organization.name.clone(),
        change: AccessChange::Assigned { end_date },
    };
    let decision = principals
        .into_iter()
        .fold(Decision::recording(audit), Decision::change)
        .update(user, after.clone())
        .send([mail(user, origin.at, text, rng)]);
    Ok((after, decision))
}
