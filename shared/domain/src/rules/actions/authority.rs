//! On whose authority an account is changed: an administrator of its organization, or the plan's help
//! desk.
//!
//! The help desk portal's policy decides what an agent is allowed to do. The policy of the account's
//! portal decides what is possible at all.

use rand::Rng;

use crate::decision::Decision;
use crate::outbox::mail::{AccessChange, HelpDeskAct, MailText, mail};
use crate::policy::{Permission, Policy, Reissuer};
use crate::rules::acting::{ActingAdministrator, authorize_on, authorize_removal};
use crate::rules::actions::Refusal;
use crate::rules::context::Context;
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::follow_up::Manager;
use crate::state::membership::Membership;
use crate::state::organization::Organization;
use crate::values::ids::{AccountId, OrganizationId};
use crate::values::text::Reason;

/// The help desk agent who acts.
#[derive(Debug, Clone, Copy)]
pub struct Staff<'a> {
    /// The agent's account on the help desk portal.
    pub account: &'a AccountId,
    /// The reason for the action. Viewing an account requires none.
    pub reason: Option<&'a Reason>,
}

impl Staff<'_> {
    /// Creates an audit event for an action of the agent. `origin` has the portal of the account.
    pub fn audit(
        &self,
        origin: &Origin,
        action: Action,
        rng: &mut (impl Rng + ?Sized),
    ) -> AuditEvent {
        AuditEvent {
            justification: self.reason.map(|r| r.as_str().to_owned()),
            ..AuditEvent::done(origin, Actor::HelpDesk(self.account.clone()), action, rng)
        }
    }

    /// Creates an audit event about an account, with its organization if it has only one.
    pub fn about(
        &self,
        account: &Account,
        origin: &Origin,
        action: Action,
        rng: &mut (impl Rng + ?Sized),
    ) -> AuditEvent {
        let organization = match account.memberships.as_slice() {
            [only] => only.organization.as_ref(),
            _ => None,
        };
        self.audit(origin, action, rng)
            .on(account.id.as_str())
            .for_organization(organization)
    }

    /// Records the agent as the actor of a decision made by another rule.
    pub(crate) fn sign(&self, mut decision: Decision) -> Decision {
        decision.audit.actor = Actor::HelpDesk(self.account.clone());
        decision.audit.justification = self.reason.map(|r| r.as_str().to_owned());
        decision
    }

    /// Creates the decision that records an action that had nothing to change.
    pub(crate) fn unchanged(
        &self,
        account: &Account,
        action: Action,
        context: Context<'_>,
    ) -> (Account, Decision) {
        let audit = self.about(account, context.origin, action, context.rng);
        (account.clone(), Decision::recording(audit))
    }

    /// Creates the decision that changes an account and notifies its owner.
    pub(crate) fn change(
        &self,
        account: &Account,
        after: Account,
        action: Action,
        act: HelpDeskAct,
        context: Context<'_>,
    ) -> (Account, Decision) {
        let Context { origin, rng, .. } = context;
        let text = MailText::HelpDeskActed { act };
        let decision = Decision::recording(self.about(account, origin, action, rng))
            .update(account, after.clone())
            .send([mail(account, origin.at, text, rng)]);
        (after, decision)
    }
}

/// The account that an action is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub account: &'a Account,
    /// The organization that the request names. An administrator's requests name their own.
    pub named: Option<&'a OrganizationId>,
    /// The organizations that the account belongs to.
    pub organizations: &'a [Organization],
    /// The administrators of the named organization who can act, if the account is one of them or they
    /// are notified.
    pub managers: &'a [Manager],
}

impl<'a> Target<'a> {
    /// Returns a user of an administrator's organization.
    pub fn user_of(
        organization: &'a Organization,
        account: &'a Account,
        managers: &'a [Manager],
    ) -> Self {
        Self {
            account,
            named: Some(&organization.id),
            organizations: std::slice::from_ref(organization),
            managers,
        }
    }

