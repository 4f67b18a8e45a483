//! `POST /{portal}/users/{id}/approval`: approves a user who has registered (AG-08).

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::approve::{self, Approval};
use vestibule_http::openapi::{FieldProblems, NotFoundProblems, SignedInProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, credentials, transact};

use crate::{LoadedUser, UserResponse, problem};

/// The access to grant. It replaces the current access completely.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApproveUserRequest {
    /// The services assigned to the user, by id.
    services: BTreeSet<String>,
    /// The organization's group codes assigned to the user.
    #[serde(default)]
    group_codes: BTreeSet<String>,
    /// The last day of the user's access, as `YYYY-MM-DD` in the portal's time zone, or `null` for
    /// no end date. If absent, the date set in the invitation stays.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    end_date: Option<Option<String>>,
}

/// Distinguishes a field that is `null` from one that is absent.
fn given<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Approve a user
///
/// Approves a user who has registered, and assigns services and group codes.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/approval", tag = "users",
    operation_id = "approve_user",
    params(UserParams),
    request_body = ApproveUserRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = UserResponse, description = "The approved user"),
        (status = 403, description = "`not-allowed`, `another-must-approve` or `next-step-required`"),
        (status = 409, description = "`approval-not-pending`"),
        SignedInProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn approve(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
    Body(request): Body<ApproveUserRequest>,
) -> Result<Json<UserResponse>, Problem> {
    let acting = caller.acting()?;
    let (loaded, user) = transact(
        &app,
        |_| LoadedUser::find(&app, &caller, Permission::ApproveUsers, &id),
        |loaded, rng| {
            let mut fields = FieldErrors::default();
            let end_date = match &request.end_date {
                Some(given) => credentials::end_date(given.as_deref(), &mut fields).map(Some),
                None => Some(None),
            };
            let approval = Approval {
                services: request.services.clone(),
                group_codes: request.group_codes.clone(),
                end_date: fields.into_result(end_date)?,
            };
            approve::approve(acting, loaded.target(), approval, caller.context(rng))
                .map_err(|refusal| problem(refusal, &caller.policy))
        },
    )
    .await?;
    UserResponse::after(&user, &loaded.organization, &caller).map(Json)
}
