//! Commits a decision as one transaction. All decisions are written here; the files of the entities say how
//! each change is written.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::{
    ConditionCheckBuilder, DeleteBuilder, PutBuilder, UpdateBuilder,
};
use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use jiff::civil::Date;
use rand::CryptoRng;
use vestibule_domain::decision::Change;
use vestibule_domain::rules::consequences::ScheduledDecision;

use crate::attributes::Item;
use crate::key::Key;
use crate::{Store, StoreError};

/// What must be unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unique {
    /// A username on a portal.
    Username,
    /// An email address in a realm.
    Email,
    /// A plan record, or one registration type of it, on a portal.
    Record,
    /// The id of an account; its natural id is used by an account with another username.
    AccountId,
    /// The idempotency key of a request.
    RepeatKey,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A unique value is already taken.
    #[error("already taken: {0:?}")]
    Taken(Unique),
    /// Something changed since it was read; read it again and repeat the decision.
    #[error("changed since it was read")]
    Stale,
    /// The store failed. The decision may or may not have been written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The meaning of a failed condition: a taken value, or `None` for stale data.
type OnConflict = Option<Unique>;

/// The writes of a transaction, each with the meaning of its failure.
pub(crate) struct Writes<'a> {
    pub store: &'a Store,
    /// The time of the decision.
    pub at: Timestamp,
    items: Vec<(TransactWriteItem, OnConflict)>,
    /// The indexes of the items that withdraw letters.
    withdrawals: Vec<usize>,
}

/// The maximum number of retries of a transaction that conflicts with another one.
const CONFLICT_RETRIES: u32 = 5;

impl Store {
    /// Writes a decision with its changes, follow-ups, messages and audit event, all or none.
    ///
    /// # Errors
    /// [`CommitError`]; after [`CommitError::Taken`] and [`CommitError::Stale`] nothing was written.
    pub async fn commit(
        &self,
        scheduled: ScheduledDecision,
        rng: &mut impl CryptoRng,
    ) -> Result<(), CommitError> {
        self.keys().await?;
        let writes = Writes::of(self, &scheduled, rng)?;
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
                // These letters are already being printed. Commit the rest without withdrawing them.
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

/// Returns the items that failed because their letters can no longer be withdrawn, if nothing else failed.
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

/// Returns whether another transaction on the same items was in progress and no condition failed.
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
        None => CommitError::Store(StoreError::call(error)),
    }
}

impl<'a> Writes<'a> {
    fn of(
        store: &'a Store,
        scheduled: &ScheduledDecision,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, StoreError> {
        let ScheduledDecision {
            decision,
            due_days,
            follow_ups,
            ..
        } = scheduled;
        let mut writes = Self {
            store,
            at: decision.audit.occurred_at,
            items: Vec::new(),
            withdrawals: Vec::new(),
        };
        for (change, due_on) in decision.changes.iter().zip(due_days) {
            writes.change(change, *due_on, rng)?;
        }
        for follow_up in follow_ups {
            writes.set_follow_up(follow_up)?;
        }
        let sender = writes.sender_of(&decision.audit);
        for message in &decision.messages {
            writes.message(message, sender.as_deref(), rng)?;
        }
        writes.audit(&decision.audit)?;
        Ok(writes)
    }

    /// Adds the writes of a change. `due_on` is the day on which something is next due for the account that
    /// it writes.
    fn change(
        &mut self,
        change: &Change,
        due_on: Option<Date>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        match change {
            Change::CreateAccount(account) => self.create_account(account, due_on, rng),
            Change::UpdateAccount { before, after } => {
                self.update_account(before, after, due_on, rng)
            }
            Change::NoteSignIn {
                account,
                at,
                rehashed,
                from,
                device,
                forgotten_devices,
            } => self.note_sign_in(
                account,
                (*at, due_on),
                rehashed.as_ref(),
                from.as_deref(),
                (device, forgotten_devices),
            ),
            Change::CreateOrganization(organization) => self.create_organization(organization),
            Change::UpdateOrganization { before, after } => self.update_organization(before, after),
            Change::NoteFormerUser {
                portal,
                organization,
                email,
            } => self.note_former_user(portal, organization, email),
            Change::NoteRemovedInReview {
                portal,
                organization,
                started_at,
                removed,
            } => self.note_removed_in_review(portal, organization, *started_at, removed),
            Change::ClaimRecord {
                record,
                version,
                portal,
                registration_type,
                account,
                claims,
            } => self.claim_record(
                (record, *version),
                portal,
                registration_type,
                account,
                claims,
            ),
            Change::ReleaseRecord {
                record,
                portal,
                registration_type,
                account,
                whole,
            } => self.release_record(record, portal, registration_type, account, *whole),
            Change::NoteNotified(record) => self.note_notified(record),
            Change::SaveInvitation { before, after } => {
                self.save_invitation(before.as_deref(), after)
            }
            Change::StartSession(session) => self.start_session(session),
            Change::RenewSession(session) => self.renew_session(session),
            Change::EndSession(session) => self.end_session(session),
            Change::OpenApplication {
                session,
                application,
                opened,
            } => self.open_application(session, application, opened),
            Change::CloseApplications { session, kept } => self.close_applications(session, kept),
            Change::IssueCode(code) => self.issue_code(code),
            Change::RedeemCode { code, token } => self.redeem_code(code, token),
            Change::RevokeToken {
                portal,
                account,
                token,
            } => self.revoke_token(portal, account, token),
            Change::WithdrawLetter(id) => self.withdraw_letter(id),
            Change::QueueAdminNotice(notice) => self.queue_admin_notice(notice),
            Change::ClearAdminNotices(notices) => self.clear_admin_notices(notices),
            Change::ResolveFollowUp { follow_up, again } => {
                self.resolve_follow_up(follow_up, *again)
            }
            Change::ForgetAttempts(key) => self.forget_attempts(key),
            Change::KeepResponse(kept) => self.keep_response(kept, rng),
        }
    }
}

/// What the files of the entities add to a transaction.
impl Writes<'_> {
    pub fn put_of(&self, row: Item) -> PutBuilder {
        Put::builder()
            .table_name(&self.store.tables.main)
            .set_item(Some(row))
    }

