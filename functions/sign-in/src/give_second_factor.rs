//! `PUT /{portal}/sessions/current/second-factor` and `PUT /{portal}/sessions/current/password-confirmation`: give the
//! second factor at sign-in, and confirm sensitive actions (MF-04, MF-07, MF-01).

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::rules::{device, password, second_factor as rules};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::second_factor::{self, FactorRequest};
use vestibule_http::secret_check::{self, Described};
use vestibule_http::{App, Body, FieldErrors, Problem, SignedIn, transact};

use crate::SessionResponse;
use crate::start_session::user_agent;

/// The caller's second factor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondFactorRequest {
    /// The second factor.
    factor: FactorRequest,
    /// Whether this device needs no second factor for as long as the portal allows (MF-08).
    #[serde(default)]
    trust_device: bool,
}

/// Give the second factor
///
/// Completes the step `enter_second_factor`, or confirms a sensitive action for some minutes. Each code and
/// each signature is accepted once.
#[utoipa::path(
    put, path = "/{portal}/sessions/current/second-factor", tag = "sessions",
    operation_id = "give_second_factor",
    params(PortalParams),
    request_body = SecondFactorRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SessionResponse, description = "The session"),
        (status = 422, description = "`second-factor-wrong` or `invalid-fields`"),
        (status = 429, description = "`too-many-attempts`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn give_second_factor(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
    Body(request): Body<SecondFactorRequest>,
) -> Result<Json<SessionResponse>, Problem> {
    let program = device::program(user_agent(&headers));
    let entered = request.factor.parse()?;
    let (given, proven) = second_factor::check(&app, &caller, &entered).await?;
    let (_, result) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let (session, attempts) = (&caller.session, proven.attempts());
            let context = caller.context(rng);
            let trusts = request.trust_device.then(|| program.clone());
            match rules::give(account, session, &given, trusts, attempts, context) {
                Ok((after, session, decision)) => Ok((Ok((after, session)), decision)),
                Err(refusal) => {
                    let actor = Actor::Account(account.id.clone());
                    let (origin, reason) = (&caller.origin, refusal.into_str());
                    let action = Action::EnterSecondFactor;
                    let audit = AuditEvent::refused(origin, actor, action, reason, rng)
                        .on(account.id.as_str())
                        .for_organization(session.organization.as_ref());
                    Ok((Err(refusal), Decision::recording(audit)))
                }
            }
        },
    )
    .await?;
    let (account, session) = result.map_err(|_| second_factor::wrong(&caller.policy))?;
    let (policy, origin) = (&caller.policy, &caller.origin);
    Ok(Json(SessionResponse::of(
        &session, &account, policy, origin,
    )))
}

/// The caller's password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordConfirmationRequest {
    /// The current password.
    password: String,
}

/// Confirm with your password
///
/// Confirms a change of the second factors for some minutes, for a user who has none yet.
#[utoipa::path(
    put, path = "/{portal}/sessions/current/password-confirmation", tag = "sessions",
    operation_id = "confirm_password",
    params(PortalParams),
    request_body = PasswordConfirmationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SessionResponse, description = "The session"),
        (status = 422, description = "`invalid-fields`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn confirm_password(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<PasswordConfirmationRequest>,
) -> Result<Json<SessionResponse>, Problem> {
    let mut fields = FieldErrors::default();
    let entered = fields.take("password", password::normalize(&request.password));
    let entered = fields.into_result(entered)?;
    let described = Described::by(&caller, Action::ConfirmPassword);
    let scene = (&*caller.policy, &caller.origin);
    let account = &caller.account;
    let right = secret_check::password(&app, account, &entered, described, scene).await?;
    let proven = right.ok_or_else(|| Problem::invalid_field("password", "is incorrect"))?;
    let (account, session) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let context = caller.context(rng);
            let attempts = proven.attempts();
            Ok(rules::confirm_password(
                account,
                &caller.session,
                attempts,
                context,
            ))
        },
    )
    .await?;
    let (policy, origin) = (&caller.policy, &caller.origin);
    Ok(Json(SessionResponse::of(
        &session, &account, policy, origin,
    )))
}
