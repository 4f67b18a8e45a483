//! The function on Lambda.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use vestibule_deliver_mail::{Courier, Event};
use vestibule_http::settings::{self, StartError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    settings::log_as_json();
    let aws = settings::aws().await;
    let app = settings::app(&aws).await?;
    let courier = Courier {
        store: app.store,
        portals: app.portals,
        ses: aws_sdk_ses::Client::new(&aws),
        configuration_set: settings::setting("CONFIGURATION_SET", "the SES configuration set").ok(),
        clock: app.clock,
    };
    let courier = &courier;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let event = Event::parse(event.payload)?;
        Ok::<_, StartError>(courier.take(event).await?)
    }))
    .await
}
