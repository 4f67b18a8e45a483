//! The one function that compares what a person knows with what is stored: a password, PIN, registration
//! code, security answer or fact of a plan record (SE-04).
//!
//! [`check`] counts the attempt first, compares second and records the outcome on the audit trail. Nothing
//! else can compare: [`Passwords`] keeps the hasher to itself, and only [`check`] creates a [`Comparer`].
//! A token of 256 bits is not a secret that can be guessed, and is not counted.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use futures::future;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{Policy, RateLimit};
use vestibule_domain::rules::second_factor::{PasskeyUse, PresentedFactor};
use vestibule_domain::state::account::{Account, PasswordHash, QuestionAnswer};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::state::membership::Issue;
use vestibule_domain::state::record::{self, PlanRecord, RecordKey, Verification};
use vestibule_domain::values::ids::{AccountId, OrganizationId};
use vestibule_domain::values::text::Sensitive;
use vestibule_domain::{Change, Decision};
use vestibule_secrets::passkey;
use vestibule_secrets::recovery_code::RecoveryCode;
use vestibule_secrets::{Hasher, Purpose, Verified, totp};
use vestibule_store::attempts::AttemptKind;
use zeroize::Zeroizing;

use crate::passkeys::{CeremonyPurpose, SignedChallenge, ceremonies};
use crate::rate_limit::{
    Counter, Scene, TOO_MANY_ATTEMPTS, count_all, exhausted, record_exhausted, record_subject,
};
use crate::{App, Caller, Problem};

/// The hasher of an application. Everyone can hash a new password; only [`check`] compares one.
#[derive(Debug, Clone)]
pub struct Passwords(Hasher);

impl Passwords {
    pub const fn new(hasher: Hasher) -> Self {
        Self(hasher)
    }

    /// Hashes a new password. `salt` must be random and unique.
    pub async fn hash(&self, password: &Sensitive, salt: [u8; 16]) -> PasswordHash {
        self.0.hash(password, salt).await
    }

    /// Returns the number of hashes computed so far; tests use it to compare the work of two requests.
    pub fn runs(&self) -> u64 {
        self.0.runs()
    }
}

/// The reason of an attempt with a wrong password.
pub const WRONG_PASSWORD: &str = "wrong_password";

/// How the audit trail describes a refused attempt.
#[derive(Debug, Clone)]
pub struct Described {
    pub action: Action,
    pub actor: Actor,
    pub object: Option<String>,
    pub organization: Option<OrganizationId>,
}

impl Described {
    /// Describes an attempt by someone who is not identified.
    pub const fn anonymous(action: Action) -> Self {
        Self {
            action,
            actor: Actor::Unknown,
            object: None,
            organization: None,
        }
    }

    /// Describes an attempt of a signed-in caller.
    pub fn by(caller: &Caller, action: Action) -> Self {
        Self {
            action,
            actor: Actor::Account(caller.account.id.clone()),
            object: Some(caller.account.id.to_string()),
            organization: caller.session.organization.clone(),
        }
    }

    /// Sets the account at whose secret the attempt is made, if there is one.
    #[must_use]
    pub fn on(mut self, account: Option<&Account>) -> Self {
        self.object = account.map(|a| a.id.to_string());
        self
    }

    fn refused(&self, origin: &Origin, reason: &str, rng: &mut StdRng) -> Decision {
        let mut audit = AuditEvent::refused(origin, self.actor.clone(), self.action, reason, rng);
        audit.object.clone_from(&self.object);
        audit.organization.clone_from(&self.organization);
        Decision::recording(audit)
    }

    /// Records a refused attempt.
    pub(crate) async fn refuse(
        &self,
        app: &App,
        origin: &Origin,
        reason: &str,
    ) -> Result<(), Problem> {
        let mut rng = app.rng();
        let refused = self.refused(origin, reason, &mut rng);
        Ok(app.commit(refused, &mut rng).await?)
    }
}

