//! The users of an organization: a row for each membership, written with every change of the account, and
//! what remains of users who were removed.

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use jiff::civil::Date;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vestibule_domain::policy::Role;
use vestibule_domain::rules::access_review::Reviewed;
use vestibule_domain::state::account::{Account, Status, Undeliverable};
use vestibule_domain::state::follow_up::Manager;
use vestibule_domain::state::membership::{Confirmation, Membership, Registration};
use vestibule_domain::state::organization::{Organization, Removed};
use vestibule_domain::values::folding::{NameKey, NameQuery};
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::values::text::{Email, PersonName};
use vestibule_secrets::{Purpose, sealed_with};

use crate::attributes::text;
use crate::commit::Writes;
use crate::expression::{Expression, s};
use crate::item;
use crate::key::Key;
use crate::read::Page;
use crate::{Store, StoreError, organizations};

// Administrators directly follow the organization's own item, `O`, so that one query reads both.
const ROWS: &str = "O#";
pub(crate) const ADMINISTRATORS: &str = "O#A#";
const AFTER_ADMINISTRATORS: &str = "O#A$";
const USERS: &str = "O#U#";
/// The maximum number of an organization's administrators that are read.
pub(crate) const MAX_ADMINISTRATORS: i32 = 100;

/// Returns the key of the row by which an organization lists a user: administrators first, then by name.
fn key(account: &Account, organization: &OrganizationId, membership: &Membership) -> Key {
    let class = if membership.role.is_administrator() {
        ADMINISTRATORS
    } else {
        USERS
    };
    let sk = format!("{class}{}#{}", account.name.sort_key(), account.id);
    organizations::key_of(&account.portal, organization, sk)
}

/// Returns the key of the marker of a user who was removed from an organization. It contains a digest of
/// the mailbox instead of the address itself, so that another tag leads to the same marker (AG-10).
pub(crate) fn former_key(portal: &PortalId, organization: &OrganizationId, email: &Email) -> Key {
    let hash = Sha256::digest(format!(
        "former user/{organization}/{}",
        email.mailbox_key()
    ));
    let id = BASE64URL_NOPAD.encode(&hash[..16]);
    organizations::key_of(portal, organization, format!("F#{id}"))
}

/// Returns the key of the record of a user who was removed during the review that started at `started_at`.
fn removed_key(
    portal: &PortalId,
    organization: &OrganizationId,
    started_at: Timestamp,
    account: &AccountId,
) -> Key {
    let sk = format!("{}{account}", removed_in(started_at));
    organizations::key_of(portal, organization, sk)
}

fn removed_in(started_at: Timestamp) -> String {
    format!("V#{started_at}#")
}

/// A row of an organization's list of users, written with every change of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    pub account: AccountId,
    pub username: String,
    pub name: PersonName,
    pub email: String,
    /// The delivery problem of the email address, if one is known.
    pub email_undeliverable: Option<Undeliverable>,
    /// The role in this organization.
    pub role: Role,
    pub registration: Registration,
    /// Whether the account can sign in.
    pub status: Status,
    pub services: Vec<String>,
    pub group_codes: Vec<String>,
    /// When the user joined the organization.
    pub joined_at: Timestamp,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
    /// The last confirmation in an access review (EX-11).
    pub confirmed: Option<Confirmation>,
    pub last_sign_in_at: Option<Timestamp>,
    /// When concurrent use from several places was last detected (EX-01).
    pub concurrent_use_detected_at: Option<Timestamp>,
    /// The form of the name that is searched.
    name_key: NameKey,
}

impl UserRow {
    /// Builds the row of an account in an organization; `None` if it is not a member (BL-17).
    pub fn of(account: &Account, organization: &OrganizationId) -> Option<Self> {
        account
            .membership(Some(organization))
            .map(|m| Self::with(account, m))
    }

    fn with(account: &Account, m: &Membership) -> Self {
        Self {
            account: account.id.clone(),
            username: account.username.to_string(),
            name: account.name.clone(),
            email: account.email.to_string(),
            email_undeliverable: account.email_undeliverable,
            role: m.role,
            registration: m.registration(),
            status: account.status,
            services: m.services.iter().cloned().collect(),
            group_codes: m.group_codes.iter().cloned().collect(),
            joined_at: m.joined_at,
            end_date: m.end_date,
            confirmed: m.confirmed.clone(),
            last_sign_in_at: account.last_sign_in_at,
            concurrent_use_detected_at: account.concurrent_use_detected_at,
            name_key: NameKey::of(&[account.name.first.as_str(), account.name.last.as_str()]),
        }
    }

    /// Returns the user as a manager of the organization, if they are an administrator who can act.
    pub(crate) fn as_manager(&self) -> Option<Manager> {
        let acts = self.role.is_administrator()
            && self.status == Status::Active
            && self.registration == Registration::Registered;
        let email = Email::parse(&self.email).ok().filter(|_| acts)?;
        Some(Manager {
            account: self.account.clone(),
            role: self.role,
            end_date: self.end_date,
            name: self.name.full(),
            email,
        })
    }

