//! The audit trail: how an entry lies in its table, and how entries are found again (EX-02, UX-11).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64URL_NOPAD;
use futures::future;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use vestibule_domain::audit::{Action, Actor, AuditEvent, Outcome, kept_until};
use vestibule_domain::ids::{AccountId, AuditId, OrganizationId, PortalId};
use vestibule_domain::record::Mac;
use vestibule_domain::text::Sensitive;
use vestibule_secrets::{Keyring, Purpose};

use crate::item::{self, Item};
use crate::keys::{self, Key};
use crate::read::Page;
use crate::tables::{AUDIT_INDEXES, AUDIT_TTL};
use crate::{Store, Unavailable};

/// Over how many partitions a portal's day is spread, so that a busy day has room.
pub(crate) const SHARDS: u8 = 16;

/// The code of an entry, made at the moment of writing.
const MAC: &str = "mac";

/// The partition of a portal's day (UTC).
pub(crate) fn partition(portal: &PortalId, at: Timestamp, shard: u8) -> String {
    of_day(portal, day(at), shard)
}

fn of_day(portal: &PortalId, day: Date, shard: u8) -> String {
    format!("{portal}#{day}#{shard:x}")
}

/// The day of a moment (UTC).
fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// A moment as sort keys begin: of one length, so that texts are in the order of time.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Where an entry lies.
pub(crate) fn key(event: &AuditEvent) -> Key {
    let shard = event
        .id
        .as_str()
        .as_bytes()
        .last()
        .map_or(0, |b| b % SHARDS);
    Key {
        pk: partition(&event.portal, event.at, shard),
        sk: format!("{}#{}", moment(event.at), event.id),
    }
}

/// What the code of an entry is bound to: no entry can be moved.
fn place(key: &Key) -> String {
    format!("{}/{}", key.pk, key.sk)
}

/// The item of an entry, with its code.
pub(crate) fn entry(event: &AuditEvent, keyring: &Keyring) -> Result<Item, Unavailable> {
    let canonical = Sensitive::new(event.canonical());
    let mac = keyring.mac(Purpose::AuditEntry, &place(&key(event)), &canonical);
    lying(event, &mac)
}

/// The item of an entry with a given code.
fn lying(event: &AuditEvent, mac: &Mac) -> Result<Item, Unavailable> {
    let mut item = item::write(key(event), event)?;
    let mut put = |name: &str, value: String| {
        item.insert(name.to_owned(), AttributeValue::S(value));
    };
    put(
        MAC,
        format!("{}.{}", mac.key, BASE64URL_NOPAD.encode(&mac.code)),
    );
    let portal = &event.portal;
    if let Some(organization) = &event.organization {
        put("of_organization", of(portal, organization));
        put("of_action", of_action(portal, organization, event.action));
    }
    let (_, actor) = event.actor.parts();
    if let Some(actor) = actor {
        put("of_actor", of(portal, actor));
    }
    // Only what may be a user is searched for, and what people do to themselves is found by who
    // did it.
    let object = event
        .object
        .as_deref()
        .and_then(|o| AccountId::parse(o).ok());
    if let Some(object) = object.filter(|o| Some(o) != actor) {
        put("of_object", of(portal, &object));
    }
    let end = kept_until(event.at).as_second();
    item.insert(AUDIT_TTL.to_owned(), AttributeValue::N(end.to_string()));
    Ok(item)
}

fn of(portal: &PortalId, id: &impl std::fmt::Display) -> String {
    format!("{portal}#{id}")
}

fn of_action(portal: &PortalId, organization: &OrganizationId, action: Action) -> String {
    format!("{portal}#{organization}#{action}")
}

/// The entry of an item, if the item is, to the last attribute, what was written: nothing else has
/// its code, and nothing was added by which it is found or lost.
pub(crate) fn genuine(item: &Item, keyring: &Keyring) -> Option<AuditEvent> {
    let event: AuditEvent = item::read(item.clone()).ok()?;
    let (version, code) = item.get(MAC)?.as_s().ok()?.split_once('.')?;
    let mac = Mac {
        key: version.parse().ok()?,
        code: BASE64URL_NOPAD.decode(code.as_bytes()).ok()?,
    };
    let canonical = Sensitive::new(event.canonical());
    let holds = keyring.verify(&mac, Purpose::AuditEntry, &place(&key(&event)), &canonical);
    (holds && lying(&event, &mac).ok()? == *item).then_some(event)
}

