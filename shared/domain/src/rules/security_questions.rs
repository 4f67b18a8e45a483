//! Which security questions a user may choose (ME-04).

use crate::policy::SecurityQuestionPolicy;

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
}
