//! `GET /{portal}/users/{id}`: shows one user of the caller's organization (BL-17).

use axum::Json;
use axum::extract::State;
use vestibule_domain::policy::Permission;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::ids::AccountId;
use vestibule_http::openapi::{EntitledProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem};
use vestibule_store::UserRow;

use crate::UserResponse;

/// Show a user
///
/// Shows a user of the caller's organization. Users of other organizations are not found.
#[utoipa::path(
    get, path = "/{portal}/users/{id}", tag = "users",
    operation_id = "show_user",
    params(UserParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = UserResponse, description = "The user"),
        EntitledProblems, NotFoundProblems,
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<Json<UserResponse>, Problem> {
    let policy = &caller.policy;
    let acting = caller.acting()?;
    let organization = acting
        .allowed(Permission::ListUsers, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let not_found = || Problem::not_found("user");
    let id = AccountId::parse(&id).map_err(|_| not_found())?;
    let user = app
        .store
        .account(&policy.portal, &id)
        .await?
        .ok_or_else(not_found)?;
    let row = UserRow::of(&user, organization).ok_or_else(not_found)?;
    caller
        .record_reading(&app, Action::ViewUser, Some(id.as_str()))
        .await?;
    Ok(Json(UserResponse::of(row, acting.membership.role, policy)))
}
