//! Loads the policies of the portals.

use vestibule_domain::policy::Policy;
use vestibule_domain::values::ids::PortalId;

/// Parses the policy of a portal in `infra/portals`.
pub fn policy(portal: &str) -> Policy {
    let file = format!(
        "{}/../../infra/portals/{portal}.toml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&file).unwrap();
    Policy::parse(PortalId::parse(portal).unwrap(), &file, &text).unwrap()
}
