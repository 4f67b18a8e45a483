//! The folder of policies: one file a portal, read at run time.

use std::path::Path;

use vestibule_domain::ids::PortalId;
use vestibule_domain::policy::PolicyError;
use vestibule_domain::portals::Portals;

/// Why the portals can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PortalsError {
    /// The folder, or a file in it, can't be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// What couldn't be read.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file's name is no portal's name.
    #[error("{file}: {reason}; the file's name is the portal's name")]
    Name {
        /// The file.
        file: String,
        /// The rule.
        reason: &'static str,
    },
    /// A file is no valid policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is none.
    #[error("{0}: holds no policy; put one NAME.toml a portal there (docs/portals.md)")]
    Empty(String),
}

/// The portals of every `*.toml` of a folder, each read when it is asked for.
///
/// # Errors
/// [`PortalsError`], but for a policy that is wrong.
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

/// The same, with every policy read and found right: for what has time to, and a person to tell.
///
/// # Errors
/// [`PortalsError`]; a wrong policy is told with file, line and field.
pub fn read(folder: &Path) -> Result<Portals, PortalsError> {
    let portals = open(folder)?;
    portals.check()?;
    Ok(portals)
}
