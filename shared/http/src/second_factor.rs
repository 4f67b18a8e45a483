//! What the operations on second factors share: the request that gives a factor, the confirmation of sensitive
//! actions, and resets (MF-01 to MF-07).

use std::future;

use axum::http::StatusCode;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use vestibule_domain::policy::{FactorMethod, Policy, Role};
use vestibule_domain::rules::second_factor::PresentedFactor;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::passkey::Started;
use vestibule_secrets::recovery_code::RecoveryCode;
use vestibule_store::attempts::MINUTES_PER_DAY;

use crate::passkeys::ceremonies;
pub use crate::passkeys::{CeremonyPurpose, SignedChallenge};
use crate::rate_limit::Counter;
use crate::responses::moment;
use crate::secret_check::{self, Checked, Comparer, Described, Proven};
use crate::{App, Caller, Problem};

/// The maximum length of an entered code, in characters.
const MAX_CODE_LENGTH: usize = 40;

/// The beginning of a ceremony with a passkey.
#[derive(Debug, Serialize, ToSchema)]
pub struct PasskeyChallengeResponse {
    /// Send it back with the result.
    ceremony: String,
    /// What `PublicKeyCredential.parseRequestOptionsFromJSON` or `parseCreationOptionsFromJSON` takes.
    options: Value,
}

impl From<Started> for PasskeyChallengeResponse {
    fn from(started: Started) -> Self {
        Self {
            ceremony: started.ceremony,
            options: started.options,
        }
    }
}

/// Starts an authentication with a passkey: one of an account, or any that the browser offers.
pub fn challenge(
    app: &App,
    account: Option<&Account>,
    purpose: CeremonyPurpose<'_>,
    (policy, now): (&Policy, jiff::Timestamp),
    rng: &mut impl CryptoRng,
) -> PasskeyChallengeResponse {
    let passkeys = account.map(|a| a.second_factors.passkeys.as_slice());
    let passkeys = passkeys.unwrap_or_default().iter();
    let allow: Vec<_> = passkeys.map(|p| p.credential.clone()).collect();
    let started = ceremonies(app, purpose, (policy, now)).start_authentication(&allow, rng);
    started.into()
}

/// A second factor, exactly one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorRequest {
    /// The code that the authenticator app shows.
    #[schema(max_length = 40)]
    pub code: Option<String>,
    /// An unused recovery code.
    #[schema(max_length = 40)]
    pub recovery_code: Option<String>,
    /// The result of a ceremony with a passkey.
    pub passkey: Option<SignedChallenge>,
}

/// A second factor as entered.
#[derive(Debug)]
pub enum Entered {
    Code(Sensitive),
    RecoveryCode(RecoveryCode),
    Passkey(SignedChallenge),
}

impl FactorRequest {
    /// Parses the one factor that is given.
    ///
    /// # Errors
    /// A problem that names the invalid fields.
    pub fn parse(self) -> Result<Entered, Problem> {
        let one = "give exactly one of code, recovery_code and passkey";
        match (self.code, self.recovery_code, self.passkey) {
            (Some(code), None, None) if code.len() <= MAX_CODE_LENGTH => {
                Ok(Entered::Code(Sensitive::new(code)))
            }
            (Some(_), None, None) => Err(Problem::invalid_field(
                "code",
                "must be the six digits of the app",
            )),
            (None, Some(code), None) => RecoveryCode::parse(&code)
                .filter(|_| code.len() <= MAX_CODE_LENGTH)
                .map(Entered::RecoveryCode)
                .ok_or_else(|| {
                    let detail = "must be a recovery code such as 7K3M-9QXT-2WVB-8D5H";
                    Problem::invalid_field("recovery_code", detail)
                }),
            (None, None, Some(signed)) => {
                signed.validate()?;
                Ok(Entered::Passkey(signed))
            }
            _ => Err(Problem::invalid_field("code", one)),
        }
    }
}

