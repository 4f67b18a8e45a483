//! `POST /{portal}/me/invitations`: accepts an invitation with an existing account (BL-01, UX-01).

use axum::extract::State;
use vestibule_domain::rules::accept_invitation;
use vestibule_domain::rules::invite::Refusal;
use vestibule_domain::state::invitation::State as InvitationStatus;
use vestibule_http::idempotency::{Created, Once, RepeatableBody, once};
use vestibule_http::openapi::{
    FieldProblems, IdempotencyParams, InvitationLinkProblems, PortalParams, SignedInProblems,
};
use vestibule_http::{App, Problem, SignedIn};

use crate::look_up_invitation::{InvitationLinkRequest, find, problem, standing};
use crate::register_additional_organization::{AdditionalOrganizationResponse, new_membership};

/// Accept an invitation with an existing account
///
/// Adds the caller to the organization that invited them; the invitation must have been sent to the
/// caller's email address. The organization's administrators are notified and, on portals that require
/// approval, must approve the membership before the caller has access. A repeated request returns the
/// same response.
#[utoipa::path(
    post, path = "/{portal}/me/invitations", tag = "registration",
    operation_id = "accept_invitation_as_user",
    params(PortalParams, IdempotencyParams),
    request_body = InvitationLinkRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = AdditionalOrganizationResponse, description = "The new membership", headers(("location" = String, description = "The URL of the caller's profile"))),
        (status = 403, description = "`next-step-required`: the password must be changed first"),
        (status = 409, description = "`too-many-organizations`"),
        SignedInProblems, InvitationLinkProblems, FieldProblems,
    )
)]
pub(crate) async fn accept_invitation_as_user(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    RepeatableBody(request, key): RepeatableBody<InvitationLinkRequest>,
) -> Result<Created, Problem> {
    let policy = &caller.policy;
    let (app, caller, link) = (&app, &caller, &request.token);
    let accept = Once {
        caller,
        key: key.as_ref(),
    };
    once(
        app,
        accept,
        |attempt| async move {
            let account = caller.latest(app, attempt).await?;
            let (token, invitation) = find(app, policy, link).await?;
            let standing = standing(app, &invitation, policy, &caller.origin).await?;
            Ok((account, token, (invitation, standing)))
        },
        |(account, token, (invitation, standing)), rng| {
            let mine = matches!(&invitation.state, InvitationStatus::Accepted { account: by } if *by == account.id)
                && invitation.token == token.digest();
            if mine && account.membership(Some(&invitation.organization)).is_some() {
                return Ok((None, None));
            }
            accept_invitation::accept_as(invitation, standing, token, account, caller.context(rng))
                .map(|accepted| (Some(accepted.account), Some(accepted.decision)))
                .map_err(|refusal| match refusal {
                    Refusal::OtherAddress => {
                        let detail =
                            "was sent to a different email address than the one on your account";
                        Problem::invalid_field("token", detail).with_help(policy)
                    }
                    other => problem(other, policy),
                })
        },
        |(before, _, (invitation, _)), after| {
            let account = after.as_ref().unwrap_or(before);
            let membership = account
                .membership(Some(&invitation.organization))
                .ok_or_else(Problem::conflict)?;
            new_membership(account, membership, caller)
        },
    )
    .await
}
