//! `POST /{portal}/accounts/{account_portal}/{id}/invitation`: sends a lost invitation again
//! (AG-01).

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::help_desk::{self, Staff};
use vestibule_domain::ids::{InvitationId, OrganizationId};
use vestibule_domain::invite::Invitation;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::context::Context;
use vestibule_domain::session::{Token, TokenKind};
use vestibule_domain::text::Email;
use vestibule_http::openapi::{AccountParams, EntitledProblems, FieldProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, responses};

use crate::account_context::{AccountContext, AccountPath, allowed, parse_reason, problem};

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
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn resend_invitation(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Body(request): Body<ResendInvitationRequest>,
) -> Result<Json<ResendInvitationResponse>, Problem> {
    allowed(&caller, Permission::ActOnAccounts)?;
    let mut fields = FieldErrors::default();
    let email = fields.take("email", Email::parse(&request.email));
    let parsed = parse_reason(
        &request.reason,
        request.organization_id.as_deref(),
        &mut fields,
    );
    let ((reason, named), email) = fields.into_result(parsed.zip(email))?;

    let context = AccountContext::load(&app, &caller, Permission::ActOnAccounts, &path).await?;
    let policy = context.policy;
    let organization: &OrganizationId =
        help_desk::organization_of(&context.account, named.as_ref())
            .map_err(|refusal| problem(refusal, policy))?;
    let id: InvitationId = Invitation::natural_id(organization, &email);
    let invitation = app
        .store
        .invitation(&policy.portal, organization, &id)
        .await?
        .ok_or_else(|| Problem::not_found("invitation"))?;
    let mut rng = app.rng();
    let token = Token::random(
        TokenKind::Invitation,
        format!("{organization}.{id}"),
        &mut rng,
    );
    let staff = Staff {
        account: &caller.account.id,
        reason: Some(&reason),
    };
    let (invitation, decision) = help_desk::resend_invitation(
        staff,
        &invitation,
        &token,
        Context::new(policy, &context.origin, &mut rng),
    )
    .map_err(|refusal| problem(refusal, policy))?;
    app.commit(decision, &mut rng).await?;
    Ok(Json(ResendInvitationResponse {
        id: invitation.id.to_string(),
        sent: invitation.sent,
        expires_at: responses::moment(invitation.expires_at),
    }))
}
