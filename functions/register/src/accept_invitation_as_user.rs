//! `POST /{portal}/me/invitations`: accepts an invitation with an existing account (BL-01, UX-01).

use axum::extract::State;
use vestibule_domain::invite::{self, Refusal, State as InvitationStatus};
use vestibule_domain::register::Registered;
use vestibule_http::openapi::{
    FieldProblems, InvitationLinkProblems, PortalParams, SignedInProblems,
};
use vestibule_http::{App, Body, Problem, SignedIn};
use vestibule_store::CommitError;

use crate::look_up_invitation::{InvitationLinkRequest, find, problem};
use crate::register::MAX_ATTEMPTS;
use crate::register_additional_organization::{
    AdditionalOrganizationResponse, NewMembership, new_membership, reload_account,
    require_valid_password,
};

/// Accept an invitation with an existing account
///
/// Adds the caller to the organization that invited them; the invitation must have been sent to the
/// caller's email address. The administrator who sent it is notified and, on portals that require
/// approval, must approve the membership before the caller has access. A repeated request returns the
/// same response.
#[utoipa::path(
    post, path = "/{portal}/me/invitations", tag = "registration",
    operation_id = "accept_invitation_as_user",
    params(PortalParams),
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
    Body(request): Body<InvitationLinkRequest>,
) -> Result<NewMembership, Problem> {
    let policy = &caller.policy;
    require_valid_password(&caller)?;
    let mut rng = app.rng();
    let mut account = caller.account.clone();
    for look in 0..MAX_ATTEMPTS {
        if look > 0 {
            account = reload_account(&app, &caller).await?;
        }
        let (token, invitation) = find(&app, policy, &request.token).await?;
        let mine = matches!(&invitation.state, InvitationStatus::Accepted { account: by } if *by == account.id)
            && invitation.token == token.digest();
        if let Some(membership) = account
            .membership(Some(&invitation.organization))
            .filter(|_| mine)
        {
            return new_membership(&account, membership, &caller);
        }
        let Registered {
            account: after,
            decision,
        } = invite::accept_as(&invitation, &token, &account, caller.context(&mut rng)).map_err(
            |refusal| match refusal {
                Refusal::OtherAddress => {
                    let detail =
                        "was sent to a different email address than the one on your account";
                    Problem::invalid_field("token", detail).with_help(policy)
                }
                other => problem(other, policy),
            },
        )?;
        match app.commit(decision, &mut rng).await {
            Ok(()) => {
                let membership = after.memberships.last().ok_or_else(Problem::conflict)?;
                return new_membership(&after, membership, &caller);
            }
            // The invitation was used, revoked or resent at the same time. Load it again.
            Err(CommitError::Stale) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Problem::conflict())
}
