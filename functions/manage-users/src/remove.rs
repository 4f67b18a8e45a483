//! `DELETE /{portal}/users/{id}`: removes a user immediately and permanently (AG-09, AG-10).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::authority::Authority;
use vestibule_domain::rules::actions::remove;
use vestibule_http::openapi::{EntitledProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::second_factor::Confirmation;
use vestibule_http::{App, Entitled, Problem, transact};

use crate::{LoadedUser, problem};

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
    let authority = Authority::Administrator(caller.acting()?);
    transact(
        &app,
        |_| LoadedUser::find(&app, &caller, Permission::DeleteUsers, &id),
        |loaded, rng| {
            let membership = loaded.user.membership(Some(&loaded.organization.id));
            if membership.is_some_and(|m| m.role.is_administrator()) {
                caller.require_confirmation(Confirmation::FactorIfAny)?;
            }
            remove::remove(authority, loaded.target(), caller.context(rng))
                .map_err(|refusal| problem(refusal, &caller.policy))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
