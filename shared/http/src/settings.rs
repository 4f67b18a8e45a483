//! The settings of a function, read from its environment.

use std::convert::Infallible;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::shared::IntoShared;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use axum::response::{IntoResponse, Response};
use axum::{Router, body};
use futures::future::BoxFuture;
use lambda_http::request::RequestContext;
use lambda_http::{RequestExt, service_fn};
use tower::ServiceExt;
use tracing::Instrument;
use vestibule_secrets::signing::Signer;
use vestibule_secrets::{HashParameters, Hasher};
use vestibule_store::keyring::{Keys, OpenKeyring};
use vestibule_store::{Store, StoreError, Tables};

use crate::app::LEAST_TIME;
use crate::request::Source;
use crate::secret_check::Passwords;
use crate::{App, Clock, Problem, Routes, portals, serve};

/// A missing setting.
#[derive(thiserror::Error)]
#[error("the environment variable {0} is missing: {1}")]
pub struct Missing(&'static str, &'static str);

/// Prints the message, because `main` prints the error that it returns with `Debug`.
impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a setting.
///
/// # Errors
/// [`Missing`] with the name and meaning of the variable.
pub fn setting(name: &'static str, meaning: &'static str) -> Result<String, Missing> {
    variable(name).ok_or(Missing(name, meaning))
}

/// Reads an environment variable; an empty one counts as missing.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that reads settings"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// Why a function can't start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// The root certificates of Amazon Trust Services, which all AWS endpoints use:
/// <https://www.amazontrust.com/repository/>.
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// Returns the configuration that all AWS clients of a function share: region, credentials and custom
/// endpoints from the environment, and one connection pool.
///
/// It replaces `aws_config::load_defaults`, which also looks for credentials in files, at STS and at two
/// local addresses, and which loads the 150 root certificates of the image, the slowest part of a cold
/// start. If `SSL_CERT_FILE` is set, the roots in that bundle are trusted instead of Amazon's.
///
/// # Errors
/// [`Missing`] when no region is set.
pub fn aws() -> Result<SdkConfig, Missing> {
    let region = setting("AWS_REGION", "the region; Lambda sets it")?;
    let credentials = EnvironmentVariableCredentialsProvider::new();
    Ok(SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Environment)
        .http_client(https())
        .build())
}

/// Returns a connection pool for all clients, created at the first call.
fn https() -> SharedHttpClient {
    let connector = OnceLock::new();
    http_client_fn(move |settings, components| {
        let make = || {
            let roots = match setting("SSL_CERT_FILE", "a bundle of roots to trust") {
                Ok(_) => TrustStore::default(),
                Err(_) => TrustStore::empty().with_pem_certificate(AMAZON_ROOTS),
            };
            let tls = TlsContext::builder().with_trust_store(roots).build();
            let mut made = Connector::builder();
            made.set_connector_settings(Some(settings.clone()));
            made.set_sleep_impl(components.sleep_impl());
            made.tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .tls_context(tls.expect("certificates are parsed later"))
                .build()
                .into_shared()
        };
        SharedHttpConnector::clone(connector.get_or_init(make))
    })
}

/// Reads service settings from the environment, such as `AWS_ENDPOINT_URL_DYNAMODB`, with settings for all
/// services, such as `AWS_ENDPOINT_URL`, as the fallback.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
    }
}

/// The common part of the aliases of the signing keys, if no other is set.
pub const SIGNING_KEY_ALIAS: &str = "alias/vestibule-signing";

/// The startup settings of a function: `TABLE`, `AUDIT_TABLE`, `KMS_KEY_ID`, `SIGNING_KEY_ALIAS` (by default
/// [`SIGNING_KEY_ALIAS`]) and `PORTALS_DIR` (by default the `portals` folder bundled with the function).
#[derive(Debug)]
pub struct Bootstrap {
    aws: SdkConfig,
    tables: Tables,
    key_id: String,
    signing_alias: String,
    portals: PathBuf,
}

