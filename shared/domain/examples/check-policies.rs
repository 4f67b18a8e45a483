//! Checks the policies in a folder. `sam build` runs it before packaging them.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use vestibule_domain::policy::portals::Portals;
use vestibule_domain::values::ids::PortalId;

const HELP: &str = "\
Checks every portal policy NAME.toml in a folder, individually and in combination.
Prints the file, line and field of every fault, one per line, and exits with 1.

Usage: check-policies FOLDER

Example:
  cargo run -q -p vestibule-domain --example check-policies -- infra/portals

docs/portals.md describes every field.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    if matches!(folder.as_str(), "-h" | "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match check(Path::new(folder)) {
        Ok(count) => {
            println!("{count} policies in {folder} are valid");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}\ndocs/portals.md describes every field.");
            ExitCode::FAILURE
        }
    }
}

fn check(folder: &Path) -> Result<usize, Box<dyn Error>> {
    let unreadable = |e| format!("{}: {e}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            let file = path.display().to_string();
            let name = path.file_stem().and_then(|s| s.to_str());
            let portal = PortalId::parse(name.unwrap_or_default());
            let portal = portal.map_err(|rule| format!("{file}: {rule}"))?;
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{file}: {e}"))?;
            files.push((portal, file, text));
        }
    }
    if files.is_empty() {
        return Err(format!("{}: contains no policy", folder.display()).into());
    }
    let count = files.len();
    Portals::new(files).check()?;
    Ok(count)
}
