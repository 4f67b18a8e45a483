//! How fast a feed of plan records is imported, and in how much memory: a full feed of members that are all
//! new, the same again, and one in which a hundredth has changed.
//!
//! `cargo run --release -p vestibule-tests --features measure --example measure_import -- 10000 100000 1000000`
//!
//! Each size has a process of its own, and the embedded DynamoDB another, so that the memory is that of
//! the import, its S3 stand-in included.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement looks at the clock"
)]

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use vestibule_import_records::Outcome;
use vestibule_local::instance::FEEDS;
use vestibule_local::{Instance, Options, folder, sample_records};
use vestibule_tests::measure::{cpu_ms, peak_mib, reset_peak, sizes};

#[tokio::main]
async fn main() {
    let header =
        "| rows | feed | saved | as they were | rows/s | CPU ms a 1,000 rows | peak memory |";
    sizes(header, measure).await;
}

async fn measure(count: usize, endpoint: String) {
    let data = tempfile::tempdir().unwrap();
    let instance = Instance::start(Options {
        data: Some(data.path().to_owned()),
        dynamodb_endpoint: Some(endpoint),
        ..Options::in_memory()
    })
    .await
    .unwrap();
    let bucket = data.path().join(folder::BUCKETS).join(FEEDS);
    for (day, what, changed) in [
        (1, "all new", 0),
        (2, "the same again", 0),
        (3, "a hundredth changed", count / 100),
    ] {
        let key = format!(
            "feeds/{}/member/2026-11-{day:02}.full.csv",
            sample_records::PLAN
        );
        write_feed(&bucket.join(&key), count, changed);
        reset_peak();
        let (began, cpu) = (Instant::now(), cpu_ms());
        let outcome = instance.importer().import(&key, None, |_| {}).await;
        let took = began.elapsed().as_secs_f64();
        let cpu = cpu_ms() - cpu;
        let Outcome::Imported(summary) = outcome.unwrap() else {
            panic!("{what}: the feed was not imported");
        };
        assert_eq!(summary.rejected, 0, "{:?}", summary.rejects.first());
        println!(
            "| {count} | {what} | {} | {} | {:.0} | {:.0} | {:.1} MiB |",
            summary.saved,
            summary.unchanged,
            count as f64 / took,
            cpu / count as f64 * 1000.0,
            peak_mib(),
        );
    }
}

/// A feed of so many members, of whom the first `changed` have moved.
fn write_feed(file: &Path, count: usize, changed: usize) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut out = BufWriter::new(File::create(file).unwrap());
    writeln!(
        out,
        "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,address_line2,address_line3,city,region,postal_code,country"
    )
    .unwrap();
    for i in 0..count {
        let (subscriber, person) = (200_000_000 + i / 3, i % 3);
        let street = if i < changed { "Quay" } else { "Lane" };
        writeln!(
            out,
            "{subscriber},{person},First{i},Last{0},Last{0},19{1:02}-0{2}-1{3},{i} Heronmere {street},,,Springfield,IL,62704,US",
            i / 3,
            i % 90 + 10,
            i % 9 + 1,
            i % 10,
        )
        .unwrap();
    }
}
