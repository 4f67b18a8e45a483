//! The outbox: mails and letters that decisions have sent, on their way out.
//!
//! A mail is claimed for a minute before it leaves and marked as gone afterward, when its sealed
//! payload goes too. Whoever dies in between lets the claim lapse, and the mail is sent by the next
//! to come: nothing is lost, and only a death between sending and marking sends twice. One that SES
//! doesn't take now moves to the moment of its next try, out of the way of the others. Letters leave
//! in batches ([`crate::batches`]).

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::{SignedDuration, Timestamp};
use vestibule_domain::ids::{MessageId, PortalId};
use vestibule_domain::message::Message;
use vestibule_secrets::Purpose;

use crate::tables::PENDING_INDEX;
use crate::{Store, Unavailable, keys};

/// By which way a message leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Email.
    Mail,
    /// Post.
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

/// How a message's way ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It has left.
    Sent,
    /// It never will: nobody can take it.
    Refused,
    /// It was tried for so long that it is of no use any more.
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

/// Over how many partitions the index of pending messages is spread.
pub const SHARDS: u8 = 4;

/// How long a claim keeps others away.
const CLAIM: SignedDuration = SignedDuration::from_secs(60);

/// How long the trace of a sent message is kept.
pub(crate) const TRACE: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What became of taking a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailClaim {
    /// It is to be sent now.
    Taken(Box<TakenMail>),
    /// It can't be read, and never will be.
    Unreadable,
    /// It has gone, is being sent by another, or its next try is still to come.
    Gone,
}

/// A mail that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenMail {
    /// What it says.
    pub message: Message,
    /// How often it has been tried, this time included.
    pub tries: u32,
    /// When it was decided on.
    pub created_at: Timestamp,
}

/// A moment as the index of pending messages sorts it: always with milliseconds.
pub(crate) fn due(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// The index partition of a message.
pub(crate) fn shard_of(channel: &str, id: &MessageId) -> String {
    let shard = id.as_str().as_bytes().last().map_or(0, |b| b % SHARDS);
    format!("{channel}#{shard}")
}

/// The message that a key of the table's stream is about, if it is about one.
pub fn message_of_key(pk: &str) -> Option<MessageId> {
    MessageId::parse(pk.strip_prefix(keys::MESSAGES)?).ok()
}

impl Store {
    /// Takes a pending mail to send it, unless its next try is still to come.
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
            // The first try needs no look at the clock, which may differ from that of the writer.
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

    /// The portal of a message, whether it waits or has left; none when there is no trace of it.
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

    /// What an item of the outbox says; none if it can't be read.
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

    /// Ends a message's way and erases what it said.
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

    /// Gives a mail back that was claimed at `claimed_at`, to be tried again at `next`. Where that
    /// claim has lapsed and another has taken the mail, it stays with the other.
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

    /// The messages of a channel that have not gone yet and are due, the longest due first in each
    /// shard, at most `limit` of each.
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
