//! The outbox of emails and letters that decisions have queued.
//!
//! A sender claims an email for one minute, sends it, marks it as sent and erases its sealed payload. If the
//! sender fails in between, the claim expires and another sender sends the email: nothing is lost, and an
//! email is sent twice only if the sender fails between sending and marking. An email that SES does not
//! accept is postponed to its next attempt. Letters are printed in batches ([`crate::batches`]).

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};
use vestibule_domain::ids::{MessageId, PortalId};
use vestibule_domain::message::Message;
use vestibule_secrets::Purpose;

use crate::tables::PENDING_INDEX;
use crate::{Store, Unavailable, keys};

/// How a message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Mail,
    Letter,
}

impl Channel {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Letter => "letter",
        }
    }
}

/// The final status of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Sent,
    /// The message can't be delivered, and sending it is not tried again.
    Refused,
    /// The message could not be sent before it became useless.
    Failed,
}

impl Ending {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// The number of partitions of the index of pending messages, per channel.
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
    /// The number of attempts, including this one.
    pub tries: u32,
    pub created_at: Timestamp,
}

/// Formats a time for the index of pending messages, always with milliseconds so that it sorts correctly.
pub(crate) fn due(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Returns the index partition of a message.
pub(crate) fn shard_of(channel: &str, id: &MessageId) -> String {
    let shard = id.as_str().as_bytes().last().map_or(0, |b| b % SHARDS);
    format!("{channel}#{shard}")
}

/// Parses the message id from a key of the table's stream; `None` for other items.
pub fn message_of_key(pk: &str) -> Option<MessageId> {
    MessageId::parse(pk.strip_prefix(keys::MESSAGES)?).ok()
}

impl Store {
    /// Claims a pending email, unless it is postponed or claimed by another sender.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn claim_mail(
        &self,
        id: &MessageId,
        now: Timestamp,
    ) -> Result<MailClaim, Unavailable> {
        let claimed = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::message(id).into_item()))
            // The first attempt ignores the due time, because the writer's clock may differ.
            .condition_expression("#state = :pending AND channel = :mail AND (attribute_not_exists(tries) OR due_at <= :due) AND (attribute_not_exists(claimed_until) OR claimed_until <= :now)")
            .update_expression("SET claimed_until = :until ADD tries :one")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", AttributeValue::S("pending".into()))
            .expression_attribute_values(":mail", AttributeValue::S(Channel::Mail.as_str().into()))
            .expression_attribute_values(":due", AttributeValue::S(due(now)))
            .expression_attribute_values(":now", AttributeValue::N(now.as_millisecond().to_string()))
            .expression_attribute_values(":until", AttributeValue::N((now + CLAIM).as_millisecond().to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".into()))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        let item = match claimed {
            Ok(done) => done.attributes.unwrap_or_default(),
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                return Ok(MailClaim::Gone);
            }
            Err(e) => return Err(Unavailable::call(e)),
        };
        let text = |name: &str| item.get(name).and_then(|v| v.as_s().ok());
        let taken = self.open_message(id, &item).and_then(|message| {
            Some(TakenMail {
                message,
                tries: item.get("tries")?.as_n().ok()?.parse().ok()?,
                created_at: text("created_at")?.parse().ok()?,
            })
        });
        Ok(taken.map_or(MailClaim::Unreadable, |t| MailClaim::Taken(Box::new(t))))
    }

    /// Returns the portal of a pending or sent message; `None` if there is no trace of it.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn portal_of_message(&self, id: &MessageId) -> Result<Option<PortalId>, Unavailable> {
        let got = self
            .db
            .get_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::message(id).into_item()))
            .send()
            .await
            .map_err(Unavailable::call)?;
        let portal = got.item.and_then(|i| i.get("portal")?.as_s().ok().cloned());
        Ok(portal.and_then(|p| PortalId::parse(&p).ok()))
    }

    /// Opens the message of an outbox item; `None` if it can't be read.
    pub(crate) fn open_message(
        &self,
        id: &MessageId,
        item: &HashMap<String, AttributeValue>,
    ) -> Option<Message> {
        let sealed = item.get("payload")?.as_s().ok()?;
        let key = keys::message(id).pk;
        let plain = self.keyring.open(Purpose::Outbox, &key, sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }

    /// Sets the final status of a message and erases its content.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn close_message(
        &self,
        id: &MessageId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let marked = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::message(id).into_item()))
            .condition_expression("attribute_exists(pk)")
            .update_expression("SET #state = :ending, closed_at = :at, expires = :expires REMOVE payload, pending, claimed_until")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":ending", AttributeValue::S(ending.as_str().into()))
            .expression_attribute_values(":at", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":expires", AttributeValue::N((now + TRACE).as_second().to_string()))
            .send()
            .await;
        Unavailable::unless_conditional(marked)
    }

    /// Releases an email that was claimed at `claimed_at` and postpones it to `next`. Has no effect if the
    /// claim expired and another sender claimed the email.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn postpone_mail(
        &self,
        id: &MessageId,
        claimed_at: Timestamp,
        next: Timestamp,
    ) -> Result<(), Unavailable> {
        let released = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::message(id).into_item()))
            .condition_expression("claimed_until = :mine")
            .update_expression("SET due_at = :next REMOVE claimed_until")
            .expression_attribute_values(":next", AttributeValue::S(due(next)))
            .expression_attribute_values(
                ":mine",
                AttributeValue::N((claimed_at + CLAIM).as_millisecond().to_string()),
            )
            .send()
            .await;
        Unavailable::unless_conditional(released)
    }

    /// Loads the pending messages of a channel that are due, at most `limit` per shard and oldest first
    /// within each shard.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn pending_messages(
        &self,
        channel: Channel,
        limit: i32,
        now: Timestamp,
    ) -> Result<Vec<MessageId>, Unavailable> {
        let mut ids = Vec::new();
        for shard in 0..SHARDS {
            let got = self
                .db
                .query()
                .table_name(&self.tables.main)
                .index_name(PENDING_INDEX)
                .key_condition_expression("pending = :shard AND due_at <= :now")
                .expression_attribute_values(":now", AttributeValue::S(due(now)))
                .expression_attribute_values(
                    ":shard",
                    AttributeValue::S(format!("{}#{shard}", channel.as_str())),
                )
                .limit(limit)
                .send()
                .await
                .map_err(Unavailable::call)?;
            ids.extend(
                got.items
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|i| message_of_key(i.get("pk")?.as_s().ok()?)),
            );
        }
        Ok(ids)
    }
}
