//! The pages of `cargo portal`: the first page, the inbox, the letters, the pages behind links and the API
//! reference.

mod commands;
mod home;
mod link;
mod site;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use vestibule_domain::policy::portals::Portals;

use self::site::{missing, page, respond};
use crate::instance::{LETTERS, PrintedLetter};
use crate::standins::ses::ReceivedMail;
use crate::{StartError, applications, control, links};

pub use self::site::Site;
pub(crate) use self::site::sample_page;

/// Paths of this server that no portal can have as its name.
const RESERVED: [&str; 7] = [
    "inbox",
    "letters",
    "api",
    "authenticator-codes",
    links::PATH,
    control::PATH,
    applications::PATH,
];

/// Checks that no portal has the name of a page.
///
/// # Errors
/// Says which policy file to rename.
pub fn check_names(portals: &Portals) -> Result<(), StartError> {
    match RESERVED.iter().find(|name| portals.names().any(|p| p.as_str() == **name)) {
        Some(name) => Err(format!(
            "a portal can't be named {name:?} here because `cargo portal` uses the path /{name}. Rename the policy file {name}.toml"
        )
        .into()),
        None => Ok(()),
    }
}

/// Returns the routes of the pages.
pub fn router(site: Site) -> Router {
    Router::new()
        .route("/", get(home::page))
        .route("/authenticator-codes", get(home::codes))
        .route("/inbox", get(inbox))
        .route("/inbox/{number}", get(mail))
        .route(
            &format!("/{}/{{portal}}/{{*path}}", links::PATH),
            get(link::page),
        )
        .route("/letters", get(letters))
        .route("/letters/{name}", get(letter))
        .route("/letters/{name}/printed.pdf", get(printed))
        .route("/api", get(reference))
        .route("/api/scalar.js", get(scalar))
        .route(
            "/api/reference.js",
            get(async || script(include_str!("reference.js"))),
        )
        .route(
            "/api/page.js",
            get(async || script(include_str!("page.js"))),
        )
        .route("/openapi.json", get(document))
        .with_state(site)
}

#[derive(Template)]
#[template(path = "inbox.html")]
struct InboxPage {
    here: &'static str,
    mails: usize,
    letters: usize,
    items: Vec<ReceivedMail>,
}

async fn inbox(State(site): State<Site>) -> Response {
    let mut items = site.instance.inbox.all();
    items.reverse();
    let letters = site.instance.letters().len();
    page(
        StatusCode::OK,
        &InboxPage {
            here: "/inbox",
            mails: items.len(),
            letters,
            items,
        },
    )
}

#[derive(Template)]
#[template(path = "mail.html")]
struct MailPage {
    here: &'static str,
    mails: usize,
    letters: usize,
    mail: ReceivedMail,
}

async fn mail(State(site): State<Site>, Path(number): Path<String>) -> Response {
    let mut all = site.instance.inbox.all();
    let (mails, letters) = (all.len(), site.instance.letters().len());
    match number.parse().ok().filter(|n: &usize| *n < mails) {
        Some(number) => {
            let mail = all.swap_remove(number);
            page(
                StatusCode::OK,
                &MailPage {
                    here: "/inbox",
                    mails,
                    letters,
                    mail,
                },
            )
        }
        None => missing("email", "/inbox", mails, letters),
    }
}

/// A row of the list of letters.
struct LetterLine {
    name: String,
    subject: String,
    to: String,
}

impl LetterLine {
    /// Reads the recipient from the greeting of a letter, and the subject from the line above it.
    fn of(letter: PrintedLetter) -> Self {
        let mut subject = "Letter";
        let mut to = "";
        for line in letter.text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            if let Some(name) = line.strip_prefix("Dear ") {
                to = name.trim_end_matches(',');
                break;
            }
            subject = line;
        }
        Self {
            subject: subject.to_owned(),
            to: to.to_owned(),
            name: letter.name,
        }
    }
}

#[derive(Template)]
#[template(path = "letters.html")]
struct LettersPage {
    here: &'static str,
    mails: usize,
    letters: usize,
    folder: Option<String>,
    items: Vec<LetterLine>,
}

async fn letters(State(site): State<Site>) -> Response {
    let items: Vec<_> = site
        .instance
        .letters()
        .into_iter()
        .rev()
        .map(LetterLine::of)
        .collect();
    let folder = site
        .instance
        .letters_folder()
        .map(|f| f.display().to_string());
    let mails = site.instance.inbox.len();
    page(
        StatusCode::OK,
        &LettersPage {
            here: "/letters",
            mails,
            letters: items.len(),
            folder,
            items,
        },
    )
}

#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    here: &'static str,
    mails: usize,
    letters: usize,
    letter: PrintedLetter,
}

async fn letter(State(site): State<Site>, Path(name): Path<String>) -> Response {
    let all = site.instance.letters();
    let (mails, letters) = (site.instance.inbox.len(), all.len());
    match all.into_iter().find(|l| l.name == name) {
        Some(letter) => page(
            StatusCode::OK,
            &LetterPage {
                here: "/letters",
                mails,
                letters,
                letter,
            },
        ),
        None => missing("letter", "/letters", mails, letters),
    }
}

/// Responds with the PDF of the batch that contains a letter.
async fn printed(State(site): State<Site>, Path(name): Path<String>) -> Response {
    let all = site.instance.letters();
    let (mails, letters) = (site.instance.inbox.len(), all.len());
    let Some(letter) = all.into_iter().find(|l| l.name == name) else {
        return missing("letter", "/letters", mails, letters);
    };
    let got = site
        .instance
        .s3
        .get_object()
        .bucket(LETTERS)
        .key(letter.pdf);
    let bytes = match got.send().await {
        Ok(got) => got.body.collect().await.ok(),
        Err(_) => None,
    };
    match bytes {
        Some(bytes) => {
            let headers = [
                (CONTENT_TYPE, "application/pdf"),
                (CACHE_CONTROL, "no-store"),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ];
            (headers, bytes.into_bytes()).into_response()
        }
        None => missing("letter", "/letters", mails, letters),
    }
}

#[derive(Template)]
#[template(path = "api.html")]
struct ReferencePage;

async fn reference() -> Response {
    respond(StatusCode::OK, &ReferencePage, REFERENCE_POLICY)
}

async fn scalar() -> Response {
    match scalar_api_reference::get_asset_with_mime("scalar.js") {
        Some((_, code)) => (
            [
                (CONTENT_TYPE, "text/javascript; charset=utf-8"),
                (CACHE_CONTROL, "max-age=86400"),
            ],
            code,
        )
            .into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn script(code: &'static str) -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], code).into_response()
}

async fn document() -> Response {
    (
        [(CONTENT_TYPE, "application/json")],
        crate::openapi::openapi(),
    )
        .into_response()
}

/// Allows what Scalar creates at run time, and nothing from elsewhere.
const REFERENCE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
     img-src 'self' data: blob:; font-src data:; connect-src 'self'; worker-src blob:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";
