//! The Lambda entry point.

use std::path::Path;
use std::sync::Arc;

use vestibule_http::portals;
use vestibule_http::settings::{self, StartError};
use vestibule_pages::Source;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let folder = settings::portals_folder(settings::BUNDLED_PORTALS);
    let portals = Arc::new(portals::open(Path::new(&folder))?);
    settings::run_stateless(vestibule_pages::router(portals, Source::Embedded)).await
}
