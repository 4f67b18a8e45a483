//! Letters leave the outbox: each is printed once, and then its PIN is nowhere but on paper.

use std::io;

use jiff::Timestamp;
use vestibule_domain::letter::Letter;
use vestibule_domain::message::Message;
use vestibule_http::Portals;
use vestibule_mail::letters::{self, RenderedLetter};
use vestibule_store::outbox::{Channel, Ending};
use vestibule_store::{Store, Unavailable};

/// Why letters can't be printed now. What hasn't been printed stays in the outbox.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The outbox can't be reached.
    #[error(transparent)]
    Store(#[from] Unavailable),
    /// A letter can't be written.
    #[error("a letter can't be written: {0}")]
    Write(#[from] io::Error),
}

/// Prints what is waiting, at most `limit` letters of each of the outbox's shards, and returns how
/// many were printed.
///
/// `write` keeps a letter under its identifier, so that one that is printed again after a death
/// takes the place of its first printing instead of being posted twice.
///
/// # Errors
/// [`PrintError`]; a letter that couldn't be written is given back.
pub async fn print_pending(
    store: &Store,
    portals: &Portals,
    now: Timestamp,
    limit: i32,
    mut write: impl FnMut(&Letter, &RenderedLetter) -> io::Result<()>,
) -> Result<usize, PrintError> {
    let mut printed = 0;
    for id in store.pending_messages(Channel::Letter, limit).await? {
        let Some(Message::Letter(letter)) = store.claim_message(&id, Channel::Letter, now).await?
        else {
            continue;
        };
        let Some(policy) = portals.get(letter.portal.as_str()) else {
            tracing::error!(message = %id, portal = %letter.portal, "a letter of an unknown portal is dropped");
            store.close_message(&id, Ending::Refused, now).await?;
            continue;
        };
        if let Err(error) = write(&letter, &letters::render(&letter, policy)) {
            store.release_message(&id, now).await?;
            return Err(error.into());
        }
        store.close_message(&id, Ending::Sent, now).await?;
        printed += 1;
    }
    Ok(printed)
}
