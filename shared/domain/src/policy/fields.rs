//! The values that fields of a policy file hold.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize};

use super::faults::Faults;
use super::read::{Place, Read, Value, leaf, leaves};
use crate::values::text::{Country, Email};

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bounded<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<const MIN: u32, const MAX: u32> Bounded<MIN, MAX> {
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Bounded<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole<const MIN: u32, const MAX: u32>;
        impl<const MIN: u32, const MAX: u32> serde::de::Visitor<'_> for Whole<MIN, MAX> {
            type Value = Bounded<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: serde::de::Error>(self, n: i64) -> Result<Self::Value, E> {
                match u32::try_from(n) {
                    Ok(n) if (MIN..=MAX).contains(&n) => Ok(Bounded(n)),
                    _ => Err(E::custom(format!(
                        "must be a whole number from {MIN} to {MAX}, not {n}"
                    ))),
                }
            }
        }
        deserializer.deserialize_i64(Whole)
    }
}

/// A number of days.
pub type Days = Bounded<1, 3650>;

/// A number of attempts.
pub type AttemptLimit = Bounded<1, 1000>;

/// A nonempty text of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(pub(super) String);

impl Line {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty()
            || text.chars().any(char::is_control)
            || text.chars().count() > 500
        {
            return Err(serde::de::Error::custom(
                "must be a text of one line, 1 to 500 characters",
            ));
        }
        Ok(Self(text.trim().to_owned()))
    }
}

/// An identifier in a policy or the API: `a-z`, `0-9`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// Parses a slug of 1 to 40 characters.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 40 of a-z, 0-9, _ and -")
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// An `http(s)` address without a trailing slash, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress(String);

impl WebAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its origin: scheme, host and port (RFC 6454).
    pub fn origin(&self) -> &str {
        let host = self.0.find("://").map_or(0, |scheme| scheme + 3);
        let end = self.0[host..].find('/');
        end.map_or(self.as_str(), |path| &self.0[..host + path])
    }

    /// Returns its host without the port.
    pub fn host(&self) -> &str {
        let origin = self.origin();
        let authority = origin.split_once("://").map_or(origin, |(_, host)| host);
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        }
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for WebAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let fits = rest.is_some_and(|r| {
            !r.is_empty()
                && !r.ends_with('/')
                && r.bytes()
                    .all(|b| b.is_ascii_graphic() && !b"?#\"<>\\".contains(&b))
        });
        if fits {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom(
                "must be an address such as https://agents.example.com, without a slash, query or fragment at its end",
            ))
        }
    }
}

/// A day, as a TOML date or as text.
struct Day(Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::Datetime(d) => d.to_string(),
            toml::Value::String(t) => t,
            toml::Value::Integer(n) => n.to_string(),
            _ => "something else".to_owned(),
        };
        match text.parse() {
            Ok(date) if text.len() == 10 => Ok(Self(date)),
            _ => Err(serde::de::Error::custom(format!(
                "must be a date such as 2027-01-31, not {text:?}"
            ))),
        }
    }
}

impl Read for Date {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        leaf(value, place, faults).map(|Day(date)| date)
    }
}

/// A time zone, by its IANA name.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(pub(super) TimeZone);

impl Zone {
    /// Returns its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        TimeZone::get(&name).map(Self).map_err(|_| {
            serde::de::Error::custom(format!(
                "must be the IANA name of a time zone such as America/Chicago, not {name:?}"
            ))
        })
    }
}

/// An email address in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailField(pub Email);

impl<'de> Deserialize<'de> for EmailField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Email::parse(&String::deserialize(deserializer)?)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A country in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountryField(pub Country);

impl<'de> Deserialize<'de> for CountryField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Country::parse(&String::deserialize(deserializer)?)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A range of business days, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<i64>")]
pub struct BusinessDays {
    pub from: u8,
    pub to: u8,
}

impl TryFrom<Vec<i64>> for BusinessDays {
    type Error = &'static str;
    fn try_from(days: Vec<i64>) -> Result<Self, Self::Error> {
        let day = |n: i64| u8::try_from(n).ok().filter(|n| (1..=60).contains(n));
        match days.as_slice() {
            [from, to] if from <= to => {
                day(*from).zip(day(*to)).map(|(from, to)| Self { from, to })
            }
            _ => None,
        }
        .ok_or("must be two numbers of business days, 1 to 60, the earlier first")
    }
}

leaves!(
    Line,
    Slug,
    WebAddress,
    Zone,
    EmailField,
    CountryField,
    BusinessDays
);

impl<const MIN: u32, const MAX: u32> Read for Bounded<MIN, MAX> {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        leaf(value, place, faults)
    }
}

/// Checks that warnings are in descending order and come before what they warn of.
pub(super) fn check_warnings(field: &str, warning_days: &[Days], end: Days, faults: &mut Faults) {
    let falling = warning_days.windows(2).all(|pair| pair[0] > pair[1]);
    if !falling || warning_days.first().is_some_and(|first| *first >= end) {
        let reason = format!("must be given most first, each less than {}", end.get());
        faults.add(field, reason);
    }
}
