//! Starting and ending sessions (AG-14, BA-04, BA-05).

use std::collections::BTreeMap;

use strum::IntoStaticStr;

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{MailText, mail};
use crate::policy::FactorMethod;
use crate::rules::context::Context;
use crate::rules::device::{self, Arrival};
use crate::rules::second_factor::{self, PasskeyUse, PresentedFactor};
use crate::state::account::{Account, PasswordHash, Status};
use crate::state::audit::{Action, AuditEvent};
use crate::state::second_factor::Proof;
use crate::state::session::{Session, Token, TokenKind};
use crate::values::ids::OrganizationId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Refusal {
    /// The username is unknown, the account is deleted or has no password yet, or the password is
    /// wrong. The response is the same for all (BA-05).
    Failed,
    /// The password is correct, but the account is disabled (BA-04).
    Disabled,
}

/// What its owner proved an account with.
#[derive(Debug, Clone)]
pub enum Credentials {
    Password {
        /// The password hashed with the current parameters, if the stored hash uses older ones.
        rehashed: Option<PasswordHash>,
        /// The counter of attempts at the password.
        attempts: AttemptKey,
    },
    /// A passkey, without a username (MF-03).
    Passkey(PasskeyUse),
}

/// A new session.
#[derive(Debug)]
pub struct SignedIn {
    pub token: Token,
    pub session: Session,
    pub decision: Decision,
}

/// Starts a session for the account's owner, whose password was correct or whose passkey's signature was. A
/// passkey must have verified its user, because it is the only proof (MF-03), and the account must let it
/// sign in alone.
///
/// # Errors
/// [`Refusal`]. Both take the same amount of work.
pub fn sign_in(
    account: &Account,
    credentials: Credentials,
    arrival: &Arrival<'_>,
    context: Context<'_>,
) -> Result<SignedIn, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    match account.status {
        Status::Active => {}
        Status::Disabled => return Err(Refusal::Disabled),
        Status::Deleted => return Err(Refusal::Failed),
    }
    let now = origin.at;
    let today = policy.today(now);
    if !account.is_usable(today) {
        // An account whose access has ended counts as deleted, even if the scheduler has not
        // processed it yet (UX-07).
        return Err(Refusal::Failed);
    }
    let device = arrival.device.digest(&account.id);
    let proof = match &credentials {
        Credentials::Password { .. } => Proof::Password,
        Credentials::Passkey(passkey) => {
            let mut passkeys = account.second_factors.passkeys.iter();
            let signs_in = passkeys.any(|p| p.info.id == passkey.id && p.signs_in_alone);
            if !signs_in || !passkey.user_verified || !policy.has_method(FactorMethod::Passkey) {
                return Err(Refusal::Failed);
            }
            Proof::Passkey
        }
    };
    let has_factor = account.has_second_factor(policy);
    let is_trusted = has_factor && account.second_factors.trusts(&device, now);
    let trusted = is_trusted.then_some(Proof::TrustedDevice);
    let proofs = [Some(proof), trusted].into_iter().flatten();
    let mut active = account.running_memberships(today);
    let membership = active.next().filter(|_| active.next().is_none());
    let token = Token::random(TokenKind::Session, account.id.to_string(), rng);
    let session = Session {
        id: token.digest(),
        portal: account.portal.clone(),
        account: account.id.clone(),
        organization: membership.and_then(|m| m.organization.clone()),
        epoch: account.session_epoch,
        started_at: now,
        last_seen_at: now,
        expires_at: policy.session_expires_at(now),
        source: origin.source.clone(),
        proofs: proofs.map(|proof| (proof, now)).collect(),
        device: has_factor.then(|| device.clone()),
        applications: BTreeMap::new(),
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::SignIn, rng)
        .for_organization(session.organization.as_ref());
    // The first device of an account needs no notice: its owner has just registered (UX-06).
    let is_new = !account.devices.is_empty() && !account.devices.contains_key(&device);
    let warning = is_new.then(|| {
        let text = MailText::NewDevice {
            source: origin.source.clone(),
            program: device::program(arrival.user_agent),
        };
        mail(account, now, text, rng)
    });
    let forgotten_devices = account.devices_to_forget(&device);
    let decision = Decision::recording(audit).send(warning);
    let decision = match credentials {
        Credentials::Password { rehashed, attempts } => decision
            .change(Change::NoteSignIn {
                account: Box::new(account.clone()),
                at: now,
                rehashed,
                from: origin.source.clone(),
                forgotten_devices,
                device,
            })
            .change(Change::ForgetAttempts(attempts)),
        Credentials::Passkey(passkey) => {
            let mut used = account.clone();
            second_factor::use_up(&mut used, &PresentedFactor::Passkey(passkey), now)
                .map_err(|_| Refusal::Failed)?;
            used.last_sign_in_at = Some(now);
            used.last_sign_in_from.clone_from(&origin.source);
            for forgotten in &forgotten_devices {
                used.devices.remove(forgotten);
            }
            used.devices.insert(device, now);
            decision.update(account, used)
        }
    };
    let decision = decision.change(Change::StartSession(session.clone()));
    Ok(SignedIn {
        token,
        session,
        decision,
    })
}

/// Switches a session to another organization of its user (BL-01). Returns `None` if the account
/// has no active membership there.
pub fn choose_organization(
    account: &Account,
    session: &Session,
    organization: &OrganizationId,
    context: Context<'_>,
) -> Option<(Session, Decision)> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    account
        .membership(Some(organization))
        .filter(|m| !m.is_over(policy.today(origin.at)))?;
    let session = Session {
        organization: Some(organization.clone()),
        last_seen_at: origin.at,
        ..session.clone()
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ChooseOrganization, rng)
        .for_organization(Some(organization));
    let decision = Decision::recording(audit).change(Change::RenewSession(session.clone()));
    Some((session, decision))
}

pub fn sign_out(session: &Session, context: Context<'_>) -> Decision {
    let Context { origin, rng, .. } = context;
    let audit = AuditEvent::by_owner(origin, &session.account, Action::SignOut, rng)
        .for_organization(session.organization.as_ref());
    Decision::recording(audit).change(Change::EndSession(session.clone()))
}

/// Changes the password, ends all other sessions and every other way in, and notifies the user
/// (AG-02, EX-09, UX-05, SE-01).
///
/// The current session moves to the account's new epoch. It is returned with the account.
pub fn change_password(
    account: &Account,
    session: &Session,
    hash: PasswordHash,
    attempts: AttemptKey,
    context: Context<'_>,
) -> (Account, Session, Decision) {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let mut after = account.clone();
    after.set_password(hash, policy, origin.at);
    // The owner of this session has given the password and the factor.
    after
        .second_factors
        .passkeys
        .clone_from(&account.second_factors.passkeys);
    let session = Session {
        epoch: after.session_epoch,
        ..session.clone()
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ChangePassword, rng)
        .for_organization(session.organization.as_ref());
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .change(Change::RenewSession(session.clone()))
        .change(Change::ForgetAttempts(attempts))
        .send([mail(account, origin.at, MailText::PasswordChanged, rng)]);
    (after, session, decision)
}
