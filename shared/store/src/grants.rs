//! Codes and access tokens of applications, in the partition of their account, so that one read finds a token with
//! its session and account.

use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::session::{Session, Token, TokenKind};
use vestibule_domain::state::single_sign_on::{AccessToken, AuthorizationCode, OpenedApplication};
use vestibule_domain::values::ids::{AccountId, PortalId};

use crate::commit::Writes;
use crate::error::took_effect;
use crate::expression::{Expression, n, s};
use crate::key::Key;
use crate::tables::EXPIRES;
use crate::{Store, StoreError, accounts, item, sessions};

fn code_key(portal: &PortalId, account: &AccountId, digest: &str) -> Key {
    Key::new(accounts::key(portal, account).pk, format!("AC#{digest}"))
}

fn token_key(portal: &PortalId, account: &AccountId, digest: &str) -> Key {
    Key::new(accounts::key(portal, account).pk, format!("AT#{digest}"))
}

fn assertion_key(portal: &PortalId, application: &str, digest: &[u8]) -> Key {
    let digest = BASE64URL_NOPAD.encode(digest);
    Key::new(format!("J#{portal}#{application}#{digest}"), "J")
}

/// How long a code is kept after it expires, to recognize a second use.
const CODE_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A code or token that was issued to an application, with the session and the account if they still exist.
#[derive(Debug, Clone)]
pub struct Issued<T> {
    pub item: T,
    pub account: Option<Account>,
    pub session: Option<Session>,
}

impl Store {
    /// Loads a code with its session and account, in one read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn authorization_code(
        &self,
        portal: &PortalId,
        token: &Token,
    ) -> Result<Option<Issued<AuthorizationCode>>, StoreError> {
        self.issued(portal, token, code_key).await
    }

    /// Loads an access token with its session and account, in one read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn access_token(
        &self,
        portal: &PortalId,
        token: &Token,
    ) -> Result<Option<Issued<AccessToken>>, StoreError> {
        self.issued(portal, token, token_key).await
    }

    /// Records that an application used an assertion, which is then of no more use until it expires (RFC 7523, 3).
    /// Returns whether this was the first use. `attempt` is random, so that a call that the SDK repeats finds its own
    /// record.
    ///
    /// # Errors
    /// [`StoreError`]; the assertion must then not be accepted.
    pub async fn use_assertion(
        &self,
        (portal, application): (&PortalId, &str),
        jti: &str,
        (now, expires_at): (Timestamp, Timestamp),
        attempt: [u8; 16],
    ) -> Result<bool, StoreError> {
        let digest = Sha256::digest(jti);
        let key = assertion_key(portal, application, &digest);
        let attempt = BASE64URL_NOPAD.encode(&attempt);
        let used = self
            .update(key)
            .condition_expression(
                "attribute_not_exists(used_by) OR used_by = :attempt OR #expires < :now",
            )
            .update_expression("SET used_by = :attempt, #expires = :expires")
            .names([("#expires", EXPIRES)])
            .values([
                (":attempt", s(attempt)),
                (":now", n(now.as_second())),
                (":expires", n(expires_at.as_second())),
            ])
            .send()
            .await;
        took_effect(used)
    }

    /// The account is parsed only if there is a code or token, so that a forged one costs the same work whether or
    /// not its account exists (UX-09).
    async fn issued<T: serde::de::DeserializeOwned>(
        &self,
        portal: &PortalId,
        token: &Token,
        key: fn(&PortalId, &AccountId, &str) -> Key,
    ) -> Result<Option<Issued<T>>, StoreError> {
        debug_assert!(matches!(
            token.kind(),
            TokenKind::AccessToken | TokenKind::AuthorizationCode
        ));
        let Some((id, session)) = token.account_and_session() else {
            return Ok(None);
        };
        let own_key = key(portal, &id, &token.digest());
        let account_key = accounts::key(portal, &id);
        let session_key = sessions::key(portal, &id, session);
        let keys = vec![own_key.clone(), account_key.clone(), session_key];
        let (mut own, mut account, mut session) = (None, None, None);
        for found in self.batch(keys).await? {
            if own_key.is_of(&found) {
                own = Some(item::read(found)?);
            } else if account_key.is_of(&found) {
                account = Some(found);
            } else {
                session = Some(item::read(found)?);
            }
        }
        let Some(item) = own else {
            return Ok(None);
        };
        let read = |found| accounts::read_account(found, self.keyring());
        Ok(Some(Issued {
            item,
            account: account.map(read).transpose()?,
            session,
        }))
    }
}

impl Writes<'_> {
    pub(crate) fn issue_code(&mut self, code: &AuthorizationCode) -> Result<(), StoreError> {
        let grant = &code.grant;
        let mut row = item::write(code_key(&grant.portal, &grant.account, &code.id), code)?;
        let ends = (code.expires_at + CODE_KEPT).as_second();
        row.insert(EXPIRES.into(), n(ends));
        self.put_new(row, None)
    }

    /// Marks a code as used and stores what it was exchanged for. Of many exchanges at the same time, one wins. None
    /// wins if the application was closed in the session since it was read, because it was notified then and would
    /// not be again.
    pub(crate) fn redeem_code(
        &mut self,
        code: &AuthorizationCode,
        token: &AccessToken,
    ) -> Result<(), StoreError> {
        let grant = &code.grant;
        let update = self
            .update_of(code_key(&grant.portal, &grant.account, &code.id))
            .condition_expression("attribute_exists(pk) AND attribute_not_exists(redeemed_for)")
            .update_expression("SET redeemed_for = :token")
            .values([(":token", s(&token.id))]);
        self.push_update(update, None)?;
        let check = self
            .check_of(sessions::key(&grant.portal, &grant.account, &grant.session))
            .condition_expression("attribute_exists(applications.#application)")
            .names([("#application", grant.application.as_str())]);
        self.push_check(check)?;
        let mut row = item::write(token_key(&grant.portal, &grant.account, &token.id), token)?;
        row.insert(EXPIRES.into(), n(token.expires_at.as_second()));
        self.put_new(row, None)
    }

    pub(crate) fn revoke_token(
        &mut self,
        portal: &PortalId,
        account: &AccountId,
        token: &str,
    ) -> Result<(), StoreError> {
        self.delete(token_key(portal, account, token))
    }

    /// Records an application in a session. It adds to what other requests record at the same time.
    pub(crate) fn open_application(
        &mut self,
        session: &Session,
        application: &str,
        opened: &OpenedApplication,
    ) -> Result<(), StoreError> {
        let update = self
            .update_of(sessions::key_of(session))
            .condition_expression("attribute_exists(pk)")
            .update_expression("SET applications.#application = :opened")
            .names([("#application", application)])
            .values([(":opened", sessions::value(opened)?)]);
        self.push_update(update, None)
    }

    /// Replaces the applications of a session if they are as they were read.
    pub(crate) fn close_applications(
        &mut self,
        session: &Session,
        kept: &std::collections::BTreeMap<String, OpenedApplication>,
    ) -> Result<(), StoreError> {
        let before: AttributeValue = sessions::value(&session.applications)?;
        let update = self
            .update_of(sessions::key_of(session))
            .condition_expression("applications = :before")
            .update_expression("SET applications = :kept")
            .values([(":before", before), (":kept", sessions::value(kept)?)]);
        self.push_update(update, None)
    }
}
