//! The progress of record feeds, one item for each kind of a plan's records.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use vestibule_domain::feeds::FeedState;
use vestibule_domain::record::RecordKind;

use crate::{Store, Unavailable, item, keys};

impl Store {
    /// Loads the progress of the feeds.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn feed_state(&self, plan: &str, kind: RecordKind) -> Result<FeedState, Unavailable> {
        let found = self.get(keys::feeds(plan, kind)).await?;
        Ok(found.map(item::read).transpose()?.unwrap_or_default())
    }

    /// Saves the progress of the feeds and increments its version. Returns `false` if another run saved it
    /// since it was read.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn save_feed_state(
        &self,
        plan: &str,
        kind: RecordKind,
        state: &mut FeedState,
    ) -> Result<bool, Unavailable> {
        let next = FeedState {
            version: state.version + 1,
            ..state.clone()
        };
        let put = self
            .db
            .put_item()
            .table_name(&self.tables.main)
            .set_item(Some(item::write(keys::feeds(plan, kind), &next)?))
            .condition_expression("attribute_not_exists(pk) OR version = :version")
            .expression_attribute_values(":version", AttributeValue::N(state.version.to_string()));
        match put.send().await {
            Ok(_) => {
                *state = next;
                Ok(true)
            }
            Err(e)
                if e.as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(e) => Err(Unavailable::call(e)),
        }
    }
}
