//! Reads the folder of policies, one file per portal, at run time.

use std::path::Path;

use vestibule_domain::policy::PolicyError;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::values::ids::PortalId;

/// Why the portals can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PortalsError {
    /// The folder, or a file in it, can't be read.
    #[error("{path}: {source}")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    /// A file name is not a valid portal name.
    #[error("{file}: {reason}; the file name must be the portal's name")]
    Name {
        file: String,
        /// The rule that the name violates.
        reason: &'static str,
    },
    /// One or more files are not valid policies; each fault is on its own line.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The folder contains no policy.
    #[error("{0}: contains no policy; add one NAME.toml file per portal (docs/portals.md)")]
    Empty(String),
}

/// Opens a folder with one `*.toml` file per portal. Each policy is parsed when it is first used.
///
/// # Errors
/// [`PortalsError`], except for invalid policies.
pub fn open(folder: &Path) -> Result<Portals, PortalsError> {
    let unreadable = |path: &Path, source| PortalsError::Unreadable {
        path: path.display().to_string(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let path = entry.map_err(|e| unreadable(folder, e))?.path();
        if path.extension().is_none_or(|e| e != "toml") {
            continue;
        }
        let file = path.display().to_string();
        let stem = path.file_stem().and_then(|s| s.to_str());
        let portal = match PortalId::parse(stem.unwrap_or_default()) {
            Ok(portal) => portal,
            Err(reason) => return Err(PortalsError::Name { file, reason }),
        };
        let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, e))?;
        files.push((portal, file, text));
    }
    if files.is_empty() {
        return Err(PortalsError::Empty(folder.display().to_string()));
    }
    Ok(Portals::new(files))
}

/// Opens a folder of policies and validates all of them, for programs that report errors to a person.
///
/// # Errors
/// [`PortalsError`]; for invalid policies it lists every fault with file, line and field.
pub fn read(folder: &Path) -> Result<Portals, PortalsError> {
    let portals = open(folder)?;
    portals.check()?;
    Ok(portals)
}
