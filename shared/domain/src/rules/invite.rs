//! Invitations (AG-01, AG-05, AG-08, UX-01).

use jiff::Timestamp;
use jiff::civil::Date;
use rand::Rng;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{Mail, MailText, Message, mail};
use crate::policy::{Permission, Policy, Role};
use crate::rules::acting::ActingAdministrator;
use crate::rules::manage_users;
use crate::rules::register::{Applicant, MAX_ORGANIZATIONS, Registered, further_text};
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::invitation::{Invitation, InvitationStatus, State};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::state::session::Token;
use crate::values::ids::MessageId;
use crate::values::text::{Email, PersonName};

/// Why something about an invitation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The person isn't allowed to.
    NotAllowed,
    /// The portal's people don't come in by invitation.
    UnsupportedOnPortal,
    /// The address has a pending one: send that again instead (UX-01).
    AlreadyInvited,
    /// The person it was for has registered.
    AlreadyAccepted,
    /// An administrator took it back.
    Revoked,
    /// Its time is over.
    Expired,
    /// The person was removed from the organization; not everybody can invite them again (AG-10).
    PreviouslyRemoved,
    /// The last day of the access would be over already (UX-07).
    EndsInPast,
    /// A principal's access has no end (UX-07).
    PrincipalsStay,
    /// It was sent to another address (UX-01).
    OtherAddress,
    /// The account belongs to as many organizations as one can.
    TooMany,
    /// There is no such invitation, or a newer link has been sent (AG-01).
    Unknown,
}

impl Refusal {
    /// As it stands on the audit trail.
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

/// Checks that an invitation can be used with this token now.
///
/// # Errors
/// [`Refusal`] saying why not.
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

/// Writes the email that carries an invitation.
fn carry(
    invitation: &Invitation,
    token: &Token,
    policy: &Policy,
    at: Timestamp,
    rng: &mut impl Rng,
) -> Message {
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

/// Whom to invite, to what.
#[derive(Debug, Clone)]
pub struct Invitee {
    /// The person.
    pub name: PersonName,
    /// The only address that can use the invitation.
    pub email: Email,
    /// What the person will be.
    pub role: Role,
    /// The last day of their access, if it ends (UX-07).
    pub end_date: Option<Date>,
}

/// The rule for last days, in the words of invitations.
fn check_end(
    end_date: Option<Date>,
    role: Role,
    policy: &Policy,
    origin: &Origin,
) -> Result<(), Refusal> {
    manage_users::check_end(end_date, role, policy, origin).map_err(|refusal| match refusal {
        manage_users::Refusal::PrincipalsStay => Refusal::PrincipalsStay,
        _ => Refusal::EndsInPast,
    })
}

/// Invites somebody to the organization (AG-05).
///
/// `existing` is the organization's invitation to this address, if there ever was one: a pending
/// one is not doubled, an old one is replaced. `former` says whether the address is that of a user
/// who was removed; only some may invite such a person again (AG-10).
///
/// # Errors
/// [`Refusal`].
#[allow(clippy::too_many_arguments)]
pub fn invite(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    existing: Option<&Invitation>,
    former: bool,
    invitee: Invitee,
    token: &Token,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Invitation, Decision), Refusal> {
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
        // Who registered with it is a user, unless they were removed since.
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
    .send([carry(&invitation, token, policy, origin.at, rng)]);
    Ok((invitation, decision))
}

/// Sends an invitation again with a new link and a new term; the older link is dead (AG-01).
///
/// # Errors
/// [`Refusal`].
pub fn resend(
    acting: ActingAdministrator<'_>,
    invitation: &Invitation,
    token: &Token,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Invitation, Decision), Refusal> {
    if acting.allowed(Permission::AddUsers, policy) != Some(&invitation.organization) {
        return Err(Refusal::NotAllowed);
    }
    let audit = acting.audit(origin, Action::ResendInvitation, rng);
    send_again(invitation, token, audit, policy, origin, rng)
}

/// The same, for who may: `audit` names them.
pub(crate) fn send_again(
    invitation: &Invitation,
    token: &Token,
    audit: AuditEvent,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Invitation, Decision), Refusal> {
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
        .send([carry(&after, token, policy, origin.at, rng)]);
    Ok((after, decision))
}

/// Takes an invitation back (UX-01). Taking it back twice is taking it back.
///
/// # Errors
/// [`Refusal`].
pub fn revoke(
    acting: ActingAdministrator<'_>,
    invitation: &Invitation,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Option<Decision>, Refusal> {
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

/// Registers the invited person; the administrator is told, and approves where the portal says so
/// (AG-08). Until then the person has no access.
///
/// # Errors
/// [`Refusal`].
pub fn accept(
    invitation: &Invitation,
    token: &Token,
    applicant: Applicant,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Registered, Refusal> {
    let now = origin.at;
    let membership = place(invitation, token, &applicant.email, policy, now)?;
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
    let decision = taken_up(invitation, &account, policy, origin, rng)
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send([welcome]);
    Ok(Registered { account, decision })
}

/// Gives an invited person who has an account already a place in the organization: one login, several
/// organizations (BL-01). As with [`accept`], the administrator is told and may have to approve.
///
/// # Errors
/// [`Refusal`].
pub fn accept_as(
    invitation: &Invitation,
    token: &Token,
    account: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<Registered, Refusal> {
    let now = origin.at;
    let membership = place(invitation, token, &account.email, policy, now)?;
    if account.membership(Some(&invitation.organization)).is_some() {
        return Err(Refusal::AlreadyAccepted);
    }
    if account.memberships.len() >= MAX_ORGANIZATIONS {
        return Err(Refusal::TooMany);
    }
    let name = invitation.organization_name.clone();
    let says = further_text(name, &membership, policy, now);
    let notice = mail(account, now, says, rng);
    let mut after = account.clone();
    after.memberships.push(membership);
    let decision = taken_up(invitation, account, policy, origin, rng)
        .update(account, after.clone())
        .send([notice]);
    Ok(Registered {
        account: after,
        decision,
    })
}

/// Revokes an invitation.
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

/// Returns the membership that an invitation gives to the owner of an address, if they can use it now.
fn place(
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
        ..Membership::joined(organization, invitation.role, pending_step, now)
    })
}

/// Marks an invitation as accepted by an account and notifies the administrator who sent it.
fn taken_up(
    invitation: &Invitation,
    account: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Decision {
    let accepted = Invitation {
        state: State::Accepted {
            account: account.id.clone(),
        },
        ..invitation.clone()
    };
    let told = Message::Mail(Mail {
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
        .send([told])
}

fn awaits_approval(policy: &Policy) -> bool {
    policy.staff.as_ref().is_some_and(|s| s.approval)
}
