//! The portals of a system: one policy each, read when it is first asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::policy::{Policy, PolicyError};
use crate::values::ids::PortalId;

/// The portals by name. A function that answers for one of them reads the policy of that one alone, as reading all of
/// them took a third of its first request; and a wrong policy keeps no other portal from working.
#[derive(Debug)]
pub struct Portals(BTreeMap<PortalId, PolicyFile>);

/// The file of a policy.
#[derive(Debug)]
struct PolicyFile {
    name: String,
    text: String,
    read: OnceLock<Result<Arc<Policy>, PolicyError>>,
}

impl Portals {
    /// Of these files: the portal, the file's name and its text each.
    pub fn new(files: impl IntoIterator<Item = (PortalId, String, String)>) -> Self {
        let file = |(portal, name, text)| {
            let read = OnceLock::new();
            (portal, PolicyFile { name, text, read })
        };
        Self(files.into_iter().map(file).collect())
    }

    /// The policy of a portal, if there is such a portal.
    ///
    /// # Errors
    /// [`PolicyError`] when it is wrong.
    pub fn get(&self, portal: &str) -> Result<Option<&Arc<Policy>>, PolicyError> {
        self.0.get_key_value(portal).map(read).transpose()
    }

    /// Each portal with its policy, or with what is wrong with that.
    pub fn each(&self) -> impl Iterator<Item = (&PortalId, Result<&Arc<Policy>, PolicyError>)> {
        self.0.iter().map(|file| (file.0, read(file)))
    }

    /// The policies of all portals, by name.
    ///
    /// # Errors
    /// [`PolicyError`] for the first that is wrong.
    pub fn all(&self) -> Result<Vec<&Arc<Policy>>, PolicyError> {
        self.each().map(|(_, policy)| policy).collect()
    }

    /// Reads all policies and looks whether they fit together, so that nothing is found out later.
    ///
    /// # Errors
    /// [`PolicyError`] for the first fault.
    pub fn check(&self) -> Result<(), PolicyError> {
        for desk in self.all()? {
            for portal in desk.help_desk_for.iter().flat_map(|s| &s.portals) {
                let served = self.get(portal.as_str())?;
                if !served.is_some_and(|other| desk.serves(other)) {
                    let PolicyFile { name, text, .. } = &self.0[&desk.portal];
                    let plan = &desk.plan.id;
                    let reason = format!(
                        "{portal} is no portal of the plan {plan} that a help desk can serve"
                    );
                    return Err(PolicyError::new(name, text, "serves.portals", reason));
                }
            }
        }
        Ok(())
    }

    /// The portals' names.
    pub fn names(&self) -> impl Iterator<Item = &PortalId> {
        self.0.keys()
    }
}

fn read<'a>((portal, file): (&PortalId, &'a PolicyFile)) -> Result<&'a Arc<Policy>, PolicyError> {
    let parse = || Policy::parse(portal.clone(), &file.name, &file.text).map(Arc::new);
    file.read.get_or_init(parse).as_ref().map_err(Clone::clone)
}
