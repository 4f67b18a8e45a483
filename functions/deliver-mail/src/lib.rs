//! Sends the emails in the outbox through SES, and the notices to applications that a session has ended.
//!
//! New messages arrive through the table's stream; each is claimed, sent and closed. An email that
//! SES can't accept now is postponed with increasing delays, and the stream continues with the
//! others. A schedule ([`Mailer::deliver_pending`]) sends postponed emails that are due, and
//! emails whose sender crashed or whose event was lost. After three days an email is given up. A
//! repeated event sends nothing twice, because a closed message can't be claimed again. An email is
//! sent twice only if the function crashes between the response of SES and closing the message: SES
//! can't be queried for whether it accepted an email, so the alternative would be to lose it.
//!
//! SES reports bounces and complaints through EventBridge, and the accounts are marked
//! ([`Mailer::note_report`]). Nothing more is sent to an address that bounced, except the link
//! with which its owner can confirm it.

mod deliver;
mod limits;
mod log_out;
mod recovery;
mod report;
mod scheduled;
mod stream;

use std::sync::Arc;

use aws_sdk_ses::Client;
use rand::CryptoRng;
use serde::Deserialize;
use serde_json::Value;
use vestibule_domain::Decision;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::rules::consequences::ScheduledDecision;
use vestibule_http::outbound::Outbound;
use vestibule_http::{Clock, Signer};
use vestibule_store::{CommitError, Store, StoreError};

pub use deliver::{GIVE_UP_AFTER, wait_after};
pub use report::{Bounce, Report, ReportedMail};
use scheduled::EACH_SHARD;
pub use stream::{
    BatchFailure, BatchResponse, StreamChange, StreamEvent, StreamKeys, StreamRecord, StreamText,
};

/// An event that invokes the function.
#[derive(Debug)]
pub enum Event {
    /// New items in the table's stream.
    Stream(StreamEvent),
    /// A scheduled event: send what is due or stuck.
    Scheduled,
    /// An SES event about an email.
    Report(Report),
}

/// An event that the function doesn't accept. The message quotes nothing from the event, because
/// events contain keys and addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// None of the three kinds of event.
    #[error(
        "unknown event: deliver-mail accepts DynamoDB stream events, scheduled events, and SES events from EventBridge"
    )]
    Unknown,
    /// An event with records that are not those of a stream.
    #[error(
        "an event with Records must be a DynamoDB stream event with eventName, dynamodb.Keys.pk.S and dynamodb.SequenceNumber in each record"
    )]
    Stream,
    /// An incomplete SES event.
    #[error(
        "an event from aws.ses must have detail.eventType and detail.mail with destination and tags"
    )]
    Report,
}

impl Event {
    /// Parses an event.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(event: Value) -> Result<Self, Malformed> {
        let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
        if event.get("Records").is_some() {
            let read = serde_json::from_value(event).map_err(|_| Malformed::Stream)?;
            return Ok(Self::Stream(read));
        }
        match (text("source"), text("detail-type")) {
            ("aws.ses", _) => {
                let detail = event.get("detail").ok_or(Malformed::Report)?;
                let read = Report::deserialize(detail).map_err(|_| Malformed::Report)?;
                Ok(Self::Report(read))
            }
            (_, "Scheduled Event") => Ok(Self::Scheduled),
            _ => Err(Malformed::Unknown),
        }
    }
}

/// Sends emails from the outbox through SES.
#[derive(Debug, Clone)]
pub struct Mailer {
    pub store: Store,
    /// The portals that emails are sent for.
    pub portals: Arc<Portals>,
    pub ses: Client,
    /// The SES configuration set that reports bounces, if there is one.
    pub configuration_set: Option<String>,
    pub clock: Clock,
    /// Signs logout tokens.
    pub signer: Arc<Signer>,
    /// Reaches applications.
    pub outbound: Outbound,
}

/// The maximum number of attempts when other changes to the account conflict. It has its own loop because
/// a failure is an error of the store, which makes Lambda repeat the event, and not a problem response.
const MAX_ATTEMPTS: usize = 3;

impl Mailer {
    /// Handles an event of any kind and returns the response for Lambda.
    ///
    /// # Errors
    /// [`StoreError`]; Lambda then retries the event.
    pub async fn take(&self, event: Event) -> Result<Option<BatchResponse>, StoreError> {
        match event {
            Event::Stream(event) => return Ok(Some(self.handle(event).await)),
            Event::Scheduled => {
                let sent = self.deliver_pending(EACH_SHARD).await?;
                tracing::info!(sent, "sent pending emails");
            }
            Event::Report(report) => {
                let marked = self.note_report(&report).await?;
                tracing::info!(marked, "recorded an SES event");
            }
        }
        Ok(None)
    }

    async fn commit(
        &self,
        decision: Decision,
        rng: &mut impl CryptoRng,
    ) -> Result<(), CommitError> {
        let scheduled =
            ScheduledDecision::new(decision, &self.portals).map_err(StoreError::from)?;
        self.store.commit(scheduled, rng).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_of_other_kinds_are_refused_in_words_that_quote_nothing() {
        for (event, fault) in [
            (json!(null), Malformed::Unknown),
            (json!([1]), Malformed::Unknown),
            (
                json!({ "detail-type": "Object Created", "source": "aws.s3" }),
                Malformed::Unknown,
            ),
            (json!({ "Records": null }), Malformed::Stream),
            (
                json!({ "Records": [{ "eventName": "INSERT", "dynamodb": { "Keys": { "pk": "C#member#a@b.c" } } }] }),
                Malformed::Stream,
            ),
            (json!({ "source": "aws.ses" }), Malformed::Report),
            (
                json!({ "source": "aws.ses", "detail": { "eventType": "Bounce", "mail": { "destination": "a@b.c" } } }),
                Malformed::Report,
            ),
        ] {
            let error = Event::parse(event).unwrap_err();
            assert_eq!(error, fault);
            assert!(!error.to_string().contains('@'));
        }
        assert!(matches!(
            Event::parse(json!({ "Records": [] })),
            Ok(Event::Stream(_))
        ));
        assert!(matches!(
            Event::parse(json!({ "source": "aws.events", "detail-type": "Scheduled Event" })),
            Ok(Event::Scheduled)
        ));
    }
}
