//! Identifiers: 128 random bits, encoded as 26 lowercase base-32 characters.

use std::borrow::Borrow;
use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 26;

/// Encodes 16 bytes as 26 characters (Crockford's alphabet, lowercase).
fn encode(bytes: [u8; 16]) -> String {
    let mut rest = u128::from_be_bytes(bytes);
    let mut out = [0u8; LENGTH];
    for slot in out.iter_mut().rev() {
        *slot = ALPHABET[(rest & 31) as usize];
        rest >>= 5;
    }
    out.iter().map(|&c| char::from(c)).collect()
}

/// A text that is not a valid identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a valid identifier")]
pub struct NotAnId;

fn check(text: &str) -> Result<(), NotAnId> {
    let fits = text.len() == LENGTH && text.bytes().all(|b| ALPHABET.contains(&b));
    if fits { Ok(()) } else { Err(NotAnId) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
                Self::from_bytes(rng.random())
            }

            /// Encodes 16 bytes, for identifiers derived from a hash.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(encode(bytes))
            }

            /// Parses an identifier.
            ///
            /// # Errors
            /// [`NotAnId`] unless the text is 26 characters of the alphabet.
            pub fn parse(text: &str) -> Result<Self, NotAnId> {
                check(text).map(|()| Self(text.to_owned()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotAnId;
            fn try_from(text: String) -> Result<Self, NotAnId> {
                check(&text).map(|()| Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

id!(
    /// One person's account on one portal. It doesn't change when the username does.
    AccountId
);
id!(
    /// An agency, employer group, practice, facility or billing agency on one portal.
    OrganizationId
);
id!(
    /// An invitation. Keyed by the organization and email address, so that an address has at most
    /// one and nobody can compute it.
    InvitationId
);
id!(
    /// An email or letter in the outbox.
    MessageId
);
id!(
    /// An event on the audit trail.
    AuditId
);
id!(
    /// A second factor of an account: a passkey or an authenticator app.
    FactorId
);
id!(
    /// One issued PIN or registration code. Attempts to enter it are counted under this id.
    IssueId
);

/// A portal's name in URLs. It is also the file name of the portal's policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortalId(String);

impl PortalId {
    /// Parses a name of 2 to 24 characters (`a-z`, `0-9` and `-`) that starts with a letter.
    ///
    /// # Errors
    /// A sentence that describes the allowed format.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let fits = (2..=24).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err("a portal's name is 2 to 24 of a-z, 0-9 and -, starting with a letter")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a map of portals be searched with a path segment.
impl Borrow<str> for PortalId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PortalId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        Self::parse(&text)
    }
}

impl From<PortalId> for String {
    fn from(id: PortalId) -> String {
        id.0
    }
}

impl fmt::Display for PortalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_round_trip(bytes: [u8; 16]) {
            let id = AccountId::from_bytes(bytes);
            prop_assert_eq!(AccountId::parse(id.as_str()), Ok(id));
        }

        #[test]
        fn distinct_bytes_give_distinct_ids(a: [u8; 16], b: [u8; 16]) {
            prop_assert_eq!(a == b, AccountId::from_bytes(a) == AccountId::from_bytes(b));
        }
    }

    #[test]
    fn invalid_ids_are_rejected() {
        for text in [
            "",
            "abc",
            "0123456789abcdefghjkmnpqru",
            "0123456789ABCDEFGHJKMNPQRS",
        ] {
            assert_eq!(AccountId::parse(text), Err(NotAnId), "{text}");
        }
    }
}
