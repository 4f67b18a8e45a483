//! The job that seals the trail, on Lambda: a schedule starts it every hour.

use lambda_runtime::{LambdaEvent, service_fn};
use vestibule_http::settings::{self, StartError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let app = settings::app().await?;
    lambda_runtime::run(service_fn(async |_: LambdaEvent<serde_json::Value>| {
        Ok::<_, StartError>(vestibule_audit_trail::seal(&app).await?)
    }))
    .await
}
