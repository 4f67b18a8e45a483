//! The one door for writes: a decision becomes one transaction, or nothing does.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use rand::CryptoRng;
use vestibule_domain::account::{Account, PasswordHash, Status};
use vestibule_domain::audit::AuditEvent;
use vestibule_domain::decision::{AttemptKey, Change, Claims, Decision};
use vestibule_domain::ids::{AccountId, PortalId};
use vestibule_domain::invite::Invitation;
use vestibule_domain::message::Message;
use vestibule_domain::organisation::Organisation;
use vestibule_domain::policy::Slug;
use vestibule_domain::record::RecordKey;
use vestibule_domain::session::Session;
use vestibule_secrets::Purpose;

use crate::keys::{self, Key};
use crate::read::UserRow;
use crate::{Store, Unavailable, item, records};

/// What can belong to one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    /// A user name, on a portal.
    UserName,
    /// An e-mail address, in a realm.
    Email,
    /// A plan record, or one way of registering with it, on a portal.
    Record,
    /// An account's id: its natural one is in use by an account of another name.
    AccountId,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Somebody else has it, perhaps since a moment ago.
    #[error("already taken: {0:?}")]
    Taken(Unique),
    /// Something has changed since it was read; read it again and decide anew.
    #[error("changed since it was read")]
    Stale,
    /// DynamoDB didn't answer. What was asked for may or may not have been done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What it means when the condition of a write doesn't hold.
type OnConflict = Option<Unique>;

/// The writes of a transaction, each with what its failure means.
struct Writes<'a> {
    store: &'a Store,
    items: Vec<(TransactWriteItem, OnConflict)>,
    /// Which of the items withdraw letters.
    withdrawals: Vec<usize>,
}

/// How often a transaction that ran into another one is tried again.
const CONFLICT_RETRIES: u32 = 5;

impl Store {
    /// Writes a decision: its changes, its messages, its audit entry, all or none.
    ///
    /// # Errors
    /// [`CommitError`]; after [`CommitError::Taken`] and [`CommitError::Stale`] nothing was written.
    pub async fn commit(
        &self,
        decision: Decision,
        rng: &mut impl CryptoRng,
    ) -> Result<(), CommitError> {
        let mut writes = Writes {
            store: self,
            items: Vec::new(),
            withdrawals: Vec::new(),
        };
        for change in &decision.changes {
            writes.change(change, rng)?;
        }
        for message in &decision.messages {
            writes.message(message, decision.audit.at, rng)?;
        }
        writes.audit(&decision.audit)?;
        let mut withdrawals = writes.withdrawals;
        let (mut items, mut meanings): (Vec<_>, Vec<_>) = writes.items.into_iter().unzip();
        for round in 0.. {
            let sent = self
                .db
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .send()
                .await;
            let Err(error) = sent else { return Ok(()) };
            let leaving = leaving(&error, &std::mem::take(&mut withdrawals));
            if !leaving.is_empty() {
                // Those letters are being printed and go out; the rest is done without them.
                for i in leaving.into_iter().rev() {
                    items.remove(i);
                    meanings.remove(i);
                }
                continue;
            }
            if collided(&error) && round < CONFLICT_RETRIES {
                tokio::time::sleep(std::time::Duration::from_millis(10 << round)).await;
                continue;
            }
            return Err(meaning(&meanings, error));
        }
        Err(CommitError::Stale)
    }
}

fn reasons(error: &SdkError<TransactWriteItemsError>) -> Option<Vec<&str>> {
    match error.as_service_error()? {
        TransactWriteItemsError::TransactionCanceledException(e) => Some(
            e.cancellation_reasons()
                .iter()
                .map(|r| r.code().unwrap_or("None"))
                .collect(),
        ),
        _ => None,
    }
}

/// Of the letters that were to be withdrawn, those that are past it, where nothing else is wrong.
fn leaving(error: &SdkError<TransactWriteItemsError>, withdrawals: &[usize]) -> Vec<usize> {
    let reasons = reasons(error).unwrap_or_default();
    let failed = (0..reasons.len()).filter(|i| reasons[*i] == "ConditionalCheckFailed");
    let failed: Vec<_> = failed.collect();
    if failed.iter().all(|i| withdrawals.contains(i)) {
        failed
    } else {
        Vec::new()
    }
}

/// Whether another transaction on the same items was under way, and no condition failed.
fn collided(error: &SdkError<TransactWriteItemsError>) -> bool {
    reasons(error).is_some_and(|r| {
        r.contains(&"TransactionConflict") && !r.contains(&"ConditionalCheckFailed")
    })
}

