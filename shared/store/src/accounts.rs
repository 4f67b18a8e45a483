//! Accounts: their items, unique markers, and the items that find them by email address.

use std::collections::BTreeSet;
use std::hint::black_box;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use vestibule_domain::state::account::{
    Account, PasswordHash, Status, Undeliverable, UndeliverableKind,
};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::state::session::Token;
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::values::text::{Email, PostalAddress, Sensitive};
use vestibule_secrets::{Keyring, Purpose};

use crate::attributes::{Item, text};
use crate::commit::{Unique, Writes};
use crate::due::{self, DUE, DUE_ON};
use crate::expression::{Expression, n, s};
use crate::item;
use crate::key::Key;
use crate::tables::EXPIRES;
use crate::users::UserRow;
use crate::{Store, StoreError, decoy, organizations};

pub(crate) fn key(portal: &PortalId, id: &AccountId) -> Key {
    Key::new(format!("A#{portal}#{id}"), "A")
}

fn username_key(portal: &PortalId, username: &str) -> Key {
    Key::new(format!("N#{portal}#{username}"), "N")
}

fn email_key(realm: &str, email: &str) -> Key {
    Key::new(format!("E#{realm}#{email}"), "E")
}

/// Returns the key of the item that finds an account by its email address, for forgotten usernames.
fn contact_key(account: &Account) -> Key {
    Key::new(
        contacts(&account.portal, &account.email),
        account.id.as_str(),
    )
}

/// Returns the partition of the accounts with an email address.
fn contacts(portal: &PortalId, email: &Email) -> String {
    format!("C#{portal}#{}", email.key())
}

/// Returns the key of the item that finds an account by a username that it had, in an organization that
/// it left, or before it was deleted or renamed. Only searches of the audit trail use it.
fn former_key(portal: &PortalId, username: &str, account: &AccountId) -> Key {
    Key::new(former_users(portal, username), account.as_str())
}

fn former_users(portal: &PortalId, username: &str) -> String {
    format!("H#{portal}#{username}")
}

/// The maximum number of former owners of a username that are read.
const MAX_FORMER: i32 = 25;

/// The maximum number of accounts with one email address that are read.
const MAX_CONTACTS: i32 = 25;

/// How long the id and username of a deleted account are kept: as long as the audit trail (UX-11).
const KEPT_AFTER_DELETION: SignedDuration = SignedDuration::from_hours(24 * 2192);

/// The attribute with the addresses of an account's memberships, in order, sealed as one text.
const ADDRESSES: &str = "postal_addresses";

/// The attribute with the secrets of an account's authenticator apps, in order, sealed as one text.
const APP_SECRETS: &str = "authenticator_secrets";

/// Builds the item of an account.
pub(crate) fn write_account(
    account: &Account,
    keyring: &Keyring,
    rng: &mut impl CryptoRng,
) -> Result<Item, StoreError> {
    let key = key(&account.portal, &account.id);
    let mut open = account.clone();
    let addresses: Vec<Option<PostalAddress>> = open
        .memberships
        .iter_mut()
        .map(|m| m.postal_address.take())
        .collect();
    let sealed = addresses
        .iter()
        .any(Option::is_some)
        .then(|| item::seal(Purpose::PostalAddress, &key, &addresses, (keyring, rng)))
        .transpose()?;
    let apps = &account.second_factors.apps;
    let secrets: Vec<&str> = apps.iter().map(|a| a.secret.expose()).collect();
    let secrets = (!secrets.is_empty())
        .then(|| item::seal(Purpose::AppSecret, &key, &secrets, (keyring, rng)))
        .transpose()?;
    let mut item = item::write(key, &open)?;
    item.extend(sealed.map(|s| (ADDRESSES.to_owned(), s)));
    item.extend(secrets.map(|s| (APP_SECRETS.to_owned(), s)));
    Ok(item)
}

