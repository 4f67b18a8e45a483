//! `POST /{portal}/users/{id}/registration-code`: replaces a lost registration code (BL-09).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::manage;
use vestibule_domain::policy::Permission;
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem, ProblemBody};

use crate::act;

/// Send a new registration code
///
/// Sends the user a new registration code by email. The previous code stops working.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/registration-code", tag = "users",
    operation_id = "reissue_registration_code",
    params(("portal" = String, Path, description = "The portal"), ("id" = String, Path, description = "The user")),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "The mail is on its way"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed`, `ask-help-desk` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`no-pending-code`, `yourself`, `conflict`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reissue_code(
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
            let fresh = app.fresh_registration_code(policy, rng);
            let (organization, user) = (&target.organization, &target.user);
            manage::reissue_code(
                acting,
                organization,
                user,
                fresh,
                policy,
                &caller.origin,
                rng,
            )
            .map(|(_, decision)| decision)
        },
    )
    .await?;
    Ok(StatusCode::ACCEPTED)
}
