//! Accepting an invitation, with a new account or an existing one (AG-01, AG-08, BL-01, SE-02).

use jiff::Timestamp;
use jiff::civil::Date;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{MailText, Message, mail};
use crate::policy::{Permission, Policy, Role};
use crate::rules::context::Context;
use crate::rules::follow_up::email_to_manager;
use crate::rules::invite::{Refusal, usable};
use crate::rules::register::{
    Applicant, MAX_ORGANIZATIONS, Registered, additional_organization_text,
};
use crate::rules::schedule::MAX_NOTIFIED;
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::follow_up::Manager;
use crate::state::invitation::{Invitation, InvitationStatus, State};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::state::session::Token;
use crate::values::ids::OrganizationId;
use crate::values::text::Email;

/// What an invitation or a registration code is worth at this moment (SE-02).
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The organization, if it exists.
    pub organization: Option<Organization>,
    /// The account of the person who last sent it.
    pub inviter: Option<Account>,
    /// Whether the mailbox of the address belongs to a user who was removed (AG-10).
    pub is_former_user: bool,
    /// The administrators who can act for the organization.
    pub managers: Vec<Manager>,
}

impl Standing {
    /// Checks that the organization has not ended, and that the inviter could send the same
    /// invitation now.
    ///
    /// # Errors
    /// [`Refusal::WithoutStanding`].
    pub fn check(
        &self,
        invitation: &Invitation,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if self.can_give(&invitation.organization, invitation.role, policy, now) {
            Ok(())
        } else {
            Err(Refusal::WithoutStanding)
        }
    }

    /// Returns the status of the invitation, as it would be decided if it were accepted now.
    pub fn status(
        &self,
        invitation: &Invitation,
        policy: &Policy,
        now: Timestamp,
    ) -> InvitationStatus {
        match invitation.status(now) {
            InvitationStatus::Pending if self.check(invitation, policy, now).is_err() => {
                InvitationStatus::Suspended
            }
            status => status,
        }
    }

    /// Returns whether the inviter could give a role in the organization now.
    pub fn can_give(
        &self,
        organization: &OrganizationId,
        given: Role,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        let is_live = self
            .organization
            .as_ref()
            .is_some_and(|o| o.ended_at.is_none());
        let today = policy.today(now);
        let role = self
            .inviter
            .as_ref()
            .and_then(|inviter| standing_of(inviter, organization, today))
            .map(|membership| membership.role);
        let can_invite = role.is_some_and(|role| {
            policy.allows(role, Permission::AddUsers)
                && policy.grants(role, given)
                && (!self.is_former_user || policy.allows(role, Permission::InviteDeleted))
        });
        is_live && can_invite
    }

    /// Returns the emails to the current administrators. If the person has to be approved, only
    /// those who may approve are notified (AG-08).
    fn notices(
        &self,
        invitation: &Invitation,
        account: &Account,
        context: Context<'_>,
    ) -> Vec<Message> {
        let Context {
            policy,
            origin,
            rng,
        } = context;
        let awaits_approval = awaits_approval(policy);
        let is_concerned =
            |m: &&Manager| !awaits_approval || policy.allows(m.role, Permission::ApproveUsers);
        let notice = |manager: &Manager| {
            let text = MailText::InvitedPersonRegistered {
                organization: invitation.organization_name.clone(),
                inviter: Some(invitation.inviter.clone())
                    .filter(|_| manager.account != invitation.invited_by),
                person: account.name.full(),
                username: account.username.to_string(),
                awaits_approval,
            };
            email_to_manager(manager, origin, text, rng)
        };
        let concerned = self.managers.iter().filter(is_concerned);
        concerned.take(MAX_NOTIFIED).map(notice).collect()
    }
}

