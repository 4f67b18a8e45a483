//! The index of scheduled actions. It is sparse and contains the key and the due day of each account and
//! organization with a scheduled action. Finding what is due up to a day, including missed days, reads
//! only those entries, no matter how many accounts there are (BA-10).
//!
//! The attributes of the index are derived from the account and its policy at every write, like the unique
//! markers. A sign-in changes the day at most once per day: a second one on the same day leaves the
//! attributes, and therefore the index, unchanged.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use vestibule_domain::account::Account;
use vestibule_domain::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::organization::Organization;
use vestibule_domain::policy::PolicyError;
use vestibule_domain::review;
use vestibule_domain::schedule::{self, AdminNotice, FollowUp, FollowUpKind, Manager};

use crate::item::{self, Item};
use crate::keys::{self, Key};
use crate::read::{UserFilter, UserRow, UsersCursor};
use crate::tables::DUE_INDEX;
use crate::{Store, Unavailable};

/// The number of partitions of the index for each portal and kind.
pub const SHARDS: u8 = 4;

/// The partition attribute of the index.
pub(crate) const DUE: &str = "due";
/// The day attribute of the index.
pub(crate) const DUE_ON: &str = "due_on";

/// What the scheduled actions belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    Accounts,
    /// Follow-ups of organizations.
    FollowUps,
}

impl Queue {
    /// Both queues, in processing order: actions on accounts schedule follow-ups.
    pub const ALL: [Self; 2] = [Self::Accounts, Self::FollowUps];

    fn partition(self, portal: &PortalId, shard: u8) -> String {
        let kind = match self {
            Self::Accounts => "account",
            Self::FollowUps => "follow_up",
        };
        format!("{kind}#{portal}#{shard}")
    }

    /// Returns the partition of an id.
    pub(crate) fn partition_of(self, portal: &PortalId, id: &str) -> String {
        let shard = id.as_bytes().last().map_or(0, |b| b % SHARDS);
        self.partition(portal, shard)
    }
}

/// An entry of the index that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Account(AccountId),
    /// A follow-up of an organization.
    FollowUp(OrganizationId, FollowUpKind),
}

impl Entry {
    fn of(portal: &PortalId, found: &Item) -> Option<Self> {
        let text = |name| found.get(name).and_then(|v| v.as_s().ok());
        let (pk, sk) = (text("pk")?, text("sk")?);
        if let Some(kind) = sk.strip_prefix(keys::ALARMS) {
            let id = pk.strip_prefix(&format!("O#{portal}#"))?;
            let kind = FollowUpKind::ALL.into_iter().find(|k| k.as_str() == kind)?;
            return Some(Self::FollowUp(OrganizationId::parse(id).ok()?, kind));
        }
        let id = pk.strip_prefix(&format!("A#{portal}#"))?;
        AccountId::parse(id).ok().map(Self::Account)
    }
}

/// A page of entries that are due.
#[derive(Debug)]
pub struct DuePage {
    /// The entries; `None` for an entry that this system did not write.
    pub entries: Vec<Option<Entry>>,
    /// The start of the next page.
    pub next: Option<Item>,
}

/// The data needed to handle a follow-up of an organization.
#[derive(Debug)]
pub struct AlarmState {
    /// The follow-up, if it is still scheduled.
    pub follow_up: Option<FollowUp>,
    pub organization: Option<Organization>,
    /// The administrators who can act.
    pub managers: Vec<Manager>,
    /// The notices to send to the administrators.
    pub notices_due: Vec<AdminNotice>,
    /// All users of the organization, if the follow-up concerns an access review.
    pub users: Vec<UserRow>,
}

/// The number of notices read at once: those of one email, and one more to detect a remainder.
const TIDINGS_AT_A_TIME: i32 = schedule::MAX_NOTIFIED as i32 + 1;

/// The maximum number of an organization's administrators that are read.
const MAX_MANAGERS: i32 = 100;

/// The results of a scan for entries that a changed policy may have moved.
#[derive(Debug, Default)]
pub struct Misplaced {
    /// Accounts whose day in the index differs from what their policy requires now.
    pub accounts: Vec<Account>,
    /// Organizations on portals with access reviews, with or without a follow-up.
    pub reviewed: Vec<Organization>,
    /// The number of accounts that were scanned.
    pub looked_at: u64,
    /// The start of the next page.
    pub next: Option<Item>,
}

impl Store {
    /// Returns the date of a time in the portal's time zone; `None` if there is no such portal.
    pub(crate) fn day_of(
        &self,
        portal: &PortalId,
        moment: Timestamp,
    ) -> Result<Option<Date>, PolicyError> {
        let policy = self.portals.get(portal.as_str())?;
        Ok(policy.map(|p| p.date_of(moment)))
    }

