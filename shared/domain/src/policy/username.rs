//! `[username]`: who chooses usernames, and their form.

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::fields::{Bounded, Slug};
use super::read::{leaves, section};

/// Who chooses the username.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChosenBy {
    /// The person who registers (ME-02).
    User,
    /// The system makes it (BL-16).
    System,
}

section! {
    /// The username rules.
    pub struct UsernamePolicy {
        pub chosen_by: ChosenBy,
        /// The minimum number of characters of a chosen username.
        pub min_length: Bounded<3, 30>,
        /// The prefix of a username made by the system.
        pub prefix: Option<Slug> = None,
    }
}

leaves!(ChosenBy);

impl UsernamePolicy {
    /// Checks that usernames made by the system have a prefix.
    pub(super) fn check(&self, faults: &mut Faults) {
        if self.chosen_by == ChosenBy::System && self.prefix.is_none() {
            faults.add(
                "username",
                "needs a prefix when the system makes the usernames",
            );
        }
    }
}
