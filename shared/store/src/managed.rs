//! The agents under a managing agent (AG-12). Each has a row beside the records, so that the cost of a lookup
//! depends on what is found and not on what exists.
//!
//! The records are authoritative. A row is written before its record and deleted after it, so that every
//! record has its row; a leftover row is detected by its record and not shown.

use std::collections::BTreeMap;

use serde_dynamo::aws_sdk_dynamodb_1::{from_attribute_value, to_attribute_value};
use vestibule_domain::state::record::{NewRecord, PlanRecord, RecordKey};
use vestibule_domain::values::folding::{NameKey, NameQuery};
use vestibule_domain::values::record_kind::RecordKind;

use crate::attributes::{Item, text};
use crate::key::Key;
use crate::read::{Page, read_cursor};
use crate::{Store, StoreError, records};

const ROWS: &str = "R#";

/// Returns the key of the row by which an agent is found under a managing agent (AG-12).
fn key(plan: &str, manager: &str, agent: &str) -> Key {
    Key::new(partition(plan, manager), format!("{ROWS}{agent}"))
}

/// Returns the partition of the agents under a managing agent.
fn partition(plan: &str, manager: &str) -> String {
    format!("M#{plan}#{manager}")
}

/// An agent under a managing agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedAgent {
    /// The agent id.
    pub number: String,
    /// The agent's name in the plan's records.
    pub name: String,
}

/// The start of a page of a managing agent's agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentsCursor(String);

impl AgentsCursor {
    /// Parses the `next` of a page; `None` if it is invalid or belongs to another list.
    pub fn parse(text: &str) -> Option<Self> {
        read_cursor(text, ROWS).map(Self)
    }
}

/// The number of rows read at a time: as many as the records that one call can load.
const AT_A_TIME: i32 = 100;

/// Returns the managing agent of a record, if it is an agent's.
fn manager_of<'a>(key: &RecordKey, manager: &'a Option<String>) -> Option<&'a str> {
    manager.as_deref().filter(|_| key.kind == RecordKind::Agent)
}

/// Returns the form of an agent's name that is searched.
fn name_key(row: &Item) -> Option<NameKey> {
    from_attribute_value(row.get("name_key")?.clone()).ok()
}

impl Store {
    /// Writes the row of an agent who has a managing agent.
    pub(crate) async fn note_manager(&self, new: &NewRecord) -> Result<(), StoreError> {
        let Some(manager) = manager_of(&new.key, &new.data.manager) else {
            return Ok(());
        };
        let mut row = key(&new.key.plan, manager, &new.key.number).into_item();
        let name = to_attribute_value(NameKey::of(&[&new.data.name]));
        row.insert("name_key".into(), name.map_err(StoreError::unavailable)?);
        self.db
            .put_item()
            .table_name(&self.tables.main)
            .set_item(Some(row))
            .send()
            .await
            .map_err(StoreError::call)?;
        Ok(())
    }

    /// Deletes the row of `before`, unless `after` has the same managing agent.
    pub(crate) async fn forget_manager(
        &self,
        before: &PlanRecord,
        after: Option<&NewRecord>,
    ) -> Result<(), StoreError> {
        let now = after.and_then(|a| manager_of(&a.key, &a.data.manager));
        let old = manager_of(&before.key, &before.data.manager).filter(|m| Some(*m) != now);
        let Some(manager) = old else {
            return Ok(());
        };
        let key = key(&before.key.plan, manager, &before.key.number);
        self.db
            .delete_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .send()
            .await
            .map_err(StoreError::call)?;
        Ok(())
    }

    /// Loads a page of the agents under a managing agent, ordered by id. With `query`, only agents whose id
    /// or name it finds. `manager` is the managing agent's record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn managed_agents(
        &self,
        manager: &RecordKey,
        query: Option<&NameQuery>,
        cursor: Option<&AgentsCursor>,
        limit: usize,
    ) -> Result<Page<ManagedAgent>, StoreError> {
        let pk = partition(&manager.plan, &manager.number);
        let mut after = cursor.map(|c| c.0.clone());
        let mut items: Vec<ManagedAgent> = Vec::new();
        loop {
            let (rows, next) = self.page(pk.clone(), ROWS, after, AT_A_TIME).await?;
            let wanted = rows.iter().filter_map(|row| {
                let number = text(row, "sk")?.strip_prefix(ROWS)?;
                let is_found = |query: &NameQuery| {
                    query.starts(number) || name_key(row).is_some_and(|name| query.finds(&name))
                };
                query.is_none_or(is_found).then(|| RecordKey {
                    number: number.to_owned(),
                    ..manager.clone()
                })
            });
            // One more than the limit shows whether there is a next page.
            let wanted: Vec<_> = wanted.collect();
            let more_rows = next.is_some();
            for few in wanted.chunks(limit + 1) {
                let mut found = BTreeMap::new();
                for item in self.batch(few.iter().map(records::key).collect()).await? {
                    let record = records::read(item, &self.keyring)?;
                    if !record.ended && record.data.manager.as_ref() == Some(&manager.number) {
                        found.insert(record.key.number, record.data.name);
                    }
                }
                for (number, name) in found {
                    if items.len() == limit {
                        let last = items.last().map(|a| format!("{ROWS}{}", a.number));
                        return Ok(Page::new(items, last));
                    }
                    items.push(ManagedAgent { number, name });
                }
            }
            if !more_rows {
                return Ok(Page::new(items, None));
            }
            after = next;
        }
    }
}
