//! The one form in which names are compared and searched, whatever the keyboard or the source
//! system: matching with plan records (AG-06, ME-01) and searching users and agents (AG-09, AG-12,
//! BA-08).
//!
//! Letters are transliterated to ASCII (`deunicode`), and then the spellings with a second vowel
//! are reduced to one: ICAO Doc 9303-3, section 6, writes `ü` as `ue`, `å` as `aa` and `ø` as `oe`,
//! while most keyboards and many claims systems drop the accent.

use deunicode::deunicode_char;
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Suffixes that are part of a name in some systems and missing in others.
const GENERATIONS: [&str; 12] = [
    "jr", "sr", "junior", "senior", "ii", "iii", "iv", "v", "2nd", "3rd", "4th", "5th",
];

/// Returns the letters and digits of a text in lowercase ASCII, without accents, spaces and
/// punctuation. Letters of a script that can't be transliterated are kept.
pub fn letters(text: &str) -> String {
    let lower = text.nfkc().flat_map(char::to_lowercase);
    let mut folded = String::with_capacity(text.len());
    for c in lower.filter(|c| c.is_alphanumeric()) {
        match deunicode_char(c).filter(|ascii| !ascii.is_empty()) {
            Some(ascii) => folded.extend(
                ascii
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .map(|c| c.to_ascii_lowercase()),
            ),
            None => folded.push(c),
        }
    }
    folded
}

/// Returns a letter or digit in ASCII, with a capital at the start of a word; a combining mark or a
/// letter without a Latin counterpart becomes empty. Returns `None` for other characters and for
/// letters that can't be transliterated.
pub fn in_ascii(c: char, starts_word: bool) -> Option<String> {
    if is_combining_mark(c) {
        return Some(String::new());
    }
    let ascii = deunicode_char(c).filter(|ascii| c.is_alphanumeric() && !ascii.is_empty())?;
    let mut plain: String = ascii
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == ' ')
        .collect();
    if starts_word && let Some(first) = plain.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Some(plain)
}

/// Returns the form in which two spellings of a name are equal: `Müller`, `MUELLER` and `Muller`,
/// `O'Brien` and `o brien`, `Barnes Jr.` and `Barnes`.
pub fn name(text: &str) -> String {
    join(&without_generation(words(text)))
}

/// Returns the words of a name, each folded.
fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| {
        c.is_whitespace() || matches!(c, ',' | '-' | '\u{2010}'..='\u{2015}' | '\u{ff0d}')
    });
    parts
        .map(|part| one_vowel(&letters(part)))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Removes generational suffixes, unless nothing else is left.
fn without_generation(mut words: Vec<String>) -> Vec<String> {
    let is_kept = |word: &String| !GENERATIONS.contains(&word.as_str());
    if words.iter().any(is_kept) {
        words.retain(is_kept);
    }
    words
}

fn join(words: &[String]) -> String {
    one_vowel(&words.concat())
}

/// Reduces `ae`, `oe`, `ue` and `aa` to their first letter.
fn one_vowel(text: &str) -> String {
    let mut reduced = String::with_capacity(text.len());
    for c in text.chars() {
        let is_second = match reduced.chars().next_back() {
            Some('a') => matches!(c, 'a' | 'e'),
            Some('o' | 'u') => c == 'e',
            _ => false,
        };
        if !is_second {
            reduced.push(c);
        }
    }
    reduced
}

/// The stored form in which a name is searched: its words, folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NameKey(Vec<String>);

impl NameKey {
    /// Builds the key of a name that consists of these parts.
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().flat_map(|part| words(part)).collect())
    }
}

/// What a person typed to search for a name, a username, an email address or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameQuery {
    /// The text in lowercase, for what is compared as it is.
    text: String,
    words: Vec<String>,
}

impl NameQuery {
    /// Parses what was typed; `None` if it is blank.
    pub fn parse(typed: &str) -> Option<Self> {
        let text: String = typed.trim().nfkc().flat_map(char::to_lowercase).collect();
        let words = without_generation(words(&text));
        (!text.is_empty()).then_some(Self { text, words })
    }

