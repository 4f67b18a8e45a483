//! `cargo portal import`: stores a file as the next feed of the day and imports it as on AWS.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::tz::TimeZone;
use vestibule_domain::feed::sequence::{Extent, FeedName};
use vestibule_domain::feed::{MAX_LINE_BYTES, file_name};
use vestibule_domain::policy::Slug;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::Clock;
use vestibule_import_records::{Outcome, STATUS, Summary};

use crate::instance::FEEDS;
use crate::{Instance, Options, StartError, folder, sample_records};

/// Imports a file into a data folder. If a portal is running on the folder, that process imports it.
///
/// # Errors
/// Says what prevents the import and how to fix it.
pub async fn run(
    file: &Path,
    kind: Option<RecordKind>,
    extent: Extent,
    on: Options,
    out: &mut impl Write,
) -> Result<(), StartError> {
    let kind = kind.or_else(|| named(file)).ok_or_else(|| {
        format!(
            "the name of {} doesn't say which records it holds. Add --kind member, agent, group or provider",
            file.display()
        )
    })?;
    let Some(data) = on.data.clone() else {
        return Err("an import needs a data folder".into());
    };
    let bucket = data.join(folder::BUCKETS).join(FEEDS);
    let name = next_name(&bucket, kind, extent, &on.clock)?;
    let key = name.to_string();
    put(file, &bucket, &key)?;
    let status = bucket.join(format!("{key}{STATUS}"));
    if folder::in_use(&data)? {
        writeln!(
            out,
            "The running portal imports the file in a few seconds and writes the result to {}",
            status.display()
        )?;
        return Ok(());
    }
    let instance = Instance::start(on).await?;
    let bar = if io::stderr().is_terminal() {
        let rows = fs::metadata(file)?.len() / (MAX_LINE_BYTES as u64 / 512);
        let style = ProgressStyle::with_template("Importing {bar:32} {pos} rows, {per_sec}")?;
        ProgressBar::new(rows).with_style(style)
    } else {
        ProgressBar::hidden()
    };
    let done = |s: &Summary| bar.set_position(s.saved + s.unchanged);
    let outcome = instance.importer().import(&key, None, done).await;
    bar.finish_and_clear();
    match outcome? {
        Outcome::Imported(summary) => print_summary(&summary, &bucket, &key, out)?,
        Outcome::Before => writeln!(out, "This feed was already imported.")?,
        Outcome::Refused(why) => return Err(format!("the feed was rejected: {why}").into()),
    }
    instance.deliver_all().await
}

fn named(file: &Path) -> Option<RecordKind> {
    let name = file.file_name()?.to_str()?;
    RecordKind::ALL
        .iter()
        .copied()
        .find(|k| file_name(*k) == name)
}

/// Returns the first name of the day that no feed has.
fn next_name(
    bucket: &Path,
    kind: RecordKind,
    extent: Extent,
    clock: &Clock,
) -> Result<FeedName, StartError> {
    let day = clock.now().to_zoned(TimeZone::UTC).date();
    let mut name = FeedName {
        plan: Slug::parse(sample_records::PLAN)?,
        kind,
        order: (day, 1),
        extent,
    };
    let taken = |name: &FeedName| {
        [Extent::Full, Extent::Changes].into_iter().any(|extent| {
            let name = FeedName {
                extent,
                ..name.clone()
            };
            bucket.join(name.to_string()).exists()
        })
    };
    while taken(&name) {
        name.order.1 += 1;
    }
    Ok(name)
}

/// Stores the file in one step: a running portal must not read half of it.
fn put(file: &Path, bucket: &Path, key: &str) -> Result<(), StartError> {
    let target = bucket.join(key);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    let part = bucket.join(format!(".importing-{}", std::process::id()));
    fs::copy(file, &part).map_err(|e| format!("{} can't be read: {e}", file.display()))?;
    fs::rename(part, target)?;
    Ok(())
}

fn print_summary(
    summary: &Summary,
    bucket: &Path,
    key: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let Summary {
        rows,
        saved,
        unchanged,
        ended,
        accounts,
        letters,
        rejected,
        ..
    } = summary;
    writeln!(
        out,
        "Imported {key}: {rows} rows; {saved} records new or changed, {unchanged} unchanged, {ended} ended; {accounts} accounts and organizations changed; {letters} notification letters."
    )?;
    if *rejected > 0 {
        let rejects = bucket.join(format!("{key}.rejects.csv"));
        writeln!(out, "{rejected} rows were rejected: {}", rejects.display())?;
    }
    Ok(())
}
