//! The administrators of an organization, of whom one must remain (SE-07).

use crate::decision::Change;
use crate::policy::Role;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Target};
use crate::state::account::Account;
use crate::state::membership::Membership;
use crate::state::organization::Organization;

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

/// Returns the organization's change when a user stops being an administrator whose access lasts. It is
/// written even if the organization stays the same, so that two administrators who take each other's
/// access away conflict and the second is decided again.
///
/// # Errors
/// [`Refusal::LastPrincipal`]; [`Refusal::LastAdministrator`] if nobody would remain who can manage the
/// organization and whose access has no end date. The help desk can remove the last administrator: a
/// successor registers with the plan record (EX-12).
pub(super) fn without(
    authority: Authority<'_>,
    target: Target<'_>,
    membership: &Membership,
) -> Result<Option<Change>, Refusal> {
    let Some(organization) = target.organization_of(membership) else {
        return Ok(None);
    };
    let principals = with_principals(organization, target.account, None)?;
    taken_from(authority, target, membership, organization, principals)
}

/// Does the same as [`without`] for a change that keeps the user's membership. `principals` is the change
/// of the organization's principals.
pub(super) fn taken_from(
    authority: Authority<'_>,
    target: Target<'_>,
    membership: &Membership,
    organization: &Organization,
    principals: Option<Change>,
) -> Result<Option<Change>, Refusal> {
    let manages = |role: Role| role.rank() >= Role::Administrator.rank();
    if matches!(authority, Authority::HelpDesk(_)) || !manages(membership.role) {
        return Ok(principals);
    }
    let another_stays = target
        .managers
        .iter()
        .any(|m| m.account != target.account.id && manages(m.role) && m.end_date.is_none());
    if !another_stays {
        return Err(Refusal::LastAdministrator);
    }
    Ok(Some(principals.unwrap_or_else(|| {
        Change::UpdateOrganization {
            before: Box::new(organization.clone()),
            after: Box::new(organization.clone()),
        }
    })))
}
