//! `PUT /{portal}/sessions/current/password`: changes the password, by choice or because it expired
//! (AG-02, EX-09).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::rules::sign_in as rules;
use vestibule_domain::state::audit::Action;
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::secret_check::{self, Described};
use vestibule_http::{App, Body, FieldErrors, Problem, SignedIn, credentials, transact};

use crate::SessionResponse;

/// A change of the caller's password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePasswordRequest {
    /// The current password.
    current_password: String,
    /// The new password.
    new_password: String,
}

/// Change the password
///
/// Changes the caller's password and ends all of their other sessions.
#[utoipa::path(
    put, path = "/{portal}/sessions/current/password", tag = "sessions",
    operation_id = "change_password",
    params(PortalParams),
    request_body = ChangePasswordRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SessionResponse, description = "The session"),
        (status = 422, description = "`invalid-fields`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<ChangePasswordRequest>,
) -> Result<Json<SessionResponse>, Problem> {
    let (policy, account) = (&caller.policy, &caller.account);
    let mut fields = FieldErrors::default();
    let current = fields.take(
        "current_password",
        vestibule_domain::rules::password::normalize(&request.current_password),
    );
    let new = credentials::new_password(
        "new_password",
        &request.new_password,
        account,
        policy,
        &mut fields,
    );
    let (current, new) = fields.into_result(current.zip(new))?;

    let described = Described::by(&caller, Action::ChangePassword);
    let scene = (&**policy, &caller.origin);
    let right = secret_check::password(&app, account, &current, described, scene).await?;
    let Some(proven) = right else {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-fields",
            "Some fields are not valid",
            "The current password is incorrect.",
        )
        .with_field("current_password", "is incorrect"));
    };
    credentials::not_used_before("new_password", &new, account, &proven, &app).await?;
    let hash = credentials::hash(&new, &app, &mut app.rng()).await;
    let (_, (account, session)) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let (session, hash, attempts) = (&caller.session, hash.clone(), proven.attempts());
            let context = caller.context(rng);
            let (account, session, decision) =
                rules::change_password(account, session, hash, attempts, context);
            Ok(((account, session), decision))
        },
    )
    .await?;
    let response = SessionResponse::of(&session, &account, policy, &caller.origin);
    Ok(Json(response))
}
