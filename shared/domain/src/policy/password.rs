//! `[password]`: what passwords must hold and when they expire.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::faults::Faults;
use super::fields::{Bounded, Days, check_warnings};
use super::read::{leaves, section};

/// A kind of character that passwords can be required to contain.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum CharacterKind {
    Letter,
    Uppercase,
    Lowercase,
    Digit,
    /// A character that is neither a letter nor a digit.
    Symbol,
}

section! {
    /// The password rules.
    pub struct PasswordPolicy {
        /// The minimum number of characters.
        pub min_length: Bounded<6, 64>,
        /// The kinds of character of which a password must contain at least one each.
        pub required_characters: BTreeSet<CharacterKind> = BTreeSet::new(),
        /// Whether passwords with obscene words are rejected (ME-03).
        pub reject_obscene_words: bool,
        /// After how many days a password expires; absent: never.
        pub max_age_days: Option<Days> = None,
        /// The days before that on which the owner is warned, in descending order.
        pub warning_days: Vec<Days> = Vec::new(),
        /// How many previous passwords can't be reused.
        pub history: Option<Bounded<1, 24>> = None,
    }
}

leaves!(CharacterKind);

impl PasswordPolicy {
    /// Checks that warnings fit the age at which passwords expire.
    pub(super) fn check(&self, faults: &mut Faults) {
        match self.max_age_days {
            Some(end) => check_warnings("password.warning_days", &self.warning_days, end, faults),
            None if !self.warning_days.is_empty() => {
                faults.add("password.warning_days", "needs max_age_days");
            }
            None => {}
        }
    }
}
