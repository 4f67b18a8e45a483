//! The outbox of emails and letters that decisions have queued.
//!
//! A sender claims an email for one minute, sends it, marks it as sent and erases its sealed payload. If the
//! sender fails in between, the claim expires and another sender sends the email: nothing is lost, and an
//! email is sent twice only if the sender fails between sending and marking. An email that SES does not
//! accept is postponed to its next attempt. Letters are printed in batches ([`crate::batches`]).

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use strum::IntoStaticStr;
use vestibule_domain::outbox::mail::{AccessCheck, EndingSession, Message};
use vestibule_domain::state::audit::{Actor, AuditEvent};
use vestibule_domain::values::ids::{MessageId, PortalId};
use vestibule_domain::values::source::customer_of;
use vestibule_secrets::Purpose;

use crate::attributes::{Item, text};
use crate::commit::Writes;
use crate::error::{is_conditional, took_effect};
use crate::expression::{Expression, n, s};
use crate::key::Key;
use crate::tables::PENDING_INDEX;
use crate::{Store, StoreError};

/// The key prefix of outbox items; the filter of the stream uses it too.
const MESSAGES: &str = "X#";

pub(crate) fn key(id: &MessageId) -> Key {
    Key::new(format!("{MESSAGES}{id}"), "X")
}

/// How a message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Channel {
    Mail,
    Letter,
}

/// The final status of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Ending {
    Sent,
    /// The message can't be delivered, and sending it is not tried again.
    Refused,
    /// The message could not be sent before it became useless.
    Failed,
    /// The recipient or the sender reached a daily limit (SE-06).
    Limited,
}

/// The number of partitions of the index of pending messages, per queue.
pub const SHARDS: u8 = 4;

/// How long a claim excludes other senders.
const CLAIM: SignedDuration = SignedDuration::from_secs(60);

/// How long the trace of a sent message is kept.
pub(crate) const TRACE: SignedDuration = SignedDuration::from_hours(24 * 30);

/// The result of claiming an email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailClaim {
    /// The email is claimed and must be sent now.
    Taken(Box<TakenMail>),
    /// The email can't be read; another attempt will not help.
    Unreadable,
    /// The email was sent, is claimed by another sender, or is postponed.
    Gone,
}

/// A claimed email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMail {
    pub message: Message,
    /// A keyed digest of the account or source address that caused the email; `None` if the system
    /// did.
    pub sender: Option<String>,
    /// The number of attempts, including this one.
    pub attempts: u32,
    pub created_at: Timestamp,
}

/// Formats a time for the index of pending messages, always with milliseconds so that it sorts correctly.
fn due(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The pending messages that are found together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue<'a> {
    Mail,
    /// The letters of a portal, so that those of a portal with an invalid policy can wait.
    Letters(&'a PortalId),
}

impl Queue<'_> {
    /// Returns the index partition of a message.
    fn shard_of(self, id: &MessageId) -> String {
        self.shard(id.as_str().as_bytes().last().map_or(0, |b| b % SHARDS))
    }

    fn shard(self, number: u8) -> String {
        match self {
            Self::Mail => format!("mail#{number}"),
            Self::Letters(portal) => format!("letter#{portal}#{number}"),
        }
    }
}

/// Parses the message id from a key of the table's stream; `None` for other items.
pub fn message_of_key(pk: &str) -> Option<MessageId> {
    MessageId::parse(pk.strip_prefix(MESSAGES)?).ok()
}

