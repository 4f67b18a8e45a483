//! Writes the sample records into their folder.

use std::path::PathBuf;

use clap::Parser;
use vestibule_domain::feed;
use vestibule_domain::record::RecordKind;
use vestibule_local::sample_records;

/// Write the sample plan records anew: members.csv, agents.csv, groups.csv and providers.csv.
///
/// They are the same each time. After a change to the generator, commit what this writes.
#[derive(Parser)]
struct Arguments {
    /// The folder to write them to.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../sample-records"))]
    to: PathBuf,
}

fn main() -> std::io::Result<()> {
    let Arguments { to } = Arguments::parse();
    std::fs::create_dir_all(&to)?;
    for kind in RecordKind::ALL {
        let file = to.join(feed::file_name(kind));
        std::fs::write(&file, sample_records::generate(kind))?;
        println!("{}", file.display());
    }
    Ok(())
}
