//! `POST /{portal}/invitations/{id}/resend`: resends an invitation (AG-01).

use axum::Json;
use axum::extract::State;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::authority::Authority;
use vestibule_domain::rules::actions::resend_invitation;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::values::ids::InvitationId;
use vestibule_http::openapi::{InvitationParams, NotFoundProblems, SignedInProblems};
use vestibule_http::request::Id;
use vestibule_http::{App, Entitled, Problem, transact};

use crate::{InvitationResponse, problem};

/// Resend an invitation
///
/// Sends the invitation again with a new link; the previous link stops working.
#[utoipa::path(
    post, path = "/{portal}/invitations/{id}/resend", tag = "invitations",
    operation_id = "resend_invitation",
    params(InvitationParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = InvitationResponse, description = "The resent invitation"),
        (status = 409, description = "`invitation-used`, `invitation-revoked` or `previously-removed`"),
        (status = 429, description = "`too-many-attempts`"),
        SignedInProblems, NotFoundProblems,
    )
)]
pub(crate) async fn resend(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<Json<InvitationResponse>, Problem> {
    let app = &app;
    let acting = caller.acting()?;
    let policy = &caller.policy;
    // Check the permission before any lookup, so that ids reveal nothing to other callers (BL-17).
    let organization = acting
        .allowed(Permission::AddUsers, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let id = &InvitationId::parse(&id).map_err(|_| Problem::not_found("invitation"))?;
    let (_, invitation) = transact(
        app,
        |_| async move {
            let found = app
                .store
                .invitation(&policy.portal, organization, id)
                .await?;
            let invitation = found.ok_or_else(|| Problem::not_found("invitation"))?;
            let today = policy.today(caller.origin.at);
            let standing = app.store.invitation_standing(&invitation, today).await?;
            Ok((invitation, standing))
        },
        |(invitation, standing), rng| {
            let token = Token::random(TokenKind::Invitation, format!("{organization}.{id}"), rng);
            let authority = Authority::Administrator(acting);
            resend_invitation::resend_invitation(
                authority,
                invitation,
                standing,
                &token,
                caller.context(rng),
            )
            .map_err(|refusal| problem(refusal, policy))
        },
    )
    .await?;
    let status = invitation.status(caller.origin.at);
    Ok(Json(InvitationResponse::of(&invitation, status)))
}
