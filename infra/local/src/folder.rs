//! The data folder of an instance: its contents, its lock and its removal.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use jiff::SignedDuration;
use vestibule_domain::feed::sequence::FeedName;
use vestibule_import_records::STATUS;

use crate::StartError;

/// The database of the embedded DynamoDB.
pub const DATABASE: &str = "dynamodb.sqlite";
/// The emails, one per line.
pub const INBOX: &str = "inbox.jsonl";
/// The printed letters as text.
pub const LETTERS: &str = "letters";
/// The S3 buckets, one folder each.
pub const BUCKETS: &str = "s3";
/// The master key of the local KMS.
pub const KMS_KEY: &str = "kms.key";
/// The signing keys of the local KMS.
pub const SIGNING_KEYS: &str = "signing-keys";
/// The sample people; written at the end of the first start.
pub const PEOPLE: &str = "people.json";
/// The address and token of the running portal's control endpoint; the address stays after a stop.
pub const SERVER: &str = "server.json";
/// How many milliseconds the system's clock is ahead of the machine's.
const CLOCK: &str = "clock";
/// Written by `first-staff`: the data is in use even if there are no sample people.
pub const FIRST_STAFF: &str = "first-staff";
/// Locked by the process that uses the folder.
const LOCK: &str = "vestibule.lock";

/// Everything that an instance may leave in its folder, except the lock.
const CONTENTS: [&str; 12] = [
    DATABASE,
    "dynamodb.sqlite-wal",
    "dynamodb.sqlite-shm",
    INBOX,
    LETTERS,
    BUCKETS,
    KMS_KEY,
    SIGNING_KEYS,
    PEOPLE,
    SERVER,
    CLOCK,
    FIRST_STAFF,
];

/// Locks the folder for one instance, and creates it if it doesn't exist.
///
/// # Errors
/// Fails if the folder can't be created, holds other files or is in use.
pub fn lock(folder: &Path) -> Result<File, StartError> {
    make(folder).map_err(|e| {
        format!(
            "the folder {} can't be created: {e}. Choose another with --data DIR",
            folder.display()
        )
    })?;
    if !is_ours(folder) && fs::read_dir(folder)?.next().is_some() {
        return Err(format!(
            "the folder {} contains other files, so nothing was written to it. Choose a new or empty folder with --data DIR",
            folder.display()
        )
        .into());
    }
    let file = File::create(folder.join(LOCK)).map_err(|e| {
        format!(
            "the folder {} isn't writable: {e}. Choose another with --data DIR",
            folder.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another portal is running on the folder {}. Stop it first, or choose another folder with --data DIR",
            folder.display()
        )
        .into()),
        Err(TryLockError::Error(e)) => Err(e.into()),
    }
}

/// Creates the folder so that only its owner can read it; it holds PINs and the key.
fn make(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Returns whether an instance created the folder.
fn is_ours(folder: &Path) -> bool {
    folder.join(LOCK).is_file()
}

/// Returns whether the first start in the folder was interrupted.
pub fn is_unfinished(folder: &Path) -> bool {
    let there = |name| folder.join(name).is_file();
    there(DATABASE) && !there(PEOPLE) && !there(FIRST_STAFF)
}

/// Returns whether an instance was started in the folder before.
pub fn holds_data(folder: &Path) -> bool {
    folder.join(KMS_KEY).is_file()
}

/// Returns how far the folder's clock is ahead of the machine's.
///
/// # Errors
/// Fails if the file is damaged.
pub fn ahead(folder: &Path) -> Result<SignedDuration, StartError> {
    let file = folder.join(CLOCK);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(SignedDuration::ZERO),
        Err(e) => return Err(format!("{} can't be read: {e}", file.display()).into()),
    };
    let milliseconds = text.trim().parse().map_err(|_| {
        format!(
            "{} is damaged; remove it to return to the machine's time",
            file.display()
        )
    })?;
    Ok(SignedDuration::from_millis(milliseconds))
}

/// Stores how far the folder's clock is ahead of the machine's.
///
/// # Errors
/// Fails if the file can't be written.
pub fn set_ahead(folder: &Path, by: SignedDuration) -> io::Result<()> {
    fs::write(folder.join(CLOCK), by.as_millis().to_string())
}

/// Returns whether a process is using the folder.
///
/// # Errors
/// Fails if the lock can't be checked.
pub fn in_use(folder: &Path) -> io::Result<bool> {
    match File::open(folder.join(LOCK))?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

/// Returns whether the folder of the feeds' bucket holds a feed without a status file: one to be imported.
pub fn has_new_feed(bucket: &Path) -> bool {
    let mut folders = vec![bucket.join("feeds")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = path.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let key = path.strip_prefix(bucket).ok().and_then(Path::to_str);
            let key = key.unwrap_or_default().replace('\\', "/");
            if FeedName::parse(&key).is_ok() && !bucket.join(format!("{key}{STATUS}")).exists() {
                return true;
            }
        }
    }
    false
}

/// Removes what instances left in the folder and returns the names of what was removed. The caller must hold the
/// lock.
///
/// # Errors
/// Fails if something can't be removed.
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

/// The result of a reset.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    /// The files and folders that were removed.
    pub names: Vec<&'static str>,
    /// Whether the data folder itself was removed; it stays if it contains other files.
    pub whole: bool,
}

/// Removes everything that instances left in the data folder, and then the folder if it is empty. Returns none if
/// the folder doesn't exist.
///
/// # Errors
/// Fails if the folder isn't a portal's or is in use.
pub fn reset(folder: &Path) -> Result<Option<Removed>, StartError> {
    if !folder.exists() {
        return Ok(None);
    }
    if !is_ours(folder) {
        return Err(format!(
            "the folder {} was not created by `cargo portal`, so nothing was removed. Choose the right folder with --data DIR",
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
