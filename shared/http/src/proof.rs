//! Verification of a person against the plan's records, for registration and username recovery.

use std::collections::BTreeMap;

use vestibule_domain::audit::Origin;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{Policy, Way};
use vestibule_domain::record::{self, Fact, PlanRecord, Proof, RecordKey};
use vestibule_domain::text::NamePart;
use vestibule_secrets::Purpose;
use vestibule_store::attempts::Guess;

use crate::{App, Fields, Problem, guesses};

/// Parses a verification: exactly the number and the facts that the registration type requires.
pub fn parse(
    given: &BTreeMap<String, String>,
    way: &Way,
    first_name: &str,
    policy: &Policy,
    fields: &mut Fields,
) -> Option<(RecordKey, Proof)> {
    let number_field = way.records.number_field();
    for name in given.keys() {
        if name != number_field && !way.prove.iter().any(|f| f.as_str() == name) {
            fields.fault(
                &format!("proof.{}", name.chars().take(40).collect::<String>()),
                "is not used for this type of registration",
            );
        }
    }
    let value = |name: &str| given.get(name).map(String::as_str);
    let number = fields.required(&format!("proof.{number_field}"), value(number_field), |t| {
        way.records.parse_number(t)
    });
    let mut facts = BTreeMap::new();
    for fact in &way.prove {
        let read = fields.required(
            &format!("proof.{}", fact.as_str()),
            value(fact.as_str()),
            |t| fact.parse(t),
        );
        facts.extend(read.map(|r| (*fact, r)));
    }
    // The given name distinguishes twins. Its own field reports an invalid one.
    let first_name = NamePart::parse(first_name)
        .ok()
        .and_then(|n| Fact::FirstName.parse(n.as_str()).ok());
    let complete = facts.len() == way.prove.len();
    number.filter(|_| complete).map(|number| {
        let key = RecordKey {
            plan: policy.plan.id.to_string(),
            kind: way.records,
            number,
            person: 0,
        };
        (
            key,
            Proof {
                facts,
                first_name: first_name.unwrap_or_default(),
            },
        )
    })
}

/// Returns the record that a verification matches.
pub fn find<'a>(app: &App, records: &'a [PlanRecord], proof: &Proof) -> Option<&'a PlanRecord> {
    record::find(records, proof, |code, context, entered| {
        app.keyring()
            .verify(code, Purpose::RecordProof, context, entered)
    })
}

/// Counts an attempt for the record and for the source; call it before any comparison. Returns the
/// record's counter, which a successful attempt clears because a family shares one number.
///
/// # Errors
/// A problem when either limit is exceeded.
pub async fn count(
    app: &App,
    record: &RecordKey,
    purpose: &str,
    origin: &Origin,
    policy: &Policy,
) -> Result<AttemptKey, Problem> {
    let subject = format!("{}/{}/{}", record.plan, record.kind.as_str(), record.number);
    guesses::count(
        app,
        (Guess::Proof, purpose, &subject),
        &policy.registration,
        origin,
        policy,
    )
    .await
}
