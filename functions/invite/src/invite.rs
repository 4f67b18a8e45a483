//! `POST /{portal}/invitations`: invites one user (AG-05, AG-08).

use axum::extract::State;
use rand::rngs::StdRng;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::Role;
use vestibule_domain::rules::invite::{self as rules, History, Invitee};
use vestibule_domain::state::invitation::Invitation;
use vestibule_domain::state::organization::Organization;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::values::ids::OrganizationId;
use vestibule_domain::values::text::Email;
use vestibule_http::idempotency::{Created, Once, RepeatableBody, once};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, IdempotencyParams, PortalParams};
use vestibule_http::{App, Caller, Entitled, FieldErrors, Problem, credentials, transact};
use vestibule_store::InvitationState;

use crate::{InvitationResponse, problem};

/// An invitation to an organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationRequest {
    /// The person's given name.
    first_name: String,
    /// The person's family name.
    last_name: String,
    /// The email address to which the invitation is sent; no other address can use it.
    email: String,
    /// The role that the person will have, such as `user` or `administrator`.
    #[serde(default = "user")]
    #[schema(value_type = String)]
    role: Role,
    /// The last day of access, `YYYY-MM-DD` in the portal's time zone; access does not end if omitted.
    end_date: Option<String>,
}

const fn user() -> Role {
    Role::User
}

/// Invite a user
///
/// Sends an invitation to join the caller's organization by email.
#[utoipa::path(
    post, path = "/{portal}/invitations", tag = "invitations",
    operation_id = "invite_user",
    params(PortalParams, IdempotencyParams),
    request_body = InvitationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = InvitationResponse, description = "The invitation", headers(("location" = String, description = "The URL of the invitation"))),
        (status = 409, description = "`already-invited`"),
        (status = 429, description = "`too-many-attempts`"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn invite(
    State(app): State<App>,
    Entitled(caller): Entitled,
    RepeatableBody(request, key): RepeatableBody<InvitationRequest>,
) -> Result<Created, Problem> {
    let policy = &caller.policy;
    let mut fields = FieldErrors::default();
    let name = credentials::name(&request.first_name, &request.last_name, &mut fields);
    let email = fields.take("email", Email::parse(&request.email));
    let end_date = credentials::end_date(request.end_date.as_deref(), &mut fields);
    let parsed = (|| Some((name?, email?, end_date?)))();
    let (name, email, end_date) = fields.into_result(parsed)?;

    let invitee = Invitee {
        name,
        email,
        role: request.role,
        end_date,
    };
    let (app, caller, invitee) = (&app, &caller, &invitee);
    let invite = Once {
        caller,
        key: key.as_ref(),
    };
    once(
        app,
        invite,
        |_| load(app, caller, invitee),
        |state, rng| decide(state, caller, invitee, rng),
        |_, invitation| {
            let location = format!("/{}/invitations/{}", policy.portal, invitation.id);
            let body = InvitationResponse::of(invitation, invitation.status(caller.origin.at));
            Created::at(location, &body)
        },
    )
    .await
}

/// Invites one person to the caller's organization.
///
/// # Errors
/// A problem when the caller may not invite, or the address is already invited.
pub(crate) async fn one(
    app: &App,
    caller: &Caller,
    invitee: &Invitee,
) -> Result<Invitation, Problem> {
    let (_, invitation) = transact(
        app,
        |_| load(app, caller, invitee),
        |state, rng| decide(state, caller, invitee, rng),
    )
    .await?;
    Ok(invitation)
}

async fn load(
    app: &App,
    caller: &Caller,
    invitee: &Invitee,
) -> Result<(Organization, InvitationState), Problem> {
    let portal = &caller.policy.portal;
    let own = own_organization(caller)?;
    let state = app.store.invitation_state(portal, own, &invitee.email);
    let mut state = state.await?;
    let organization = state.organization.take();
    let organization =
        organization.ok_or_else(|| Problem::internal("an organization is missing"))?;
    Ok((organization, state))
}

fn own_organization(caller: &Caller) -> Result<&OrganizationId, Problem> {
    caller
        .membership()
        .and_then(|m| m.organization.as_ref())
        .ok_or_else(|| Problem::not_allowed(&caller.policy))
}

fn decide(
    (organization, state): &(Organization, InvitationState),
    caller: &Caller,
    invitee: &Invitee,
    rng: &mut StdRng,
) -> Result<(Invitation, Decision), Problem> {
    let own = own_organization(caller)?;
    caller.require_confirmation_to_grant(invitee.role)?;
    let locator = format!("{own}.{}", state.id);
    let token = Token::random(TokenKind::Invitation, locator, rng);
    let history = History {
        id: &state.id,
        invitation: state.invitation.as_ref(),
        accepted_by: state.accepted_by.as_ref(),
        is_former_user: state.is_former_user,
    };
    let (invitee, context) = (invitee.clone(), caller.context(rng));
    let acting = caller.acting()?;
    rules::invite(acting, organization, history, invitee, &token, context)
        .map_err(|refusal| problem(refusal, &caller.policy))
}
