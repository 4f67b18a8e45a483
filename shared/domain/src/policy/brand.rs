//! `[brand]`: how the portal's pages show that they are the plan's (PG-01).

use data_encoding::BASE64;
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

/// An image as a data URL (RFC 2397), PNG or SVG in base64. Pages can show it without another request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image(String);

impl Image {
    /// In characters, about 12 kB of image.
    pub const MAX_LENGTH: usize = 16_384;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Parses a data URL.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let content = (text.strip_prefix("data:image/svg+xml;base64,"))
            .or_else(|| text.strip_prefix("data:image/png;base64,"));
        let is_base64 =
            |content: &str| !content.is_empty() && BASE64.decode(content.as_bytes()).is_ok();
        if text.len() <= Self::MAX_LENGTH && content.is_some_and(is_base64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "must be a data URL with a PNG or SVG image in base64, such as data:image/png;base64,…, of at most 16384 characters",
            )
        }
    }
}

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

section! {
    /// The plan's brand on the pages.
    pub struct BrandPolicy {
        /// The color of the header. The pages choose black or white for the text on it.
        pub color: Color,
        /// The logo in the header, on a white ground. Its text alternative is the name of the plan.
        pub logo: Option<Image> = None,
    }
}

leaves!(Color, Image);

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

    #[test]
    fn an_image_is_a_small_data_url() {
        for text in [
            "data:image/png;base64,AAAA",
            "data:image/svg+xml;base64,PHN2Zy8+",
        ] {
            assert_eq!(Image::parse(text).unwrap().as_str(), text);
        }
        let longest = "A".repeat((Image::MAX_LENGTH - 22) / 4 * 4);
        assert!(Image::parse(&format!("data:image/png;base64,{longest}")).is_ok());
        for text in [
            "",
            "data:image/png;base64,",
            "data:image/png;base64,A",
            "data:image/png,AAAA",
            "data:image/gif;base64,AAAA",
            "data:text/html;base64,AAAA",
            "https://www.example.com/logo.png",
            "data:image/svg+xml;base64,PHN2Zy8+\" onerror",
            &format!("data:image/png;base64,{longest}AAAA"),
        ] {
            assert!(Image::parse(text).is_err(), "{text}");
        }
    }
}
