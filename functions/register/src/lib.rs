//! Registration: principals and members against the plan's records, invited staff through their
//! link, and everybody again when a campaign asks.

mod accept_as_user;
mod accept_invitation;
mod agreements;
mod describe_portal;
mod further_organisation;
mod look_up_invitation;
mod register;
mod register_again;

use utoipa_axum::routes;
use vestibule_http::Api;

/// The routes of this function.
pub fn api() -> Api {
    Api::new()
        .routes(routes!(describe_portal::describe_portal))
        .routes(routes!(register::register))
        .routes(routes!(look_up_invitation::look_up_invitation))
        .routes(routes!(accept_invitation::accept_invitation))
        .routes(routes!(further_organisation::further_organisation))
        .routes(routes!(accept_as_user::accept_as_user))
        .routes(routes!(register_again::register_again))
        .routes(routes!(agreements::list))
        .routes(routes!(agreements::accept))
}
