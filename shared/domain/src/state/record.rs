//! Plan records: what the insurer already knows, and how what a person enters is compared with it.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::policy::{RecordCondition, RegistrationType, Slug};
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::record_kind::{Fact, RecordKind};
use crate::values::text::{PostalAddress, Sensitive};

/// A keyed message authentication code under a named key: what stands in the table instead of a
/// short secret. Without the key it can't be guessed, and it compares in constant time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mac {
    /// The version of the key.
    pub key: u32,
    /// The code, base64url.
    #[serde(with = "base64url")]
    pub code: Vec<u8>,
}

mod base64url {
    use super::{BASE64URL_NOPAD, Deserialize};

    pub fn serialize<S: serde::Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64URL_NOPAD.encode(bytes))
    }

    pub fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        BASE64URL_NOPAD
            .decode(String::deserialize(d)?.as_bytes())
            .map_err(serde::de::Error::custom)
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && bool::from(self.code.ct_eq(&other.code))
    }
}

impl Eq for Mac {}

/// Finds a record: which plan's, of what kind, under which number, and whose.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    /// The plan.
    pub plan: String,
    /// The kind.
    pub kind: RecordKind,
    /// The number that the plan gave it.
    pub number: String,
    /// 0 for the subscriber and for everything that isn't a member; dependents count from 1.
    pub person: u8,
}

impl RecordKey {
    /// What a fact's code is bound to, so that no code can be moved to another record.
    pub fn context(&self, fact: Fact) -> String {
        format!(
            "{}/{}/{}/{}/{}",
            self.plan,
            self.kind.as_str(),
            self.number,
            self.person,
            fact.as_str()
        )
    }
}

/// What a record says, apart from the facts that prove who somebody is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordData {
    /// What the plan calls it: a person or an organization.
    pub name: String,
    /// A provider's, group's or agent's category: `medical_group`, `dental`, `billing_agency`.
    pub category: Option<String>,
    /// Whether a provider participates in the plan's network.
    pub participating: Option<bool>,
    /// The agent id of the managing agent (AG-12).
    pub manager: Option<String>,
    /// The agreements on file, with their revisions (AG-11, BL-10).
    pub agreements: BTreeMap<String, String>,
    /// The group codes of the organization.
    pub group_codes: BTreeSet<String>,
    /// Where letters go. Sealed in the table.
    pub address: Option<PostalAddress>,
}

/// A record as a feed gives it: facts in clear, on their way to becoming codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    /// Which record.
    pub key: RecordKey,
    /// The facts, in their comparable form.
    pub facts: BTreeMap<Fact, Sensitive>,
    /// The rest.
    pub data: RecordData,
    /// Whether the record has ended: then it says nothing else.
    pub ended: bool,
}

/// A record as the table holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    /// Which record.
    pub key: RecordKey,
    /// The codes of its facts.
    pub facts: BTreeMap<Fact, Mac>,
    /// The rest.
    pub data: RecordData,
    /// What has been made of it, on each portal.
    pub claims: BTreeMap<PortalId, Claim>,
    /// Whether it has ended: its facts and address are gone then, and nobody registers with it.
    pub ended: bool,
    /// Whether the plan still has to write to it that it can register (EX-06).
    pub to_notify: bool,
}

/// What has been made of a record on one portal: one organization, whoever registered it, or one
/// person's own account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The organization; none for members of the plan.
    pub organization: Option<OrganizationId>,
    /// Who has used each way of registering, by its id. Each can be used once.
    pub by: BTreeMap<String, AccountId>,
}

/// What a person entered to prove who they are, besides the number that finds the record.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The facts that the way of registering asks for.
    pub facts: BTreeMap<Fact, Sensitive>,
    /// The given name, which decides between twins: same number, same date of birth.
    pub first_name: Sensitive,
}

impl PlanRecord {
    /// Who has registered with it this way. A person who belongs to no organization registers once,
    /// whatever the way.
    pub fn claimed_by(
        &self,
        portal: &PortalId,
        registration_type: &RegistrationType,
    ) -> Option<&AccountId> {
        let by = &self.claims.get(portal)?.by;
        match registration_type.organization {
            Some(_) => by.get(registration_type.id.as_str()),
            None => by.values().next(),
        }
    }

    /// The organization that was made of it (EX-03).
    pub fn organization(&self, portal: &PortalId) -> Option<&OrganizationId> {
        self.claims.get(portal)?.organization.as_ref()
    }

    /// Whether each fact is as the record has it. All are compared, whatever the first says.
    fn matches(
        &self,
        facts: &BTreeMap<Fact, Sensitive>,
        verify: &impl Fn(&Mac, &str, &Sensitive) -> bool,
    ) -> bool {
        facts
            .iter()
            .fold(!facts.is_empty(), |so_far, (fact, entered)| {
                let same = self
                    .facts
                    .get(fact)
                    .is_some_and(|code| verify(code, &self.key.context(*fact), entered));
                so_far & same
            })
    }
}

/// The record that the proof is about, if what was entered matches one (AG-06, ME-01, ME-11).
///
/// `verify` compares an entered fact with a stored code in a context.
pub fn find<'a>(
    records: &'a [PlanRecord],
    verification: &Verification,
    verify: impl Fn(&Mac, &str, &Sensitive) -> bool,
) -> Option<&'a PlanRecord> {
    let matching: Vec<_> = records
        .iter()
        .filter(|r| r.matches(&verification.facts, &verify))
        .collect();
    match matching.as_slice() {
        [one] => Some(one),
        several => several.iter().copied().find(|r| {
            r.facts.get(&Fact::FirstName).is_some_and(|code| {
                verify(
                    code,
                    &r.key.context(Fact::FirstName),
                    &verification.first_name,
                )
            })
        }),
    }
}

impl RecordCondition {
    /// Whether a record is one of those that the condition names.
    pub fn holds_for(&self, record: &RecordData) -> bool {
        let category = self.categories.is_empty()
            || record
                .category
                .as_ref()
                .is_some_and(|c| self.categories.iter().any(|s| s.as_str() == c));
        category
            && self
                .participating
                .is_none_or(|p| record.participating == Some(p))
    }
}

impl RegistrationType {
    /// The record's category, where it is one a policy could name.
    pub(crate) fn category(record: &RecordData) -> Option<Slug> {
        record.category.as_deref().and_then(|c| Slug::parse(c).ok())
    }
}