fn meaning(meanings: &[OnConflict], error: SdkError<TransactWriteItemsError>) -> CommitError {
    let failed = reasons(&error).and_then(|reasons| {
        let mut failed = reasons
            .iter()
            .zip(meanings)
            .filter(|(r, _)| **r == "ConditionalCheckFailed")
            .map(|(_, m)| *m);
        failed.next()
    });
    match failed {
        Some(Some(unique)) => CommitError::Taken(unique),
        Some(None) => CommitError::Stale,
        None if collided(&error) => CommitError::Stale,
        None => CommitError::Unavailable(Unavailable::call(error)),
    }
}

impl Writes<'_> {
    fn change(&mut self, change: &Change, rng: &mut impl CryptoRng) -> Result<(), Unavailable> {
        match change {
            Change::CreateAccount(account) => self.create_account(account, rng),
            Change::UpdateAccount { before, after } => self.update_account(before, after, rng),
            Change::NoteSignIn {
                account,
                at,
                rehashed,
            } => self.note_sign_in(account, *at, rehashed.as_ref()),
            Change::CreateOrganisation(organisation) => {
                let key = keys::organisation(&organisation.portal, &organisation.id);
                self.put_new(item::write(key, organisation)?, None)
            }
            Change::UpdateOrganisation { before, after } => {
                let key = keys::organisation(&after.portal, &after.id);
                let next = Organisation {
                    version: before.version + 1,
                    ..(**after).clone()
                };
                let put = Put::builder()
                    .table_name(&self.store.tables.main)
                    .set_item(Some(item::write(key, &next)?))
                    .condition_expression("version = :version")
                    .expression_attribute_values(
                        ":version",
                        AttributeValue::N(before.version.to_string()),
                    );
                self.push_put(put, None)
            }
            Change::NoteFormerUser {
                organisation,
                email,
            } => self
                .put(keys::former_user(&organisation.portal, &organisation.id, email).into_item()),
            Change::ClaimRecord {
                record,
                portal,
                way,
                account,
                claims,
            } => self.claim_record(record, portal, way, account, claims),
            Change::SaveInvitation { before, after } => {
                self.save_invitation(before.as_deref(), after)
            }
            Change::StartSession(session) => self.put(session_row(session)?),
            Change::RenewSession(session) => {
                let put = Put::builder()
                    .table_name(&self.store.tables.main)
                    .set_item(Some(session_row(session)?))
                    .condition_expression("attribute_exists(pk)");
                self.push_put(put, None)
            }
            Change::EndSession(session) => self.delete(keys::session(
                &session.portal,
                &session.account,
                &session.id,
            )),
            Change::WithdrawLetter(id) => self.withdraw(keys::message(id)),
            Change::ForgetAttempts(AttemptKey(pk)) => self.delete(Key {
                pk: pk.clone(),
                sk: "G".into(),
            }),
        }
    }

    fn create_account(
        &mut self,
        account: &Account,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Unavailable> {
        for (marker, unique) in markers(account) {
            self.put_marker(marker, unique, account)?;
        }
        let row = item::write_account(account, &self.store.keyring, rng)?;
        self.put_new(row, Some(Unique::AccountId))?;
        self.put(keys::contact(account).into_item())?;
        self.rows(None, account)
    }

    /// The account if it is as it was read, with its markers and rows following it.
    fn update_account(
        &mut self,
        before: &Account,
        after: &Account,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Unavailable> {
        let (old, new) = (markers(before), markers(after));
        for (marker, unique) in &new {
            if !old.iter().any(|(m, _)| m == marker) {
                self.put_marker(marker.clone(), *unique, after)?;
            }
        }
        for (marker, _) in old {
            if !new.iter().any(|(m, _)| *m == marker) {
                self.delete(marker)?;
            }
        }
        if before.email.key() != after.email.key() {
            self.delete(keys::contact(before))?;
            if after.status != Status::Deleted {
                self.put(keys::contact(after).into_item())?;
            }
        }
        let next = Account {
            version: before.version + 1,
            ..after.clone()
        };
        let put = Put::builder()
            .table_name(&self.store.tables.main)
            .set_item(Some(item::write_account(&next, &self.store.keyring, rng)?))
            .expression_attribute_values(":version", AttributeValue::N(before.version.to_string()));
        // A sign-in doesn't count as a change, but must not be written over.
        let put = match before.last_sign_in_at {
            Some(at) => put
                .condition_expression("version = :version AND last_sign_in_at = :last")
                .expression_attribute_values(":last", AttributeValue::S(at.to_string())),
            None => put.condition_expression(
                "version = :version AND attribute_not_exists(last_sign_in_at)",
            ),
        };
        self.push_put(put, None)?;
        self.rows(Some(before), &next)
    }

    /// The rows by which organisations list the account, where they have changed.
    fn rows(&mut self, before: Option<&Account>, after: &Account) -> Result<(), Unavailable> {
        let old = before.map(UserRow::all_of).unwrap_or_default();
        let new = UserRow::all_of(after);
        for (key, row) in &new {
            if !old.iter().any(|(k, r)| k == key && r == row) {
                self.put(item::write(key.clone(), row)?)?;
            }
        }
        for (key, _) in old {
            if !new.iter().any(|(k, _)| *k == key) {
                self.delete(key)?;
            }
        }
        Ok(())
    }

    fn note_sign_in(
        &mut self,
        account: &Account,
        at: Timestamp,
        rehashed: Option<&PasswordHash>,
    ) -> Result<(), Unavailable> {
        let at = AttributeValue::S(at.to_string());
        let mut set = "SET last_sign_in_at = :at".to_owned();
        let mut update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(
                keys::account(&account.portal, &account.id).into_item(),
            ))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", AttributeValue::N(account.version.to_string()))
            .expression_attribute_values(":at", at.clone());
        if let Some(hash) = rehashed {
            set.push_str(", #password.#hash = :hash");
            update = update
                .expression_attribute_names("#password", "password")
                .expression_attribute_names("#hash", "hash")
                .expression_attribute_values(":hash", AttributeValue::S(hash.as_str().to_owned()));
        }
        self.push_update(update.update_expression(set), None)?;
        for (key, _) in UserRow::all_of(account) {
            let update = Update::builder()
                .table_name(&self.store.tables.main)
                .set_key(Some(key.into_item()))
                .condition_expression("attribute_exists(pk)")
                .update_expression("SET last_sign_in_at = :at")
                .expression_attribute_values(":at", at.clone());
            self.push_update(update, None)?;
        }
        Ok(())
    }

    /// Two ways at once can't make two organisations of a record, nor one way be used twice.
    fn claim_record(
        &mut self,
        record: &RecordKey,
        portal: &PortalId,
        way: &Slug,
        account: &AccountId,
        claims: &Claims,
    ) -> Result<(), Unavailable> {
        let update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(keys::record(record).into_item()))
            .update_expression("SET #claim = :made, #way = :account")
            .expression_attribute_names("#claim", records::claim(portal))
            .expression_attribute_names("#way", records::claim_by(portal, way))
            .expression_attribute_values(":account", AttributeValue::S(account.to_string()));
        let (condition, made) = match claims {
            Claims::New(made) => ("attribute_not_exists(#claim)", made.as_ref()),
            Claims::Place(organisation) => (
                "#claim = :made AND attribute_not_exists(#way)",
                Some(organisation),
            ),
        };
        let made = made.map_or(records::NO_ORGANISATION, |o| o.as_str());
        let update = update
            .condition_expression(format!("attribute_exists(pk) AND {condition}"))
            .expression_attribute_values(":made", AttributeValue::S(made.to_owned()));
        self.push_update(update, Some(Unique::Record))
    }

    fn save_invitation(
        &mut self,
        before: Option<&Invitation>,
        after: &Invitation,
    ) -> Result<(), Unavailable> {
        let key = keys::invitation(&after.portal, &after.organisation, &after.id);
        let Some(before) = before else {
            return self.put_new(item::write(key, after)?, None);
        };
        let next = Invitation {
            version: before.version + 1,
            ..after.clone()
        };
        let put = Put::builder()
            .table_name(&self.store.tables.main)
            .set_item(Some(item::write(key, &next)?))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", AttributeValue::N(before.version.to_string()));
        self.push_put(put, None)
    }

    /// A message goes into the outbox sealed: it may hold a PIN, a code or a link.
    fn message(
        &mut self,
        message: &Message,
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Unavailable> {
        let (channel, portal) = match message {
            Message::Mail(m) => ("mail", &m.portal),
            Message::Letter(l) => ("letter", &l.portal),
            // It leads to a mail, so it goes the way of mails.
            Message::Recovery(r) => ("mail", &r.origin.portal),
        };
        let key = keys::message(message.id());
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(message).map_err(Unavailable::new)?);
        let sealed = self
            .store
            .keyring
            .seal(Purpose::Outbox, &key.pk, &plain, rng);
        let mut row = key.into_item();
        for (name, value) in [
            ("channel", channel.to_owned()),
            ("portal", portal.to_string()),
            ("state", "pending".to_owned()),
            ("pending", crate::outbox::shard_of(channel, message.id())),
            ("created_at", at.to_string()),
            ("payload", sealed),
        ] {
            row.insert(name.to_owned(), AttributeValue::S(value));
        }
        self.put_new(row, None)
    }

    /// Entries are added and never replaced.
    fn audit(&mut self, event: &AuditEvent) -> Result<(), Unavailable> {
        let key = audit_key(&event.portal, event);
        let put = Put::builder()
            .table_name(&self.store.tables.audit)
            .set_item(Some(item::write(key, event)?))
            .condition_expression("attribute_not_exists(pk)");
        self.push_put(put, None)
    }

    fn put_marker(
        &mut self,
        key: Key,
        unique: Unique,
        account: &Account,
    ) -> Result<(), Unavailable> {
        let mut row = key.into_item();
        row.insert("account".into(), AttributeValue::S(account.id.to_string()));
        self.put_new(row, Some(unique))
    }

    fn put_new(&mut self, row: item::Item, meaning: OnConflict) -> Result<(), Unavailable> {
        let put = Put::builder()
            .table_name(&self.store.tables.main)
            .set_item(Some(row))
            .condition_expression("attribute_not_exists(pk)");
        self.push_put(put, meaning)
    }

    fn put(&mut self, row: item::Item) -> Result<(), Unavailable> {
        self.push_put(
            Put::builder()
                .table_name(&self.store.tables.main)
                .set_item(Some(row)),
            None,
        )
    }

    /// Takes a letter back, unless it is in a batch that is being printed.
    fn withdraw(&mut self, key: Key) -> Result<(), Unavailable> {
        let delete = Delete::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key.into_item()))
            .condition_expression("attribute_not_exists(printed_in) OR #state <> :pending")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", AttributeValue::S("pending".into()))
            .build()
            .map_err(Unavailable::new)?;
        self.withdrawals.push(self.items.len());
        self.items
            .push((TransactWriteItem::builder().delete(delete).build(), None));
        Ok(())
    }

    fn delete(&mut self, key: Key) -> Result<(), Unavailable> {
        let delete = Delete::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key.into_item()))
            .build()
            .map_err(Unavailable::new)?;
        self.items
            .push((TransactWriteItem::builder().delete(delete).build(), None));
        Ok(())
    }

    fn push_put(
        &mut self,
        put: aws_sdk_dynamodb::types::builders::PutBuilder,
        meaning: OnConflict,
    ) -> Result<(), Unavailable> {
        let put = put.build().map_err(Unavailable::new)?;
        self.items
            .push((TransactWriteItem::builder().put(put).build(), meaning));
        Ok(())
    }

    fn push_update(
        &mut self,
        update: aws_sdk_dynamodb::types::builders::UpdateBuilder,
        meaning: OnConflict,
    ) -> Result<(), Unavailable> {
        let update = update.build().map_err(Unavailable::new)?;
        self.items
            .push((TransactWriteItem::builder().update(update).build(), meaning));
        Ok(())
    }
}

