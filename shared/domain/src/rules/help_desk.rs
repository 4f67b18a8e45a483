//! What the plan's help desk does for the people of other portals (UX-12): each act names a reason and
//! is recorded under the name of who does it; the person is told what was done, not why.
//!
//! Who of the help desk may is a matter of its own portal's policy; whether something may be done at
//! all is a matter of the policy of the portal that the account belongs to.

use std::collections::BTreeSet;

use rand::{CryptoRng, Rng};
use sha2::{Digest, Sha256};

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{HelpDeskAct, MailText, Message, ResetAsked, mail};
use crate::policy::{ChosenBy, Policy, RecordedBy, Reissuer, Role};
use crate::rules::activate::{self, FreshCode, WithheldLetter};
use crate::rules::invite::{self};
use crate::rules::register::{self, Applicant, Registered};
use crate::rules::{manage_users, recover};
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::invitation::Invitation;
use crate::state::membership::{LetterStatus, Membership, PendingStep, Registration};
use crate::state::organization::{Organization, next_due_on};
use crate::state::session::Token;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::{PostalAddress, Reason, Username};

/// Who of the help desk acts, and why.
#[derive(Debug, Clone, Copy)]
pub struct Staff<'a> {
    /// Their account, on the help desk's portal.
    pub account: &'a AccountId,
    /// Why they act; a look needs no reason.
    pub reason: Option<&'a Reason>,
}

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The account is deleted, which nothing undoes (BA-06).
    Deleted,
    /// It is disabled, and has to be reinstated first.
    Disabled,
    /// The account is nothing in that organization.
    NotInOrganization,
    /// It is something in several organizations, and none was named.
    WhichOrganization,
    /// No PIN or code is waited for.
    ApprovalNotPending,
    /// On this portal the help desk doesn't do this.
    UnsupportedOnPortal,
    /// There is no address to post a letter to.
    NoAddress,
    /// The access is over that a code would open.
    AccessOver,
    /// The account has no password yet: its registration code sets one.
    NoPassword,
    /// Usernames are made by the system and stay (BL-16).
    NameFixed,
    /// The person chooses subscriptions themselves by now (BL-13).
    Activated,
    /// The portal offers no such publication.
    NoSuchPublication,
    /// The organization would have no principal left.
    LastPrincipal,
    /// The same, and others are in it.
    OthersThere,
    /// The account registered with no plan record there.
    NoRecord,
    /// The plan records no such agreement.
    NoSuchAgreement,
    /// What was signed isn't the current revision.
    OtherRevision,
    /// The invitation can't be sent again.
    Invitation(invite::Refusal),
}

impl From<activate::Refusal> for Refusal {
    fn from(refusal: activate::Refusal) -> Self {
        match refusal {
            activate::Refusal::NotYours => Self::UnsupportedOnPortal,
            activate::Refusal::NoAddress => Self::NoAddress,
            activate::Refusal::Expired => Self::AccessOver,
            activate::Refusal::ApprovalNotPending | activate::Refusal::Wrong => {
                Self::ApprovalNotPending
            }
        }
    }
}

impl Staff<'_> {
    /// An entry of the account's portal about what is done here. `origin` is of that portal.
    pub fn audit(&self, origin: &Origin, action: Action, rng: &mut impl Rng) -> AuditEvent {
        AuditEvent {
            justification: self.reason.map(|r| r.as_str().to_owned()),
            ..AuditEvent::done(origin, Actor::HelpDesk(self.account.clone()), action, rng)
        }
    }

    /// The same about an account, and for its organization where it has one.
    pub fn about(
        &self,
        account: &Account,
        origin: &Origin,
        action: Action,
        rng: &mut impl Rng,
    ) -> AuditEvent {
        let organization = match account.memberships.as_slice() {
            [only] => only.organization.as_ref(),
            _ => None,
        };
        self.audit(origin, action, rng)
            .on(account.id.as_str())
            .for_organization(organization)
    }

    /// Puts the help desk's name under what another verb has decided.
    fn sign(&self, mut decision: Decision) -> Decision {
        decision.audit.actor = Actor::HelpDesk(self.account.clone());
        decision.audit.justification = self.reason.map(|r| r.as_str().to_owned());
        decision
    }
}

