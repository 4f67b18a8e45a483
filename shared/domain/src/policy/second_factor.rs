//! `[second_factor]`: who needs a second factor, which ones there are, and how a lost one is reset.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::faults::Faults;
use super::fields::{Bounded, Line};
use super::read::{leaves, section};
use super::roles::{ReadRoles, Role};

/// A kind of second factor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum FactorMethod {
    /// A passkey (WebAuthn). If it verifies its user, it is the only factor that sign-in needs (MF-03).
    Passkey,
    /// An authenticator app that shows a code of six digits (RFC 6238).
    AuthenticatorApp,
}

/// Who can start the reset of a lost second factor (MF-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactorResetter {
    /// An administrator of the organization.
    Administrator,
    /// The plan's help desk.
    HelpDesk,
}

/// What the owner proves before the reset takes effect (MF-06).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ResetVerification {
    /// The link in an email to the address on file.
    Email,
    /// The PIN of a letter to the postal address on record.
    PinLetter,
}

section! {
    /// Second factors (MF-01 to MF-08).
    pub struct SecondFactorPolicy {
        /// The roles that require one. Users of other roles may set one up.
        pub required_for: BTreeSet<Role> = BTreeSet::new(),
        /// The kinds that users can set up.
        pub methods: BTreeSet<FactorMethod> = [FactorMethod::Passkey, FactorMethod::AuthenticatorApp].into(),
        /// How many recovery codes a user gets.
        pub recovery_codes: Bounded<5, 20> = Bounded(10),
        /// For how many days a device can be trusted; 0: not at all (MF-08).
        pub trusted_device_days: Bounded<0, 90> = Bounded(0),
        /// For how many minutes a factor, or the password, confirms a sensitive action (MF-07).
        pub step_up_minutes: Bounded<1, 60> = Bounded(10),
        /// Who can start a reset.
        pub reset_by: BTreeSet<FactorResetter> = [FactorResetter::Administrator, FactorResetter::HelpDesk].into(),
        /// What the owner proves before a reset takes effect.
        pub reset_verification: ResetVerification = ResetVerification::Email,
        /// The domain to which passkeys are bound (WebAuthn Level 3, 5.1.2); absent: the host of `site`.
        pub relying_party_id: Option<Line> = None,
    }
}

leaves!(FactorMethod, FactorResetter, ResetVerification);

impl SecondFactorPolicy {
    /// Checks that a factor can be set up and a lost one reset, and that the required roles exist.
    pub(super) fn check(&self, has_pin: bool, roles: Option<&ReadRoles>, faults: &mut Faults) {
        if self.methods.is_empty() {
            faults.add("second_factor.methods", "must name at least one method");
        }
        if self.reset_by.is_empty() {
            faults.add(
                "second_factor.reset_by",
                "must name who can reset a lost factor, or its owner is locked out",
            );
        }
        if self.reset_verification == ResetVerification::PinLetter && !has_pin {
            faults.add(
                "second_factor.reset_verification",
                "pin_letter needs a [pin] section",
            );
        }
        for role in &self.required_for {
            if roles.is_some_and(|roles| roles.lacks(*role)) {
                let reason = format!("{} has no section of its own", role.into_str());
                faults.add("second_factor.required_for", reason);
            }
        }
    }
}
