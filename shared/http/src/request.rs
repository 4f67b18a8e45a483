//! Extractors for requests: portal, ids, query, body and origin.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use vestibule_domain::policy::Policy;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::source::customer_of;

use crate::{App, Problem};

/// The maximum size of a JSON body in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The maximum length of a field's path in a response, in characters.
const MAX_PATH_LENGTH: usize = 100;

/// Extracts the portal that the path names.
#[derive(Debug, Clone)]
pub struct Portal(pub Arc<Policy>);

impl FromRequestParts<App> for Portal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("portal"))?;
        let name = params.iter().find(|(k, _)| *k == "portal").map(|(_, v)| v);
        let policy = app.portals.get(name.unwrap_or_default())?;
        policy
            .map(|p| Self(Arc::clone(p)))
            .ok_or_else(|| Problem::not_found("portal"))
    }
}

/// Extracts the id after the collection in the path.
#[derive(Debug, Clone)]
pub struct Id(pub String);

impl FromRequestParts<App> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("resource"))?;
        let id = params
            .iter()
            .find(|(k, _)| *k == "id")
            .map(|(_, v)| Self(v.to_owned()));
        id.ok_or_else(|| Problem::not_found("resource"))
    }
}

/// Extracts the portal that a help desk serves, as named by the path.
#[derive(Debug, Clone)]
pub struct AccountPortal(pub String);

impl FromRequestParts<App> for AccountPortal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("portal"))?;
        let portal = params
            .iter()
            .find(|(k, _)| *k == "account_portal")
            .map(|(_, v)| Self(v.to_owned()));
        portal.ok_or_else(|| Problem::not_found("portal"))
    }
}

/// Extracts the query; unknown parameters are rejected.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let read = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        read.map(Self)
            .map_err(|e| misfit(&e.path().to_string(), "(query)", &e.inner().to_string()))
    }
}

/// Parses the cursor of a query. A cursor of another list is an error; it does not return the first page.
///
/// # Errors
/// A problem that names `cursor`.
pub fn cursor<T>(
    given: Option<&str>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Problem> {
    given
        .map(|text| parse(text).ok_or_else(foreign_cursor))
        .transpose()
}

/// Parses the maximum number of items on a page: `max` at most, and 50 by default.
///
/// # Errors
/// A problem that names `limit`.
pub fn limit(given: Option<u32>, max: u32) -> Result<usize, Problem> {
    let limit = given.unwrap_or(50);
    if !(1..=max).contains(&limit) {
        let why = format!("must be between 1 and {max}");
        return Err(Problem::invalid_field("limit", &why));
    }
    Ok(limit as usize)
}

/// Creates the problem for a cursor of another list.
pub(crate) fn foreign_cursor() -> Problem {
    Problem::invalid_field("cursor", "must be the next_cursor of a page of this list")
}

/// The IP address from which a request comes, as reported by the gateway. The server sets it; it is never
/// read from a header that a client could write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(pub String);

impl Source {
    /// Returns the source under which attempts are counted, for all addresses of one customer together.
    pub fn of(origin: &Origin) -> String {
        let source = origin.source.as_deref();
        source.map_or_else(|| "unknown".to_owned(), customer_of)
    }
}

/// Extracts the portal, time and source of a request, which all of its audit events share.
pub struct RequestOrigin(pub Origin);

impl FromRequestParts<App> for RequestOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Portal(policy) = Portal::from_request_parts(parts, app).await?;
        Ok(Self(Origin {
            portal: policy.portal.clone(),
            at: app.clock.now(),
            source: parts.extensions.get::<Source>().map(|s| s.0.clone()),
        }))
    }
}

/// Returns whether a request declares a JSON body.
pub fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .is_some_and(|v| v.trim().eq_ignore_ascii_case("application/json"))
}

/// Creates the problem for content that is not declared to be JSON.
pub fn not_json() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "not-json",
        "Not JSON",
        "The request body must be sent with content type application/json.",
    )
    .with_field("content-type", "must be application/json")
}

