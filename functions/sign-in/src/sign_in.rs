//! `POST /{portal}/sessions`: signs a user in (AG-14, BA-04, BA-05).

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::OnceCell;
use utoipa::ToSchema;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::device::Device;
use vestibule_domain::rules::password;
use vestibule_domain::rules::sign_in::{self as rules, Credentials, Refusal};
use vestibule_domain::state::account::{Account, PasswordHash};
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::text::{Sensitive, Username};
use vestibule_domain::{Change, Decision};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::rate_limit::{Counter, Scene};
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Checked, Comparer, Described};
use vestibule_http::{App, Body, FieldErrors, Portal, Problem, credentials, transact};

use crate::SessionResponse;
use crate::start_session::{
    TokenDelivery, arrival, decided, organization, presented_device, problem, respond,
    too_many_attempts,
};

/// A sign-in with username and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignInRequest {
    /// The username, not case-sensitive.
    username: String,
    /// The user's password.
    password: String,
    /// How the session token is delivered: `cookie` for browsers, `body` for programs.
    #[serde(default)]
    token_delivery: TokenDelivery,
    /// For programs: the `device` returned by an earlier sign-in, or 256 random bits (base64url, 43
    /// characters). Without it, every sign-in counts as one from a new device and the user is notified.
    device: Option<String>,
}

/// Sign in with username and password
///
/// Starts a session. The response, and the work behind it, is the same for an unknown username, a
/// deleted account and an incorrect password (BA-05, UX-09).
#[utoipa::path(
    post, path = "/{portal}/sessions", tag = "sessions",
    operation_id = "sign_in",
    params(PortalParams),
    request_body = SignInRequest,
    responses(
        (status = 201, body = SessionResponse, description = "The session", headers(("location" = String, description = "The URL of the session"), ("set-cookie" = String, description = "The cookies `__Host-session` and `__Host-vestibule-device`"))),
        (status = 401, description = "`sign-in-failed` (BA-05)"),
        (status = 403, description = "`account-disabled` (BA-04)"),
        (status = 429, description = "`too-many-attempts`"),
        FieldProblems,
    )
)]
pub(crate) async fn sign_in(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    Body(request): Body<SignInRequest>,
) -> Result<Response, Problem> {
    let mut fields = FieldErrors::default();
    let password = fields.take("password", password::normalize(&request.password));
    if request.username.is_empty() || request.username.len() > 100 {
        fields.push("username", "must be 1 to 100 characters long");
    }
    let presented = presented_device(request.device.as_deref(), &headers);
    let presented = fields.take("device", presented);
    let (password, presented) = fields.into_result(password.zip(presented))?;
    let name = request.username.trim().to_lowercase();

    let new_device = || Device::random(&mut app.rng());
    let device = presented.clone().unwrap_or_else(new_device);
    let arrival = arrival(&device, &headers);
    let (app, policy, origin) = (&app, &*policy, &origin);
    let (name, password) = (name.as_str(), &password);
    let (checked, signed_in) = transact(
        app,
        |_| check(app, (name, password), presented.as_ref(), (policy, origin)),
        |(account, rehashed, attempts), rng| {
            let context = Context::new(policy, origin, rng);
            let ([attempts, of_device], rehashed) = (attempts.clone(), rehashed.clone());
            let other = (of_device != attempts).then_some(Change::ForgetAttempts(of_device));
            let credentials = Credentials::Password { rehashed, attempts };
            let signed_in = rules::sign_in(account, credentials, &arrival, context);
            let (started, decision) = decided(signed_in);
            let clear = |decision| other.into_iter().fold(decision, Decision::change);
            Ok((started, decision.map(clear)))
        },
    )
    .await?;
    let (account, ..) = checked;
    if signed_in.is_err() {
        equalize_reads(app, Some(&account), policy, name).await?;
    }
    let by = (&device, request.token_delivery);
    respond(app, (policy, origin), &account, signed_in, by).await
}

