//! The kinds of plan record, and the facts in them that verify a person's identity.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

use crate::values::folding;
use crate::values::text::{self, Invalid, Sensitive};

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum RecordKind {
    /// A person covered by the plan: a subscriber or a dependent.
    Member,
    /// A person licensed to sell the plan.
    Agent,
    /// An employer's group.
    Group,
    /// A medical or dental provider, a facility, or a billing agency.
    Provider,
}

impl RecordKind {
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// Returns the name, in the API and in feeds, of the number that identifies such a record.
    pub const fn number_field(self) -> &'static str {
        match self {
            Self::Member => "enrollee_id",
            Self::Agent => "agent_id",
            Self::Group => "group_number",
            Self::Provider => "provider_id",
        }
    }

    /// Parses a record number. An enrollee ID is exactly nine digits (ME-01).
    ///
    /// # Errors
    /// [`Invalid`] with the expected format.
    pub fn parse_number(self, text: &str) -> Result<String, Invalid> {
        match self {
            Self::Member => text::digits(text, 9, 9).map(|d| d.expose().to_owned()),
            Self::Agent | Self::Group | Self::Provider => text::plan_number(text),
        }
    }

    /// Returns whether records of this kind contain a fact.
    pub const fn has(self, fact: Fact) -> bool {
        use Fact::{
            DateOfBirth, FirstName, LastName, SsnLast4, SubscriberLastName, TaxId, TaxIdLast4,
        };
        match self {
            Self::Member => matches!(
                fact,
                SubscriberLastName | FirstName | LastName | DateOfBirth
            ),
            Self::Agent => matches!(fact, FirstName | LastName | SsnLast4),
            Self::Group | Self::Provider => matches!(fact, TaxId | TaxIdLast4),
        }
    }
}

/// A fact in a plan record that verifies a person's identity. Only its keyed MAC is stored.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Fact {
    /// The subscriber's last name, also in a dependent's record (ME-11).
    SubscriberLastName,
    FirstName,
    LastName,
    DateOfBirth,
    /// The last four digits of the Social Security number.
    SsnLast4,
    /// The last four digits of the tax ID.
    TaxIdLast4,
    /// The full tax ID, nine digits.
    TaxId,
}

impl Fact {
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// Parses a fact that a person entered or a feed contains into the normalized form that is
    /// compared.
    ///
    /// # Errors
    /// [`Invalid`] with the expected format.
    pub fn parse(self, text: &str) -> Result<Sensitive, Invalid> {
        match self {
            Self::SubscriberLastName | Self::FirstName | Self::LastName => {
                let name = folding::name(text::NamePart::parse(text)?.as_str());
                if name.is_empty() {
                    return Err(Invalid::new("must contain a letter"));
                }
                Ok(Sensitive::new(name))
            }
            Self::DateOfBirth => text
                .trim()
                .parse::<Date>()
                .ok()
                .filter(|d| text.trim().len() == 10 && d.year() >= 1880)
                .map(|d| Sensitive::new(d.to_string()))
                .ok_or_else(|| Invalid::new("must be a date such as 1980-01-31")),
            Self::SsnLast4 | Self::TaxIdLast4 => text::digits(text, 4, 4),
            Self::TaxId => text::digits(&text.replacen('-', "", 1), 9, 9),
        }
    }
}
