//! What browsers require of every response, and what a request from a browser must prove before it changes
//! something.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vestibule_domain::policy::Policy;
use vestibule_domain::policy::portals::Portals;

use crate::Problem;
use crate::caller::{COOKIE, cookie};
use crate::oauth;
use crate::request::{is_json, not_json};

/// Browsers use only HTTPS for two years (RFC 6797; OWASP HTTP Headers Cheat Sheet).
pub const STRICT_TRANSPORT_SECURITY: &str = "max-age=63072000; includeSubDomains";

/// The relation of a request's initiator to the server. Browsers set this header, and scripts cannot (W3C
/// Fetch Metadata).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses requests of other websites that would change something (OWASP Cross-Site Request Forgery
/// Prevention Cheat Sheet), and adds the challenge that every `401` must have (RFC 9110, 15.5.2).
///
/// A form on another website can send a request with the user's cookie, with or without a body. It cannot
/// choose `application/json`, and it cannot hide where it comes from.
pub async fn guard(State(portals): State<Arc<Portals>>, request: Request, next: Next) -> Response {
    let policy = policy(&portals, request.uri().path());
    let is_token_sent = request.headers().contains_key(header::AUTHORIZATION);
    let refused = match policy {
        // These use no cookie, so another website gains nothing by calling them.
        Some(_) if oauth::is_for_applications(request.uri().path()) => None,
        Some(policy) if !request.method().is_safe() => refuse(&request, policy).err(),
        // An unknown portal has no sessions, and the handler reports it.
        _ => None,
    };
    let mut response = match refused {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    if response.status() == StatusCode::UNAUTHORIZED
        && !response.headers().contains_key(header::WWW_AUTHENTICATE)
    {
        let realm = policy.map_or("vestibule", |p| p.portal.as_str());
        let challenge = HeaderValue::from_str(&challenge(realm, is_token_sent));
        let headers = response.headers_mut();
        headers.extend(
            challenge
                .ok()
                .map(|value| (header::WWW_AUTHENTICATE, value)),
        );
    }
    response
}

/// Returns the valid policy of the portal that a path names.
fn policy<'a>(portals: &'a Portals, path: &str) -> Option<&'a Policy> {
    let portal = path.trim_start_matches('/').split('/').next()?;
    portals.get(portal).ok().flatten().map(|policy| &**policy)
}

/// The challenge of a `401`. Only a request with a token has an error (RFC 6750, 3.1).
fn challenge(realm: &str, is_token_sent: bool) -> String {
    let error = if is_token_sent {
        ", error=\"invalid_token\""
    } else {
        ""
    };
    format!("Bearer realm=\"{realm}\"{error}")
}

fn refuse(request: &Request, policy: &Policy) -> Result<(), Problem> {
    let headers = request.headers();
    if !is_from_portal(headers, policy) {
        return Err(cross_origin(policy));
    }
    let has_content = headers.contains_key(header::CONTENT_TYPE) || !request.body().is_end_stream();
    let is_file = request.uri().path().ends_with(".csv");
    // Where files are uploaded, the handler requires text/csv, which a form cannot send either.
    if has_content && !is_file && !is_json(headers) {
        return Err(not_json());
    }
    Ok(())
}

/// Returns whether a request comes from a page of the portal, or from a program.
///
/// A browser that sends the cookie of a session also sends one of the headers, so a request with the cookie
/// alone is not accepted.
fn is_from_portal(headers: &HeaderMap, policy: &Policy) -> bool {
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    match (headers.get(header::ORIGIN), site) {
        (_, Some(b"same-origin")) => true,
        (Some(origin), _) => policy.allows_origin(origin.as_bytes()),
        // The user opened the address, without any page.
        (None, Some(b"none")) => true,
        (None, Some(_)) => false,
        (None, None) => cookie(headers, COOKIE).is_none(),
    }
}

fn cross_origin(policy: &Policy) -> Problem {
    let detail = format!(
        "This request came from a page that does not belong to {}. Open the portal's own website and try again there.",
        policy.title
    );
    Problem::new(
        StatusCode::FORBIDDEN,
        "cross-origin",
        "Request from another website",
        detail,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_with_a_token_has_an_error_in_its_challenge() {
        assert_eq!(challenge("member", false), "Bearer realm=\"member\"");
        assert_eq!(
            challenge("member", true),
            "Bearer realm=\"member\", error=\"invalid_token\""
        );
    }
}
