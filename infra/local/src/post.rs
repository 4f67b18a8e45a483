//! Finding in mails and letters what their readers look for.

use crate::standins::ses::ReceivedMail;

/// The token of the link in an invitation.
pub fn link_token(mail: &ReceivedMail) -> Option<&str> {
    mail.text.split_once("#token=")?.1.split_whitespace().next()
}

/// The registration code in a mail: `RC` and six digits.
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

/// The PIN of a letter: the indented line that is nothing but digits.
pub fn pin(letter: &str) -> Option<&str> {
    let indented = letter
        .lines()
        .filter(|line| line.starts_with(' '))
        .map(str::trim);
    indented
        .into_iter()
        .find(|line| line.len() >= 4 && line.bytes().all(|b| b.is_ascii_digit()))
}
