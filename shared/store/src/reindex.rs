//! Moves accounts in the index of scheduled actions after a policy has changed.

use jiff::civil::Date;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::organization::Organization;

use crate::attributes::{Item, text};
use crate::due::{attributes, day_of};
use crate::error::took_effect;
use crate::expression::{Expression, n, s};
use crate::{Store, StoreError, accounts, item};

/// A page of a scan of the accounts and organizations of all portals.
#[derive(Debug, Default)]
pub struct ScheduledPage {
    /// The readable accounts, each with its day in the index.
    pub accounts: Vec<(Account, Option<Date>)>,
    pub organizations: Vec<Organization>,
    /// The number of accounts that were scanned, including those that can't be read.
    pub accounts_read: u64,
    /// The start of the next page.
    pub next: Option<Item>,
}

impl Store {
    /// Updates the due day of an account whose policy changed since the account was written. Has no effect
    /// if the account changed since it was read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reschedule(&self, account: &Account, on: Option<Date>) -> Result<(), StoreError> {
        let update = self
            .update(accounts::key(&account.portal, &account.id))
            .values([(":version", n(account.version))]);
        let update = match account.last_sign_in_at {
            Some(at) => update
                .condition_expression("version = :version AND last_sign_in_at = :last")
                .values([(":last", s(at))]),
            None => update.condition_expression(
                "version = :version AND attribute_not_exists(last_sign_in_at)",
            ),
        };
        let update = match on.map(|on| attributes(account, on)) {
            Some([(_, due), (_, on)]) => update
                .update_expression("SET due = :due, due_on = :on")
                .values([(":due", due), (":on", on)]),
            None => update.update_expression("REMOVE due, due_on"),
        };
        took_effect(update.send().await)?;
        Ok(())
    }

    /// Loads a page of the accounts and organizations of all portals, to find those that a changed policy
    /// has moved. Scans the whole table.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn scheduled(&self, start: Option<Item>) -> Result<ScheduledPage, StoreError> {
        let got = self
            .db
            .scan()
            .table_name(&self.tables.main)
            .filter_expression("sk IN (:account, :organization)")
            .values([(":account", s("A")), (":organization", s("O"))])
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(StoreError::call)?;
        let mut page = ScheduledPage {
            next: got.last_evaluated_key,
            ..ScheduledPage::default()
        };
        for found in got.items.unwrap_or_default() {
            if text(&found, "sk").is_some_and(|sk| sk == "O") {
                page.organizations.push(item::read(found)?);
                continue;
            }
            page.accounts_read += 1;
            let day = day_of(&found);
            // The sweep reports accounts that can't be read.
            if let Ok(account) = accounts::read_account(found, &self.keyring) {
                page.accounts.push((account, day));
            }
        }
        Ok(page)
    }
}
