//! The AWS Lambda entry point, invoked on a schedule.

use jiff::{SignedDuration, Timestamp};
use lambda_runtime::{LambdaEvent, service_fn};
use vestibule_http::settings::{self, LazyState, StartError};
use vestibule_inactivity_sweep::{Event, Run, Swept, reindex, sweep};

/// How long before the Lambda deadline no new page of work is started.
const RESERVE: SignedDuration = SignedDuration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let app = LazyState::new(|app, _| app)?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        let app = app.get().await?;
        let ends = i64::try_from(event.context.deadline).unwrap_or(i64::MAX);
        let until = Timestamp::from_millisecond(ends).ok().map(|t| t - RESERVE);
        if event.payload.reindex {
            return Ok(Swept {
                summary: reindex(app, until).await,
                ..Swept::default()
            });
        }
        let run = Run {
            until,
            ..Run::of(event.payload, app.clock.now())?
        };
        Ok::<Swept, StartError>(sweep(app, &run).await)
    }))
    .await
}
