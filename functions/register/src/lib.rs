//! Registration against the plan's records, by invitation, and again during a registration campaign.

mod accept_as_user;
mod accept_invitation;
mod agreements;
mod describe_portal;
mod further_organization;
mod look_up_invitation;
mod register;
mod register_again;

use axum::middleware;
use vestibule_http::router::refusals_in_least_time;

vestibule_http::routes! {
    describe_portal::describe_portal,
    register::register,
    look_up_invitation::look_up_invitation,
    accept_invitation::accept_invitation,
    further_organization::further_organization,
    accept_as_user::accept_as_user,
    register_again::register_again,
    agreements::list,
    agreements::accept,
    ; layer: middleware::from_fn(refusals_in_least_time)
}