/// That an account can be acted on: what a deleted one was is over, and a disabled one has to be
/// reinstated first, so that nothing else brings it back to life.
fn alive(account: &Account) -> Result<(), Refusal> {
    match account.status {
        Status::Active => Ok(()),
        Status::Disabled => Err(Refusal::Disabled),
        Status::Deleted => Err(Refusal::Deleted),
    }
}

/// The membership that an act is about: the one named, or the only one that `fits`.
///
/// # Errors
/// [`Refusal::NotInOrganization`], [`Refusal::WhichOrganization`], or `none` where none fits.
fn choose<'a>(
    account: &'a Account,
    named: Option<&OrganizationId>,
    fits: impl Fn(&Membership) -> bool,
    none: Refusal,
) -> Result<&'a Membership, Refusal> {
    if named.is_some() {
        let membership = account
            .membership(named)
            .ok_or(Refusal::NotInOrganization)?;
        return if fits(membership) {
            Ok(membership)
        } else {
            Err(none)
        };
    }
    let mut fitting = account.memberships.iter().filter(|m| fits(m));
    match (fitting.next(), fitting.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(none),
        (Some(_), Some(_)) => Err(Refusal::WhichOrganization),
    }
}

fn tell(account: &Account, act: HelpDeskAct, origin: &Origin, rng: &mut impl Rng) -> Message {
    mail(account, origin.at, MailText::HelpDeskActed { act }, rng)
}

/// Has a new PIN letter posted; the old PIN is dead at once (BL-06, ME-07).
///
/// `organizations` are the account's, `address` tells where a membership's letter goes.
///
/// # Errors
/// [`Refusal`].
#[allow(clippy::too_many_arguments)]
pub fn reissue_pin(
    staff: Staff<'_>,
    account: &Account,
    named: Option<&OrganizationId>,
    organizations: &[Organization],
    fresh: FreshCode,
    address: impl FnOnce(&Membership) -> Option<PostalAddress>,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    let waits = |m: &Membership| matches!(m.pending_step, PendingStep::Pin { .. });
    let membership = choose(account, named, waits, Refusal::ApprovalNotPending)?;
    let organization = name_of(membership, organizations);
    let (after, decision) = activate::reissue_pin(
        account,
        organization,
        Reissuer::HelpDesk,
        fresh,
        address(membership),
        policy,
        origin,
        rng,
    )?;
    Ok((after, staff.sign(decision)))
}

fn name_of<'a>(
    membership: &'a Membership,
    organizations: &'a [Organization],
) -> Option<(&'a OrganizationId, &'a str)> {
    let id = membership.organization.as_ref()?;
    let organization = organizations.iter().find(|o| o.id == *id)?;
    Some((id, organization.name.as_str()))
}

/// Sends a new registration code; the old one is dead at once (BL-09).
///
/// # Errors
/// [`Refusal`].
#[allow(clippy::too_many_arguments)]
pub fn reissue_code(
    staff: Staff<'_>,
    account: &Account,
    named: Option<&OrganizationId>,
    organizations: &[Organization],
    fresh: FreshCode,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    let waits = |m: &Membership| matches!(m.pending_step, PendingStep::RegistrationCode { .. });
    let membership = choose(account, named, waits, Refusal::ApprovalNotPending)?;
    let organization = name_of(membership, organizations).ok_or(Refusal::NotInOrganization)?;
    let audit = staff
        .audit(origin, Action::ReissueRegistrationCode, rng)
        .on(account.id.as_str())
        .for_organization(Some(organization.0));
    Ok(activate::reissue_code(
        account,
        organization,
        Reissuer::HelpDesk,
        fresh,
        policy,
        audit,
        rng,
    )?)
}

/// Mails a link with which the owner sets a new password, to the address on record and nowhere else
/// (BL-14, BL-15: it tells the username too).
///
/// # Errors
/// [`Refusal`]; nothing brings a disabled or deleted account back this way.
pub fn start_reset(
    staff: Staff<'_>,
    account: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl CryptoRng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    let (after, link) = recover::link(account, ResetAsked::ByHelpDesk, policy, origin, rng)
        .ok_or(Refusal::NoPassword)?;
    let audit = staff.about(account, origin, Action::AskPasswordReset, rng);
    let decision = Decision::recording(audit)
        .update(account, after)
        .send([link]);
    Ok((account.clone(), decision))
}

