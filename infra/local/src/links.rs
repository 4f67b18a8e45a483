//! Makes links in emails and letters lead to the pages of `cargo portal`, because the sites of the shipped
//! policies don't exist, and lets these pages call the API and use passkeys. On request, no role requires a second
//! factor. Only what is loaded changes; the policy files stay as they are.

use std::path::Path;

use vestibule_domain::policy::portals::Portals;
use vestibule_http::portals;

use crate::StartError;

/// The path below which placeholders for pages of the plan's own website are served.
pub const PATH: &str = "links";

/// The path below which the sample applications are served.
pub const APPLICATIONS: &str = "applications";

/// Returns the address of a portal's sample application. It has another host name than the portal, so that it is
/// another site for a browser.
pub fn application_address(base: &str, portal: &str) -> String {
    let base = match base.contains("//localhost") {
        true => base.replacen("//localhost", "//127.0.0.1", 1),
        false => base.replacen("//127.0.0.1", "//localhost", 1),
    };
    format!("{base}/{APPLICATIONS}/{portal}")
}

/// What is loaded in another way than the policy files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// The base address of the pages that replace each `site`.
    pub links: Option<String>,
    /// Whether no role requires a second factor.
    pub optional_factors: bool,
}

/// Reads the policies of a folder with changes.
///
/// # Errors
/// Fails if a policy is invalid.
pub fn portals(folder: &Path, changed: &Changed) -> Result<Portals, StartError> {
    let shipped = portals::read(folder)?;
    let mut files = Vec::new();
    for policy in shipped.all()? {
        let portal = &policy.portal;
        let file = folder.join(format!("{portal}.toml"));
        let mut text = std::fs::read_to_string(&file)?;
        if let Some(base) = &changed.links {
            let local = Local {
                pages: format!("{base}/{portal}/{}", vestibule_pages::PATH),
                others: format!("{base}/{PATH}/{portal}"),
            };
            text = with_origins(&with_site(&text, policy.site.as_str(), &local), base);
            text = with_application(&text, &application_address(base, portal.as_str()));
        }
        if changed.optional_factors {
            text = without_required_factors(&text);
        }
        files.push((portal.clone(), file.display().to_string(), text));
    }
    let portals = Portals::new(files);
    portals.check()?;
    Ok(portals)
}

/// Where a portal's addresses are on this machine.
struct Local {
    /// Its pages.
    pages: String,
    /// Placeholders for other pages of the site.
    others: String,
}

/// Replaces the value of `site`, and the site in addresses that the plan's own website serves, such as the form
/// of an agreement. The site stays an allowed origin. Passkeys are bound to the host of the new one.
fn with_site(policy: &str, site: &str, local: &Local) -> String {
    let page = format!("\"{site}/");
    let local_page = format!("\"{}/", local.others);
    let line = |line: &str| match line.split_once('=') {
        Some((key, _)) if key.trim() == "site" => line.replacen(site, &local.pages, 1),
        Some((key, _)) if key.trim() == "relying_party_id" => "\n".to_owned(),
        _ => line.replace(&page, &local_page),
    };
    policy.split_inclusive('\n').map(line).collect()
}

/// Empties `required_for`, which may extend over several lines.
fn without_required_factors(policy: &str) -> String {
    const KEY: &str = "\nrequired_for";
    let Some((before, after)) = policy.split_once(KEY) else {
        return policy.to_owned();
    };
    let (_, rest) = after.split_once(']').unwrap_or_default();
    format!("{before}{KEY} = []{rest}")
}

/// Lets the sample application on this machine take the place of each application: adds its addresses, and replaces
/// the address for notices of an application that doesn't exist.
fn with_application(policy: &str, sample: &str) -> String {
    let line = |line: &str| {
        let is = |field: &str| {
            let key = line.split_once('=').map(|(key, _)| key.trim());
            key == Some(field)
        };
        if is("redirect_uris") {
            line.replacen('[', &format!("[\"{sample}/callback\", "), 1)
        } else if is("post_logout_redirect_uris") {
            line.replacen('[', &format!("[\"{sample}/\", "), 1)
        } else if is("backchannel_logout_uri") && line.contains(".example/") {
            format!("backchannel_logout_uri = \"{sample}/backchannel-logout\"\n")
        } else {
            line.to_owned()
        }
    };
    policy.split_inclusive('\n').map(line).collect()
}