impl Bootstrap {
    /// Reads the settings; `portals` is the default for `PORTALS_DIR`.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn read(aws: SdkConfig, portals: PathBuf) -> Result<Self, Missing> {
        Ok(Self {
            aws,
            tables: Tables {
                main: setting("TABLE", "the name of the main table")?,
                audit: setting("AUDIT_TABLE", "the name of the audit table")?,
            },
            key_id: setting("KMS_KEY_ID", "the KMS key that wraps the keyring")?,
            signing_alias: setting("SIGNING_KEY_ALIAS", "the aliases of the signing keys")
                .unwrap_or_else(|_| SIGNING_KEY_ALIAS.to_owned()),
            portals: portals_folder(portals),
        })
    }

    /// Creates the clients of DynamoDB and KMS.
    pub fn keys(&self) -> Keys {
        Keys {
            db: vestibule_store::client((&self.aws).into()),
            tables: self.tables.clone(),
            kms: aws_sdk_kms::Client::new(&self.aws),
            key_id: self.key_id.clone(),
        }
    }

    /// Creates the DynamoDB client and loads the keyring.
    ///
    /// # Errors
    /// [`StoreError`] when there is no keyring (SE-11), or DynamoDB or KMS doesn't respond.
    pub async fn keyring(&self) -> Result<(aws_sdk_dynamodb::Client, OpenKeyring), StoreError> {
        let keys = self.keys();
        Ok((keys.db.clone(), keys.open(Clock::System.now()).await?))
    }

    /// Opens the folder of policies, loads the keyring and builds the state of the function.
    ///
    /// # Errors
    /// When the folder of policies is invalid, there is no keyring, or DynamoDB or KMS doesn't respond.
    pub async fn app(&self) -> Result<App, StartError> {
        let (app, keyring) = self.open()?;
        keyring.load(Clock::System.now()).await?;
        Ok(app)
    }

    /// Builds the state of the function, with the guard that loads and refreshes its keyring. Calls no service.
    fn open(&self) -> Result<(App, Arc<OpenKeyring>), StartError> {
        let portals = Arc::new(portals::open(&self.portals)?);
        let keys = self.keys();
        let db = keys.db.clone();
        let signer = Arc::new(Signer::new(keys.kms.clone(), self.signing_alias.clone()));
        let open = Arc::new(keys.open_later());
        let keyring = Arc::clone(open.keyring());
        let now = || Clock::System.now();
        let app = App {
            store: Store::loading(db, self.tables.clone(), Arc::clone(&open), now),
            portals,
            hasher: Passwords::new(Hasher::new(
                HashParameters::default(),
                keyring,
                NonZeroUsize::MIN,
            )),
            clock: Clock::System,
            signer,
            least_time: LEAST_TIME,
        };
        Ok((app, open))
    }
}

/// State of a function on Lambda that is created at the first event, so that provisioned containers start
/// without calling AWS.
pub struct LazyState<T, F> {
    start: Bootstrap,
    make: F,
    made: OnceLock<(T, Arc<OpenKeyring>)>,
}

impl<T, F: Fn(App, &SdkConfig) -> T> LazyState<T, F> {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn new(make: F) -> Result<Self, Missing> {
        Ok(Self {
            start: Bootstrap::read(aws()?, PathBuf::from(BUNDLED_PORTALS))?,
            make,
            made: OnceLock::new(),
        })
    }

    /// Returns the state with the keyring loaded, and creates it if necessary; after a failure the next event
    /// tries again. Looks for new keys from time to time (SE-11).
    ///
    /// # Errors
    /// When the folder of policies is invalid, and the errors of [`OpenKeyring::load`] and
    /// [`OpenKeyring::refresh`].
    pub async fn get(&self) -> Result<&T, StartError> {
        let (made, keyring) = self.made()?;
        keyring.load(Clock::System.now()).await?;
        keyring.refresh(Clock::System.now()).await?;
        Ok(made)
    }

    /// Returns the state for a request that only reads. Most such requests need no key, so the keyring is not
    /// loaded before one does.
    ///
    /// # Errors
    /// When the folder of policies is invalid, and the errors of [`OpenKeyring::refresh`].
    pub async fn get_to_read(&self) -> Result<&T, StartError> {
        let (made, keyring) = self.made()?;
        keyring.refresh(Clock::System.now()).await?;
        Ok(made)
    }

    fn made(&self) -> Result<&(T, Arc<OpenKeyring>), StartError> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let (app, keyring) = self.start.open()?;
        let made = ((self.make)(app, &self.start.aws), keyring);
        Ok(self.made.get_or_init(|| made))
    }
}

