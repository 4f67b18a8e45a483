//! Rules for passwords (ME-03; NIST SP 800-63B-4, 3.1.1.2).

use std::cmp::Ordering;
use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use crate::policy::{CharacterKind, PasswordPolicy};
use crate::values::text::{Invalid, Sensitive};

/// The longest password, in characters. Argon2id takes more; this bounds the work.
pub const MAX_LENGTH: usize = 128;

/// A password in its normal form (NFKC), so that it is the same from every keyboard.
///
/// # Errors
/// [`Invalid`] when it is empty, too long, or holds control characters.
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

/// Checks a new password against the portal's rules and reports all that it breaks.
///
/// # Errors
/// [`Invalid`] with every broken rule, in words.
pub fn check(
    text: &str,
    username: Option<&str>,
    policy: &PasswordPolicy,
) -> Result<Sensitive, Invalid> {
    let password = normalize(text)?;
    let chars = || password.expose().chars();
    let mut faults = Vec::new();
    let shortest = policy.min_length.get() as usize;
    if chars().count() < shortest {
        faults.push(format!("have at least {shortest} characters"));
    }
    for kind in &policy.required_characters {
        let (held, words) = match kind {
            CharacterKind::Letter => (chars().any(char::is_alphabetic), "a letter"),
            CharacterKind::Uppercase => (chars().any(char::is_uppercase), "a capital letter"),
            CharacterKind::Lowercase => (chars().any(char::is_lowercase), "a small letter"),
            CharacterKind::Digit => (chars().any(|c| c.is_ascii_digit()), "a digit"),
            CharacterKind::Symbol => (chars().any(|c| !c.is_alphanumeric()), "a symbol"),
        };
        if !held {
            faults.push(format!("hold {words}"));
        }
    }
    if username.is_some_and(|name| name.eq_ignore_ascii_case(password.expose())) {
        faults.push("not be the username".into());
    }
    if policy.reject_obscene_words && holds_obscene_word(password.expose()) {
        faults.push("not hold an obscene word".into());
    }
    if faults.is_empty() {
        Ok(password)
    } else {
        Err(Invalid::new(format!("must {}", faults.join(", "))))
    }
}

/// Words that are obscene by themselves, after `=`, or wherever they stand in another, sorted bytewise.
const OBSCENE: &[u8] = include_bytes!("../../../../infra/blocklist/obscene.txt");

/// Words that hold an obscene one and are not obscene, sorted bytewise.
const HARMLESS: &[u8] = include_bytes!("../../../../infra/blocklist/harmless.txt");

/// The fewest letters of an obscene word that is found within another.
const SHORTEST_WITHIN: usize = 4;

/// Whether one of the words in a text is obscene, with `@` for `a` and `1` for `i` too. Words are
/// looked at one by one: across what parts them, `First-Watch` would hold one.
fn holds_obscene_word(text: &str) -> bool {
    let text = text.to_lowercase();
    [plainly(&text), text].iter().any(|reading| {
        reading
            .split(|c: char| !c.is_ascii_alphabetic())
            .any(is_obscene)
    })
}

/// Whether a word of small letters is obscene, or holds what is and stands in no harmless part of it.
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

/// Passwords that were leaked and are used again and again, in lower case, sorted bytewise; an
/// operator can add to it (docs/portals.md). It lies in the program as data that nothing reads, or
/// loads, before a password is chosen.
const COMMON: &[u8] = include_bytes!("../../../../infra/blocklist/passwords.txt");

/// How many characters around a common word make a password that isn't one any more.
const ENOUGH_AROUND: usize = 8;

/// How many letters make a password that isn't made of names any more.
const ENOUGH_LETTERS: usize = 5;

/// Refuses what is guessed first (UX-10; NIST SP 800-63B-4, 3.1.1.2): common and leaked passwords,
/// dressed up with digits and symbols or not, and those made of words that anybody would try for
/// this person here: `about` holds their names, and those of the portal and the plan.
///
/// # Errors
/// [`Invalid`] with the one reason that says most.
pub fn hard_to_guess(password: &Sensitive, about: &[&str]) -> Result<(), Invalid> {
    let text = password.expose().to_lowercase();
    let length = text.chars().count();
    if text.chars().collect::<BTreeSet<_>>().len() < 4 {
        return Err(Invalid::new("must hold at least four different characters"));
    }
    if is_listed(COMMON, &text) || is_listed(COMMON, &plainly(&text)) {
        return Err(Invalid::new(
            "must not be one of the common or leaked passwords, which are tried first",
        ));
    }
    // `p4ssw0rd` is read as a word, the digits behind it are not.
    let cores = [
        text.trim_matches(|c: char| !c.is_alphabetic()).to_owned(),
        plainly(text.trim_matches(|c: char| !c.is_alphabetic() && !matches!(c, '@' | '$'))),
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
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= 3)
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let left = words
        .iter()
        .fold(text.clone(), |left, word| left.replace(word, " "));
    let letters = left.chars().filter(|c| c.is_alphabetic()).count();
    if left != text && letters < ENOUGH_LETTERS {
        return Err(Invalid::new(
            "must not be made of your name, your username or the name of the portal",
        ));
    }
    Ok(())
}

/// A text with the usual stand-ins read as letters.
fn plainly(text: &str) -> String {
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

/// Whether a text is a line of a list: halves the list until one line is left.
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

    /// What an operator adds must be found: `LC_ALL=C sort -u` puts a list in order.
    #[test]
    fn the_lists_are_sorted_in_lower_case_and_every_line_of_them_is_found() {
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

    /// What an operator adds must work: a word of the one list is refused, one of the other is not.
    #[test]
    fn every_obscene_word_is_refused_and_no_harmless_one_is() {
        let lines = |list| std::str::from_utf8(list).unwrap().lines();
        for line in lines(OBSCENE) {
            let word = line.trim_start_matches('=');
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word:?}");
            let found = word != line || word.len() >= SHORTEST_WITHIN;
            assert!(found, "too short to be found in a word: write ={word}");
            assert!(holds_obscene_word(&word.to_uppercase()), "{word:?}");
        }
        for word in lines(HARMLESS) {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase()), "{word:?}");
            assert!(!holds_obscene_word(word), "{word:?}");
        }
    }
}
