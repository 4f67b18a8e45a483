//! A small client of the API for the demo, the sample people and the tests.

use std::sync::OnceLock;

use reqwest::Method;
use serde_json::Value;
use vestibule_domain::rules::device::Device;

/// A response.
#[derive(Debug, Clone)]
pub struct ApiResponse {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    /// The body if it is JSON; otherwise null.
    pub body: Value,
    /// The body as received.
    pub text: String,
}

impl ApiResponse {
    /// Returns a text field of the body by a JSON pointer such as `/user_id`; empty if it is absent.
    pub fn text_at(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Returns the problem type without its prefix; empty if the body isn't a problem.
    pub fn problem(&self) -> &str {
        self.text_at("/type").rsplit(':').next().unwrap_or_default()
    }

    /// Returns the fields that a problem names.
    pub fn fields(&self) -> Vec<&str> {
        let errors = self.body.get("errors").and_then(Value::as_array);
        errors
            .into_iter()
            .flatten()
            .filter_map(|e| e.get("field")?.as_str())
            .collect()
    }
}

/// A caller of the API on one portal, who may be signed in.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    portal: String,
    token: Option<String>,
    source: Option<String>,
}

/// Returns this process's device token: all its sign-ins come from one device.
fn device() -> &'static str {
    static DEVICE: OnceLock<String> = OnceLock::new();
    DEVICE.get_or_init(|| {
        let device = Device::random(&mut vestibule_http::app::rng());
        device.expose().expose().to_owned()
    })
}

/// A request without a response.
pub type ClientError = reqwest::Error;

impl Client {
    /// Returns a caller who isn't signed in.
    pub fn new(base: &str, portal: &str) -> Self {
        Self {
            http: reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap_or_default(),
            base: base.to_owned(),
            portal: portal.to_owned(),
            token: None,
            source: None,
        }
    }

    /// Returns the same caller with a session's token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// Returns the same caller from another IP address.
    #[must_use]
    pub fn from_source(&self, source: &str) -> Self {
        Self {
            source: Some(source.to_owned()),
            ..self.clone()
        }
    }

    /// Returns the same caller on another portal, not signed in.
    #[must_use]
    pub fn on(&self, portal: &str) -> Self {
        Self {
            portal: portal.to_owned(),
            token: None,
            ..self.clone()
        }
    }

    /// Sends a request; `path` follows the portal's name.
    ///
    /// # Errors
    /// Fails if there is no response.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<ApiResponse, ClientError> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        execute(request).await
    }

    /// Returns a request that the caller completes.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .request(method, format!("{}/{}{path}", self.base, self.portal));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(source) = &self.source {
            request = request.header("x-forwarded-for", source);
        }
        request
    }

    /// Sends a `GET` request.
    ///
    /// # Errors
    /// Fails if there is no response.
    pub async fn get(&self, path: &str) -> Result<ApiResponse, ClientError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a `POST` request.
    ///
    /// # Errors
    /// Fails if there is no response.
    pub async fn post(&self, path: &str, body: Value) -> Result<ApiResponse, ClientError> {
        self.send(Method::POST, path, Some(&body)).await
    }

    /// Signs in and returns a caller with the session, if one was opened.
    ///
    /// # Errors
    /// Fails if there is no response.
    pub async fn sign_in(
        &self,
        username: &str,
        password: &str,
    ) -> Result<(Self, ApiResponse), ClientError> {
        let body = serde_json::json!({
            "username": username, "password": password, "token_delivery": "body", "device": device(),
        });
        let response = self.post("/sessions", body).await?;
        Ok((self.with_token(response.text_at("/token")), response))
    }
}

/// Sends a request that the caller completed.
///
/// # Errors
/// Fails if there is no response.
pub async fn execute(request: reqwest::RequestBuilder) -> Result<ApiResponse, ClientError> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(ApiResponse {
        status,
        headers,
        body,
        text,
    })
}
