//! Sends the emails in the outbox through SES.
//!
//! New messages arrive through the table's stream; each is claimed, sent and closed. An email that
//! SES can't accept now is postponed with increasing delays, and the stream continues with the
//! others. A schedule ([`Courier::deliver_pending`]) sends postponed emails that are due, and
//! emails whose sender crashed or whose event was lost. After three days an email is given up. A
//! repeated event sends nothing twice, because a closed message can't be claimed again. An email is
//! sent twice only if the function crashes between the response of SES and closing the message: SES
//! can't be queried for whether it accepted an email, so the alternative would be to lose it.
//!
//! SES reports bounces and complaints through EventBridge, and the accounts are marked
//! ([`Courier::note_report`]). Nothing more is sent to an address that bounced, except the link
//! with which its owner can confirm it.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_ses::Client;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use vestibule_domain::account::{Account, UndeliverableKind};
use vestibule_domain::audit::Origin;
use vestibule_domain::ids::{MessageId, PortalId};
use vestibule_domain::message::{Forgotten, MailText, Message, RecoveryRequest};
use vestibule_domain::policy::Policy;
use vestibule_domain::portals::Portals;
use vestibule_domain::text::Email;
use vestibule_domain::{profile, recover};
use vestibule_http::Clock;
use vestibule_mail::{TAG, render, send};
use vestibule_store::outbox::{Channel, Ending, MailClaim, TakenMail, message_of_key};
use vestibule_store::{CommitError, Store, Unavailable};

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

/// An SES event (event publishing, "Email Bounced" and "Email Complaint Received"), reduced to what
/// is used here.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// `Bounce` or `Complaint`; other types are ignored.
    #[serde(rename = "eventType")]
    pub event_type: String,
    pub mail: ReportedMail,
    /// Present for bounces.
    pub bounce: Option<Bounce>,
}

/// The email that an SES event is about.
#[derive(Debug, Deserialize)]
pub struct ReportedMail {
    /// The recipients.
    pub destination: Vec<String>,
    /// The tags that were set when the email was sent.
    #[serde(default)]
    pub tags: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub struct Bounce {
    /// `Permanent`, `Transient` or `Undetermined`.
    #[serde(rename = "bounceType")]
    pub bounce_type: String,
}

/// An event that invokes the function.
#[derive(Debug)]
pub enum Event {
    /// New items in the table's stream.
    Stream(StreamEvent),
    /// A scheduled event: send what is due or stuck.
    Clockwork,
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
            (_, "Scheduled Event") => Ok(Self::Clockwork),
            _ => Err(Malformed::Unknown),
        }
    }
}

/// How long sending an email is retried.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Returns the delay after a number of attempts: one minute, doubling up to four hours.
pub fn wait_after(tries: u32) -> SignedDuration {
    SignedDuration::from_mins((1 << tries.saturating_sub(1).min(8)).min(240))
}

/// Sends emails from the outbox through SES.
#[derive(Debug, Clone)]
pub struct Courier {
    pub store: Store,
    /// The portals that emails are sent for.
    pub portals: Arc<Portals>,
    pub ses: Client,
    /// The SES configuration set that reports bounces, if there is one.
    pub configuration_set: Option<String>,
    pub clock: Clock,
}

