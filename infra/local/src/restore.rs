//! `cargo portal restore`: copies items from restored tables back into the tables in use.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vestibule_store::StoreError;
use vestibule_store::keyring::Keys;
use vestibule_store::restore::{Cursor, Mode, Report, Restore, TableKind};

use crate::StartError;

/// What to restore.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The restored main table.
    pub from: Option<String>,
    /// The restored table of the audit trail.
    pub from_audit: Option<String>,
    /// The partition keys to restore in the main table; all if empty.
    pub keys: Vec<String>,
    pub mode: Mode,
    /// The file that records how far copying got.
    pub progress: PathBuf,
}

/// How far copying got, so that the next run continues there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    from: String,
    to: String,
    overwrite: bool,
    report: Report,
    /// `None` at the end of the table.
    cursor: Option<Cursor>,
}

/// The names of the kinds of items in the main table, by the letter with which their key starts.
const KINDS: [(&str, &str); 14] = [
    ("A", "accounts"),
    ("C", "accounts by email address"),
    ("E", "email addresses in use"),
    ("F", "progress of feeds"),
    ("G", "attempt counters"),
    ("H", "earlier usernames"),
    ("K", "the keyring"),
    ("L", "the batch of letters"),
    ("M", "agents by manager"),
    ("N", "usernames"),
    ("O", "organizations and their users"),
    ("R", "plan records"),
    ("T", "links in emails"),
    ("X", "emails and letters"),
];

/// How often progress is reported and saved: after this many items.
const EVERY: u64 = 10_000;

/// Restores items, or reports what would be restored, and prints the result by kind of item.
///
/// # Errors
/// Fails if a table can't be read or written. Run it again to continue.
pub async fn restore(
    keys: &Keys,
    wanted: &Wanted,
    now: Timestamp,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let tables = [
        (&wanted.from, &keys.tables.main, TableKind::Main),
        (&wanted.from_audit, &keys.tables.audit, TableKind::Audit),
    ];
    let mut overtaken = 0;
    for (from, to, kind) in tables {
        let Some(from) = from else { continue };
        if from == to {
            return Err(format!("{from} is the table in use: name the restored table").into());
        }
        let restore = Restore {
            db: keys.db.clone(),
            from: from.clone(),
            to: to.clone(),
            kind,
        };
        writeln!(out, "{from} to {to}")?;
        let report = if kind == TableKind::Main && !wanted.keys.is_empty() {
            let mut report = Report::default();
            for pk in &wanted.keys {
                report += restore.copy_partition(pk, wanted.mode, now).await?;
            }
            report
        } else {
            whole(&restore, wanted, now, out).await?
        };
        overtaken += report.total().overtaken;
        print(&report, kind, wanted.mode, out)?;
    }
    if overtaken > 0 {
        writeln!(
            out,
            "{overtaken} items changed at the same time and were left as they are."
        )?;
    }
    Ok(writeln!(
        out,
        "{}",
        match wanted.mode.apply {
            true =>
                "Finished. Sessions and links in emails were not restored: users sign in again.",
            false =>
                "Nothing was changed. Repeat the command with --apply to restore the missing items.",
        }
    )?)
}

/// Restores a whole table. Continues where an interrupted run got to.
async fn whole(
    restore: &Restore,
    wanted: &Wanted,
    now: Timestamp,
    out: &mut impl Write,
) -> Result<Report, StartError> {
    let Restore { from, to, .. } = restore;
    let path = match restore.kind {
        TableKind::Main => wanted.progress.clone(),
        TableKind::Audit => wanted.progress.with_extension("audit.json"),
    };
    let ours = |p: &Progress| {
        (&p.from, &p.to, p.overwrite) == (from, to, wanted.mode.overwrite) && wanted.mode.apply
    };
    let saved = read(&path)?.filter(ours);
    let start = match saved {
        Some(Progress { cursor: None, .. }) | None => (Report::default(), None),
        Some(Progress { report, cursor, .. }) => {
            writeln!(out, "  Continuing an interrupted run.")?;
            (report, cursor)
        }
    };
    let mut shown = 0;
    let progress = |report: &Report, cursor: Option<&Cursor>| {
        let (read, written) = (report.total().read(), report.total().written);
        if read < shown + EVERY {
            return Ok(());
        }
        shown = read;
        let _ = writeln!(out, "  {read} items read, {written} written");
        if !wanted.mode.apply {
            return Ok(());
        }
        let progress = Progress {
            from: from.clone(),
            to: to.clone(),
            overwrite: wanted.mode.overwrite,
            report: report.clone(),
            cursor: cursor.cloned(),
        };
        save(&path, &progress).map_err(|e| StoreError::Unavailable(e.to_string()))
    };
    let report = restore.copy_all(wanted.mode, now, start, progress).await?;
    if wanted.mode.apply {
        remove(&path)?;
    }
    Ok(report)
}

fn read(path: &Path) -> Result<Option<Progress>, StartError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            format!(
                "{} can't be read ({e}): delete it to start over",
                path.display()
            )
            .into()
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Replaces the file as a whole, so that an interruption can't leave half of it.
fn save(path: &Path, progress: &Progress) -> Result<(), StartError> {
    let draft = path.with_extension("draft");
    fs::write(&draft, serde_json::to_vec(progress)?)?;
    Ok(fs::rename(draft, path)?)
}

fn remove(path: &Path) -> Result<(), StartError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

fn print(
    report: &Report,
    kind: TableKind,
    mode: Mode,
    out: &mut impl Write,
) -> Result<(), StartError> {
    writeln!(
        out,
        "  {:<32} {:>10} {:>10} {:>10} {:>10} {:>10}",
        "", "missing", "different", "same", "left out", "written"
    )?;
    for (letter, c) in &report.kinds {
        let known = KINDS.iter().find(|(known, _)| known == letter);
        let name = match (kind, known) {
            (TableKind::Main, Some((_, name))) => *name,
            _ => letter.as_str(),
        };
        writeln!(
            out,
            "  {name:<32} {:>10} {:>10} {:>10} {:>10} {:>10}",
            c.missing, c.different, c.same, c.left_out, c.written
        )?;
    }
    let different = report.total().different;
    if different > 0 && kind == TableKind::Audit {
        writeln!(
            out,
            "  {different} entries of the audit trail differ and are never overwritten: verify the trail."
        )?;
    } else if different > 0 && !mode.overwrite {
        writeln!(
            out,
            "  {different} items differ. They stay as they are; --overwrite sets them back."
        )?;
    }
    Ok(())
}
