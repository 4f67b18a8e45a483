//! The outbox: what decisions have written leaves through SES.
//!
//! The table's stream names new messages; each is claimed, sent and marked as gone. A mail that SES
//! doesn't take now is given back with the moment of its next try, each wait longer than the one
//! before, and the stream goes on with the others. The clockwork ([`Courier::deliver_pending`]) sends
//! what is due for another try, and what is stuck because its courier died or its event was lost.
//! After three days it gives up. A repeated event sends nothing twice, because a message that has
//! gone can't be claimed again. Only a death between SES's answer and the mark sends a mail a second
//! time: SES has no way to be asked whether it took a mail, so the alternative would be to lose it.
//!
//! SES tells of bounces and complaints by EventBridge, and the account is marked
//! ([`Courier::note_report`]). Nothing more is sent to an address that bounced, but for what lets its
//! owner confirm it.

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

/// The part of a DynamoDB stream event that matters here: which items are new.
#[derive(Debug, Deserialize)]
pub struct StreamEvent {
    /// The changes, oldest first.
    #[serde(rename = "Records")]
    pub records: Vec<StreamRecord>,
}

/// A change of an item.
#[derive(Debug, Deserialize)]
pub struct StreamRecord {
    /// `INSERT`, `MODIFY` or `REMOVE`.
    #[serde(rename = "eventName")]
    pub event_name: String,
    /// What changed.
    pub dynamodb: StreamChange,
}

/// The keys of a changed item.
#[derive(Debug, Deserialize)]
pub struct StreamChange {
    /// The item's keys.
    #[serde(rename = "Keys")]
    pub keys: StreamKeys,
    /// Where the change stands in the stream.
    #[serde(rename = "SequenceNumber")]
    pub sequence_number: String,
}

/// An item's keys.
#[derive(Debug, Deserialize)]
pub struct StreamKeys {
    /// The partition key.
    pub pk: StreamText,
}

/// A text attribute.
#[derive(Debug, Deserialize)]
pub struct StreamText {
    /// The text.
    #[serde(rename = "S")]
    pub s: String,
}

/// What of a batch has to be brought again.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct BatchAnswer {
    /// The first change from which on the batch is repeated.
    #[serde(rename = "batchItemFailures")]
    pub failures: Vec<BatchFailure>,
}

/// A change that has to be brought again.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct BatchFailure {
    /// Its sequence number.
    #[serde(rename = "itemIdentifier")]
    pub sequence_number: String,
}

/// What SES tells of a mail, as far as it matters here (event publishing, "Email Bounced" and
/// "Email Complaint Received").
#[derive(Debug, Deserialize)]
pub struct Report {
    /// `Bounce` or `Complaint`; others are passed over.
    #[serde(rename = "eventType")]
    pub event_type: String,
    /// The mail that it is about.
    pub mail: ReportedMail,
    /// How it bounced.
    pub bounce: Option<Bounce>,
}

/// A mail that SES tells of.
#[derive(Debug, Deserialize)]
pub struct ReportedMail {
    /// To whom it went.
    pub destination: Vec<String>,
    /// With what it was tagged.
    #[serde(default)]
    pub tags: BTreeMap<String, Vec<String>>,
}

/// How a mail bounced.
#[derive(Debug, Deserialize)]
pub struct Bounce {
    /// `Permanent`, `Transient` or `Undetermined`.
    #[serde(rename = "bounceType")]
    pub bounce_type: String,
}

/// What the function is started by.
#[derive(Debug)]
pub enum Event {
    /// The table's stream tells what is new.
    Stream(StreamEvent),
    /// EventBridge's schedule: see to what is due or stuck.
    Clockwork,
    /// SES reports on a mail.
    Report(Report),
}

/// An event that the function doesn't take. It says what is wrong and quotes nothing, as keys and
/// addresses stand in events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is no event of the three kinds.
    #[error(
        "deliver-mail takes events of the table's stream, scheduled events, and SES's reports by EventBridge; this is none of them"
    )]
    Unknown,
    /// It has records, but not those of a stream.
    #[error(
        "an event with Records must be a DynamoDB stream's, with eventName, dynamodb.Keys.pk.S and dynamodb.SequenceNumber in each"
    )]
    Stream,
    /// It is from SES, but not complete.
    #[error(
        "an event from aws.ses must have detail.eventType and detail.mail with destination and tags"
    )]
    Report,
}

