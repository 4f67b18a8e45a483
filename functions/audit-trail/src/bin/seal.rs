//! The AWS Lambda entry point of the hourly job that seals the audit trail.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use vestibule_audit_trail::Sealer;
use vestibule_http::schedule::Scheduled;
use vestibule_http::settings::{self, LazyState, StartError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let bucket = settings::setting(
        "SEALS_BUCKET",
        "the bucket that keeps a seal of each day of the audit trail",
    )?;
    let sealer = LazyState::new(move |app, aws| Sealer {
        app,
        s3: aws_sdk_s3::Client::new(aws),
        bucket: bucket.clone(),
    })?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        Scheduled::parse(event.payload)?;
        Ok::<_, StartError>(sealer.get().await?.run().await?)
    }))
    .await
}
