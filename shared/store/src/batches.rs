//! Batches of letters that are printed together.
//!
//! There is one batch at a time, stored in one item. Opening it is one conditional write that lists its
//! letters, so that two concurrent printers work on the same batch. Each letter is then claimed for the
//! batch and can no longer be withdrawn: however often the batch is printed, it contains the same letters in
//! the same order. Letters are closed only after everything was printed. The next batch opens when this one
//! is closed.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use jiff::Timestamp;
use vestibule_domain::outbox::letter::Letter;
use vestibule_domain::outbox::mail::Message;
use vestibule_domain::values::ids::MessageId;

use crate::attributes::{Item, text};
use crate::error::{is_conditional, took_effect};
use crate::expression::{Expression, n, s};
use crate::key::Key;
use crate::outbox::{self, Channel, Ending, TRACE};
use crate::{Store, StoreError};

/// Returns the key of the batch that is being printed.
fn batch_key() -> Key {
    Key::new("L", "L")
}

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
    /// [`StoreError`].
    pub async fn printing(&self) -> Result<Printing, StoreError> {
        let Some(item) = self.get(batch_key()).await? else {
            return Ok(Printing::Idle(0));
        };
        read(&item).ok_or_else(|| StoreError::corrupt("the batch of letters"))
    }

    /// Opens the batch after number `last`; `None` if another printer has opened it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_batch(
        &self,
        last: u64,
        letters: Vec<MessageId>,
        now: Timestamp,
    ) -> Result<Option<Batch>, StoreError> {
        let batch = Batch {
            number: last + 1,
            opened_at: now,
            letters,
        };
        let named = batch.letters.iter().map(s);
        let opened = self
            .update(batch_key())
            .condition_expression(
                "attribute_not_exists(pk) OR (attribute_not_exists(letters) AND #number = :last)",
            )
            .update_expression("SET #number = :number, opened_at = :at, letters = :letters")
            .names([("#number", "number")])
            .values([
                (":last", n(last)),
                (":number", n(batch.number)),
                (":at", s(now)),
                (":letters", AttributeValue::L(named.collect())),
            ])
            .send()
            .await;
        Ok(took_effect(opened)?.then_some(batch))
    }

    /// Claims a letter for the batch; it can no longer be withdrawn. Claiming it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_letter(
        &self,
        batch: &Batch,
        id: &MessageId,
    ) -> Result<LetterClaim, StoreError> {
        let key = outbox::key(id);
        let claimed = self
            .update(key.clone())
            .condition_expression(
                "#state = :pending AND channel = :letter \
                 AND (attribute_not_exists(printed_in) OR printed_in = :batch)",
            )
            .update_expression("SET printed_in = :batch")
            .names([("#state", "state")])
            .values([
                (":pending", s("pending")),
                (":letter", s(Channel::Letter.into_str())),
                (":batch", s(batch.id())),
            ])
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
            Err(e) if is_conditional(&e) => {
                let letter = self.get(key).await?;
                let printed_in = letter.as_ref().and_then(|i| text(i, "printed_in"));
                Ok(if printed_in == Some(&batch.id()) {
                    LetterClaim::Closed
                } else {
                    LetterClaim::Gone
                })
            }
            Err(e) => Err(StoreError::call(e)),
        }
    }

    /// Closes a letter of the batch and erases its content.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_letter(
        &self,
        batch: &Batch,
        id: &MessageId,
        ending: Ending,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let closed = self
            .update(outbox::key(id))
            .condition_expression("#state = :pending AND printed_in = :batch")
            .update_expression(
                "SET #state = :ending, closed_at = :at, expires = :expires REMOVE payload, pending",
            )
            .names([("#state", "state")])
            .values([
                (":pending", s("pending")),
                (":batch", s(batch.id())),
                (":ending", s(ending.into_str())),
                (":at", s(now)),
                (":expires", n((now + TRACE).as_second())),
            ])
            .send()
            .await;
        took_effect(closed)?;
        Ok(())
    }

    /// Closes a batch whose letters are all closed, so that the next one can be opened.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_batch(&self, batch: &Batch) -> Result<(), StoreError> {
        let closed = self
            .update(batch_key())
            .condition_expression("#number = :number")
            .update_expression("REMOVE letters")
            .names([("#number", "number")])
            .values([(":number", n(batch.number))])
            .send()
            .await;
        took_effect(closed)?;
        Ok(())
    }
}

fn read(item: &Item) -> Option<Printing> {
    let number = item.get("number")?.as_n().ok()?.parse().ok()?;
    let Some(letters) = item.get("letters") else {
        return Some(Printing::Idle(number));
    };
    let letters = letters.as_l().ok()?.iter();
    let letters = letters.map(|id| MessageId::parse(id.as_s().ok()?).ok());
    Some(Printing::Open(Batch {
        number,
        opened_at: text(item, "opened_at")?.parse().ok()?,
        letters: letters.collect::<Option<_>>()?,
    }))
}
