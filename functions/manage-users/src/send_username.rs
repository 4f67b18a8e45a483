//! `POST /{portal}/users/{id}/username-reminder`: sends a user their username (BL-15).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::manage;
use vestibule_domain::policy::Permission;
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem, ProblemBody};

use crate::act;

/// Send a username reminder
///
/// Emails the username to the user's own address.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/username-reminder", tag = "users",
    operation_id = "send_username",
    params(("portal" = String, Path, description = "The portal"), ("id" = String, Path, description = "The user")),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "The mail is on its way"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed`, `ask-help-desk` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`not-recoverable`, `yourself`, `conflict`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn send_username(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    act(
        &app,
        &caller,
        Permission::ReissueCodes,
        &id,
        |acting, target, policy, rng| {
            let (organization, user) = (&target.organization, &target.user);
            manage::send_username(acting, organization, user, policy, &caller.origin, rng)
        },
    )
    .await?;
    Ok(StatusCode::ACCEPTED)
}
