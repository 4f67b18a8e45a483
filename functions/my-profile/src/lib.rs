//! What users see of themselves and change: who they are, what they may use, who administers them.

mod change_email;
mod choose_user_name;
mod confirm_email;
mod edit;
mod entitlements;
mod feedback;
mod me;

use utoipa_axum::routes;
use vestibule_http::Api;

/// The routes of this function.
pub fn api() -> Api {
    Api::new()
        .routes(routes!(me::me, edit::edit))
        .routes(routes!(change_email::change_email))
        .routes(routes!(choose_user_name::choose_user_name))
        .routes(routes!(confirm_email::confirm_email))
        .routes(routes!(entitlements::entitlements))
        .routes(routes!(feedback::feedback))
}
