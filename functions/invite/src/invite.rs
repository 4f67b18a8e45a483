//! `POST /{portal}/invitations`: invites one user (AG-05, AG-08).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Role;
use vestibule_domain::rules::invite::{self as rules, History, Invitee};
use vestibule_domain::state::invitation::Invitation;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::values::text::Email;
use vestibule_http::openapi::{EntitledProblems, FieldProblems, PortalParams};
use vestibule_http::{App, Body, Caller, Entitled, FieldErrors, Problem, credentials, transact};

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
    params(PortalParams),
    request_body = InvitationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = InvitationResponse, description = "The invitation", headers(("location" = String, description = "The URL of the invitation"))),
        (status = 409, description = "`already-invited`"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn invite(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Body(request): Body<InvitationRequest>,
) -> Result<
    (
        StatusCode,
        [(HeaderName, String); 1],
        Json<InvitationResponse>,
    ),
    Problem,
> {
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
    let invitation = one(&app, &caller, invitee).await?;
    let location = format!("/{}/invitations/{}", policy.portal, invitation.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(InvitationResponse::of(&invitation, caller.origin.at)),
    ))
}

/// Invites one person to the caller's organization.
///
/// # Errors
/// A problem when the caller may not invite, or the address is already invited.
pub(crate) async fn one(
    app: &App,
    caller: &Caller,
    invitee: Invitee,
) -> Result<Invitation, Problem> {
    let policy = &caller.policy;
    let acting = caller.acting()?;
    let own = acting
        .membership
        .organization
        .as_ref()
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let locator = format!("{own}.{}", Invitation::natural_id(own, &invitee.email));
    let email = &invitee.email;
    let (_, invitation) = transact(
        app,
        |_| async move {
            let mut state = app
                .store
                .invitation_state(&policy.portal, own, email)
                .await?;
            let organization = state.organization.take();
            let organization =
                organization.ok_or_else(|| Problem::internal("an organization is missing"))?;
            Ok((organization, state))
        },
        |(organization, state), rng| {
            let token = Token::random(TokenKind::Invitation, locator.clone(), rng);
            let history = History {
                invitation: state.invitation.as_ref(),
                accepted_by: state.accepted_by.as_ref(),
                is_former_user: state.is_former_user,
            };
            let (invitee, context) = (invitee.clone(), caller.context(rng));
            rules::invite(acting, organization, history, invitee, &token, context)
                .map_err(|refusal| problem(refusal, policy))
        },
    )
    .await?;
    Ok(invitation)
}
