//! Batches of letters that are printed together.
//!
//! There is one batch at a time, stored in one item. Opening it is one conditional write that lists its
//! letters, so that two concurrent printers work on the same batch. Each letter is then claimed for the
//! batch and can no longer be withdrawn: however often the batch is printed, it contains the same letters in
//! the same order. Letters are closed only after everything was printed. The next batch opens when this one
//! is closed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;
use vestibule_domain::ids::MessageId;
use vestibule_domain::letter::Letter;
use vestibule_domain::message::Message;

use crate::outbox::{Channel, Ending, TRACE};
use crate::{Store, Unavailable, keys};

/// A batch that is being printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The sequence number of the batch.
    pub number: u64,
    pub opened_at: Timestamp,
    /// The letters in printing order.
    pub letters: Vec<MessageId>,
}

impl Batch {
    /// Returns the id: the day (UTC) and the number, such as `2026-11-23-000042`.
    pub fn id(&self) -> String {
        format!("{}-{:06}", self.opened_at.strftime("%Y-%m-%d"), self.number)
    }
}

/// The state of printing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Printing {
    /// A batch is open.
    Open(Batch),
    /// No batch is open; the last one had this number.
    Idle(u64),
}

/// The result of claiming a letter for a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LetterClaim {
    /// The letter belongs to the batch.
    Taken(Box<Letter>),
    /// The letter belongs to the batch but can't be read.
    Unreadable,
    /// The letter was withdrawn, or was printed with an earlier batch.
    Gone,
    /// The letter belonged to the batch and is closed, so everything in the batch has been printed.
    Closed,
}

impl Store {
    /// Loads the state of printing.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn printing(&self) -> Result<Printing, Unavailable> {
        let got = self
            .db
            .get_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::batch().into_item()))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::call)?;
        let Some(item) = got.item else {
            return Ok(Printing::Idle(0));
        };
        read(&item).ok_or_else(|| Unavailable::corrupt("the batch of letters"))
    }

    /// Opens the batch after number `last`; `None` if another printer has opened it.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn open_batch(
        &self,
        last: u64,
        letters: Vec<MessageId>,
        now: Timestamp,
    ) -> Result<Option<Batch>, Unavailable> {
        let batch = Batch {
            number: last + 1,
            opened_at: now,
            letters,
        };
        let named = batch
            .letters
            .iter()
            .map(|id| AttributeValue::S(id.to_string()));
        let opened = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::batch().into_item()))
            .condition_expression(
                "attribute_not_exists(pk) OR (attribute_not_exists(letters) AND #number = :last)",
            )
            .update_expression("SET #number = :number, opened_at = :at, letters = :letters")
            .expression_attribute_names("#number", "number")
            .expression_attribute_values(":last", AttributeValue::N(last.to_string()))
            .expression_attribute_values(":number", AttributeValue::N(batch.number.to_string()))
            .expression_attribute_values(":at", AttributeValue::S(now.to_string()))
            .expression_attribute_values(":letters", AttributeValue::L(named.collect()))
            .send()
            .await;
        match opened {
            Ok(_) => Ok(Some(batch)),
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(None)
            }
            Err(e) => Err(Unavailable::call(e)),
        }
    }

    /// Claims a letter for the batch; it can no longer be withdrawn. Claiming it again changes nothing.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn claim_letter(
        &self,
        batch: &Batch,
        id: &MessageId,
    ) -> Result<LetterClaim, Unavailable> {
        let key = keys::message(id);
        let claimed = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.clone().into_item()))
            .condition_expression("#state = :pending AND channel = :letter AND (attribute_not_exists(printed_in) OR printed_in = :batch)")
            .update_expression("SET printed_in = :batch")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", AttributeValue::S("pending".into()))
            .expression_attribute_values(":letter", AttributeValue::S(Channel::Letter.as_str().into()))
            .expression_attribute_values(":batch", AttributeValue::S(batch.id()))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match claimed {
            Ok(done) => {
                let item = done.attributes.unwrap_or_default();
                Ok(match self.open_message(id, &item) {
                    Some(Message::Letter(letter)) => LetterClaim::Taken(Box::new(letter)),
                    _ => LetterClaim::Unreadable,
                })
            }
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                let got = self
                    .db
                    .get_item()
                    .table_name(&self.tables.main)
                    .set_key(Some(key.into_item()))
                    .consistent_read(true)
                    .send()
                    .await
                    .map_err(Unavailable::call)?;
                let printed_in = got
                    .item
                    .and_then(|i| i.get("printed_in")?.as_s().ok().cloned());
                Ok(if printed_in == Some(batch.id()) {
                    LetterClaim::Closed
                } else {
                    LetterClaim::Gone
                })
            }
            Err(e) => Err(Unavailable::call(e)),
        }
    }

    /// Closes a letter of the batch and erases its content.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn close_letter(
        &self,
        batch: &Batch,
        id: &MessageId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let closed = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::message(id).into_item()))
            .condition_expression("#state = :pending AND printed_in = :batch")
            .update_expression(
                "SET #state = :ending, closed_at = :at, expires = :expires REMOVE payload, pending",
            )
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pending", AttributeValue::S("pending".into()))
            .expression_attribute_values(":batch", AttributeValue::S(batch.id()))
            .expression_attribute_values(":ending", AttributeValue::S(ending.as_str().into()))
            .expression_attribute_values(":at", AttributeValue::S(now.to_string()))
            .expression_attribute_values(
                ":expires",
                AttributeValue::N((now + TRACE).as_second().to_string()),
            )
            .send()
            .await;
        Unavailable::unless_conditional(closed)
    }

    /// Closes a batch whose letters are all closed, so that the next one can be opened.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn close_batch(&self, batch: &Batch) -> Result<(), Unavailable> {
        let closed = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::batch().into_item()))
            .condition_expression("#number = :number")
            .update_expression("REMOVE letters")
            .expression_attribute_names("#number", "number")
            .expression_attribute_values(":number", AttributeValue::N(batch.number.to_string()))
            .send()
            .await;
        Unavailable::unless_conditional(closed)
    }
}

fn read(item: &HashMap<String, AttributeValue>) -> Option<Printing> {
    let number = item.get("number")?.as_n().ok()?.parse().ok()?;
    let Some(letters) = item.get("letters") else {
        return Some(Printing::Idle(number));
    };
    let letters = letters.as_l().ok()?.iter();
    let letters = letters.map(|id| MessageId::parse(id.as_s().ok()?).ok());
    Some(Printing::Open(Batch {
        number,
        opened_at: item.get("opened_at")?.as_s().ok()?.parse().ok()?,
        letters: letters.collect::<Option<_>>()?,
    }))
}
