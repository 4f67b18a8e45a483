//! What users see of themselves: who they are, what they may use, who administers them.

mod entitlements;
mod me;

use utoipa_axum::routes;
use vestibule_http::Api;

/// The routes of this function.
pub fn api() -> Api {
    Api::new().routes(routes!(me::me)).routes(routes!(entitlements::entitlements))
}
