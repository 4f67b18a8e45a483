//! Second factors: giving one, the factors of one's own account, and the completion of a reset (MF-01 to MF-06, MF-08).

use jiff::{SignedDuration, Timestamp};
use strum::IntoStaticStr;

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{FactorEvent, MailText, mail};
use crate::policy::{FactorMethod, Policy};
use crate::rules::context::Context;
use crate::rules::next_step::requires_second_factor;
use crate::state::account::{Account, Status};
use crate::state::audit::{Action, AuditEvent};
use crate::state::record::Mac;
use crate::state::second_factor::{
    AuthenticatorApp, FactorInfo, FactorReset, MAX_APPS, MAX_PASSKEYS, Passkey, Proof,
    ResetEvidence, SecondFactors, TrustedDevice, UsedChallenge,
};
use crate::state::session::{Session, Token};
use crate::values::ids::{FactorId, IssueId};
use crate::values::passkey::StoredPasskey;
use crate::values::text::{FactorName, Sensitive};

/// The maximum number of devices that an account trusts. The one whose trust ends first is forgotten first.
const MAX_TRUSTED: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Refusal {
    /// The code or assertion was accepted before, or the factor was removed in the meantime (MF-05).
    AlreadyUsed,
    /// The account has as many factors of this kind as it can have.
    TooMany,
    /// The account has this passkey or app already.
    AlreadyAdded,
    /// The portal does not have this kind.
    UnsupportedOnPortal,
    /// The account has no such factor.
    Unknown,
    /// It is the only one, and the user's role requires one (MF-02).
    LastRequired,
    /// Recovery codes replace a factor, and the account has none.
    NoFactor,
}

/// A passkey's signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyUse {
    pub id: FactorId,
    /// The SHA-256 of the challenge, base64url.
    pub challenge: String,
    /// Until when the challenge can be answered.
    pub expires_at: Timestamp,
    pub user_verified: bool,
    pub sign_count: u32,
    pub backed_up: bool,
}

/// A second factor that was compared and matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresentedFactor {
    /// The code of an authenticator app for a time step.
    AppCode {
        id: FactorId,
        step: u64,
    },
    /// A recovery code, as stored.
    RecoveryCode(Mac),
    Passkey(PasskeyUse),
}

/// Uses up what was given, so that it is accepted once. Returns how it counts (MF-05).
///
/// # Errors
/// [`Refusal::AlreadyUsed`]
pub(crate) fn use_up(
    account: &mut Account,
    given: &PresentedFactor,
    now: Timestamp,
) -> Result<Proof, Refusal> {
    let factors = &mut account.second_factors;
    // The owner has not lost the factors (MF-06).
    factors.reset = None;
    match given {
        PresentedFactor::AppCode { id, step } => {
            let app = factors.apps.iter_mut().find(|a| a.info.id == *id);
            let app = app.filter(|a| a.last_step < *step);
            let app = app.ok_or(Refusal::AlreadyUsed)?;
            app.last_step = *step;
            app.info.last_used_at = Some(now);
            Ok(Proof::AuthenticatorApp)
        }
        PresentedFactor::RecoveryCode(code) => {
            let found = factors.recovery_codes.iter().position(|c| c == code);
            factors
                .recovery_codes
                .remove(found.ok_or(Refusal::AlreadyUsed)?);
            Ok(Proof::RecoveryCode)
        }
        PresentedFactor::Passkey(used) => {
            factors.used_challenges.retain(|c| now < c.expires_at);
            let is_used = factors
                .used_challenges
                .iter()
                .any(|c| c.id == used.challenge);
            let passkey = factors.passkeys.iter_mut().find(|p| p.info.id == used.id);
            let passkey = passkey.filter(|p| {
                let stored = p.credential.sign_count;
                !is_used && (used.sign_count > stored || (used.sign_count == 0 && stored == 0))
            });
            let passkey = passkey.ok_or(Refusal::AlreadyUsed)?;
            passkey.credential.sign_count = used.sign_count;
            passkey.credential.backed_up = used.backed_up;
            passkey.info.last_used_at = Some(now);
            factors.used_challenges.push(UsedChallenge {
                id: used.challenge.clone(),
                expires_at: used.expires_at,
            });
            Ok(match used.user_verified {
                true => Proof::Passkey,
                false => Proof::SecurityKey,
            })
        }
    }
}