/// An entry, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// What it says.
    pub event: AuditEvent,
    /// Whether it is, to the last attribute, what this system wrote there (UX-11).
    pub genuine: bool,
}

impl AuditEntry {
    fn of(item: Item, keyring: &Keyring) -> Result<Self, Unavailable> {
        let genuine = genuine(&item, keyring);
        if genuine.is_none() {
            tracing::error!("an entry of the audit trail was altered; verify the trail");
        }
        Ok(Self {
            genuine: genuine.is_some(),
            event: match genuine {
                Some(event) => event,
                None => item::read(item)?,
            },
        })
    }
}

/// Which entries are wanted, of those that one may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFilter {
    /// Whose entries.
    pub of: AuditOf,
    /// Only what was done so.
    pub action: Option<Action>,
    /// Only what ended so.
    pub outcome: Option<Outcome>,
    /// Not before this moment.
    pub from: Timestamp,
    /// Before this moment.
    pub until: Timestamp,
}

/// Whose entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOf {
    /// All of the portal: read day by day, so between moments that are not far apart.
    Portal,
    /// All that was done for an organization.
    Organization(OrganizationId),
    /// What a user did, or had done to them, for one organization, or for any.
    User {
        /// The user.
        user: AccountId,
        /// Only for this organization.
        organization: Option<OrganizationId>,
    },
}

impl AuditFilter {
    /// What is left to ask of an entry that an index has found.
    fn holds_for(&self, event: &AuditEvent) -> bool {
        let organization = match &self.of {
            AuditOf::Organization(organization) => Some(organization),
            AuditOf::User { organization, .. } => organization.as_ref(),
            AuditOf::Portal => None,
        };
        organization.is_none_or(|o| event.organization.as_ref() == Some(o))
            && self.action.is_none_or(|a| a == event.action)
            && self.outcome.is_none_or(|o| o == event.outcome)
    }

    /// The partitions that hold all of them, of a day where they are the portal's, and little else.
    fn partitions(&self, portal: &PortalId, day: Date) -> Vec<Partition> {
        let [by_organization, by_action, by_actor, by_object] = AUDIT_INDEXES;
        match (&self.of, self.action) {
            (AuditOf::Portal, _) => (0..SHARDS)
                .map(|shard| Partition::new(None, "pk", of_day(portal, day, shard)))
                .collect(),
            (AuditOf::Organization(organization), None) => {
                vec![Partition::of(by_organization, of(portal, organization))]
            }
            (AuditOf::Organization(organization), Some(action)) => {
                vec![Partition::of(
                    by_action,
                    of_action(portal, organization, action),
                )]
            }
            (AuditOf::User { user, .. }, _) => [by_actor, by_object]
                .map(|index| Partition::of(index, of(portal, user)))
                .into(),
        }
    }

    /// How many entries to read at a time in each of so many partitions for so many that are wanted.
    fn at_a_time(&self, partitions: usize, wanted: usize) -> i32 {
        let spread = partitions > 2 && self.action.is_none() && self.outcome.is_none();
        // Spread evenly, each has its share of what is wanted, and few have more than four times that.
        let each = if spread {
            wanted.div_ceil(partitions) * 4
        } else {
            wanted
        };
        i32::try_from(each + 2).unwrap_or(i32::MAX)
    }
}

/// Where a page of the trail begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCursor(String);

impl AuditCursor {
    /// Reads the `next` of another page; none if it is of another list, or of nobody's making.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > 100 {
            return None;
        }
        let sk = String::from_utf8(BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
        let (at, id) = sk.split_once('#')?;
        let at_is_one = moment(at.parse().ok()?) == at;
        (at_is_one && AuditId::parse(id).is_ok()).then_some(Self(sk))
    }

    /// Behind everything of a day: where the one before is read next.
    fn end_of(day: Date) -> Self {
        Self(format!("{day}T23:59:59.999Z#7{}", "z".repeat(25)))
    }

    /// As the `next` of a page.
    fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(self.0.as_bytes())
    }

    /// The moment that it names.
    fn at(&self) -> Option<Timestamp> {
        self.0.split_once('#')?.0.parse().ok()
    }
}