/// Parses the item of an account.
pub(crate) fn read_account(mut item: Item, keyring: &Keyring) -> Result<Account, StoreError> {
    let sealed = item.remove(ADDRESSES);
    let secrets = item.remove(APP_SECRETS);
    let mut account: Account = item::read(item)?;
    if let Some(sealed) = sealed {
        let key = key(&account.portal, &account.id);
        let addresses: Vec<Option<PostalAddress>> =
            item::open(Purpose::PostalAddress, &key, &sealed, keyring)?;
        for (membership, address) in account.memberships.iter_mut().zip(addresses) {
            membership.postal_address = address;
        }
    }
    if let Some(sealed) = secrets {
        let key = key(&account.portal, &account.id);
        let secrets: Vec<Sensitive> = item::open(Purpose::AppSecret, &key, &sealed, keyring)?;
        for (app, secret) in account.second_factors.apps.iter_mut().zip(secrets) {
            app.secret = secret;
        }
    }
    Ok(account)
}

/// Builds the item that finds an account by its email address and marks an address that bounces.
fn contact_row(account: &Account) -> Item {
    let mut row = contact_key(account).into_item();
    let bounced = |u: &Undeliverable| u.kind == UndeliverableKind::Bounced;
    if account.email_undeliverable.as_ref().is_some_and(bounced) {
        row.insert("bounced".into(), AttributeValue::Bool(true));
    }
    row
}

/// Returns the key of the item that finds an account by a token that was emailed to its owner.
fn token_key(digest: &str) -> Key {
    Key::new(format!("T#{digest}"), "T")
}

/// Returns the digests of an account's emailed tokens, with the end of their validity. A deleted account has
/// none.
fn tokens(account: &Account) -> Vec<(&str, Timestamp)> {
    if account.status == Status::Deleted {
        return Vec::new();
    }
    let email = account.pending_email.as_ref();
    let email = email.map(|p| (p.token.as_str(), p.expires_at));
    let reset = account.reset.as_ref();
    let reset = reset.map(|r| (r.token.as_str(), r.expires_at));
    email.into_iter().chain(reset).collect()
}

/// Returns the unique markers of an account: its username and, in a realm, its email address. A deleted
/// account has none.
fn markers(account: &Account) -> Vec<(Key, Unique)> {
    if account.status == Status::Deleted {
        return Vec::new();
    }
    let mut markers = vec![(
        username_key(&account.portal, &account.username.key()),
        Unique::Username,
    )];
    if let Some(realm) = &account.email_realm {
        markers.push((email_key(realm, &account.email.key()), Unique::Email));
    }
    markers
}

