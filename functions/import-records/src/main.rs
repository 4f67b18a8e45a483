//! The AWS Lambda entry point.

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, service_fn};
use vestibule_http::settings::{self, LazyState, StartError};
use vestibule_import_records::{Importer, S3Event};

/// How long before the Lambda deadline a run saves its progress and stops.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let bucket = settings::setting(
        "FEEDS_BUCKET",
        "the bucket that the plans upload their feeds to",
    )?;
    let importer = LazyState::new(move |app, aws| Importer {
        app,
        s3: aws_sdk_s3::Client::new(aws),
        bucket: bucket.clone(),
    })?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<S3Event>| {
        let ends = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let ends = Timestamp::from_millisecond(ends).unwrap_or(Timestamp::MAX);
        let ends = Some(ends - MARGIN);
        Ok::<_, StartError>(importer.get().await?.handle(&event.payload, ends).await?)
    }))
    .await
}
