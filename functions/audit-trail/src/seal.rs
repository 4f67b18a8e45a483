//! The hourly job that seals the audit trail, and keeps a seal of each day where nobody can change it (UX-11).

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::json;
use vestibule_http::App;
use vestibule_store::StoreError;
use vestibule_store::seals::Seal;

/// Seals the audit trails of all portals.
#[derive(Debug, Clone)]
pub struct Sealer {
    pub app: App,
    pub s3: Client,
    /// The bucket that keeps a seal of each day; on AWS, its objects are locked.
    pub bucket: String,
}

/// Why a trail was not sealed, or a seal not kept.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The object and the response of S3.
    #[error("the seal {key} was not kept: {cause}")]
    NotKept { key: String, cause: String },
}

/// The result of a run.
#[derive(Debug, Default, Serialize)]
pub struct Sealed {
    /// The number of seals created.
    pub seals: u32,
}

impl Sealer {
    /// Seals the audit trails of all portals up to the last full hour and keeps each portal's last seal in the
    /// bucket, once a day. It can run late, repeatedly or concurrently, and can be stopped at any time; a
    /// portal that fails doesn't stop the others.
    ///
    /// # Errors
    /// When the trail of a portal can't be sealed or its seal can't be kept.
    pub async fn run(&self) -> Result<Sealed, SealError> {
        let now = self.app.clock.now();
        let mut sealed = Sealed::default();
        let mut failed = None;
        for portal in self.app.portals.names() {
            let done = async {
                let done = self.app.store.seal_audit(portal, now).await?;
                sealed.seals += done.made;
                match done.last {
                    Some(seal) => self.keep(&seal, now).await,
                    None => Ok(()),
                }
            };
            if let Err(cause) = done.await {
                tracing::error!(%portal, %cause, "failed to seal the audit trail");
                failed = Some(cause);
            }
        }
        tracing::info!(
            seals = sealed.seals,
            complete = failed.is_none(),
            "sealed the audit trail"
        );
        failed.map_or(Ok(sealed), Err)
    }

    /// Keeps a seal as the one of its day, unless the day has one. Its digest represents all earlier seals.
    async fn keep(&self, seal: &Seal, now: Timestamp) -> Result<(), SealError> {
        let day = seal.until.to_zoned(TimeZone::UTC).date();
        let key = format!("seals/{}/{day}.json", seal.portal);
        let body = json!({
            "portal": seal.portal,
            "sealed_until": seal.until,
            "kept": format!("{}:{}", seal.number, seal.digest()),
            "kept_at": now,
        });
        let put = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            .key(&key)
            .if_none_match("*")
            .content_type("application/json")
            .body(ByteStream::from(format!("{body:#}\n").into_bytes()));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some("PreconditionFailed") => Ok(()),
            // Another run is writing the same object now.
            Err(e) if e.code() == Some("ConditionalRequestConflict") => Ok(()),
            Err(e) => Err(SealError::NotKept {
                key,
                cause: match &e {
                    SdkError::ServiceError(_) => e.code().unwrap_or("unknown").to_owned(),
                    _ => "no response".to_owned(),
                },
            }),
        }
    }
}