impl Store {
    /// Loads an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account(
        &self,
        portal: &PortalId,
        id: &AccountId,
    ) -> Result<Option<Account>, StoreError> {
        let found = self.get(key(portal, id)).await?;
        found.map(|i| read_account(i, &self.keyring)).transpose()
    }

    /// Loads an organization and an account in one round trip.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn organization_with_account(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        account: &AccountId,
    ) -> Result<(Option<Organization>, Option<Account>), StoreError> {
        let organization_key = organizations::key(portal, organization);
        let items = self
            .batch(vec![organization_key.clone(), key(portal, account)])
            .await?;
        let (mut organization, mut account) = (None, None);
        for found in items {
            if organization_key.is_of(&found) {
                organization = Some(item::read(found)?);
            } else {
                account = Some(read_account(found, &self.keyring)?);
            }
        }
        Ok((organization, account))
    }

    /// Loads up to 100 accounts by id in one round trip. An account that can't be parsed is an error in the
    /// list and does not affect the others; a missing account is not in the list.
    ///
    /// # Errors
    /// [`StoreError`] when none could be read.
    pub async fn accounts(
        &self,
        portal: &PortalId,
        ids: &[AccountId],
    ) -> Result<Vec<Result<Account, StoreError>>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = ids.iter().map(|id| key(portal, id)).collect();
        let found = self.batch(wanted).await?;
        Ok(found
            .into_iter()
            .map(|i| read_account(i, &self.keyring))
            .collect())
    }

    /// Returns the id that a new account with this username gets if the id is free. Sign-in can then read the
    /// username's marker and the account at once; renamed accounts need a second read. The id is keyed, so
    /// that nobody can compute whose session or link a forged token would be (UX-09).
    pub fn account_id(&self, portal: &PortalId, username_key: &str) -> AccountId {
        let name = format!("account/{portal}/{username_key}");
        AccountId::from_bytes(self.keyring.keyed_id(&name))
    }

    /// Loads the account to which an emailed token belongs. The token is looked up before anything else, so
    /// that a forged one costs the same whether or not its account exists (UX-09). The caller must still
    /// check the token.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account_of_token(
        &self,
        portal: &PortalId,
        token: &Token,
    ) -> Result<Option<Account>, StoreError> {
        let found = self.get(token_key(&token.digest())).await?;
        let owner = found
            .as_ref()
            .and_then(|row| text(row, "account"))
            .map(String::as_str);
        match AccountId::parse(token.locator()) {
            Ok(id) if owner == Some(id.as_str()) => self.account(portal, &id).await,
            _ => Ok(None),
        }
    }

    /// Loads the account with a username, given in the form of `Username::key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn account_by_username(
        &self,
        portal: &PortalId,
        username: &str,
    ) -> Result<Option<Account>, StoreError> {
        let marker_key = username_key(portal, username);
        let account_key = key(portal, &self.account_id(portal, username));
        let items = self
            .batch(vec![marker_key.clone(), account_key.clone()])
            .await?;
        let (mut marker, mut account) = (None, None);
        for found in items {
            if marker_key.is_of(&found) {
                marker = Some(found);
            } else if account_key.is_of(&found) {
                account = Some(read_account(found, &self.keyring)?);
            }
        }
        let Some(owner) = marker.as_ref().and_then(|m| text(m, "account")) else {
            if account.is_none() {
                // Parsed like an account that exists, and discarded.
                let _ = black_box(read_account(decoy::item(), &self.keyring));
            }
            return Ok(None);
        };
        match account {
            Some(account) if account.id.as_str() == owner => Ok(Some(account)),
            _ => {
                let owner = AccountId::parse(owner)
                    .map_err(|_| StoreError::corrupt("a username's marker"))?;
                self.account(portal, &owner).await
            }
        }
    }

    /// Loads the id of the account with a username, given in the form of `Username::key`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn owner_of_username(
        &self,
        portal: &PortalId,
        username: &str,
    ) -> Result<Option<AccountId>, StoreError> {
        let found = self.batch(vec![username_key(portal, username)]).await?;
        let owner = found.first().and_then(|marker| text(marker, "account"));
        let corrupt = |_| StoreError::corrupt("a username's marker");
        owner
            .map(|id| AccountId::parse(id).map_err(corrupt))
            .transpose()
    }

    /// Loads the accounts on a portal with an email address.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn accounts_by_email(
        &self,
        portal: &PortalId,
        email: &Email,
    ) -> Result<Vec<Account>, StoreError> {
        let (contacts, _) = self
            .page(contacts(portal, email), "", None, MAX_CONTACTS)
            .await?;
        let ids = contacts
            .iter()
            .filter_map(|c| AccountId::parse(text(c, "sk")?).ok());
        let wanted: Vec<_> = ids.map(|id| key(portal, &id)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.batch(wanted).await?;
        found
            .into_iter()
            .map(|i| read_account(i, &self.keyring))
            .collect()
    }

    /// Loads the accounts that had a username and were deleted or renamed, or left an organization, with the
    /// organizations that they belonged to (UX-11).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn former_users(
        &self,
        portal: &PortalId,
        username: &str,
    ) -> Result<Vec<(AccountId, BTreeSet<String>)>, StoreError> {
        let (items, _) = self
            .page(former_users(portal, username), "", None, MAX_FORMER)
            .await?;
        let former = |item: &Item| {
            let organizations = item.get("organizations").and_then(|o| o.as_ss().ok());
            let organizations = organizations.into_iter().flatten().cloned().collect();
            Some((AccountId::parse(text(item, "sk")?).ok()?, organizations))
        };
        Ok(items.iter().filter_map(former).collect())
    }

    /// Returns whether emails to an address on a portal are known to bounce.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bounces(&self, portal: &PortalId, email: &Email) -> Result<bool, StoreError> {
        let (contacts, _) = self
            .page(contacts(portal, email), "", None, MAX_CONTACTS)
            .await?;
        let bounced = |c: &Item| c.get("bounced").is_some_and(|b| b.as_bool() == Ok(&true));
        Ok(contacts.iter().any(bounced))
    }
}

