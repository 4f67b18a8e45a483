//! The kinds of plan record, and the facts in them that verify a person's identity.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::values::text::{self, Invalid, Sensitive};

/// The kinds of plan record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Member, Self::Agent, Self::Group, Self::Provider];

    /// As it stands in policies, feeds and keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Agent => "agent",
            Self::Group => "group",
            Self::Provider => "provider",
        }
    }

    /// What the number that finds such a record is called in the API and in feeds.
    pub const fn number_field(self) -> &'static str {
        match self {
            Self::Member => "enrollee_id",
            Self::Agent => "agent_id",
            Self::Group => "group_number",
            Self::Provider => "provider_id",
        }
    }

    /// Reads such a number. An enrollee id is nine digits and nothing else (ME-01).
    ///
    /// # Errors
    /// [`Invalid`] saying what it must be.
    pub fn parse_number(self, text: &str) -> Result<String, Invalid> {
        match self {
            Self::Member => text::digits(text, 9, 9).map(|d| d.expose().to_owned()),
            Self::Agent | Self::Group | Self::Provider => text::plan_number(text),
        }
    }

    /// Whether records of this kind hold a fact.
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

/// A fact in a plan record that proves who somebody is. Only its keyed code is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The last name of the subscriber, for a dependent too (ME-11).
    SubscriberLastName,
    /// The person's own given name.
    FirstName,
    /// The person's own family name.
    LastName,
    /// The person's own date of birth.
    DateOfBirth,
    /// The last four digits of the social security number.
    SsnLast4,
    /// The last four digits of the tax id.
    TaxIdLast4,
    /// The whole tax id, nine digits.
    TaxId,
}

impl Fact {
    /// As it stands in the API and in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubscriberLastName => "subscriber_last_name",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::DateOfBirth => "date_of_birth",
            Self::SsnLast4 => "ssn_last4",
            Self::TaxIdLast4 => "tax_id_last4",
            Self::TaxId => "tax_id",
        }
    }

    /// Reads what was entered or fed, in the one form in which it is compared.
    ///
    /// # Errors
    /// [`Invalid`] saying what it must be.
    pub fn parse(self, text: &str) -> Result<Sensitive, Invalid> {
        match self {
            Self::SubscriberLastName | Self::FirstName | Self::LastName => {
                let comparable = text::comparable(text::NamePart::parse(text)?.as_str());
                if comparable.is_empty() {
                    return Err(Invalid::new("must hold a letter"));
                }
                Ok(Sensitive::new(comparable))
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
