//! `PUT /{portal}/me/user-name`: a user whose name a campaign has released chooses again (ME-10).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::account::NextStep;
use vestibule_domain::campaign;
use vestibule_domain::policy::NamedBy;
use vestibule_domain::text::UserName;
use vestibule_http::answer::Onward;
use vestibule_http::{App, Body, Fields, Problem, ProblemBody, SignedIn, credentials, user_names};
use vestibule_store::CommitError;

/// The user name, the same or another.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChooseUserNameRequest {
    /// The user name as it shall be.
    user_name: String,
}

/// Chooses the caller's user name again, where a campaign has released it: the same, if nobody else has
/// chosen it meanwhile, or another. At any other time the help desk changes user names (ME-09). Sent
/// again, it is answered the same.
#[utoipa::path(
    put, path = "/{portal}/me/user-name", tag = "profile",
    operation_id = "choose_user_name",
    params(("portal" = String, Path, description = "The portal")),
    request_body = ChooseUserNameRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Onward, description = "Chosen"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`ask-help-desk`: it isn't released (ME-09), or `next-step-required`: the password has to be changed first", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`already-taken`, `changed-meanwhile`, or `name-fixed` where the system makes user names", content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, description = "`invalid-fields`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn choose_user_name(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<ChooseUserNameRequest>,
) -> Result<Json<Onward>, Problem> {
    let (policy, account, origin) = (&caller.policy, &caller.account, &caller.origin);
    if let Some(step @ NextStep::ChangePassword) = caller.next_step {
        return Err(Problem::next_step(step, policy));
    }
    if policy.user_name.chosen_by == NamedBy::System {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "name-fixed",
            "The user name stays",
            "The system makes the user names of this portal, and they stay as they are.",
        ));
    }
    let mut fields = Fields::default();
    let shortest = policy.user_name.min_length.get() as usize;
    let user_name = fields.take("user_name", UserName::parse(&request.user_name, shortest));
    let user_name = fields.finish(user_name)?;
    let mut rng = app.rng();
    let chosen = campaign::choose_user_name(
        account,
        caller.session.organisation.as_ref(),
        user_name.clone(),
        policy,
        origin,
        &mut rng,
    );
    let Some((after, decision)) = chosen else {
        if account.user_name == user_name && account.user_name_since.is_some() {
            return Ok(Json(Onward::of(account, &caller)));
        }
        let desk = &policy.help_desk;
        let detail = format!(
            "On this portal {} changes user names: {} ({}).",
            desk.name, desk.phone, desk.hours
        );
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "ask-help-desk",
            "Ask the help desk",
            detail,
        )
        .with_help(policy));
    };
    match user_names::commit(&app, decision, &user_name, policy, origin, &mut rng).await {
        Ok(()) => Ok(Json(Onward::of(&after, &caller))),
        Err(CommitError::Taken(unique)) => {
            Err(credentials::taken(unique).unwrap_or_else(Problem::conflict))
        }
        Err(CommitError::Stale) => Err(Problem::conflict()),
        Err(other) => Err(other.into()),
    }
}
