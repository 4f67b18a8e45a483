//! The agents under a managing agent (AG-12). Each has a row beside the records, so that the cost of a lookup
//! depends on what is found and not on what exists.
//!
//! The records are authoritative. A row is written before its record and deleted after it, so that every
//! record has its row; a leftover row is detected by its record and not shown.

use std::collections::BTreeMap;

use vestibule_domain::state::record::{NewRecord, PlanRecord, RecordKey};
use vestibule_domain::values::record_kind::RecordKind;

use crate::attributes::text;
use crate::expression::s;
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

impl Store {
    /// Writes the row of an agent who has a managing agent.
    pub(crate) async fn note_manager(&self, new: &NewRecord) -> Result<(), StoreError> {
        let Some(manager) = manager_of(&new.key, &new.data.manager) else {
            return Ok(());
        };
        let mut row = key(&new.key.plan, manager, &new.key.number).into_item();
        row.insert("name".into(), s(&new.data.name));
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
    /// or a word of whose name starts with it. `manager` is the managing agent's record.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn managed_agents(
        &self,
        manager: &RecordKey,
        query: Option<&str>,
        cursor: Option<&AgentsCursor>,
        limit: usize,
    ) -> Result<Page<ManagedAgent>, StoreError> {
        let query = query.map(str::to_lowercase);
        let pk = partition(&manager.plan, &manager.number);
        let mut after = cursor.map(|c| c.0.clone());
        let mut items: Vec<ManagedAgent> = Vec::new();
        loop {
            let (rows, next) = self.page(pk.clone(), ROWS, after, AT_A_TIME).await?;
            let wanted = rows.iter().filter_map(|row| {
                let number = text(row, "sk")?.strip_prefix(ROWS)?;
                begins_with(text(row, "name")?, number, query.as_deref()).then(|| RecordKey {
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

/// Returns whether the id or a word of the name starts with the query.
fn begins_with(name: &str, number: &str, query: Option<&str>) -> bool {
    let Some(query) = query else {
        return true;
    };
    let name = name.to_lowercase();
    let mut words = name
        .char_indices()
        .filter(|(i, _)| *i == 0 || name[..*i].ends_with(|c: char| c.is_whitespace() || c == '-'));
    number.to_lowercase().starts_with(query) || words.any(|(i, _)| name[i..].starts_with(query))
}

#[cfg(test)]
mod tests {
    use super::begins_with;

    #[test]
    fn a_query_is_the_beginning_of_a_word_or_of_the_id() {
        for (query, fits) in [
            ("luis", true),
            ("ort", true),
            ("luis ort", true),
            ("vega", true),
            ("ag100", true),
            ("uis", false),
            ("rtega", false),
            ("0002", false),
        ] {
            let found = begins_with("Luis Ortega-Vega", "AG10002", Some(query));
            assert_eq!(found, fits, "{query}");
        }
        assert!(begins_with("Luis Ortega", "AG10002", None));
    }
}
