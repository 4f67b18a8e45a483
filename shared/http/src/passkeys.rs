//! Where passkeys are created and used, and what a browser returns.

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::ids::AccountId;
use vestibule_secrets::passkey::{self, MAX_CEREMONY_LENGTH, RelyingParty};

use crate::Problem;

/// Returns the relying party of a portal: where passkeys are created and used.
pub fn relying_party(policy: &Policy) -> RelyingParty {
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
