//! The data dictionary of the OpenAPI document: what a field of a request may contain (AP-02). A field's name
//! means the same everywhere. Bounds and values come from the types that parse the fields, and a test generates
//! texts from every pattern and parses them, so that the two cannot differ.

use std::fmt::Write;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use utoipa::openapi::schema::{AdditionalProperties, SchemaType};
use utoipa::openapi::{KnownFormat, Object, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use vestibule_domain::policy::{Role, Slug};
use vestibule_domain::rules::device::Device;
use vestibule_domain::rules::password;
use vestibule_domain::rules::profile::{MAX_FEEDBACK_LENGTH, MAX_LINKS};
use vestibule_domain::state::account::Status;
use vestibule_domain::state::audit::{Action, Outcome};
use vestibule_domain::state::membership::Registration;
use vestibule_domain::values::ids::{AccountId, PortalId};
use vestibule_domain::values::record_kind::{Fact, RecordKind};
use vestibule_domain::values::text::{
    AddressLine, Answer, Country, Email, FactorName, Invalid, NamePart, Reason, SearchText,
    Username, plan_number,
};
use vestibule_http::credentials::MAX_LINES;
use vestibule_http::idempotency::MAX_KEY_LENGTH;

/// What a text may be.
#[derive(Clone)]
pub(crate) struct Text {
    /// In characters.
    pub length: (usize, usize),
    pub pattern: Option<String>,
    pub format: Option<&'static str>,
    /// All values, if there are few.
    pub values: Vec<&'static str>,
    /// Whether the API reads a text.
    #[cfg_attr(not(test), allow(dead_code, reason = "the test compares with it"))]
    pub is_read: fn(&str) -> bool,
}

impl Text {
    fn of(length: (usize, usize), pattern: impl Into<String>, is_read: fn(&str) -> bool) -> Self {
        Self {
            length,
            pattern: Some(pattern.into()),
            format: None,
            values: Vec::new(),
            is_read,
        }
    }

    fn one_of(values: Vec<&'static str>, is_read: fn(&str) -> bool) -> Self {
        Self {
            length: (0, 0),
            pattern: None,
            format: None,
            values,
            is_read,
        }
    }

    fn any(length: (usize, usize)) -> Self {
        Self {
            pattern: None,
            ..Self::of(length, "", |_| true)
        }
    }

    fn with_format(self, format: &'static str) -> Self {
        Self {
            format: Some(format),
            ..self
        }
    }
}

const ID: &str = "^[0-9a-hjkmnp-tv-z]{26}$";
const USER_IDS: &str = "^[0-9a-hjkmnp-tv-z]{26}(,[0-9a-hjkmnp-tv-z]{26}){0,25}$";
const SLUG: &str = "^[a-z0-9_-]{1,40}$";
const EMAIL: &str = "^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";
const DEVICE: &str = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$";
const URL: &str = "^https?://[!#-;=?-\\[\\]-~]{4,490}$";

fn date() -> Text {
    Text::any((10, 10)).with_format("date")
}

/// Returns whether a text is accepted, or refused only because it says nothing: a pattern cannot require a letter
/// or digit of any script.
fn is_read<T>(parsed: Result<T, Invalid>) -> bool {
    const SAYS_NOTHING: [&str; 2] = ["must contain a letter or digit", "must say in words why"];
    parsed.map_or_else(|error| SAYS_NOTHING.contains(&error.0.as_str()), |_| true)
}

/// Returns what a text field of a request may contain; `None` for a name that is not in the dictionary.
pub(crate) fn text(name: &str) -> Option<Text> {
    let slug = || Text::of((1, 40), SLUG, |t| Slug::parse(t).is_ok());
    Some(match name {
        "first_name" | "last_name" | "title" => line(60, |t| is_read(NamePart::parse(t))),
        "name" => line(60, |t| is_read(FactorName::parse(t))),
        "question" | "answer" => line(100, |t| is_read(Answer::parse(t))),
        "reason" => Text {
            length: (5, 300),
            ..line(300, |t| is_read(Reason::parse(t)))
        },
        "lines" | "city" | "region" | "postal_code" => line(60, |t| is_read(AddressLine::parse(t))),
        "country" => Text::one_of(Country::codes().collect(), |t| Country::parse(t).is_ok()),
        "email" => Text::of((6, 254), EMAIL, |t| Email::parse(t).is_ok()).with_format("email"),
        "username" => Text::of(
            (1, Username::MAX_LENGTH),
            "^[A-Za-z0-9][A-Za-z0-9._@-]*$",
            |t| Username::parse(t, 1).is_ok(),
        ),
        "password" | "initial_password" | "current_password" | "new_password" => Text::of(
            (1, password::MAX_LENGTH),
            "^[^\\u0000-\\u001f\\u007f-\\u009f]+$",
            |t| password::normalize(t).is_ok(),
        )
        .with_format("password"),
        "end_date" | "from" | "to" => date(),
        "idle_since" => Text::any((20, 40)).with_format("date-time"),
        "session_id" => Text::of((1, 100), "^[A-Za-z0-9_-]{1,100}$", |_| true),
        "user_ids" => Text::of((26, 701), USER_IDS, |t| {
            t.split(',').all(|id| AccountId::parse(id).is_ok())
        }),
        "organization_id" | "user_id" => Text::of((26, 26), ID, |t| AccountId::parse(t).is_ok()),
        "registration_type" | "agreement" | "services" | "subscriptions" | "service" => slug(),
        "portal" | "account_portal" => Text::of((2, 24), "^[a-z][a-z0-9-]{1,23}$", |t| {
            PortalId::parse(t).is_ok()
        }),
        "role" => Text::one_of(names_of::<Role>(), is_name_of::<Role>),
        "status" => Text::one_of(names_of::<Status>(), is_name_of::<Status>),
        "registration" => Text::one_of(names_of::<Registration>(), is_name_of::<Registration>),
        "action" => Text::one_of(names_of::<Action>(), is_name_of::<Action>),
        "outcome" => Text::one_of(names_of::<Outcome>(), is_name_of::<Outcome>),
        "decision" => Text::one_of(vec!["confirmed", "removed", "pending"], |_| true),
        "number" => Text::of((1, 20), "^[A-Za-z0-9-]{1,20}$", |t| plan_number(t).is_ok()),
        "pin" => Text::of((4, 12), "^[0-9]{4,12}$", |_| true),
        "registration_code" => Text::of((1, 40), "^[A-Za-z0-9]{1,40}$", |_| true),
        "device" => Text::of((43, 43), DEVICE, |t| Device::parse(t).is_some()),
        "url" => Text::of((11, 500), URL, |_| true).with_format("uri"),
        "token" => Text::of((1, 300), "^[A-Za-z0-9._-]+$", |_| true),
        "group_codes" | "revision" | "accepted_agreements" => line(60, |_| true),
        "message" => Text::of(
            (1, MAX_FEEDBACK_LENGTH),
            "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$",
            |_| true,
        ),
        "query" => line(100, |t| SearchText::parse(t).is_ok()),
        "cursor" => Text::of((1, 200), "^[A-Za-z0-9_-]+$", |_| true),
        "Idempotency-Key" => Text::of((1, MAX_KEY_LENGTH), "^[!#-~]+$", |_| true),
        _ => return None,
    })
}

/// Returns the maximum of `limit` on a path.
pub(crate) fn max_limit(path: &str) -> u32 {
    if path.ends_with(".csv") || path.ends_with(".jsonl") {
        vestibule_http::parts::MAX_ROWS
    } else if path.ends_with("/audit-events") {
        50
    } else {
        100
    }
}

/// Adds the format of a time or a date to a property of a response.
pub(crate) fn describe_time(name: &str, property: &mut RefOr<Schema>) {
    let RefOr::T(Schema::Object(object)) = property else {
        return;
    };
    let format = match name {
        _ if !is_text(object) || object.format.is_some() => return,
        _ if name.ends_with("_at") => KnownFormat::DateTime,
        "arrives_from" | "arrives_by" => KnownFormat::Date,
        _ if name.ends_with("_date") || name.ends_with("_on") => KnownFormat::Date,
        _ => return,
    };
    object.format = Some(SchemaFormat::KnownFormat(format));
}

/// Returns what the fields of a verification may contain, by name.
pub(crate) fn verification() -> Vec<(&'static str, Text)> {
    let numbers = RecordKind::ALL.iter().copied().map(|kind| {
        let text = match kind {
            RecordKind::Member => Text::of((9, 9), "^[0-9]{9}$", |t| {
                RecordKind::Member.parse_number(t).is_ok()
            }),
            RecordKind::Agent | RecordKind::Group | RecordKind::Provider => {
                Text::of((1, 20), "^[A-Za-z0-9-]{1,20}$", |t| plan_number(t).is_ok())
            }
        };
        (kind.number_field(), text)
    });
    let facts = Fact::ALL.iter().copied().map(|fact| {
        let name = || line(60, |t| is_read(NamePart::parse(t)));
        let four = || Text::of((4, 4), "^[0-9]{4}$", |t| Fact::SsnLast4.parse(t).is_ok());
        let text = match fact {
            Fact::SubscriberLastName | Fact::FirstName | Fact::LastName => name(),
            Fact::DateOfBirth => date(),
            Fact::SsnLast4 | Fact::TaxIdLast4 => four(),
            Fact::TaxId => Text::of((9, 10), "^[0-9]{2}-?[0-9]{7}$", |t| {
                Fact::TaxId.parse(t).is_ok()
            }),
        };
        (fact.into_str(), text)
    });
    numbers.chain(facts).collect()
}

/// A line of printable characters that is not blank.
fn line(longest: usize, is_read: fn(&str) -> bool) -> Text {
    let unprintable = &*UNPRINTABLE;
    let pattern = format!("^[^{unprintable}]*[^\\s{unprintable}][^{unprintable}]*$");
    Text::of((1, longest), pattern, is_read)
}

/// The characters that the API rejects in every line, as ranges of a regular expression. They are found by
/// parsing a line with each character.
static UNPRINTABLE: LazyLock<String> = LazyLock::new(|| {
    let mut ranges = String::new();
    let mut open: Option<(char, char)> = None;
    let close = |range: Option<(char, char)>, ranges: &mut String| {
        if let Some((first, last)) = range {
            let _ = write!(ranges, "{}", escaped(first));
            if first != last {
                let _ = write!(ranges, "-{}", escaped(last));
            }
        }
    };
    for c in '\0'..=char::MAX {
        if AddressLine::parse(&format!("a{c}a")).is_ok() {
            close(open.take(), &mut ranges);
        } else {
            open = Some((open.map_or(c, |(first, _)| first), c));
        }
    }
    close(open, &mut ranges);
    ranges
});

fn escaped(c: char) -> String {
    match u16::try_from(u32::from(c)) {
        Ok(unit) => format!("\\u{unit:04x}"),
        Err(_) => c.to_string(),
    }
}

/// Returns the names that an enum is deserialized from.
pub(crate) fn names_of<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
    let mut names = Vec::new();
    let _ = T::deserialize(Introspect(&mut names));
    names
}

