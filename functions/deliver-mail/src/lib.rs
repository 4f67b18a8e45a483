//! The outbox: what decisions have written leaves through SES.
//!
//! The table's stream names new messages; each is claimed, sent and marked as gone. A message that
//! can't be sent now is given back and reported, so that the stream brings it again; one whose
//! event was lost is found by [`Courier::deliver_pending`]. Nothing is lost when SES is down, and a
//! repeated event sends nothing twice, because a message that has gone can't be claimed again. Only
//! a death between SES's answer and the mark sends a mail a second time.

use std::sync::Arc;

use aws_sdk_ses::Client;
use serde::{Deserialize, Serialize};
use vestibule_domain::account::Account;
use vestibule_domain::ids::MessageId;
use vestibule_domain::message::{Forgotten, Message, RecoveryRequest};
use vestibule_domain::policy::Policy;
use vestibule_domain::recover;
use vestibule_http::{Clock, Portals};
use vestibule_mail::{render, send};
use vestibule_store::outbox::{Channel, Ending, message_of_key};
use vestibule_store::{CommitError, Store, Unavailable};

/// What starts the function.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// The table's stream.
    Stream(StreamEvent),
    /// A schedule (the event that EventBridge's scheduler sends by itself).
    Schedule(Schedule),
}

/// The part of a scheduled event that matters here: that it is one.
#[derive(Debug, Deserialize)]
pub struct Schedule {
    /// Who says so.
    pub source: Scheduler,
}

/// EventBridge's scheduler.
#[derive(Debug, Deserialize)]
pub enum Scheduler {
    /// Its name as a source of events.
    #[serde(rename = "aws.scheduler")]
    Scheduler,
}

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

/// Why a mail hasn't left yet. It will be tried again.
#[derive(Debug)]
pub enum Delayed {
    /// The store doesn't answer.
    Store(Unavailable),
    /// SES doesn't take it now.
    Ses(vestibule_mail::SendError),
}

impl From<Unavailable> for Delayed {
    fn from(cause: Unavailable) -> Self {
        Self::Store(cause)
    }
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

/// How many messages of each of the outbox's shards a schedule's run looks at.
const A_RUN: i32 = 100;

impl Courier {
    /// Does what an event asks for: what the stream brings leaves, and at a schedule what it has not
    /// brought.
    ///
    /// # Errors
    /// [`Unavailable`] when the outbox can't be looked at.
    pub async fn run(&self, event: Event) -> Result<BatchAnswer, Unavailable> {
        match event {
            Event::Stream(changes) => Ok(self.handle(changes).await),
            Event::Schedule(_) => {
                let gone = self.deliver_pending(A_RUN).await?;
                tracing::info!(gone, "mails that the stream had not brought");
                Ok(BatchAnswer::default())
            }
        }
    }

    /// Sends what a batch of changes put into the outbox. Lambda repeats the batch from the first
    /// failure on, so the rest is left for then.
    pub async fn handle(&self, event: StreamEvent) -> BatchAnswer {
        for record in event.records {
            let Some(id) = message_of_key(&record.dynamodb.keys.pk.s)
                .filter(|_| record.event_name == "INSERT")
            else {
                continue;
            };
            if let Err(delayed) = self.deliver(&id).await {
                tracing::warn!(message = %id, cause = ?delayed, "a mail is delayed");
                return BatchAnswer {
                    failures: vec![BatchFailure {
                        sequence_number: record.dynamodb.sequence_number,
                    }],
                };
            }
        }
        BatchAnswer::default()
    }

    /// Sends what is still waiting, at most `limit` of each of the outbox's shards. Returns how many
    /// have gone; one that can't be sent doesn't hold the others back.
    ///
    /// # Errors
    /// [`Unavailable`] when the outbox can't be looked at.
    pub async fn deliver_pending(&self, limit: i32) -> Result<usize, Unavailable> {
        let mut gone = 0;
        for id in self.store.pending_messages(Channel::Mail, limit).await? {
            match self.deliver(&id).await {
                Ok(true) => gone += 1,
                Ok(false) => {}
                Err(delayed) => {
                    tracing::warn!(message = %id, cause = ?delayed, "a mail is delayed")
                }
            }
        }
        Ok(gone)
    }

    /// Sends one message, unless it is a letter, has gone, or is being sent by another.
    ///
    /// # Errors
    /// [`Delayed`] when it has to be tried again.
    pub async fn deliver(&self, id: &MessageId) -> Result<bool, Delayed> {
        let claimed_at = self.clock.now();
        let mail = match self
            .store
            .claim_message(id, Channel::Mail, claimed_at)
            .await?
        {
            Some(Message::Mail(mail)) => mail,
            Some(Message::Recovery(request)) => {
                self.recover(&request).await?;
                self.store
                    .close_message(id, Ending::Sent, self.clock.now())
                    .await?;
                return Ok(true);
            }
            Some(Message::Letter(_)) | None => return Ok(false),
        };
        let Some(policy) = self.portals.get(mail.portal.as_str()) else {
            // Its portal is gone: nobody can be written to in its name.
            tracing::error!(message = %id, portal = %mail.portal, "a mail of an unknown portal is dropped");
            self.store
                .close_message(id, Ending::Refused, self.clock.now())
                .await?;
            return Ok(false);
        };
        let rendered = render(&mail, policy);
        match send(
            &self.ses,
            policy,
            &mail.to,
            &rendered,
            self.configuration_set.as_deref(),
        )
        .await
        {
            Ok(_) => {
                self.store
                    .close_message(id, Ending::Sent, self.clock.now())
                    .await?;
                Ok(true)
            }
            Err(error) if error.is_temporary() => {
                self.store.release_message(id, claimed_at).await?;
                Err(Delayed::Ses(error))
            }
            Err(error) => {
                tracing::error!(message = %id, %error, "SES refuses a mail for good");
                self.store
                    .close_message(id, Ending::Refused, self.clock.now())
                    .await?;
                Ok(false)
            }
        }
    }

    /// Looks into what somebody has forgotten, and mails the owners of the accounts that there are.
    async fn recover(&self, request: &RecoveryRequest) -> Result<(), Delayed> {
        let portal = &request.origin.portal;
        let Some(policy) = self.portals.get(portal.as_str()) else {
            return Ok(());
        };
        let accounts = match &request.forgotten {
            Forgotten::Password { user_name } => self
                .store
                .account_by_user_name(portal, user_name)
                .await?
                .into_iter()
                .collect(),
            Forgotten::UserName { email } => self.store.accounts_by_email(portal, email).await?,
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
    ) -> Result<(), Delayed> {
        for _ in 0..LOOKS {
            let mut rng = vestibule_http::app::rng();
            let decision = match &request.forgotten {
                Forgotten::Password { .. } => {
                    recover::send_link(&account, policy, &request.origin, &mut rng)
                }
                Forgotten::UserName { .. } => {
                    recover::send_user_name(&account, policy, &request.origin, &mut rng)
                }
            };
            let Some(decision) = decision else {
                return Ok(());
            };
            match self.store.commit(decision, &mut rng).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Unavailable(cause)) => return Err(cause.into()),
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

/// How often an account that keeps changing is looked at.
const LOOKS: usize = 3;