/// The outcome of an attempt. A refused one is already on the audit trail.
#[derive(Debug)]
pub enum Checked<T> {
    /// Everything matched. The decision that follows, with its audit event, records it.
    Right(T, Proven),
    /// Something did not match.
    Wrong {
        /// How many attempts the first counter has counted, including this one.
        used: u32,
    },
    /// A counter of this kind had reached its limit, so nothing was compared.
    Exhausted(AttemptKind),
}

impl<T> Checked<T> {
    /// Returns what matched, or `None` if it did not.
    ///
    /// # Errors
    /// The problem for an exceeded limit.
    pub fn within(
        self,
        limit: &RateLimit,
        policy: &Policy,
    ) -> Result<Option<(T, Proven)>, Problem> {
        match self {
            Self::Right(found, proven) => Ok(Some((found, proven))),
            Self::Wrong { .. } => Ok(None),
            Self::Exhausted(AttemptKind::Record) => Err(record_exhausted(policy)),
            Self::Exhausted(_) => Err(exhausted(limit, policy)),
        }
    }
}

/// Evidence of an attempt that matched; only [`check`] creates it.
#[derive(Debug, Clone)]
#[must_use = "the decision that follows must record the attempt and clear its counter"]
pub struct Proven {
    attempts: AttemptKey,
    described: Described,
    origin: Origin,
}

impl Proven {
    /// Returns the counter of the attempt, for the decision to clear.
    pub fn attempts(&self) -> AttemptKey {
        self.attempts.clone()
    }

    /// Records that the request was refused for another reason although everything matched, and clears the
    /// counter.
    ///
    /// # Errors
    /// A problem when it can't be recorded.
    pub async fn refuse(&self, app: &App, reason: &str) -> Result<(), Problem> {
        let mut rng = app.rng();
        let refused = self.described.refused(&self.origin, reason, &mut rng);
        let decision = refused.change(Change::ForgetAttempts(self.attempts()));
        Ok(app.commit(decision, &mut rng).await?)
    }

    /// Returns whether a new password is the account's current one or in its history (UX-10). Requires a
    /// proof, so that nobody else can try former passwords.
    pub async fn is_used_password(&self, app: &App, account: &Account, new: &Sensitive) -> bool {
        for used in account.used_passwords() {
            if app.hasher.0.verify(new, Some(used)).await != Verified::Wrong {
                return true;
            }
        }
        false
    }
}

/// Returns a decoy for [`Comparer::password`] that is nobody's username, as a username has no slash. Each
/// subject has its own, so that no counter is shared by all requests.
pub fn nobody(subject: &str) -> String {
    format!("/{subject}")
}

/// A password that matched.
#[derive(Debug, Clone)]
pub struct RightPassword {
    /// Whether the hash uses old parameters or an old key.
    pub is_outdated: bool,
    /// The counter of attempts at it, for a decision to clear.
    pub attempts: AttemptKey,
}

/// Compares secrets for one counted attempt.
#[derive(Debug)]
pub struct Comparer<'a> {
    app: &'a App,
    policy: &'a Policy,
    at: Timestamp,
    counted: Vec<AttemptKey>,
}

