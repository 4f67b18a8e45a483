//! What is due: a sparse index that holds, of each account and organization for which something will
//! be due, its key and the day. Finding what is due up to a day reads that and nothing else, however
//! many accounts there are (BA-10), and days that were missed are found with it.
//!
//! The index's attributes are derived from the account and its policy at every write, as the unique
//! markers are. A sign-in moves the day on, at most once a day: a second one on the same day leaves
//! the attributes, and so the index, as they are.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use vestibule_domain::account::Account;
use vestibule_domain::clockwork::{self, Alarm, AlarmKind, Manager, Tidings};
use vestibule_domain::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::organization::Organization;
use vestibule_domain::policy::PolicyError;
use vestibule_domain::review;

use crate::item::{self, Item};
use crate::keys::{self, Key};
use crate::read::{UserFilter, UserRow, UsersCursor};
use crate::tables::DUE_INDEX;
use crate::{Store, Unavailable};

/// Over how many partitions the index is spread, for each portal and kind.
pub const SHARDS: u8 = 4;

/// The attributes of the index: the partition, and the day.
pub(crate) const DUE: &str = "due";
pub(crate) const DUE_ON: &str = "due_on";

/// Whose things are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Accounts.
    Accounts,
    /// Alarms of organizations.
    Alarms,
}

impl Queue {
    /// Both, in the order in which they are worked on: what happens to accounts sets alarms.
    pub const ALL: [Self; 2] = [Self::Accounts, Self::Alarms];

    fn partition(self, portal: &PortalId, shard: u8) -> String {
        let kind = match self {
            Self::Accounts => "account",
            Self::Alarms => "alarm",
        };
        format!("{kind}#{portal}#{shard}")
    }

    /// The partition of what has this id.
    pub(crate) fn partition_of(self, portal: &PortalId, id: &str) -> String {
        let shard = id.as_bytes().last().map_or(0, |b| b % SHARDS);
        self.partition(portal, shard)
    }
}

/// Something that the index says is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An account.
    Account(AccountId),
    /// An alarm of an organization.
    Alarm(OrganizationId, AlarmKind),
}

impl Entry {
    fn of(portal: &PortalId, found: &Item) -> Option<Self> {
        let text = |name| found.get(name).and_then(|v| v.as_s().ok());
        let (pk, sk) = (text("pk")?, text("sk")?);
        if let Some(kind) = sk.strip_prefix(keys::ALARMS) {
            let id = pk.strip_prefix(&format!("O#{portal}#"))?;
            let kind = AlarmKind::ALL.into_iter().find(|k| k.as_str() == kind)?;
            return Some(Self::Alarm(OrganizationId::parse(id).ok()?, kind));
        }
        let id = pk.strip_prefix(&format!("A#{portal}#"))?;
        AccountId::parse(id).ok().map(Self::Account)
    }
}

/// A page of what is due.
#[derive(Debug)]
pub struct DuePage {
    /// What is due; an entry that isn't of this system's making is none.
    pub entries: Vec<Option<Entry>>,
    /// Where the next page begins.
    pub next: Option<Item>,
}

/// What an alarm of an organization is answered with.
#[derive(Debug)]
pub struct AlarmState {
    /// The alarm, if it is still set.
    pub alarm: Option<Alarm>,
    /// The organization.
    pub organization: Option<Organization>,
    /// Those of its administrators who can act.
    pub managers: Vec<Manager>,
    /// What they are to be told.
    pub tidings: Vec<Tidings>,
    /// All its users, where the alarm is about reviews of access.
    pub users: Vec<UserRow>,
}

/// How many tidings are read at once: one mail's, and one to tell that there are more.
const TIDINGS_AT_A_TIME: i32 = clockwork::MOST_TOLD as i32 + 1;

/// How many of an organization's administrators are looked at.
const MOST_MANAGERS: i32 = 100;

/// What a look at all accounts has come across.
#[derive(Debug, Default)]
pub struct Misplaced {
    /// Accounts whose day in the index isn't what their policy says now.
    pub accounts: Vec<Account>,
    /// Organizations on portals that review access, whether they have an alarm or not.
    pub reviewed: Vec<Organization>,
    /// How many accounts were looked at.
    pub looked_at: u64,
    /// Where the next page begins.
    pub next: Option<Item>,
}

impl Store {
    /// The day on which a moment falls on a portal.
    pub(crate) fn day_of(
        &self,
        portal: &PortalId,
        moment: Timestamp,
    ) -> Result<Option<Date>, PolicyError> {
        let policy = self.portals.get(portal.as_str())?;
        Ok(policy.map(|p| p.date_of(moment)))
    }

    /// The attributes by which the index finds an account, if anything will be due for it.
    pub(crate) fn due_attributes(
        &self,
        account: &Account,
    ) -> Result<Option<[(String, AttributeValue); 2]>, PolicyError> {
        let policy = self.portals.get(account.portal.as_str())?;
        let due = policy.and_then(|p| clockwork::next_due(account, p));
        let partition = Queue::Accounts.partition_of(&account.portal, account.id.as_str());
        Ok(due.map(|due| {
            [
                (DUE.to_owned(), AttributeValue::S(partition)),
                (DUE_ON.to_owned(), AttributeValue::S(due.on.to_string())),
            ]
        }))
    }

