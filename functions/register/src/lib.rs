//! Registration against the plan's records, by invitation, and again during a registration campaign.

mod accept_invitation;
mod accept_invitation_as_user;
mod agreements;
mod describe_portal;
mod look_up_invitation;
mod register;
mod register_additional_organization;
mod register_again;

use axum::middleware;
use vestibule_http::router::refusals_in_least_time;

vestibule_http::routes! {
    describe_portal::describe_portal,
    register::register,
    look_up_invitation::look_up_invitation,
    accept_invitation::accept_invitation,
    register_additional_organization::register_additional_organization,
    accept_invitation_as_user::accept_invitation_as_user,
    register_again::register_again,
    agreements::list,
    agreements::accept,
    ; layer: middleware::from_fn(refusals_in_least_time)
}
