//! `POST /{portal}/invitations/look-up`: returns what the page behind an invitation link shows.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::accept_invitation::Standing;
use vestibule_domain::rules::invite::{self, Refusal};
use vestibule_domain::state::audit::Origin;
use vestibule_domain::state::invitation::Invitation;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::values::ids::{InvitationId, OrganizationId};
use vestibule_http::openapi::{FieldProblems, InvitationLinkProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, Portal, Problem, responses};

/// The invitation to look up or accept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationLinkRequest {
    /// The token from the invitation link, after the `#`.
    pub token: String,
}

/// The details of an invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationLinkResponse {
    /// The name of the organization.
    organization: String,
    /// The name of the administrator who sent the invitation.
    inviter: String,
    /// The display name of the role that the invited person will have.
    role: String,
    /// The given name of the invited person, as the administrator entered it.
    first_name: String,
    /// The family name of the invited person, as the administrator entered it.
    last_name: String,
    /// The email address that the invitation was sent to; no other address can use it.
    email: String,
    /// When the invitation expires.
    expires_at: String,
}

/// Look up an invitation
///
/// Returns the details of an invitation to anyone who has its link.
#[utoipa::path(
    post, path = "/{portal}/invitations/look-up", tag = "registration",
    operation_id = "look_up_invitation",
    params(PortalParams),
    request_body = InvitationLinkRequest,
    responses(
        (status = 200, body = InvitationLinkResponse, description = "The invitation"),
        InvitationLinkProblems, FieldProblems,
    )
)]
pub(crate) async fn look_up_invitation(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<InvitationLinkRequest>,
) -> Result<Json<InvitationLinkResponse>, Problem> {
    let (token, invitation) = find(&app, &policy, &request.token).await?;
    let refused = |refusal| problem(refusal, &policy);
    invite::usable(&invitation, &token, origin.at).map_err(refused)?;
    let standing = standing(&app, &invitation, &policy, &origin).await?;
    standing
        .check(&invitation, &policy, origin.at)
        .map_err(refused)?;
    Ok(Json(InvitationLinkResponse {
        organization: invitation.organization_name,
        inviter: invitation.inviter,
        role: policy.role_title(invitation.role).to_owned(),
        first_name: invitation.name.first.to_string(),
        last_name: invitation.name.last.to_string(),
        email: invitation.email.to_string(),
        expires_at: responses::moment(invitation.expires_at),
    }))
}

/// Loads the invitation that the token's locator names. The caller must still check the token itself.
pub(crate) async fn find(
    app: &App,
    policy: &Policy,
    token: &str,
) -> Result<(Token, Invitation), Problem> {
    let unknown = || problem(Refusal::Unknown, policy);
    let token = Token::parse(TokenKind::Invitation, token).ok_or_else(unknown)?;
    let (organization, id) = token.locator().split_once('.').ok_or_else(unknown)?;
    let organization = OrganizationId::parse(organization).map_err(|_| unknown())?;
    let id = InvitationId::parse(id).map_err(|_| unknown())?;
    let found = app
        .store
        .invitation(&policy.portal, &organization, &id)
        .await?;
    let invitation = found.ok_or_else(unknown)?;
    Ok((token, invitation))
}

/// Loads what the invitation is worth now (SE-02).
pub(crate) async fn standing(
    app: &App,
    invitation: &Invitation,
    policy: &Policy,
    origin: &Origin,
) -> Result<Standing, Problem> {
    let today = policy.today(origin.at);
    Ok(app.store.invitation_standing(invitation, today).await?)
}

/// Converts a refusal to a problem.
pub(crate) fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let ask = "Ask the administrator who invited you to send a new invitation.";
    let (status, kind, title, detail) = match refusal {
        Refusal::Expired => (
            StatusCode::GONE,
            "invitation-expired",
            "Invitation expired",
            format!("This invitation has expired. {ask}"),
        ),
        Refusal::AlreadyAccepted => (
            StatusCode::GONE,
            "invitation-used",
            "Invitation used",
            "This invitation has already been used. Sign in with the username you chose.".into(),
        ),
        Refusal::Revoked => (
            StatusCode::GONE,
            "invitation-revoked",
            "Invitation withdrawn",
            "This invitation was withdrawn. Contact the administrator who invited you.".into(),
        ),
        Refusal::WithoutStanding => (
            StatusCode::GONE,
            "invitation-revoked",
            "Invitation withdrawn",
            "This invitation is no longer valid. Ask an administrator of the organization to send a new one.".into(),
        ),
        Refusal::OtherAddress => {
            return Problem::invalid_field(
                "email",
                "must be the email address that the invitation was sent to",
            )
            .with_help(policy);
        }
        Refusal::TooMany => return crate::register::too_many(policy),
        Refusal::Unknown
        | Refusal::NotAllowed
        | Refusal::UnsupportedOnPortal
        | Refusal::EndsInPast
        | Refusal::PrincipalsStay
        | Refusal::AlreadyInvited
        | Refusal::PreviouslyRemoved => (
            StatusCode::NOT_FOUND,
            "invitation-not-found",
            "Invitation not found",
            format!("This link is not valid; a newer invitation may have been sent to you. {ask}"),
        ),
    };
    Problem::new(status, kind, title, detail).with_help(policy)
}
