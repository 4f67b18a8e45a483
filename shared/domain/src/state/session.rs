//! Sessions and other tokens. A token is opaque, and only its SHA-256 digest is stored.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use rand::{CryptoRng, RngExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::Policy;
use crate::state::account::Account;
use crate::state::second_factor::Proof;
use crate::state::single_sign_on::OpenedApplication;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::text::Sensitive;

/// A token as its holder has it: a locator for the lookup, and 256 random bits.
///
/// Each kind has its own prefix, which is part of the digest, so that a token for one purpose is
/// invalid for any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    locator: String,
    secret: [u8; 32],
    kind: TokenKind,
}

/// The purpose of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A session. The locator is the account.
    Session,
    /// An invitation. The locator is the organization and the invitation's id.
    Invitation,
    /// A password reset. The locator is the account.
    Reset,
    /// A password reset link that the help desk sent after verifying the caller. No further
    /// verification is required (BL-14).
    VouchedReset,
    /// The confirmation of a new email address. The locator is the account.
    Email,
    /// The cancellation of a change of email address. The locator is the account.
    EmailCancellation,
    /// A reset of second factors. The locator is the account.
    FactorReset,
    /// The cancellation of a reset of second factors. The locator is the account.
    FactorResetCancellation,
    /// An application's authorization code. The locator is the account and the session.
    AuthorizationCode,
    /// An application's access token. The locator is the account and the session.
    AccessToken,
}

impl TokenKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Session => "vs",
            Self::Invitation => "vi",
            Self::Reset => "vr",
            Self::VouchedReset => "vh",
            Self::Email => "ve",
            Self::EmailCancellation => "vc",
            Self::FactorReset => "vf",
            Self::FactorResetCancellation => "vx",
            Self::AuthorizationCode => "vo",
            Self::AccessToken => "va",
        }
    }
}

impl Token {
    pub fn random(kind: TokenKind, locator: String, rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self {
            locator,
            secret: rng.random(),
            kind,
        }
    }

    /// Parses a token of one kind. Returns `None` for any other text.
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

    /// Creates the code or access token of an application for a session.
    pub fn for_application(
        kind: TokenKind,
        session: &Session,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Self {
        Self::random(kind, format!("{}.{}", session.account, session.id), rng)
    }

    /// Returns the access token of an application whose JWT has this subject, session and id (RFC 9068).
    pub fn of_jwt(account: &str, session: &str, id: &str) -> Option<Self> {
        let kind = TokenKind::AccessToken;
        Self::parse(kind, &format!("{}.{account}.{session}.{id}", kind.prefix()))
    }

    /// Returns the id of the JWT that stands for the token: its random part, base64url.
    pub fn jwt_id(&self) -> String {
        BASE64URL_NOPAD.encode(&self.secret)
    }

    /// Returns the account and the session that the code or access token of an application belongs to.
    pub fn account_and_session(&self) -> Option<(AccountId, &str)> {
        let (account, session) = self.locator.split_once('.')?;
        let is_digest = session.len() == 43 && BASE64URL_NOPAD.decode(session.as_bytes()).is_ok();
        let account = AccountId::parse(account).ok()?;
        is_digest.then_some((account, session))
    }

    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// Returns the part of the token that the lookup uses.
    pub fn locator(&self) -> &str {
        &self.locator
    }

    /// Returns the stored form: SHA-256 of kind, locator and secret, base64url.
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

    /// Returns the text that the holder sends.
    pub fn expose(&self) -> Sensitive {
        Sensitive::new(format!(
            "{}.{}.{}",
            self.kind.prefix(),
            self.locator,
            self.jwt_id()
        ))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The digest of the token.
    pub id: String,
    pub portal: PortalId,
    pub account: AccountId,
    /// The organization that the user works for; `None` for members, and until one is chosen.
    pub organization: Option<OrganizationId>,
    /// The account's session epoch when the session started.
    pub epoch: u32,
    pub started_at: Timestamp,
    /// When it was last used, accurate to about one thirtieth of the idle limit.
    pub last_seen_at: Timestamp,
    /// The absolute time limit (AG-14).
    pub expires_at: Timestamp,
    /// The IP address from which it was started.
    pub source: Option<String>,
    /// How its user proved who they are, each with the latest time.
    #[serde(default)]
    pub proofs: BTreeMap<Proof, Timestamp>,
    /// The digest of the device that it was started on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The applications that were opened in it, by client id (SO-03).
    pub applications: BTreeMap<String, OpenedApplication>,
}

impl Session {
    /// Returns whether the session is valid, given the current state of its account (AG-09, AG-14,
    /// UX-04, UX-07).
    pub fn is_open(&self, account: &Account, policy: &Policy, now: Timestamp) -> bool {
        let today = policy.today(now);
        let membership = account.membership(self.organization.as_ref());
        account.is_usable(today)
            && !membership.is_some_and(|m| m.is_over(today))
            && self.epoch == account.session_epoch
            && now < self.expires_at
            && self
                .idle_limit(policy)
                .is_none_or(|limit| now.duration_since(self.last_seen_at) <= limit)
    }

    /// Returns when the session will have ended if nobody uses it any more.
    pub fn ends_at(&self, policy: &Policy) -> Timestamp {
        // It is still open at the idle limit itself.
        let idle = self.idle_limit(policy).map(|limit| {
            let limit = limit + SignedDuration::from_secs(1);
            self.last_seen_at + limit
        });
        idle.map_or(self.expires_at, |idle| idle.min(self.expires_at))
    }

    /// Returns whether a second factor was given in the session, or its device is trusted (MF-08).
    pub fn has_second_factor(&self) -> bool {
        let mut proofs = self.proofs.keys();
        proofs.any(|proof| proof.is_factor() || *proof == Proof::TrustedDevice)
    }

    /// Returns whether a second factor was given in the session itself.
    pub fn gave_second_factor(&self) -> bool {
        self.proofs.keys().any(|proof| proof.is_factor())
    }

    /// Returns when its user last signed in or entered the password again.
    pub fn authenticated_at(&self) -> Timestamp {
        let latest = [Proof::Password, Proof::Passkey]
            .into_iter()
            .filter_map(|proof| self.proofs.get(&proof));
        latest.max().copied().unwrap_or(self.started_at)
    }

    /// Returns whether a factor, or without one the password, was given recently enough to confirm a
    /// sensitive action (MF-01, MF-07).
    pub fn is_confirmed(&self, account: &Account, policy: &Policy, now: Timestamp) -> bool {
        let Some(section) = &policy.second_factor else {
            return true;
        };
        let window = SignedDuration::from_mins(section.step_up_minutes.get().into());
        let has_factor = account.has_second_factor(policy);
        let counts = |proof: &Proof| match has_factor {
            true => proof.is_factor(),
            false => *proof != Proof::TrustedDevice,
        };
        let mut proofs = self.proofs.iter();
        proofs.any(|(proof, at)| counts(proof) && now.duration_since(*at) <= window)
    }

    /// Returns whether to record the use. Idle time is then accurate to one thirtieth of the limit
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
    fn a_token_round_trips_only_as_its_kind() {
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
    fn invalid_tokens_are_rejected() {
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