impl Courier {
    /// Handles an event of any kind and returns the response for Lambda.
    ///
    /// # Errors
    /// [`Unavailable`]; Lambda then retries the event.
    pub async fn take(&self, event: Event) -> Result<Option<BatchResponse>, Unavailable> {
        match event {
            Event::Stream(event) => return Ok(Some(self.handle(event).await)),
            Event::Clockwork => {
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

    /// Sends what is due, at most `limit` emails from each shard of the outbox. Returns how many
    /// were sent; one that can't be sent doesn't delay the others.
    ///
    /// # Errors
    /// [`Unavailable`] when the outbox can't be read.
    pub async fn deliver_pending(&self, limit: i32) -> Result<usize, Unavailable> {
        let mut gone = 0;
        let now = self.clock.now();
        for id in self
            .store
            .pending_messages(Channel::Mail, limit, now)
            .await?
        {
            match self.deliver(&id).await {
                Ok(true) => gone += 1,
                Ok(false) => {}
                Err(cause) => tracing::warn!(message = %id, %cause, "email delayed"),
            }
        }
        Ok(gone)
    }

    /// Sends one message, unless it is a letter, is closed, is being sent elsewhere, or is
    /// postponed. Returns whether it was sent.
    ///
    /// # Errors
    /// [`Unavailable`] when the store is unavailable.
    pub async fn deliver(&self, id: &MessageId) -> Result<bool, Unavailable> {
        let claimed_at = self.clock.now();
        let TakenMail {
            message,
            tries,
            created_at,
        } = match self.store.claim_mail(id, claimed_at).await? {
            MailClaim::Taken(taken) => *taken,
            MailClaim::Unreadable => {
                tracing::error!(message = %id, "dropped an unreadable email");
                self.close(id, Ending::Failed).await?;
                return Ok(false);
            }
            MailClaim::Gone => return Ok(false),
        };
        // Also checked before sending: if the function crashes on every attempt, it never reaches
        // the check after.
        let old = |at: Timestamp| at.duration_since(created_at) >= GIVE_UP_AFTER;
        if old(claimed_at) && tries > 1 {
            return self.give_up(id, tries).await;
        }
        let mail = match message {
            Message::Mail(mail) => mail,
            Message::Recovery(request) => {
                self.recover(&request).await?;
                self.close(id, Ending::Sent).await?;
                return Ok(true);
            }
            Message::Letter(_) => return Ok(false),
        };
        let Some(policy) = self.portals.get(mail.portal.as_str())? else {
            // The portal was removed, so nothing can be sent on its behalf.
            tracing::error!(message = %id, portal = %mail.portal, "dropped an email of an unknown portal");
            self.close(id, Ending::Refused).await?;
            return Ok(false);
        };
        let asks = matches!(mail.says, MailText::ConfirmEmail { .. });
        if !asks && self.store.bounces(&mail.portal, &mail.to).await? {
            tracing::info!(message = %id, "did not send an email to an address that bounced");
            self.close(id, Ending::Refused).await?;
            return Ok(false);
        }
        let rendered = render(&mail, policy);
        let set = self.configuration_set.as_deref();
        match send(&self.ses, policy, id, &mail.to, &rendered, set).await {
            Ok(_) => {
                self.close(id, Ending::Sent).await?;
                Ok(true)
            }
            Err(error) if error.is_temporary() => {
                if old(self.clock.now()) {
                    return self.give_up(id, tries).await;
                }
                tracing::warn!(message = %id, tries, %error, "email delayed");
                let next = self.clock.now() + wait_after(tries);
                self.store.postpone_mail(id, claimed_at, next).await?;
                Ok(false)
            }
            Err(error) => {
                tracing::error!(message = %id, %error, "SES rejected an email permanently");
                self.mark(&mail.portal, &mail.to, UndeliverableKind::Refused)
                    .await?;
                self.close(id, Ending::Refused).await?;
                Ok(false)
            }
        }
    }

    async fn close(&self, id: &MessageId, ending: Ending) -> Result<(), Unavailable> {
        self.store.close_message(id, ending, self.clock.now()).await
    }

    async fn give_up(&self, id: &MessageId, tries: u32) -> Result<bool, Unavailable> {
        tracing::error!(message = %id, tries, "gave up on an email that could not be sent");
        self.close(id, Ending::Failed).await?;
        Ok(false)
    }

    /// Marks the accounts of an address after a permanent bounce or a complaint. Returns how many
    /// were marked; a repeated event marks none.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn note_report(&self, report: &Report) -> Result<usize, Unavailable> {
        let bounced = report.bounce.as_ref().map(|b| b.bounce_type.as_str());
        let kind = match (report.event_type.as_str(), bounced) {
            ("Bounce", Some("Permanent")) => UndeliverableKind::Bounced,
            ("Complaint", _) => UndeliverableKind::Complained,
            // A mailbox that is full today may not be tomorrow.
            _ => return Ok(0),
        };
        let tagged = report.mail.tags.get(TAG).and_then(|ids| ids.first());
        let Some(id) = tagged.and_then(|id| MessageId::parse(id).ok()) else {
            tracing::warn!("SES event for an email that Vestibule did not send");
            return Ok(0);
        };
        let Some(portal) = self.store.portal_of_message(&id).await? else {
            tracing::warn!(message = %id, "SES event for an unknown email");
            return Ok(0);
        };
        let mut marked = 0;
        for address in &report.mail.destination {
            if let Ok(address) = Email::parse(address) {
                marked += self.mark(&portal, &address, kind).await?;
            }
        }
        Ok(marked)
    }

    /// Marks the accounts of an address and returns how many were marked.
    async fn mark(
        &self,
        portal: &PortalId,
        address: &Email,
        kind: UndeliverableKind,
    ) -> Result<usize, Unavailable> {
        let origin = Origin {
            portal: portal.clone(),
            at: self.clock.now(),
            source: None,
        };
        let mut marked = 0;
        for _ in 0..MAX_ATTEMPTS {
            let mut rng = vestibule_http::app::rng();
            let mut again = false;
            for account in self.store.accounts_by_email(portal, address).await? {
                let Some(decision) = profile::mark_undeliverable(&account, kind, &origin, &mut rng)
                else {
                    continue;
                };
                match self.store.commit(decision, &mut rng).await {
                    Ok(()) => marked += 1,
                    Err(CommitError::Unavailable(cause)) => return Err(cause),
                    // The account changed at the same time: read it again.
                    Err(CommitError::Stale | CommitError::Taken(_)) => again = true,
                }
            }
            if !again {
                break;
            }
        }
        Ok(marked)
    }

    /// Handles a recovery request: emails the owners of the matching accounts.
    async fn recover(&self, request: &RecoveryRequest) -> Result<(), Unavailable> {
        let portal = &request.origin.portal;
        let Some(policy) = self.portals.get(portal.as_str())? else {
            return Ok(());
        };
        let accounts = match &request.forgotten {
            Forgotten::Password { username } => self
                .store
                .account_by_username(portal, username)
                .await?
                .into_iter()
                .collect(),
            Forgotten::Username { email } => self.store.accounts_by_email(portal, email).await?,
        };
        for account in accounts {
            self.send_recovery(request, account, policy).await?;
        }
        Ok(())
    }

    async fn send_recovery(
        &self,
        request: &RecoveryRequest,
        mut account: Account,
        policy: &Policy,
    ) -> Result<(), Unavailable> {
        for _ in 0..MAX_ATTEMPTS {
            let mut rng = vestibule_http::app::rng();
            // Uses the current time: the request may have waited until the audit trail of its hour
            // was sealed.
            let origin = Origin {
                at: self.clock.now(),
                ..request.origin.clone()
            };
            let decision = match &request.forgotten {
                Forgotten::Password { .. } => {
                    recover::send_link(&account, policy, &origin, &mut rng)
                }
                Forgotten::Username { .. } => {
                    recover::send_username(&account, policy, &origin, &mut rng)
                }
            };
            let Some(decision) = decision else {
                return Ok(());
            };
            match self.store.commit(decision, &mut rng).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Unavailable(cause)) => return Err(cause),
                // The account changed at the same time: read it again.
                Err(CommitError::Stale | CommitError::Taken(_)) => {}
            }
            match self.store.account(&account.portal, &account.id).await? {
                Some(now) => account = now,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// The maximum number of emails per shard in one scheduled run.
const EACH_SHARD: i32 = 250;

/// The maximum number of attempts when other changes to the account conflict.
const MAX_ATTEMPTS: usize = 3;

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
            Ok(Event::Clockwork)
        ));
    }

    #[test]
    fn waits_grow_from_a_minute_to_four_hours() {
        let minutes: Vec<_> = [1, 2, 3, 4, 8, 9, 10, u32::MAX]
            .map(|n| wait_after(n).as_mins())
            .into();
        assert_eq!(minutes, [1, 2, 4, 8, 128, 240, 240, 240]);
    }
}
