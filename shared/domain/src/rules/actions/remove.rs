//! Removing a user (AG-09, AG-10, BL-07, EX-12).

use crate::decision::Decision;
use crate::outbox::mail::{AccessChange, HelpDeskAct, mail};
use crate::policy::Permission;
use crate::rules::actions::Refusal;
use crate::rules::actions::administrators;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::context::Context;
use crate::rules::departure;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::Membership;

/// Removes a user from an organization at once, or deletes a member's account. A user without another
/// organization is deleted permanently (AG-09, AG-10, BL-07). The plan record can then be registered
/// again with the same registration type.
///
/// The help desk can do it whatever the person's role (EX-12), but the last principal can't be
/// removed. Administrators can't remove the last administrator whose access lasts (SE-07).
pub fn remove(
    authority: Authority<'_>,
    target: Target<'_>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let account = target.account;
    authority.authorize_removal(Permission::DeleteUsers, target, context.policy)?;
    let membership = target.membership(|_| true, Refusal::NotInOrganization)?;
    let organization = target.organization_of(membership);
    let administrators = administrators::without(authority, target, membership)?;
    let audit = authority.audit(account, Some(membership), Action::RemoveUser, &mut context);
    let freed = departure::freed(
        account,
        (membership, organization),
        &audit.actor,
        context.now(),
    );
    let (after, deleted) = without_membership(account, membership);
    let act = HelpDeskAct::Removed {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let notice = authority
        .notice(organization, AccessChange::Removed, Some(act))
        .map(|text| mail(account, context.now(), text, context.rng));
    let decision = administrators
        .into_iter()
        .chain(freed)
        .fold(Decision::recording(audit), Decision::change)
        .update(account, after.clone())
        .send(notice);
    Ok((after, decision))
}

/// Returns the account without a membership, and whether this deleted it.
pub(super) fn without_membership(account: &Account, membership: &Membership) -> (Account, bool) {
    let mut after = account.clone();
    let deleted = after.keep_memberships(|m| m.organization != membership.organization);
    (after, deleted)
}
