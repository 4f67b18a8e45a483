//! A minimal function behind API Gateway. `measure_cold_start` (in `tests/examples`) compares every
//! function with it.

use std::convert::Infallible;

use lambda_http::{Request, Response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    lambda_http::run(service_fn(async |_: Request| {
        Ok::<_, Infallible>(Response::new(String::from("hello")))
    }))
    .await
}