    /// Returns whether a username, an email address or a number starts with the text.
    pub fn starts(&self, text: &str) -> bool {
        text.to_lowercase().starts_with(&self.text)
    }

    /// Returns whether every word of the query begins a word of the name, in any order, or the name
    /// continues as typed from one of its words on, so that `dela cruz` finds `de la Cruz`.
    pub fn finds(&self, NameKey(name): &NameKey) -> bool {
        if self.words.is_empty() {
            return false;
        }
        let begins_one = |word: &String| name.iter().any(|n| n.starts_with(word.as_str()));
        let whole = join(&self.words);
        let continues = |i: usize| {
            let (before, from) = name.split_at(i);
            join(&[from, before].concat()).starts_with(&whole)
        };
        self.words.iter().all(begins_one) || (0..name.len()).any(continues)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_are_equal() {
        for same in [
            &["O'Brien", "OBRIEN", "o brien", "O\u{2019}Brien"][..],
            &[
                "Müller",
                "Mu\u{308}ller",
                "MÜLLER",
                "Mueller",
                "Muller",
                "Ｍüller",
            ],
            &["Sørensen", "Sorensen", "SOERENSEN"],
            &["Wałęsa", "Walesa"],
            &["Strauß", "STRAUẞ", "Strauss"],
            &["Æsop", "Aesop", "AESOP"],
            &["Ångström", "Aangstroem", "Angstrom"],
            &["Þórsson", "Thorsson"],
            &["Núñez-Díaz", "nunez diaz", "NunezDiaz"],
            &["de la Cruz", "Delacruz", "De La Cruz"],
            &[
                "Barnes",
                "Barnes Jr.",
                "BARNES, JR",
                "Barnes III",
                "Barnes Sr",
            ],
            &["İnci", "Inci", "ınci"],
            &["Соколов", "Sokolov"],
            &["李偉", "Li Wei"],
        ] {
            let folded: std::collections::BTreeSet<_> = same.iter().map(|n| name(n)).collect();
            assert_eq!(folded.len(), 1, "{same:?} {folded:?}");
        }
        for (a, b) in [
            ("Meyer", "Meier"),
            ("Barnes", "Barns"),
            ("Junior", "Senior"),
        ] {
            assert_ne!(name(a), name(b));
        }
    }

    #[test]
    fn a_query_finds_a_name_in_any_order_from_the_beginning_of_its_words() {
        let zoe = NameKey::of(&["Zoë", "Müller"]);
        for typed in [
            "Zoë Müller",
            "zoe mueller",
            "MULLER, ZOE",
            "Zoe\u{308} Mu\u{308}l",
            "mue",
            "m z",
            "zoemuller",
        ] {
            assert!(NameQuery::parse(typed).unwrap().finds(&zoe), "{typed}");
        }
        for typed in ["uller", "zoe meier", "zoem\u{fc}ller x", "...", "--"] {
            assert!(!NameQuery::parse(typed).unwrap().finds(&zoe), "{typed}");
        }
        let maria = NameKey::of(&["María", "de la Cruz-O'Neill"]);
        for typed in [
            "dela cruz",
            "oneill",
            "maria cruz",
            "de la cruz, maria",
            "cruz",
        ] {
            assert!(NameQuery::parse(typed).unwrap().finds(&maria), "{typed}");
        }
        assert_eq!(NameQuery::parse("  "), None);
    }

    proptest! {
        #[test]
        fn folding_is_stable(text in "\\PC{1,30}") {
            let folded = name(&text);
            prop_assert_eq!(name(&folded), folded);
        }

        #[test]
        fn a_query_finds_every_beginning_of_a_name(
            first in "[A-Za-zÀ-ɏ' -]{1,12}", last in "[A-Za-zÀ-ɏ' -]{1,12}", length in 1..25usize,
        ) {
            let key = NameKey::of(&[&first, &last]);
            let typed: String = format!("{first} {last}").chars().take(length).collect();
            if let Some(query) = NameQuery::parse(&typed) {
                prop_assert!(query.words.is_empty() || query.finds(&key), "{:?} {:?}", query, key);
            }
        }
    }
}
