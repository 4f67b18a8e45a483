//! Writes the sample plan records into their folder.

use std::path::PathBuf;

use clap::Parser;
use vestibule_domain::feed;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_local::sample_records;

/// Generate the sample plan records: members.csv, agents.csv, groups.csv and providers.csv.
///
/// The output is the same every time. After a change to the generator, run this and commit the files.
#[derive(Parser)]
#[command(after_help = "\
Examples:
  cargo run -p vestibule-local --bin make-sample-records
  cargo run -p vestibule-local --bin make-sample-records -- --to /tmp/records")]
struct Arguments {
    /// The folder to write to
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../sample-records"))]
    to: PathBuf,
}

fn main() -> std::io::Result<()> {
    let Arguments { to } = Arguments::parse();
    std::fs::create_dir_all(&to)?;
    for &kind in RecordKind::ALL {
        let file = to.join(feed::file_name(kind));
        std::fs::write(&file, sample_records::generate(kind))?;
        println!("{}", file.display());
    }
    Ok(())
}
