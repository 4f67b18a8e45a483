//! The portals: one policy file each, read at run time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use vestibule_domain::ids::PortalId;
use vestibule_domain::policy::{Policy, PolicyError};

/// The policies by portal.
#[derive(Debug, Clone, Default)]
pub struct Portals(Arc<BTreeMap<String, Arc<Policy>>>);

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
    /// A help desk names a portal that it can't serve.
    #[error(
        "{file}: serves.portals: {portal} is no portal of the plan {plan} that a help desk can serve"
    )]
    Serves {
        /// The file.
        file: String,
        /// The portal named.
        portal: PortalId,
        /// The help desk's plan.
        plan: String,
    },
    /// There is none.
    #[error("{0}: holds no policy; put one NAME.toml a portal there (docs/portals.md)")]
    Empty(String),
}

impl Portals {
    /// Reads every `*.toml` of a folder.
    ///
    /// # Errors
    /// [`PortalsError`]; a wrong policy is told with file, line and field.
    pub fn read(folder: &Path) -> Result<Self, PortalsError> {
        let unreadable = |path: &Path, source| PortalsError::Unreadable {
            path: path.display().to_string(),
            source,
        };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
            let path = entry.map_err(|e| unreadable(folder, e))?.path();
            if path.extension().is_some_and(|e| e == "toml") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut portals = BTreeMap::new();
        for path in paths {
            let file = path.display().to_string();
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or_default();
            let portal = PortalId::parse(stem).map_err(|reason| PortalsError::Name {
                file: file.clone(),
                reason,
            })?;
            let text = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, e))?;
            let policy = Policy::parse(portal, &file, &text)?;
            portals.insert(policy.portal.to_string(), Arc::new(policy));
        }
        for desk in portals.values() {
            let named = desk.serves.iter().flat_map(|s| &s.portals);
            let unserved = |id: &&PortalId| {
                !portals
                    .get(id.as_str())
                    .is_some_and(|other: &Arc<Policy>| desk.serves(other))
            };
            if let Some(portal) = named.into_iter().find(unserved) {
                return Err(PortalsError::Serves {
                    file: folder
                        .join(format!("{}.toml", desk.portal))
                        .display()
                        .to_string(),
                    portal: portal.clone(),
                    plan: desk.plan.id.to_string(),
                });
            }
        }
        if portals.is_empty() {
            return Err(PortalsError::Empty(folder.display().to_string()));
        }
        Ok(Self(Arc::new(portals)))
    }

    /// The policy of a portal.
    pub fn get(&self, portal: &str) -> Option<&Arc<Policy>> {
        self.0.get(portal)
    }

    /// For the store, which derives from them when something is due.
    pub fn policies(&self) -> Arc<BTreeMap<String, Arc<Policy>>> {
        Arc::clone(&self.0)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.0.values()
    }
}