    pub fn update_of(&self, key: Key) -> UpdateBuilder {
        Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key.into_item()))
    }

    pub fn delete_of(&self, key: Key) -> DeleteBuilder {
        Delete::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key.into_item()))
    }

    pub fn check_of(&self, key: Key) -> ConditionCheckBuilder {
        ConditionCheck::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key.into_item()))
    }

    /// Adds an item that must not exist.
    pub fn put_new(&mut self, row: Item, meaning: OnConflict) -> Result<(), StoreError> {
        let put = self
            .put_of(row)
            .condition_expression("attribute_not_exists(pk)");
        self.push_put(put, meaning)
    }

    pub fn put(&mut self, row: Item) -> Result<(), StoreError> {
        self.push_put(self.put_of(row), None)
    }

    pub fn delete(&mut self, key: Key) -> Result<(), StoreError> {
        self.push_delete(self.delete_of(key))
    }

    /// Adds a delete that is left out if its condition does not hold.
    pub fn push_withdrawal(&mut self, delete: DeleteBuilder) -> Result<(), StoreError> {
        self.withdrawals.push(self.items.len());
        self.push_delete(delete)
    }

    pub fn push_put(&mut self, put: PutBuilder, meaning: OnConflict) -> Result<(), StoreError> {
        let put = put.build().map_err(StoreError::unavailable)?;
        self.push(TransactWriteItem::builder().put(put).build(), meaning);
        Ok(())
    }

    pub fn push_update(
        &mut self,
        update: UpdateBuilder,
        meaning: OnConflict,
    ) -> Result<(), StoreError> {
        let update = update.build().map_err(StoreError::unavailable)?;
        self.push(TransactWriteItem::builder().update(update).build(), meaning);
        Ok(())
    }

    pub fn push_delete(&mut self, delete: DeleteBuilder) -> Result<(), StoreError> {
        let delete = delete.build().map_err(StoreError::unavailable)?;
        self.push(TransactWriteItem::builder().delete(delete).build(), None);
        Ok(())
    }

    /// Adds a condition on an item that the transaction does not write.
    pub fn push_check(&mut self, check: ConditionCheckBuilder) -> Result<(), StoreError> {
        let check = check.build().map_err(StoreError::unavailable)?;
        let item = TransactWriteItem::builder().condition_check(check).build();
        self.push(item, None);
        Ok(())
    }

    fn push(&mut self, item: TransactWriteItem, meaning: OnConflict) {
        self.items.push((item, meaning));
    }
}
