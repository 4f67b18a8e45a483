//! Reads tokens, codes and PINs from emails and letters.

use crate::standins::ses::ReceivedMail;

/// Returns the token of the link in an email.
pub fn link_token(mail: &ReceivedMail) -> Option<&str> {
    mail.text.split_once("#token=")?.1.split_whitespace().next()
}

/// Returns the registration code in an email: `RC` and six digits.
pub fn registration_code(mail: &ReceivedMail) -> Option<&str> {
    let words = mail
        .text
        .split_whitespace()
        .map(|w| w.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    let mut codes = words.filter(|w| {
        w.len() == 8
            && w.strip_prefix("RC")
                .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    });
    codes.next()
}

/// Returns the PIN in a letter: the indented line that contains only digits.
pub fn pin(letter: &str) -> Option<&str> {
    let indented = letter
        .lines()
        .filter(|line| line.starts_with(' '))
        .map(str::trim);
    indented
        .into_iter()
        .find(|line| line.len() >= 4 && line.bytes().all(|b| b.is_ascii_digit()))
}