/// The item of a session; DynamoDB drops it some time after its end.
fn session_row(session: &Session) -> Result<item::Item, Unavailable> {
    let key = keys::session(&session.portal, &session.account, &session.id);
    let mut row = item::write(key, session)?;
    let end = session.ends_at.as_second().to_string();
    row.insert(crate::tables::EXPIRES.into(), AttributeValue::N(end));
    Ok(row)
}

/// What an account alone may have: its user name, and its address where a realm says so. A deleted
/// account has neither any more.
fn markers(account: &Account) -> Vec<(Key, Unique)> {
    if account.status == Status::Deleted {
        return Vec::new();
    }
    let mut markers = vec![(
        keys::user_name(&account.portal, &account.user_name.key()),
        Unique::UserName,
    )];
    if let Some(realm) = &account.email_realm {
        markers.push((keys::email(realm, &account.email.key()), Unique::Email));
    }
    markers
}

/// Entries of a portal's day, spread over sixteen partitions so that a busy day has room.
fn audit_key(portal: &PortalId, event: &AuditEvent) -> Key {
    let day = event.at.strftime("%Y-%m-%d");
    let shard = event.id.as_str().as_bytes().last().map_or(0, |b| b % 16);
    Key {
        pk: format!("{portal}#{day}#{shard:x}"),
        sk: format!("{}#{}", event.at, event.id),
    }
}