impl Comparer<'_> {
    /// Compares a password with that of an account, or does the same work without one (UX-09). Unless this
    /// attempt has been counted as one at the password, it is counted first, under the username or, without
    /// an account, under `decoy`. A password whose limit is exceeded does not match.
    ///
    /// # Errors
    /// A problem when the attempt can't be counted.
    pub async fn password(
        &self,
        account: Option<&Account>,
        decoy: &str,
        entered: &Sensitive,
    ) -> Result<Option<RightPassword>, Problem> {
        Ok(self.try_password(account, decoy, entered).await?.ok())
    }

    /// Does the same as [`Comparer::password`] and returns why the password does not match: it is wrong, or the
    /// limit is exceeded.
    ///
    /// # Errors
    /// A problem when the attempt can't be counted.
    pub async fn try_password(
        &self,
        account: Option<&Account>,
        decoy: &str,
        entered: &Sensitive,
    ) -> Result<Result<RightPassword, &'static str>, Problem> {
        let subject = account.map_or_else(|| decoy.to_owned(), |a| a.username.key());
        let counter = Counter::password(&subject, self.policy);
        let attempts = counter.key(self.app, self.at);
        let is_allowed = self.counted.contains(&attempts)
            || counter.count(self.app, self.at).await?.allowed.is_some();
        let account = account.filter(|_| is_allowed);
        let right = self.compare_password(account, entered, attempts).await;
        Ok(match is_allowed {
            true => right.ok_or(WRONG_PASSWORD),
            false => Err(TOO_MANY_ATTEMPTS),
        })
    }

    /// Compares a password that was entered on a device that the account knows. The attempt must have been
    /// counted for the device; it is not counted for the username (SE-05).
    ///
    /// # Errors
    /// A problem when the attempt was not counted for the device.
    pub async fn password_from_device(
        &self,
        account: &Account,
        (name, digest): (&str, &str),
        entered: &Sensitive,
    ) -> Result<Option<RightPassword>, Problem> {
        let attempts = Counter::device(name, digest, self.policy).key(self.app, self.at);
        if !self.counted.contains(&attempts) {
            return Err(Problem::internal(
                "a password was compared without a counter",
            ));
        }
        Ok(self
            .compare_password(Some(account), entered, attempts)
            .await)
    }

    async fn compare_password(
        &self,
        account: Option<&Account>,
        entered: &Sensitive,
        attempts: AttemptKey,
    ) -> Option<RightPassword> {
        let hash = account.and_then(|a| a.password.as_ref()).map(|p| &p.hash);
        match self.app.hasher.0.verify(entered, hash).await {
            Verified::Right { outdated } => Some(RightPassword {
                is_outdated: outdated,
                attempts,
            }),
            Verified::Wrong => None,
        }
    }

    /// Returns which authenticator app of an account shows a code now, and the code's time step.
    pub fn app_code(&self, account: &Account, entered: &Sensitive) -> Option<PresentedFactor> {
        let mut found = None;
        for app in &account.second_factors.apps {
            let secret = BASE32_NOPAD.decode(app.secret.expose().as_bytes());
            let secret = Zeroizing::new(secret.unwrap_or_default());
            let last = Some(app.last_step);
            let step = totp::accepted_step(&secret, entered.expose(), self.at, last);
            found = found.or(step.map(|step| PresentedFactor::AppCode {
                id: app.info.id.clone(),
                step,
            }));
        }
        found
    }

    /// Returns which recovery code of an account was entered.
    pub fn recovery_code(
        &self,
        account: &Account,
        entered: &RecoveryCode,
    ) -> Option<PresentedFactor> {
        let stored = &account.second_factors.recovery_codes;
        let found = entered.position(&self.app.hasher.0, account.id.as_str(), stored)?;
        stored
            .get(found)
            .cloned()
            .map(PresentedFactor::RecoveryCode)
    }

    /// Returns the passkey of an account that signed the challenge of a ceremony, or does the same work
    /// without an account or passkey (UX-09).
    pub fn passkey(
        &self,
        account: Option<&Account>,
        signed: &SignedChallenge,
        purpose: CeremonyPurpose<'_>,
    ) -> Option<PasskeyUse> {
        let (id, _) = passkey::credential_of(&signed.credential)?;
        let passkeys = account.map(|a| a.second_factors.passkeys.as_slice());
        let mut passkeys = passkeys.unwrap_or_default().iter();
        let found = passkeys.find(|p| p.credential.credential_id == id);
        let ceremonies = ceremonies(self.app, purpose, (self.policy, self.at));
        let stored = found.map(|p| &p.credential);
        let verified =
            ceremonies.finish_authentication(&signed.ceremony, &signed.credential, stored);
        let (assertion, found) = verified.ok().zip(found)?;
        Some(PasskeyUse {
            id: found.info.id.clone(),
            challenge: BASE64URL_NOPAD.encode(&assertion.challenge_id),
            expires_at: self.at + SignedDuration::from_secs(passkey::CEREMONY_SECONDS),
            user_verified: assertion.user_verified,
            sign_count: assertion.sign_count,
            backed_up: assertion.backed_up,
        })
    }

    /// Returns whether the digits are those of a PIN.
    pub fn is_pin(&self, issue: &Issue, entered: &Sensitive) -> bool {
        let hasher = &self.app.hasher.0;
        hasher.is_code(&issue.code, Purpose::Pin, issue.id.as_str(), entered)
    }

    pub fn is_registration_code(&self, issue: &Issue, entered: &Sensitive) -> bool {
        let (hasher, purpose) = (&self.app.hasher.0, Purpose::RegistrationCode);
        hasher.is_code(&issue.code, purpose, issue.id.as_str(), entered)
    }

    /// Returns whether an answer is that to a security or hint question of an account.
    pub fn is_answer(
        &self,
        stored: &QuestionAnswer,
        account: &AccountId,
        entered: &Sensitive,
    ) -> bool {
        let context = answer_context(account, &stored.question);
        let (hasher, purpose) = (&self.app.hasher.0, Purpose::SecurityAnswer);
        hasher.is_code(&stored.answer, purpose, &context, entered)
    }

    /// Returns the plan record that the facts match (AG-06, AG-07).
    pub fn find_record<'r>(
        &self,
        records: &'r [PlanRecord],
        verification: &Verification,
    ) -> Option<&'r PlanRecord> {
        record::find(records, verification, |mac, context, entered| {
            let (hasher, purpose) = (&self.app.hasher.0, Purpose::RecordProof);
            hasher.is_code(mac, purpose, context, entered)
        })
    }
}

