//! Plan records: what the plan knows about a person or organization, and how entered facts are
//! compared with it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::policy::{RecordCondition, RegistrationType, Slug};
use crate::values::base64url;
use crate::values::ids::{AccountId, OrganizationId, PortalId};
use crate::values::record_kind::{Fact, RecordKind};
use crate::values::text::{PostalAddress, Sensitive};

/// A message authentication code under a versioned key, stored in place of a short secret. Without
/// the key the secret can't be guessed. Comparison takes constant time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mac {
    pub key: u32,
    /// Stored as base64url.
    #[serde(with = "base64url")]
    pub code: Vec<u8>,
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && bool::from(self.code.ct_eq(&other.code))
    }
}

impl Eq for Mac {}

/// Identifies a plan record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordKey {
    pub plan: String,
    pub kind: RecordKind,
    /// The number that the plan assigned.
    pub number: String,
    /// 0 for the subscriber and for records that aren't members'; dependents count from 1.
    pub person: u8,
}

impl RecordKey {
    /// Returns the context that a fact's MAC is bound to, so that it can't be moved to another
    /// record.
    pub fn context(&self, fact: Fact) -> String {
        format!(
            "{}/{}/{}/{}/{}",
            self.plan,
            self.kind.into_str(),
            self.number,
            self.person,
            fact.into_str()
        )
    }
}

/// The content of a record, except for the facts that verify identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordData {
    /// The name of the person or organization.
    pub name: String,
    /// The category of a provider, group or agent: `medical_group`, `dental`, `billing_agency`.
    pub category: Option<String>,
    /// Whether a provider participates in the plan's network.
    pub participating: Option<bool>,
    /// The agent ID of the managing agent (AG-12).
    pub manager: Option<String>,
    /// The signed agreements with their revisions (AG-11, BL-10).
    pub agreements: BTreeMap<String, String>,
    pub group_codes: BTreeSet<String>,
    /// Where letters are mailed. Stored encrypted.
    pub address: Option<PostalAddress>,
}

/// A record read from a feed. Its facts are plaintext until the import replaces them with MACs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecord {
    pub key: RecordKey,
    /// The facts, in their normalized form.
    pub facts: BTreeMap<Fact, Sensitive>,
    pub data: RecordData,
    /// Whether the record has ended. If so, it contains only its key.
    pub ended: bool,
}

/// A record as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    pub key: RecordKey,
    /// The MACs of the facts.
    pub facts: BTreeMap<Fact, Mac>,
    pub data: RecordData,
    /// The registrations with this record, by portal.
    pub claims: BTreeMap<PortalId, Claim>,
    /// Whether the record has ended. Its facts and address are then removed, and nobody can
    /// register with it.
    pub ended: bool,
    /// Whether the plan still has to send the letter that invites registration (EX-06).
    pub to_notify: bool,
    /// Increases with each feed that changes or ends the record. A registration is committed only with
    /// the version that it was decided on.
    pub version: u64,
}

/// The registrations with a record on one portal: one organization, however it was registered, or
/// one person's own account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// `None` for members of the plan.
    pub organization: Option<OrganizationId>,
    /// The account that used each registration type, by its id. Each can be used once.
    pub by: BTreeMap<String, AccountId>,
}

/// What a person entered to verify their identity, in addition to the number that identifies the
/// record.
#[derive(Debug, Clone)]
pub struct Verification {
    /// The facts that the registration type requires.
    pub facts: BTreeMap<Fact, Sensitive>,
    /// The first name, which distinguishes twins with the same number and date of birth.
    pub first_name: Sensitive,
}

impl PlanRecord {
    /// Returns the account that used this registration type. A person without an organization can
    /// register only once, whatever the type.
    pub fn claimed_by(
        &self,
        portal: &PortalId,
        registration_type: &RegistrationType,
    ) -> Option<&AccountId> {
        let accounts = &self.claims.get(portal)?.by;
        match registration_type.organization {
            Some(_) => accounts.get(registration_type.id.as_str()),
            None => accounts.values().next(),
        }
    }

    /// Returns the organization that was registered with the record (EX-03).
    pub fn organization(&self, portal: &PortalId) -> Option<&OrganizationId> {
        self.claims.get(portal)?.organization.as_ref()
    }

    /// Returns whether every fact matches the record. All facts are compared, even after a
    /// mismatch, so that timing reveals nothing.
    fn matches(
        &self,
        facts: &BTreeMap<Fact, Sensitive>,
        verify: &impl Fn(&Mac, &str, &Sensitive) -> bool,
    ) -> bool {
        facts
            .iter()
            .fold(!facts.is_empty(), |all_match, (fact, entered)| {
                let same = self
                    .facts
                    .get(fact)
                    .is_some_and(|code| verify(code, &self.key.context(*fact), entered));
                all_match & same
            })
    }
}

/// Returns the record that the entered facts match, if any (AG-06, ME-01, ME-11). The first name
/// decides between several; if it is the same for two of them, none is returned.
///
/// `verify` compares an entered fact with a stored MAC in a context.
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
        several => {
            let named: Vec<_> = several
                .iter()
                .filter(|r| {
                    r.facts.get(&Fact::FirstName).is_some_and(|code| {
                        verify(
                            code,
                            &r.key.context(Fact::FirstName),
                            &verification.first_name,
                        )
                    })
                })
                .collect();
            match named.as_slice() {
                [one] => Some(one),
                _ => None,
            }
        }
    }
}

impl RecordCondition {
    /// Returns whether a record meets the condition.
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
    /// Returns the record's category, if it is valid in a policy.
    pub(crate) fn category(record: &RecordData) -> Option<Slug> {
        record.category.as_deref().and_then(|c| Slug::parse(c).ok())
    }
}
