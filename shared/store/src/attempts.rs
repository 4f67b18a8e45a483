//! Guesses are counted before they are looked at, each in a conditional write of its own: of a
//! thousand parallel ones exactly the allowed number is evaluated.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::text::Sensitive;
use vestibule_secrets::Purpose;

use crate::keys::{self, Key};
use crate::{Store, Unavailable};

/// What is guessed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// The password of a username.
    Password,
    /// The proof for a plan record.
    Proof,
    /// What brings somebody back in who has forgotten their password.
    Recovery,
    /// A PIN.
    Pin,
    /// A registration code.
    RegistrationCode,
    /// Anything, from one source address.
    Source,
    /// Not a guess, but counted like one: asking for another letter.
    Reissue,
    /// The same: sending feedback.
    Feedback,
}

impl Guess {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Proof => "proof",
            Self::Recovery => "recovery",
            Self::Pin => "pin",
            Self::RegistrationCode => "code",
            Self::Source => "source",
            Self::Reissue => "reissue",
            Self::Feedback => "feedback",
        }
    }
}

/// How many tries there are, and within how many minutes; without those, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The number of tries that are evaluated.
    pub tries: u32,
    /// The window in which they are counted.
    pub window_minutes: Option<u32>,
}

/// A counted guess.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The counter, to be cleared by a decision when the guess was right.
    pub key: AttemptKey,
    /// The which-th this is, if it may be looked at; none when the tries are used up.
    pub allowed: Option<u32>,
}

impl Store {
    /// The counter of guesses about `subject`, with the end of its life.
    fn counter(
        &self,
        guess: Guess,
        subject: &str,
        limit: Limit,
        now: Timestamp,
    ) -> (Key, Option<i64>) {
        let digest = self
            .keyring
            .mac(Purpose::Attempt, guess.as_str(), &Sensitive::new(subject));
        let digest = BASE64URL_NOPAD.encode(&digest.code[..16]);
        let (window, expires) = match limit.window_minutes {
            Some(minutes) => {
                let seconds = 60 * i64::from(minutes);
                let window = now.as_second().div_euclid(seconds);
                (window, Some((window + 2) * seconds))
            }
            None => (0, None),
        };
        (keys::attempts(guess.as_str(), &digest, window), expires)
    }

    /// The counter that guesses about `subject` are counted in now, to be cleared by a decision.
    pub fn attempts_of(
        &self,
        guess: Guess,
        subject: &str,
        limit: Limit,
        now: Timestamp,
    ) -> AttemptKey {
        AttemptKey(self.counter(guess, subject, limit, now).0.pk)
    }

    /// Whether any of these counters leaves no try. All are read in one call.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn is_used_up(
        &self,
        counters: &[AttemptKey],
        limit: Limit,
    ) -> Result<bool, Unavailable> {
        let wanted = counters.iter().map(|AttemptKey(pk)| Key {
            pk: pk.clone(),
            sk: "G".into(),
        });
        let found = self.batch(wanted.collect()).await?;
        let tries = |item: &crate::item::Item| item.get("tries")?.as_n().ok()?.parse().ok();
        Ok(found
            .iter()
            .filter_map(tries)
            .any(|tries: u32| tries >= limit.tries))
    }

    /// Counts one guess about `subject` and says whether it may be looked at.
    ///
    /// The counter's name is a keyed digest: a stolen table doesn't tell what was tried.
    ///
    /// # Errors
    /// [`Unavailable`]; the guess must then not be looked at.
    pub async fn count_attempt(
        &self,
        guess: Guess,
        subject: &str,
        limit: Limit,
        now: Timestamp,
    ) -> Result<Attempt, Unavailable> {
        let (key, expires) = self.counter(guess, subject, limit, now);
        let name = AttemptKey(key.pk.clone());
        let mut call = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .condition_expression("attribute_not_exists(tries) OR tries < :limit")
            .expression_attribute_values(":limit", AttributeValue::N(limit.tries.to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".into()))
            .return_values(ReturnValue::UpdatedNew);
        call = match expires {
            Some(at) => call
                .update_expression("ADD tries :one SET expires = :expires")
                .expression_attribute_values(":expires", AttributeValue::N(at.to_string())),
            None => call.update_expression("ADD tries :one"),
        };
        match call.send().await {
            Ok(done) => {
                let tries = done
                    .attributes
                    .as_ref()
                    .and_then(|a| a.get("tries")?.as_n().ok()?.parse().ok());
                tries.map_or_else(
                    || Err(Unavailable::corrupt("a counter of guesses")),
                    |n| {
                        Ok(Attempt {
                            key: name,
                            allowed: Some(n),
                        })
                    },
                )
            }
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(Attempt {
                    key: name,
                    allowed: None,
                })
            }
            Err(e) => Err(Unavailable::call(e)),
        }
    }
}
