//! Actions of the plan's help desk on accounts of other portals (UX-12). Every action requires a
//! reason and is recorded under the agent's account. The user is notified of the action, but not of
//! the reason.
//!
//! The help desk portal's policy decides what an agent is allowed to do. The policy of the
//! account's portal decides what is possible at all.

use std::collections::BTreeSet;

use rand::Rng;
use sha2::{Digest, Sha256};

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{HelpDeskAct, MailText, Message, ResetAsked, mail};
use crate::policy::{ChosenBy, RecordedBy, Reissuer, Role};
use crate::rules::accept_invitation::Standing;
use crate::rules::activate::{self, FreshCode, WithheldLetter};
use crate::rules::context::Context;
use crate::rules::invite;
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

/// The help desk agent who acts.
#[derive(Debug, Clone, Copy)]
pub struct Staff<'a> {
    /// The agent's account on the help desk portal.
    pub account: &'a AccountId,
    /// The reason for the action. Viewing an account requires none.
    pub reason: Option<&'a Reason>,
}

/// The account that an action is about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub account: &'a Account,
    /// The organization that the request names.
    pub named: Option<&'a OrganizationId>,
    /// The organizations that the account belongs to.
    pub organizations: &'a [Organization],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The account is deleted, which can't be undone (BA-06).
    Deleted,
    /// The account is disabled and has to be reinstated first.
    Disabled,
    /// The account has no membership in the organization.
    NotInOrganization,
    /// The account has several memberships, and the request names no organization.
    WhichOrganization,
    /// No PIN or code is pending.
    ApprovalNotPending,
    /// The help desk can't do this on the portal.
    UnsupportedOnPortal,
    /// There is no address for a letter.
    NoAddress,
    /// The access that the code would activate has ended.
    AccessOver,
    /// The account has no password yet. Its registration code sets one.
    NoPassword,
    /// Usernames are assigned by the system and can't be changed (BL-16).
    NameFixed,
    /// The user has activated the account and chooses subscriptions themselves (BL-13).
    Activated,
    /// The portal has no such publication.
    NoSuchPublication,
    /// The organization would have no principal left.
    LastPrincipal,
    /// The organization would have no principal left, and it has other users.
    OthersThere,
    /// The membership is not based on a plan record.
    NoRecord,
    /// The plan doesn't record such an agreement.
    NoSuchAgreement,
    /// The signed revision isn't the current one.
    OtherRevision,
    /// The invitation can't be resent.
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
    fn sign(&self, mut decision: Decision) -> Decision {
        decision.audit.actor = Actor::HelpDesk(self.account.clone());
        decision.audit.justification = self.reason.map(|r| r.as_str().to_owned());
        decision
    }
}

/// Checks that the account is active, so that no action but reinstating has an effect on a disabled
/// one.
fn require_active(account: &Account) -> Result<(), Refusal> {
    match account.status {
        Status::Active => Ok(()),
        Status::Disabled => Err(Refusal::Disabled),
        Status::Deleted => Err(Refusal::Deleted),
    }
}

/// Returns the membership that an action is about: the one named, or the only one that matches.
///
/// # Errors
/// [`Refusal::NotInOrganization`], [`Refusal::WhichOrganization`], or `none` if no membership
/// matches.
fn choose<'a>(
    account: &'a Account,
    named: Option<&OrganizationId>,
    matches: impl Fn(&Membership) -> bool,
    none: Refusal,
) -> Result<&'a Membership, Refusal> {
    if named.is_some() {
        let membership = account
            .membership(named)
            .ok_or(Refusal::NotInOrganization)?;
        return if matches(membership) {
            Ok(membership)
        } else {
            Err(none)
        };
    }
    let mut candidates = account.memberships.iter().filter(|m| matches(m));
    match (candidates.next(), candidates.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(none),
        (Some(_), Some(_)) => Err(Refusal::WhichOrganization),
    }
}

fn notify(
    account: &Account,
    act: HelpDeskAct,
    origin: &Origin,
    rng: &mut (impl Rng + ?Sized),
) -> Message {
    mail(account, origin.at, MailText::HelpDeskActed { act }, rng)
}

/// Mails a new PIN letter. The old PIN becomes invalid (BL-06, ME-07).
///
/// `address` returns the address for a membership's letter.
pub fn reissue_pin(
    staff: Staff<'_>,
    target: Target<'_>,
    fresh: FreshCode,
    address: impl FnOnce(&Membership) -> Option<PostalAddress>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let Target {
        account,
        named,
        organizations,
    } = target;
    require_active(account)?;
    let has_pending_pin = |m: &Membership| matches!(m.pending_step, PendingStep::Pin { .. });
    let membership = choose(account, named, has_pending_pin, Refusal::ApprovalNotPending)?;
    let organization = name_of(membership, organizations);
    let (after, decision) = activate::reissue_pin(
        account,
        organization,
        Reissuer::HelpDesk,
        fresh,
        address(membership),
        Context::new(policy, origin, rng),
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

/// Sends a new registration code. The old code becomes invalid (BL-09).
pub fn reissue_code(
    staff: Staff<'_>,
    target: Target<'_>,
    fresh: FreshCode,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let Target {
        account,
        named,
        organizations,
    } = target;
    require_active(account)?;
    let has_pending_code =
        |m: &Membership| matches!(m.pending_step, PendingStep::RegistrationCode { .. });
    let membership = choose(
        account,
        named,
        has_pending_code,
        Refusal::ApprovalNotPending,
    )?;
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
        audit,
        Context::new(policy, origin, rng),
    )?)
}