    /// A page of what is due on a portal up to a day, the oldest first; at most a hundred.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn due(
        &self,
        (portal, queue, shard): (&PortalId, Queue, u8),
        up_to: Date,
        start: Option<Item>,
    ) -> Result<DuePage, Unavailable> {
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .index_name(DUE_INDEX)
            .key_condition_expression("due = :due AND due_on <= :day")
            .expression_attribute_values(":due", AttributeValue::S(queue.partition(portal, shard)))
            .expression_attribute_values(":day", AttributeValue::S(up_to.to_string()))
            .set_exclusive_start_key(start)
            .limit(100)
            .send()
            .await
            .map_err(Unavailable::call)?;
        let found = got.items.unwrap_or_default();
        Ok(DuePage {
            entries: found.iter().map(|i| Entry::of(portal, i)).collect(),
            next: got.last_evaluated_key,
        })
    }

    /// The first day on which something is due on a portal, if anything ever is.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn first_due(&self, portal: &PortalId) -> Result<Option<Date>, Unavailable> {
        let first = |queue: Queue, shard| async move {
            let got = self
                .db
                .query()
                .table_name(&self.tables.main)
                .index_name(DUE_INDEX)
                .key_condition_expression("due = :due")
                .expression_attribute_values(
                    ":due",
                    AttributeValue::S(queue.partition(portal, shard)),
                )
                .limit(1)
                .send()
                .await
                .map_err(Unavailable::call)?;
            let day = |i: &Item| i.get(DUE_ON)?.as_s().ok()?.parse().ok();
            Ok::<_, Unavailable>(got.items.unwrap_or_default().first().and_then(day))
        };
        let all = Queue::ALL
            .into_iter()
            .flat_map(|queue| (0..SHARDS).map(move |shard| first(queue, shard)));
        let days = futures::future::try_join_all(all).await?;
        Ok(days.into_iter().flatten().min())
    }

    /// Accounts by their ids, at most a hundred: one round trip. One that can't be read is an error
    /// of its own and doesn't keep the others away; one that is gone isn't among them.
    ///
    /// # Errors
    /// [`Unavailable`] when none could be read.
    pub async fn accounts(
        &self,
        portal: &PortalId,
        ids: &[AccountId],
    ) -> Result<Vec<Result<Account, Unavailable>>, Unavailable> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = ids.iter().map(|id| keys::account(portal, id)).collect();
        let found = self.batch(wanted).await?;
        Ok(found
            .into_iter()
            .map(|i| item::read_account(i, &self.keyring))
            .collect())
    }

    /// Writes the day on which something is next due for an account as it is, where its policy has
    /// changed since it was written. An account that has changed meanwhile is left alone.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn reschedule(&self, account: &Account) -> Result<(), Unavailable> {
        let update = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(
                keys::account(&account.portal, &account.id).into_item(),
            ))
            .expression_attribute_values(
                ":version",
                AttributeValue::N(account.version.to_string()),
            );
        let update = match account.last_sign_in_at {
            Some(at) => update
                .condition_expression("version = :version AND last_sign_in_at = :last")
                .expression_attribute_values(":last", AttributeValue::S(at.to_string())),
            None => update.condition_expression(
                "version = :version AND attribute_not_exists(last_sign_in_at)",
            ),
        };
        let update = match self.due_attributes(account)? {
            Some([(_, due), (_, on)]) => update
                .update_expression("SET due = :due, due_on = :on")
                .expression_attribute_values(":due", due)
                .expression_attribute_values(":on", on),
            None => update.update_expression("REMOVE due, due_on"),
        };
        Unavailable::unless_conditional(update.send().await)
    }

    /// Has the clockwork see to an organization's reviews, where it doesn't yet: the policy has none, or
    /// had none when the organization registered (EX-11). Tells whether it didn't.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn watch_reviews(
        &self,
        organization: &Organization,
        today: Date,
    ) -> Result<bool, Unavailable> {
        let Organization { portal, id, .. } = organization;
        let policy = self.portals.get(portal.as_str())?;
        // What is to be done today still is.
        let yesterday = today.saturating_sub(1.day());
        let Some(on) = policy.and_then(|p| review::next_look(organization, p, yesterday)) else {
            return Ok(false);
        };
        let partition = Queue::Alarms.partition_of(portal, id.as_str());
        let set = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(keys::alarm(portal, id, AlarmKind::Review).into_item()))
            .condition_expression("attribute_not_exists(pk)")
            .update_expression("SET due = :due, due_on = :on ADD version :one")
            .expression_attribute_values(":due", AttributeValue::S(partition))
            .expression_attribute_values(":on", AttributeValue::S(on.to_string()))
            .expression_attribute_values(":one", AttributeValue::N("1".into()))
            .send()
            .await;
        let is_new = set.is_ok();
        Unavailable::unless_conditional(set)?;
        Ok(is_new)
    }

    /// A page of what a changed policy may have moved, on all portals: a scan of the whole table.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn misplaced(&self, start: Option<Item>) -> Result<Misplaced, Unavailable> {
        let got = self
            .db
            .scan()
            .table_name(&self.tables.main)
            .filter_expression("sk IN (:account, :organization)")
            .expression_attribute_values(":account", AttributeValue::S("A".into()))
            .expression_attribute_values(":organization", AttributeValue::S("O".into()))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(Unavailable::call)?;
        let mut misplaced = Misplaced {
            next: got.last_evaluated_key,
            ..Misplaced::default()
        };
        for found in got.items.unwrap_or_default() {
            if found
                .get("sk")
                .and_then(|v| v.as_s().ok())
                .is_some_and(|sk| sk == "O")
            {
                let organization: Organization = item::read(found)?;
                let policy = self.portals.get(organization.portal.as_str())?;
                if policy.is_some_and(|p| p.access_review.is_some()) {
                    misplaced.reviewed.push(organization);
                }
                continue;
            }
            misplaced.looked_at += 1;
            let day = found.get(DUE_ON).cloned();
            // One that can't be read is reported by the sweep that comes to it.
            let Ok(account) = item::read_account(found, &self.keyring) else {
                continue;
            };
            let now = self.due_attributes(&account)?.map(|[_, (_, on)]| on);
            if now != day {
                misplaced.accounts.push(account);
            }
        }
        Ok(misplaced)
    }

    /// What an alarm is answered with: one round trip.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn alarm_state(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        kind: AlarmKind,
    ) -> Result<AlarmState, Unavailable> {
        let key = keys::alarm(portal, organization, kind);
        let pk = key.pk.clone();
        let of_organization = keys::organization(portal, organization);
        let tidings = async {
            match kind {
                AlarmKind::Tidings => {
                    self.page(pk.clone(), keys::TIDINGS, None, TIDINGS_AT_A_TIME)
                        .await
                }
                AlarmKind::Backup | AlarmKind::Review => Ok((Vec::new(), None)),
            }
        };
        let users = async {
            match kind {
                AlarmKind::Review => self.all_users(portal, organization).await,
                AlarmKind::Backup | AlarmKind::Tidings => Ok(Vec::new()),
            }
        };
        let (found, rows, tidings, users) = futures::future::try_join4(
            self.batch(vec![key.clone(), of_organization]),
            self.page(pk.clone(), keys::ADMINISTRATORS, None, MOST_MANAGERS),
            tidings,
            users,
        )
        .await?;
        let mut state = AlarmState {
            alarm: None,
            organization: None,
            managers: Vec::new(),
            users,
            tidings: tidings
                .0
                .into_iter()
                .map(item::read)
                .collect::<Result<_, _>>()?,
        };
        for item in found {
            if key.is_of(&item) {
                state.alarm = Some(read_alarm(portal, organization, kind, &item)?);
            } else {
                state.organization = Some(item::read(item)?);
            }
        }
        for row in rows.0 {
            state
                .managers
                .extend(item::read::<UserRow>(row)?.as_manager());
        }
        Ok(state)
    }
}

