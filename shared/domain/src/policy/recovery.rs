//! `[recovery]`: what a forgotten password or username takes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::faults::Faults;
use super::fields::Bounded;
use super::read::{leaves, section};

/// A recovery method for a forgotten password or username.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum RecoveryMeans {
    /// The answers to all security questions (ME-05).
    SecurityAnswers,
    /// A link sent to the address on file.
    Email,
    /// The answer to the hint question (BL-14).
    HintQuestion,
}

section! {
    /// Account recovery.
    pub struct RecoveryPolicy {
        /// The methods required for a forgotten password, all of them.
        pub forgot_password: BTreeSet<RecoveryMeans>,
        /// The methods required for a forgotten username, all of them.
        pub forgot_username: BTreeSet<RecoveryMeans>,
        /// For how many minutes a link can be used.
        pub link_minutes: Bounded<5, 1440>,
    }
}

leaves!(RecoveryMeans);

impl RecoveryPolicy {
    /// Checks that a method is required, and that users have what it requires.
    pub(super) fn check(
        &self,
        has_security_questions: bool,
        hint_question: Option<bool>,
        faults: &mut Faults,
    ) {
        for (field, means) in [
            ("recovery.forgot_password", &self.forgot_password),
            ("recovery.forgot_username", &self.forgot_username),
        ] {
            if means.is_empty() {
                faults.add(
                    field,
                    "must name at least one means: nobody gets in without proof",
                );
            }
            if means.contains(&RecoveryMeans::SecurityAnswers) && !has_security_questions {
                faults.add(field, "needs a [security_questions] section");
            }
            if means.contains(&RecoveryMeans::HintQuestion) && hint_question == Some(false) {
                faults.add(field, "needs hint_question = true");
            }
        }
    }
}
