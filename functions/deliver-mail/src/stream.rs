//! New items in the table's stream: sends the emails among them.

use serde::{Deserialize, Serialize};
use vestibule_store::outbox::message_of_key;

use crate::Mailer;

/// The part of a DynamoDB stream event that is used here: which items are new.
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    /// The changes, oldest first.
    #[serde(rename = "Records")]
    pub records: Vec<StreamRecord>,
}

/// A change of an item.
#[derive(Debug, Deserialize)]
pub struct StreamRecord {
    /// The kind of change: `INSERT`, `MODIFY` or `REMOVE`.
    #[serde(rename = "eventName")]
    pub event_name: String,
    pub dynamodb: StreamChange,
}

/// The keys of a changed item.
#[derive(Debug, Deserialize)]
pub struct StreamChange {
    #[serde(rename = "Keys")]
    pub keys: StreamKeys,
    /// The position of the change in the stream.
    #[serde(rename = "SequenceNumber")]
    pub sequence_number: String,
}

#[derive(Debug, Deserialize)]
pub struct StreamKeys {
    pub pk: StreamText,
}

/// A DynamoDB string attribute.
#[derive(Debug, Deserialize)]
pub struct StreamText {
    #[serde(rename = "S")]
    pub s: String,
}

/// The part of a batch that Lambda must retry.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchResponse {
    /// Lambda retries the batch from this change on.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<BatchFailure>,
}

/// A change to retry.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BatchFailure {
    #[serde(rename = "itemIdentifier")]
    pub sequence_number: String,
}

impl Mailer {
    /// Sends the emails that a batch of changes added to the outbox. An email that SES rejects
    /// doesn't delay the others; if the store is unavailable, Lambda retries the batch from there
    /// on.
    pub async fn handle(&self, event: StreamEvent) -> BatchResponse {
        for record in event.records {
            let Some(id) = message_of_key(&record.dynamodb.keys.pk.s)
                .filter(|_| record.event_name == "INSERT")
            else {
                continue;
            };
            if let Err(cause) = self.deliver(&id).await {
                tracing::warn!(message = %id, %cause, "email delayed");
                return BatchResponse {
                    failures: vec![BatchFailure {
                        sequence_number: record.dynamodb.sequence_number,
                    }],
                };
            }
        }
        BatchResponse::default()
    }
}
