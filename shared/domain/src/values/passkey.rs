//! The public part of a passkey.

use serde::{Deserialize, Serialize};

use super::base64url;

/// A passkey as stored: the credential record of WebAuthn Level 3 (section 4) without attestation. Nothing
/// in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredPasskey {
    /// Identifies the passkey. Chosen by the authenticator, 16 to 1,023 bytes.
    #[serde(with = "base64url")]
    pub credential_id: Vec<u8>,
    /// The key that verifies its signatures, a `COSE_Key` (RFC 9052, section 7).
    #[serde(with = "base64url")]
    pub public_key: Vec<u8>,
    /// The signature counter of the latest ceremony. 0 if the authenticator does not count.
    pub sign_count: u32,
    /// Whether the passkey can be synchronized between devices. It never changes.
    pub backup_eligible: bool,
    /// Whether the passkey was synchronized at the latest ceremony.
    pub backed_up: bool,
    /// How a browser reaches the authenticator, such as `internal`, `hybrid` or `usb`. Sent back to the
    /// browser as a hint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<String>,
}
