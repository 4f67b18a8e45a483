//! Which security questions a user may choose (ME-04).

use crate::policy::SecurityQuestionPolicy;
use crate::values::folding;
use crate::values::text::Sensitive;

/// Why a choice of security questions is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidChoice {
    /// The number of questions is not the one that the portal requires.
    WrongCount { required: usize },
    /// The portal does not offer the question at this index.
    NotOffered(usize),
    /// The question at this index is also an earlier one.
    Repeated(usize),
}

/// Checks that as many questions are chosen as the portal requires, all different and all from its list.
///
/// # Errors
/// A wrong number of questions, or each question that is not valid, by index.
pub fn check_choice(
    chosen: &[&str],
    policy: &SecurityQuestionPolicy,
) -> Result<(), Vec<InvalidChoice>> {
    let required = policy.required.get() as usize;
    if chosen.len() != required {
        return Err(vec![InvalidChoice::WrongCount { required }]);
    }
    let invalid: Vec<_> = chosen
        .iter()
        .enumerate()
        .filter_map(|(i, question)| {
            if !policy.questions.iter().any(|q| q.as_str() == *question) {
                Some(InvalidChoice::NotOffered(i))
            } else if chosen[..i].contains(question) {
                Some(InvalidChoice::Repeated(i))
            } else {
                None
            }
        })
        .collect();
    if invalid.is_empty() {
        Ok(())
    } else {
        Err(invalid)
    }
}

/// Why an answer is too easy to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeakAnswer {
    /// It has fewer than [`MIN_ANSWER_LENGTH`] letters and digits.
    TooShort,
    /// It is also the answer to an earlier question.
    Repeated,
    /// It is the question or a word of it.
    InQuestion,
}

impl WeakAnswer {
    /// Returns the reason as a phrase that follows the field's name.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooShort => "must have at least three letters or digits",
            Self::Repeated => "must be different from your other answers",
            Self::InQuestion => "must not be a word of the question",
        }
    }
}

/// The minimum length of an answer, in letters and digits.
pub const MIN_ANSWER_LENGTH: usize = 3;

/// Returns what is wrong with each new answer, in order (ME-04, BL-11). Answers are in the form in which
/// they are compared.
pub fn weak_answers(answers: &[(&str, &Sensitive)]) -> Vec<Option<WeakAnswer>> {
    let weakness = |i: usize, question: &str, answer: &str| {
        let is_word = |word: &str| folding::letters(word) == answer;
        if answer.chars().count() < MIN_ANSWER_LENGTH {
            Some(WeakAnswer::TooShort)
        } else if is_word(question) || question.split_whitespace().any(is_word) {
            Some(WeakAnswer::InQuestion)
        } else if answers[..i]
            .iter()
            .any(|(_, other)| other.expose() == answer)
        {
            Some(WeakAnswer::Repeated)
        } else {
            None
        }
    };
    let answers = answers.iter().enumerate();
    answers
        .map(|(i, (question, answer))| weakness(i, question, answer.expose()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::InvalidChoice::{NotOffered, Repeated, WrongCount};
    use super::*;

    #[test]
    fn me_04_the_required_number_of_different_questions_is_chosen_from_the_list() {
        let offered = vec!["First pet?", "First car?", "First school?"];
        let policy = SecurityQuestionPolicy {
            required: toml::Value::from(2).try_into().unwrap(),
            questions: toml::Value::from(offered).try_into().unwrap(),
        };
        let (pet, car, school) = ("First pet?", "First car?", "First school?");
        for (chosen, expected) in [
            (&[pet, car][..], Ok(())),
            (&[school, pet], Ok(())),
            (&[], Err(vec![WrongCount { required: 2 }])),
            (&[pet], Err(vec![WrongCount { required: 2 }])),
            (&[pet, car, school], Err(vec![WrongCount { required: 2 }])),
            (&[pet, pet], Err(vec![Repeated(1)])),
            (&[pet, "My own?"], Err(vec![NotOffered(1)])),
            (&["My own?", car], Err(vec![NotOffered(0)])),
            (
                &["My own?", "My own?"],
                Err(vec![NotOffered(0), NotOffered(1)]),
            ),
            // Questions are compared exactly.
            (&["first pet?", car], Err(vec![NotOffered(0)])),
        ] {
            assert_eq!(check_choice(chosen, &policy), expected, "{chosen:?}");
        }
    }
    #[test]
    fn me_04_an_answer_is_long_enough_and_neither_repeated_nor_in_the_question() {
        let weak = |answers: &[(&str, &str)]| {
            let answers: Vec<_> = answers
                .iter()
                .map(|(q, a)| (*q, Sensitive::new(*a)))
                .collect();
            let answers: Vec<_> = answers.iter().map(|(q, a)| (*q, a)).collect();
            weak_answers(&answers)
        };
        let (pet, car) = ("What was your first pet?", "What was your first car?");
        assert_eq!(weak(&[(pet, "biscuit"), (car, "beetle")]), [None, None]);
        assert_eq!(
            weak(&[(pet, "a"), (car, "a")]),
            [Some(WeakAnswer::TooShort), Some(WeakAnswer::TooShort)]
        );
        assert_eq!(
            weak(&[(pet, "biscuit"), (car, "biscuit")]),
            [None, Some(WeakAnswer::Repeated)]
        );
        assert_eq!(
            weak(&[(pet, "pet"), (car, "whatwasyourfirstcar")]),
            [Some(WeakAnswer::InQuestion), Some(WeakAnswer::InQuestion)]
        );
    }
}
