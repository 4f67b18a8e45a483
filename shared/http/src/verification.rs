//! Parses what verifies a person against the plan's records, for registration and username recovery;
//! [`secret_check`](crate::secret_check) compares it.

use std::collections::BTreeMap;

use vestibule_domain::policy::{Policy, RegistrationType};
use vestibule_domain::state::record::{RecordKey, Verification};
use vestibule_domain::values::record_kind::Fact;
use vestibule_domain::values::text::NamePart;

use crate::FieldErrors;

/// Parses a verification: exactly the number and the facts that the registration type requires.
pub fn parse(
    given: &BTreeMap<String, String>,
    registration_type: &RegistrationType,
    first_name: &str,
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<(RecordKey, Verification)> {
    let number_field = registration_type.record_type.number_field();
    for name in given.keys() {
        if name != number_field
            && !registration_type
                .verify
                .iter()
                .any(|f| f.into_str() == name)
        {
            fields.push(
                &format!("verification.{}", name.chars().take(40).collect::<String>()),
                "is not used for this type of registration",
            );
        }
    }
    let value = |name: &str| given.get(name).map(String::as_str);
    let number = fields.required(
        &format!("verification.{number_field}"),
        value(number_field),
        |t| registration_type.record_type.parse_number(t),
    );
    let mut facts = BTreeMap::new();
    for fact in &registration_type.verify {
        let read = fields.required(
            &format!("verification.{}", fact.into_str()),
            value(fact.into_str()),
            |t| fact.parse(t),
        );
        facts.extend(read.map(|r| (*fact, r)));
    }
    // The given name distinguishes twins. Its own field reports an invalid one.
    let first_name = NamePart::parse(first_name)
        .ok()
        .and_then(|n| Fact::FirstName.parse(n.as_str()).ok());
    let complete = facts.len() == registration_type.verify.len();
    number.filter(|_| complete).map(|number| {
        let key = RecordKey {
            plan: policy.plan.id.to_string(),
            kind: registration_type.record_type,
            number,
            person: 0,
        };
        (
            key,
            Verification {
                facts,
                first_name: first_name.unwrap_or_default(),
            },
        )
    })
}
