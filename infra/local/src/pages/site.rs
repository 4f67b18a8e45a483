//! What all pages share: the state, the response headers and the "not found" page.

use std::sync::{Arc, OnceLock};

use askama::Template;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::Instance;
use crate::people::People;

/// The state of the pages.
#[derive(Debug, Clone)]
pub struct Site {
    pub instance: Arc<Instance>,
    /// The address of the server, such as `http://localhost:8600`.
    pub base: String,
    /// The sample people; unset until the first start has created them.
    pub people: Arc<OnceLock<People>>,
}

/// Allows the server's own scripts and inline styles, and nothing from elsewhere. The frame that displays an
/// email inherits this.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Shows the page of a sample application.
pub(crate) fn sample_page(template: &impl Template) -> Response {
    page(StatusCode::OK, template)
}

pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    respond(status, template, PAGE_POLICY)
}

pub(super) fn respond(
    status: StatusCode,
    template: &impl Template,
    policy: &'static str,
) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, policy),
    ];
    match template.render() {
        Ok(html) => (status, headers, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page can't be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "missing.html")]
struct MissingPage {
    what: &'static str,
    here: &'static str,
    mails: usize,
    letters: usize,
}

pub(super) fn missing(
    what: &'static str,
    here: &'static str,
    mails: usize,
    letters: usize,
) -> Response {
    page(
        StatusCode::NOT_FOUND,
        &MissingPage {
            what,
            here,
            mails,
            letters,
        },
    )
}
