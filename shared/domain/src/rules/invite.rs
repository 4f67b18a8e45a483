//! Invitations (AG-01, AG-05, AG-08, UX-01).

use jiff::Timestamp;
use jiff::civil::Date;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{Mail, MailText, Message, mail};
use crate::policy::{Permission, Policy, Role};
use crate::rules::access_terms::{InvalidTerms, check_end};
use crate::rules::acting::ActingAdministrator;
use crate::rules::context::Context;
use crate::rules::register::{Applicant, MAX_ORGANIZATIONS, Registered, further_text};
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::invitation::{Invitation, InvitationStatus, State};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::state::session::Token;
use crate::values::ids::MessageId;
use crate::values::text::{Email, PersonName};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    TooMany,
    /// There is no such invitation, or a newer link was sent (AG-01).
    Unknown,
}

impl Refusal {
    /// Returns the reason recorded on the audit trail.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::UnsupportedOnPortal => "unsupported_on_portal",
            Self::AlreadyInvited => "already_invited",
            Self::AlreadyAccepted => "already_accepted",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::PreviouslyRemoved => "previously_removed",
            Self::EndsInPast => "ends_in_past",
            Self::PrincipalsStay => "principals_stay",
            Self::OtherAddress => "other_address",
            Self::TooMany => "too_many_organizations",
            Self::Unknown => "unknown",
        }
    }
}