fn is_name_of<T: for<'de> Deserialize<'de>>(text: &str) -> bool {
    serde_json::from_value::<T>(text.into()).is_ok()
}

/// Notes the variants of an enum and deserializes nothing.
struct Introspect<'n>(&'n mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Introspect<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(variants);
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Adds to a schema of a request what its texts may be. `name` is the name of the field.
pub(crate) fn constrain(name: &str, schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else {
        return;
    };
    match schema {
        Schema::Object(object) => {
            if name == "verification" {
                *object = verification_schema(object);
                return;
            }
            for (name, property) in &mut object.properties {
                constrain(name, property);
            }
            if name == "limit" && object.maximum.is_none() {
                (object.minimum, object.maximum) = (Some(1.into()), Some(100.into()));
            }
            if let Some(entries) = &mut object.additional_properties
                && let AdditionalProperties::RefOr(entry) = &mut **entries
            {
                constrain(name, entry);
            }
            if is_text(object)
                && object.enum_values.is_none()
                && let Some(text) = text(name)
            {
                apply(&text, object);
            }
        }
        Schema::Array(array) => {
            if let utoipa::openapi::schema::ArrayItems::RefOrSchema(items) = &mut array.items {
                constrain(name, items);
            }
            match name {
                "lines" => (array.min_items, array.max_items) = (Some(1), Some(MAX_LINES)),
                "links" => array.max_items = Some(MAX_LINKS),
                _ => {}
            }
        }
        Schema::OneOf(one_of) => one_of.items.iter_mut().for_each(|s| constrain(name, s)),
        Schema::AllOf(all_of) => all_of.items.iter_mut().for_each(|s| constrain(name, s)),
        Schema::AnyOf(any_of) => any_of.items.iter_mut().for_each(|s| constrain(name, s)),
        _ => {}
    }
}

