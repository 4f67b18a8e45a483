//! `GET /{portal}/entitlements`: the services and group codes of the caller, to whom everything is
//! open. What the portal protects asks this first.

use axum::Json;
use vestibule_http::answer::Entitlements;
use vestibule_http::{Entitled, Problem, ProblemBody};

/// Shows what the caller may use.
#[utoipa::path(
    get, path = "/{portal}/entitlements", tag = "profile",
    operation_id = "show_entitlements",
    params(("portal" = String, Path, description = "The portal")),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Entitlements, description = "What the caller may use"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`next-step-required`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn entitlements(
    Entitled(caller): Entitled,
) -> Result<Json<Entitlements>, Problem> {
    let membership = caller
        .membership()
        .ok_or_else(|| Problem::not_allowed(&caller.policy))?;
    Ok(Json(Entitlements::of(membership)))
}
