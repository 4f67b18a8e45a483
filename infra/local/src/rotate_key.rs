//! `cargo portal rotate-key`: rotates the data key, from which all keys of the system derive (SE-11).

use std::io::Write;
use std::time::Duration;

use jiff::SignedDuration;
use vestibule_http::Clock;
use vestibule_store::keyring::Keys;

use crate::StartError;

/// Rotates the key and prints the progress. `spread` is how long processes need to learn of a new key; zero if
/// nothing else uses the tables. An interrupted rotation continues.
///
/// # Errors
/// Fails if there is no keyring, or the tables or KMS can't be reached.
pub async fn rotate(
    keys: &Keys,
    clock: &Clock,
    spread: SignedDuration,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let started = keys.start_rotation(clock.now(), spread).await?;
    let version = started.version;
    match started.is_resumed {
        true => writeln!(out, "Continuing the rotation to key version {version}.")?,
        false => writeln!(out, "Added key version {version}.")?,
    }
    let wait = started.reseal_at.duration_since(clock.now());
    if wait.is_positive() {
        writeln!(
            out,
            "Every function starts to use it within {} minutes. You can interrupt the command and run it again later.",
            (wait.as_secs() + 59) / 60
        )?;
    }
    while started.reseal_at > clock.now() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut shown = 0;
    let mut rng = vestibule_http::app::rng();
    let done = keys
        .reseal(clock.now(), &mut rng, |progress| {
            if progress.items >= shown + 10_000 {
                shown = progress.items;
                let _ = writeln!(
                    out,
                    "  {} items read, {} encrypted again",
                    progress.items, progress.resealed
                );
            }
        })
        .await?;
    Ok(writeln!(
        out,
        "Finished: {} items read, {} encrypted again with key version {version}. Earlier versions stay, because PINs, codes, answers and the audit trail refer to them.",
        done.items, done.resealed
    )?)
}
