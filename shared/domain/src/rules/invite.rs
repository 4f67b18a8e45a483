//! Invitations (AG-01, AG-05, AG-08, UX-01).

use jiff::Timestamp;
use jiff::civil::Date;
use strum::IntoStaticStr;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{Mail, MailText, Message};
use crate::policy::{Permission, Policy, Role};
use crate::rules::access_terms::{InvalidTerms, check_end};
use crate::rules::acting::ActingAdministrator;
use crate::rules::context::Context;
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, AuditEvent};
use crate::state::invitation::{Invitation, InvitationStatus, State};
use crate::state::organization::Organization;
use crate::state::session::Token;
use crate::values::ids::{InvitationId, MessageId};
use crate::values::text::{Email, PersonName};

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Refusal {
    /// The person lacks the permission.
    NotAllowed,
    /// The portal doesn't use invitations.
    UnsupportedOnPortal,
    /// The address already has a pending invitation, which can be resent (UX-01).
    AlreadyInvited,
    /// The invited person has registered.
    AlreadyAccepted,
    Revoked,
    Expired,
    /// The person was removed from the organization, and the administrator isn't allowed to invite
    /// them again (AG-10).
    PreviouslyRemoved,
    /// The end date of the access has passed (UX-07).
    EndsInPast,
    /// A principal's access can't have an end date (UX-07).
    PrincipalsStay,
    /// The invitation was sent to a different email address (UX-01).
    OtherAddress,
    /// The account has reached the maximum number of organizations.
    #[strum(serialize = "too_many_organizations")]
    TooMany,
    /// There is no such invitation, or a newer link was sent (AG-01).
    Unknown,
    /// The person who sent the invitation can no longer invite to this role, or the organization
    /// has ended (SE-02).
    #[strum(serialize = "inviter_without_standing")]
    WithoutStanding,
}

/// Checks that the token is valid for the invitation now.
pub fn usable(invitation: &Invitation, token: &Token, now: Timestamp) -> Result<(), Refusal> {
    if invitation.token != token.digest() {
        return Err(Refusal::Unknown);
    }
    match invitation.status(now) {
        InvitationStatus::Pending => Ok(()),
        InvitationStatus::Suspended => Err(Refusal::WithoutStanding),
        InvitationStatus::Expired => Err(Refusal::Expired),
        InvitationStatus::Accepted => Err(Refusal::AlreadyAccepted),
        InvitationStatus::Revoked => Err(Refusal::Revoked),
    }
}

/// Creates the email with the invitation's link.
fn invitation_email(invitation: &Invitation, token: &Token, context: Context<'_>) -> Message {
    let at = context.now();
    let Context { policy, rng, .. } = context;
    Message::Mail(Mail {
        id: MessageId::random(rng),
        portal: invitation.portal.clone(),
        to: invitation.email.clone(),
        greeting: invitation.name.full(),
        at,
        text: MailText::Invitation {
            organization: invitation.organization_name.clone(),
            inviter: invitation.inviter.clone(),
            role: policy.role_title(invitation.role).to_owned(),
            token: token.expose(),
            expires_on: policy.last_day(invitation.expires_at),
        },
    })
}

/// The person to invite, and the access to give.
#[derive(Debug, Clone)]
pub struct Invitee {
    pub name: PersonName,
    /// The only address that can use the invitation.
    pub email: Email,
    /// The role that the person will have.
    pub role: Role,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
}

impl From<InvalidTerms> for Refusal {
    fn from(terms: InvalidTerms) -> Self {
        match terms {
            InvalidTerms::PrincipalsStay => Self::PrincipalsStay,
            _ => Self::EndsInPast,
        }
    }
}

/// The organization's earlier relations with an email address.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    /// The id of every invitation of the organization to the address.
    pub id: &'a InvitationId,
    /// The earlier invitation to the address. A pending one is a refusal; any other is replaced.
    pub invitation: Option<&'a Invitation>,
    /// The account that accepted that invitation.
    pub accepted_by: Option<&'a Account>,
    /// Whether the mailbox of the address belongs to a user who was removed, whom only some
    /// administrators can invite again (AG-10). Addresses of one mailbox differ only in their tag.
    pub is_former_user: bool,
}

impl History<'_> {
    /// Returns whether the person who accepted the earlier invitation was removed since, or an error
    /// if the person still uses the address in the organization. A user who changed the address has
    /// released it.
    fn was_removed(&self, invitation: &Invitation) -> Result<bool, Refusal> {
        let user = self.accepted_by.filter(|account| {
            account.status != Status::Deleted
                && account.membership(Some(&invitation.organization)).is_some()
        });
        match user {
            Some(account) if account.email.key() == invitation.email.key() => {
                Err(Refusal::AlreadyAccepted)
            }
            Some(_) => Ok(false),
            None => Ok(true),
        }
    }
}

