//! The administrator who acts, and whose access they may change.

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
    /// The administrator lacks the permission, or the user's role ranks higher.
    NotAllowed,
    /// The organization has no such user (BL-17).
    Unknown,
    /// Nobody does this to themselves.
    SelfActionForbidden,
}

/// The administrator who acts, and for which organization.
#[derive(Debug, Clone, Copy)]
pub struct ActingAdministrator<'a> {
    /// The account.
    pub account: &'a Account,
    /// What it is in the organization it works for.
    pub membership: &'a Membership,
}

impl<'a> ActingAdministrator<'a> {
    /// The organization, if the person may do this there.
    pub fn allowed(&self, permission: Permission, policy: &Policy) -> Option<&'a OrganizationId> {
        self.membership
            .organization
            .as_ref()
            .filter(|_| policy.allows(self.membership.role, permission))
    }

    /// Starts an audit entry about what is done here.
    pub fn audit(&self, origin: &Origin, action: Action, rng: &mut impl Rng) -> AuditEvent {
        AuditEvent::done(origin, Actor::Account(self.account.id.clone()), action, rng)
            .for_organization(self.membership.organization.as_ref())
    }
}

/// The user's membership, if the administrator may do this to it: nobody reaches across
/// organizations (BL-17), above themselves, or at themselves.
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

/// Whether the administrator may take away this user's access: other administrators' only with the
/// permission to (EX-12).
pub(crate) fn authorize_removal(
    acting: ActingAdministrator<'_>,
    membership: &Membership,
    policy: &Policy,
) -> Result<(), Denied> {
    let may = !membership.role.is_administrator()
        || policy.allows(acting.membership.role, Permission::DeleteAdministrators);
    if may { Ok(()) } else { Err(Denied::NotAllowed) }
}