/// Sends a password reset link to the address on record only (BL-14). The page it opens also shows
/// the username (BL-15).
///
/// # Errors
/// [`Refusal`]. A disabled or deleted account can't be recovered this way.
pub fn start_reset(
    staff: Staff<'_>,
    account: &Account,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    require_active(account)?;
    let (after, link) = recover::link(
        account,
        ResetAsked::ByHelpDesk,
        Context::new(policy, origin, rng),
    )
    .ok_or(Refusal::NoPassword)?;
    let audit = staff.about(account, origin, Action::AskPasswordReset, rng);
    let decision = Decision::recording(audit)
        .update(account, after)
        .send([link]);
    Ok((account.clone(), decision))
}

/// Resets the counters of failed attempts, so that the user can try again at once.
pub fn unlock(
    staff: Staff<'_>,
    account: &Account,
    counters: Vec<AttemptKey>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    require_active(account)?;
    let audit = staff.about(account, origin, Action::UnlockUser, rng);
    let notice = notify(account, HelpDeskAct::Unlocked, origin, rng);
    let decision = counters
        .into_iter()
        .map(Change::ForgetAttempts)
        .fold(Decision::recording(audit), Decision::change)
        .send([notice]);
    Ok((account.clone(), decision))
}

/// Reinstates a disabled account (BA-06). An active account is left unchanged, and its owner isn't
/// notified.
///
/// # Errors
/// [`Refusal::Deleted`]: a deleted account can't be reinstated.
pub fn reinstate(
    staff: Staff<'_>,
    account: &Account,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    let audit = staff.about(account, origin, Action::ReinstateUser, rng);
    match account.status {
        Status::Deleted => Err(Refusal::Deleted),
        Status::Active => Ok((account.clone(), Decision::recording(audit))),
        Status::Disabled => {
            let mut after = account.clone();
            after.reinstate(origin.at);
            let notice = notify(account, HelpDeskAct::Reinstated, origin, rng);
            Ok(changed(account, after, audit, notice))
        }
    }
}

/// Creates the decision that changes an account and notifies its owner.
fn changed(
    before: &Account,
    after: Account,
    audit: AuditEvent,
    notice: Message,
) -> (Account, Decision) {
    let decision = Decision::recording(audit)
        .update(before, after.clone())
        .send([notice]);
    (after, decision)
}

/// Changes the username on a portal where users choose theirs (ME-09).
///
/// # Errors
/// [`Refusal`]. The store checks whether the username is taken.
pub fn rename(
    staff: Staff<'_>,
    account: &Account,
    username: Username,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    require_active(account)?;
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
    let notice = notify(account, act, origin, rng);
    Ok(changed(account, after, audit, notice))
}

/// Sets the e-news subscriptions of a user who can't yet, because a PIN or registration code is
/// pending (BL-13).
pub fn subscribe(
    staff: Staff<'_>,
    account: &Account,
    subscriptions: BTreeSet<String>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    require_active(account)?;
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
    let notice = notify(
        account,
        HelpDeskAct::SubscriptionsChanged { titles },
        origin,
        rng,
    );
    Ok(changed(account, after, audit, notice))
}

/// Removes a user from an organization, whatever their role, or deletes a member's account. A user
/// without another organization is deleted permanently (EX-12). The plan record can be registered
/// again with the same registration type. The last principal can't be removed.
pub fn remove(
    staff: Staff<'_>,
    target: Target<'_>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    let Target {
        account,
        named,
        organizations,
    } = target;
    if account.status == Status::Deleted {
        return Err(Refusal::Deleted);
    }
    let membership = choose(account, named, |_| true, Refusal::NotInOrganization)?;
    let organization = organization_in(membership, organizations);
    let (after, deleted) = without_membership(account, membership);
    let act = HelpDeskAct::Removed {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let notice = notify(account, act, origin, rng);
    let audit = staff
        .audit(origin, Action::RemoveUser, rng)
        .on(account.id.as_str())
        .for_organization(membership.organization.as_ref());
    let removal = match organization {
        Some(organization) => {
            manage_users::removal_changes(organization, account, &audit.actor, origin)
                .map_err(|_| Refusal::LastPrincipal)?
        }
        None => Vec::new(),
    };
    let decision = removal
        .into_iter()
        .chain(release(account, membership, organization.is_none()))
        .fold(Decision::recording(audit), Decision::change)
        .update(account, after.clone())
        .send([notice]);
    Ok((after, decision))
}

fn organization_in<'o>(
    membership: &Membership,
    organizations: &'o [Organization],
) -> Option<&'o Organization> {
    let id = membership.organization.as_ref()?;
    organizations.iter().find(|o| o.id == *id)
}

