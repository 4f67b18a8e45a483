//! The pages of every portal (PG-01 to PG-05): HTML, CSS and ES modules from `infra/pages`, embedded in the
//! function. They read what a portal offers from the API, so this function reads no data and needs no rights.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use vestibule_domain::policy::portals::Portals;
use vestibule_http::Problem;
use vestibule_http::browser::STRICT_TRANSPORT_SECURITY;

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// A file of `infra/pages`.
pub(crate) struct Asset {
    name: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

/// The path of the pages below a portal. No route of the API begins with it.
pub const PATH: &str = "app";

/// The HTML document of every page. The script decides by the address what to show.
const DOCUMENT: &str = "index.html";

/// In `DOCUMENT`, the relative path of the folder of assets.
const ASSETS_PATH: &[u8] = b"{{assets}}";

/// The name that takes the place of the hash while the files are read from a folder.
const UNHASHED: &str = "dev";

/// Allows the pages' own scripts and styles and the API beside them, and nothing from elsewhere (PG-05).
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// Where the files of the pages come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The files that were compiled into the function.
    Embedded,
    /// A folder, read at every request, to see changes at once during development.
    Folder(PathBuf),
}

#[derive(Debug, Clone)]
struct Pages {
    portals: Arc<Portals>,
    source: Source,
}

/// Returns the routes of the pages: `/{portal}/app` and everything below it.
pub fn router(portals: Arc<Portals>, source: Source) -> Router {
    Router::new()
        .route(&format!("/{{portal}}/{PATH}"), get(first))
        .route(&format!("/{{portal}}/{PATH}/"), get(first))
        .route(&format!("/{{portal}}/{PATH}/{{*path}}"), get(below))
        .with_state(Pages { portals, source })
}

async fn first(
    State(pages): State<Pages>,
    Path(portal): Path<String>,
    uri: axum::http::Uri,
    headers: HeaderMap,
) -> Response {
    // Relative to `/{portal}/app`, the assets are in `app/assets`; relative to `/{portal}/app/`, in `assets`.
    let up = if uri.path().ends_with('/') {
        ""
    } else {
        "app/"
    };
    pages.document(&portal, up, &headers)
}