impl Event {
    /// Reads an event.
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

/// How long a mail is tried.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);

/// How long to wait after a number of tries: a minute, two, four, and so on to four hours.
pub fn wait_after(tries: u32) -> SignedDuration {
    SignedDuration::from_mins((1 << tries.saturating_sub(1).min(8)).min(240))
}

/// Takes mails from the outbox to SES.
#[derive(Debug, Clone)]
pub struct Courier {
    /// Where the outbox is.
    pub store: Store,
    /// In whose names mails are written.
    pub portals: Arc<Portals>,
    /// The way out.
    pub ses: Client,
    /// The SES configuration set that reports bounces, where there is one.
    pub configuration_set: Option<String>,
    /// The clock.
    pub clock: Clock,
}

impl Courier {
    /// Takes an event of whichever kind; returns what Lambda wants to hear.
    ///
    /// # Errors
    /// [`Unavailable`]; Lambda then brings the event again.
    pub async fn take(&self, event: Event) -> Result<Option<BatchAnswer>, Unavailable> {
        match event {
            Event::Stream(event) => return Ok(Some(self.handle(event).await)),
            Event::Clockwork => {
                let sent = self.deliver_pending(EACH_SHARD).await?;
                tracing::info!(sent, "mails that were due are sent");
            }
            Event::Report(report) => {
                let marked = self.note_report(&report).await?;
                tracing::info!(marked, "a report of SES is noted");
            }
        }
        Ok(None)
    }

    /// Sends what a batch of changes put into the outbox. One that SES doesn't take holds no other
    /// up; only when the store doesn't answer does Lambda repeat the batch from there on.
    pub async fn handle(&self, event: StreamEvent) -> BatchAnswer {
        for record in event.records {
            let Some(id) = message_of_key(&record.dynamodb.keys.pk.s)
                .filter(|_| record.event_name == "INSERT")
            else {
                continue;
            };
            if let Err(cause) = self.deliver(&id).await {
                tracing::warn!(message = %id, %cause, "a mail is delayed");
                return BatchAnswer {
                    failures: vec![BatchFailure {
                        sequence_number: record.dynamodb.sequence_number,
                    }],
                };
            }
        }
        BatchAnswer::default()
    }

    /// Sends what is due, at most `limit` of each of the outbox's shards. Returns how many have gone;
    /// one that can't be sent doesn't hold the others back.
    ///
    /// # Errors
    /// [`Unavailable`] when the outbox can't be looked at.
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
                Err(cause) => tracing::warn!(message = %id, %cause, "a mail is delayed"),
            }
        }
        Ok(gone)
    }

    /// Sends one message, unless it is a letter, has gone, is being sent by another, or its next try
    /// is still to come. Returns whether it has gone.
    ///
    /// # Errors
    /// [`Unavailable`] when the store doesn't answer.
    pub async fn deliver(&self, id: &MessageId) -> Result<bool, Unavailable> {
        let claimed_at = self.clock.now();
        let TakenMail {
            message,
            tries,
            created_at,
        } = match self.store.claim_mail(id, claimed_at).await? {
            MailClaim::Taken(taken) => *taken,
            MailClaim::Unreadable => {
                tracing::error!(message = %id, "a mail can't be read and is dropped");
                self.close(id, Ending::Failed).await?;
                return Ok(false);
            }
            MailClaim::Gone => return Ok(false),
        };
        // Looked at before the try too, for who dies in each one never comes to its end.
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
            // Its portal is gone: nobody can be written to in its name.
            tracing::error!(message = %id, portal = %mail.portal, "a mail of an unknown portal is dropped");
            self.close(id, Ending::Refused).await?;
            return Ok(false);
        };
        let asks = matches!(mail.says, MailText::ConfirmEmail { .. });
        if !asks && self.store.bounces(&mail.portal, &mail.to).await? {
            tracing::info!(message = %id, "a mail is not sent to an address that bounced");
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
                tracing::warn!(message = %id, tries, %error, "a mail is delayed");
                let next = self.clock.now() + wait_after(tries);
                self.store.postpone_mail(id, claimed_at, next).await?;
                Ok(false)
            }
            Err(error) => {
                tracing::error!(message = %id, %error, "SES refuses a mail for good");
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
        tracing::error!(message = %id, tries, "a mail could not be sent and is given up");
        self.close(id, Ending::Failed).await?;
        Ok(false)
    }

    /// Marks the accounts of an address from which a mail came back for good, or whose owner called it
    /// unwanted. Returns how many were marked; a repeated report marks none.
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
            tracing::warn!("SES reports on a mail that did not come from here");
            return Ok(0);
        };
        let Some(portal) = self.store.portal_of_message(&id).await? else {
            tracing::warn!(message = %id, "SES reports on a mail of which there is no trace");
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

    /// Marks the accounts of an address, and returns how many that were.
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
        for _ in 0..LOOKS {
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
                    // The account changed at the same moment: look at it again.
                    Err(CommitError::Stale | CommitError::Taken(_)) => again = true,
                }
            }
            if !again {
                break;
            }
        }
        Ok(marked)
    }

    /// Looks into what somebody has forgotten, and mails the owners of the accounts that there are.
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
        for _ in 0..LOOKS {
            let mut rng = vestibule_http::app::rng();
            // It is done now: the request may have waited, and the trail's hour been sealed.
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
                // The account changed at the same moment: look at it again.
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

/// How many mails of each shard the clockwork sends in one run.
const EACH_SHARD: i32 = 250;

/// How often an account that keeps changing is looked at.
const LOOKS: usize = 3;

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