pub(crate) fn is_text(object: &Object) -> bool {
    match &object.schema_type {
        SchemaType::Type(kind) => *kind == Type::String,
        SchemaType::Array(kinds) => kinds.contains(&Type::String),
        _ => false,
    }
}

fn apply(text: &Text, object: &mut Object) {
    let is_optional =
        matches!(&object.schema_type, SchemaType::Array(kinds) if kinds.contains(&Type::Null));
    if text.values.is_empty() {
        object.min_length = object
            .min_length
            .or((text.length.0 > 0).then_some(text.length.0));
        object.max_length = object.max_length.or(Some(text.length.1));
        object.pattern = object.pattern.clone().or_else(|| text.pattern.clone());
        object.format = object.format.clone().or_else(|| {
            text.format.map(|format| match format {
                "date" => SchemaFormat::KnownFormat(KnownFormat::Date),
                "date-time" => SchemaFormat::KnownFormat(KnownFormat::DateTime),
                "password" => SchemaFormat::KnownFormat(KnownFormat::Password),
                other => SchemaFormat::Custom(other.to_owned()),
            })
        });
    } else {
        let values = text.values.iter().map(|v| (*v).into());
        let none = is_optional.then_some(serde_json::Value::Null);
        object.enum_values = Some(values.chain(none).collect());
    }
}

