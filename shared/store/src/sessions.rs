//! Sessions, in the partition of their account.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::session::{Session, Token};
use vestibule_domain::values::ids::{AccountId, PortalId};

use crate::attributes::Item;
use crate::commit::Writes;
use crate::error::took_effect;
use crate::expression::{Expression, n, s};
use crate::item;
use crate::key::Key;
use crate::tables::EXPIRES;
use crate::{Store, StoreError, accounts};

pub(crate) const SESSIONS: &str = "S#";

pub(crate) fn key(portal: &PortalId, account: &AccountId, digest: &str) -> Key {
    Key::new(
        accounts::key(portal, account).pk,
        format!("{SESSIONS}{digest}"),
    )
}

pub(crate) fn key_of(session: &Session) -> Key {
    key(&session.portal, &session.account, &session.id)
}

/// Returns a part of a session as an attribute.
pub(crate) fn value(part: &impl Serialize) -> Result<AttributeValue, StoreError> {
    serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(part).map_err(StoreError::unavailable)
}

/// How long a session is kept after it ends, so that its applications can still be notified.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// Builds the item of a session; DynamoDB deletes it some time after the session ends.
fn row(session: &Session) -> Result<Item, StoreError> {
    let mut row = item::write(key_of(session), session)?;
    row.insert(EXPIRES.into(), n((session.expires_at + KEPT).as_second()));
    Ok(row)
}

/// The number of sessions that are read at once.
const SESSIONS_A_PAGE: i32 = 200;

impl Store {
    /// Loads the session of a token with its account, in one read. The account is parsed only if there is a
    /// session, so that a forged token costs the same work whether or not its account exists (UX-09).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session(
        &self,
        portal: &PortalId,
        token: &Token,
    ) -> Result<Option<(Session, Account)>, StoreError> {
        let Ok(id) = AccountId::parse(token.locator()) else {
            return Ok(None);
        };
        let account_key = accounts::key(portal, &id);
        let session_key = key(portal, &id, &token.digest());
        let items = self.batch(vec![account_key.clone(), session_key]).await?;
        let (mut session, mut account) = (None, None);
        for found in items {
            if account_key.is_of(&found) {
                account = Some(found);
            } else {
                session = Some(item::read::<Session>(found)?);
            }
        }
        let Some((session, account)) = session.zip(account) else {
            return Ok(None);
        };
        let account = accounts::read_account(account, &self.keyring)?;
        Ok(Some((session, account)))
    }

    /// Loads a session of an account by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn session_by_id(
        &self,
        portal: &PortalId,
        account: &AccountId,
        id: &str,
    ) -> Result<Option<Session>, StoreError> {
        let found = self.batch(vec![key(portal, account, id)]).await?;
        found.into_iter().next().map(item::read).transpose()
    }

    /// Loads the sessions of an account, including expired ones.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sessions(
        &self,
        portal: &PortalId,
        account: &AccountId,
    ) -> Result<Vec<Session>, StoreError> {
        let pk = accounts::key(portal, account).pk;
        let (mut sessions, mut start) = (Vec::new(), None);
        loop {
            let page = self.page(pk.clone(), SESSIONS, start, SESSIONS_A_PAGE);
            let (items, next) = page.await?;
            for found in items {
                sessions.push(item::read(found)?);
            }
            if next.is_none() {
                return Ok(sessions);
            }
            start = next;
        }
    }

    /// Updates the last use of a session, if it still exists.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch_session(&self, session: &Session, now: Timestamp) -> Result<(), StoreError> {
        let touched = self
            .update(key_of(session))
            .condition_expression("attribute_exists(pk)")
            .update_expression("SET last_seen_at = :now")
            .values([(":now", s(now))])
            .send()
            .await;
        took_effect(touched)?;
        Ok(())
    }
}

impl Writes<'_> {
    pub(crate) fn start_session(&mut self, session: &Session) -> Result<(), StoreError> {
        self.put(row(session)?)
    }

    /// Replaces a session that still exists, unless an application was opened or closed in it since it was read.
    pub(crate) fn renew_session(&mut self, session: &Session) -> Result<(), StoreError> {
        let put = self
            .put_of(row(session)?)
            .condition_expression("attribute_exists(pk) AND applications = :applications")
            .values([(":applications", value(&session.applications)?)]);
        self.push_put(put, None)
    }

    /// Deletes a session that still exists, unless an application was opened or closed in it since it was read.
    pub(crate) fn end_session(&mut self, session: &Session) -> Result<(), StoreError> {
        let delete = self
            .delete_of(key_of(session))
            .condition_expression("attribute_exists(pk) AND applications = :applications")
            .values([(":applications", value(&session.applications)?)]);
        self.push_delete(delete)
    }
}
