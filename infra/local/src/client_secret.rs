//! `cargo portal client-secret`: the secret of an application that signs its users in with a portal (SO-01).

use vestibule_domain::policy::ClientAuthentication;
use vestibule_http::App;
use vestibule_http::oauth::client_secret;

use crate::StartError;

/// Returns the secret of an application.
///
/// # Errors
/// Says which portals and applications there are.
pub fn of(app: &App, portal: &str, application: &str) -> Result<String, StartError> {
    let policy = app.portals.get(portal)?.ok_or_else(|| {
        let names: Vec<_> = app.portals.names().map(ToString::to_string).collect();
        format!(
            "there is no portal {portal}; the portals are {}",
            names.join(", ")
        )
    })?;
    let found = policy.application(application).ok_or_else(|| {
        let ids: Vec<_> = policy
            .applications
            .iter()
            .map(|a| a.id.to_string())
            .collect();
        format!(
            "the policy of {portal} has no application {application}; it has: {}",
            ids.join(", ")
        )
    })?;
    if found.authentication != ClientAuthentication::Secret {
        return Err(format!("{application} does not authenticate with a secret").into());
    }
    Ok(client_secret(app, policy, found).expose().to_owned())
}