    /// Returns the index attributes of an account, if it has a scheduled action.
    pub(crate) fn due_attributes(
        &self,
        account: &Account,
    ) -> Result<Option<[(String, AttributeValue); 2]>, PolicyError> {
        let policy = self.portals.get(account.portal.as_str())?;
        let due = policy.and_then(|p| schedule::next_due(account, p));
        let partition = Queue::Accounts.partition_of(&account.portal, account.id.as_str());
        Ok(due.map(|due| {
            [
                (DUE.to_owned(), AttributeValue::S(partition)),
                (DUE_ON.to_owned(), AttributeValue::S(due.on.to_string())),
            ]
        }))
    }

    /// Loads a page of at most 100 entries that are due on a portal up to a day, oldest first.
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

    /// Returns the first day on which something is due on a portal, if anything is scheduled.
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

    /// Loads up to 100 accounts by id in one round trip. An account that can't be parsed is an error in the
    /// list and does not affect the others; a missing account is not in the list.
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

    /// Updates the due day of an account whose policy changed since the account was written. Has no effect
    /// if the account changed since it was read.
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

    /// Schedules the follow-up for an organization's access reviews if there is none, for example because
    /// the policy had no reviews when the organization registered (EX-11). Returns whether it was new.
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
        // Start from yesterday, so that a follow-up that is due today is included.
        let yesterday = today.saturating_sub(1.day());
        let Some(on) = policy.and_then(|p| review::next_look(organization, p, yesterday)) else {
            return Ok(false);
        };
        let partition = Queue::FollowUps.partition_of(portal, id.as_str());
        let set = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(
                keys::follow_up(portal, id, FollowUpKind::Review).into_item(),
            ))
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

    /// Loads a page of what a changed policy may have moved, on all portals. Scans the whole table.
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
            // The sweep reports accounts that can't be read.
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

    /// Loads the data needed to handle a follow-up, in one round trip.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn alarm_state(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        kind: FollowUpKind,
    ) -> Result<AlarmState, Unavailable> {
        let key = keys::follow_up(portal, organization, kind);
        let pk = key.pk.clone();
        let of_organization = keys::organization(portal, organization);
        let notices_due = async {
            match kind {
                FollowUpKind::AdminNotice => {
                    self.page(pk.clone(), keys::TIDINGS, None, TIDINGS_AT_A_TIME)
                        .await
                }
                FollowUpKind::Backup | FollowUpKind::Review => Ok((Vec::new(), None)),
            }
        };
        let users = async {
            match kind {
                FollowUpKind::Review => self.all_users(portal, organization).await,
                FollowUpKind::Backup | FollowUpKind::AdminNotice => Ok(Vec::new()),
            }
        };
        let (found, rows, notices_due, users) = futures::future::try_join4(
            self.batch(vec![key.clone(), of_organization]),
            self.page(pk.clone(), keys::ADMINISTRATORS, None, MAX_MANAGERS),
            notices_due,
            users,
        )
        .await?;
        let mut state = AlarmState {
            follow_up: None,
            organization: None,
            managers: Vec::new(),
            users,
            notices_due: notices_due
                .0
                .into_iter()
                .map(item::read)
                .collect::<Result<_, _>>()?,
        };
        for item in found {
            if key.is_of(&item) {
                state.follow_up = Some(read_alarm(portal, organization, kind, &item)?);
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
    /// Loads all users of an organization.
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
    kind: FollowUpKind,
    item: &HashMap<String, AttributeValue>,
) -> Result<FollowUp, Unavailable> {
    let corrupt = || Unavailable::corrupt("a follow-up");
    let on = item.get(DUE_ON).and_then(|v| v.as_s().ok());
    let version = item.get("version").and_then(|v| v.as_n().ok());
    Ok(FollowUp {
        portal: portal.clone(),
        organization: organization.clone(),
        kind,
        on: on.and_then(|d| d.parse().ok()).ok_or_else(corrupt)?,
        version: version.and_then(|n| n.parse().ok()).ok_or_else(corrupt)?,
    })
}

/// Returns the key of an administrator notice, one for each user and outcome.
pub(crate) fn admin_notice_key(notices_due: &AdminNotice) -> Key {
    let outcome = match notices_due.outcome {
        vestibule_domain::message::AccountOutcome::Disabled => "disabled",
        vestibule_domain::message::AccountOutcome::Deleted => "deleted",
        vestibule_domain::message::AccountOutcome::Ended => "ended",
    };
    keys::notices_due(
        &notices_due.portal,
        &notices_due.organization,
        &notices_due.account,
        outcome,
    )
}