/// Records a second factor in the session: at sign-in, or to confirm a sensitive action (MF-04, MF-07). Trusts
/// the session's device if its user wants it and the portal allows it (MF-08).
///
/// # Errors
/// [`Refusal::AlreadyUsed`]
pub fn give(
    account: &Account,
    session: &Session,
    given: &PresentedFactor,
    trusts: Option<String>,
    attempts: AttemptKey,
    context: Context<'_>,
) -> Result<(Account, Session, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let mut after = account.clone();
    let proof = use_up(&mut after, given, now)?;
    // Given together with the password, it is its owner's.
    if let PresentedFactor::Passkey(used) = given
        && session.proofs.contains_key(&Proof::Password)
    {
        let mut passkeys = after.second_factors.passkeys.iter_mut();
        if let Some(passkey) = passkeys.find(|p| p.info.id == used.id) {
            passkey.signs_in_alone = true;
        }
    }
    if let Some((program, device)) = trusts.zip(session.device.as_ref()) {
        let id = FactorId::random(rng);
        trust(&mut after, device, (id, program), policy, now);
    }
    let mut renewed = session.clone();
    renewed.proofs.insert(proof, now);
    let audit = AuditEvent::by_owner(origin, &account.id, Action::EnterSecondFactor, rng)
        .for_organization(session.organization.as_ref());
    let left = after.second_factors.recovery_codes.len();
    let notice = (proof == Proof::RecoveryCode).then(|| {
        let text = MailText::SecondFactorChanged {
            event: FactorEvent::RecoveryCodeUsed { left },
        };
        mail(account, now, text, rng)
    });
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .change(Change::RenewSession(renewed.clone()))
        .change(Change::ForgetAttempts(attempts))
        .send(notice);
    Ok((after, renewed, decision))
}

/// Trusts a device for as long as the policy says.
fn trust(
    account: &mut Account,
    device: &str,
    (id, program): (FactorId, String),
    policy: &Policy,
    now: Timestamp,
) {
    let days = policy.second_factor.as_ref();
    let days = days.map_or(0, |s| s.trusted_device_days.get());
    if days == 0 {
        return;
    }
    let trusted = &mut account.second_factors.trusted_devices;
    trusted.retain(|_, other| now < other.expires_at);
    let new = TrustedDevice {
        id,
        program,
        trusted_at: now,
        expires_at: now + SignedDuration::from_hours(24 * i64::from(days)),
    };
    trusted.insert(device.to_owned(), new);
    while trusted.len() > MAX_TRUSTED {
        let first = trusted.iter().min_by_key(|(_, other)| other.expires_at);
        let Some(first) = first.map(|(device, _)| device.clone()) else {
            return;
        };
        trusted.remove(&first);
    }
}

/// Records that the session's user entered the password again, to confirm a change of their factors (MF-01).
pub fn confirm_password(
    account: &Account,
    session: &Session,
    attempts: AttemptKey,
    context: Context<'_>,
) -> (Session, Decision) {
    let Context { origin, rng, .. } = context;
    let mut renewed = session.clone();
    renewed.proofs.insert(Proof::Password, origin.at);
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ConfirmPassword, rng)
        .for_organization(session.organization.as_ref());
    let decision = Decision::recording(audit)
        .change(Change::RenewSession(renewed.clone()))
        .change(Change::ForgetAttempts(attempts));
    (renewed, decision)
}

/// A factor to add.
#[derive(Debug, Clone)]
pub enum NewFactor {
    Passkey {
        credential: StoredPasskey,
        /// Whether the authenticator verified its user, so that the passkey counts as both factors.
        user_verified: bool,
    },
    App {
        secret: Sensitive,
        /// The time step of the code that proved it.
        step: u64,
    },
}

impl NewFactor {
    const fn method(&self) -> FactorMethod {
        match self {
            Self::Passkey { .. } => FactorMethod::Passkey,
            Self::App { .. } => FactorMethod::AuthenticatorApp,
        }
    }
}

/// Ends all other sessions after a change of the factors, and a reset that is pending. Returns the session of the
/// change, which goes on (SE-01; OWASP ASVS 5.0.0, 7.4.3).
fn end_others(after: &mut Account, session: Session) -> Session {
    after.second_factors.reset = None;
    after.end_sessions();
    Session {
        epoch: after.session_epoch,
        ..session
    }
}

