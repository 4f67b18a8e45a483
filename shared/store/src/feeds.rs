//! The progress of record feeds, one item for each kind of a plan's records.

use vestibule_domain::feed::sequence::FeedState;
use vestibule_domain::values::record_kind::RecordKind;

use crate::error::took_effect;
use crate::expression::{Expression, n};
use crate::key::Key;
use crate::{Store, StoreError, item};

fn key(plan: &str, kind: RecordKind) -> Key {
    Key::new(format!("F#{plan}#{}", kind.into_str()), "F")
}

impl Store {
    /// Loads the progress of the feeds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn feed_state(&self, plan: &str, kind: RecordKind) -> Result<FeedState, StoreError> {
        let found = self.get(key(plan, kind)).await?;
        Ok(found.map(item::read).transpose()?.unwrap_or_default())
    }

    /// Saves the progress of the feeds and increments its version. Returns `false` if another run saved it
    /// since it was read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_feed_state(
        &self,
        plan: &str,
        kind: RecordKind,
        state: &mut FeedState,
    ) -> Result<bool, StoreError> {
        let next = FeedState {
            version: state.version + 1,
            ..state.clone()
        };
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.main)
            .set_item(Some(item::write(key(plan, kind), &next)?))
            .condition_expression("attribute_not_exists(pk) OR version = :version")
            .values([(":version", n(state.version))]);
        let saved = took_effect(put.send().await)?;
        if saved {
            *state = next;
        }
        Ok(saved)
    }
}