/// The facts of a verification are listed; which of them are required depends on the registration type.
fn verification_schema(described: &Object) -> Object {
    let mut object = ObjectBuilder::new()
        .description(described.description.clone())
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    for (name, text) in verification() {
        let mut property = ObjectBuilder::new().schema_type(Type::String).build();
        apply(&text, &mut property);
        object = object.property(name, property);
    }
    object.build()
}

#[cfg(test)]
mod tests {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::string::string_regex;

    use super::*;

    const NAMES: [&str; 40] = [
        "user_ids",
        "name",
        "query",
        "first_name",
        "last_name",
        "title",
        "question",
        "answer",
        "reason",
        "lines",
        "city",
        "region",
        "postal_code",
        "country",
        "email",
        "username",
        "password",
        "initial_password",
        "current_password",
        "new_password",
        "end_date",
        "from",
        "to",
        "idle_since",
        "organization_id",
        "user_id",
        "registration_type",
        "agreement",
        "services",
        "subscriptions",
        "service",
        "portal",
        "account_portal",
        "role",
        "status",
        "registration",
        "action",
        "outcome",
        "number",
        "device",
    ];

    #[test]
    fn ap_02_what_a_pattern_describes_is_what_the_api_reads() {
        let named = NAMES.map(|name| (name, text(name).unwrap()));
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        for (name, text) in named.into_iter().chain(verification()) {
            for value in &text.values {
                assert!((text.is_read)(value), "{name}: {value}");
            }
            let Some(pattern) = &text.pattern else {
                continue;
            };
            // The same pattern in the syntax of the regex crate.
            let plain = pattern.trim_start_matches('^').trim_end_matches('$');
            let plain = plain.replace("\\u", "\\x");
            let units = escapes(&plain);
            let texts = string_regex(&units).unwrap_or_else(|e| panic!("{name}: {units}: {e}"));
            let (least, most) = text.length;
            for _ in 0..40 {
                let given = texts.new_tree(&mut runner).unwrap().current();
                // A text that is normalized can have more characters than it had before.
                let length = given.chars().count();
                if (least..=most / 3).contains(&length)
                    || (least..=most).contains(&length) && given.is_ascii()
                {
                    let local = given.split('@').next().unwrap_or_default().len();
                    if name == "email" && local > 64 {
                        continue;
                    }
                    assert!((text.is_read)(&given), "{name} does not read {given:?}");
                }
            }
        }
    }

    /// `\x001f` in the syntax of ECMAScript is `\x{001f}` in that of the regex crate.
    fn escapes(pattern: &str) -> String {
        let mut out = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("\\x") {
            let (unit, behind) = after.split_at(4);
            let _ = write!(out, "{before}\\x{{{unit}}}");
            rest = behind;
        }
        out + rest
    }

    #[test]
    fn ap_02_every_enum_is_listed() {
        assert!(names_of::<Role>().contains(&"administrator"));
        assert!(names_of::<Action>().len() > 40);
        assert_eq!(names_of::<Outcome>(), ["done", "refused"]);
    }
}
