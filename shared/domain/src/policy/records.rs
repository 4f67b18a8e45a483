//! `[records]`: what follows from the plan's records (AG-16).

use serde::Deserialize;

use super::fields::Bounded;
use super::read::{leaves, section};

section! {
    /// What follows from the plan's records (AG-16).
    pub struct RecordsPolicy {
        /// What happens to the access of users whose plan record has ended.
        pub on_termination: OnTermination = OnTermination::default(),
        /// The highest percentage of a kind's records that a full feed can end; above it, the feed is rejected as
        /// suspicious.
        pub max_terminated_percent: Bounded<1, 100> = few_percent(),
    }
}

impl Default for RecordsPolicy {
    fn default() -> Self {
        Self {
            on_termination: OnTermination::default(),
            max_terminated_percent: few_percent(),
        }
    }
}

const fn few_percent() -> Bounded<1, 100> {
    Bounded(5)
}

/// What happens to the access of users whose plan record has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTermination {
    /// They lose access until the record returns.
    #[default]
    Close,
    /// They keep their access.
    Keep,
}

leaves!(OnTermination);
