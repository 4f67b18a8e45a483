//! The folder that keeps an instance's data: what is in it, who uses it, and how it is cleared.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use jiff::SignedDuration;

use crate::StartError;

/// The embedded DynamoDB.
pub const DATABASE: &str = "dynamodb.sqlite";
/// The mails, one a line.
pub const INBOX: &str = "inbox.jsonl";
/// The printed letters.
pub const LETTERS: &str = "letters";
/// The buckets of the stand-in for S3, a folder each.
pub const BUCKETS: &str = "s3";
/// The key of the stand-in for KMS.
pub const KMS_KEY: &str = "kms.key";
/// The sample people; written last, when the first start is done.
pub const PEOPLE: &str = "people.json";
/// By how many milliseconds the system's clock is ahead of the machine's.
const CLOCK: &str = "clock";
/// That `first-staff` has been here: somebody relies on what is kept, sample people or not.
pub const FIRST_STAFF: &str = "first-staff";
/// Held by the instance that uses the folder.
const LOCK: &str = "vestibule.lock";

/// Everything that an instance may leave in its folder, but for the lock.
const CONTENTS: [&str; 10] = [
    DATABASE,
    "dynamodb.sqlite-wal",
    "dynamodb.sqlite-shm",
    INBOX,
    LETTERS,
    BUCKETS,
    KMS_KEY,
    PEOPLE,
    CLOCK,
    FIRST_STAFF,
];

/// Takes the folder for one instance alone, and makes it if it isn't there.
///
/// # Errors
/// When it can't be made, holds something else, or another instance uses it.
pub fn lock(folder: &Path) -> Result<File, StartError> {
    make(folder).map_err(|e| {
        format!(
            "the folder {} can't be made: {e}. Choose another with --data DIR",
            folder.display()
        )
    })?;
    if !is_ours(folder) && fs::read_dir(folder)?.next().is_some() {
        return Err(format!(
            "the folder {} holds something else than the data of a portal, so nothing was written to it. Choose a new or empty folder with --data DIR",
            folder.display()
        )
        .into());
    }
    let file = File::create(folder.join(LOCK)).map_err(|e| {
        format!(
            "the folder {} can't be written to: {e}. Choose another with --data DIR",
            folder.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another portal is running on the folder {}. Stop that one first, or use another folder with --data DIR",
            folder.display()
        )
        .into()),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

/// Makes the folder, for its owner alone: it holds PINs and the key.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whether the folder was made by an instance.
fn is_ours(folder: &Path) -> bool {
    folder.join(LOCK).is_file()
}

/// Whether a first start in this folder broke off before its end.
pub fn is_unfinished(folder: &Path) -> bool {
    let there = |name| folder.join(name).is_file();
    there(DATABASE) && !there(PEOPLE) && !there(FIRST_STAFF)
}

/// Whether a system has been started in this folder.
pub fn holds_data(folder: &Path) -> bool {
    folder.join(KMS_KEY).is_file()
}

/// By how much the clock of the folder's system is ahead of the machine's.
///
/// # Errors
/// When the file is damaged.
pub fn ahead(folder: &Path) -> Result<SignedDuration, StartError> {
    let file = folder.join(CLOCK);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(SignedDuration::ZERO),
        Err(e) => return Err(format!("{} can't be read: {e}", file.display()).into()),
    };
    let milliseconds = text.trim().parse().map_err(|_| {
        format!(
            "{} is damaged; remove it to go back to the machine's time",
            file.display()
        )
    })?;
    Ok(SignedDuration::from_millis(milliseconds))
}

/// Keeps by how much the clock of the folder's system is ahead.
///
/// # Errors
/// When it can't be written.
pub fn set_ahead(folder: &Path, by: SignedDuration) -> io::Result<()> {
    fs::write(folder.join(CLOCK), by.as_millis().to_string())
}

/// Whether an instance uses the folder now.
///
/// # Errors
/// When that can't be told.
pub fn in_use(folder: &Path) -> io::Result<bool> {
    match File::open(folder.join(LOCK))?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Removes what instances have left in the folder, and returns the names of what was removed. The
/// lock must be held.
///
/// # Errors
/// When something can't be removed.
pub fn clear(folder: &Path) -> io::Result<Vec<&'static str>> {
    let mut removed = Vec::new();
    for name in CONTENTS {
        let path = folder.join(name);
        let gone = if matches!(name, LETTERS | BUCKETS) {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        match gone {
            Ok(()) => removed.push(name),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(removed)
}

/// What came of a reset.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// The names of what was removed.
    pub names: Vec<&'static str>,
    /// Whether the folder itself is gone; if not, it held something else too.
    pub whole: bool,
}

/// Removes the data folder: everything that an instance has left there, and nothing else. None if
/// there is no such folder.
///
/// # Errors
/// When it isn't a portal's folder, or one is running on it.
pub fn reset(folder: &Path) -> Result<Option<Removed>, StartError> {
    if !folder.exists() {
        return Ok(None);
    }
    if !is_ours(folder) {
        return Err(format!(
            "the folder {} was not made by `cargo portal`, so nothing was removed. Name the right one with --data DIR",
            folder.display()
        )
        .into());
    }
    let held = lock(folder)?;
    let cleared = clear(folder);
    let names =
        cleared.map_err(|e| format!("the folder {} can't be cleared: {e}", folder.display()))?;
    drop(held);
    fs::remove_file(folder.join(LOCK))?;
    let whole = fs::remove_dir(folder).is_ok();
    Ok(Some(Removed { names, whole }))
}