/// Adds a factor to the caller's account and notifies the owner. The session has then given it (MF-01).
///
/// # Errors
/// [`Refusal`]
pub fn add(
    account: &Account,
    session: &Session,
    name: FactorName,
    factor: NewFactor,
    context: Context<'_>,
) -> Result<(FactorId, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let section = policy.second_factor.as_ref();
    if !section.is_some_and(|s| s.methods.contains(&factor.method())) {
        return Err(Refusal::UnsupportedOnPortal);
    }
    let mut after = account.clone();
    let factors = &mut after.second_factors;
    let info = FactorInfo {
        id: FactorId::random(rng),
        name,
        added_at: now,
        last_used_at: None,
    };
    let (id, name) = (info.id.clone(), info.name.to_string());
    let method = factor.method();
    let proof = match factor {
        NewFactor::Passkey {
            credential,
            user_verified,
        } => {
            let mut known = factors.passkeys.iter().map(|p| &p.credential.credential_id);
            if known.any(|id| *id == credential.credential_id) {
                return Err(Refusal::AlreadyAdded);
            }
            if factors.passkeys.len() >= MAX_PASSKEYS {
                return Err(Refusal::TooMany);
            }
            factors.passkeys.push(Passkey {
                info,
                credential,
                signs_in_alone: true,
            });
            match user_verified {
                true => Proof::Passkey,
                false => Proof::SecurityKey,
            }
        }
        NewFactor::App { secret, step } => {
            if factors.apps.iter().any(|a| a.secret == secret) {
                return Err(Refusal::AlreadyAdded);
            }
            if factors.apps.len() >= MAX_APPS {
                return Err(Refusal::TooMany);
            }
            factors.apps.push(AuthenticatorApp {
                info,
                secret,
                last_step: step,
            });
            Proof::AuthenticatorApp
        }
    };
    let mut renewed = session.clone();
    renewed.proofs.insert(proof, now);
    let renewed = end_others(&mut after, renewed);
    let text = MailText::SecondFactorChanged {
        event: FactorEvent::Added { method, name },
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::AddSecondFactor, rng)
        .for_organization(session.organization.as_ref());
    let decision = Decision::recording(audit)
        .update(account, after)
        .change(Change::RenewSession(renewed))
        .send([mail(account, now, text, rng)]);
    Ok((id, decision))
}

/// Renames a factor (MF-01).
///
/// # Errors
/// [`Refusal::Unknown`]
pub fn rename(
    account: &Account,
    session: &Session,
    (id, name): (&FactorId, FactorName),
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let Context { origin, rng, .. } = context;
    let mut after = account.clone();
    let factor = after.second_factors.find_mut(id);
    factor.ok_or(Refusal::Unknown)?.name = name;
    let audit = AuditEvent::by_owner(origin, &account.id, Action::RenameSecondFactor, rng)
        .for_organization(session.organization.as_ref());
    Ok(Decision::recording(audit).update(account, after))
}

/// Ends the trust in a device, whose next sign-in requires a factor (MF-08).
fn end_trust(account: &Account, session: &Session, device: &str, context: Context<'_>) -> Decision {
    let Context { origin, rng, .. } = context;
    let mut after = account.clone();
    after.second_factors.trusted_devices.remove(device);
    let audit = AuditEvent::by_owner(origin, &account.id, Action::RemoveTrustedDevice, rng)
        .for_organization(session.organization.as_ref());
    Decision::recording(audit).update(account, after)
}

/// Removes a factor and notifies the owner. The trust in devices, which may rest on it, ends. With the last factor,
/// recovery codes go too (MF-01, MF-02). The id of a trusted device ends the trust in that device alone (MF-08).
///
/// # Errors
/// [`Refusal`]
pub fn remove(
    account: &Account,
    session: &Session,
    id: &FactorId,
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let mut trusted = account.second_factors.trusted_devices.iter();
    if let Some((device, _)) = trusted.find(|(_, device)| device.id == *id) {
        return Ok(end_trust(account, session, device, context));
    }
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let mut after = account.clone();
    let factors = &mut after.second_factors;
    let removed = factors.find_mut(id).ok_or(Refusal::Unknown)?.name.clone();
    let method = match factors.apps.iter().any(|a| a.info.id == *id) {
        true => FactorMethod::AuthenticatorApp,
        false => FactorMethod::Passkey,
    };
    factors.passkeys.retain(|p| p.info.id != *id);
    factors.apps.retain(|a| a.info.id != *id);
    factors.trusted_devices.clear();
    if !after.has_second_factor(policy) {
        if requires_second_factor(account, policy, policy.today(origin.at)) {
            return Err(Refusal::LastRequired);
        }
        after.second_factors.recovery_codes.clear();
    }
    let renewed = end_others(&mut after, session.clone());
    let text = MailText::SecondFactorChanged {
        event: FactorEvent::Removed {
            method,
            name: removed.to_string(),
        },
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::RemoveSecondFactor, rng)
        .for_organization(session.organization.as_ref());
    Ok(Decision::recording(audit)
        .update(account, after)
        .change(Change::RenewSession(renewed))
        .send([mail(account, origin.at, text, rng)]))
}

