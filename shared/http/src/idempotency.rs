//! Requests that can be repeated safely (AP-01): the header `Idempotency-Key` of
//! draft-ietf-httpapi-idempotency-key-header. The response is written in the transaction of the decision, so
//! that it exists if and only if the decision does.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use vestibule_domain::Decision;
use vestibule_domain::decision::{Change, KeptResponse, RepeatKey};
use vestibule_domain::state::account::Account;
use vestibule_domain::values::text::Sensitive;

use crate::request::{json_bytes, read};
use crate::{App, Attempt, Caller, Problem, transact};

/// The header with the key that the client chose.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header that marks the repetition of an earlier response.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The maximum length of a key, in characters.
pub const MAX_KEY_LENGTH: usize = 255;

/// How long a response is kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);

/// A request with an idempotency key.
#[derive(Debug, Clone)]
pub struct Repeatable {
    key: RepeatKey,
    /// The SHA-256 of method, path and body, which does not depend on spaces in the body.
    fingerprint: String,
}

/// What is kept, encrypted as a whole.
#[derive(Serialize, Deserialize)]
struct Kept<R> {
    fingerprint: String,
    response: R,
}

/// Extracts the idempotency key of a request without a body, if it has one.
#[derive(Debug, Clone)]
pub struct Repeat(pub Option<Repeatable>);

/// Extracts a JSON body and the idempotency key of the request, if it has one.
#[derive(Debug, Clone)]
pub struct RepeatableBody<T>(pub T, pub Option<Repeatable>);

impl Repeatable {
    /// Parses the header: printable ASCII, with or without quotes.
    fn parse(parts: &Parts, body: &Value) -> Result<Option<Self>, Problem> {
        let Some(given) = header_value(&parts.headers)? else {
            return Ok(None);
        };
        let digest = |text: &str| BASE64URL_NOPAD.encode(&Sha256::digest(text.as_bytes()));
        let (method, path) = (&parts.method, parts.uri.path());
        Ok(Some(Self {
            key: RepeatKey(digest(given)),
            fingerprint: digest(&format!("{method}\n{path}\n{body}")),
        }))
    }
}

/// Returns the response that was kept for an earlier request with the key, if the request has one. Keys belong to
/// an account: that of the caller, or the one that a request without a session created and whose password it has.
///
/// # Errors
/// A problem when the earlier request was another one.
pub async fn earlier(
    app: &App,
    key: Option<&Repeatable>,
    owner: &Account,
    now: Timestamp,
) -> Result<Option<Created>, Problem> {
    let Some(key) = key else {
        return Ok(None);
    };
    let kept = app
        .store
        .kept_response(&owner.portal, &owner.id, &key.key, now);
    let Some(kept) = kept.await? else {
        return Ok(None);
    };
    let kept: Kept<Created> = serde_json::from_str(kept.expose())
        .map_err(|_| Problem::internal("a kept response can't be read"))?;
    if kept.fingerprint != key.fingerprint {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "Key already used",
            "This key was already used for another request. Use a new key.",
        )
        .with_field("idempotency-key", "was already used for another request"));
    }
    Ok(Some(Created {
        is_replayed: true,
        ..kept.response
    }))
}

/// Adds to a decision that its response is kept for the key of the request, if it has one.
///
/// # Errors
/// A problem when the response cannot be serialized.
pub fn keep(
    decision: Decision,
    key: Option<&Repeatable>,
    response: &Created,
    owner: &Account,
    now: Timestamp,
) -> Result<Decision, Problem> {
    let Some(key) = key else {
        return Ok(decision);
    };
    let kept = Kept {
        fingerprint: key.fingerprint.clone(),
        response,
    };
    let response = serde_json::to_string(&kept).map_err(Problem::internal)?;
    Ok(decision.change(Change::KeepResponse(Box::new(KeptResponse {
        portal: owner.portal.clone(),
        account: owner.id.clone(),
        key: key.key.clone(),
        response: Sensitive::new(response),
        expires_at: now + KEPT_FOR,
    }))))
}

fn header_value(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, others) = (given.next(), given.next());
    let Some(first) = first else {
        return Ok(None);
    };
    let key = first.to_str().ok().map(str::trim);
    let quoted = |text: &'_ str| text.len() > 1 && text.starts_with('"') && text.ends_with('"');
    let key = key.map(|text| match quoted(text) {
        true => &text[1..text.len() - 1],
        false => text,
    });
    key.filter(|key| others.is_none() && (1..=MAX_KEY_LENGTH).contains(&key.len()))
        .map(Some)
        .ok_or_else(|| {
            let detail = format!("must be one text of 1 to {MAX_KEY_LENGTH} ASCII characters");
            Problem::invalid_field("idempotency-key", &detail)
        })
}

