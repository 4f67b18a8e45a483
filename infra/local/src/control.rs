//! The control endpoint of a running `cargo portal`, through which other commands reach the process that holds
//! the data folder. It listens on loopback with the pages; the data folder holds its address and its token, so
//! that neither a web page nor another user of the machine can call it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use data_encoding::HEXLOWER;
use jiff::civil::Date;
use rand::RngExt;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::time_travel::{line, now_in, print_day, print_now};
use crate::{Instance, StartError, client_secret, folder};

/// The path below which the endpoint is served.
pub const PATH: &str = "control";

/// The address and token of a running portal, as stored in its data folder.
#[derive(Serialize, Deserialize)]
struct Address {
    base: String,
    token: String,
}

struct Control {
    instance: Arc<Instance>,
    data: PathBuf,
    token: String,
    /// Held during a tick, so that two ticks don't interleave.
    ticking: Mutex<()>,
}

/// Asks to move the clock to the next day on which something is due, by at most `days`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TickRequest {
    days: u32,
}

#[derive(Serialize, Deserialize)]
struct TickResponse {
    /// How many days have passed, from 1 to the number requested.
    passed: u32,
    date: Date,
    /// The actions of the day; empty if there were none.
    line: String,
    /// The system's time, for display.
    now: String,
}

/// Returns the endpoint's routes, and stores their address and token in the data folder.
///
/// # Errors
/// Fails if the data folder can't be written to.
pub fn router(instance: Arc<Instance>, data: &Path, base: &str) -> Result<Router, StartError> {
    let random: [u8; 32] = instance.app.rng().random();
    let token = HEXLOWER.encode(&random);
    let address = Address {
        base: base.to_owned(),
        token: token.clone(),
    };
    std::fs::write(data.join(folder::SERVER), serde_json::to_string(&address)?)?;
    let control = Arc::new(Control {
        instance,
        data: data.to_owned(),
        token,
        ticking: Mutex::default(),
    });
    Ok(Router::new()
        .route(&format!("/{PATH}/tick"), post(advance))
        .route(&format!("/{PATH}/client-secret"), post(show_client_secret))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&control),
            authorize,
        ))
        .with_state(control))
}

/// Returns the address at which a portal last ran on the data folder; by default that of `cargo portal`.
pub fn last_base(data: &Path) -> String {
    read(data).map_or_else(
        || "http://localhost:8600".to_owned(),
        |address| address.base,
    )
}

fn read(data: &Path) -> Option<Address> {
    let text = std::fs::read(data.join(folder::SERVER)).ok()?;
    serde_json::from_slice(&text).ok()
}

async fn authorize(State(control): State<Arc<Control>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    let expected = format!("Bearer {}", control.token);
    if sent.is_some_and(|value| value.as_bytes() == expected.as_bytes()) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn advance(
    State(control): State<Arc<Control>>,
    Json(TickRequest { days }): Json<TickRequest>,
) -> Response {
    let _held = control.ticking.lock().await;
    match pass(&control, days.max(1)).await {
        Ok(passed) => Json(passed).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Requests the secret of an application.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretRequest {
    portal: String,
    application: String,
}

async fn show_client_secret(
    State(control): State<Arc<Control>>,
    Json(SecretRequest {
        portal,
        application,
    }): Json<SecretRequest>,
) -> Response {
    match client_secret::of(&control.instance.app, &portal, &application) {
        Ok(secret) => secret.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Returns the secret of an application of the portal that is running on the data folder.
///
/// # Errors
/// Fails if that portal can't be reached or has no such application.
pub async fn ask_client_secret(
    data: &Path,
    portal: &str,
    application: &str,
) -> Result<String, StartError> {
    let request = SecretRequest {
        portal: portal.to_owned(),
        application: application.to_owned(),
    };
    Running::on(data)?.post("client-secret", &request).await
}

/// The portal that is running on a data folder, as other commands reach it.
struct Running<'d> {
    data: &'d Path,
    address: Address,
    http: reqwest::Client,
}

impl<'d> Running<'d> {
    fn on(data: &'d Path) -> Result<Self, StartError> {
        Ok(Self {
            data,
            address: read(data).ok_or_else(|| busy(data))?,
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    /// Sends a request and returns the body of its response.
    async fn post(&self, path: &str, request: &impl Serialize) -> Result<String, StartError> {
        let Address { base, token } = &self.address;
        let sent = self
            .http
            .post(format!("{base}/{PATH}/{path}"))
            .bearer_auth(token)
            .json(request)
            .send()
            .await;
        // Another program may have taken the port since the portal stopped.
        match sent {
            Ok(response) if response.status() == reqwest::StatusCode::INTERNAL_SERVER_ERROR => {
                Err(response.text().await?.into())
            }
            Ok(response) if response.status().is_success() => Ok(response.text().await?),
            Ok(_) => Err(busy(self.data).into()),
            Err(error) if error.is_connect() => Err(busy(self.data).into()),
            Err(error) => Err(error.into()),
        }
    }
}

fn busy(data: &Path) -> String {
    format!(
        "another `cargo portal` command is using the folder {}. Try again when it has finished",
        data.display()
    )
}

async fn pass(control: &Control, days: u32) -> Result<TickResponse, StartError> {
    let Control { instance, data, .. } = control;
    let day = instance.pass_to_due(days).await?;
    folder::set_ahead(data, instance.app.clock.ahead())?;
    Ok(TickResponse {
        passed: day.number,
        date: day.date,
        line: line(&day),
        now: now_in(instance),
    })
}

/// Moves the clock of the portal that is running on the data folder and prints the actions of each day.
///
/// # Errors
/// Fails if that portal can't be reached or can't do it.
pub async fn tick(data: &Path, days: u32, out: &mut impl Write) -> Result<(), StartError> {
    let running = Running::on(data)?;
    let (mut passed, mut now) = (0, String::new());
    while passed < days {
        let request = TickRequest {
            days: days - passed,
        };
        let day = running.post("tick", &request).await?;
        let day: TickResponse = serde_json::from_str(&day)?;
        passed += day.passed;
        print_day(day.date, passed, &day.line, out)?;
        now = day.now;
    }
    print_now(&now, out)
}