    /// Returns the fields that an access review needs.
    pub fn reviewed(&self) -> Reviewed<'_> {
        Reviewed {
            account: &self.account,
            role: self.role,
            joined_at: self.joined_at,
            confirmed: self.confirmed.as_ref(),
        }
    }

    /// Builds the rows of an account, one per organization, with their keys.
    pub(crate) fn all_of(account: &Account) -> Vec<(Key, Self)> {
        let row = |m: &Membership| {
            let organization = m.organization.as_ref()?;
            let key = key(account, organization, m);
            Some((key, Self::with(account, m)))
        };
        account.memberships.iter().filter_map(row).collect()
    }
}

/// A filter for an organization's users; the default matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// The beginning of the username, of words of the name, or of the email address.
    pub query: Option<NameQuery>,
    pub role: Option<Role>,
    pub registration: Option<Registration>,
    pub status: Option<Status>,
    /// Matches users who have not signed in since this time, or never.
    pub idle_since: Option<Timestamp>,
}

impl UserFilter {
    fn holds_for(&self, row: &UserRow) -> bool {
        let is_found = |query: &NameQuery| {
            query.starts(&row.username) || query.starts(&row.email) || query.finds(&row.name_key)
        };
        self.query.as_ref().is_none_or(is_found)
            && self.role.is_none_or(|r| r == row.role)
            && self.registration.is_none_or(|r| r == row.registration)
            && self.status.is_none_or(|s| s == row.status)
            && self
                .idle_since
                .is_none_or(|at| row.last_sign_in_at.is_none_or(|last| last < at))
    }
}

/// The start of a page of an organization's users. It is sealed, because sort keys contain names and cursors
/// are part of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersCursor(String);

impl UsersCursor {
    const MAX_LENGTH: usize = 500;

    /// Parses the `next` of a page; `None` if it is invalid. Whether it belongs to the list is known when
    /// it is used.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_LENGTH && sealed_with(text).is_some()).then(|| Self(text.into()))
    }
}

/// An administrator of an organization, as shown to its users (AG-15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    pub account: AccountId,
    pub name: PersonName,
    pub email: String,
    pub role: Role,
}

/// The number of users that a filtered list reads at a time.
const FILTERED_AT_A_TIME: usize = 500;

/// Returns the administrators who can act on a day.
fn managers_on(today: Date, rows: &[UserRow]) -> Vec<Manager> {
    let managers = rows.iter().filter_map(UserRow::as_manager);
    managers
        .filter(|m| m.end_date.is_none_or(|last| last >= today))
        .collect()
}

