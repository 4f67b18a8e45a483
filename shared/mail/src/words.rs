//! Formats dates, names, links and lines of text for emails and letters.

use jiff::civil::Date;
use vestibule_domain::policy::{HelpDesk, Policy};

/// The maximum line length of a text part, in characters.
pub(crate) const WIDTH: usize = 72;

/// A no-break space. A text part shows it as an ordinary space.
const UNBROKEN: &str = "\u{a0}";

/// Formats a date as "Tuesday, January 6, 2026".
pub(crate) fn day(date: Date) -> String {
    date.strftime("%A, %B %-d, %Y").to_string()
}

/// Formats the help desk for use in a sentence (AG-18), as "Member Services at (312) 555-0130".
pub(crate) fn help(desk: &HelpDesk) -> String {
    format!(
        "{} at {}",
        desk.name,
        desk.phone.as_str().replace(' ', UNBROKEN)
    )
}

/// Formats the portal and its plan for the end of a sentence.
pub(crate) fn portal(policy: &Policy) -> String {
    format!("{}, the {} web portal", policy.title, policy.plan.name)
}

/// Removes everything from a text that could start a new line, hide text or change its direction.
///
/// Names come from users, who must not be able to add headers or paragraphs.
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

/// Wraps a text at [`WIDTH`] characters. A longer word, such as a URL, stays whole. The first line
/// follows `first`; the other lines are indented by the length of `first`.
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

/// Returns the URL of a page of the portal.
pub(crate) fn page(policy: &Policy, path: &str) -> String {
    format!("{}{path}", policy.site)
}

/// Returns the URL of a page with a token in the fragment, the one part of a URL that browsers do not
/// send to any server.
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
    fn dates_are_in_us_format() {
        assert_eq!(day(Date::constant(2026, 1, 6)), "Tuesday, January 6, 2026");
        assert_eq!(
            day(Date::constant(2028, 2, 29)),
            "Tuesday, February 29, 2028"
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
