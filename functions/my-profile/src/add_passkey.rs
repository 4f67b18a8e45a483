//! `POST /{portal}/me/passkeys`: adds a passkey (MF-01).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::FactorMethod;
use vestibule_domain::rules::second_factor::{self as rules, NewFactor};
use vestibule_domain::values::text::FactorName;
use vestibule_http::idempotency::{Created, Once, RepeatableBody, once};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::second_factor::{
    CeremonyPurpose, Confirmation, PasskeyChallengeResponse, SignedChallenge, relying_party,
};
use vestibule_http::{App, Caller, FieldErrors, Problem, SignedIn};
use vestibule_secrets::passkey::{Ceremonies, PasskeyRefusal, PasskeyUser, RelyingParty};

use crate::change_factors::{added, refused, require_method};

/// Start adding a passkey
///
/// Returns what `navigator.credentials.create()` takes. Nothing is stored until the passkey is added.
#[utoipa::path(
    post, path = "/{portal}/me/passkeys/challenge", tag = "profile",
    operation_id = "start_adding_passkey",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = PasskeyChallengeResponse, description = "The challenge, which can be answered within 5 minutes"),
        (status = 403, description = "`step-up-required`"),
        (status = 409, description = "`unsupported-on-portal`"),
        SignedInProblems,
    )
)]
pub(crate) async fn start_adding_passkey(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<Json<PasskeyChallengeResponse>, Problem> {
    require_method(FactorMethod::Passkey, &caller)?;
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    let account = &caller.account;
    let user = PasskeyUser {
        handle: account.id.as_str().as_bytes(),
        username: account.username.as_str(),
        display_name: &account.name.full(),
    };
    let passkeys = account.second_factors.passkeys.iter();
    let exclude: Vec<_> = passkeys.map(|p| p.credential.clone()).collect();
    let rp = relying_party(&caller.policy);
    let binding = CeremonyPurpose::Enrollment(&caller).binding(&caller.policy);
    let ceremonies = ceremonies(&app, &rp, &binding, &caller);
    let started = ceremonies.start_registration(user, &exclude, &mut app.rng());
    Ok(Json(started.into()))
}

fn ceremonies<'a>(
    app: &'a App,
    rp: &'a RelyingParty,
    binding: &'a str,
    caller: &Caller,
) -> Ceremonies<'a> {
    Ceremonies {
        rp,
        keyring: app.store.keyring(),
        binding,
        now: caller.origin.at,
    }
}

/// A passkey to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasskeyRequest {
    /// A name by which the caller recognizes it, such as "Work laptop".
    name: String,
    /// The result of the ceremony that `POST /{portal}/me/passkeys/challenge` started.
    passkey: SignedChallenge,
}

/// Add a passkey
///
/// Adds a passkey and notifies the user. It is accepted as the second factor, and signs in alone if it verifies
/// its user.
#[utoipa::path(
    post, path = "/{portal}/me/passkeys", tag = "profile",
    operation_id = "add_passkey",
    params(PortalParams),
    request_body = PasskeyRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = crate::change_factors::AddedFactorResponse, description = "The passkey", headers(("location" = String, description = "The path of the passkey"))),
        (status = 403, description = "`step-up-required`"),
        (status = 409, description = "`already-added`, `too-many-factors` or `unsupported-on-portal`"),
        (status = 422, description = "`invalid-fields`, or `passkey-refused`: the browser's response was not accepted"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn add_passkey(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    RepeatableBody(request, key): RepeatableBody<PasskeyRequest>,
) -> Result<Created, Problem> {
    require_method(FactorMethod::Passkey, &caller)?;
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    let mut fields = FieldErrors::default();
    let name = fields.take("name", FactorName::parse(&request.name));
    let name = fields.into_result(name)?;
    request.passkey.validate()?;
    let rp = relying_party(&caller.policy);
    let binding = CeremonyPurpose::Enrollment(&caller).binding(&caller.policy);
    let signed = &request.passkey;
    let (credential, user_verified) = ceremonies(&app, &rp, &binding, &caller)
        .finish_registration(&signed.ceremony, &signed.credential)
        .map_err(passkey_refused)?;
    let factor = NewFactor::Passkey {
        credential,
        user_verified,
    };
    let (app, caller) = (&app, &caller);
    once(
        app,
        Once {
            caller,
            key: key.as_ref(),
        },
        |attempt| caller.latest(app, attempt),
        |account, rng| {
            let (session, context) = (&caller.session, caller.context(rng));
            rules::add(account, session, name.clone(), factor.clone(), context)
                .map_err(|refusal| refused(refusal, &caller.policy))
        },
        |_, id| added(id, caller),
    )
    .await
}

fn passkey_refused(refusal: PasskeyRefusal) -> Problem {
    let detail = match refusal {
        PasskeyRefusal::Expired => "This took too long. Start again.",
        PasskeyRefusal::AlreadyRegistered => "Your account has this passkey already.",
        PasskeyRefusal::UnsupportedKey => {
            "This authenticator uses a kind of key that is not supported. Use another one."
        }
        _ => "The browser's response was not accepted. Start again on a page of this portal.",
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "passkey-refused",
        "Passkey not accepted",
        detail,
    )
}
