//! Words as they stand in mails and letters: dates, names, lines of text.

use jiff::civil::Date;
use vestibule_domain::policy::{HelpDesk, Policy};

/// The longest line of a text part.
pub(crate) const WIDTH: usize = 72;

/// A space at which no line is broken; in a text part it becomes an ordinary one.
const UNBROKEN: &str = "\u{a0}";

/// A day as people write it: "Tuesday, 6 January 2026".
pub(crate) fn day(date: Date) -> String {
    date.strftime("%A, %-d %B %Y").to_string()
}

/// The help desk and its number, within a sentence (AG-18).
pub(crate) fn help(desk: &HelpDesk) -> String {
    format!(
        "{} at {}",
        desk.name,
        desk.phone.as_str().replace(' ', UNBROKEN)
    )
}

/// The portal and who runs it, within a sentence.
pub(crate) fn portal(policy: &Policy) -> String {
    format!("{}, the web portal of {}", policy.title, policy.plan.name)
}

/// A text without anything that could break out of its line, hide, or turn the direction of
/// reading: names come from people, and must not write headers or paragraphs of their own.
pub(crate) fn one_line(text: &str) -> String {
    let visible: String = text
        .chars()
        .map(|c| if is_unprintable(c) { ' ' } else { c })
        .collect();
    words(&visible).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    let breaks = |c: char| c.is_whitespace() && !UNBROKEN.contains(c);
    text.split(breaks).filter(|word| !word.is_empty())
}

fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Breaks a text into lines of at most [`WIDTH`] characters; a longer word, such as an address of
/// a page, stays whole. The first line follows `first`, the others are moved in as far as it.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let indent = first.chars().count();
    let mut out = String::from(first);
    let mut column = indent;
    for (i, word) in words(text).enumerate() {
        let length = word.chars().count();
        if i > 0 {
            if column + 1 + length > WIDTH {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(&word.replace(UNBROKEN, " "));
        column += length;
    }
    out
}

/// The address of a page of the portal.
pub(crate) fn page(policy: &Policy, path: &str) -> String {
    format!("{}{path}", policy.site)
}

/// The same with a token in the fragment, the one part of an address that browsers send to nobody.
pub(crate) fn page_with_token(policy: &Policy, path: &str, token: &str) -> String {
    let mut address = page(policy, path);
    address.push_str("#token=");
    for byte in token.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_as_people_write_them() {
        assert_eq!(day(Date::constant(2026, 1, 6)), "Tuesday, 6 January 2026");
        assert_eq!(
            day(Date::constant(2028, 2, 29)),
            "Tuesday, 29 February 2028"
        );
    }

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(
            one_line("Eve\r\nBcc: all@example.com"),
            "Eve Bcc: all@example.com"
        );
        assert_eq!(one_line("  a\u{202e}b\u{2028}\u{200b}c\t "), "a b c");
        assert_eq!(one_line("Zoë O’Brien-Núñez 李"), "Zoë O’Brien-Núñez 李");
    }

    #[test]
    fn lines_are_broken_between_words_only() {
        let text = wrapped("- ", &"seven77 ".repeat(20));
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|l| l.starts_with("  s")), "{text}");
        let long = "x".repeat(100);
        assert_eq!(wrapped("", &format!("a {long} b")), format!("a\n{long}\nb"));
        assert_eq!(wrapped("", ""), "");
        let phone = "(312)\u{a0}555-0110";
        let text = wrapped("", &format!("{} {phone}", "x".repeat(65)));
        assert!(text.ends_with("\n(312) 555-0110"), "{text}");
    }
}
