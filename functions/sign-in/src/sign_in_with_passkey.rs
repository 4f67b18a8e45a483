//! `POST /{portal}/sessions/passkey`: signs a user in with a passkey alone (MF-03).

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::OnceCell;
use utoipa::ToSchema;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::device::Device;
use vestibule_domain::rules::second_factor::PasskeyUse;
use vestibule_domain::rules::sign_in::{self as rules, Credentials, Refusal};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Action;
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::rate_limit::{Counter, Scene};
use vestibule_http::request::RequestOrigin;
use vestibule_http::second_factor::{CeremonyPurpose, SignedChallenge};
use vestibule_http::secret_check::{self, Checked, Comparer, Described};
use vestibule_http::{App, Attempt, Body, Portal, Problem, transact};

use crate::SessionResponse;
use crate::start_session::{
    TokenDelivery, arrival, decided, organization, presented_device, problem, respond,
    too_many_attempts,
};

/// A sign-in with a passkey.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeySignInRequest {
    /// The result of the ceremony that `POST /{portal}/passkey-challenges` started.
    passkey: SignedChallenge,
    /// How the session token is delivered: `cookie` for browsers, `body` for programs.
    #[serde(default)]
    token_delivery: TokenDelivery,
    /// For programs: the `device` returned by an earlier sign-in, or 256 random bits (base64url, 43
    /// characters).
    device: Option<String>,
}

/// Sign in with a passkey
///
/// Starts a session without username or password. The passkey must have verified its user, so it counts as
/// both factors. The response, and the work behind it, is the same for an unknown passkey, a deleted
/// account and an incorrect signature (UX-09).
#[utoipa::path(
    post, path = "/{portal}/sessions/passkey", tag = "sessions",
    operation_id = "sign_in_with_passkey",
    params(PortalParams),
    request_body = PasskeySignInRequest,
    responses(
        (status = 201, body = SessionResponse, description = "The session", headers(("location" = String, description = "The URL of the session"), ("set-cookie" = String, description = "The cookies `__Host-session` and `__Host-vestibule-device`"))),
        (status = 401, description = "`sign-in-failed`"),
        (status = 403, description = "`account-disabled` (BA-04)"),
        (status = 429, description = "`too-many-attempts`"),
        FieldProblems,
    )
)]
pub(crate) async fn sign_in_with_passkey(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Body(request): Body<PasskeySignInRequest>,
) -> Result<Response, Problem> {
    request.passkey.validate()?;
    let presented = presented_device(request.device.as_deref(), &headers)
        .map_err(|fault| Problem::invalid_field("device", &fault.to_string()))?;
    let device = presented.unwrap_or_else(|| Device::random(&mut app.rng()));
    let arrival = arrival(&device, &headers);
    let (app, policy, origin) = (&app, &*policy, &origin);
    let (account, used) = check(app, &request.passkey, (policy, origin)).await?;
    let load = |attempt: Attempt| load(app, &account, attempt);
    let (account, signed_in) = transact(app, load, |account, rng| {
        let credentials = Credentials::Passkey(used.clone());
        let context = Context::new(policy, origin, rng);
        Ok(decided(rules::sign_in(
            account,
            credentials,
            &arrival,
            context,
        )))
    })
    .await?;
    let by = (&device, request.token_delivery);
    respond(app, (policy, origin), &account, signed_in, by).await
}

/// Returns the account, loaded again after a conflict.
async fn load(app: &App, account: &Account, attempt: Attempt) -> Result<Account, Problem> {
    if attempt.is_first {
        return Ok(account.clone());
    }
    let found = app.store.account(&account.portal, &account.id).await?;
    found.ok_or_else(Problem::conflict)
}

/// Checks the signature. The account is the one that the passkey names; the work is the same without an account
/// or passkey (UX-09). Attempts are counted for the source: a signature cannot be guessed.
async fn check(
    app: &App,
    signed: &SignedChallenge,
    (policy, origin): Scene<'_>,
) -> Result<(Account, PasskeyUse), Problem> {
    let limit = &policy.rate_limits.sign_in;
    let counters = [Counter::source("passkey", limit, (policy, origin))];
    let account = OnceCell::new();
    // An id that nobody has takes the same read.
    let nobody = || app.store.account_id(&policy.portal, "-");
    let id = signed.account().unwrap_or_else(nobody);
    let load = async {
        let found: &Option<Account> = account
            .get_or_try_init(|| app.store.account(&policy.portal, &id))
            .await?;
        let found = found.as_ref();
        Ok(Described {
            organization: found.and_then(organization).cloned(),
            ..Described::anonymous(Action::SignIn).on(found)
        })
    };
    let compare = async |comparer: Comparer<'_>| {
        let found = account.get().and_then(Option::as_ref);
        let used = comparer.passkey(found, signed, CeremonyPurpose::SignIn);
        Ok(used.ok_or(Refusal::Failed.into_str()))
    };
    let checked = secret_check::check(app, &counters, (policy, origin), load, compare).await?;
    match (checked, account.into_inner().flatten()) {
        (Checked::Right(used, _), Some(account)) => Ok((account, used)),
        (Checked::Exhausted(_), _) => Err(too_many_attempts(policy)),
        _ => Err(problem(Refusal::Failed, policy)),
    }
}