/// How many entries a page looks at, whatever of them it shows. A search for something rare so
/// takes more pages, perhaps empty ones, and never a long time for one.
const LOOKED_AT: usize = 1000;

/// Through how many days of a portal a page looks; each costs a query a shard, whatever is there.
const MOST_DAYS: usize = 7;

/// One of the partitions in which a search reads on, the latest first.
struct Partition {
    /// None: the table itself.
    index: Option<&'static str>,
    attribute: &'static str,
    value: String,
    read: VecDeque<(String, AuditEntry)>,
    /// Read on below this sort key.
    below: Option<String>,
    exhausted: bool,
}

impl Partition {
    fn of((index, attribute): (&'static str, &'static str), value: String) -> Self {
        Self::new(Some(index), attribute, value)
    }

    fn new(index: Option<&'static str>, attribute: &'static str, value: String) -> Self {
        Self {
            index,
            attribute,
            value,
            read: VecDeque::new(),
            below: None,
            exhausted: false,
        }
    }

    /// Reads on, where what was read has been used up.
    async fn read_on(
        &mut self,
        store: &Store,
        (from, until): (&str, &str),
        at_a_time: i32,
    ) -> Result<(), Unavailable> {
        while self.read.is_empty() && !self.exhausted {
            let below = self.below.as_deref().filter(|below| *below < until);
            let until = below.unwrap_or(until);
            if until < from {
                self.exhausted = true;
                break;
            }
            let got = store
                .db
                .query()
                .table_name(&store.tables.audit)
                .set_index_name(self.index.map(str::to_owned))
                .key_condition_expression("#of = :of AND sk BETWEEN :from AND :until")
                .expression_attribute_names("#of", self.attribute)
                .expression_attribute_values(":of", AttributeValue::S(self.value.clone()))
                .expression_attribute_values(":from", AttributeValue::S(from.to_owned()))
                .expression_attribute_values(":until", AttributeValue::S(until.to_owned()))
                .scan_index_forward(false)
                .limit(at_a_time)
                .send()
                .await
                .map_err(Unavailable::call)?;
            self.exhausted = got.last_evaluated_key.is_none();
            for found in got.items.unwrap_or_default() {
                let sk = found.get("sk").and_then(|v| v.as_s().ok()).cloned();
                let sk = sk.ok_or_else(|| Unavailable::corrupt("an entry's key"))?;
                // What comes up to a sort key includes it.
                if self.below.as_ref() != Some(&sk) {
                    self.read
                        .push_back((sk, AuditEntry::of(found, &store.keyring)?));
                }
            }
            self.below = self
                .read
                .back()
                .map(|(sk, _)| sk.clone())
                .or(self.below.take());
        }
        Ok(())
    }
}

