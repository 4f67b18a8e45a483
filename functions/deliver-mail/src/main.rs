//! The AWS Lambda entry point.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use vestibule_deliver_mail::{Event, Mailer};
use vestibule_http::outbound::{Outbound, Reach};
use vestibule_http::settings::{self, LazyState, StartError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let mailer = LazyState::new(|app, aws| Mailer {
        store: app.store,
        portals: app.portals,
        ses: aws_sdk_ses::Client::new(aws),
        configuration_set: settings::setting("CONFIGURATION_SET", "the SES configuration set").ok(),
        clock: app.clock,
        signer: app.signer,
        outbound: Outbound::new(Reach::Internet),
    })?;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let event = Event::parse(event.payload)?;
        Ok::<_, StartError>(mailer.get().await?.take(event).await?)
    }))
    .await
}