/// Invites a person to the organization (AG-05).
pub fn invite(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    history: History<'_>,
    invitee: Invitee,
    token: &Token,
    mut context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let existing = history.invitation;
    let valid_days = policy
        .staff
        .as_ref()
        .and_then(|s| s.invitation_valid_days)
        .ok_or(Refusal::UnsupportedOnPortal)?;
    let allowed = acting.allowed(Permission::AddUsers, policy) == Some(&organization.id);
    if !allowed || !policy.grants(acting.membership.role, invitee.role) {
        return Err(Refusal::NotAllowed);
    }
    check_end(invitee.end_date, invitee.role, policy, origin)?;
    let was_removed = match existing.map(|i| (i, i.status(origin.at))) {
        Some((_, InvitationStatus::Pending)) => return Err(Refusal::AlreadyInvited),
        Some((accepted, InvitationStatus::Accepted)) => history.was_removed(accepted)?,
        _ => false,
    };
    require_return(acting, history.is_former_user || was_removed, policy)?;
    let invitation = Invitation {
        id: history.id.clone(),
        version: existing.map_or(0, |i| i.version),
        portal: policy.portal.clone(),
        organization: organization.id.clone(),
        organization_name: organization.name.clone(),
        name: invitee.name,
        email: invitee.email,
        role: invitee.role,
        end_date: invitee.end_date,
        invited_by: acting.account.id.clone(),
        first_invited_by: None,
        inviter: acting.account.name.full(),
        token: token.digest(),
        sent_at: origin.at,
        sent: 1,
        expires_at: policy
            .valid_until_at_most(origin.at, valid_days.get(), invitee.end_date)
            .1,
        state: State::Pending,
    };
    let decision = Decision::recording(
        acting
            .audit(origin, Action::Invite, context.rng)
            .on(invitation.id.as_str()),
    )
    .change(Change::SaveInvitation {
        before: existing.cloned().map(Box::new),
        after: Box::new(invitation.clone()),
    })
    .send([invitation_email(&invitation, token, context.reborrow())]);
    Ok((invitation, decision))
}

/// Checks that the administrator can invite a user who was removed (AG-10).
fn require_return(
    acting: ActingAdministrator<'_>,
    is_former_user: bool,
    policy: &Policy,
) -> Result<(), Refusal> {
    if is_former_user && acting.allowed(Permission::InviteDeleted, policy).is_none() {
        return Err(Refusal::PreviouslyRemoved);
    }
    Ok(())
}

/// Returns the invitation as the administrator would send it. A person who resends an invitation becomes its
/// inviter, so the same rights are required as for a new one (SE-02).
pub(crate) fn vouched_for(
    acting: ActingAdministrator<'_>,
    invitation: &Invitation,
    is_former_user: bool,
    policy: &Policy,
) -> Result<Invitation, Refusal> {
    let allowed = acting.allowed(Permission::AddUsers, policy) == Some(&invitation.organization);
    if !allowed || !policy.grants(acting.membership.role, invitation.role) {
        return Err(Refusal::NotAllowed);
    }
    require_return(acting, is_former_user, policy)?;
    let chosen_by = invitation.chosen_by();
    Ok(Invitation {
        first_invited_by: (*chosen_by != acting.account.id).then(|| chosen_by.clone()),
        invited_by: acting.account.id.clone(),
        inviter: acting.account.name.full(),
        ..invitation.clone()
    })
}

/// Resends an invitation on behalf of the actor in `audit`, whose permission the caller has
/// checked. `invitation` is the invitation before and after.
pub(crate) fn send_again(
    (invitation, resent): (&Invitation, Invitation),
    token: &Token,
    audit: AuditEvent,
    mut context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let valid_days = policy
        .staff
        .as_ref()
        .and_then(|s| s.invitation_valid_days)
        .ok_or(Refusal::UnsupportedOnPortal)?;
    match invitation.status(origin.at) {
        InvitationStatus::Accepted => return Err(Refusal::AlreadyAccepted),
        InvitationStatus::Revoked => return Err(Refusal::Revoked),
        InvitationStatus::Pending | InvitationStatus::Suspended | InvitationStatus::Expired => {}
    }
    check_end(invitation.end_date, invitation.role, policy, origin)?;
    let after = Invitation {
        token: token.digest(),
        sent_at: origin.at,
        sent: invitation.sent + 1,
        expires_at: policy
            .valid_until_at_most(origin.at, valid_days.get(), invitation.end_date)
            .1,
        ..resent
    };
    let decision = Decision::recording(audit.on(after.id.as_str()))
        .change(Change::SaveInvitation {
            before: Some(Box::new(invitation.clone())),
            after: Box::new(after.clone()),
        })
        .send([invitation_email(&after, token, context.reborrow())]);
    Ok((after, decision))
}

/// Revokes an invitation (UX-01). Returns `None` if it is already revoked.
pub fn revoke(
    acting: ActingAdministrator<'_>,
    invitation: &Invitation,
    context: Context<'_>,
) -> Result<Option<Decision>, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    if acting.allowed(Permission::AddUsers, policy) != Some(&invitation.organization) {
        return Err(Refusal::NotAllowed);
    }
    match invitation.state {
        State::Accepted { .. } => Err(Refusal::AlreadyAccepted),
        State::Revoked => Ok(None),
        State::Pending => {
            let audit = acting.audit(origin, Action::RevokeInvitation, rng);
            Ok(Some(revoked(invitation, audit)))
        }
    }
}

/// Creates the decision that revokes an invitation.
pub(crate) fn revoked(invitation: &Invitation, audit: AuditEvent) -> Decision {
    let after = Invitation {
        state: State::Revoked,
        ..invitation.clone()
    };
    Decision::recording(audit.on(invitation.id.as_str())).change(Change::SaveInvitation {
        before: Some(Box::new(invitation.clone())),
        after: Box::new(after),
    })
}
