//! Pages that the plan's own website provides, such as the form of an agreement. They aren't part of the pages, so
//! a placeholder stands in for them on this machine.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::site::{Site, missing, page as respond};

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    here: &'static str,
    mails: usize,
    letters: usize,
    portal: &'a str,
    title: &'a str,
    plan: &'a str,
    /// The name of the file or page.
    name: &'a str,
}

pub(super) async fn page(
    State(site): State<Site>,
    Path((portal, path)): Path<(String, String)>,
) -> Response {
    let (mails, letters) = (site.instance.inbox.len(), site.instance.letters().len());
    let Some(policy) = site.instance.policy(&portal) else {
        return missing("portal", "/", mails, letters);
    };
    let page = LinkPage {
        here: "/",
        mails,
        letters,
        portal: policy.portal.as_str(),
        title: policy.title.as_str(),
        plan: policy.plan.name.as_str(),
        name: path.rsplit('/').next().unwrap_or_default(),
    };
    respond(StatusCode::OK, &page)
}
