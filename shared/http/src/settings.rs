//! A function's settings, from its environment; a missing one is named.

use std::path::PathBuf;
use std::sync::Arc;

use aws_config::{BehaviorVersion, SdkConfig};
use axum::extract::Request;
use axum::middleware::{self, Next};
use lambda_http::RequestExt;
use lambda_http::request::RequestContext;
use vestibule_secrets::{HashParameters, Hasher};
use vestibule_store::{Store, Tables, keyring};

use crate::app::LEAST_TIME;
use crate::request::Source;
use crate::{Api, App, Clock, Portals, serve};

/// A setting that is missing.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is missing: {1}")]
pub struct Missing(&'static str, &'static str);

/// Reads a setting.
///
/// # Errors
/// [`Missing`] with the variable's name and what it is for.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where settings are read"
)]
pub fn setting(name: &'static str, meaning: &'static str) -> Result<String, Missing> {
    std::env::var(name)
        .ok()
        .filter(|v| !v.is_empty())
        .ok_or(Missing(name, meaning))
}

/// Why a function can't start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// What the SDK finds out about where it runs, for all clients of a function.
pub async fn aws() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

/// Builds a function's state from its settings: `TABLE`, `AUDIT_TABLE`, `KMS_KEY_ID`, and
/// `PORTALS_DIR` (by default the `portals` folder bundled with the function).
///
/// # Errors
/// What is missing or can't be reached, in words.
pub async fn app(aws: &SdkConfig) -> Result<App, StartError> {
    app_with(aws, PathBuf::from("portals")).await
}

/// The same with another folder of policies where `PORTALS_DIR` names none.
///
/// # Errors
/// As [`app`].
pub async fn app_with(aws: &SdkConfig, portals: PathBuf) -> Result<App, StartError> {
    let tables = Tables {
        main: setting("TABLE", "the name of the main table")?,
        audit: setting("AUDIT_TABLE", "the name of the audit table")?,
    };
    let key_id = setting("KMS_KEY_ID", "the KMS key that wraps the keyring")?;
    let folder = setting("PORTALS_DIR", "the folder of policies").map_or(portals, PathBuf::from);
    let portals = Portals::read(&folder)?;
    let db = aws_sdk_dynamodb::Client::new(aws);
    let kms = aws_sdk_kms::Client::new(aws);
    let keyring = Arc::new(keyring::load(&db, &tables, &kms, &key_id).await?);
    Ok(App {
        store: Store::new(db, tables, Arc::clone(&keyring), portals.policies()),
        portals: Arc::new(portals),
        hasher: Hasher::new(HashParameters::default(), keyring),
        clock: Clock::System,
        least_time: LEAST_TIME,
    })
}

/// Logs as JSON lines, for CloudWatch.
pub fn log_as_json() {
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::INFO)
        .with_current_span(false)
        .without_time()
        .init();
}

/// Runs a function's routes on Lambda, behind API Gateway.
///
/// # Errors
/// What kept it from starting, or the runtime's own failure.
pub async fn run(api: Api) -> Result<(), StartError> {
    log_as_json();
    let app = app(&aws().await).await?;
    let service = serve(api, app).layer(middleware::from_fn(note_source));
    lambda_http::run(service).await
}

/// Takes the caller's address from the gateway's own request context.
async fn note_source(mut request: Request, next: Next) -> axum::response::Response {
    let source = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.identity.source_ip.clone(),
        _ => None,
    };
    if let Some(source) = source {
        request.extensions_mut().insert(Source(source));
    }
    next.run(request).await
}