/// Replaces the recovery codes and notifies the owner (MF-01).
///
/// # Errors
/// [`Refusal::NoFactor`]
pub fn replace_recovery_codes(
    account: &Account,
    session: &Session,
    codes: Vec<Mac>,
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    if !account.has_second_factor(policy) {
        return Err(Refusal::NoFactor);
    }
    let mut after = account.clone();
    after.second_factors.recovery_codes = codes;
    let renewed = end_others(&mut after, session.clone());
    let text = MailText::SecondFactorChanged {
        event: FactorEvent::RecoveryCodesCreated,
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::CreateRecoveryCodes, rng)
        .for_organization(session.organization.as_ref());
    Ok(Decision::recording(audit)
        .update(account, after)
        .change(Change::RenewSession(renewed))
        .send([mail(account, origin.at, text, rng)]))
}

/// What the owner proves the address on record with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnteredEvidence {
    /// The token of the link in the email.
    Token(Token),
    /// The PIN of the letter, which was compared and matched.
    Pin(IssueId),
}

impl EnteredEvidence {
    fn matches(&self, reset: &FactorReset) -> bool {
        match (self, &reset.evidence) {
            (Self::Token(token), ResetEvidence::Link(digest)) => token.digest() == *digest,
            (Self::Pin(id), ResetEvidence::Pin(issue)) => issue.id == *id,
            _ => false,
        }
    }
}

/// Completes a reset: removes all factors, recovery codes and trusted devices of an owner who has given the password
/// in this session and proved the address on record. Ends every other way in, and notifies the owner (MF-06,
/// SE-01). `attempts` are the counters to clear.
///
/// # Errors
/// [`Refusal::Unknown`] if no such reset is pending, or the session was not opened with the password.
pub fn complete_reset(
    account: &Account,
    session: &Session,
    entered: &EnteredEvidence,
    attempts: Vec<AttemptKey>,
    context: Context<'_>,
) -> Result<(Account, Session, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    let now = origin.at;
    let reset = account.second_factors.pending_reset(now);
    let has_password = session.proofs.contains_key(&Proof::Password);
    if !has_password || !reset.is_some_and(|reset| entered.matches(reset)) {
        return Err(Refusal::Unknown);
    }
    let mut after = account.clone();
    after.end_other_access();
    after.second_factors = SecondFactors::default();
    let mut renewed = session.clone();
    renewed.epoch = after.session_epoch;
    renewed.proofs.retain(|proof, _| *proof == Proof::Password);
    let text = MailText::SecondFactorChanged {
        event: FactorEvent::Reset,
    };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ResetSecondFactors, rng)
        .for_organization(session.organization.as_ref());
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .change(Change::RenewSession(renewed.clone()))
        .send([mail(account, now, text, rng)]);
    let attempts = attempts.into_iter().map(Change::ForgetAttempts);
    let decision = attempts.fold(decision, Decision::change);
    Ok((after, renewed, decision))
}

/// Cancels a reset for the signed-in owner (MF-06). Returns `None` if none is pending.
pub fn cancel_reset(
    account: &Account,
    session: &Session,
    context: Context<'_>,
) -> Option<Decision> {
    let Context { origin, rng, .. } = context;
    account.second_factors.reset.as_ref()?;
    let mut after = account.clone();
    after.second_factors.reset = None;
    let audit = AuditEvent::by_owner(origin, &account.id, Action::CancelSecondFactorReset, rng)
        .for_organization(session.organization.as_ref());
    Some(Decision::recording(audit).update(account, after))
}

/// Cancels a reset for the owner of the address, who did not request it. Whoever did may know the password, so every
/// other way in ends, too (MF-06, SE-01). Returns `None` if the token isn't that of the latest reset or the reset
/// has expired.
pub fn disown_reset(account: &Account, token: &Token, context: Context<'_>) -> Option<Decision> {
    let Context { origin, rng, .. } = context;
    let reset = account.second_factors.pending_reset(origin.at)?;
    if account.status != Status::Active || reset.cancellation != token.digest() {
        return None;
    }
    let mut after = account.clone();
    after.end_other_access();
    let action = Action::CancelSecondFactorReset;
    let audit = AuditEvent::by_owner(origin, &account.id, action, rng);
    Some(Decision::recording(audit).update(account, after))
}