/// Extracts a JSON body; requires the JSON content type, limits the size and rejects unknown fields.
#[derive(Debug, Clone)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        read(&json_bytes(request, app).await?).map(Self)
    }
}

/// Reads the body of a request that declares JSON.
pub(crate) async fn json_bytes(request: Request, app: &App) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(not_json());
    }
    Bytes::from_request(request, app).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            format!("The request body is too large; the limit is {MAX_BODY_BYTES} bytes."),
        )
        .with_field("(body)", "is too large")
    })
}

/// Deserializes from an object only. A derived `Deserialize` also accepts an array of the fields in order,
/// so that `[[]]` would be an approval.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldList<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldList<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer
            .deserialize_map(FieldList(PhantomData))
            .map(Object)
    }
}

/// Makes a nested type deserialize from an object only, as whole requests do. The type must derive
/// `Deserialize` with `#[serde(remote = "Self")]`.
macro_rules! only_from_object {
    ($name:ty) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct FieldList;
                impl<'de> serde::de::Visitor<'de> for FieldList {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        map: A,
                    ) -> Result<$name, A::Error> {
                        <$name>::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }
                deserializer.deserialize_map(FieldList)
            }
        }
    };
}
pub(crate) use only_from_object;

/// Parses JSON into a type; an error names the field that does not fit.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
        let path = e.path().to_string();
        let error = e.into_inner();
        // serde_json reports a number in place of a string for an enum as a syntax error.
        if error.is_syntax() && serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
            return misfit(&path, "(body)", "expected a string");
        }
        explain(&path, &error)
    })?;
    deserializer.end().map_err(|e| explain(".", &e))?;
    Ok(value)
}

/// Converts a serde_json error to a problem, without the value that was sent.
fn explain(path: &str, error: &serde_json::Error) -> Problem {
    if error.is_syntax() || error.is_eof() {
        let at = format!(
            "is not valid JSON at line {}, column {}",
            error.line(),
            error.column()
        );
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid-json",
            "Not valid JSON",
            format!("The body {at}."),
        )
        .with_field("(body)", &at);
    }
    misfit(path, "(body)", &error.to_string())
}

/// Converts a serde error message to a field error. `whole` names an error that concerns no single field.
fn misfit(path: &str, whole: &str, message: &str) -> Problem {
    // A path contains keys from the request, which can be as long as the body.
    let path: &str = &path.chars().take(MAX_PATH_LENGTH).collect::<String>();
    let named = |start: &str| {
        message
            .strip_prefix(start)
            .and_then(|rest| rest.split('`').next())
    };
    let below = |name: &str| {
        if path == "." {
            name.to_owned()
        } else if path.ends_with(name) {
            path.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    let here = if path == "." { whole } else { path };
    if let Some(name) = named("unknown field `") {
        let name: String = name.chars().take(60).collect();
        return Problem::invalid_field(&below(&name), "is not a field of this request");
    }
    if let Some(name) = named("missing field `") {
        return Problem::invalid_field(&below(name), "is required");
    }
    if let Some(name) = named("duplicate field `") {
        return Problem::invalid_field(&below(name), "is given twice");
    }
    let expected = message
        .rsplit_once("expected ")
        .map(|(_, rest)| rest.split(" at line").next().unwrap_or(rest));
    let is_number = |expected: &str| {
        let rest = expected.strip_prefix(['u', 'i']);
        rest.is_some_and(|bits| bits.parse::<u8>().is_ok())
    };
    let why = match expected {
        Some(kind) if is_number(kind) && message.starts_with("invalid value: integer") => {
            "is outside the supported range".to_owned()
        }
        Some(kind) if is_number(kind) => "must be a whole number".to_owned(),
        Some(expected) => format!("must be {expected}"),
        None => "is not valid".to_owned(),
    };
    Problem::invalid_field(here, &why)
}
