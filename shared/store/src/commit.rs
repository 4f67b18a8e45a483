//! Commits a decision as one transaction. All decisions are written here.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan};
use rand::CryptoRng;
use vestibule_domain::account::{Account, PasswordHash, Status, Undeliverable, UndeliverableKind};
use vestibule_domain::audit::AuditEvent;
use vestibule_domain::decision::{AttemptKey, Change, Decision, RecordClaim};
use vestibule_domain::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::invite::Invitation;
use vestibule_domain::message::Message;
use vestibule_domain::organization::Organization;
use vestibule_domain::policy::Slug;
use vestibule_domain::record::RecordKey;
use vestibule_domain::review;
use vestibule_domain::schedule::{self, FollowUp, FollowUpKind};
use vestibule_domain::session::Session;
use vestibule_secrets::Purpose;

use crate::due::Queue;
use crate::keys::{self, Key};
use crate::read::UserRow;
use crate::tables::EXPIRES;
use crate::{Store, Unavailable, due, item, records, trail};

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
    /// DynamoDB didn't answer. The decision may or may not have been written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The meaning of a failed condition: a taken value, or `None` for stale data.
type OnConflict = Option<Unique>;

/// The writes of a transaction, each with the meaning of its failure.
struct Writes<'a> {
    store: &'a Store,
    /// The time of the decision.
    at: Timestamp,
    /// The follow-ups already written, because a transaction may write an item only once.
    follow_ups: Vec<Key>,
    items: Vec<(TransactWriteItem, OnConflict)>,
    /// The indexes of the items that withdraw letters.
    withdrawals: Vec<usize>,
}

/// How long an invitation is kept after it expires, so that it can be shown as expired (UX-01).
const KEPT_AFTER_INVITATION: SignedDuration = SignedDuration::from_hours(24 * 90);

/// How long the id and username of a deleted account are kept: as long as the audit trail (UX-11).
const KEPT_AFTER_DELETION: SignedDuration = SignedDuration::from_hours(24 * 2192);

/// The maximum number of retries of a transaction that conflicts with another one.
const CONFLICT_RETRIES: u32 = 5;

