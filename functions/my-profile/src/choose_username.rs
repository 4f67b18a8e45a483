//! `PUT /{portal}/me/username`: chooses a new username after a campaign has released the old one
//! (ME-10).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::{ChosenBy, Policy};
use vestibule_domain::rules::campaign;
use vestibule_domain::values::text::Username;
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::responses::NextStepResponse;
use vestibule_http::{App, Body, FieldErrors, Problem, SignedIn, transact};

/// The username to use from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChooseUsernameRequest {
    /// The username. It may be the same as before.
    username: String,
}

/// Choose a username
///
/// Sets the caller's username after a campaign has released the old one; the old one can be kept if
/// nobody else has taken it. At any other time only the help desk can change usernames (ME-09).
/// Repeating the request has no further effect.
#[utoipa::path(
    put, path = "/{portal}/me/username", tag = "profile",
    operation_id = "choose_username",
    params(PortalParams),
    request_body = ChooseUsernameRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = NextStepResponse, description = "The next step or the entitlements"),
        (status = 403, description = "`ask-help-desk`: the username is not released (ME-09), or `next-step-required`: the password must be changed first"),
        (status = 409, description = "`already-taken`, `username-immutable` or `conflict`"),
        (status = 422, description = "`invalid-fields`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn choose_username(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<ChooseUsernameRequest>,
) -> Result<Json<NextStepResponse>, Problem> {
    let policy = &caller.policy;
    if policy.username.chosen_by == ChosenBy::System {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "username-immutable",
            "Username can't be changed",
            "Usernames on this portal are generated and can't be changed.",
        ));
    }
    let mut fields = FieldErrors::default();
    let shortest = policy.username.min_length.get() as usize;
    let username = fields.take("username", Username::parse(&request.username, shortest));
    let username = fields.into_result(username)?;
    let (_, after) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let (organization, wanted) = (caller.session.organization.as_ref(), username.clone());
            let context = caller.context(rng);
            match campaign::choose_username(account, organization, wanted, context) {
                Some((after, decision)) => Ok((after, Some(decision))),
                None if account.username == username && account.username_since.is_some() => {
                    Ok((account.clone(), None))
                }
                None => Err(ask_help_desk(policy)),
            }
        },
    )
    .await?;
    Ok(Json(NextStepResponse::of(&after, &caller)))
}

fn ask_help_desk(policy: &Policy) -> Problem {
    let desk = &policy.help_desk;
    let detail = format!(
        "Only {} can change usernames on this portal. Call {} ({}).",
        desk.name, desk.phone, desk.hours
    );
    Problem::new(
        StatusCode::FORBIDDEN,
        "ask-help-desk",
        "Contact the help desk",
        detail,
    )
    .with_help(policy)
}
