//! Rate limits. Each attempt is counted by a conditional write before it is evaluated, so that of a
//! thousand parallel attempts exactly the allowed number is evaluated.

use aws_sdk_dynamodb::types::ReturnValue;
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use strum::IntoStaticStr;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::Purpose;

use crate::commit::Writes;
use crate::error::is_conditional;
use crate::expression::{Expression, n};
use crate::key::Key;
use crate::{Store, StoreError};

fn key(kind: &str, digest: &str, window: i64) -> Key {
    key_of(&AttemptKey(format!("G#{kind}#{digest}#{window}")))
}

fn key_of(AttemptKey(pk): &AttemptKey) -> Key {
    Key::new(pk, "G")
}

/// The kind of attempt that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AttemptKind {
    /// The password of a username.
    Password,
    /// The password of a username, from a device that it has signed in from (SE-05).
    Device,
    /// The second factor of an account.
    SecondFactor,
    /// The verification against a plan record.
    Verification,
    /// The verification against a plan record, on all portals for its whole life (SE-09).
    Record,
    /// The recovery of a password or username.
    Recovery,
    Pin,
    #[strum(serialize = "code")]
    RegistrationCode,
    /// Any attempt, by source address.
    Source,
    /// A request for another PIN letter.
    Reissue,
    /// A feedback message.
    Feedback,
    /// The acceptance of an invitation.
    Acceptance,
    /// The addition of a user with an initial password.
    AddUser,
    /// An email that administrators can cause, by mailbox (SE-06).
    RequestedMail,
    /// An email that recovers a password or username, by mailbox (SE-05, SE-06).
    RecoveryMail,
    /// A notice, by mailbox (SE-06).
    NoticeMail,
    /// An email, by sender (SE-06).
    SentMail,
    /// An email that a person requests for another, by organization and mailbox, and confirmations, by account
    /// (SE-06).
    MailRequest,
    /// The confirmation of an email address, by sender (SE-06).
    ConfirmationMail,
}

/// How long the counter of a PIN or code is kept after its end.
const KEPT_AFTER_END: SignedDuration = SignedDuration::from_hours(24);

/// The maximum number of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The maximum number of attempts that are evaluated.
    pub max_attempts: u32,
    pub window: Window,
}

/// The length of a day, in minutes.
pub const MINUTES_PER_DAY: u32 = 24 * 60;

impl Limit {
    /// Returns a limit for each day (UTC).
    pub const fn daily(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            window: Window::Minutes(MINUTES_PER_DAY),
        }
    }
}

/// The time for which attempts are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Windows of this length follow each other.
    Minutes(u32),
    /// The whole life of a PIN or code, which ends at this time.
    Until(Timestamp),
    /// All time; the counter never expires.
    Lifetime,
}

/// A counted attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The counter, which a decision clears when the attempt succeeds.
    pub key: AttemptKey,
    /// The number of attempts so far including this one; `None` if the limit is exceeded and the attempt
    /// must not be evaluated.
    pub allowed: Option<u32>,
}

impl Store {
    /// Returns a keyed digest of what is counted. Its key is never rotated, because a rotation must not start
    /// the count again (SE-11).
    pub(crate) fn counted_digest(&self, context: &str, subject: &str) -> String {
        let subject = Sensitive::new(subject);
        let code = self
            .keyring
            .lasting_code(Purpose::Attempt, context, &subject);
        BASE64URL_NOPAD.encode(&code[..code.len().min(16)])
    }

    /// Returns the key of the current counter for `subject`, and when the counter expires, if it does.
    fn counter(
        &self,
        kind: AttemptKind,
        subject: &str,
        limit: Limit,
        now: Timestamp,
    ) -> (Key, Option<i64>) {
        let digest = self.counted_digest(kind.into_str(), subject);
        let (window, expires) = match limit.window {
            Window::Minutes(minutes) => {
                let seconds = 60 * i64::from(minutes);
                let window = now.as_second().div_euclid(seconds);
                (window, Some((window + 2) * seconds))
            }
            Window::Until(end) => (0, Some((end + KEPT_AFTER_END).as_second())),
            Window::Lifetime => (0, None),
        };
        (key(kind.into_str(), &digest, window), expires)
    }

    /// Returns the current counter for `subject`, for a decision to clear.
    pub fn attempts_of(
        &self,
        kind: AttemptKind,
        subject: &str,
        limit: Limit,
        now: Timestamp,
    ) -> AttemptKey {
        AttemptKey(self.counter(kind, subject, limit, now).0.pk)
    }

    /// Returns whether any of these counters has reached the limit. Reads all of them in one call.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_exhausted(
        &self,
        counters: &[AttemptKey],
        limit: Limit,
    ) -> Result<bool, StoreError> {
        let wanted = counters.iter().map(key_of);
        let found = self.batch(wanted.collect()).await?;
        let attempts =
            |item: &crate::attributes::Item| item.get("attempts")?.as_n().ok()?.parse().ok();
        Ok(found
            .iter()
            .filter_map(attempts)
            .any(|attempts: u32| attempts >= limit.max_attempts))
    }

    /// Counts one attempt at `subject` and returns whether it may be evaluated.
    ///
    /// The counter's key is a keyed digest, so that a stolen table does not reveal the subject.
    ///
    /// # Errors
    /// [`StoreError`]; the attempt must then not be evaluated.
    pub async fn count_attempt(
        &self,
        kind: AttemptKind,
        subject: &str,
        limit: Limit,
        now: Timestamp,
    ) -> Result<Attempt, StoreError> {
        self.keys().await?;
        let (key, expires) = self.counter(kind, subject, limit, now);
        let name = AttemptKey(key.pk.clone());
        let call = self
            .update(key)
            .condition_expression("attribute_not_exists(attempts) OR attempts < :limit")
            .values([(":limit", n(limit.max_attempts)), (":one", n(1))])
            .return_values(ReturnValue::UpdatedNew);
        let call = match expires {
            Some(end) => call
                .values([(":expires", n(end))])
                .update_expression("ADD attempts :one SET expires = :expires"),
            None => call.update_expression("ADD attempts :one"),
        };
        match call.send().await {
            Ok(done) => {
                let attempts = done
                    .attributes
                    .as_ref()
                    .and_then(|a| a.get("attempts")?.as_n().ok()?.parse().ok());
                attempts.map_or_else(
                    || Err(StoreError::corrupt("an attempt counter")),
                    |n| {
                        Ok(Attempt {
                            key: name,
                            allowed: Some(n),
                        })
                    },
                )
            }
            Err(e) if is_conditional(&e) => Ok(Attempt {
                key: name,
                allowed: None,
            }),
            Err(e) => Err(StoreError::call(e)),
        }
    }
}

impl Writes<'_> {
    pub(crate) fn forget_attempts(&mut self, key: &AttemptKey) -> Result<(), StoreError> {
        self.delete(key_of(key))
    }
}