/// Clears the counts of wrong guesses, so that the owner can try again at once.
///
/// # Errors
/// [`Refusal`].
pub fn unlock(
    staff: Staff<'_>,
    account: &Account,
    counters: Vec<AttemptKey>,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    let audit = staff.about(account, origin, Action::UnlockUser, rng);
    let told = tell(account, HelpDeskAct::Unlocked, origin, rng);
    let decision = counters
        .into_iter()
        .map(Change::ForgetAttempts)
        .fold(Decision::recording(audit), Decision::change)
        .send([told]);
    Ok((account.clone(), decision))
}

/// Reinstates a disabled account (BA-06). Who is active already stays so, and isn't told again.
///
/// # Errors
/// [`Refusal::Deleted`]: what is deleted is not reinstated.
pub fn reinstate(
    staff: Staff<'_>,
    account: &Account,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    let audit = staff.about(account, origin, Action::ReinstateUser, rng);
    match account.status {
        Status::Deleted => Err(Refusal::Deleted),
        Status::Active => Ok((account.clone(), Decision::recording(audit))),
        Status::Disabled => {
            let mut after = account.clone();
            after.reinstate(origin.at);
            let told = tell(account, HelpDeskAct::Reinstated, origin, rng);
            Ok(changed(account, after, audit, told))
        }
    }
}

/// The account after a change, and the decision that makes it, audited and told to its owner.
fn changed(
    before: &Account,
    after: Account,
    audit: AuditEvent,
    told: Message,
) -> (Account, Decision) {
    let decision = Decision::recording(audit)
        .update(before, after.clone())
        .send([told]);
    (after, decision)
}

/// Gives an account another username, where people choose theirs (ME-09).
///
/// # Errors
/// [`Refusal`]; that somebody has the name is for the store to say.
pub fn rename(
    staff: Staff<'_>,
    account: &Account,
    username: Username,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    if policy.username.chosen_by == ChosenBy::System {
        return Err(Refusal::NameFixed);
    }
    let audit = staff.about(account, origin, Action::RenameUser, rng);
    if account.username == username {
        return Ok((account.clone(), Decision::recording(audit)));
    }
    let mut after = account.clone();
    after.set_username(username, origin.at);
    let act = HelpDeskAct::Renamed {
        username: after.username.to_string(),
    };
    let told = tell(account, act, origin, rng);
    Ok(changed(account, after, audit, told))
}

/// Chooses the e-news of who can't yet, because a PIN or registration code is still to be entered
/// (BL-13).
///
/// # Errors
/// [`Refusal`].
pub fn subscribe(
    staff: Staff<'_>,
    account: &Account,
    subscriptions: BTreeSet<String>,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    if policy.publications.is_empty() {
        return Err(Refusal::UnsupportedOnPortal);
    }
    let pending = |m: &Membership| m.registration() == Registration::Pending;
    if !account.memberships.iter().any(pending) {
        return Err(Refusal::Activated);
    }
    let offered = |id: &String| policy.publications.iter().any(|p| p.id.as_str() == id);
    if !subscriptions.iter().all(offered) {
        return Err(Refusal::NoSuchPublication);
    }
    let audit = staff.about(account, origin, Action::EditSubscriptions, rng);
    if account.subscriptions == subscriptions {
        return Ok((account.clone(), Decision::recording(audit)));
    }
    let titles = policy
        .publications
        .iter()
        .filter(|p| subscriptions.contains(p.id.as_str()))
        .map(|p| p.title.to_string())
        .collect();
    let mut after = account.clone();
    after.subscriptions = subscriptions;
    let told = tell(
        account,
        HelpDeskAct::SubscriptionsChanged { titles },
        origin,
        rng,
    );
    Ok(changed(account, after, audit, told))
}