/// Sets up logging as JSON lines, for CloudWatch.
pub fn log_as_json() {
    tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::INFO)
        .with_current_span(false)
        .init();
}

/// Runs a function's routes on Lambda, behind API Gateway.
///
/// # Errors
/// When a setting is missing, or the Lambda runtime fails.
pub async fn run(routes: fn() -> Routes) -> Result<(), StartError> {
    log_as_json();
    let opening = LazyState::new(|app, _| serve(routes(), app))?;
    lambda_http::run(service_fn(async |mut request: lambda_http::Request| {
        let opened = match request.method().is_safe() {
            true => opening.get_to_read().await,
            false => opening.get().await,
        };
        let answer = match opened {
            Ok(service) => {
                if let Some(source) = source(&request) {
                    request.extensions_mut().insert(source);
                }
                let span = request_span(&request);
                service.clone().oneshot(request).instrument(span).await?
            }
            Err(cause) => Problem::unavailable(&*cause).into_response(),
        };
        Ok::<_, Infallible>(Utf8(answer))
    }))
    .await
}

/// Returns a span with the id that the gateway's access log gives the request. Lambda's own id is in the span around
/// it, so every line of a function's log contains both.
fn request_span(request: &lambda_http::Request) -> tracing::Span {
    let id = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.as_deref(),
        _ => None,
    };
    tracing::info_span!("request", id)
}

/// The folder of policies that is bundled with a function.
pub const BUNDLED_PORTALS: &str = "portals";

/// Returns the folder of policies: `PORTALS_DIR`, or `default`.
pub fn portals_folder(default: impl Into<PathBuf>) -> PathBuf {
    setting("PORTALS_DIR", "the folder of policies").map_or_else(|_| default.into(), PathBuf::from)
}

/// Runs a service on Lambda, behind API Gateway, that reads and writes nothing on AWS.
///
/// # Errors
/// When the Lambda runtime fails.
pub async fn run_stateless(service: Router) -> Result<(), StartError> {
    log_as_json();
    lambda_http::run(service_fn(async |request: lambda_http::Request| {
        Ok::<_, Infallible>(Utf8(service.clone().oneshot(request).await?))
    }))
    .await
}

/// Reads the caller's IP address from the gateway's request context.
fn source(request: &lambda_http::Request) -> Option<Source> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.clone().map(Source),
        _ => None,
    }
}

/// A response in UTF-8. `lambda_http` would detect the charset and link the tables of all charsets into the
/// function.
struct Utf8(Response);

impl lambda_http::IntoResponse for Utf8 {
    fn into_response(self) -> BoxFuture<'static, http::Response<lambda_http::Body>> {
        Box::pin(async {
            let (head, body) = self.0.into_parts();
            let body = body::to_bytes(body, usize::MAX)
                .await
                .expect("a body in memory");
            let body = match String::from_utf8(body.into()) {
                Ok(text) => lambda_http::Body::Text(text),
                Err(other) => lambda_http::Body::Binary(other.into_bytes()),
            };
            http::Response::from_parts(head, body)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, HEXLOWER};
    use sha2::{Digest, Sha256};

    /// The SHA-256 of each certificate, as listed at <https://www.amazontrust.com/repository/>.
    const PUBLISHED: [&str; 5] = [
        "8ecde6884f3d87b1125ba31ac3fcb13d7016de7f57cc904fe1cb97c6ae98196e",
        "1ba5b2aa8c65401a82960118f80bec4f62304d83cec4713a19c39c011ea46db4",
        "18ce6cfe7bf14e60b2e347b8dfe868cb31d02ebb3ada271569f50343b46db3a4",
        "e35d28419ed02025cfa69038cd623962458da5c695fbdea3c22b0bfb25897092",
        "568d6905a2c88708a4b3025190edcfedb1974a606a13c6e5290fcb2ae63edab5",
    ];

    #[test]
    fn the_roots_are_those_of_amazon_trust_services() {
        let certificates = AMAZON_ROOTS.split("-----BEGIN CERTIFICATE-----").skip(1);
        let fingerprints: Vec<_> = certificates
            .map(|rest| {
                let (body, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
                let body: String = body.split_whitespace().collect();
                HEXLOWER.encode(&Sha256::digest(BASE64.decode(body.as_bytes()).unwrap()))
            })
            .collect();
        assert_eq!(fingerprints, PUBLISHED);
    }
}
