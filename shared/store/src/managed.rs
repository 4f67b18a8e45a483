//! The agents under a managing agent (AG-12). Each has a row beside the records, so that the cost of a lookup
//! depends on what is found and not on what exists.
//!
//! The records are authoritative. A row is written before its record and deleted after it, so that every
//! record has its row; a leftover row is detected by its record and not shown.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64URL_NOPAD;
use vestibule_domain::record::{NewRecord, PlanRecord, RecordKey, RecordKind};

use crate::read::{Page, read_cursor};
use crate::{Store, Unavailable, keys, records};

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
        read_cursor(text, keys::MANAGED).map(Self)
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
    pub(crate) async fn note_manager(&self, new: &NewRecord) -> Result<(), Unavailable> {
        let Some(manager) = manager_of(&new.key, &new.data.manager) else {
            return Ok(());
        };
        let mut row = keys::managed(&new.key.plan, manager, &new.key.number).into_item();
        row.insert("name".into(), AttributeValue::S(new.data.name.clone()));
        self.db
            .put_item()
            .table_name(&self.tables.main)
            .set_item(Some(row))
            .send()
            .await
            .map_err(Unavailable::call)?;
        Ok(())
    }

    /// Deletes the row of `before`, unless `after` has the same managing agent.
    pub(crate) async fn forget_manager(
        &self,
        before: &PlanRecord,
        after: Option<&NewRecord>,
    ) -> Result<(), Unavailable> {
        let now = after.and_then(|a| manager_of(&a.key, &a.data.manager));
        let old = manager_of(&before.key, &before.data.manager).filter(|m| Some(*m) != now);
        let Some(manager) = old else {
            return Ok(());
        };
        let key = keys::managed(&before.key.plan, manager, &before.key.number);
        self.db
            .delete_item()
            .table_name(&self.tables.main)
            .set_key(Some(key.into_item()))
            .send()
            .await
            .map_err(Unavailable::call)?;
        Ok(())
    }

    /// Loads a page of the agents under a managing agent, ordered by id. With `query`, only agents whose id
    /// or a word of whose name starts with it. `manager` is the managing agent's record.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn managed_agents(
        &self,
        manager: &RecordKey,
        query: Option<&str>,
        cursor: Option<&AgentsCursor>,
        limit: usize,
    ) -> Result<Page<ManagedAgent>, Unavailable> {
        let query = query.map(str::to_lowercase);
        let pk = keys::managed_by(&manager.plan, &manager.number);
        let mut after = cursor.map(|c| c.0.clone());
        let mut items: Vec<ManagedAgent> = Vec::new();
        loop {
            let (rows, next) = self
                .page(pk.clone(), keys::MANAGED, after, AT_A_TIME)
                .await?;
            let wanted = rows.iter().filter_map(|row| {
                let text = |name: &str| row.get(name).and_then(|v| v.as_s().ok());
                let number = text("sk")?.strip_prefix(keys::MANAGED)?;
                begins_with(text("name")?, number, query.as_deref()).then(|| RecordKey {
                    number: number.to_owned(),
                    ..manager.clone()
                })
            });
            // One more than the limit shows whether there is a next page.
            let wanted: Vec<_> = wanted.collect();
            let more_rows = next.is_some();
            for few in wanted.chunks(limit + 1) {
                let mut found = BTreeMap::new();
                for item in self.batch(few.iter().map(keys::record).collect()).await? {
                    let record = records::read(item, &self.keyring)?;
                    if !record.ended && record.data.manager.as_ref() == Some(&manager.number) {
                        found.insert(record.key.number, record.data.name);
                    }
                }
                for (number, name) in found {
                    if items.len() == limit {
                        let last = items
                            .last()
                            .map(|a| format!("{}{}", keys::MANAGED, a.number));
                        let next = last.map(|sk| BASE64URL_NOPAD.encode(sk.as_bytes()));
                        return Ok(Page { items, next });
                    }
                    items.push(ManagedAgent { number, name });
                }
            }
            if !more_rows {
                return Ok(Page { items, next: None });
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
