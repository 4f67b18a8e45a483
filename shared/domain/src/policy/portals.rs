//! The portals of a system: one policy each, read at its first use.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::document::Policy;
use super::faults::{PolicyError, PolicyFault};
use crate::values::ids::PortalId;

/// The portals by name. Each policy is read when it is first needed, which keeps the first request fast; an
/// invalid policy does not affect the other portals.
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
    /// Creates the portals from their files: portal, file name and text of each.
    pub fn new(files: impl IntoIterator<Item = (PortalId, String, String)>) -> Self {
        let file = |(portal, name, text)| {
            let read = OnceLock::new();
            (portal, PolicyFile { name, text, read })
        };
        Self(files.into_iter().map(file).collect())
    }

    /// Returns the policy of a portal, or `None` if there is no such portal.
    ///
    /// # Errors
    /// [`PolicyError`] if the policy is invalid.
    pub fn get(&self, portal: &str) -> Result<Option<&Arc<Policy>>, PolicyError> {
        self.0.get_key_value(portal).map(read).transpose()
    }

    /// Returns each portal with its policy or its faults.
    pub fn each(&self) -> impl Iterator<Item = (&PortalId, Result<&Arc<Policy>, PolicyError>)> {
        self.0.iter().map(|file| (file.0, read(file)))
    }

    /// Returns the valid policies, by name of the portal.
    pub fn valid(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.each().filter_map(|(_, policy)| policy.ok())
    }

    /// Returns the policies of all portals, by name.
    ///
    /// # Errors
    /// [`PolicyError`] with the faults of every file.
    pub fn all(&self) -> Result<Vec<&Arc<Policy>>, PolicyError> {
        let mut policies = Vec::new();
        let mut faults = Vec::new();
        for (_, policy) in self.each() {
            match policy {
                Ok(policy) => policies.push(policy),
                Err(error) => faults.extend(error.faults),
            }
        }
        if faults.is_empty() {
            Ok(policies)
        } else {
            Err(PolicyError { faults })
        }
    }

    /// Reads all policies and checks that they fit together, so that no fault is found later.
    ///
    /// # Errors
    /// [`PolicyError`] with the faults of every file.
    pub fn check(&self) -> Result<(), PolicyError> {
        let mut faults = Vec::new();
        for (portal, policy) in self.each() {
            match policy {
                Ok(desk) => self.check_served(portal, desk, &mut faults),
                Err(error) => faults.extend(error.faults),
            }
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(PolicyError { faults })
        }
    }

    /// Checks that a help desk can serve each portal that it names. Portals with an invalid policy are not
    /// checked.
    fn check_served(&self, portal: &PortalId, desk: &Policy, faults: &mut Vec<PolicyFault>) {
        for named in desk.help_desk_for.iter().flat_map(|s| &s.portals) {
            let served = match self.get(named.as_str()) {
                Ok(Some(other)) => desk.serves(other),
                Ok(None) => false,
                Err(_) => true,
            };
            if !served {
                let PolicyFile { name, text, .. } = &self.0[portal];
                let plan = &desk.plan.id;
                let reason =
                    format!("{named} is no portal of the plan {plan} that a help desk can serve");
                let fault = PolicyFault::in_field(name, text, "help_desk_for.portals", reason);
                faults.push(fault);
            }
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &PortalId> {
        self.0.keys()
    }
}

fn read<'a>((portal, file): (&PortalId, &'a PolicyFile)) -> Result<&'a Arc<Policy>, PolicyError> {
    let parse = || Policy::parse(portal.clone(), &file.name, &file.text).map(Arc::new);
    file.read.get_or_init(parse).as_ref().map_err(Clone::clone)
}