async fn below(
    State(pages): State<Pages>,
    Path((portal, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    match path.strip_prefix("assets/") {
        Some(asset) => pages.asset(&portal, asset, &headers),
        None => pages.document(&portal, &"../".repeat(path.matches('/').count()), &headers),
    }
}

impl Pages {
    fn has(&self, portal: &str) -> bool {
        self.portals.names().any(|name| name.as_str() == portal)
    }

    fn hash(&self) -> &'static str {
        match self.source {
            Source::Embedded => HASH,
            Source::Folder(_) => UNHASHED,
        }
    }

    /// Returns a file as it is and compressed.
    fn read(&self, name: &str) -> Option<(Bytes, Option<Bytes>)> {
        match &self.source {
            Source::Embedded => ASSETS.iter().find(|asset| asset.name == name).map(|a| {
                (
                    Bytes::from_static(a.plain),
                    Some(Bytes::from_static(a.gzip)),
                )
            }),
            Source::Folder(folder) => {
                let inside = !name
                    .split('/')
                    .any(|part| part.is_empty() || part.starts_with('.'));
                let content = inside.then(|| std::fs::read(folder.join(name)).ok());
                Some((content??.into(), None))
            }
        }
    }

    /// Responds with the HTML document; `up` is the way from the page's folder to the folder of the assets.
    fn document(&self, portal: &str, up: &str, headers: &HeaderMap) -> Response {
        let Some((html, _)) = self.read(DOCUMENT).filter(|_| self.has(portal)) else {
            return Problem::not_found("page").into_response();
        };
        let assets = format!("{up}assets/{}", self.hash());
        let html = replace(&html, ASSETS_PATH, assets.as_bytes());
        let tag = format!("\"{}-{}\"", self.hash(), up.len());
        let known = self.is_known(headers, &tag);
        let fixed: [(HeaderName, &str); 8] = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
            (header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        ];
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            html.into_response()
        };
        for (name, value) in fixed {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        insert_tag(&mut response, &tag);
        response
    }

    /// Responds with a file of a version, given as `HASH/NAME`. The content below a hash never changes.
    fn asset(&self, portal: &str, path: &str, headers: &HeaderMap) -> Response {
        let name = path
            .split_once('/')
            .filter(|(hash, _)| *hash == self.hash() && self.has(portal))
            .map(|(_, name)| name)
            .filter(|name| *name != DOCUMENT);
        let found = name.and_then(|name| Some((content_type(name)?, self.read(name)?)));
        let Some((content_type, (plain, gzip))) = found else {
            return Problem::not_found("file").into_response();
        };
        let tag = format!("\"{}\"", self.hash());
        let accepts = |h: &HeaderValue| h.to_str().is_ok_and(|h| h.contains("gzip"));
        let gzip = gzip.filter(|_| headers.get_all(ACCEPT_ENCODING).iter().any(accepts));
        let is_compressed = gzip.is_some();
        let mut response = if self.is_known(headers, &tag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            gzip.unwrap_or(plain).into_response()
        };
        let cached = match self.source {
            Source::Embedded => "public, max-age=31536000, immutable",
            Source::Folder(_) => "no-store",
        };
        let fixed: [(HeaderName, &str); 6] = [
            (CONTENT_TYPE, content_type),
            (CACHE_CONTROL, cached),
            (header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT_SECURITY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (VARY, "accept-encoding"),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ];
        let response_headers = response.headers_mut();
        for (name, value) in fixed {
            response_headers.insert(name, HeaderValue::from_static(value));
        }
        if is_compressed {
            response_headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        insert_tag(&mut response, &tag);
        response
    }

    /// Returns whether the browser has this version. Files that are read from a folder have none.
    fn is_known(&self, headers: &HeaderMap, tag: &str) -> bool {
        let same = |h: &HeaderValue| h.to_str().is_ok_and(|h| h.contains(tag));
        matches!(self.source, Source::Embedded) && headers.get(IF_NONE_MATCH).is_some_and(same)
    }
}

fn insert_tag(response: &mut Response, tag: &str) {
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
}

fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "png" => Some("image/png"),
        _ => None,
    }
}

/// Replaces each occurrence of `from`.
fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut made = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|w| w == from) {
        made.extend_from_slice(&rest[..at]);
        made.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    made.extend_from_slice(rest);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    async fn get(path: &str, header: Option<(HeaderName, &str)>) -> Response {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/portals");
        let portals = Arc::new(vestibule_http::portals::open(&folder).unwrap());
        let mut request = Request::get(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Body::empty()).unwrap();
        router(portals, Source::Embedded)
            .oneshot(request)
            .await
            .unwrap()
    }

    async fn text(response: Response) -> String {
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn every_page_finds_its_assets() {
        let main = format!("assets/{HASH}/js/main.js");
        for (page, expected) in [
            ("/group/app", format!("app/{main}")),
            ("/group/app/", main.clone()),
            ("/group/app/sign-in", main.clone()),
            ("/group/app/users/abc/access", format!("../../{main}")),
        ] {
            let response = get(page, None).await;
            assert_eq!(response.status(), 200, "{page}");
            let html = text(response).await;
            assert!(
                html.contains(&format!("src=\"{expected}\"")),
                "{page}: {html}"
            );
        }
        let response = get(&format!("/group/app/{main}"), None).await;
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert!(
            response.headers()[CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
    }

    #[tokio::test]
    async fn unknown_portals_versions_and_files_are_not_found() {
        for path in [
            "/nowhere/app",
            "/group/app/assets/0000/js/main.js",
            &format!("/group/app/assets/{HASH}/js/none.js"),
            &format!("/group/app/assets/{HASH}/index.html"),
            &format!("/group/app/assets/{HASH}/../../portals/group.toml"),
        ] {
            assert_eq!(get(path, None).await.status(), 404, "{path}");
        }
    }

    #[tokio::test]
    async fn pg_05_pages_allow_nothing_inline_and_nothing_from_elsewhere() {
        let response = get("/member/app/sign-in", None).await;
        let policy = response.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
        let html = text(response).await;
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("onclick"));
    }

    #[tokio::test]
    async fn files_are_compressed_and_not_sent_again() {
        let main = format!("/group/app/assets/{HASH}/js/main.js");
        let plain = get(&main, None).await;
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        let gzip = get(&main, Some((ACCEPT_ENCODING, "gzip, br"))).await;
        assert_eq!(gzip.headers()[CONTENT_ENCODING], "gzip");
        for path in [main.as_str(), "/group/app/profile"] {
            let first = get(path, None).await;
            let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
            let again = get(path, Some((IF_NONE_MATCH, &tag))).await;
            assert_eq!(again.status(), 304, "{path}");
        }
    }
}
