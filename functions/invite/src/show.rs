//! `GET /{portal}/invitations/{id}`: shows an invitation (UX-01).

use axum::Json;
use axum::extract::State;
use futures::{TryFutureExt, future};
use vestibule_domain::policy::Permission;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::ids::InvitationId;
use vestibule_http::openapi::{EntitledProblems, InvitationParams, NotFoundProblems};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem};

use crate::InvitationResponse;

/// Show an invitation
///
/// Returns an invitation of the caller's organization with its status.
#[utoipa::path(
    get, path = "/{portal}/invitations/{id}", tag = "invitations",
    operation_id = "show_invitation",
    params(InvitationParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = InvitationResponse, description = "The invitation"),
        EntitledProblems, NotFoundProblems,
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<Json<InvitationResponse>, Problem> {
    let policy = &caller.policy;
    let acting = caller.acting()?;
    // Check the permission before any lookup, so that ids reveal nothing to other callers (BL-17).
    let organization = acting
        .allowed(Permission::AddUsers, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let unknown = || Problem::not_found("invitation");
    let id = InvitationId::parse(&id).map_err(|_| unknown())?;
    let invitation = app.store.invitation(&policy.portal, organization, &id);
    let reading = caller.record_reading(&app, Action::ListInvitations, Some(id.as_str()));
    let (found, ()) = future::try_join(invitation.map_err(Problem::from), reading).await?;
    let invitation = found.ok_or_else(unknown)?;
    let now = caller.origin.at;
    let invitations = std::slice::from_ref(&invitation);
    let standings = app.store.invitation_standings(invitations, now).await?;
    let status = standings.of(&invitation).status(&invitation, policy, now);
    Ok(Json(InvitationResponse::of(&invitation, status)))
}
