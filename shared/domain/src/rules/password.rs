//! Rules for passwords (ME-03; NIST SP 800-63B-4, 3.1.1.2).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use crate::policy::{CharacterKind, PasswordPolicy};
use crate::values::folding;
use crate::values::text::{Invalid, Sensitive};

/// The maximum length in characters. It limits the work that hashing takes.
pub const MAX_LENGTH: usize = 128;

/// Normalizes a password (NFKC), so that it is the same from every keyboard.
///
/// # Errors
/// [`Invalid`] if it is empty, too long, or contains control characters.
pub fn normalize(text: &str) -> Result<Sensitive, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    if text.len() > MAX_LENGTH * 4 || text.chars().count() > MAX_LENGTH {
        return Err(Invalid::new(format!(
            "must be at most {MAX_LENGTH} characters long"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new("must not contain control characters"));
    }
    Ok(Sensitive::new(text.nfkc().collect::<String>()))
}

/// Checks a new password against the portal's rules.
///
/// # Errors
/// [`Invalid`] with every rule that the password breaks.
pub fn check(
    text: &str,
    username: Option<&str>,
    policy: &PasswordPolicy,
) -> Result<Sensitive, Invalid> {
    let password = normalize(text)?;
    let chars = || password.expose().chars();
    let mut broken_rules = Vec::new();
    let shortest = policy.min_length.get() as usize;
    if chars().count() < shortest {
        broken_rules.push(format!("have at least {shortest} characters"));
    }
    for kind in &policy.required_characters {
        let (is_present, words) = match kind {
            CharacterKind::Letter => (chars().any(char::is_alphabetic), "a letter"),
            CharacterKind::Uppercase => (chars().any(char::is_uppercase), "an uppercase letter"),
            CharacterKind::Lowercase => (chars().any(char::is_lowercase), "a lowercase letter"),
            CharacterKind::Digit => (chars().any(|c| c.is_ascii_digit()), "a digit"),
            CharacterKind::Symbol => (chars().any(|c| !c.is_alphanumeric()), "a symbol"),
        };
        if !is_present {
            broken_rules.push(format!("contain {words}"));
        }
    }
    if username.is_some_and(|name| name.eq_ignore_ascii_case(password.expose())) {
        broken_rules.push("not be the username".into());
    }
    if policy.reject_obscene_words && contains_obscene_word(password.expose()) {
        broken_rules.push("not contain an obscene word".into());
    }
    if broken_rules.is_empty() {
        Ok(password)
    } else {
        Err(Invalid::new(format!("must {}", broken_rules.join(", "))))
    }
}

/// Words that are obscene on their own (lines that start with `=`) or as part of another word,
/// sorted bytewise.
const OBSCENE: &[u8] = include_bytes!("../../../../infra/blocklist/obscene.txt");

/// Harmless words that contain an obscene one, sorted bytewise.
const HARMLESS: &[u8] = include_bytes!("../../../../infra/blocklist/harmless.txt");

/// The minimum length of an obscene word that is searched for within other words.
const SHORTEST_WITHIN: usize = 4;

/// Returns whether a word in a text is obscene, also if spelled with `@` for `a` and `1` for `i`.
/// Words are checked separately, because `First-Watch` contains one across its hyphen.
fn contains_obscene_word(text: &str) -> bool {
    let text = text.to_lowercase();
    [replace_substitutes(&text), text].iter().any(|reading| {
        reading
            .split(|c: char| !c.is_ascii_alphabetic())
            .any(is_obscene)
    })
}

/// Returns whether a lowercase word is obscene, or contains an obscene word outside a harmless one.
fn is_obscene(word: &str) -> bool {
    let parts = |shortest| {
        (0..word.len())
            .flat_map(move |begin| (begin + shortest..=word.len()).map(move |end| (begin, end)))
    };
    let harmless = |(begin, end)| {
        let around = |(b, e): &(usize, usize)| *b <= begin && end <= *e;
        let mut around = parts(end - begin + 1).filter(around);
        around.any(|(b, e)| is_listed(HARMLESS, &word[b..e]))
    };
    is_listed(OBSCENE, &format!("={word}"))
        || parts(SHORTEST_WITHIN)
            .any(|(begin, end)| is_listed(OBSCENE, &word[begin..end]) && !harmless((begin, end)))
}

/// Leaked passwords in common use, lowercase, sorted bytewise. Operators can add to the list
/// (docs/portals.md). It is compiled into the program as data that is not loaded until a password
/// is chosen.
const COMMON: &[u8] = include_bytes!("../../../../infra/blocklist/passwords.txt");

/// A password with this many characters around a common word is no longer considered common.
const ENOUGH_AROUND: usize = 8;

/// A password with this many letters besides names is no longer considered made of names.
const ENOUGH_LETTERS: usize = 5;

/// Rejects passwords that attackers guess first (UX-10; NIST SP 800-63B-4, 3.1.1.2): common and
/// leaked passwords, also with digits or symbols added, and those made of words specific to the
/// user. `about` contains the user's names and email address and the names of the portal and the plan.
///
/// # Errors
/// [`Invalid`] with the most specific reason.
pub fn hard_to_guess(password: &Sensitive, about: &[&str]) -> Result<(), Invalid> {
    let text = password.expose().to_lowercase();
    let length = text.chars().count();
    if text.chars().collect::<BTreeSet<_>>().len() < 4 {
        return Err(Invalid::new(
            "must contain at least four different characters",
        ));
    }
    if is_listed(COMMON, &text) || is_listed(COMMON, &replace_substitutes(&text)) {
        return Err(Invalid::new("must not be a common or leaked password"));
    }
    // `p4ssw0rd` is read as a word; the digits after it are not.
    let cores = [
        text.trim_matches(|c: char| !c.is_alphabetic()).to_owned(),
        replace_substitutes(
            text.trim_matches(|c: char| !c.is_alphabetic() && !matches!(c, '@' | '$')),
        ),
    ];
    let dressed = |core: &String| {
        core.len() >= 4 && length - core.chars().count() < ENOUGH_AROUND && is_listed(COMMON, core)
    };
    if cores.iter().any(dressed) {
        return Err(Invalid::new(
            "must not be a common password with digits or symbols around it",
        ));
    }
    let mut words: Vec<String> = about
        .iter()
        .flat_map(|name| name.split(|c: char| !c.is_alphanumeric()))
        .flat_map(|word| {
            [
                word.to_lowercase(),
                folding::letters(word),
                folding::name(word),
            ]
        })
        .filter(|word| word.chars().count() >= 3)
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let left = words
        .iter()
        .fold(text.clone(), |left, word| left.replace(word, " "));
    let letters = left.chars().filter(|c| c.is_alphabetic()).count();
    if left != text && letters < ENOUGH_LETTERS {
        return Err(Invalid::new(
            "must not consist mainly of your name, your username, your email address or the name of the portal",
        ));
    }
    Ok(())
}

/// Replaces digits and symbols that commonly stand for letters.
fn replace_substitutes(text: &str) -> String {
    let letter = |c| match c {
        '@' | '4' => 'a',
        '3' => 'e',
        '1' | '!' => 'i',
        '0' => 'o',
        '$' | '5' => 's',
        '7' => 't',
        other => other,
    };
    text.chars().map(letter).collect()
}

/// Returns whether a text is a line of a sorted list, by binary search.
fn is_listed(list: &[u8], text: &str) -> bool {
    let (mut low, mut high) = (0, list.len());
    while low < high {
        let middle = low.midpoint(high);
        let begin = list[low..middle].iter().rposition(|b| *b == b'\n');
        let begin = begin.map_or(low, |i| low + i + 1);
        let end = list[middle..].iter().position(|b| *b == b'\n');
        let end = end.map_or(list.len(), |i| middle + i);
        match list[begin..end].cmp(text.as_bytes()) {
            Ordering::Less => low = end + 1,
            Ordering::Greater => high = begin,
            Ordering::Equal => return !text.is_empty(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator's additions must be found. `LC_ALL=C sort -u` sorts a list.
    #[test]
    fn lists_are_sorted_and_lowercase_and_every_line_is_found() {
        for list in [COMMON, OBSCENE, HARMLESS] {
            let text = std::str::from_utf8(list).unwrap();
            assert!(text.ends_with('\n'), "its last line ends like the others");
            let lines: Vec<_> = text.lines().collect();
            let unsorted = lines
                .windows(2)
                .find(|w| w[0].as_bytes() >= w[1].as_bytes());
            assert_eq!(unsorted, None, "run LC_ALL=C sort -u on the list");
            for line in lines {
                assert_eq!(line, line.trim().to_lowercase(), "{line:?}");
                assert!(is_listed(list, line), "{line:?}");
            }
            for absent in [
                "",
                "\n",
                "zzzzzzzzzzzzzzzzzzzz",
                "quiet-river",
                "\u{10ffff}",
            ] {
                assert!(!is_listed(list, absent), "{absent:?}");
            }
        }
    }

    /// An operator's additions must have an effect: every word of one list is rejected, and none of
    /// the other.
    #[test]
    fn obscene_words_are_rejected_and_harmless_words_are_not() {
        let lines = |list| std::str::from_utf8(list).unwrap().lines();
        for line in lines(OBSCENE) {
            let word = line.trim_start_matches('=');
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word:?}");
            let found = word != line || word.len() >= SHORTEST_WITHIN;
            assert!(found, "too short to be found in a word: write ={word}");
            assert!(contains_obscene_word(&word.to_uppercase()), "{word:?}");
        }
        for word in lines(HARMLESS) {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word:?}");
            assert!(!contains_obscene_word(word), "{word:?}");
        }
    }
}
