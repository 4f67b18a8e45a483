//! The second factors of an account, inside its item, so that the condition on the account's version decides
//! every race and nothing is accepted twice (MF-05).

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::policy::{FactorMethod, ResetVerification, SecondFactorPolicy};
use crate::state::membership::Issue;
use crate::state::record::Mac;
use crate::values::ids::FactorId;
use crate::values::passkey::StoredPasskey;
use crate::values::text::{FactorName, Sensitive};

/// The maximum number of authenticator apps of an account.
pub const MAX_APPS: usize = 3;

/// The maximum number of passkeys of an account.
pub const MAX_PASSKEYS: usize = 10;

/// How the owner of a session proved who they are, each as an authentication method of RFC 8176.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Proof {
    Password,
    /// A passkey that verified its user, which counts as both factors.
    Passkey,
    /// A passkey that did not verify its user, after a password.
    SecurityKey,
    AuthenticatorApp,
    RecoveryCode,
    /// A device on which the factor was given earlier (MF-08). It does not confirm sensitive actions.
    TrustedDevice,
}

impl Proof {
    /// Returns whether it is a second factor that was given in this session.
    pub const fn is_factor(self) -> bool {
        !matches!(self, Self::Password | Self::TrustedDevice)
    }
}

/// What all second factors have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorInfo {
    pub id: FactorId,
    /// The name that its owner gave it.
    pub name: FactorName,
    pub added_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// An authenticator app that shows codes by time (RFC 6238).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticatorApp {
    #[serde(flatten)]
    pub info: FactorInfo,
    /// The secret that the app shares, base32. The store seals it apart from the rest.
    #[serde(skip, default = "sealed")]
    pub secret: Sensitive,
    /// The latest time step whose code was accepted. Neither it nor an earlier one is accepted again
    /// (RFC 6238, 5.2).
    pub last_step: u64,
}

/// Returns what stands for a secret until the store has opened it.
fn sealed() -> Sensitive {
    Sensitive::new("")
}

/// A passkey (WebAuthn).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    #[serde(flatten)]
    pub info: FactorInfo,
    pub credential: StoredPasskey,
    /// Whether it signs in without the password. It does until the password is reset; then it has to be
    /// given once together with the new password, so that a passkey of someone who took over the account
    /// is of no use after its owner has recovered it (SE-01).
    pub signs_in_alone: bool,
}

/// A challenge that was answered. It is kept until it expires, so that the answer is accepted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedChallenge {
    /// The SHA-256 of the challenge, base64url.
    pub id: String,
    pub expires_at: Timestamp,
}

/// A reset of the second factors that an administrator or the help desk started. They go when the owner has
/// proved the address on record (MF-06).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactorReset {
    pub evidence: ResetEvidence,
    /// The digest of the token with which the owner cancels the reset without signing in.
    pub cancellation: String,
    pub expires_at: Timestamp,
}

/// What the owner proves the address on record with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetEvidence {
    /// The digest of the token in an email.
    Link(String),
    /// The PIN of a letter.
    Pin(Issue),
}

impl FactorReset {
    pub const fn verification(&self) -> ResetVerification {
        match self.evidence {
            ResetEvidence::Link(_) => ResetVerification::Email,
            ResetEvidence::Pin(_) => ResetVerification::PinLetter,
        }
    }

    /// Returns the PIN that was mailed, if it is one.
    pub const fn pin(&self) -> Option<&Issue> {
        match &self.evidence {
            ResetEvidence::Link(_) => None,
            ResetEvidence::Pin(issue) => Some(issue),
        }
    }
}

/// A device on which the owner signs in without a second factor for some time (MF-08).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedDevice {
    pub id: FactorId,
    /// The browser and system that it reported, in fixed names.
    pub program: String,
    pub trusted_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The second factors of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecondFactors {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passkeys: Vec<Passkey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<AuthenticatorApp>,
    /// The keyed MACs of the recovery codes that were not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery_codes: Vec<Mac>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_challenges: Vec<UsedChallenge>,
    /// The devices that need no second factor, by digest (MF-08).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trusted_devices: BTreeMap<String, TrustedDevice>,
    /// The latest reset that was started, expired or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<FactorReset>,
}

impl SecondFactors {
    /// Returns whether the account has nothing to do with second factors.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the kinds that the account has, as far as the portal has them.
    pub fn methods(&self, policy: &SecondFactorPolicy) -> BTreeSet<FactorMethod> {
        let passkey = (!self.passkeys.is_empty()).then_some(FactorMethod::Passkey);
        let app = (!self.apps.is_empty()).then_some(FactorMethod::AuthenticatorApp);
        let all = [passkey, app].into_iter().flatten();
        all.filter(|method| policy.methods.contains(method))
            .collect()
    }

    /// Returns a factor to change it.
    pub fn find_mut(&mut self, id: &FactorId) -> Option<&mut FactorInfo> {
        let passkeys = self.passkeys.iter_mut().map(|p| &mut p.info);
        let mut all = passkeys.chain(self.apps.iter_mut().map(|a| &mut a.info));
        all.find(|info| info.id == *id)
    }

    /// Returns the reset that can be completed at a time.
    pub fn pending_reset(&self, now: Timestamp) -> Option<&FactorReset> {
        let reset = self.reset.as_ref();
        reset.filter(|reset| now < reset.expires_at)
    }

    /// Returns whether a device is trusted at a time.
    pub fn trusts(&self, device: &str, now: Timestamp) -> bool {
        let trusted = self.trusted_devices.get(device);
        trusted.is_some_and(|trusted| now < trusted.expires_at)
    }

    /// Ends what lets someone in with less than the password and a factor, or changes the factors: the trust
    /// in devices, a reset that is pending, and signing in by a passkey alone (SE-01).
    pub fn end_other_access(&mut self) {
        self.trusted_devices.clear();
        self.reset = None;
        for passkey in &mut self.passkeys {
            passkey.signs_in_alone = false;
        }
    }
}