impl Writes<'_> {
    pub(crate) fn create_account(
        &mut self,
        account: &Account,
        due_on: Option<Date>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        for (marker, unique) in markers(account) {
            self.put_marker(marker, unique, account)?;
        }
        let row = self.account_row(account, due_on, rng)?;
        self.put_new(row, Some(Unique::AccountId))?;
        self.put(contact_row(account))?;
        self.update_tokens(&[], account)?;
        self.rows(None, account)
    }

    /// Replaces the account if it has not changed since it was read, and updates its markers and rows.
    pub(crate) fn update_account(
        &mut self,
        before: &Account,
        after: &Account,
        due_on: Option<Date>,
        rng: &mut impl CryptoRng,
    ) -> Result<(), StoreError> {
        let (old, new) = (markers(before), markers(after));
        for (marker, unique) in &new {
            if !old.iter().any(|(m, _)| m == marker) {
                self.put_marker(marker.clone(), *unique, after)?;
            }
        }
        for (marker, _) in old {
            if !new.iter().any(|(m, _)| *m == marker) {
                self.delete(marker)?;
            }
        }
        self.update_tokens(&tokens(before), after)?;
        if before.email.key() != after.email.key() {
            self.delete(contact_key(before))?;
            if after.status != Status::Deleted {
                self.put(contact_row(after))?;
            }
        } else if before.email_undeliverable != after.email_undeliverable {
            self.put(contact_row(after))?;
        }
        let next = Account {
            version: before.version + 1,
            ..after.clone()
        };
        let put = self
            .put_of(self.account_row(&next, due_on, rng)?)
            .values([(":version", n(before.version))]);
        // A sign-in does not change the version, but must not be overwritten.
        let put = match before.last_sign_in_at {
            Some(at) => put
                .condition_expression("version = :version AND last_sign_in_at = :last")
                .values([(":last", s(at))]),
            None => put.condition_expression(
                "version = :version AND attribute_not_exists(last_sign_in_at)",
            ),
        };
        self.push_put(put, None)?;
        self.note_former_username(before, after)?;
        self.rows(Some(before), &next)
    }

    /// Keeps a username with the organizations that its owner leaves, as long as the audit trail.
    fn note_former_username(
        &mut self,
        before: &Account,
        after: &Account,
    ) -> Result<(), StoreError> {
        let organizations = |account: &Account| -> BTreeSet<String> {
            let memberships = account.memberships.iter();
            memberships
                .filter_map(|m| m.organization.as_ref())
                .map(ToString::to_string)
                .collect()
        };
        let is_given_up = before.username.key() != after.username.key()
            || (before.status != Status::Deleted && after.status == Status::Deleted);
        let mut left = organizations(before);
        if !is_given_up {
            let kept = organizations(after);
            left.retain(|organization| !kept.contains(organization));
            if left.is_empty() {
                return Ok(());
            }
        }
        let key = former_key(&before.portal, &before.username.key(), &before.id);
        let end = (self.at + KEPT_AFTER_DELETION).as_second();
        let mut update = self.update_of(key).names([("#expires", EXPIRES)]);
        update = update.values([(":end", n(end))]);
        update = if left.is_empty() {
            update.update_expression("SET #expires = :end")
        } else {
            let left = AttributeValue::Ss(left.into_iter().collect());
            update
                .update_expression("SET #expires = :end ADD organizations :left")
                .values([(":left", left)])
        };
        self.push_update(update, None)
    }

    pub(crate) fn note_sign_in(
        &mut self,
        account: &Account,
        (at, due_on): (Timestamp, Option<Date>),
        rehashed: Option<&PasswordHash>,
        from: Option<&str>,
        (device, forgotten): (&str, &[String]),
    ) -> Result<(), StoreError> {
        // Each device is a separate map entry, so that two concurrent sign-ins are both remembered.
        let mut set = "SET last_sign_in_at = :at, devices.#device = :at".to_owned();
        let mut remove = Vec::new();
        let mut update = self
            .update_of(key(&account.portal, &account.id))
            .condition_expression("version = :version")
            .names([("#device", device)])
            .values([(":version", n(account.version)), (":at", s(at))]);
        match from {
            Some(from) => {
                set.push_str(", last_sign_in_from = :from");
                update = update.values([(":from", s(from))]);
            }
            None => remove.push("last_sign_in_from".to_owned()),
        }
        for (i, digest) in forgotten.iter().enumerate() {
            remove.push(format!("devices.#forgotten{i}"));
            update = update.names([(&format!("#forgotten{i}"), digest)]);
        }
        if let Some(hash) = rehashed {
            set.push_str(", #password.#hash = :hash");
            update = update
                .names([("#password", "password"), ("#hash", "hash")])
                .values([(":hash", s(hash.as_str()))]);
        }
        match due_on.map(|on| due::attributes(account, on)) {
            Some([(_, due), (_, on)]) => {
                set.push_str(", due = :due, due_on = :on");
                update = update.values([(":due", due), (":on", on)]);
            }
            None => remove.extend([DUE, DUE_ON].map(str::to_owned)),
        }
        if !remove.is_empty() {
            set.push_str(&format!(" REMOVE {}", remove.join(", ")));
        }
        self.push_update(update.update_expression(set), None)?;
        for (key, _) in UserRow::all_of(account) {
            let update = self
                .update_of(key)
                .condition_expression("attribute_exists(pk)")
                .update_expression("SET last_sign_in_at = :at")
                .values([(":at", s(at))]);
            self.push_update(update, None)?;
        }
        Ok(())
    }

    /// Builds the item of an account, with the day of its next scheduled action. The item of a deleted
    /// account expires together with the audit trail that refers to it.
    fn account_row(
        &self,
        account: &Account,
        due_on: Option<Date>,
        rng: &mut impl CryptoRng,
    ) -> Result<Item, StoreError> {
        let mut row = write_account(account, &self.store.keyring, rng)?;
        row.extend(
            due_on
                .into_iter()
                .flat_map(|on| due::attributes(account, on)),
        );
        if account.status == Status::Deleted {
            let end = (self.at + KEPT_AFTER_DELETION).as_second();
            row.insert(EXPIRES.into(), n(end));
        }
        Ok(row)
    }

    /// Writes the items of an account's new emailed tokens, and deletes those of the tokens that it no longer
    /// has. DynamoDB deletes them some time after they expire.
    fn update_tokens(
        &mut self,
        before: &[(&str, Timestamp)],
        account: &Account,
    ) -> Result<(), StoreError> {
        let after = tokens(account);
        for (digest, expires_at) in &after {
            if !before.iter().any(|(d, _)| d == digest) {
                let mut row = token_key(digest).into_item();
                row.insert("account".into(), s(&account.id));
                row.insert(EXPIRES.into(), n(expires_at.as_second()));
                self.put(row)?;
            }
        }
        for (digest, _) in before {
            if !after.iter().any(|(d, _)| d == digest) {
                self.delete(token_key(digest))?;
            }
        }
        Ok(())
    }

    fn put_marker(
        &mut self,
        key: Key,
        unique: Unique,
        account: &Account,
    ) -> Result<(), StoreError> {
        let mut row = key.into_item();
        row.insert("account".into(), s(&account.id));
        self.put_new(row, Some(unique))
    }
}
