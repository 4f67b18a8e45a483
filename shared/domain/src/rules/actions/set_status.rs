//! Disabling and reinstating a user (BA-06, UX-04).

use crate::decision::Decision;
use crate::outbox::mail::{AccessChange, HelpDeskAct, mail};
use crate::policy::Permission;
use crate::rules::actions::Refusal;
use crate::rules::actions::administrators;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::context::Context;
use crate::state::account::{Account, Status};
use crate::state::audit::Action;

/// A status that an action sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewStatus {
    Active,
    Disabled,
}

/// Disables or reinstates a user. Sessions end at their next request (UX-04, BA-06). An account that
/// already has the status is left unchanged, and its owner isn't notified.
///
/// # Errors
/// [`Refusal`]. [`Refusal::Deleted`]: a deleted account can't be reinstated.
/// [`Refusal::UnsupportedOnPortal`]: the help desk doesn't disable accounts.
pub fn set_status(
    authority: Authority<'_>,
    target: Target<'_>,
    to: NewStatus,
    mut context: Context<'_>,
) -> Result<(Account, Option<Decision>), Refusal> {
    let account = target.account;
    authority.authorize_removal(Permission::DisableUsers, target, context.policy)?;
    let is_administrator = matches!(authority, Authority::Administrator(_));
    if is_administrator && account.memberships.len() > 1 {
        return Err(Refusal::SeveralOrganizations);
    }
    let (status, action, change, act) = match to {
        NewStatus::Active => (
            Status::Active,
            Action::ReinstateUser,
            AccessChange::Reinstated,
            Some(HelpDeskAct::Reinstated),
        ),
        NewStatus::Disabled => (
            Status::Disabled,
            Action::DisableUser,
            AccessChange::Disabled,
            None,
        ),
    };
    let audit = authority.audit(account, None, action, &mut context);
    if account.status == status {
        // Every request to the help desk is recorded, even if nothing changes.
        let decision = (!is_administrator).then(|| Decision::recording(audit));
        return Ok((account.clone(), decision));
    }
    let text = authority
        .notice(target.organizations.first(), change, act)
        .ok_or(Refusal::UnsupportedOnPortal)?;
    let administrators = match (to, account.memberships.first()) {
        (NewStatus::Disabled, Some(membership)) => {
            let organization = target.organization_of(membership).ok_or(Refusal::Unknown)?;
            administrators::taken_from(authority, target, membership, organization, None)?
        }
        _ => None,
    };
    let mut after = account.clone();
    match to {
        NewStatus::Active => after.reinstate(context.now()),
        NewStatus::Disabled => after.disable(context.now()),
    }
    let decision = administrators
        .into_iter()
        .fold(Decision::recording(audit), Decision::change)
        .update(account, after.clone())
        .send([mail(account, context.now(), text, context.rng)]);
    Ok((after, Some(decision)))
}
