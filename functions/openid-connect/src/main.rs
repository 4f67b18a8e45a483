//! The Lambda entry point.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), vestibule_http::settings::StartError> {
    vestibule_http::settings::run(vestibule_openid_connect::routes).await
}