/// Checks that the token is valid for the invitation now.
pub fn usable(invitation: &Invitation, token: &Token, now: Timestamp) -> Result<(), Refusal> {
    if invitation.token != token.digest() {
        return Err(Refusal::Unknown);
    }
    match invitation.status(now) {
        InvitationStatus::Pending => Ok(()),
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
        says: MailText::Invitation {
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
#[derive(Debug, Clone, Copy, Default)]
pub struct History<'a> {
    /// The earlier invitation to the address. A pending one is a refusal; any other is replaced.
    pub invitation: Option<&'a Invitation>,
    /// Whether the address belongs to a user who was removed, whom only some administrators can
    /// invite again (AG-10).
    pub is_former_user: bool,
}

/// Invites a person to the organization (AG-05).
pub fn invite(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    history: History<'_>,
    invitee: Invitee,
    token: &Token,
    context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let History {
        invitation: existing,
        is_former_user: former,
    } = history;
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
    match existing.map(|i| i.status(origin.at)) {
        Some(InvitationStatus::Pending) => return Err(Refusal::AlreadyInvited),
        // A person who accepted is a user, unless they have been removed since.
        Some(InvitationStatus::Accepted) if !former => return Err(Refusal::AlreadyAccepted),
        _ => {}
    }
    if former && acting.allowed(Permission::InviteDeleted, policy).is_none() {
        return Err(Refusal::PreviouslyRemoved);
    }
    let invitation = Invitation {
        id: Invitation::natural_id(&organization.id, &invitee.email),
        version: existing.map_or(0, |i| i.version),
        portal: policy.portal.clone(),
        organization: organization.id.clone(),
        organization_name: organization.name.clone(),
        name: invitee.name,
        email: invitee.email,
        role: invitee.role,
        end_date: invitee.end_date,
        invited_by: acting.account.id.clone(),
        inviter: acting.account.name.full(),
        inviter_email: acting.account.email.clone(),
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
            .audit(origin, Action::Invite, rng)
            .on(invitation.id.as_str()),
    )
    .change(Change::SaveInvitation {
        before: existing.cloned().map(Box::new),
        after: Box::new(invitation.clone()),
    })
    .send([invitation_email(
        &invitation,
        token,
        Context::new(policy, origin, rng),
    )]);
    Ok((invitation, decision))
}

/// Resends an invitation on behalf of the actor in `audit`, whose permission the caller has
/// checked.
pub(crate) fn send_again(
    invitation: &Invitation,
    token: &Token,
    audit: AuditEvent,
    context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let valid_days = policy
        .staff
        .as_ref()
        .and_then(|s| s.invitation_valid_days)
        .ok_or(Refusal::UnsupportedOnPortal)?;
    match invitation.status(origin.at) {
        InvitationStatus::Accepted => return Err(Refusal::AlreadyAccepted),
        InvitationStatus::Revoked => return Err(Refusal::Revoked),
        InvitationStatus::Pending | InvitationStatus::Expired => {}
    }
    check_end(invitation.end_date, invitation.role, policy, origin)?;
    let after = Invitation {
        token: token.digest(),
        sent_at: origin.at,
        sent: invitation.sent + 1,
        expires_at: policy
            .valid_until_at_most(origin.at, valid_days.get(), invitation.end_date)
            .1,
        ..invitation.clone()
    };
    let decision = Decision::recording(audit.on(after.id.as_str()))
        .change(Change::SaveInvitation {
            before: Some(Box::new(invitation.clone())),
            after: Box::new(after.clone()),
        })
        .send([invitation_email(
            &after,
            token,
            Context::new(policy, origin, rng),
        )]);
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

/// Registers the invited person and notifies the administrator who sent the invitation. If the
/// portal requires approval, the person has no access until an administrator approves them (AG-08).
pub fn accept(
    invitation: &Invitation,
    token: &Token,
    applicant: Applicant,
    context: Context<'_>,
) -> Result<Registered, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let membership = membership_for(invitation, token, &applicant.email, policy, now)?;
    let account = applicant.into_account(membership, policy, now);
    let welcome = mail(
        &account,
        now,
        MailText::Registered {
            username: account.username.to_string(),
            pin_letter_by: None,
            agreement: None,
        },
        rng,
    );
    let decision = acceptance(invitation, &account, Context::new(policy, origin, rng))
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send([welcome]);
    Ok(Registered { account, decision })
}

/// Adds an invited person who already has an account to the organization: one login, several
/// organizations (BL-01). The notice and approval are those of [`accept`].
pub fn accept_as(
    invitation: &Invitation,
    token: &Token,
    account: &Account,
    context: Context<'_>,
) -> Result<Registered, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let membership = membership_for(invitation, token, &account.email, policy, now)?;
    if account.membership(Some(&invitation.organization)).is_some() {
        return Err(Refusal::AlreadyAccepted);
    }
    if account.memberships.len() >= MAX_ORGANIZATIONS {
        return Err(Refusal::TooMany);
    }
    let name = invitation.organization_name.clone();
    let text = further_text(name, &membership, policy, now);
    let notice = mail(account, now, text, rng);
    let mut after = account.clone();
    after.memberships.push(membership);
    let decision = acceptance(invitation, account, Context::new(policy, origin, rng))
        .update(account, after.clone())
        .send([notice]);
    Ok(Registered {
        account: after,
        decision,
    })
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

/// Checks the invitation and returns the membership that it gives to the owner of an address.
fn membership_for(
    invitation: &Invitation,
    token: &Token,
    email: &Email,
    policy: &Policy,
    now: Timestamp,
) -> Result<Membership, Refusal> {
    usable(invitation, token, now)?;
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
            .then(|| invitation.invited_by.clone()),
        ..Membership::joined(organization, invitation.role, pending_step, now)
    })
}

/// Creates the decision that marks an invitation as accepted and notifies the administrator who
/// sent it.
fn acceptance(invitation: &Invitation, account: &Account, context: Context<'_>) -> Decision {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let accepted = Invitation {
        state: State::Accepted {
            account: account.id.clone(),
        },
        ..invitation.clone()
    };
    let notice = Message::Mail(Mail {
        id: MessageId::random(rng),
        portal: policy.portal.clone(),
        to: invitation.inviter_email.clone(),
        greeting: invitation.inviter.clone(),
        at: origin.at,
        says: MailText::InvitedPersonRegistered {
            organization: invitation.organization_name.clone(),
            person: account.name.full(),
            username: account.username.to_string(),
            awaits_approval: awaits_approval(policy),
        },
    });
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::AcceptInvitation,
        rng,
    )
    .on(invitation.id.as_str())
    .for_organization(Some(&invitation.organization));
    Decision::recording(audit)
        .change(Change::SaveInvitation {
            before: Some(Box::new(invitation.clone())),
            after: Box::new(accepted),
        })
        .send([notice])
}

fn awaits_approval(policy: &Policy) -> bool {
    policy.staff.as_ref().is_some_and(|s| s.approval)
}
