//! The AWS Lambda entry point.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use vestibule_http::schedule::Scheduled;
use vestibule_http::settings::{self, LazyState, StartError};
use vestibule_print_letters::{MAX_LETTERS, Printer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let bucket = settings::setting("LETTERS_BUCKET", "the bucket of printed letters")?;
    let printer = LazyState::new(move |app, aws| Printer {
        store: app.store,
        portals: app.portals,
        s3: aws_sdk_s3::Client::new(aws),
        bucket: bucket.clone(),
        clock: app.clock,
        most: MAX_LETTERS,
    })?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        Scheduled::parse(event.payload)?;
        let done = printer.get().await?.run().await?;
        tracing::info!(
            batches = done.batches,
            printed = done.printed,
            problems = done.problems,
            "printed letters"
        );
        Ok::<_, StartError>(())
    }))
    .await
}
