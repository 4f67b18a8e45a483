//! `DELETE /{portal}/users/{id}`: removes a user immediately and permanently (AG-09, AG-10).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::remove;
use vestibule_http::openapi::{EntitledProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem};

use crate::act;

/// Remove a user
///
/// Removes a user from the caller's organization immediately and permanently. If the user belongs
/// to no other organization, the account is deleted.
#[utoipa::path(
    delete, path = "/{portal}/users/{id}", tag = "users",
    operation_id = "remove_user",
    params(UserParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The user is removed"),
        (status = 409, description = "`last-principal`, `last-administrator`, `self-action-forbidden` or `conflict`"),
        EntitledProblems, NotFoundProblems,
    )
)]
pub(crate) async fn remove(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    act(
        &app,
        &caller,
        Permission::DeleteUsers,
        &id,
        |authority, loaded, context| remove::remove(authority, loaded.target(), context),
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
