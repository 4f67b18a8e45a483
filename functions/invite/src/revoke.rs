//! `DELETE /{portal}/invitations/{id}`: revokes an invitation (UX-01).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::invite;
use vestibule_domain::values::ids::InvitationId;
use vestibule_http::openapi::{InvitationParams, NotFoundProblems, SignedInProblems};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem, transact};

use crate::problem;

/// Revoke an invitation
///
/// Revokes a pending invitation; its link stops working.
#[utoipa::path(
    delete, path = "/{portal}/invitations/{id}", tag = "invitations",
    operation_id = "revoke_invitation",
    params(InvitationParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The invitation is revoked"),
        (status = 409, description = "`invitation-used`"),
        SignedInProblems, NotFoundProblems,
    )
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let app = &app;
    let acting = caller.acting()?;
    let policy = &caller.policy;
    // Check the permission before any lookup, so that ids reveal nothing to other callers (BL-17).
    let organization = acting
        .allowed(Permission::AddUsers, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let id = &InvitationId::parse(&id).map_err(|_| Problem::not_found("invitation"))?;
    transact(
        app,
        |_| async move {
            let found = app
                .store
                .invitation(&policy.portal, organization, id)
                .await?;
            found.ok_or_else(|| Problem::not_found("invitation"))
        },
        |invitation, rng| {
            invite::revoke(acting, invitation, caller.context(rng))
                .map(|decision| ((), decision))
                .map_err(|refusal| problem(refusal, policy))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