/// Adds the origin of `cargo portal`, by both of its names, to the allowed origins.
fn with_origins(policy: &str, base: &str) -> String {
    let numbered = base.replacen("localhost", "127.0.0.1", 1);
    let own = format!("[\"{base}\", \"{numbered}\", ");
    let is_origins = |line: &str| {
        line.split_once('=')
            .is_some_and(|(key, _)| key.trim() == "origins")
    };
    if policy.lines().any(is_origins) {
        let line = |line: &str| {
            if is_origins(line) {
                line.replacen('[', &own, 1)
            } else {
                line.to_owned()
            }
        };
        policy.split_inclusive('\n').map(line).collect()
    } else {
        format!("origins = {own}]\n{policy}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_policy_is_loaded_with_a_local_site_and_more_origins() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../portals");
        let shipped = portals::read(&folder).unwrap();
        let changed = Changed {
            links: Some("http://localhost:8600".to_owned()),
            optional_factors: true,
        };
        let local = portals(&folder, &changed).unwrap();
        let requires = |policy: &vestibule_domain::policy::Policy| {
            let section = policy.second_factor.as_ref();
            section.is_some_and(|s| !s.required_for.is_empty())
        };
        assert!(shipped.all().unwrap().into_iter().any(|p| requires(p)));
        assert!(!local.all().unwrap().into_iter().any(|p| requires(p)));
        for (before, after) in shipped.all().unwrap().into_iter().zip(local.all().unwrap()) {
            let site = format!("http://localhost:8600/{}/app", before.portal);
            let others = format!("http://localhost:8600/links/{}/", before.portal);
            assert_eq!(after.site.as_str(), site);
            assert_eq!(after.relying_party_id(), "localhost");
            for origin in &before.origins {
                assert!(after.allows_origin(origin.as_str().as_bytes()));
            }
            for own in ["http://127.0.0.1:8600", "http://localhost:8600"] {
                assert!(
                    after.allows_origin(own.as_bytes()) && !before.allows_origin(own.as_bytes())
                );
            }
            // Another host than the pages, as an application of a plan has another site.
            let sample = format!("http://127.0.0.1:8600/applications/{}", before.portal);
            for application in &after.applications {
                let uris = [
                    &application.redirect_uris,
                    &application.post_logout_redirect_uris,
                ];
                for (uris, end) in uris.into_iter().zip(["/callback", "/"]) {
                    assert_eq!(uris[0].as_str(), format!("{sample}{end}"));
                }
                let notices = application.backchannel_logout_uri.as_ref().unwrap();
                assert_eq!(notices.as_str(), format!("{sample}/backchannel-logout"));
            }
            for agreement in &after.agreements {
                assert!(agreement.form_url.as_str().starts_with(&others));
            }
        }
    }

    #[test]
    fn a_policy_without_origins_gets_those_of_this_machine() {
        let text = with_origins("title = \"A\"\n", "http://localhost:9000");
        let first = text.lines().next();
        let own = "origins = [\"http://localhost:9000\", \"http://127.0.0.1:9000\", ]";
        assert_eq!(first, Some(own));
    }

    #[test]
    fn a_list_of_required_roles_is_emptied_whatever_its_form() {
        for list in ["[\"user\"]", "[\n  \"user\", # all\n  \"principal\",\n]"] {
            let text = format!("[second_factor]\nrequired_for = {list}\nrecovery_codes = 10\n");
            let expected = "[second_factor]\nrequired_for = []\nrecovery_codes = 10\n";
            assert_eq!(without_required_factors(&text), expected);
        }
        assert_eq!(
            without_required_factors("[second_factor]\n"),
            "[second_factor]\n"
        );
    }
}
