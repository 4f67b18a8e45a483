//! Reads: what a decision needs, in one round trip.

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use vestibule_domain::account::{Account, Membership, Registration, Status, Undeliverable};
use vestibule_domain::ids::{AccountId, InvitationId, OrganizationId, PortalId};
use vestibule_domain::invite::Invitation;
use vestibule_domain::organization::Organization;
use vestibule_domain::policy::Role;
use vestibule_domain::record::{PlanRecord, RecordKey};
use vestibule_domain::review::{Confirmation, Removed, Reviewed};
use vestibule_domain::schedule::Manager;
use vestibule_domain::session::{Session, Token};
use vestibule_domain::text::{Email, PersonName};

use crate::item::{self, Item};
use crate::keys::{self, Key};
use crate::{Store, Unavailable, decoy, records};

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
    /// The searchable texts in lower case: username, names, email address.
    search: [String; 4],
}

/// A filter for an organization's users; the default matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// A prefix of the username, a name or the email address.
    pub query: Option<String>,
    pub role: Option<Role>,
    pub registration: Option<Registration>,
    pub status: Option<Status>,
    /// Matches users who have not signed in since this time, or never.
    pub idle_since: Option<Timestamp>,
}

impl UserFilter {
    fn holds_for(&self, row: &UserRow) -> bool {
        let query = self.query.as_ref().map(|q| q.to_lowercase());
        query.is_none_or(|q| row.search.iter().any(|s| s.starts_with(&q)))
            && self.role.is_none_or(|r| r == row.role)
            && self.registration.is_none_or(|r| r == row.registration)
            && self.status.is_none_or(|s| s == row.status)
            && self
                .idle_since
                .is_none_or(|at| row.last_sign_in_at.is_none_or(|last| last < at))
    }
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
            search: [
                account.username.key(),
                account.name.first.as_str().to_lowercase(),
                account.name.last.as_str().to_lowercase(),
                account.email.key(),
            ],
        }
    }

    /// Returns the user as a manager of the organization, if they are an administrator who can act.
    pub(crate) fn as_manager(&self) -> Option<Manager> {
        let acts = self.role.is_administrator()
            && self.status == Status::Active
            && self.registration == Registration::Registered;
        let email = Email::parse(&self.email).ok().filter(|_| acts)?;
        Some(Manager {
            role: self.role,
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
            let key = keys::membership(&account.portal, organization, &account.id, m);
            Some((key, Self::with(account, m)))
        };
        account.memberships.iter().filter_map(row).collect()
    }
}

/// An administrator of an organization, as shown to its users (AG-15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    pub name: PersonName,
    pub email: String,
    pub role: Role,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// An opaque cursor for the next page; `None` on the last page.
    pub next: Option<String>,
}

/// The maximum number of accounts with one email address that are read.
const MAX_CONTACTS: i32 = 25;

/// The maximum number of sessions of an account that are read.
const MAX_SESSIONS: i32 = 200;

/// The number of users that a filtered list reads at a time.
const FILTERED_AT_A_TIME: usize = 500;

/// The start of a page of an organization's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersCursor(String);

/// The start of a page of an organization's invitations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationsCursor(String);

impl UsersCursor {
    /// Parses the `next` of a page; `None` if it is invalid or belongs to another list.
    pub fn parse(text: &str) -> Option<Self> {
        read_cursor(text, keys::MEMBERS).map(Self)
    }
}

impl InvitationsCursor {
    /// Parses the `next` of a page; `None` if it is invalid or belongs to another list.
    pub fn parse(text: &str) -> Option<Self> {
        read_cursor(text, keys::INVITATIONS).map(Self)
    }
}

impl Store {
    /// Loads items by key with strong consistency, in one call unless DynamoDB throttles.
    pub(crate) async fn batch(&self, keys: Vec<Key>) -> Result<Vec<Item>, Unavailable> {
        self.batch_of(keys, None).await
    }