impl Store {
    /// Writes a decision with its changes, messages and audit event, all or none.
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
            at: decision.audit.occurred_at,
            follow_ups: Vec::new(),
            items: Vec::new(),
            withdrawals: Vec::new(),
        };
        for change in &decision.changes {
            writes.change(change, rng)?;
        }
        for message in &decision.messages {
            writes.message(message, decision.audit.occurred_at, rng)?;
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
                from,
                device,
                forgotten_devices,
            } => self.note_sign_in(
                account,
                *at,
                rehashed.as_ref(),
                from.as_deref(),
                (device, forgotten_devices),
            ),
            Change::CreateOrganization(organization) => self.create_organization(organization),
            Change::UpdateOrganization { before, after } => {
                if before.review != after.review {
                    self.watch_reviews(after)?;
                }
                let key = keys::organization(&after.portal, &after.id);
                let next = Organization {
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
                portal,
                organization,
                email,
            } => self.put(keys::former_user(portal, organization, email).into_item()),
            Change::NoteRemovedInReview {
                portal,
                organization,
                started_at,
                removed,
            } => {
                let account = &removed.account;
                let key = keys::removed_in_review(portal, organization, *started_at, account);
                self.put(item::write(key, removed)?)
            }
            Change::ClaimRecord {
                record,
                portal,
                registration_type,
                account,
                claims,
            } => self.claim_record(record, portal, registration_type, account, claims),
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
            Change::QueueAdminNotice(notices_due) => {
                self.put(item::write(
                    due::admin_notice_key(notices_due),
                    notices_due,
                )?)?;
                self.set_follow_up(
                    &notices_due.portal,
                    &notices_due.organization,
                    FollowUpKind::AdminNotice,
                    notices_due.on,
                )
            }
            Change::ClearAdminNotices(told) => told
                .iter()
                .try_for_each(|notices_due| self.delete(due::admin_notice_key(notices_due))),
            Change::ResolveFollowUp { follow_up, again } => {
                self.resolve_follow_up(follow_up, *again)
            }
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
        let row = self.account_row(account, rng)?;
        self.put_new(row, Some(Unique::AccountId))?;
        self.put(contact_row(account))?;
        self.rows(None, account)
    }

    /// Builds the item of an account, with the day of its next scheduled action. The item of a deleted
    /// account expires together with the audit trail that refers to it.
    fn account_row(
        &self,
        account: &Account,
        rng: &mut impl CryptoRng,
    ) -> Result<item::Item, Unavailable> {
        let mut row = item::write_account(account, &self.store.keyring, rng)?;
        row.extend(self.store.due_attributes(account)?.into_iter().flatten());
        if account.status == Status::Deleted {
            let end = (self.at + KEPT_AFTER_DELETION).as_second().to_string();
            row.insert(EXPIRES.into(), AttributeValue::N(end));
        }
        Ok(row)
    }

    fn create_organization(&mut self, organization: &Organization) -> Result<(), Unavailable> {
        let Organization { portal, id, .. } = organization;
        self.put_new(
            item::write(keys::organization(portal, id), organization)?,
            None,
        )?;
        let first = self
            .store
            .day_of(portal, self.at)?
            .map(|day| day.saturating_add(i64::from(schedule::BACKUP_REMINDER_DAYS).days()));
        self.watch_for_backup(portal, id, first)?;
        self.watch_reviews(organization)
    }

    /// Schedules the follow-up for an organization's access reviews on the next day that needs one (EX-11).
    /// A decision that handles this follow-up schedules the next one itself.
    fn watch_reviews(&mut self, organization: &Organization) -> Result<(), Unavailable> {
        let Organization { portal, id, .. } = organization;
        let policy = self.store.portals.get(portal.as_str())?;
        let on = policy.and_then(|p| review::next_look(organization, p, p.date_of(self.at)));
        let key = keys::follow_up(portal, id, FollowUpKind::Review);
        match on.filter(|_| !self.follow_ups.contains(&key)) {
            Some(on) => {
                self.follow_ups.push(key.clone());
                self.put_follow_up(key, portal, id, "due_on = :on", on)
            }
            None => Ok(()),
        }
    }

    /// Schedules the check for a backup administrator of an organization, from a day on (AG-04).
    fn watch_for_backup(
        &mut self,
        portal: &PortalId,
        organization: &OrganizationId,
        on: Option<Date>,
    ) -> Result<(), Unavailable> {
        let staff = self.store.portals.get(portal.as_str())?.map(|p| &p.staff);
        let asks = matches!(staff, Some(Some(staff)) if staff.requires_backup_administrator);
        match on.filter(|_| asks) {
            Some(on) => self.set_follow_up(portal, organization, FollowUpKind::Backup, on),
            None => Ok(()),
        }
    }

    /// Schedules a follow-up; one that is already scheduled keeps its day.
    fn set_follow_up(
        &mut self,
        portal: &PortalId,
        organization: &OrganizationId,
        kind: FollowUpKind,
        on: Date,
    ) -> Result<(), Unavailable> {
        let key = keys::follow_up(portal, organization, kind);
        if self.follow_ups.contains(&key) {
            return Ok(());
        }
        self.follow_ups.push(key.clone());
        let keeping = "due_on = if_not_exists(due_on, :on)";
        self.put_follow_up(key, portal, organization, keeping, on)
    }

    fn put_follow_up(
        &mut self,
        key: Key,
        portal: &PortalId,
        organization: &OrganizationId,
        day: &str,
        on: Date,
    ) -> Result<(), Unavailable> {
        let partition = Queue::FollowUps.partition_of(portal, organization.as_str());
        let update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key.into_item()))
            .update_expression(format!("SET due = :due, {day} ADD version :one"))
            .expression_attribute_values(":due", AttributeValue::S(partition))
            .expression_attribute_values(":on", AttributeValue::S(on.to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".into()));
        self.push_update(update, None)
    }

    fn resolve_follow_up(
        &mut self,
        follow_up: &FollowUp,
        again: Option<Date>,
    ) -> Result<(), Unavailable> {
        let key = keys::follow_up(&follow_up.portal, &follow_up.organization, follow_up.kind);
        self.follow_ups.push(key.clone());
        let key = key.into_item();
        let version = AttributeValue::N(follow_up.version.to_string());
        let Some(on) = again else {
            let delete = Delete::builder()
                .table_name(&self.store.tables.main)
                .set_key(Some(key))
                .condition_expression("version = :version")
                .expression_attribute_values(":version", version)
                .build()
                .map_err(Unavailable::new)?;
            self.items
                .push((TransactWriteItem::builder().delete(delete).build(), None));
            return Ok(());
        };
        let update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(key))
            .condition_expression("version = :version")
            .update_expression("SET due_on = :on ADD version :one")
            .expression_attribute_values(":version", version)
            .expression_attribute_values(":on", AttributeValue::S(on.to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".into()));
        self.push_update(update, None)
    }

    /// Replaces the account if it has not changed since it was read, and updates its markers and rows.
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
                self.put(contact_row(after))?;
            }
        } else if before.email_undeliverable != after.email_undeliverable {
            self.put(contact_row(after))?;
        }
        let next = Account {
            version: before.version + 1,
            ..after.clone()
        };
        let put = Put::builder()
            .table_name(&self.store.tables.main)
            .set_item(Some(self.account_row(&next, rng)?))
            .expression_attribute_values(":version", AttributeValue::N(before.version.to_string()));
        // A sign-in does not change the version, but must not be overwritten.
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

    /// Updates the rows by which organizations list the account, if they changed.
    fn rows(&mut self, before: Option<&Account>, after: &Account) -> Result<(), Unavailable> {
        let old = before.map(UserRow::all_of).unwrap_or_default();
        let new = UserRow::all_of(after);
        for (key, row) in &new {
            if !old.iter().any(|(k, r)| k == key && r == row) {
                self.put(item::write(key.clone(), row)?)?;
            }
        }
        for (key, row) in old {
            let stays = new.iter().find(|(k, _)| *k == key);
            let acts_as_before = stays
                .is_some_and(|(_, r)| (r.status, r.registration) == (row.status, row.registration));
            if row.role.is_administrator() && !acts_as_before {
                // The organization may have lost its backup administrator.
                let today = self.store.day_of(&after.portal, self.at)?;
                let organization = keys::organization_of(&key);
                if let Some(organization) = organization {
                    self.watch_for_backup(&after.portal, &organization, today)?;
                }
            }
            if stays.is_none() {
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
        from: Option<&str>,
        (device, forgotten): (&str, &[String]),
    ) -> Result<(), Unavailable> {
        let signed_in = Account {
            last_sign_in_at: Some(at),
            ..account.clone()
        };
        let due = self.store.due_attributes(&signed_in)?;
        let at = AttributeValue::S(at.to_string());
        // Each device is a separate map entry, so that two concurrent sign-ins are both remembered.
        let mut set = "SET last_sign_in_at = :at, devices.#device = :at".to_owned();
        let mut remove = Vec::new();
        let mut update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(
                keys::account(&account.portal, &account.id).into_item(),
            ))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", AttributeValue::N(account.version.to_string()))
            .expression_attribute_names("#device", device)
            .expression_attribute_values(":at", at.clone());
        match from {
            Some(from) => {
                set.push_str(", last_sign_in_from = :from");
                update =
                    update.expression_attribute_values(":from", AttributeValue::S(from.to_owned()));
            }
            None => remove.push("last_sign_in_from".to_owned()),
        }
        for (i, digest) in forgotten.iter().enumerate() {
            remove.push(format!("devices.#forgotten{i}"));
            update = update.expression_attribute_names(format!("#forgotten{i}"), digest);
        }
        if let Some(hash) = rehashed {
            set.push_str(", #password.#hash = :hash");
            update = update
                .expression_attribute_names("#password", "password")
                .expression_attribute_names("#hash", "hash")
                .expression_attribute_values(":hash", AttributeValue::S(hash.as_str().to_owned()));
        }
        match due {
            Some([(_, due), (_, on)]) => {
                set.push_str(", due = :due, due_on = :on");
                update = update
                    .expression_attribute_values(":due", due)
                    .expression_attribute_values(":on", on);
            }
            None => remove.extend(["due".to_owned(), "due_on".to_owned()]),
        }
        if !remove.is_empty() {
            set.push_str(&format!(" REMOVE {}", remove.join(", ")));
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

    /// Claims a record. Concurrent registrations can't create two organizations from it or use one
    /// registration type twice.
    fn claim_record(
        &mut self,
        record: &RecordKey,
        portal: &PortalId,
        registration_type: &Slug,
        account: &AccountId,
        claims: &RecordClaim,
    ) -> Result<(), Unavailable> {
        let update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(keys::record(record).into_item()))
            .update_expression("SET #claim = :made, #way = :account")
            .expression_attribute_names("#claim", records::claim(portal))
            .expression_attribute_names(
                "#way",
                records::claim_by(portal, registration_type.as_str()),
            )
            .expression_attribute_values(":account", AttributeValue::S(account.to_string()));
        let (condition, made) = match claims {
            RecordClaim::NewOrganization(made) => ("attribute_not_exists(#claim)", made.as_ref()),
            RecordClaim::JoinExisting(organization) => (
                "#claim = :made AND attribute_not_exists(#way)",
                Some(organization),
            ),
        };
        let made = made.map_or(records::NO_ORGANIZATION, |o| o.as_str());
        let update = update
            .condition_expression(format!(
                "attribute_exists(pk) AND attribute_not_exists(ended) AND {condition}"
            ))
            .expression_attribute_values(":made", AttributeValue::S(made.to_owned()));
        self.push_update(update, Some(Unique::Record))
    }

    fn release_record(
        &mut self,
        record: &RecordKey,
        portal: &PortalId,
        registration_type: &str,
        account: &AccountId,
        whole: bool,
    ) -> Result<(), Unavailable> {
        let update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(keys::record(record).into_item()))
            .condition_expression("#way = :account")
            .expression_attribute_names("#way", records::claim_by(portal, registration_type))
            .expression_attribute_values(":account", AttributeValue::S(account.to_string()));
        let update = if whole {
            update
                .update_expression("REMOVE #way, #claim")
                .expression_attribute_names("#claim", records::claim(portal))
        } else {
            update.update_expression("REMOVE #way")
        };
        self.push_update(update, None)
    }

    fn note_notified(&mut self, record: &RecordKey) -> Result<(), Unavailable> {
        let update = Update::builder()
            .table_name(&self.store.tables.main)
            .set_key(Some(keys::record(record).into_item()))
            .condition_expression("attribute_exists(to_notify)")
            .update_expression("REMOVE to_notify");
        self.push_update(update, None)
    }

    fn save_invitation(
        &mut self,
        before: Option<&Invitation>,
        after: &Invitation,
    ) -> Result<(), Unavailable> {
        let key = keys::invitation(&after.portal, &after.organization, &after.id);
        let end = (after.expires_at + KEPT_AFTER_INVITATION).as_second();
        let expires = (EXPIRES.to_owned(), AttributeValue::N(end.to_string()));
        let Some(before) = before else {
            let mut row = item::write(key, after)?;
            row.extend([expires]);
            return self.put_new(row, None);
        };
        let next = Invitation {
            version: before.version + 1,
            ..after.clone()
        };
        let mut row = item::write(key, &next)?;
        row.extend([expires]);
        let put = Put::builder()
            .table_name(&self.store.tables.main)
            .set_item(Some(row))
            .condition_expression("version = :version")
            .expression_attribute_values(":version", AttributeValue::N(before.version.to_string()));
        self.push_put(put, None)
    }

    /// Puts a message into the outbox. It is sealed, because it may contain a PIN, a code or a link.
    fn message(
        &mut self,
        message: &Message,
        at: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Unavailable> {
        let (channel, portal) = match message {
            Message::Mail(m) => ("mail", &m.portal),
            Message::Letter(l) => ("letter", &l.portal),
            // A recovery request results in an email.
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
            ("due_at", crate::outbox::due(at)),
            ("payload", sealed),
        ] {
            row.insert(name.to_owned(), AttributeValue::S(value));
        }
        self.put_new(row, None)
    }

    /// Adds an entry to the audit trail; an existing entry is never replaced.
    fn audit(&mut self, event: &AuditEvent) -> Result<(), Unavailable> {
        let put = Put::builder()
            .table_name(&self.store.tables.audit)
            .set_item(Some(trail::entry(event, &self.store.keyring)?))
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

    /// Withdraws a letter, unless it is in a batch that is being printed.
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

/// Builds the item that finds an account by its email address and marks an address that bounces.
fn contact_row(account: &Account) -> item::Item {
    let mut row = keys::contact(account).into_item();
    let bounced = |u: &Undeliverable| u.kind == UndeliverableKind::Bounced;
    if account.email_undeliverable.as_ref().is_some_and(bounced) {
        row.insert("bounced".into(), AttributeValue::Bool(true));
    }
    row
}

/// Builds the item of a session; DynamoDB deletes it some time after the session ends.
fn session_row(session: &Session) -> Result<item::Item, Unavailable> {
    let key = keys::session(&session.portal, &session.account, &session.id);
    let mut row = item::write(key, session)?;
    let end = session.expires_at.as_second().to_string();
    row.insert(EXPIRES.into(), AttributeValue::N(end));
    Ok(row)
}

/// Returns the unique markers of an account: its username and, in a realm, its email address. A deleted
/// account has none.
fn markers(account: &Account) -> Vec<(Key, Unique)> {
    if account.status == Status::Deleted {
        return Vec::new();
    }
    let mut markers = vec![(
        keys::username(&account.portal, &account.username.key()),
        Unique::Username,
    )];
    if let Some(realm) = &account.email_realm {
        markers.push((keys::email(realm, &account.email.key()), Unique::Email));
    }
    markers
}