    /// Returns the membership that an action is about: the one named, or the only one that matches.
    ///
    /// # Errors
    /// [`Refusal::NotInOrganization`], [`Refusal::WhichOrganization`], or `none` if no membership
    /// matches.
    pub(crate) fn membership(
        &self,
        matches: impl Fn(&Membership) -> bool,
        none: Refusal,
    ) -> Result<&'a Membership, Refusal> {
        if self.named.is_some() {
            let membership = self
                .account
                .membership(self.named)
                .ok_or(Refusal::NotInOrganization)?;
            return if matches(membership) {
                Ok(membership)
            } else {
                Err(none)
            };
        }
        let mut candidates = self.account.memberships.iter().filter(|m| matches(m));
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(none),
            (Some(_), Some(_)) => Err(Refusal::WhichOrganization),
        }
    }

    /// Returns the organization of a membership, if it has one.
    pub(crate) fn organization_of(&self, membership: &Membership) -> Option<&'a Organization> {
        let id = membership.organization.as_ref()?;
        self.organizations.iter().find(|o| o.id == *id)
    }

    /// Returns the id and name of a membership's organization, if it has one.
    pub(crate) fn organization_name(
        &self,
        membership: &Membership,
    ) -> Option<(&'a OrganizationId, &'a str)> {
        self.organization_of(membership)
            .map(|o| (&o.id, o.name.as_str()))
    }

    /// Returns the organization whose invitation an action is about: the one named, or the only one.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn inviting_organization(&self) -> Result<&'a OrganizationId, Refusal> {
        self.require_active()?;
        self.membership(|m| m.organization.is_some(), Refusal::NotInOrganization)?
            .organization
            .as_ref()
            .ok_or(Refusal::NotInOrganization)
    }

    /// Checks that the account is active, so that of the help desk's actions only reinstating and
    /// removing have an effect on a disabled one.
    pub(crate) fn require_active(&self) -> Result<(), Refusal> {
        match self.account.status {
            Status::Active => Ok(()),
            Status::Disabled => Err(Refusal::Disabled),
            Status::Deleted => Err(Refusal::Deleted),
        }
    }
}

/// On whose authority an action is performed.
#[derive(Debug, Clone, Copy)]
pub enum Authority<'a> {
    /// An administrator of the account's organization.
    Administrator(ActingAdministrator<'a>),
    /// The plan's help desk.
    HelpDesk(Staff<'a>),
}

impl Authority<'_> {
    /// Checks that the action is allowed on the account. An administrator needs the permission, and
    /// the account must be active for the help desk.
    pub(crate) fn authorize(
        &self,
        permission: Permission,
        target: Target<'_>,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        match self {
            Self::Administrator(acting) => {
                authorize_user(*acting, permission, target, policy).map(drop)
            }
            Self::HelpDesk(_) => target.require_active(),
        }
    }

    /// Checks that access can be taken away or given back. Administrators need a separate permission
    /// for other administrators (EX-12); the help desk can do it whatever the person's role.
    pub(crate) fn authorize_removal(
        &self,
        permission: Permission,
        target: Target<'_>,
        policy: &Policy,
    ) -> Result<(), Refusal> {
        match self {
            Self::Administrator(acting) => {
                let membership = authorize_user(*acting, permission, target, policy)?;
                Ok(authorize_removal(*acting, membership, policy)?)
            }
            Self::HelpDesk(_) if target.account.status == Status::Deleted => Err(Refusal::Deleted),
            Self::HelpDesk(_) => Ok(()),
        }
    }

    /// Creates an audit event about an account, for the organization of `membership` if it is about
    /// only one.
    pub(crate) fn audit(
        &self,
        account: &Account,
        membership: Option<&Membership>,
        action: Action,
        context: &mut Context<'_>,
    ) -> AuditEvent {
        let (origin, rng) = (context.origin, &mut *context.rng);
        match (self, membership) {
            (Self::Administrator(acting), _) => {
                acting.audit(origin, action, rng).on(account.id.as_str())
            }
            (Self::HelpDesk(staff), None) => staff.about(account, origin, action, rng),
            (Self::HelpDesk(staff), Some(membership)) => staff
                .audit(origin, action, rng)
                .on(account.id.as_str())
                .for_organization(membership.organization.as_ref()),
        }
    }

    /// Returns the text that notifies the user: a change of access in the administrator's organization,
    /// or the help desk's action. `None` if there is none.
    pub(crate) fn notice(
        &self,
        organization: Option<&Organization>,
        change: AccessChange,
        act: Option<HelpDeskAct>,
    ) -> Option<MailText> {
        match self {
            Self::Administrator(_) => organization.map(|o| MailText::AccessChanged {
                organization: o.name.clone(),
                change,
            }),
            Self::HelpDesk(_) => act.map(|act| MailText::HelpDeskActed { act }),
        }
    }

    /// Returns the name under which a policy allows reissuing PINs and codes.
    pub(crate) const fn reissuer(&self) -> Reissuer {
        match self {
            Self::Administrator(_) => Reissuer::Administrator,
            Self::HelpDesk(_) => Reissuer::HelpDesk,
        }
    }
}

/// Returns the user's membership in the administrator's organization.
fn authorize_user<'t>(
    acting: ActingAdministrator<'_>,
    permission: Permission,
    target: Target<'t>,
    policy: &Policy,
) -> Result<&'t Membership, Refusal> {
    let own = target
        .organizations
        .iter()
        .find(|o| Some(&o.id) == target.named)
        .ok_or(Refusal::Unknown)?;
    Ok(authorize_on(
        acting,
        permission,
        own,
        target.account,
        policy,
    )?)
}
