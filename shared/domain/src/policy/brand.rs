//! `[brand]`: how the portal's pages show that they are the plan's (PG-01).

use serde::{Deserialize, Deserializer};

use super::read::{leaves, section};

/// A color in hexadecimal notation (CSS Color 4, 5.2), such as `#0b5c6b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Color(String);

impl Color {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a color with six hexadecimal digits.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let digits = text.strip_prefix('#');
        if digits.is_some_and(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit())) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be # and six hexadecimal digits, such as #0b5c6b")
        }
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

section! {
    /// The plan's brand on the pages.
    pub struct BrandPolicy {
        /// The color of the header. The pages choose black or white for the text on it.
        pub color: Color,
    }
}

leaves!(Color);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_has_six_hexadecimal_digits() {
        assert_eq!(Color::parse("#0b5C6b").unwrap().as_str(), "#0b5C6b");
        for text in [
            "", "#", "0b5c6b", "#0b5c6", "#0b5c6bb", "#0b5c6g", "red", "#0b5c6é",
        ] {
            assert!(Color::parse(text).is_err(), "{text}");
        }
    }
}