impl Store {
    /// Claims a pending email, unless it is postponed or claimed by another sender.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_mail(
        &self,
        id: &MessageId,
        now: Timestamp,
    ) -> Result<MailClaim, StoreError> {
        let claimed = self.update(key(id))
            // The first attempt ignores the due time, because the writer's clock may differ.
            .condition_expression(
"#state = :pending AND channel = :mail \
                 AND (attribute_not_exists(attempts) OR due_at <= :due) \
                 AND (attribute_not_exists(claimed_until) OR claimed_until <= :now)")
            .update_expression("SET claimed_until = :until ADD attempts :one")
            .names([("#state", "state")])
            .values([(":pending", s("pending")), (":mail", s(Channel::Mail.into_str())), (":due", s(due(now))), (":now", n(now.as_millisecond())), (":until", n((now + CLAIM).as_millisecond())), (":one", n(1))])
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let item = match claimed {
            Ok(done) => done.attributes.unwrap_or_default(),
            Err(e) if is_conditional(&e) => {
                return Ok(MailClaim::Gone);
            }
            Err(e) => return Err(StoreError::call(e)),
        };
        let taken = self.open_message(id, &item).and_then(|message| {
            Some(TakenMail {
                message,
                sender: text(&item, "sender").cloned(),
                attempts: item.get("attempts")?.as_n().ok()?.parse().ok()?,
                created_at: text(&item, "created_at")?.parse().ok()?,
            })
        });
        Ok(taken.map_or(MailClaim::Unreadable, |t| MailClaim::Taken(Box::new(t))))
    }

    /// Returns the portal of a pending or sent message; `None` if there is no trace of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn portal_of_message(&self, id: &MessageId) -> Result<Option<PortalId>, StoreError> {
        let got = self
            .db
            .get_item()
            .table_name(&self.tables.main)
            .set_key(Some(key(id).into_item()))
            .send()
            .await
            .map_err(StoreError::call)?;
        let portal = got.item.as_ref().and_then(|i| text(i, "portal"));
        Ok(portal.and_then(|p| PortalId::parse(p).ok()))
    }

    /// Opens the message of an outbox item; `None` if it can't be read.
    pub(crate) fn open_message(&self, id: &MessageId, item: &Item) -> Option<Message> {
        let sealed = text(item, "payload")?;
        let key = key(id).pk;
        let plain = self.keyring.open(Purpose::Outbox, &key, sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Sets the final status of a message and erases its content.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_message(
        &self,
        id: &MessageId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let marked = self
            .update(key(id))
            .condition_expression("attribute_exists(pk)")
            .update_expression(
                "SET #state = :ending, closed_at = :at, expires = :expires \
                 REMOVE payload, pending, claimed_until",
            )
            .names([("#state", "state")])
            .values([
                (":ending", s(ending.into_str())),
                (":at", s(now)),
                (":expires", n((now + TRACE).as_second())),
            ])
            .send()
            .await;
        took_effect(marked)?;
        Ok(())
    }

    /// Releases an email that was claimed at `claimed_at` and postpones it to `next`. Has no effect if the
    /// claim expired and another sender claimed the email.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn postpone_mail(
        &self,
        id: &MessageId,
        claimed_at: Timestamp,
        next: Timestamp,
    ) -> Result<(), StoreError> {
        let released = self
            .update(key(id))
            .condition_expression("claimed_until = :mine")
            .update_expression("SET due_at = :next REMOVE claimed_until")
            .values([
                (":next", s(due(next))),
                (":mine", n((claimed_at + CLAIM).as_millisecond())),
            ])
            .send()
            .await;
        took_effect(released)?;
        Ok(())
    }

    /// Loads the pending messages of a queue that are due, at most `limit` per shard and oldest first
    /// within each shard.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn pending_messages(
        &self,
        queue: Queue<'_>,
        limit: i32,
        now: Timestamp,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut ids = Vec::new();
        for number in 0..SHARDS {
            let got = self
                .db
                .query()
                .table_name(&self.tables.main)
                .index_name(PENDING_INDEX)
                .key_condition_expression("pending = :shard AND due_at <= :now")
                .values([(":now", s(due(now))), (":shard", s(queue.shard(number)))])
                .limit(limit)
                .send()
                .await
                .map_err(StoreError::call)?;
            ids.extend(
                got.items
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|i| message_of_key(text(i, "pk")?)),
            );
        }
        Ok(ids)
    }
}

impl Writes<'_> {
    /// Puts a message into the outbox. It is sealed, because it may contain a PIN, a code or a link.
    pub(crate) fn message(
        &mut self,
        message: &Message,
        sender: Option<&str>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let (channel, portal) = match message {
            Message::Mail(m) => (Channel::Mail, &m.portal),
            Message::Letter(l) => (Channel::Letter, &l.portal),
            // A recovery request results in an email.
            Message::Recovery(r) => (Channel::Mail, &r.origin.portal),
            // Sent by the same function, which retries them in the same way.
            Message::AccessCheck(c) => (Channel::Mail, &c.portal),
            Message::Logout(n) => (Channel::Mail, &n.portal),
        };
        let queue = match channel {
            Channel::Mail => Queue::Mail,
            Channel::Letter => Queue::Letters(portal),
        };
        let key = key(message.id());
        let plain =
            zeroize::Zeroizing::new(serde_json::to_vec(message).map_err(StoreError::unavailable)?);
        let sealed = self
            .store
            .keyring
            .seal(Purpose::Outbox, &key.pk, &plain, rng);
        let mut row = key.into_item();
        for (name, value) in [
            ("channel", channel.into_str().to_owned()),
            ("portal", portal.to_string()),
            ("state", "pending".to_owned()),
            ("pending", queue.shard_of(message.id())),
            ("created_at", self.at.to_string()),
            ("due_at", due(self.at)),
            ("payload", sealed),
        ] {
            row.insert(name.to_owned(), s(value));
        }
        if let Message::AccessCheck(AccessCheck {
            ending: Some(EndingSession { check_at, .. }),
            ..
        }) = message
        {
            // With attempts, even none, the due time counts.
            row.insert("attempts".to_owned(), n(0));
            row.insert("due_at".to_owned(), s(due(*check_at)));
        }
        row.extend(sender.map(|sender| ("sender".to_owned(), s(sender))));
        self.put_new(row, None)
    }

    /// Returns a keyed digest of what caused an event: an account or a source address. `None` for
    /// the system.
    pub(crate) fn sender_of(&self, event: &AuditEvent) -> Option<String> {
        let sender = match (&event.actor, &event.source) {
            (Actor::Account(id) | Actor::HelpDesk(id), _) => format!("account/{id}"),
            (Actor::Unknown, Some(source)) => format!("source/{}", customer_of(source)),
            (Actor::Unknown, None) | (Actor::System, _) => return None,
        };
        Some(self.store.counted_digest("sender", &sender))
    }

    /// Withdraws a letter, unless it is in a batch that is being printed.
    pub(crate) fn withdraw_letter(&mut self, id: &MessageId) -> Result<(), StoreError> {
        let delete = self
            .delete_of(key(id))
            .condition_expression("attribute_not_exists(printed_in) OR #state <> :pending")
            .names([("#state", "state")])
            .values([(":pending", s("pending"))]);
        self.push_withdrawal(delete)
    }
}