    /// Does the same for selected attributes.
    pub(crate) async fn batch_of(
        &self,
        keys: Vec<Key>,
        attributes: Option<&str>,
    ) -> Result<Vec<Item>, Unavailable> {
        let mut wanted = Some(
            KeysAndAttributes::builder()
                .set_projection_expression(attributes.map(str::to_owned))
                .set_keys(Some(keys.into_iter().map(Key::into_item).collect()))
                .consistent_read(true)
                .build()
                .map_err(Unavailable::new)?,
        );
        let mut items = Vec::new();
        let mut rounds = 0;
        while let Some(request) = wanted.take() {
            let got = self
                .db
                .batch_get_item()
                .request_items(&self.tables.main, request)
                .send()
                .await
                .map_err(Unavailable::call)?;
            items.extend(
                got.responses
                    .into_iter()
                    .flat_map(|mut r| r.remove(&self.tables.main))
                    .flatten(),
            );
            wanted = got
                .unprocessed_keys
                .and_then(|mut u| u.remove(&self.tables.main));
            rounds += 1;
            if wanted.is_some() {
                if rounds > 5 {
                    return Err(Unavailable("reads are throttled".into()));
                }
                tokio::time::sleep(std::time::Duration::from_millis(10 << rounds)).await;
            }
        }
        Ok(items)
    }

