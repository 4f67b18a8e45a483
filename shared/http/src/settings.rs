//! A function's settings, from its environment; a missing one is named.

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
use axum::body;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use lambda_http::request::RequestContext;
use lambda_http::{RequestExt, service_fn};
use tokio::sync::OnceCell;
use tower::ServiceExt;
use vestibule_secrets::{HashParameters, Hasher, Keyring};
use vestibule_store::{Store, Tables, Unavailable, keyring};

use crate::app::LEAST_TIME;
use crate::request::Source;
use crate::{App, Clock, Problem, Routes, portals, serve};

/// A setting that is missing.
#[derive(thiserror::Error)]
#[error("the environment variable {0} is missing: {1}")]
pub struct Missing(&'static str, &'static str);

/// In words, as a program that ends with an error prints it by this.
impl fmt::Debug for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads a setting.
///
/// # Errors
/// [`Missing`] with the variable's name and what it is for.
pub fn setting(name: &'static str, meaning: &'static str) -> Result<String, Missing> {
    variable(name).ok_or(Missing(name, meaning))
}

/// A variable of the environment; an empty one is none.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where settings are read"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// Why a function can't start.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// The roots of Amazon Trust Services, to which every endpoint of AWS leads:
/// <https://www.amazontrust.com/repository/>.
const AMAZON_ROOTS: &str = include_str!("amazon-roots.pem");

/// What all clients of a function on Lambda have in common: its region, the credentials of its role, and endpoints
/// of one's own, all from the environment; and one pool of connections.
///
/// It stands for `aws_config::load_defaults`, which looks for credentials in files, at STS and on two local
/// addresses, none of which a function has, and which trusts the 150 roots of the image: reading them takes more
/// time than all else at a cold start. Where `SSL_CERT_FILE` names a bundle, its roots are trusted in the place of
/// Amazon's.
///
/// # Errors
/// [`Missing`] when there is no region.
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

/// One pool of connections for all clients, made for the first call of all.
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
                .tls_context(tls.expect("certificates that are looked at later"))
                .build()
                .into_shared()
        };
        SharedHttpConnector::clone(connector.get_or_init(make))
    })
}

/// What the environment says of a service, such as `AWS_ENDPOINT_URL_DYNAMODB`, and of all,
/// such as `AWS_ENDPOINT_URL`.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace(' ', "_");
        variable(&format!("{}_{service}", key.env())).or_else(|| variable(key.env()))
    }
}

/// What a function starts from: its settings `TABLE`, `AUDIT_TABLE`, `KMS_KEY_ID` and `PORTALS_DIR`
/// (by default the `portals` folder bundled with the function).
#[derive(Debug)]
pub struct Start {
    aws: SdkConfig,
    tables: Tables,
    key_id: String,
    portals: PathBuf,
}

impl Start {
    /// Reads the settings; `portals` is the folder of policies where `PORTALS_DIR` names none.
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
            portals: setting("PORTALS_DIR", "the folder of policies")
                .map_or(portals, PathBuf::from),
        })
    }

    /// DynamoDB, and the keyring from there and from KMS.
    ///
    /// # Errors
    /// [`Unavailable`] when DynamoDB or KMS doesn't answer.
    pub async fn keyring(&self) -> Result<(aws_sdk_dynamodb::Client, Keyring), Unavailable> {
        let db = vestibule_store::client((&self.aws).into());
        let kms = aws_sdk_kms::Client::new(&self.aws);
        let keyring = keyring::load(&db, &self.tables, &kms, &self.key_id).await?;
        Ok((db, keyring))
    }

    /// The state of a function: looks which policies there are, and fetches the keyring.
    ///
    /// # Errors
    /// What is wrong with the folder of policies, or what doesn't answer.
    pub async fn app(&self) -> Result<App, StartError> {
        let portals = Arc::new(portals::open(&self.portals)?);
        let (db, keyring) = self.keyring().await?;
        let keyring = Arc::new(keyring);
        Ok(App {
            store: Store::new(
                db,
                self.tables.clone(),
                Arc::clone(&keyring),
                Arc::clone(&portals),
            ),
            portals,
            hasher: Hasher::new(HashParameters::default(), keyring, NonZeroUsize::MIN),
            clock: Clock::System,
            least_time: LEAST_TIME,
        })
    }
}

/// What a function on Lambda answers with, made when its first event wants it. In Lambda that event is why there
/// is a start; and a container that is kept ready begins in no time.
pub struct Opening<T, F> {
    start: Start,
    make: F,
    made: OnceCell<T>,
}

impl<T, F: Fn(App, &SdkConfig) -> T> Opening<T, F> {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn new(make: F) -> Result<Self, Missing> {
        Ok(Self {
            start: Start::read(aws()?, PathBuf::from("portals"))?,
            make,
            made: OnceCell::new(),
        })
    }

    /// Makes it, where that hasn't been done yet; where it went wrong, the next event tries again.
    ///
    /// # Errors
    /// Those of [`Start::app`].
    pub async fn get(&self) -> Result<&T, StartError> {
        // In a box, for the compiler: who waits for it would be of a type too deep for it.
        let make = || Box::pin(async { Ok((self.make)(self.start.app().await?, &self.start.aws)) });
        self.made.get_or_try_init(make).await
    }
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
pub async fn run(routes: fn() -> Routes) -> Result<(), StartError> {
    log_as_json();
    let opening = Opening::new(|app, _| serve(routes(), app))?;
    lambda_http::run(service_fn(async |mut request: lambda_http::Request| {
        let answer = match opening.get().await {
            Ok(service) => {
                if let Some(source) = source(&request) {
                    request.extensions_mut().insert(source);
                }
                service.clone().oneshot(request).await?
            }
            Err(cause) => Problem::unavailable(&*cause).into_response(),
        };
        Ok::<_, Infallible>(Utf8(answer))
    }))
    .await
}

/// The caller's address, from the gateway's own request context.
fn source(request: &lambda_http::Request) -> Option<Source> {
    match request.request_context_ref()? {
        RequestContext::ApiGatewayV1(context) => context.identity.source_ip.clone().map(Source),
        _ => None,
    }
}

/// An answer in UTF-8, as all of ours are: `lambda_http` would look which charset it is in, and bring the tables of
/// them all into the function.
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

    /// As <https://www.amazontrust.com/repository/> lists them: SHA-256 over each certificate.
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