impl Store {
    /// Loads a page of an organization's users that match a filter, administrators first and then by name.
    /// Without a filter it is one query; with a filter it reads until the page is full.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn users(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        filter: &UserFilter,
        cursor: Option<&UsersCursor>,
        limit: usize,
    ) -> Result<Page<UserRow>, StoreError> {
        let pk = organizations::key(portal, organization).pk;
        let after = match cursor {
            Some(UsersCursor(sealed)) => {
                let opened = self.keys().await?.open(Purpose::Cursor, &pk, sealed);
                let sk = opened.map_err(|_| StoreError::ForeignCursor)?;
                Some(String::from_utf8_lossy(&sk).into_owned())
            }
            None => None,
        };
        let (items, last) = self.users_after(&pk, filter, after, limit).await?;
        let next = match last {
            Some(sk) => {
                let keys = self.keys().await?;
                let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(StoreError::unavailable)?;
                Some(keys.seal(Purpose::Cursor, &pk, sk.as_bytes(), &mut rng))
            }
            None => None,
        };
        Ok(Page { items, next })
    }

    /// Loads up to `limit` rows of a partition that match a filter and follow a sort key, and the sort key of
    /// the last one if there may be more.
    async fn users_after(
        &self,
        pk: &str,
        filter: &UserFilter,
        mut after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<UserRow>, Option<String>), StoreError> {
        let mut items = Vec::new();
        let reads = if *filter == UserFilter::default() {
            limit
        } else {
            FILTERED_AT_A_TIME
        };
        let reads = i32::try_from(reads).unwrap_or(i32::MAX);
        loop {
            let (rows, next) = self.page(pk.to_owned(), ROWS, after, reads).await?;
            let last = rows.len().saturating_sub(1);
            for (i, found) in rows.into_iter().enumerate() {
                let sk = text(&found, "sk").cloned().unwrap_or_default();
                let row: UserRow = item::read(found)?;
                if filter.holds_for(&row) {
                    items.push(row);
                }
                if items.len() == limit {
                    let more = i < last || next.is_some();
                    return Ok((items, more.then_some(sk)));
                }
            }
            match next {
                Some(sk) => after = Some(sk),
                None => return Ok((items, None)),
            }
        }
    }

    /// Loads all users of an organization.
    pub(crate) async fn all_users(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
    ) -> Result<Vec<UserRow>, StoreError> {
        let pk = organizations::key(portal, organization).pk;
        let (filter, mut users, mut after) = (UserFilter::default(), Vec::new(), None);
        loop {
            let (rows, last) = self.users_after(&pk, &filter, after, 500).await?;
            users.extend(rows);
            after = last;
            if after.is_none() {
                return Ok(users);
            }
        }
    }

    /// Loads the administrators of an organization who can act on a day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn managers(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        today: Date,
    ) -> Result<Vec<Manager>, StoreError> {
        let pk = organizations::key(portal, organization).pk;
        let (rows, _) = self
            .page(pk, ADMINISTRATORS, None, MAX_ADMINISTRATORS)
            .await?;
        let rows: Result<Vec<UserRow>, _> = rows.into_iter().map(item::read).collect();
        Ok(managers_on(today, &rows?))
    }

    /// Loads an organization and the rows of its administrators, in one query.
    async fn organization_with_rows(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
    ) -> Result<(Option<Organization>, Vec<UserRow>), StoreError> {
        let key = organizations::key(portal, id);
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .key_condition_expression("pk = :pk AND sk BETWEEN :organization AND :after")
            .values([
                (":pk", s(&key.pk)),
                (":organization", s(&key.sk)),
                (":after", s(AFTER_ADMINISTRATORS)),
            ])
            .limit(1 + MAX_ADMINISTRATORS)
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::call)?;
        let items = got.items.unwrap_or_default();
        self.load_keys_for(&items).await?;
        let (mut organization, mut rows) = (None, Vec::new());
        for found in items {
            if key.is_of(&found) {
                organization = Some(item::read(found)?);
            } else {
                rows.push(item::read(found)?);
            }
        }
        Ok((organization, rows))
    }

    /// Loads an organization and everyone who manages it and can act on a day, in one call.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn organization_with_managers(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
        today: Date,
    ) -> Result<(Option<Organization>, Vec<Manager>), StoreError> {
        let (organization, rows) = self.organization_with_rows(portal, id).await?;
        Ok((organization, managers_on(today, &rows)))
    }

    /// Loads an organization and its administrators who can act on a day (AG-15), in one call.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn organization_with_administrators(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
        today: Date,
    ) -> Result<(Option<Organization>, Vec<Administrator>), StoreError> {
        let (organization, rows) = self.organization_with_rows(portal, id).await?;
        let mut administrators = Vec::new();
        for row in rows {
            let over = row.end_date.is_some_and(|last| last < today);
            if row.status == Status::Active && row.registration == Registration::Registered && !over
            {
                administrators.push(Administrator {
                    account: row.account,
                    name: row.name,
                    email: row.email,
                    role: row.role,
                });
            }
        }
        Ok((organization, administrators))
    }

    /// Loads the users who were removed during the review that started at `started_at` (EX-11).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn removed_in_review(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        started_at: Timestamp,
    ) -> Result<Vec<Removed>, StoreError> {
        let pk = organizations::key(portal, organization).pk;
        let prefix = removed_in(started_at);
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (items, next) = self.page(pk.clone(), &prefix, after, 500).await?;
            for found in items {
                all.push(item::read(found)?);
            }
            match next {
                Some(sk) => after = Some(sk),
                None => return Ok(all),
            }
        }
    }
}

impl Writes<'_> {
    /// Updates the rows by which organizations list the account, if they changed.
    pub(crate) fn rows(
        &mut self,
        before: Option<&Account>,
        after: &Account,
    ) -> Result<(), StoreError> {
        let old = before.map(UserRow::all_of).unwrap_or_default();
        let new = UserRow::all_of(after);
        for (key, row) in &new {
            if !old.iter().any(|(k, r)| k == key && r == row) {
                self.put(item::write(key.clone(), row)?)?;
            }
        }
        for (key, _) in old {
            if !new.iter().any(|(k, _)| *k == key) {
                self.delete(key)?;
            }
        }
        Ok(())
    }

    /// Marks the owner of an email address as a former user of an organization.
    pub(crate) fn note_former_user(
        &mut self,
        portal: &PortalId,
        organization: &OrganizationId,
        email: &Email,
    ) -> Result<(), StoreError> {
        self.put(former_key(portal, organization, email).into_item())
    }

    pub(crate) fn note_removed_in_review(
        &mut self,
        portal: &PortalId,
        organization: &OrganizationId,
        started_at: Timestamp,
        removed: &Removed,
    ) -> Result<(), StoreError> {
        let key = removed_key(portal, organization, started_at, &removed.account);
        self.put(item::write(key, removed)?)
    }
}