    pub(crate) async fn get(&self, key: Key) -> Result<Option<Item>, Unavailable> {
        let got = self
            .db
            .get_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::call)?;
        Ok(got.item)
    }

    /// Loads one page of a partition's items whose sort key starts with `prefix`.
    pub(crate) async fn page(
        &self,
        pk: String,
        prefix: &str,
        after: Option<String>,
        limit: i32,
    ) -> Result<(Vec<Item>, Option<String>), Unavailable> {
        let start = after.map(|sk| Key { pk: pk.clone(), sk }.into_item());
        let mut query = self
            .db
            .query()
            .table_name(&self.tables.main)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk));
        if !prefix.is_empty() {
            query = query
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":prefix", AttributeValue::S(prefix.to_owned()));
        }
        let got = query
            .set_exclusive_start_key(start)
            .limit(limit)
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::call)?;
        let next = got
            .last_evaluated_key
            .and_then(|k| k.get("sk").and_then(|v| v.as_s().ok()).cloned());
        Ok((got.items.unwrap_or_default(), next))
    }

    /// Loads the account with a username.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn account_by_username(
        &self,
        portal: &PortalId,
        key: &str,
    ) -> Result<Option<Account>, Unavailable> {
        let marker_key = keys::username(portal, key);
        let account_key = keys::account(portal, &Account::natural_id(portal, key));
        let items = self
            .batch(vec![marker_key.clone(), account_key.clone()])
            .await?;
        let (mut marker, mut account) = (None, None);
        for found in items {
            if marker_key.is_of(&found) {
                marker = Some(found);
            } else if account_key.is_of(&found) {
                account = Some(item::read_account(found, &self.keyring)?);
            }
        }
        let Some(owner) = marker.as_ref().and_then(|m| m.get("account")?.as_s().ok()) else {
            if account.is_none() {
                decoy::read(&self.keyring);
            }
            return Ok(None);
        };
        match account {
            Some(account) if account.id.as_str() == owner => Ok(Some(account)),
            _ => {
                let owner = AccountId::parse(owner)
                    .map_err(|_| Unavailable::corrupt("a username's marker"))?;
                self.account(portal, &owner).await
            }
        }
    }

    /// Loads an account.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn account(
        &self,
        portal: &PortalId,
        id: &AccountId,
    ) -> Result<Option<Account>, Unavailable> {
        let found = self.get(keys::account(portal, id)).await?;
        found
            .map(|i| item::read_account(i, &self.keyring))
            .transpose()
    }

    /// Loads the accounts on a portal with an email address.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn accounts_by_email(
        &self,
        portal: &PortalId,
        email: &Email,
    ) -> Result<Vec<Account>, Unavailable> {
        let (contacts, _) = self
            .page(keys::contacts(portal, email), "", None, MAX_CONTACTS)
            .await?;
        let ids = contacts
            .iter()
            .filter_map(|c| AccountId::parse(c.get("sk")?.as_s().ok()?).ok());
        let wanted: Vec<_> = ids.map(|id| keys::account(portal, &id)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.batch(wanted).await?;
        found
            .into_iter()
            .map(|i| item::read_account(i, &self.keyring))
            .collect()
    }

    /// Returns whether emails to an address on a portal are known to bounce.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn bounces(&self, portal: &PortalId, email: &Email) -> Result<bool, Unavailable> {
        let (contacts, _) = self
            .page(keys::contacts(portal, email), "", None, MAX_CONTACTS)
            .await?;
        let bounced = |c: &Item| c.get("bounced").is_some_and(|b| b.as_bool() == Ok(&true));
        Ok(contacts.iter().any(bounced))
    }

    /// Loads the session of a token with its account, in one read.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn session(
        &self,
        portal: &PortalId,
        token: &Token,
    ) -> Result<Option<(Session, Account)>, Unavailable> {
        let Ok(id) = AccountId::parse(token.locator()) else {
            return Ok(None);
        };
        let account_key = keys::account(portal, &id);
        let session_key = keys::session(portal, &id, &token.digest());
        let items = self.batch(vec![account_key.clone(), session_key]).await?;
        let (mut session, mut account) = (None, None);
        for found in items {
            if account_key.is_of(&found) {
                account = Some(item::read_account(found, &self.keyring)?);
            } else {
                session = Some(item::read::<Session>(found)?);
            }
        }
        Ok(session.zip(account))
    }

    /// Loads the sessions of an account, including expired ones.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn sessions(
        &self,
        portal: &PortalId,
        account: &AccountId,
    ) -> Result<Vec<Session>, Unavailable> {
        let pk = keys::account(portal, account).pk;
        let (items, _) = self.page(pk, keys::SESSIONS, None, MAX_SESSIONS).await?;
        items.into_iter().map(item::read).collect()
    }

    /// Updates the last use of a session, if it still exists.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn touch_session(
        &self,
        session: &Session,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let touched = self
            .db
            .update_item()
            .table_name(&self.tables.main)
            .set_key(Some(
                keys::session(&session.portal, &session.account, &session.id).into_item(),
            ))
            .condition_expression("attribute_exists(pk)")
            .update_expression("SET last_seen_at = :now")
            .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
            .send()
            .await;
        Unavailable::unless_conditional(touched)
    }

    /// Loads the records of all persons with a number.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn plan_records(&self, key: &RecordKey) -> Result<Vec<PlanRecord>, Unavailable> {
        let got = self
            .db
            .query()
            .table_name(&self.tables.main)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(keys::records(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(Unavailable::call)?;
        got.items
            .unwrap_or_default()
            .into_iter()
            .map(|i| records::read(i, &self.keyring))
            .collect()
    }

    /// Loads a plan record.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn plan_record(&self, key: &RecordKey) -> Result<Option<PlanRecord>, Unavailable> {
        let found = self.get(keys::record(key)).await?;
        found.map(|i| records::read(i, &self.keyring)).transpose()
    }

    /// Loads an organization.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn organization(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, Unavailable> {
        self.get(keys::organization(portal, id))
            .await?
            .map(item::read)
            .transpose()
    }

    /// Loads several organizations in one round trip, in no particular order.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn organizations(
        &self,
        portal: &PortalId,
        ids: impl IntoIterator<Item = &OrganizationId>,
    ) -> Result<Vec<Organization>, Unavailable> {
        let wanted: Vec<_> = ids
            .into_iter()
            .map(|id| keys::organization(portal, id))
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.batch(wanted).await?;
        found.into_iter().map(item::read).collect()
    }

    /// Loads what an invitation to an email address depends on: the organization, its existing invitation to
    /// the address, and whether the owner of the address was previously removed from it.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn invitation_state(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        email: &Email,
    ) -> Result<(Option<Organization>, Option<Invitation>, bool), Unavailable> {
        let organization_key = keys::organization(portal, organization);
        let former_key = keys::former_user(portal, organization, email);
        let invitation_key = keys::invitation(
            portal,
            organization,
            &Invitation::natural_id(organization, email),
        );
        let items = self
            .batch(vec![
                organization_key.clone(),
                former_key.clone(),
                invitation_key,
            ])
            .await?;
        let (mut organization, mut invitation, mut former) = (None, None, false);
        for found in items {
            if organization_key.is_of(&found) {
                organization = Some(item::read(found)?);
            } else if former_key.is_of(&found) {
                former = true;
            } else {
                invitation = Some(item::read(found)?);
            }
        }
        Ok((organization, invitation, former))
    }

    /// Loads an organization and an account in one round trip.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn organization_with_account(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        account: &AccountId,
    ) -> Result<(Option<Organization>, Option<Account>), Unavailable> {
        let organization_key = keys::organization(portal, organization);
        let items = self
            .batch(vec![
                organization_key.clone(),
                keys::account(portal, account),
            ])
            .await?;
        let (mut organization, mut account) = (None, None);
        for found in items {
            if organization_key.is_of(&found) {
                organization = Some(item::read(found)?);
            } else {
                account = Some(item::read_account(found, &self.keyring)?);
            }
        }
        Ok((organization, account))
    }

    /// Loads an invitation.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn invitation(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        id: &InvitationId,
    ) -> Result<Option<Invitation>, Unavailable> {
        self.get(keys::invitation(portal, organization, id))
            .await?
            .map(item::read)
            .transpose()
    }

    /// Loads a page of an organization's invitations, with any status.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn invitations(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        cursor: Option<&InvitationsCursor>,
        limit: u8,
    ) -> Result<Page<Invitation>, Unavailable> {
        self.list(
            portal,
            organization,
            keys::INVITATIONS,
            cursor.map(|c| c.0.clone()),
            limit,
        )
        .await
    }

    /// Loads a page of an organization's users that match a filter, administrators first. Without a filter
    /// it is one query; with a filter it reads until the page is full.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn users(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        filter: &UserFilter,
        cursor: Option<&UsersCursor>,
        limit: usize,
    ) -> Result<Page<UserRow>, Unavailable> {
        let pk = keys::organization(portal, organization).pk;
        let mut after = cursor.map(|c| c.0.clone());
        let mut items = Vec::new();
        let reads = if *filter == UserFilter::default() {
            limit
        } else {
            FILTERED_AT_A_TIME
        };
        loop {
            let (rows, next) = self
                .page(
                    pk.clone(),
                    keys::MEMBERS,
                    after,
                    i32::try_from(reads).unwrap_or(i32::MAX),
                )
                .await?;
            let last = rows.len().saturating_sub(1);
            for (i, found) in rows.into_iter().enumerate() {
                let sk = found
                    .get("sk")
                    .and_then(|v| v.as_s().ok())
                    .cloned()
                    .unwrap_or_default();
                let row: UserRow = item::read(found)?;
                if filter.holds_for(&row) {
                    items.push(row);
                }
                if items.len() == limit {
                    let more = i < last || next.is_some();
                    return Ok(Page {
                        items,
                        next: more.then(|| BASE64URL_NOPAD.encode(sk.as_bytes())),
                    });
                }
            }
            match next {
                Some(sk) => after = Some(sk),
                None => return Ok(Page { items, next: None }),
            }
        }
    }

    /// Loads the users who were removed during the review that started at `started_at` (EX-11).
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn removed_in_review(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        started_at: Timestamp,
    ) -> Result<Vec<Removed>, Unavailable> {
        let pk = keys::organization(portal, organization).pk;
        let prefix = keys::removed_in(started_at);
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

    async fn list<T: serde::de::DeserializeOwned>(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        prefix: &str,
        after: Option<String>,
        limit: u8,
    ) -> Result<Page<T>, Unavailable> {
        let pk = keys::organization(portal, organization).pk;
        let (items, next) = self.page(pk, prefix, after, limit.into()).await?;
        Ok(Page {
            items: items
                .into_iter()
                .map(item::read)
                .collect::<Result<_, _>>()?,
            next: next.map(|sk| BASE64URL_NOPAD.encode(sk.as_bytes())),
        })
    }

    /// Loads an organization and its administrators who can act on a day (AG-15), in one round trip.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn organization_with_administrators(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
        today: Date,
    ) -> Result<(Option<Organization>, Vec<Administrator>), Unavailable> {
        let pk = keys::organization(portal, id).pk;
        let (organization, rows) = futures::future::try_join(
            self.organization(portal, id),
            self.page(pk, keys::ADMINISTRATORS, None, 100),
        )
        .await?;
        let mut administrators = Vec::new();
        for found in rows.0 {
            let row: UserRow = item::read(found)?;
            let over = row.end_date.is_some_and(|last| last < today);
            if row.status == Status::Active && row.registration == Registration::Registered && !over
            {
                administrators.push(Administrator {
                    name: row.name,
                    email: row.email,
                    role: row.role,
                });
            }
        }
        Ok((organization, administrators))
    }
}

/// Decodes the sort key of a cursor, if the cursor belongs to this list.
pub(crate) fn read_cursor(cursor: &str, prefix: &str) -> Option<String> {
    if cursor.len() > 200 {
        return None;
    }
    let sk = String::from_utf8(BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?).ok()?;
    sk.starts_with(prefix).then_some(sk)
}
