//! Sessions: an opaque token, of which only the SHA-256 is kept.

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use rand::{CryptoRng, RngExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::Policy;
use crate::state::account::Account;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::Sensitive;

/// A token in somebody's hands: where to look it up, and 256 random bits.
///
/// Each kind of token begins with its own letters, and its hash is bound to them: a token for one
/// purpose does nothing for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    locator: String,
    secret: [u8; 32],
    kind: TokenKind,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An open session; the locator is its account.
    Session,
    /// An invitation; the locator is its organization and its id.
    Invitation,
    /// A reset of the password; the locator is the account.
    Reset,
    /// The same, started by the help desk, which knows whom it sends it to: the link is proof enough
    /// (BL-14).
    VouchedReset,
    /// The confirmation of a new address; the locator is the account.
    Email,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "vs",
            Self::Invitation => "vi",
            Self::Reset => "vr",
            Self::VouchedReset => "vh",
            Self::Email => "ve",
        }
    }
}

impl Token {
    /// A new token for what the locator finds.
    pub fn random(kind: TokenKind, locator: String, rng: &mut impl CryptoRng) -> Self {
        Self {
            locator,
            secret: rng.random(),
            kind,
        }
    }

    /// Reads a token of one kind; any other text is none.
    pub fn parse(kind: TokenKind, text: &str) -> Option<Self> {
        if text.len() > 256 {
            return None;
        }
        let rest = text.strip_prefix(kind.prefix())?.strip_prefix('.')?;
        let (locator, secret) = rest.rsplit_once('.')?;
        let secret = BASE64URL_NOPAD
            .decode(secret.as_bytes())
            .ok()?
            .try_into()
            .ok()?;
        Some(Self {
            locator: locator.to_owned(),
            secret,
            kind,
        })
    }

    /// What it is for.
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Where to look.
    pub fn locator(&self) -> &str {
        &self.locator
    }

    /// What is stored: SHA-256 over kind, locator and secret, base64url.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            self.kind.prefix().as_bytes(),
            self.locator.as_bytes(),
            &self.secret,
        ] {
            hash.update([0]);
            hash.update(part);
        }
        BASE64URL_NOPAD.encode(&hash.finalize())
    }

    /// What its holder sends.
    pub fn expose(&self) -> Sensitive {
        Sensitive::new(format!(
            "{}.{}.{}",
            self.kind.prefix(),
            self.locator,
            BASE64URL_NOPAD.encode(&self.secret)
        ))
    }
}

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The digest of its token.
    pub id: String,
    /// The portal.
    pub portal: PortalId,
    /// Whose it is.
    pub account: AccountId,
    /// The organization its user works for; none for members, and before one is chosen.
    pub organization: Option<OrganizationId>,
    /// The account's session epoch when it began.
    pub epoch: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was last used, to about a thirtieth of the idle limit.
    pub last_seen_at: Timestamp,
    /// When it ends, whatever its user does (AG-14).
    pub expires_at: Timestamp,
    /// From where it was begun.
    pub source: Option<String>,
}

impl Session {
    /// Whether it can still be used with its account as it now is (AG-09, AG-14, UX-04, UX-07).
    pub fn is_open(&self, account: &Account, policy: &Policy, now: Timestamp) -> bool {
        let today = policy.today(now);
        let works_for = account.membership(self.organization.as_ref());
        account.is_usable(today)
            && !works_for.is_some_and(|m| m.is_over(today))
            && self.epoch == account.session_epoch
            && now < self.expires_at
            && self
                .idle_limit(policy)
                .is_none_or(|limit| now.duration_since(self.last_seen_at) <= limit)
    }

    /// Whether its use should be noted, so that idleness is known to a thirtieth of the limit
    /// without a write on every request.
    pub fn wants_touch(&self, policy: &Policy, now: Timestamp) -> bool {
        self.idle_limit(policy)
            .is_some_and(|limit| now.duration_since(self.last_seen_at) >= limit / 30)
    }

    fn idle_limit(&self, policy: &Policy) -> Option<SignedDuration> {
        policy
            .session
            .idle_minutes
            .map(|m| SignedDuration::from_mins(m.get().into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_token_reads_back_and_only_as_its_kind() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let token = Token::random(TokenKind::Session, "abc.def".into(), &mut rng);
        let text = token.expose();
        assert_eq!(
            Token::parse(TokenKind::Session, text.expose()),
            Some(token.clone())
        );
        assert_eq!(Token::parse(TokenKind::Invitation, text.expose()), None);
        let forged = text.expose().replacen("vs.", "vi.", 1);
        let other = Token::parse(TokenKind::Invitation, &forged).unwrap();
        assert_ne!(other.digest(), token.digest());
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in [
            "",
            "vs",
            "vs.",
            "vs..",
            "vs.a.b",
            "vs.a.AAAA",
            &"x".repeat(1000),
        ] {
            assert_eq!(Token::parse(TokenKind::Session, text), None, "{text}");
        }
    }
}
