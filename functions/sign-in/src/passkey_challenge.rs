//! `POST /{portal}/passkey-challenges` and `POST /{portal}/sessions/current/passkey-challenge`: start a ceremony
//! with a passkey (MF-03, MF-04).

use axum::Json;
use axum::extract::State;
use vestibule_domain::policy::{FactorMethod, Policy};
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::request::RequestOrigin;
use vestibule_http::second_factor::{self, CeremonyPurpose, PasskeyChallengeResponse};
use vestibule_http::{App, Portal, Problem, SignedIn};

/// Start a sign-in with a passkey
///
/// Returns what `navigator.credentials.get()` takes. The browser offers the passkeys that it has for the
/// portal. Nothing is stored.
#[utoipa::path(
    post, path = "/{portal}/passkey-challenges", tag = "sessions",
    operation_id = "start_passkey_sign_in",
    params(PortalParams),
    responses(
        (status = 200, body = PasskeyChallengeResponse, description = "The challenge, which can be answered once within 5 minutes"),
        (status = 409, description = "`unsupported-on-portal`"),
    )
)]
pub(crate) async fn start_passkey_sign_in(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
) -> Result<Json<PasskeyChallengeResponse>, Problem> {
    require_passkeys(&policy)?;
    let at = (&*policy, origin.at);
    let mut rng = app.rng();
    let challenge = second_factor::challenge(&app, None, CeremonyPurpose::SignIn, at, &mut rng);
    Ok(Json(challenge))
}

/// Start giving a passkey as the second factor
///
/// Returns what `navigator.credentials.get()` takes, for the caller's passkeys.
#[utoipa::path(
    post, path = "/{portal}/sessions/current/passkey-challenge", tag = "sessions",
    operation_id = "start_second_factor",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = PasskeyChallengeResponse, description = "The challenge, which can be answered once within 5 minutes"),
        (status = 409, description = "`unsupported-on-portal`, or `no-passkey`: the caller has none"),
        SignedInProblems,
    )
)]
pub(crate) async fn start_second_factor(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<Json<PasskeyChallengeResponse>, Problem> {
    require_passkeys(&caller.policy)?;
    let account = &caller.account;
    if account.second_factors.passkeys.is_empty() {
        return Err(Problem::new(
            axum::http::StatusCode::CONFLICT,
            "no-passkey",
            "No passkey",
            "Your account has no passkey. Enter a code instead.",
        ));
    }
    let at = (&*caller.policy, caller.origin.at);
    let purpose = CeremonyPurpose::SecondFactor(&caller);
    let challenge = second_factor::challenge(&app, Some(account), purpose, at, &mut app.rng());
    Ok(Json(challenge))
}

fn require_passkeys(policy: &Policy) -> Result<(), Problem> {
    if policy.has_method(FactorMethod::Passkey) {
        return Ok(());
    }
    let detail = "This portal does not use passkeys.";
    Err(Problem::unsupported_on_portal(policy, detail))
}