/// Checks the password. Counts the attempt, for the username and the source, and loads the account in one
/// round trip; the password is compared only if neither limit is exceeded. From a device that presents itself,
/// the attempt is counted for the device, and for the username only if the account does not know the device, so
/// that strangers cannot lock the owner out (SE-05). The work is the same without an
/// account or a password (UX-09). Returns the account, the password hashed with the current parameters if
/// the stored hash uses older ones, and the counters to clear, which are the same unless the device is new.
async fn check(
    app: &App,
    (name, password): (&str, &Sensitive),
    device: Option<&Device>,
    (policy, origin): Scene<'_>,
) -> Result<(Account, Option<PasswordHash>, [AttemptKey; 2]), Problem> {
    let limit = &policy.rate_limits.sign_in;
    let digest = device.map(|d| d.digest(&app.store.account_id(&policy.portal, &lookup_key(name))));
    let counters = [
        match &digest {
            Some(digest) => Counter::device(name, digest, policy),
            None => Counter::password(name, policy),
        },
        Counter::source("sign-in", limit, (policy, origin)),
    ];
    let account = OnceCell::new();
    let load = async {
        let found: &Option<Account> = account
            .get_or_try_init(|| find_account(app, policy, name))
            .await?;
        let found = found.as_ref();
        let described = Described::anonymous(Action::SignIn).on(found);
        // Record the organization, so that its administrators see the entry (EX-02).
        Ok(Described {
            organization: found.and_then(organization).cloned(),
            ..described
        })
    };
    let compare = async |comparer: Comparer<'_>| {
        let found = account.get().and_then(Option::as_ref);
        let known = found.zip(device).filter(|(account, device)| {
            let digest = device.digest(&account.id);
            account.devices.contains_key(&digest)
        });
        let right = match (known, &digest) {
            (Some((account, _)), Some(digest)) => {
                let right = comparer.password_from_device(account, (name, digest), password);
                right.await?.ok_or(secret_check::WRONG_PASSWORD)
            }
            _ => comparer.try_password(found, name, password).await?,
        };
        Ok(right.map_err(|reason| match reason {
            secret_check::WRONG_PASSWORD => Refusal::Failed.into_str(),
            limited => limited,
        }))
    };
    let checked = secret_check::check(app, &counters, (policy, origin), load, compare).await?;
    let account = account.into_inner().flatten();
    match (checked, account) {
        (Checked::Right(right, proven), Some(account)) => {
            let rehashed = match right.is_outdated {
                true => Some(credentials::hash(password, app, &mut app.rng()).await),
                false => None,
            };
            Ok((account, rehashed, [right.attempts, proven.attempts()]))
        }
        (Checked::Exhausted(_), account) => {
            equalize_reads(app, account.as_ref(), policy, name).await?;
            Err(too_many_attempts(policy))
        }
        (_, account) => {
            equalize_reads(app, account.as_ref(), policy, name).await?;
            Err(problem(Refusal::Failed, policy))
        }
    }
}

/// Loads the account with this username. An invalid username is looked up under a key that nobody has,
/// so that it takes the same time (UX-09).
async fn find_account(
    app: &App,
    policy: &Policy,
    name: &str,
) -> Result<Option<Account>, vestibule_store::StoreError> {
    app.store
        .account_by_username(&policy.portal, &lookup_key(name))
        .await
}

fn lookup_key(name: &str) -> String {
    Username::parse(name, 1).map_or_else(|_| "-".to_owned(), |n| n.key())
}

/// Adds one read unless finding the account already took it, as it does after a rename, so that all
/// refusals cost the same number of reads (UX-09).
async fn equalize_reads(
    app: &App,
    account: Option<&Account>,
    policy: &Policy,
    name: &str,
) -> Result<(), vestibule_store::StoreError> {
    let id = app.store.account_id(&policy.portal, &lookup_key(name));
    if account.is_none_or(|a| a.id == id) {
        app.store.account(&policy.portal, &id).await?;
    }
    Ok(())
}
