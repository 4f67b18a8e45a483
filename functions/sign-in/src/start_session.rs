//! What the ways to sign in share: the device, how the session token is delivered, and the response.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::device::{Arrival, Device};
use vestibule_domain::rules::sign_in::{Refusal, SignedIn};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::state::session::{Session, Token};
use vestibule_domain::values::ids::OrganizationId;
use vestibule_domain::values::text::{Invalid, Sensitive};
use vestibule_http::caller::{COOKIE, cookie};
use vestibule_http::rate_limit::Scene;
use vestibule_http::{App, Problem};

use crate::SessionResponse;

/// How a session token is delivered.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TokenDelivery {
    /// In a cookie that scripts cannot read and that is deleted when the browser closes.
    #[default]
    Cookie,
    /// In the response body, to be sent as `Authorization: Bearer`.
    Body,
}

/// The cookie that identifies a browser's device. It outlives the session and grants no access.
const DEVICE_COOKIE: &str = "__Host-vestibule-device";

/// The longest lifetime that browsers allow for a cookie (RFC 6265bis, 5.5).
const DEVICE_COOKIE_SECONDS: u32 = 400 * 24 * 60 * 60;

/// Returns the device that the request names, or the one in the browser's cookie.
pub(crate) fn presented_device(
    reported: Option<&str>,
    headers: &HeaderMap,
) -> Result<Option<Device>, Invalid> {
    match reported {
        Some(text) => Device::parse(text)
            .map(Some)
            .ok_or_else(|| Invalid("must be the value returned by an earlier sign-in".to_owned())),
        None => Ok(cookie(headers, DEVICE_COOKIE).and_then(Device::parse)),
    }
}

/// Describes where a person signs in from.
pub(crate) fn arrival<'a>(device: &'a Device, headers: &'a HeaderMap) -> Arrival<'a> {
    Arrival {
        device,
        user_agent: user_agent(headers),
    }
}

/// Returns the User-Agent header, if it was sent.
pub(crate) fn user_agent(headers: &HeaderMap) -> Option<&str> {
    let sent = headers.get(header::USER_AGENT);
    sent.and_then(|value| value.to_str().ok())
}

/// Returns the organization of an account that belongs to only one.
pub(crate) fn organization(account: &Account) -> Option<&OrganizationId> {
    match account.memberships.as_slice() {
        [only] => only.organization.as_ref(),
        _ => None,
    }
}

/// A session that was started, or why there is none.
pub(crate) type Started = Result<(Token, Session), Refusal>;

/// Separates the decision of the rule from what the response needs.
pub(crate) fn decided(signed_in: Result<SignedIn, Refusal>) -> (Started, Option<Decision>) {
    match signed_in {
        Ok(SignedIn {
            token,
            session,
            decision,
        }) => (Ok((token, session)), Some(decision)),
        Err(refusal) => (Err(refusal), None),
    }
}

/// Responds with the session, or records why there is none.
pub(crate) async fn respond(
    app: &App,
    (policy, origin): Scene<'_>,
    account: &Account,
    signed_in: Started,
    (device, token_delivery): (&Device, TokenDelivery),
) -> Result<Response, Problem> {
    let refusal = match signed_in {
        Ok((token, session)) => {
            let response = SessionResponse::of(&session, account, policy, origin);
            let tokens = (token.expose(), device.expose());
            return Ok(started(response, tokens, token_delivery, policy));
        }
        Err(refusal) => refusal,
    };
    let mut rng = app.rng();
    let reason = refusal.into_str();
    let audit = AuditEvent::refused(origin, Actor::Unknown, Action::SignIn, reason, &mut rng)
        .on(account.id.as_str())
        .for_organization(organization(account));
    app.commit(Decision::recording(audit), &mut rng).await?;
    Err(problem(refusal, policy))
}

/// Returns the problem for too many attempts to sign in.
pub(crate) fn too_many_attempts(policy: &Policy) -> Problem {
    let minutes = policy.rate_limits.sign_in.window_minutes.get();
    let detail =
        format!("There were too many attempts to sign in. Try again in {minutes} minutes.");
    Problem::too_many_attempts(detail, minutes, policy)
}

/// Converts a refusal to a problem.
pub(crate) fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    match refusal {
        Refusal::Failed => Problem::new(
            StatusCode::UNAUTHORIZED,
            "sign-in-failed",
            "Login failed",
            policy.messages.login_failed.as_str(),
        ),
        Refusal::Disabled => Problem::new(
            StatusCode::FORBIDDEN,
            "account-disabled",
            "Account disabled",
            policy.messages.account_disabled.as_str(),
        ),
    }
    .with_help(policy)
}

const COOKIE_RULES: &str = "Path=/; HttpOnly; Secure; SameSite=Strict";

fn started(
    mut response: SessionResponse,
    (token, device): (Sensitive, Sensitive),
    token_delivery: TokenDelivery,
    policy: &Policy,
) -> Response {
    let location = format!("/{}/sessions/current", policy.portal);
    let cookies = match token_delivery {
        TokenDelivery::Body => {
            response.token = Some(token.expose().to_owned());
            response.device = Some(device.expose().to_owned());
            Vec::new()
        }
        // Without Max-Age the browser deletes the cookie when it closes (AG-14).
        TokenDelivery::Cookie => vec![
            format!("{COOKIE}={}; {COOKIE_RULES}", token.expose()),
            format!(
                "{DEVICE_COOKIE}={}; Max-Age={DEVICE_COOKIE_SECONDS}; {COOKIE_RULES}",
                device.expose()
            ),
        ],
    };
    let mut response = (
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(response),
    )
        .into_response();
    for cookie in cookies.iter().filter_map(|c| HeaderValue::from_str(c).ok()) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
