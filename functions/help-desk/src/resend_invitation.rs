//! `POST /{portal}/accounts/{account_portal}/{id}/invitation`: sends a lost invitation again
//! (AG-01).

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::actions::resend_invitation;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::invite::Refusal;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::values::text::Email;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems};
use vestibule_http::{FieldErrors, Problem, responses, transact};

use crate::account_context::{Action, ActionRequest, problem};

/// An invitation to send again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResendInvitationRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The invited person
    /// can't see it.
    reason: String,
    /// The email address that was invited. The email goes only to this address.
    email: String,
    /// The organization that the action applies to. Required if the account belongs to several.
    organization_id: Option<String>,
}

/// An invitation that was sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResendInvitationResponse {
    id: String,
    /// How many times the invitation was sent.
    sent: u32,
    /// When the invitation expires.
    expires_at: String,
}

impl ActionRequest for ResendInvitationRequest {
    type Fields = Email;

    fn reason(&self) -> &str {
        &self.reason
    }

    fn organization_id(&self) -> Option<&str> {
        self.organization_id.as_deref()
    }

    fn parse(self, _: &Policy, errors: &mut FieldErrors) -> Option<Email> {
        errors.take("email", Email::parse(&self.email))
    }
}

/// Resend an invitation
///
/// Sends an invitation again. The account may be that of the person who sent it, or of any other
/// user of the same organization. The previous link stops working.
#[utoipa::path(
    post, path = "/{portal}/accounts/{account_portal}/{id}/invitation", tag = "help desk",
    operation_id = "resend_invitation_of_account",
    params(AccountParams),
    request_body = ResendInvitationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = ResendInvitationResponse, description = "The resent invitation"),
        (status = 404, description = "`not-found`: there is no such account, or no invitation to this address"),
        (status = 409, description = "`invitation-used`, `invitation-revoked`, `no-invitations`, `account-disabled`, `account-deleted` or `conflict`"),
        (status = 429, description = "`too-many-attempts`"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn resend_invitation(
    action: Action<ResendInvitationRequest>,
) -> Result<Json<ResendInvitationResponse>, Problem> {
    let action = &action;
    let (_, invitation) = transact(
        &action.app,
        |_| async move {
            let found = action.load().await?;
            let policy = found.policy;
            let organization = found
                .target(action.named.as_ref())
                .inviting_organization()
                .map_err(|refusal| problem(refusal, policy))?;
            let id = action.app.store.invitation_id(organization, &action.fields);
            let invitation = action
                .app
                .store
                .invitation(&policy.portal, organization, &id)
                .await?
                .ok_or_else(|| Problem::not_found("invitation"))?;
            let today = policy.today(found.origin.at);
            let standing = action
                .app
                .store
                .invitation_standing(&invitation, today)
                .await?;
            Ok((found, invitation, standing))
        },
        |(found, invitation, standing), rng| {
            let locator = format!("{}.{}", invitation.organization, invitation.id);
            let token = Token::random(TokenKind::Invitation, locator, rng);
            let context = Context::new(found.policy, &found.origin, rng);
            let authority = action.authority();
            resend_invitation::resend_invitation(authority, invitation, standing, &token, context)
                .map_err(invitation_problem)
        },
    )
    .await?;
    Ok(Json(ResendInvitationResponse {
        id: invitation.id.to_string(),
        sent: invitation.sent,
        expires_at: responses::moment(invitation.expires_at),
    }))
}

/// Converts a refusal to the problem that the help desk sees.
fn invitation_problem(refusal: Refusal) -> Problem {
    let conflict =
        |kind, title, detail: &str| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    match refusal {
        Refusal::AlreadyAccepted => conflict(
            "invitation-used",
            "Invitation already used",
            "The invited person has already registered.",
        ),
        Refusal::Revoked => conflict(
            "invitation-revoked",
            "Invitation revoked",
            "An administrator revoked this invitation. Ask them to invite the person again.",
        ),
        Refusal::WithoutStanding => conflict(
            "invitation-revoked",
            "Invitation withdrawn",
            "The person who sent this invitation can no longer invite. Ask an administrator of the organization to send a new one.",
        ),
        Refusal::UnsupportedOnPortal => conflict(
            "no-invitations",
            "No invitations on this portal",
            "Users don't join by invitation on the account's portal.",
        ),
        _ => Problem::not_found("invitation"),
    }
}
