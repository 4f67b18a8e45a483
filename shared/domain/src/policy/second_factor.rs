//! `[second_factor]`: who needs a second factor, and which ones there are.

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

/// Who can start a reset of a person's second factors (MF-06).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum FactorResetter {
    /// An administrator of the person's organization.
    Administrator,
    /// The plan's help desk.
    HelpDesk,
}

/// What proves the person besides the password before the second factors are removed (MF-06).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ResetVerification {
    /// A link in an email to the address on record.
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
        /// Who can start a reset of lost factors (MF-06).
        pub reset_by: BTreeSet<FactorResetter> = [FactorResetter::Administrator, FactorResetter::HelpDesk].into(),
        /// What proves the person before the reset takes effect (MF-06).
        pub reset_verification: ResetVerification = ResetVerification::Email,
        /// The domain to which passkeys are bound (WebAuthn Level 3, 5.1.2); absent: the host of `site`.
        pub relying_party_id: Option<Line> = None,
    }
}

leaves!(FactorMethod, FactorResetter, ResetVerification);

impl SecondFactorPolicy {
    /// Checks that a factor can be set up, that the required roles exist, and that a PIN letter can be sent.
    pub(super) fn check(&self, roles: Option<&ReadRoles>, has_pin: bool, faults: &mut Faults) {
        if self.methods.is_empty() {
            faults.add("second_factor.methods", "must name at least one method");
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
