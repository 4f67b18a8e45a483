//! `POST /{portal}/me/authenticator-apps`: adds an authenticator app (MF-01).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::FactorMethod;
use vestibule_http::enrollment::{self, EnrollmentResponse};
use vestibule_http::idempotency::{Created, RepeatableBody};
use vestibule_http::openapi::{FieldProblems, IdempotencyParams, PortalParams, SignedInProblems};
use vestibule_http::second_factor::Confirmation;
use vestibule_http::{App, Problem, SignedIn};

use crate::change_factors::{AddedFactorResponse, add, factor_name, require_method};

/// Start adding an authenticator app
///
/// Returns a new secret, also as a QR code. Nothing is stored until the app's first code is entered.
#[utoipa::path(
    post, path = "/{portal}/me/authenticator-apps/enrollment", tag = "profile",
    operation_id = "start_adding_authenticator_app",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = EnrollmentResponse, description = "The secret, which can be used within 15 minutes"),
        (status = 403, description = "`step-up-required`"),
        (status = 409, description = "`unsupported-on-portal`"),
        SignedInProblems,
    )
)]
pub(crate) async fn start_adding_authenticator_app(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<Json<EnrollmentResponse>, Problem> {
    require_method(FactorMethod::AuthenticatorApp, &caller)?;
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    enrollment::start_app(&app, &caller, &mut app.rng()).map(Json)
}

/// An authenticator app to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthenticatorAppRequest {
    /// A name by which the caller recognizes it, such as "Phone".
    name: String,
    /// The `enrollment` that was returned with the secret.
    #[schema(max_length = 512)]
    enrollment: String,
    /// The code that the app shows.
    #[schema(max_length = 40)]
    code: String,
}

/// Add an authenticator app
///
/// Adds the app if it shows the right code, and notifies the user.
#[utoipa::path(
    post, path = "/{portal}/me/authenticator-apps", tag = "profile",
    operation_id = "add_authenticator_app",
    params(PortalParams, IdempotencyParams),
    request_body = AuthenticatorAppRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = AddedFactorResponse, description = "The app", headers(("location" = String, description = "The path of the second factors"))),
        (status = 403, description = "`step-up-required`"),
        (status = 409, description = "`already-added`, `too-many-factors` or `unsupported-on-portal`"),
        (status = 410, description = "`enrollment-unusable`"),
        (status = 422, description = "`invalid-fields`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn add_authenticator_app(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    RepeatableBody(request, key): RepeatableBody<AuthenticatorAppRequest>,
) -> Result<Created, Problem> {
    require_method(FactorMethod::AuthenticatorApp, &caller)?;
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    let name = factor_name(&request.name)?;
    let (enrollment, code) = (&request.enrollment, &request.code);
    let factor = enrollment::finish_app(&app, &caller, enrollment, code)?;
    add((&app, &caller), key.as_ref(), name, factor).await
}