/// The context to which the MAC of an answer is bound.
pub(crate) fn answer_context(account: &AccountId, question: &str) -> String {
    format!("{account}/{question}")
}

/// Counts an attempt, compares, and records a refusal; a match is recorded by the decision that follows it
/// (SE-04, OWASP ASVS 5.0.0, 6.3.1).
///
/// All counters are incremented, with a condition, while `load` loads what the trail says about the attempt.
/// If one is exhausted, `compare` does not run. `compare` returns what matched, or the reason to record.
///
/// # Errors
/// A problem when an attempt can't be counted or recorded, and those of `load` and `compare`.
pub async fn check<'a, T, C, F>(
    app: &'a App,
    counters: &[Counter],
    (policy, origin): Scene<'a>,
    load: impl Future<Output = Result<Described, Problem>>,
    compare: C,
) -> Result<Checked<T>, Problem>
where
    C: FnOnce(Comparer<'a>) -> F,
    F: Future<Output = Result<Result<T, &'static str>, Problem>>,
{
    let counting = async { Ok(count_all(app, counters, origin.at).await?) };
    let ((counted, exhausted), described) = future::try_join(counting, load).await?;
    if let Some(kind) = exhausted {
        let reason = match kind {
            AttemptKind::Pin | AttemptKind::RegistrationCode => "locked",
            AttemptKind::Record => "too_many_attempts_at_record",
            _ => TOO_MANY_ATTEMPTS,
        };
        if kind == AttemptKind::Record {
            tracing::error!(portal = %policy.portal, "someone is guessing the facts of a plan record");
        }
        described.refuse(app, origin, reason).await?;
        return Ok(Checked::Exhausted(kind));
    }
    let Some(first) = counted.first() else {
        return Err(Problem::internal("a secret was compared without a counter"));
    };
    let (attempts, used) = (first.key.clone(), first.allowed.unwrap_or_default());
    let comparer = Comparer {
        app,
        policy,
        at: origin.at,
        counted: counted.into_iter().map(|c| c.key).collect(),
    };
    match compare(comparer).await? {
        Ok(found) => {
            let proven = Proven {
                attempts,
                described,
                origin: origin.clone(),
            };
            Ok(Checked::Right(found, proven))
        }
        Err(reason) => {
            described.refuse(app, origin, reason).await?;
            Ok(match reason {
                TOO_MANY_ATTEMPTS => Checked::Exhausted(AttemptKind::Password),
                _ => Checked::Wrong { used },
            })
        }
    }
}

/// Checks the password of an account outside of sign-in. It counts as a sign-in attempt, so that no other
/// operation bypasses that limit. Returns `None` if it is wrong.
///
/// # Errors
/// A problem when the limit is exceeded.
pub async fn password(
    app: &App,
    account: &Account,
    entered: &Sensitive,
    described: Described,
    (policy, origin): Scene<'_>,
) -> Result<Option<Proven>, Problem> {
    let counter = Counter::password(&account.username.key(), policy);
    let compare = async |comparer: Comparer<'_>| {
        let right = comparer.password(Some(account), "", entered).await?;
        Ok(right.ok_or(WRONG_PASSWORD))
    };
    let described = future::ready(Ok(described));
    let checked = check(app, &[counter], (policy, origin), described, compare).await?;
    let right = checked.within(&policy.rate_limits.sign_in, policy)?;
    Ok(right.map(|(_, proven)| proven))
}

