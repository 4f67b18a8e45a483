//! What an application was given: codes and access tokens, in the partition of their account. Only digests are
//! stored.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use crate::values::ids::{AccountId, OrganizationId, PortalId};

/// What an application asks to know about a user (OpenID Connect Core 1.0, 5.4).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Scope {
    /// Required: who the user is, and what they may use.
    #[serde(rename = "openid")]
    #[strum(serialize = "openid")]
    OpenId,
    /// The name and username.
    Profile,
    Email,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::OpenId, Self::Profile, Self::Email];

    /// Parses one scope; `None` for one that is not known.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.into_str() == text)
    }
}

/// An application that was opened in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenedApplication {
    /// The organization that the user worked for; `None` for members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    pub opened_at: Timestamp,
}

/// The organization that a user works for in an application, as it was when the application was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationClaim {
    pub id: OrganizationId,
    pub name: String,
    /// The number that the plan assigned, if the organization is in its records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
}

/// The access of an application to one session of a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub portal: PortalId,
    pub account: AccountId,
    /// The id of the session.
    pub session: String,
    /// The client id.
    pub application: String,
    /// The organization that the user works for; `None` for members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationClaim>,
    pub scopes: BTreeSet<Scope>,
}

/// A code that an application exchanges for tokens, once (RFC 6749, 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationCode {
    /// The digest of the code.
    pub id: String,
    #[serde(flatten)]
    pub grant: Grant,
    pub redirect_uri: String,
    /// The SHA-256 of the verifier that the application has, base64url (RFC 7636).
    pub code_challenge: String,
    /// What the application finds in the ID token again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    pub expires_at: Timestamp,
    /// The digest of the access token that it was exchanged for. It is then of no more use, and a second
    /// exchange revokes that token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed_for: Option<String>,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// The digest of the token.
    pub id: String,
    #[serde(flatten)]
    pub grant: Grant,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}
