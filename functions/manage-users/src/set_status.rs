//! `PUT /{portal}/users/{id}/status`: disables or reinstates a user (BA-06, UX-04).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::set_status::{self, NewStatus};
use vestibule_domain::state::audit::Action;
use vestibule_http::openapi::{EntitledProblems, FieldProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Body, Entitled, Problem};

use crate::{UserResponse, act};

/// The account status to set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetUserStatusRequest {
    /// The new account status.
    status: UserStatus,
}

/// An account status that an administrator can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserStatus {
    /// The user can sign in.
    Active,
    /// The user can't sign in, and current sessions stop working with the next request.
    Disabled,
}

/// Disable or reinstate a user
///
/// Sets whether a user can sign in. Disabling takes effect with the user's next request.
#[utoipa::path(
    put, path = "/{portal}/users/{id}/status", tag = "users",
    operation_id = "set_user_status",
    params(UserParams),
    request_body = SetUserStatusRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = UserResponse, description = "The user after the change"),
        (status = 409, description = "`several-organizations`, `last-administrator`, `self-action-forbidden` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn set_status(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
    Body(request): Body<SetUserStatusRequest>,
) -> Result<Json<UserResponse>, Problem> {
    let (to, action) = match request.status {
        UserStatus::Active => (NewStatus::Active, Action::ReinstateUser),
        UserStatus::Disabled => (NewStatus::Disabled, Action::DisableUser),
    };
    let (loaded, user) = act(
        &app,
        &caller,
        Permission::DisableUsers,
        &id,
        |authority, loaded, context| {
            set_status::set_status(authority, loaded.target(), to, context)
        },
    )
    .await
    .map_err(|problem| problem.refusing(action))?;
    UserResponse::after(&user, &loaded.organization, &caller).map(Json)
}
