//! The administrator who performs an action, and whose access they can change.

use rand::Rng;

use crate::policy::{Permission, Policy};
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::membership::Membership;
use crate::state::organization::Organization;
use crate::values::ids::OrganizationId;

/// Why an administrator can't act on a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The administrator lacks the permission, or the user's role is higher.
    NotAllowed,
    /// The organization has no such user (BL-17).
    Unknown,
    /// Administrators can't do this to their own account.
    SelfActionForbidden,
}

/// The administrator who performs an action, and the organization they act for.
#[derive(Debug, Clone, Copy)]
pub struct ActingAdministrator<'a> {
    pub account: &'a Account,
    /// The administrator's membership in that organization.
    pub membership: &'a Membership,
}

impl<'a> ActingAdministrator<'a> {
    /// Returns the organization if the administrator has the permission in it.
    pub fn allowed(&self, permission: Permission, policy: &Policy) -> Option<&'a OrganizationId> {
        self.membership
            .organization
            .as_ref()
            .filter(|_| policy.allows(self.membership.role, permission))
    }

    /// Creates an audit event for an action of the administrator.
    pub fn audit(
        &self,
        origin: &Origin,
        action: Action,
        rng: &mut (impl Rng + ?Sized),
    ) -> AuditEvent {
        AuditEvent::done(origin, Actor::Account(self.account.id.clone()), action, rng)
            .for_organization(self.membership.organization.as_ref())
    }
}

/// Returns the user's membership if the administrator has the permission on it. Administrators
/// can't act on users of other organizations (BL-17), on higher roles or on themselves.
pub(crate) fn authorize_on<'u>(
    acting: ActingAdministrator<'_>,
    permission: Permission,
    organization: &Organization,
    user: &'u Account,
    policy: &Policy,
) -> Result<&'u Membership, Denied> {
    if acting.allowed(permission, policy) != Some(&organization.id) {
        return Err(Denied::NotAllowed);
    }
    let membership = user
        .membership(Some(&organization.id))
        .filter(|_| user.status != Status::Deleted)
        .ok_or(Denied::Unknown)?;
    if user.id == acting.account.id {
        return Err(Denied::SelfActionForbidden);
    }
    if membership.role.rank() > acting.membership.role.rank() {
        return Err(Denied::NotAllowed);
    }
    Ok(membership)
}

/// Checks whether the administrator can remove this user's access. Removing another administrator's
/// access requires a separate permission (EX-12).
pub(crate) fn authorize_removal(
    acting: ActingAdministrator<'_>,
    membership: &Membership,
    policy: &Policy,
) -> Result<(), Denied> {
    let is_allowed = !membership.role.is_administrator()
        || policy.allows(acting.membership.role, Permission::DeleteAdministrators);
    if is_allowed {
        Ok(())
    } else {
        Err(Denied::NotAllowed)
    }
}
