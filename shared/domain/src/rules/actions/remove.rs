//! Removing a user (AG-09, AG-10, BL-07, EX-12).

use crate::decision::{Change, Decision};
use crate::outbox::mail::{AccessChange, HelpDeskAct, mail};
use crate::policy::{Permission, Role};
use crate::rules::access_review;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, Origin};
use crate::state::membership::Membership;
use crate::state::organization::Organization;

/// Removes a user from an organization at once, or deletes a member's account. A user without another
/// organization is deleted permanently (AG-09, AG-10, BL-07). The help desk can do it whatever the
/// person's role (EX-12), but the last principal can't be removed. After a removal by the help desk,
/// the plan record can be registered again with the same registration type.
pub fn remove(
    authority: Authority<'_>,
    target: Target<'_>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let account = target.account;
    authority.authorize_removal(Permission::DeleteUsers, target, context.policy)?;
    let membership = target.membership(|_| true, Refusal::NotInOrganization)?;
    let organization = target.organization_of(membership);
    let audit = authority.audit(account, Some(membership), Action::RemoveUser, &mut context);
    let removal = match organization {
        Some(organization) => removal_changes(organization, account, &audit.actor, context.origin)?,
        None => Vec::new(),
    };
    let release = match authority {
        Authority::HelpDesk(_) => release(account, membership, organization.is_none()),
        Authority::Administrator(_) => None,
    };
    let (after, deleted) = without_membership(account, membership);
    let act = HelpDeskAct::Removed {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let notice = authority
        .notice(organization, AccessChange::Removed, Some(act))
        .map(|text| mail(account, context.now(), text, context.rng));
    let decision = removal
        .into_iter()
        .chain(release)
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

/// Releases the claim on a plan record. Returns `None` if the membership isn't based on one.
pub(super) fn release(account: &Account, membership: &Membership, whole: bool) -> Option<Change> {
    Some(Change::ReleaseRecord {
        record: membership.record.clone()?,
        portal: account.portal.clone(),
        registration_type: membership.registration_type.clone()?,
        account: account.id.clone(),
        whole,
    })
}

/// Returns the change of an organization's principals when a user's role changes, if any.
pub(super) fn with_principals(
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

/// Returns the organization's changes when a user is removed: its principals, the record of a
/// former user (AG-10) and, if the user is part of an access review, the record for that (EX-11).
fn removal_changes(
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
