//! `POST /{portal}/users/{id}/registration-code`: replaces a lost registration code (BL-09).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::rules::actions::reissue_code;
use vestibule_http::openapi::{NotFoundProblems, SignedInProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem};

use crate::email_user;

/// Send a new registration code
///
/// Sends the user a new registration code by email. The previous code stops working.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/registration-code", tag = "users",
    operation_id = "reissue_registration_code",
    params(UserParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "The email is queued"),
        (status = 403, description = "`not-allowed`, `ask-help-desk` or `next-step-required`"),
        (status = 409, description = "`no-pending-code`, `self-action-forbidden` or `conflict`"),
        (status = 429, description = "`too-many-attempts`"),
        SignedInProblems, NotFoundProblems,
    )
)]
pub(crate) async fn reissue_code(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    email_user(&app, &caller, &id, |authority, user, context| {
        let fresh = app.fresh_registration_code(context.policy, context.rng);
        reissue_code::reissue_code(authority, user, fresh, context)
    })
    .await
}
