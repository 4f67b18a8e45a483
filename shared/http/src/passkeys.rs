//! Where passkeys are created and used, and what a browser returns.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::ids::AccountId;
use vestibule_secrets::passkey::{self, Ceremonies, MAX_CEREMONY_LENGTH, RelyingParty};

use crate::{App, Caller, Problem};

/// The purpose of a ceremony. A ceremony for one is of no use for another (MF-05).
#[derive(Debug, Clone, Copy)]
pub enum CeremonyPurpose<'a> {
    /// Signing in with a discoverable passkey.
    SignIn,
    /// Giving the second factor in a session.
    SecondFactor(&'a Caller),
    /// Adding a passkey or app in a session.
    Enrollment(&'a Caller),
}

impl CeremonyPurpose<'_> {
    /// Returns the text to which a ceremony is bound: portal, purpose and session.
    pub fn binding(self, policy: &Policy) -> String {
        let portal = &policy.portal;
        match self {
            Self::SignIn => format!("{portal}/sign-in"),
            Self::SecondFactor(caller) => format!("{portal}/second-factor/{}", caller.session.id),
            Self::Enrollment(caller) => format!("{portal}/enrollment/{}", caller.session.id),
        }
    }
}

/// Returns the ceremonies of a portal for a purpose. Both requests of a ceremony must name the same one.
pub(crate) fn ceremonies<'a>(
    app: &'a App,
    purpose: CeremonyPurpose<'_>,
    (policy, now): (&Policy, Timestamp),
) -> Ceremonies<'a> {
    Ceremonies {
        rp: relying_party(policy),
        keyring: app.keyring(),
        binding: purpose.binding(policy),
        now,
    }
}

/// Returns the relying party of a portal: where passkeys are created and used.
fn relying_party(policy: &Policy) -> RelyingParty {
    let site = policy.site.origin();
    let others = policy.origins.iter().map(|o| o.as_str());
    let mut origins: Vec<String> = [site]
        .into_iter()
        .chain(others)
        .map(str::to_owned)
        .collect();
    origins.dedup();
    RelyingParty {
        id: policy.relying_party_id().to_owned(),
        origins,
        name: policy.title.to_string(),
    }
}

/// The result of a ceremony with a passkey.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedChallenge {
    /// The `ceremony` of the challenge.
    #[schema(max_length = 2048)]
    pub ceremony: String,
    /// The result of `navigator.credentials.get()` or `create()`, as its `toJSON()` returns it.
    #[schema(value_type = Object)]
    pub credential: Value,
}

impl SignedChallenge {
    /// Returns the account that a discoverable passkey names, as the user handle.
    pub fn account(&self) -> Option<AccountId> {
        let (_, handle) = passkey::credential_of(&self.credential)?;
        AccountId::parse(std::str::from_utf8(&handle?).ok()?).ok()
    }

    /// Checks the form.
    ///
    /// # Errors
    /// A problem that names the field.
    pub fn validate(&self) -> Result<(), Problem> {
        if self.ceremony.len() > MAX_CEREMONY_LENGTH {
            return Err(Problem::invalid_field(
                "ceremony",
                "must be the value returned with the challenge",
            ));
        }
        if !self.credential.is_object() {
            return Err(Problem::invalid_field(
                "credential",
                "must be what the browser returned for the challenge",
            ));
        }
        Ok(())
    }
}
