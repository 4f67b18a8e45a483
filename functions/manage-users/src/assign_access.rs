//! `PUT /{portal}/users/{id}/access`: changes a user's role, services and group codes (BL-07,
//! UX-04).

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::{Permission, Role};
use vestibule_domain::rules::actions::assign::{self, Assignment};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, credentials, transact};

use crate::{LoadedUser, UserResponse, problem};

/// The user's access. It replaces the current access completely.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignAccessRequest {
    /// The user's role in the organization, such as `user` or `administrator`.
    #[schema(value_type = String)]
    role: Role,
    /// The services assigned to the user, by id.
    services: BTreeSet<String>,
    /// The organization's group codes assigned to the user.
    #[serde(default)]
    group_codes: BTreeSet<String>,
    /// The last day of the user's access, as `YYYY-MM-DD` in the portal's time zone. If absent,
    /// access has no end date.
    end_date: Option<String>,
}

/// Change a user's access
///
/// Replaces the user's role, services, group codes and end date. The change takes effect with the
/// user's next request.
#[utoipa::path(
    put, path = "/{portal}/users/{id}/access", tag = "users",
    operation_id = "assign_access",
    params(UserParams),
    request_body = AssignAccessRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = UserResponse, description = "The user after the change"),
        (status = 409, description = "`last-principal`, `last-administrator`, `self-action-forbidden` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn assign_access(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
    Body(request): Body<AssignAccessRequest>,
) -> Result<Json<UserResponse>, Problem> {
    let acting = caller.acting()?;
    caller.require_confirmation_to_grant(request.role)?;
    let (loaded, user) = transact(
        &app,
        |_| LoadedUser::find(&app, &caller, Permission::EditUsers, &id),
        |loaded, rng| {
            let mut fields = FieldErrors::default();
            let end_date = credentials::end_date(request.end_date.as_deref(), &mut fields);
            let to = Assignment {
                role: request.role,
                services: request.services.clone(),
                group_codes: request.group_codes.clone(),
                end_date: fields.into_result(end_date)?,
            };
            assign::assign(acting, loaded.target(), to, caller.context(rng))
                .map_err(|refusal| problem(refusal, &caller.policy))
        },
    )
    .await?;
    UserResponse::after(&user, &loaded.organization, &caller).map(Json)
}
