//! A scheduled event: sends what is due, and what a crashed sender or a lost event left in the outbox.

use vestibule_store::StoreError;
use vestibule_store::outbox::Queue;

use crate::Mailer;

/// The maximum number of emails per shard in one scheduled run.
pub(crate) const EACH_SHARD: i32 = 250;

impl Mailer {
    /// Sends what is due, at most `limit` emails from each shard of the outbox. Returns how many
    /// were sent; one that can't be sent doesn't delay the others.
    ///
    /// # Errors
    /// [`StoreError`] when the outbox can't be read.
    pub async fn deliver_pending(&self, limit: i32) -> Result<usize, StoreError> {
        let mut gone = 0;
        let now = self.clock.now();
        for id in self.store.pending_messages(Queue::Mail, limit, now).await? {
            match self.deliver(&id).await {
                Ok(true) => gone += 1,
                Ok(false) => {}
                Err(cause) => tracing::warn!(message = %id, %cause, "email delayed"),
            }
        }
        Ok(gone)
    }
}
