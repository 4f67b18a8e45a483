//! Parsed user input. A value of these types is always normalized, within its length limit and
//! valid.

use std::collections::BTreeSet;
use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::values::folding;

/// The number of letters of a first or last name that count when names are sorted.
const MAX_SORTED: usize = 30;

/// Why a field is invalid, as a phrase that follows the field's name: "must be …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(pub String);

impl Invalid {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret text. It is wiped from memory when dropped, and its `Debug` output is `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Sensitive(Zeroizing<String>);

impl Sensitive {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Returns the text. Never log, format or store it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Sensitive {
    /// Used only inside an encrypted payload, by the store.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// Trims the text, rejects control and invisible characters, and limits the length in characters.
fn line(text: &str, longest: usize) -> Result<String, Invalid> {
    if text.len() > longest * 4 {
        return Err(Invalid::new(format!(
            "must be at most {longest} characters long"
        )));
    }
    let text: String = text.trim().nfc().collect();
    if text.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    if text.chars().any(is_unprintable) {
        return Err(Invalid::new(
            "must not contain control or invisible characters",
        ));
    }
    if text.chars().count() > longest {
        return Err(Invalid::new(format!(
            "must be at most {longest} characters long"
        )));
    }
    Ok(text)
}

/// Returns true for control characters, and for characters that are invisible or change the direction
/// of text: the Default_Ignorable_Code_Point property of Unicode, line separators, interlinear
/// annotation and the blank Braille pattern.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Parses a line that must be legible, such as a name.
fn named_line(text: &str, longest: usize) -> Result<String, Invalid> {
    let text = line(text, longest)?;
    if folding::letters(&text).is_empty() {
        return Err(Invalid::new("must contain a letter or digit"));
    }
    Ok(text)
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $longest:expr) => {
        text_type!($(#[$doc])* $name, $longest, line);
    };
    ($(#[$doc:meta])* $name:ident, $longest:expr, $parse:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses user input.
            ///
            /// # Errors
            /// [`Invalid`] if the text is empty, too long, or contains control or invisible
            /// characters.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                $parse(text, $longest).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    };
}

text_type!(
    /// One part of a person's name, at most 60 characters.
    NamePart, 60, named_line
);
text_type!(
    /// The name of an organization, at most 120 characters.
    OrganizationName, 120, named_line
);
text_type!(
    /// The answer to a security or hint question, at most 100 characters.
    Answer, 100
);

text_type!(
    /// What a person typed to search, at most 100 characters.
    SearchText, 100
);

text_type!(
    /// The name that a user gives a second factor, at most 60 characters.
    FactorName, 60, named_line
);

impl NamePart {
    /// Parses a name that a person entered. Names are shown in emails that the plan sends to others, so
    /// they can't carry a link or an address (SE-06).
    ///
    /// # Errors
    /// [`Invalid`] with the rule that the name breaks.
    pub fn parse_entered(text: &str) -> Result<Self, Invalid> {
        let name = Self::parse(text)?;
        if reads_as_link(name.as_str()) {
            return Err(Invalid::new(
                "must not contain a web or email address; if a name has a period, put a space after it",
            ));
        }
        Ok(name)
    }
}

/// Returns whether an email program could turn a part of a text into a link: a colon or `@`, or a
/// period between letters as in a domain, in any Unicode form.
fn reads_as_link(text: &str) -> bool {
    let text: Vec<char> = text.nfkc().collect();
    let is_domain = |around: &[char]| {
        matches!(around, [before, '.' | '\u{3002}' | '\u{fe12}', after, next]
            if before.is_alphanumeric() && after.is_alphanumeric() && next.is_alphanumeric())
    };
    text.contains(&':') || text.contains(&'@') || text.windows(4).any(is_domain)
}

/// The reason that a help desk agent gives for an action: one line of 5 to 300 characters that says
/// something (UX-12).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reason(String);

impl Reason {
    /// Parses user input.
    ///
    /// # Errors
    /// [`Invalid`] if the text is too short, too long, or contains control or invisible characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = line(text, 300)?;
        if text.chars().count() < 5 {
            return Err(Invalid::new("must be at least 5 characters long"));
        }
        let different: BTreeSet<char> = folding::letters(&text).chars().collect();
        if different.len() < 3 {
            return Err(Invalid::new("must say in words why"));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reason(***)")
    }
}

impl Answer {
    /// Returns the form in which answers are compared: without case, accents, spaces and
    /// punctuation.
    pub fn comparable(&self) -> Sensitive {
        Sensitive::new(folding::letters(&self.0))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonName {
    pub first: NamePart,
    pub last: NamePart,
}

impl PersonName {
    /// Returns the first and last name, for a greeting or an address.
    pub fn full(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    /// Returns the text by which names are sorted: by last name, then first name, without regard to case,
    /// accents, spaces and punctuation.
    pub fn sort_key(&self) -> String {
        let part = |text: &str| {
            folding::letters(text)
                .chars()
                .take(MAX_SORTED)
                .collect::<String>()
        };
        format!("{}#{}", part(self.last.as_str()), part(self.first.as_str()))
    }

    /// Returns the placeholder for a name that was removed.
    pub fn removed() -> Self {
        Self {
            first: NamePart("Removed".into()),
            last: NamePart("User".into()),
        }
    }
}

/// A username: ASCII letters, digits, `.`, `_`, `-` and `@`, so that no two look alike.
///
/// It is displayed as typed and compared without regard to case (ME-02).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Username(String);

impl Username {
    /// In characters.
    pub const MAX_LENGTH: usize = 40;

    /// Parses a username of at least `shortest` characters.
    ///
    /// # Errors
    /// [`Invalid`] with the rule that the text breaks.
    pub fn parse(text: &str, shortest: usize) -> Result<Self, Invalid> {
        if !(shortest..=Self::MAX_LENGTH).contains(&text.chars().count()) {
            return Err(Invalid::new(format!(
                "must be {shortest} to {} characters long",
                Self::MAX_LENGTH
            )));
        }
        let is_allowed =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@');
        if !text.bytes().all(is_allowed) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(Invalid::new(
                "must start with a letter or digit and contain only the letters a to z, digits, and . _ - @",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the username as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the lowercase form, which is unique on a portal.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Username(***)")
    }
}

/// An email address in ASCII, as SES delivers it. An internationalized domain is in its `xn--`
/// form.
///
/// The `+tag` is significant: `name+tag@example.com` and `name@example.com` are different addresses
/// (EX-08).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Parses an address of the form `local@domain` (RFC 5321 dot-string and domain, without
    /// quoting).
    ///
    /// # Errors
    /// [`Invalid`] if the text is not such an address.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let invalid = || {
            Invalid::new(
                "must be an email address such as name@example.com, in plain ASCII letters",
            )
        };
        if text.len() > 254 {
            return Err(Invalid::new("must be at most 254 characters long"));
        }
        let (local, domain) = text.rsplit_once('@').ok_or_else(invalid)?;
        let local_fits = (1..=64).contains(&local.len())
            && local.split('.').all(|atom| {
                !atom.is_empty()
                    && atom
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
            });
        let label_fits = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let labels: Vec<_> = domain.split('.').collect();
        let domain_fits = labels.len() >= 2
            && labels.iter().all(|l| label_fits(l))
            && labels
                .last()
                .is_some_and(|l| l.bytes().any(|b| b.is_ascii_alphabetic()));
        if local_fits && domain_fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }

    /// Returns the placeholder for an address that was removed. It is undeliverable (RFC 2606).
    pub fn removed() -> Self {
        Self("removed@deleted.invalid".into())
    }

    /// Returns the address as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which addresses are compared: lowercase, including the tag.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Returns the key of the mailbox that receives the email: lowercase, without the tag. It
    /// recognizes a person who was removed (AG-10), and never makes two addresses one (EX-08).
    pub fn mailbox_key(&self) -> String {
        let key = self.key();
        match key.rsplit_once('@') {
            Some((local, domain)) => {
                let mailbox = local.split('+').next().filter(|name| !name.is_empty());
                format!("{}@{domain}", mailbox.unwrap_or(local))
            }
            None => key,
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(***)")
    }
}

/// Parses a text of `shortest` to `longest` digits.
///
/// # Errors
/// [`Invalid`] with the expected length.
pub fn digits(text: &str, shortest: usize, longest: usize) -> Result<Sensitive, Invalid> {
    let text = text.trim();
    if (shortest..=longest).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Sensitive::new(text));
    }
    Err(Invalid::new(if shortest == longest {
        format!("must be {shortest} digits")
    } else {
        format!("must be {shortest} to {longest} digits")
    }))
}

/// Parses an identifier that the plan assigned: letters, digits and `-`. Returns it in uppercase.
///
/// # Errors
/// [`Invalid`] if the text is empty, longer than 20 characters, or contains anything else.
pub fn plan_number(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    let fits = (1..=20).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        Ok(text.to_ascii_uppercase())
    } else {
        Err(Invalid::new("must be 1 to 20 letters, digits and hyphens"))
    }
}

/// A mailing address. Lines are printed as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostalAddress {
    /// The recipient, printed first.
    pub addressee: Addressee,
    /// Street and number, P.O. Box or equivalent: one to three lines.
    pub lines: Vec<AddressLine>,
    pub city: AddressLine,
    /// State, province or region, if addresses in the country have one.
    pub region: Option<AddressLine>,
    /// ZIP Code or postal code, if the country has one.
    pub postal_code: Option<AddressLine>,
    pub country: Country,
}

text_type!(
    /// The recipient of a letter: the name of a person or an organization, at most 121 characters.
    Addressee, 121, named_line
);
text_type!(
    /// One line of a postal address, at most 60 characters.
    AddressLine, 60
);

/// An ISO 3166-1 alpha-2 country code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Country(String);

impl Country {
    /// Parses a code, ignoring case.
    ///
    /// # Errors
    /// [`Invalid`] if there is no such country.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let code = text.trim().to_ascii_uppercase();
        if code.len() == 2 && crate::values::countries::name(&code).is_some() {
            Ok(Self(code))
        } else {
            Err(Invalid::new("must be a two-letter country code such as US"))
        }
    }

    /// Returns the codes of all countries.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        crate::values::countries::codes()
    }

    /// Returns the English name.
    pub fn name(&self) -> &str {
        crate::values::countries::name(&self.0).unwrap_or(&self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Country {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

/// Returns eight random letters and digits, excluding those that are easily misread.
pub(crate) fn eight_characters(rng: &mut (impl Rng + ?Sized)) -> String {
    const UNAMBIGUOUS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..8)
        .map(|_| char::from(UNAMBIGUOUS[rng.random_range(0..UNAMBIGUOUS.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_visible_and_carry_no_links() {
        for name in [
            "Zoë",
            "O'Brien",
            "J. R.",
            "St. John",
            "J.R.R.",
            "de la Cruz-Díaz, Jr.",
            "李偉",
            "김",
            "No. 1",
        ] {
            assert!(NamePart::parse_entered(name).is_ok(), "{name}");
        }
        for name in [
            "\u{3164}",
            "\u{2800}",
            "\u{200b}",
            "\u{fe0f}",
            "\u{34f}",
            "\u{115f}\u{1160}",
            "\u{ffa0}",
            "\u{e0041}",
            "...",
            "--",
            "https://evil.example",
            "Claim at evil.com",
            "evil.co/x",
            "www.evil.com",
            "evil\u{ff0e}com",
            "evil\u{3002}com",
            "me@evil.com",
            "javascript:x",
            "evil\u{ff1a}8080",
            "t.co",
        ] {
            assert!(NamePart::parse_entered(name).is_err(), "{name:?}");
        }
        for reason in [".....", "-----", "aaaaa", "     x", "1111111"] {
            assert!(Reason::parse(reason).is_err(), "{reason}");
        }
        assert!(Reason::parse("The owner called").is_ok());
    }

    #[test]
    fn invisible_and_control_characters_are_refused_in_every_kind_of_text() {
        for c in [
            "\u{202e}", "\u{2066}", "\u{200b}", "\u{200d}", "\u{feff}", "\u{ad}", "\u{2028}", "\0",
            "\r\n", "\u{1b}", "\u{7f}",
        ] {
            let refused = [
                line(&format!("Blue{c}Heron"), 60).is_err(),
                NamePart::parse_entered(&format!("Blue{c}Heron")).is_err(),
                Reason::parse(&format!("The owner{c}called")).is_err(),
                Username::parse(&format!("paul{c}meyer"), 7).is_err(),
                Email::parse(&format!("paul{c}meyer@example.com")).is_err(),
            ];
            assert_eq!(refused, [true; 5], "{c:?}");
        }
    }

    #[test]
    fn usernames_cannot_look_alike() {
        let taken = Username::parse("paul.meyer", 7).unwrap();
        assert_eq!(Username::parse("Paul.Meyer", 7).unwrap().key(), taken.key());
        for alike in [
            "pаul.meyer",
            "paul.meyer\u{200b}",
            "ｐaul.meyer",
            "paul meyer",
            "paul\nmeyer",
            ".paul.meyer",
        ] {
            assert!(Username::parse(alike, 7).is_err(), "{alike:?}");
        }
        assert!(Username::parse("sixsix", 7).is_err());
        assert!(Username::parse("sevense", 7).is_ok());
    }

    #[test]
    fn email_addresses() {
        for good in [
            "name@example.com",
            "name+tag@example.com",
            "o'neil@mail.example.co",
            "a@b.xn--p1ai",
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "name",
            "@example.com",
            "name@",
            "name@localhost",
            "a b@example.com",
            "näme@example.com",
            "name@exämple.com",
            "a@b@c.com\r\nBcc: x@y.com",
            "a..b@example.com",
            "name@-example.com",
            "name@example.123",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
        assert_ne!(
            Email::parse("n+t@e.com").unwrap().key(),
            Email::parse("n@e.com").unwrap().key()
        );
        for (address, mailbox) in [
            ("name@example.com", "name@example.com"),
            ("Name+Tag@Example.com", "name@example.com"),
            ("name+one+two@example.com", "name@example.com"),
            ("name+@example.com", "name@example.com"),
            ("+tag@example.com", "+tag@example.com"),
        ] {
            let key = Email::parse(address).unwrap().mailbox_key();
            assert_eq!(key, mailbox, "{address}");
        }
        assert_eq!(
            Email::parse("N@E.com").unwrap().key(),
            Email::parse("n@e.COM").unwrap().key()
        );
    }

    #[test]
    fn debug_output_hides_sensitive_values() {
        assert_eq!(format!("{:?}", Sensitive::new("1234")), "***");
        assert_eq!(
            format!("{:?}", Email::parse("name@example.com").unwrap()),
            "Email(***)"
        );
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_bounds_what_it_accepts(text in "\\PC{0,200}|.{0,200}") {
            if let Ok(name) = NamePart::parse(&text) {
                prop_assert!(name.as_str().chars().count() <= 60 && !name.as_str().chars().any(char::is_control));
            }
            if let Ok(email) = Email::parse(&text) { prop_assert!(email.as_str().is_ascii()); }
            if let Ok(name) = Username::parse(&text, 1) { prop_assert!(name.as_str().is_ascii()); }
        }
    }
}