impl FromRequestParts<App> for Repeat {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Repeatable::parse(parts, &Value::Null).map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<App> for RepeatableBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = json_bytes(whole, app).await?;
        let request = read(&bytes)?;
        let key = match parts.headers.contains_key(IDEMPOTENCY_KEY) {
            true => Repeatable::parse(&parts, &read(&bytes)?)?,
            false => None,
        };
        Ok(Self(request, key))
    }
}

/// The response to a request that created something.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    status: u16,
    location: Option<String>,
    body: Value,
    #[serde(skip)]
    is_replayed: bool,
}

impl Created {
    /// Builds a `201` with the path of what was created.
    ///
    /// # Errors
    /// A problem when the body cannot be serialized.
    pub fn at(location: String, body: &impl Serialize) -> Result<Self, Problem> {
        Ok(Self {
            status: StatusCode::CREATED.as_u16(),
            location: Some(location),
            body: serde_json::to_value(body).map_err(Problem::internal)?,
            is_replayed: false,
        })
    }

    /// Builds a `202` for something that has no path.
    pub const fn accepted() -> Self {
        Self {
            status: StatusCode::ACCEPTED.as_u16(),
            location: None,
            body: Value::Null,
            is_replayed: false,
        }
    }
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::CREATED);
        let mut response = match self.body {
            Value::Null => status.into_response(),
            body => (status, Json(body)).into_response(),
        };
        let headers = response.headers_mut();
        let location = self.location.and_then(|l| HeaderValue::from_str(&l).ok());
        headers.extend(location.map(|l| (header::LOCATION, l)));
        if self.is_replayed {
            headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What makes a request happen once: the caller and the key, if the request has one.
#[derive(Debug, Clone, Copy)]
pub struct Once<'a> {
    pub caller: &'a Caller,
    pub key: Option<&'a Repeatable>,
}

/// Does the same as [`transact()`], and keeps the response for the key of the request. A repetition gets the
/// kept response; of two simultaneous requests one decides, and the other gets its response.
///
/// `respond` builds the response before the decision is committed, so it may not depend on anything that is
/// read later.
///
/// # Errors
/// Those of [`transact()`], and a problem when the key was used for another request.
pub async fn once<S, T, L, D>(
    app: &App,
    Once { caller, key }: Once<'_>,
    load: impl FnMut(Attempt) -> L,
    mut decide: impl FnMut(&S, &mut StdRng) -> Result<(T, D), Problem>,
    respond: impl Fn(&S, &T) -> Result<Created, Problem>,
) -> Result<Created, Problem>
where
    L: Future<Output = Result<S, Problem>>,
    D: Into<Option<Decision>>,
{
    let (owner, now) = (&caller.account, caller.origin.at);
    if let Some(earlier) = earlier(app, key, owner, now).await? {
        return Ok(earlier);
    }
    let done = transact(app, load, |state, rng| {
        let (outcome, decision) = decide(state, rng)?;
        let response = respond(state, &outcome)?;
        let decision: Option<Decision> = decision.into();
        let kept = decision.map(|decision| keep(decision, key, &response, owner, now));
        let decision = kept.transpose()?;
        Ok(((response, decision.is_some()), decision))
    })
    .await;
    match done {
        Ok((_, (response, true))) => Ok(response),
        // There was nothing to do, so perhaps an earlier request with the key did it.
        Ok((_, (response, false))) => Ok(earlier(app, key, owner, now).await?.unwrap_or(response)),
        // Perhaps a request with the same key was committed in the meantime.
        Err(problem) => earlier(app, key, owner, now).await?.ok_or(problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(values: &[&str]) -> Result<Option<String>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_str(value).unwrap());
        }
        header_value(&headers).map(|key| key.map(str::to_owned))
    }

    #[test]
    fn ap_01_a_key_is_one_text_of_limited_length_with_or_without_quotes() {
        assert_eq!(parsed(&[]).unwrap(), None);
        for given in ["8e03978e", "\"8e03978e\"", " 8e03978e "] {
            assert_eq!(parsed(&[given]).unwrap().as_deref(), Some("8e03978e"));
        }
        let longest = "k".repeat(MAX_KEY_LENGTH);
        assert_eq!(parsed(&[&longest]).unwrap(), Some(longest.clone()));
        for given in [&["a", "b"][..], &[""], &["\"\""], &[&format!("{longest}k")]] {
            assert!(parsed(given).is_err(), "{given:?}");
        }
    }
}