impl Store {
    /// Puts an entry about something read on the trail; what is changed is recorded by
    /// [`Store::commit`].
    ///
    /// # Errors
    /// [`Unavailable`]; then what was to be read must not be shown.
    pub async fn record(&self, event: &AuditEvent) -> Result<(), Unavailable> {
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.audit)
            .set_item(Some(entry(event, &self.keyring)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(()),
            // Nobody else has this identifier: an answer was lost, and this is the second try.
            Err(e)
                if e.as_service_error()
                    .is_some_and(|e| e.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            Err(e) => Err(Unavailable::call(e)),
        }
    }

    /// A page of the trail, the latest first. It costs in proportion to the entries of the
    /// organization's action, the organization or the user, whichever is asked for, or of the days of
    /// a portal, and looks at no more than a thousand, and no more than a week: it may hold fewer than
    /// `limit`, though there are more.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn audit(
        &self,
        portal: &PortalId,
        filter: &AuditFilter,
        cursor: Option<&AuditCursor>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, Unavailable> {
        let mut page = Page {
            items: Vec::new(),
            next: None,
        };
        let mut looked_at = 0;
        let last = filter.until - SignedDuration::from_millis(1);
        let mut today = day(cursor
            .and_then(AuditCursor::at)
            .map_or(last, |at| at.min(last)));
        let mut below = cursor.cloned();
        for _ in 0..MOST_DAYS {
            let wanted = limit - page.items.len();
            let partitions = filter.partitions(portal, today);
            let stopped = self
                .merge(
                    partitions,
                    filter,
                    below.as_ref(),
                    wanted,
                    (&mut page.items, &mut looked_at),
                )
                .await?;
            if stopped.is_some() || filter.of != AuditOf::Portal {
                page.next = stopped.map(|c| c.encode());
                return Ok(page);
            }
            let Some(before) = today.yesterday().ok().filter(|d| *d >= day(filter.from)) else {
                page.next = None;
                return Ok(page);
            };
            today = before;
            let end = AuditCursor::end_of(today);
            page.next = Some(end.encode());
            if page.items.len() == limit || looked_at == LOOKED_AT {
                return Ok(page);
            }
            below = Some(end);
        }
        Ok(page)
    }

    /// Adds the entries of partitions that lie beside each other, the latest first, until there are as
    /// many as are wanted or enough has been looked at. Returns where to go on, if there is more.
    async fn merge(
        &self,
        mut partitions: Vec<Partition>,
        filter: &AuditFilter,
        below: Option<&AuditCursor>,
        wanted: usize,
        (items, looked_at): (&mut Vec<AuditEntry>, &mut usize),
    ) -> Result<Option<AuditCursor>, Unavailable> {
        for partition in &mut partitions {
            partition.below = below.map(|c| c.0.clone());
        }
        let (from, until) = (moment(filter.from), moment(filter.until));
        let at_a_time = filter.at_a_time(partitions.len(), wanted);
        let full = items.len() + wanted;
        let mut last = None;
        loop {
            future::try_join_all(
                partitions
                    .iter_mut()
                    .map(|p| p.read_on(self, (&from, &until), at_a_time)),
            )
            .await?;
            let next = partitions
                .iter_mut()
                .filter(|p| !p.read.is_empty())
                .max_by(|a, b| a.read[0].0.cmp(&b.read[0].0))
                .and_then(|p| p.read.pop_front());
            let Some((sk, entry)) = next else {
                return Ok(None);
            };
            if items.len() == full || *looked_at == LOOKED_AT {
                return Ok(last.map(AuditCursor));
            }
            if last.as_ref() != Some(&sk) && filter.holds_for(&entry.event) {
                items.push(entry);
            }
            last = Some(sk);
            *looked_at += 1;
        }
    }

    /// The usernames of the accounts that are named in these entries, removed accounts included.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn usernames_in(
        &self,
        portal: &PortalId,
        entries: &[AuditEntry],
    ) -> Result<BTreeMap<String, String>, Unavailable> {
        let named = entries.iter().flat_map(|AuditEntry { event: e, .. }| {
            // Whom somebody searched for need not be anybody of theirs (BL-17).
            let searched = matches!(e.action, Action::SearchAudit | Action::DownloadAudit);
            let object = e.object.as_deref().filter(|_| !searched);
            let object = object.and_then(|o| AccountId::parse(o).ok());
            let actor = match &e.actor {
                Actor::Account(id) => Some(id.clone()),
                // Staff of the plan have their accounts on another portal.
                Actor::HelpDesk(_) | Actor::Unknown | Actor::System => None,
            };
            [actor, object].into_iter().flatten()
        });
        let wanted: Vec<_> = named.collect::<BTreeSet<_>>().into_iter().collect();
        let mut names = BTreeMap::new();
        // A call fetches at most a hundred items.
        for some in wanted.chunks(100) {
            let keys = some.iter().map(|id| keys::account(portal, id)).collect();
            for found in self.batch(keys).await? {
                let text = |name: &str| found.get(name)?.as_s().ok().cloned();
                names.extend(text("id").zip(text("username")));
            }
        }
        Ok(names)
    }
}
