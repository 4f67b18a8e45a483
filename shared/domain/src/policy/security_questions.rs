//! `[security_questions]`: the questions that people answer (ME-04).

use super::faults::Faults;
use super::fields::{Bounded, Line};
use super::read::section;

section! {
    /// Security questions (ME-04).
    pub struct SecurityQuestionPolicy {
        /// How many questions a user sets up.
        pub required: Bounded<1, 5>,
        pub questions: Vec<Line>,
    }
}

impl SecurityQuestionPolicy {
    /// Checks that there are enough questions to choose from.
    pub(super) fn check(&self, faults: &mut Faults) {
        if self.questions.len() < self.required.get() as usize {
            faults.add(
                "security_questions.questions",
                "has fewer questions than are asked",
            );
        }
    }
}
