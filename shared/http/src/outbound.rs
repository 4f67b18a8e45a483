//! Requests to applications, whose addresses are in policies. They cannot reach what is behind the firewall: the
//! connection goes to the address that was checked, redirections are not followed, and each request ends in five
//! seconds (OWASP Server-Side Request Forgery Prevention Cheat Sheet; SO-03).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_runtime_api::shared::IntoShared;
use jiff::{SignedDuration, Timestamp};
use vestibule_domain::policy::ApplicationUri;
use vestibule_domain::values::address::is_public;

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long an application that did not respond is left alone, so that many messages for it do not delay others.
const PAUSE: SignedDuration = SignedDuration::from_secs(50);

/// What requests can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses, by HTTPS.
    Internet,
    /// Also this machine, by HTTP: for `cargo portal` and tests.
    ThisMachine,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("the address is not one of the internet")]
    Forbidden,
    #[error("it did not respond a moment ago")]
    Paused,
    #[error("it did not respond in time")]
    Timeout,
    #[error("it was not reached")]
    NotReached,
    #[error("it responded with status {0}")]
    Status(u16),
}

/// Sends requests to applications. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    reach: Reach,
    connector: Arc<OnceLock<SharedHttpConnector>>,
    /// The applications, by origin, that are left alone until a time.
    paused: Arc<Mutex<HashMap<String, Timestamp>>>,
}

impl Outbound {
    pub fn new(reach: Reach) -> Self {
        Self {
            reach,
            connector: Arc::default(),
            paused: Arc::default(),
        }
    }

    /// Posts a form. Only a status of 2xx is a success.
    ///
    /// # Errors
    /// [`OutboundError`]
    pub async fn post_form(
        &self,
        uri: &ApplicationUri,
        form: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<(), OutboundError> {
        if !self.reach.allows(uri) {
            return Err(OutboundError::Forbidden);
        }
        let is_paused = |until: &Timestamp| now < *until;
        if self.paused().get(uri.origin()).is_some_and(is_paused) {
            return Err(OutboundError::Paused);
        }
        let sent = tokio::time::timeout(TIMEOUT, self.send(uri, form)).await;
        let result = sent.unwrap_or(Err(OutboundError::Timeout));
        let mut paused = self.paused();
        match result {
            Ok(()) => paused.remove(uri.origin()),
            Err(_) => paused.insert(uri.origin().to_owned(), now + PAUSE),
        };
        result
    }

    fn paused(&self) -> std::sync::MutexGuard<'_, HashMap<String, Timestamp>> {
        self.paused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, uri: &ApplicationUri, form: &[(&str, &str)]) -> Result<(), OutboundError> {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let request = http::Request::post(uri.as_str())
            .header("content-type", "application/x-www-form-urlencoded")
            .header("content-length", body.len())
            .body(body.into());
        let request = request.map_err(|_| OutboundError::NotReached)?;
        let request = HttpRequest::try_from(request).map_err(|_| OutboundError::NotReached)?;
        let connector = self.connector.get_or_init(|| connector(self.reach));
        let response = connector.call(request).await;
        let status: StatusCode = match response {
            Ok(response) => response.status(),
            Err(_) => return Err(OutboundError::NotReached),
        };
        match status.is_success() {
            true => Ok(()),
            false => Err(OutboundError::Status(status.as_u16())),
        }
    }
}

impl Reach {
    /// Returns whether a request to this address may be tried. Names are checked when they are resolved.
    fn allows(self, uri: &ApplicationUri) -> bool {
        if self == Self::ThisMachine && uri.is_loopback() {
            return true;
        }
        let address: Result<IpAddr, _> = uri.host().parse();
        uri.is_https() && address.map_or(true, |address| self.reaches(address))
    }

    fn reaches(self, address: IpAddr) -> bool {
        is_public(address) || (self == Self::ThisMachine && address.is_loopback())
    }
}

/// Creates a connector that trusts the root certificates of the system, because applications have certificates of any
/// public authority, and resolves names only to addresses that it may reach.
fn connector(reach: Reach) -> SharedHttpConnector {
    let tls = TlsContext::builder()
        .with_trust_store(TrustStore::default())
        .build();
    Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls.expect("certificates are parsed later"))
        .build_with_resolver(Guarded(reach))
        .into_shared()
}

/// Resolves names to addresses that may be reached. The connection then goes to one of them, so that another result
/// of a second lookup changes nothing.
#[derive(Debug, Clone, Copy)]
struct Guarded(Reach);

impl ResolveDns for Guarded {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            let found = found.map_err(ResolveDnsError::new)?.map(|found| found.ip());
            let allowed: Vec<IpAddr> = found.filter(|ip| self.0.reaches(*ip)).collect();
            match allowed.is_empty() {
                true => Err(ResolveDnsError::new(OutboundError::Forbidden)),
                false => Ok(allowed),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server on this machine with one response, and the number of its connections.
    async fn server(response: String) -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(response.as_bytes()).await;
            }
        });
        (port, connections)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    async fn post(outbound: &Outbound, uri: &str) -> Result<(), OutboundError> {
        let now = Timestamp::UNIX_EPOCH;
        let uri = ApplicationUri::parse(uri).unwrap();
        outbound
            .post_form(&uri, &[("logout_token", "a.b.c")], now)
            .await
    }

    #[tokio::test]
    async fn so_03_nothing_reaches_this_machine_or_a_private_network_in_production() {
        let (port, connections) = server(OK.to_owned()).await;
        let outbound = Outbound::new(Reach::Internet);
        for uri in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://localhost:{port}/"),
            format!("https://127.0.0.1:{port}/"),
            format!("https://[::1]:{port}/"),
            "https://169.254.169.254/latest/meta-data".to_owned(),
            "https://10.0.0.1/".to_owned(),
            "https://[fd00:ec2::254]/".to_owned(),
        ] {
            assert_eq!(
                post(&outbound, &uri).await,
                Err(OutboundError::Forbidden),
                "{uri}"
            );
        }
        // A name that resolves to this machine is refused before a connection is made.
        let uri = format!("https://localhost:{port}/");
        assert_eq!(post(&outbound, &uri).await, Err(OutboundError::NotReached));
        assert_eq!(connections.load(Ordering::SeqCst), 0);

        let here = Outbound::new(Reach::ThisMachine);
        assert_eq!(
            post(&here, &format!("http://localhost:{port}/")).await,
            Ok(())
        );
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn so_03_redirections_are_not_followed_and_an_application_that_fails_is_left_alone() {
        let (inner, connections) = server(OK.to_owned()).await;
        let redirection = format!(
            "HTTP/1.1 307 T\r\nlocation: http://127.0.0.1:{inner}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        let (outer, _) = server(redirection).await;
        let outbound = Outbound::new(Reach::ThisMachine);
        let uri = format!("http://127.0.0.1:{outer}/");
        assert_eq!(post(&outbound, &uri).await, Err(OutboundError::Status(307)));
        assert_eq!(connections.load(Ordering::SeqCst), 0);
        assert_eq!(post(&outbound, &uri).await, Err(OutboundError::Paused));
        let later = Timestamp::UNIX_EPOCH + PAUSE;
        let again = ApplicationUri::parse(&uri).unwrap();
        let again = outbound.post_form(&again, &[], later).await;
        assert_eq!(again, Err(OutboundError::Status(307)));
    }
}