/// Removes somebody from an organization, whatever they are there, or deletes a member's account; who
/// belongs to no other organization is deleted for good (EX-12). The way in which they registered with
/// the plan's record is free again. The last principal stays, as no organization is without one.
///
/// # Errors
/// [`Refusal`].
pub fn remove(
    staff: Staff<'_>,
    account: &Account,
    named: Option<&OrganizationId>,
    organizations: &[Organization],
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    if account.status == Status::Deleted {
        return Err(Refusal::Deleted);
    }
    let membership = choose(account, named, |_| true, Refusal::NotInOrganization)?;
    let organization = of(membership, organizations);
    let (after, deleted) = without(account, membership);
    let act = HelpDeskAct::Removed {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let told = tell(account, act, origin, rng);
    let audit = staff
        .audit(origin, Action::RemoveUser, rng)
        .on(account.id.as_str())
        .for_organization(membership.organization.as_ref());
    let left = match organization {
        Some(organization) => {
            manage_users::removal_changes(organization, account, &audit.actor, origin)
                .map_err(|_| Refusal::LastPrincipal)?
        }
        None => Vec::new(),
    };
    let decision = left
        .into_iter()
        .chain(release(account, membership, organization.is_none()))
        .fold(Decision::recording(audit), Decision::change)
        .update(account, after.clone())
        .send([told]);
    Ok((after, decision))
}

fn of<'o>(membership: &Membership, organizations: &'o [Organization]) -> Option<&'o Organization> {
    let id = membership.organization.as_ref()?;
    organizations.iter().find(|o| o.id == *id)
}

/// The account without a membership, and whether that has deleted it.
fn without(account: &Account, membership: &Membership) -> (Account, bool) {
    let mut after = account.clone();
    let deleted = after.keep_memberships(|m| m.organization != membership.organization);
    (after, deleted)
}

/// Frees the way in which somebody registered with a plan record; none where they didn't.
fn release(account: &Account, membership: &Membership, whole: bool) -> Option<Change> {
    Some(Change::ReleaseRecord {
        record: membership.record.clone()?,
        portal: account.portal.clone(),
        registration_type: membership.registration_type.clone()?,
        account: account.id.clone(),
        whole,
    })
}

/// Undoes a registration that was matched with somebody else's plan record: the account loses what it
/// opened, and is deleted where it opened nothing else; the record can be registered with again. An
/// organization that has nobody left ends with it. `alone` says whether the account is its only user.
///
/// # Errors
/// [`Refusal`]; [`Refusal::OthersThere`] where the organization would be without a principal while
/// others are in it: they came in on the strength of the mistake, and have to be removed first.
#[allow(clippy::too_many_arguments)]
pub fn detach_record(
    staff: Staff<'_>,
    account: &Account,
    named: Option<&OrganizationId>,
    organizations: &[Organization],
    alone: impl FnOnce(&OrganizationId) -> bool,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    if account.status == Status::Deleted {
        return Err(Refusal::Deleted);
    }
    let registered = |m: &Membership| m.record.is_some() && m.registration_type.is_some();
    let membership = choose(account, named, registered, Refusal::NoRecord)?;
    let organization = of(membership, organizations);
    let ends = organization.is_none_or(|o| alone(&o.id));
    let principals = match organization {
        None => None,
        Some(before) if ends => {
            let mut after = before.clone();
            after.principals.clear();
            after.ended_at = Some(origin.at);
            Some(Change::UpdateOrganization {
                before: Box::new(before.clone()),
                after: Box::new(after),
            })
        }
        Some(organization) => manage_users::with_principals(organization, account, None)
            .map_err(|_| Refusal::OthersThere)?,
    };
    let (after, deleted) = without(account, membership);
    let act = HelpDeskAct::RecordDetached {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let told = tell(account, act, origin, rng);
    let audit = staff
        .audit(origin, Action::DetachRecord, rng)
        .on(account.id.as_str())
        .for_organization(membership.organization.as_ref());
    let decision = Decision::recording(audit).update(account, after.clone());
    let decision = match release(account, membership, ends) {
        Some(release) => manage_users::changed(decision, principals).change(release),
        None => return Err(Refusal::NoRecord),
    };
    let decision = match &membership.pending_step {
        PendingStep::Pin { issue } => {
            decision.change(Change::WithdrawLetter(issue.carried_by.clone()))
        }
        _ => decision,
    };
    Ok((after, decision.send([told])))
}

/// Records an agreement that the plan has received signed, before the plan's own feed tells of it; the
/// PIN letter that waited for it is posted (AG-11, BL-10).
///
/// # Errors
/// [`Refusal`].
#[allow(clippy::too_many_arguments)]
pub fn record_agreement(
    staff: Staff<'_>,
    account: &Account,
    named: Option<&OrganizationId>,
    organizations: &[Organization],
    (id, revision): (&str, &str),
    fresh: FreshCode,
    address: impl FnOnce(&Membership) -> Option<PostalAddress>,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Account, Decision), Refusal> {
    alive(account)?;
    let agreement = policy
        .agreements
        .iter()
        .find(|a| a.id.as_str() == id && a.recorded_by == RecordedBy::Plan)
        .ok_or(Refusal::NoSuchAgreement)?;
    if agreement.revision.as_str() != revision {
        return Err(Refusal::OtherRevision);
    }
    let asked = |m: &Membership| m.needs(agreement);
    let membership = choose(account, named, asked, Refusal::ApprovalNotPending)?;
    if agreement.is_current(&membership.agreements) {
        return Err(Refusal::ApprovalNotPending);
    }
    let address = address(membership);
    if membership.pending_step == PendingStep::PinLetterWithheld && address.is_none() {
        return Err(Refusal::NoAddress);
    }
    let letter = WithheldLetter {
        fresh,
        address,
        organization: of(membership, organizations).map(|o| o.name.clone()),
    };
    let by = Actor::HelpDesk(staff.account.clone());
    let organization = membership.organization.as_ref();
    let (after, decision) = activate::record_agreement(
        account,
        organization,
        (agreement, revision),
        Some(letter),
        by,
        policy,
        origin,
        rng,
    )
    .ok_or(Refusal::ApprovalNotPending)?;
    let letter_by = after
        .membership(organization)
        .filter(|m| m.pending_step != membership.pending_step)
        .and_then(register::pin_issue)
        .and_then(|issue| LetterStatus::of(issue, policy, origin.at))
        .map(|s| s.arrives_by);
    let act = HelpDeskAct::AgreementRecorded {
        title: agreement.title.to_string(),
        letter_by,
    };
    let told = tell(account, act, origin, rng);
    Ok((after, staff.sign(decision).send([told])))
}

/// Sends an invitation of the account's organization again; the older link is dead (AG-01).
///
/// # Errors
/// [`Refusal`].
pub fn resend_invitation(
    staff: Staff<'_>,
    invitation: &Invitation,
    token: &Token,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Result<(Invitation, Decision), Refusal> {
    let audit = staff
        .audit(origin, Action::ResendInvitation, rng)
        .for_organization(Some(&invitation.organization));
    invite::send_again(invitation, token, audit, policy, origin, rng).map_err(Refusal::Invitation)
}

/// The organization that an act about one of its invitations is for: the one named, or the only one.
///
/// # Errors
/// [`Refusal`].
pub fn organization_of<'a>(
    account: &'a Account,
    named: Option<&OrganizationId>,
) -> Result<&'a OrganizationId, Refusal> {
    alive(account)?;
    choose(
        account,
        named,
        |m| m.organization.is_some(),
        Refusal::NotInOrganization,
    )?
    .organization
    .as_ref()
    .ok_or(Refusal::NotInOrganization)
}

