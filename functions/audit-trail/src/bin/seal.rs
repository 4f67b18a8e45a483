//! The AWS Lambda entry point of the hourly job that seals the audit trail.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use vestibule_http::schedule::Scheduled;
use vestibule_http::settings::{self, LazyState, StartError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let app = LazyState::new(|app, _| app)?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        Scheduled::parse(event.payload)?;
        Ok::<_, StartError>(vestibule_audit_trail::seal(app.get().await?).await?)
    }))
    .await
}