/// Returns the inviter's membership in the organization if it gives access now.
fn standing_of<'a>(
    inviter: &'a Account,
    organization: &OrganizationId,
    today: Date,
) -> Option<&'a Membership> {
    inviter
        .membership(Some(organization))
        .filter(|m| inviter.is_usable(today) && !m.is_over(today))
        .filter(|m| m.pending_step == PendingStep::Open)
}

/// Registers the invited person and notifies the organization's administrators. If the portal
/// requires approval, the person has no access until an administrator approves them (AG-08).
pub fn accept(
    invitation: &Invitation,
    standing: &Standing,
    token: &Token,
    applicant: Applicant,
    mut context: Context<'_>,
) -> Result<Registered, Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let now = origin.at;
    let membership = membership_for((invitation, standing), token, &applicant.email, policy, now)?;
    let account = applicant.into_account(membership, policy, now);
    let welcome = mail(
        &account,
        now,
        MailText::Registered {
            username: account.username.to_string(),
            pin_letter_by: None,
            agreement: None,
        },
        context.rng,
    );
    let context = context.reborrow();
    let decision = acceptance(invitation, standing, &account, context)
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send([welcome]);
    Ok(Registered { account, decision })
}

/// Adds an invited person who already has an account to the organization: one login, several
/// organizations (BL-01). The notices and approval are those of [`accept`].
pub fn accept_as(
    invitation: &Invitation,
    standing: &Standing,
    token: &Token,
    account: &Account,
    mut context: Context<'_>,
) -> Result<Registered, Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let now = origin.at;
    let membership = membership_for((invitation, standing), token, &account.email, policy, now)?;
    if account.membership(Some(&invitation.organization)).is_some() {
        return Err(Refusal::AlreadyAccepted);
    }
    if account.memberships.len() >= MAX_ORGANIZATIONS {
        return Err(Refusal::TooMany);
    }
    let name = invitation.organization_name.clone();
    let text = additional_organization_text(name, &membership, policy, now);
    let notice = mail(account, now, text, context.rng);
    let mut after = account.clone();
    after.memberships.push(membership);
    let context = context.reborrow();
    let decision = acceptance(invitation, standing, account, context)
        .update(account, after.clone())
        .send([notice]);
    Ok(Registered {
        account: after,
        decision,
    })
}

/// Checks the invitation and returns the membership that it gives to the owner of an address.
fn membership_for(
    (invitation, standing): (&Invitation, &Standing),
    token: &Token,
    email: &Email,
    policy: &Policy,
    now: Timestamp,
) -> Result<Membership, Refusal> {
    usable(invitation, token, now)?;
    standing.check(invitation, policy, now)?;
    if email.key() != invitation.email.key() {
        return Err(Refusal::OtherAddress);
    }
    let pending_step = if awaits_approval(policy) {
        PendingStep::Approval
    } else {
        PendingStep::Open
    };
    let organization = invitation.organization.clone();
    Ok(Membership {
        end_date: invitation.end_date,
        granted_by: policy
            .approval_by_another()
            .then(|| invitation.chosen_by().clone()),
        ..Membership::joined(organization, invitation.role, pending_step, now)
    })
}

/// Creates the decision that marks an invitation as accepted and notifies the current
/// administrators (SE-02).
fn acceptance(
    invitation: &Invitation,
    standing: &Standing,
    account: &Account,
    mut context: Context<'_>,
) -> Decision {
    let origin = context.origin;
    let accepted = Invitation {
        state: State::Accepted {
            account: account.id.clone(),
        },
        ..invitation.clone()
    };
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::AcceptInvitation,
        context.rng,
    )
    .on(invitation.id.as_str())
    .for_organization(Some(&invitation.organization));
    let notices = standing.notices(invitation, account, context.reborrow());
    Decision::recording(audit)
        .change(Change::SaveInvitation {
            before: Some(Box::new(invitation.clone())),
            after: Box::new(accepted),
        })
        .send(notices)
}

fn awaits_approval(policy: &Policy) -> bool {
    policy.staff.as_ref().is_some_and(|s| s.approval)
}