/// The id of a help desk's organization: the portal has one and no other, so that there can be one
/// first staff account.
pub fn organization_id(portal: &PortalId) -> OrganizationId {
    let hash = Sha256::digest(format!("help-desk/{portal}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    OrganizationId::from_bytes(bytes)
}

/// Makes the first staff account: a supervisor, and the organization that staff belong to. None on a
/// portal that isn't a help desk. That there is one already is for the store to say.
pub fn first_staff(
    applicant: Applicant,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Registered> {
    policy.help_desk_for.as_ref()?;
    let organization = Organization {
        id: organization_id(&policy.portal),
        portal: policy.portal.clone(),
        kind: "help desk".to_owned(),
        name: policy.title.to_string(),
        record: None,
        registered_by: applicant.id.clone(),
        registered_at: origin.at,
        registered_again_at: None,
        version: 0,
        ended_at: None,
        principals: BTreeSet::from([applicant.id.clone()]),
        group_codes: BTreeSet::new(),
        next_review_due_on: next_due_on(policy, origin.at),
        review: None,
    };
    let membership = Membership::joined(
        organization.id.clone(),
        Role::Principal,
        PendingStep::Open,
        origin.at,
    );
    let account = applicant.into_account(membership, policy, origin.at);
    let welcome = MailText::AccountMade {
        organization: organization.name.clone(),
        username: account.username.to_string(),
    };
    let told = mail(&account, origin.at, welcome, rng);
    let audit = AuditEvent::done(origin, Actor::System, Action::AddUser, rng)
        .on(account.id.as_str())
        .for_organization(Some(&organization.id));
    let decision = Decision::recording(audit)
        .change(Change::CreateOrganization(organization))
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send([told]);
    Some(Registered { account, decision })
}
