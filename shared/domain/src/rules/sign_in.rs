//! Beginning and ending sessions (AG-14, BA-04, BA-05).

use rand::{CryptoRng, Rng};

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{MailText, mail};
use crate::policy::Policy;
use crate::rules::device::{self, Arrival};
use crate::state::account::{Account, PasswordHash, Status};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::session::{Session, Token, TokenKind};
use crate::values::ids::OrganizationId;

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Unknown, deleted, without a password yet, or the password is wrong: all the same (BA-05).
    Failed,
    /// The password is right, the account disabled (BA-04).
    Disabled,
}

impl Refusal {
    /// As it stands on the audit trail.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Disabled => "disabled",
        }
    }
}

/// An opened session.
#[derive(Debug)]
pub struct SignedIn {
    /// The token for its owner.
    pub token: Token,
    /// The session.
    pub session: Session,
    /// What is to be committed.
    pub decision: Decision,
}

/// What the comparison of the password said.
#[derive(Debug, Clone)]
pub enum Checked {
    /// It is wrong, or there was none to compare with.
    Wrong,
    /// It is right; here it is under the current parameters, where those have changed.
    Right {
        /// The new hash.
        rehashed: Option<PasswordHash>,
    },
}

/// Opens a session for the owner of the account.
///
/// # Errors
/// [`Refusal`]; both have cost the same work.
pub fn sign_in(
    account: Option<&Account>,
    checked: Checked,
    attempts: AttemptKey,
    arrival: &Arrival<'_>,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl CryptoRng,
) -> Result<SignedIn, Refusal> {
    let (Some(account), Checked::Right { rehashed }) = (account, checked) else {
        return Err(Refusal::Failed);
    };
    match account.status {
        Status::Active => {}
        Status::Disabled => return Err(Refusal::Disabled),
        Status::Deleted => return Err(Refusal::Failed),
    }
    let now = origin.at;
    let today = policy.today(now);
    if !account.is_usable(today) {
        // Whose last access is over is as good as deleted, removed already or not (UX-07).
        return Err(Refusal::Failed);
    }
    let mut running = account.running_memberships(today);
    let membership = running.next().filter(|_| running.next().is_none());
    let token = Token::random(TokenKind::Session, account.id.to_string(), rng);
    let session = Session {
        id: token.digest(),
        portal: account.portal.clone(),
        account: account.id.clone(),
        organization: membership.and_then(|m| m.organization.clone()),
        epoch: account.session_epoch,
        started_at: now,
        last_seen_at: now,
        expires_at: policy.session_ends_at(now),
        source: origin.source.clone(),
    };
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::SignIn,
        rng,
    )
    .on(account.id.as_str())
    .for_organization(session.organization.as_ref());
    let device = arrival.device.digest(&account.id);
    // The first device of all is no news to who has just registered (UX-06).
    let is_new = !account.devices.is_empty() && !account.devices.contains_key(&device);
    let warning = is_new.then(|| {
        let says = MailText::NewDevice {
            source: origin.source.clone(),
            program: device::program(arrival.user_agent),
        };
        mail(account, now, says, rng)
    });
    let decision = Decision::recording(audit)
        .send(warning)
        .change(Change::NoteSignIn {
            account: Box::new(account.clone()),
            at: now,
            rehashed,
            from: origin.source.clone(),
            forgotten_devices: account.devices_to_forget(&device),
            device,
        })
        .change(Change::StartSession(session.clone()))
        .change(Change::ForgetAttempts(attempts));
    Ok(SignedIn {
        token,
        session,
        decision,
    })
}

/// Lets a session go on for another organization of its owner (BL-01). None where the account doesn't
/// belong to that one, or not any more.
pub fn choose_organization(
    account: &Account,
    session: &Session,
    organization: &OrganizationId,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<(Session, Decision)> {
    account
        .membership(Some(organization))
        .filter(|m| !m.is_over(policy.today(origin.at)))?;
    let session = Session {
        organization: Some(organization.clone()),
        last_seen_at: origin.at,
        ..session.clone()
    };
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::ChooseOrganization,
        rng,
    )
    .on(account.id.as_str())
    .for_organization(Some(organization));
    let decision = Decision::recording(audit).change(Change::RenewSession(session.clone()));
    Some((session, decision))
}

/// Ends a session.
pub fn sign_out(session: &Session, origin: &Origin, rng: &mut impl Rng) -> Decision {
    let audit = AuditEvent::done(
        origin,
        Actor::Account(session.account.clone()),
        Action::SignOut,
        rng,
    )
    .on(session.account.as_str())
    .for_organization(session.organization.as_ref());
    Decision::recording(audit).change(Change::EndSession(session.clone()))
}

/// Sets a new password in a session, ends all the others and tells the owner (AG-02, EX-09, UX-05).
///
/// The session goes on under the account's new epoch; it is returned with the account.
pub fn change_password(
    account: &Account,
    session: &Session,
    hash: PasswordHash,
    attempts: AttemptKey,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> (Account, Session, Decision) {
    let mut after = account.clone();
    after.set_password(hash, policy, origin.at);
    let session = Session {
        epoch: after.session_epoch,
        ..session.clone()
    };
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::ChangePassword,
        rng,
    )
    .on(account.id.as_str())
    .for_organization(session.organization.as_ref());
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .change(Change::RenewSession(session.clone()))
        .change(Change::ForgetAttempts(attempts))
        .send([mail(account, origin.at, MailText::PasswordChanged, rng)]);
    (after, session, decision)
}