/// Returns the account without a membership, and whether this deleted it.
fn without_membership(account: &Account, membership: &Membership) -> (Account, bool) {
    let mut after = account.clone();
    let deleted = after.keep_memberships(|m| m.organization != membership.organization);
    (after, deleted)
}

/// Releases the claim on a plan record. Returns `None` if the membership isn't based on one.
fn release(account: &Account, membership: &Membership, whole: bool) -> Option<Change> {
    Some(Change::ReleaseRecord {
        record: membership.record.clone()?,
        portal: account.portal.clone(),
        registration_type: membership.registration_type.clone()?,
        account: account.id.clone(),
        whole,
    })
}

/// Reverses a registration that was matched with another person's plan record. The account loses
/// the membership, and is deleted if it has no other; the record can be registered again. An
/// organization without other users ends. `is_only_user` returns whether the account is the only
/// user of an organization.
///
/// # Errors
/// [`Refusal`]. [`Refusal::OthersThere`] if the organization would have no principal but still has
/// other users. They joined because of the mistake and have to be removed first.
pub fn detach_record(
    staff: Staff<'_>,
    target: Target<'_>,
    is_only_user: impl FnOnce(&OrganizationId) -> bool,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    let Target {
        account,
        named,
        organizations,
    } = target;
    if account.status == Status::Deleted {
        return Err(Refusal::Deleted);
    }
    let has_record = |m: &Membership| m.record.is_some() && m.registration_type.is_some();
    let membership = choose(account, named, has_record, Refusal::NoRecord)?;
    let organization = organization_in(membership, organizations);
    let ends = organization.is_none_or(|o| is_only_user(&o.id));
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
    let (after, deleted) = without_membership(account, membership);
    let act = HelpDeskAct::RecordDetached {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let notice = notify(account, act, origin, rng);
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
    Ok((after, decision.send([notice])))
}

/// Records a signed agreement before the plan's feed contains it, and mails the PIN letter that was
/// waiting for it (AG-11, BL-10).
pub fn record_agreement(
    staff: Staff<'_>,
    target: Target<'_>,
    (id, revision): (&str, &str),
    fresh: FreshCode,
    address: impl FnOnce(&Membership) -> Option<PostalAddress>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let Target {
        account,
        named,
        organizations,
    } = target;
    require_active(account)?;
    let agreement = policy
        .agreements
        .iter()
        .find(|a| a.id.as_str() == id && a.recorded_by == RecordedBy::Plan)
        .ok_or(Refusal::NoSuchAgreement)?;
    if agreement.revision.as_str() != revision {
        return Err(Refusal::OtherRevision);
    }
    let needs_agreement = |m: &Membership| m.needs(agreement);
    let membership = choose(account, named, needs_agreement, Refusal::ApprovalNotPending)?;
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
        organization: organization_in(membership, organizations).map(|o| o.name.clone()),
    };
    let by = Actor::HelpDesk(staff.account.clone());
    let organization = membership.organization.as_ref();
    let (after, decision) = activate::record_agreement(
        account,
        organization,
        (agreement, revision),
        Some(letter),
        by,
        Context::new(policy, origin, rng),
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
    let notice = notify(account, act, origin, rng);
    Ok((after, staff.sign(decision).send([notice])))
}

/// Resends an invitation of the account's organization. The previous link becomes invalid (AG-01).
pub fn resend_invitation(
    staff: Staff<'_>,
    invitation: &Invitation,
    standing: &Standing,
    token: &Token,
    context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let audit = staff
        .audit(origin, Action::ResendInvitation, rng)
        .for_organization(Some(&invitation.organization));
    let context = Context::new(policy, origin, rng);
    let unchanged = (invitation, invitation.clone());
    let resent = invite::send_again(unchanged, token, audit, context);
    let resent = resent.map_err(Refusal::Invitation)?;
    let check = standing.check(invitation, policy, origin.at);
    check.map_err(Refusal::Invitation).map(|()| resent)
}

/// Returns the organization whose invitation an action is about: the one named, or the only one.
pub fn organization_of<'a>(
    account: &'a Account,
    named: Option<&OrganizationId>,
) -> Result<&'a OrganizationId, Refusal> {
    require_active(account)?;
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

/// Returns the id of a help desk's organization. A help desk portal has exactly one, so that its
/// first account can be created only once.
pub fn organization_id(portal: &PortalId) -> OrganizationId {
    let hash = Sha256::digest(format!("help-desk/{portal}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    OrganizationId::from_bytes(bytes)
}

/// Creates the first help desk account, a supervisor, and its organization. Returns `None` on a
/// portal that isn't a help desk. The store checks that none exists yet.
pub fn first_staff(applicant: Applicant, context: Context<'_>) -> Option<Registered> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
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
    let notice = mail(&account, origin.at, welcome, rng);
    let audit = AuditEvent::done(origin, Actor::System, Action::AddUser, rng)
        .on(account.id.as_str())
        .for_organization(Some(&organization.id));
    let decision = Decision::recording(audit)
        .change(Change::CreateOrganization(organization))
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send([notice]);
    Some(Registered { account, decision })
}