/// Compares a second factor of the caller, after counting the attempt.
///
/// # Errors
/// A problem when it is wrong or too many attempts were made.
pub async fn check(
    app: &App,
    caller: &Caller,
    entered: &Entered,
) -> Result<(PresentedFactor, Proven), Problem> {
    let (policy, account) = (&*caller.policy, &caller.account);
    let counter = Counter::second_factor(&account.id, policy);
    let described = Described::by(caller, Action::EnterSecondFactor);
    let compare = async |comparer: Comparer<'_>| {
        let has = |method| policy.has_method(method);
        let given = match entered {
            Entered::Code(code) if has(FactorMethod::AuthenticatorApp) => {
                comparer.app_code(account, code)
            }
            Entered::RecoveryCode(code) => comparer.recovery_code(account, code),
            Entered::Passkey(signed) if has(FactorMethod::Passkey) => {
                let purpose = CeremonyPurpose::SecondFactor(caller);
                let used = comparer.passkey(Some(account), signed, purpose);
                used.map(PresentedFactor::Passkey)
            }
            Entered::Code(_) | Entered::Passkey(_) => None,
        };
        Ok(given.ok_or("wrong_second_factor"))
    };
    let scene = (policy, &caller.origin);
    let described = future::ready(Ok(described));
    match secret_check::check(app, &[counter], scene, described, compare).await? {
        Checked::Right(given, proven) => Ok((given, proven)),
        Checked::Wrong { .. } => Err(wrong(policy)),
        Checked::Exhausted(_) => Err(Problem::too_many_attempts(
            "There were too many attempts to enter a second factor. Try again tomorrow, or ask the help desk.",
            MINUTES_PER_DAY,
            policy,
        )),
    }
}

/// Returns the problem for a second factor that does not match or was used before.
pub fn wrong(policy: &Policy) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "second-factor-wrong",
        "Second factor not accepted",
        "This code or passkey was not accepted. A code works once and only for about a minute. Try again with a new one.",
    )
    .with_help(policy)
}

impl Caller {
    /// Requires a recent second factor from a caller who has one, before a role that manages others is given to
    /// someone (MF-07).
    ///
    /// # Errors
    /// The problem `step-up-required`.
    pub fn require_confirmation_to_grant(&self, role: Role) -> Result<(), Problem> {
        match role.is_administrator() {
            true => self.require_confirmation(Confirmation::FactorIfAny),
            false => Ok(()),
        }
    }

    /// Requires a recent confirmation for a sensitive action (MF-01, MF-07): the second factor or, for an
    /// account without one, what `confirmation` says.
    ///
    /// # Errors
    /// The problem `step-up-required`.
    pub fn require_confirmation(&self, confirmation: Confirmation) -> Result<(), Problem> {
        let has_factor = self.account.has_second_factor(&self.policy);
        if !has_factor && confirmation == Confirmation::FactorIfAny {
            return Ok(());
        }
        if self
            .session
            .is_confirmed(&self.account, &self.policy, self.origin.at)
        {
            return Ok(());
        }
        let detail = match has_factor {
            true => "Confirm this with your second factor, then try again.",
            false => "Confirm this with your password, then try again.",
        };
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            "step-up-required",
            "Confirmation required",
            detail,
        ))
    }
}

/// A reset of second factors that an administrator or the help desk started, and that is not completed (MF-06).
#[derive(Debug, Serialize, ToSchema)]
pub struct FactorResetResponse {
    /// What completes it besides the password: `email` for the link in an email, or `pin_letter` for the PIN of a
    /// letter.
    verification: &'static str,
    /// When it expires.
    expires_at: String,
}

impl FactorResetResponse {
    /// Describes the reset of an account that can be completed at a time, if there is one.
    pub fn of(account: &Account, now: jiff::Timestamp) -> Option<Self> {
        let reset = account.second_factors.pending_reset(now)?;
        Some(Self {
            verification: reset.verification().into_str(),
            expires_at: moment(reset.expires_at),
        })
    }
}

/// Returns the problem for a reset that can't be completed or canceled.
pub fn reset_unusable(policy: &Policy) -> Problem {
    Problem::new(
        StatusCode::GONE,
        "second-factor-reset-unusable",
        "Reset no longer valid",
        "This reset has expired, was canceled or already completed, or is not the most recent one. Sign in with your second factor, or ask for a new reset.",
    )
    .with_help(policy)
}

/// What confirms a sensitive action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// A recent second factor; nothing for an account that has none (MF-07).
    FactorIfAny,
    /// A recent second factor or, for an account that has none, the password (MF-01).
    FactorOrPassword,
}
