//! The keys of every item, in one place.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use vestibule_domain::account::{Account, Membership};
use vestibule_domain::ids::{AccountId, InvitationId, MessageId, OrganizationId, PortalId};
use vestibule_domain::invite::Invitation;
use vestibule_domain::record::{RecordKey, RecordKind};
use vestibule_domain::schedule::FollowUpKind;
use vestibule_domain::text::Email;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub pk: String,
    pub sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }

    pub fn into_item(self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk)),
            ("sk".to_owned(), AttributeValue::S(self.sk)),
        ])
    }

    pub fn is_of(&self, item: &HashMap<String, AttributeValue>) -> bool {
        item.get("pk").and_then(|v| v.as_s().ok()) == Some(&self.pk)
            && item.get("sk").and_then(|v| v.as_s().ok()) == Some(&self.sk)
    }
}

pub(crate) fn account(portal: &PortalId, id: &AccountId) -> Key {
    Key::new(format!("A#{portal}#{id}"), "A")
}

pub(crate) fn session(portal: &PortalId, account: &AccountId, digest: &str) -> Key {
    Key::new(
        format!("A#{portal}#{account}"),
        format!("{SESSIONS}{digest}"),
    )
}

pub(crate) fn username(portal: &PortalId, key: &str) -> Key {
    Key::new(format!("N#{portal}#{key}"), "N")
}

pub(crate) fn email(realm: &str, key: &str) -> Key {
    Key::new(format!("E#{realm}#{key}"), "E")
}

/// The item that finds an account by its email address, for forgotten usernames.
pub(crate) fn contact(account: &Account) -> Key {
    Key::new(
        contacts(&account.portal, &account.email),
        account.id.as_str(),
    )
}

pub(crate) fn contacts(portal: &PortalId, email: &Email) -> String {
    format!("C#{portal}#{}", email.key())
}

pub(crate) fn organization(portal: &PortalId, id: &OrganizationId) -> Key {
    Key::new(format!("O#{portal}#{id}"), "O")
}

/// The row by which an organization lists a user; administrators sort first.
pub(crate) fn membership(
    portal: &PortalId,
    organization: &OrganizationId,
    account: &AccountId,
    membership: &Membership,
) -> Key {
    let class = if membership.role.is_administrator() {
        ADMINISTRATORS
    } else {
        USERS
    };
    Key::new(
        format!("O#{portal}#{organization}"),
        format!("{class}{account}"),
    )
}

pub(crate) const SESSIONS: &str = "S#";
pub(crate) const MEMBERS: &str = "M#";
pub(crate) const ADMINISTRATORS: &str = "M#A#";
const USERS: &str = "M#U#";
pub(crate) const INVITATIONS: &str = "I#";

/// The marker of a user who was removed from an organization. It contains a digest of the email address
/// instead of the address itself.
pub(crate) fn former_user(portal: &PortalId, organization: &OrganizationId, email: &Email) -> Key {
    Key::new(
        format!("O#{portal}#{organization}"),
        format!("F#{}", Invitation::natural_id(organization, email)),
    )
}

/// The follow-up of an organization.
pub(crate) fn follow_up(
    portal: &PortalId,
    organization: &OrganizationId,
    kind: FollowUpKind,
) -> Key {
    Key::new(
        format!("O#{portal}#{organization}"),
        format!("{ALARMS}{}", kind.as_str()),
    )
}

/// The notice about a user for the administrators of an organization.
pub(crate) fn notices_due(
    portal: &PortalId,
    organization: &OrganizationId,
    account: &AccountId,
    outcome: &str,
) -> Key {
    Key::new(
        format!("O#{portal}#{organization}"),
        format!("{TIDINGS}{account}#{outcome}"),
    )
}

/// Returns the organization that an item belongs to, if any.
pub(crate) fn organization_of(key: &Key) -> Option<OrganizationId> {
    let (_, id) = key.pk.strip_prefix("O#")?.split_once('#')?;
    OrganizationId::parse(id).ok()
}

pub(crate) const ALARMS: &str = "D#";
pub(crate) const TIDINGS: &str = "T#";

/// The record of a user who was removed during the review that started at `started_at`.
pub(crate) fn removed_in_review(
    portal: &PortalId,
    organization: &OrganizationId,
    started_at: Timestamp,
    account: &AccountId,
) -> Key {
    Key::new(
        format!("O#{portal}#{organization}"),
        format!("{}{account}", removed_in(started_at)),
    )
}

pub(crate) fn removed_in(started_at: Timestamp) -> String {
    format!("V#{started_at}#")
}

pub(crate) fn invitation(
    portal: &PortalId,
    organization: &OrganizationId,
    id: &InvitationId,
) -> Key {
    Key::new(
        format!("O#{portal}#{organization}"),
        format!("{INVITATIONS}{id}"),
    )
}

pub(crate) fn record(key: &RecordKey) -> Key {
    Key::new(records(key), format!("{:02}", key.person))
}

/// The partition of all persons with one number.
pub(crate) fn records(key: &RecordKey) -> String {
    format!("R#{}#{}#{}", key.plan, key.kind.as_str(), key.number)
}

/// The row by which an agent is found under a managing agent (AG-12).
pub(crate) fn managed(plan: &str, manager: &str, agent: &str) -> Key {
    Key::new(managed_by(plan, manager), format!("{MANAGED}{agent}"))
}

/// The partition of the agents under a managing agent.
pub(crate) fn managed_by(plan: &str, manager: &str) -> String {
    format!("M#{plan}#{manager}")
}

pub(crate) const MANAGED: &str = "R#";

/// Parses the key of a record's item.
pub(crate) fn record_of(pk: &str, sk: &str) -> Option<RecordKey> {
    let mut parts = pk.strip_prefix("R#")?.splitn(3, '#');
    let (plan, kind, number) = (parts.next()?, parts.next()?, parts.next()?);
    Some(RecordKey {
        plan: plan.to_owned(),
        kind: RecordKind::ALL.into_iter().find(|k| k.as_str() == kind)?,
        number: number.to_owned(),
        person: sk.parse().ok()?,
    })
}

/// Returns which of the [`LISTS`] partitions of the index lists a record.
pub(crate) fn listed(key: &RecordKey) -> String {
    let sum = key.number.bytes().fold(0u32, |sum, b| {
        sum.wrapping_mul(31).wrapping_add(u32::from(b))
    });
    list(&key.plan, key.kind, (sum % u32::from(LISTS)) as u8)
}

pub(crate) fn list(plan: &str, kind: RecordKind, shard: u8) -> String {
    format!("{plan}#{}#{shard:x}", kind.as_str())
}

/// The number of partitions of the list of a plan's records of one kind.
pub(crate) const LISTS: u8 = 16;

pub(crate) fn feeds(plan: &str, kind: RecordKind) -> Key {
    Key::new(format!("F#{plan}#{}", kind.as_str()), "F")
}

pub(crate) fn message(id: &MessageId) -> Key {
    Key::new(format!("{MESSAGES}{id}"), "X")
}

/// The key prefix of outbox items; the filter of the stream uses it too.
pub(crate) const MESSAGES: &str = "X#";

pub(crate) fn attempts(kind: &str, digest: &str, window: i64) -> Key {
    Key::new(format!("G#{kind}#{digest}#{window}"), "G")
}

/// The batch of letters that is being printed.
pub(crate) fn batch() -> Key {
    Key::new("L".into(), "L")
}

pub(crate) fn keyring() -> Key {
    Key::new("K".into(), "K")
}