impl Store {
    /// All users of an organization.
    async fn all_users(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
    ) -> Result<Vec<UserRow>, Unavailable> {
        let (filter, mut users, mut after) = (UserFilter::default(), Vec::new(), None);
        loop {
            let page = self
                .users(portal, organization, &filter, after.as_ref(), 500)
                .await?;
            users.extend(page.items);
            after = page.next.as_deref().and_then(UsersCursor::parse);
            if after.is_none() {
                return Ok(users);
            }
        }
    }
}

fn read_alarm(
    portal: &PortalId,
    organization: &OrganizationId,
    kind: AlarmKind,
    item: &HashMap<String, AttributeValue>,
) -> Result<Alarm, Unavailable> {
    let corrupt = || Unavailable::corrupt("an alarm");
    let on = item.get(DUE_ON).and_then(|v| v.as_s().ok());
    let version = item.get("version").and_then(|v| v.as_n().ok());
    Ok(Alarm {
        portal: portal.clone(),
        organization: organization.clone(),
        kind,
        on: on.and_then(|d| d.parse().ok()).ok_or_else(corrupt)?,
        version: version.and_then(|n| n.parse().ok()).ok_or_else(corrupt)?,
    })
}

/// The key of what administrators are told: one for each user and fate.
pub(crate) fn tidings_key(tidings: &Tidings) -> Key {
    let fate = match tidings.fate {
        vestibule_domain::message::Fate::Disabled => "disabled",
        vestibule_domain::message::Fate::Deleted => "deleted",
        vestibule_domain::message::Fate::Ended => "ended",
    };
    keys::tidings(
        &tidings.portal,
        &tidings.organization,
        &tidings.account,
        fate,
    )
}