/// Checks the facts with which a person proves to be in the plan's records. It counts for the record, whose
/// number a family shares, and for the source, within a `step` of its own. Returns the record that matches.
///
/// # Errors
/// A problem when a limit is exceeded.
pub async fn verification(
    app: &App,
    (record, verification): (&RecordKey, &Verification),
    step: &str,
    described: Described,
    (policy, origin): Scene<'_>,
) -> Result<Option<(PlanRecord, Proven)>, Problem> {
    let counters = verification_counters(record, step, (policy, origin));
    let compare = async |comparer: Comparer<'_>| {
        let records = app.store.plan_records(record).await?;
        let matched = comparer.find_record(&records, verification).cloned();
        Ok(matched.ok_or("not_matched"))
    };
    let described = future::ready(Ok(described));
    let checked = check(app, &counters, (policy, origin), described, compare).await?;
    checked.within(&policy.rate_limits.registration, policy)
}

/// Returns the counters of attempts at a record, for the record on this portal, for the source, and for the
/// record on all portals.
pub fn verification_counters(record: &RecordKey, step: &str, scene: Scene<'_>) -> [Counter; 3] {
    let (policy, _) = scene;
    let subject = record_subject(record);
    let limit = &policy.rate_limits.registration;
    [
        Counter::step((AttemptKind::Verification, step), &subject, limit, policy),
        Counter::source(step, limit, scene),
        Counter::record(record),
    ]
}

/// Loads a record again that matched, to decide again after a conflict. Returns `None` if the facts that
/// matched have changed since.
///
/// # Errors
/// A problem when the store doesn't respond.
pub async fn reload(app: &App, matched: &PlanRecord) -> Result<Option<PlanRecord>, Problem> {
    let now = app.store.plan_record(&matched.key).await?;
    Ok(now.filter(|now| now.facts == matched.facts))
}

/// Records that a person repeated a completed registration with the right password, or a signed-in user with
/// the right facts. `attempts` is the counter of attempts at the password.
///
/// # Errors
/// A problem when it can't be recorded; the response must then not be repeated.
pub async fn record_repeated(
    app: &App,
    account: &Account,
    attempts: Option<AttemptKey>,
    origin: &Origin,
) -> Result<(), Problem> {
    let mut rng = app.rng();
    let actor = Actor::Account(account.id.clone());
    let audit = AuditEvent::done(origin, actor, Action::RepeatRegistration, &mut rng)
        .on(account.id.as_str());
    let decision = attempts
        .map(Change::ForgetAttempts)
        .into_iter()
        .fold(Decision::recording(audit), Decision::change);
    Ok(app.commit(decision, &mut rng).await?)
}
