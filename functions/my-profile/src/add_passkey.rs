//! `POST /{portal}/me/passkeys`: adds a passkey (MF-01).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::FactorMethod;
use vestibule_http::enrollment;
use vestibule_http::idempotency::{Created, RepeatableBody};
use vestibule_http::openapi::{FieldProblems, IdempotencyParams, PortalParams, SignedInProblems};
use vestibule_http::second_factor::{Confirmation, PasskeyChallengeResponse, SignedChallenge};
use vestibule_http::{App, Problem, SignedIn};

use crate::change_factors::{AddedFactorResponse, add, factor_name, require_method};

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
    Ok(Json(enrollment::start_passkey(
        &app,
        &caller,
        &mut app.rng(),
    )))
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
    params(PortalParams, IdempotencyParams),
    request_body = PasskeyRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = AddedFactorResponse, description = "The passkey", headers(("location" = String, description = "The path of the second factors"))),
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
    let name = factor_name(&request.name)?;
    let factor = enrollment::finish_passkey(&app, &caller, &request.passkey)?;
    add((&app, &caller), key.as_ref(), name, factor).await
}
