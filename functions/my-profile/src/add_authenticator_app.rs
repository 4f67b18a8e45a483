//! `POST /{portal}/me/authenticator-apps`: adds an authenticator app (MF-01).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use data_encoding::BASE32_NOPAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::FactorMethod;
use vestibule_domain::rules::second_factor::{self as rules, NewFactor};
use vestibule_domain::values::text::{FactorName, Sensitive};
use vestibule_http::idempotency::{Created, Once, RepeatableBody, once};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::second_factor::{CeremonyPurpose, Confirmation};
use vestibule_http::{App, Caller, FieldErrors, Problem, SignedIn};
use vestibule_secrets::Purpose;
use vestibule_secrets::totp::{self, AppSecret};

use crate::change_factors::{added, refused, require_method};

/// How long the app can be set up after its secret was displayed.
const ENROLLMENT: SignedDuration = SignedDuration::from_mins(15);

/// The maximum length of a sealed enrollment, in characters.
const MAX_ENROLLMENT_LENGTH: usize = 512;

/// What an authenticator app is set up with. It is displayed once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnrollmentResponse {
    /// Send it back with the first code.
    enrollment: String,
    /// The secret to type into the app, base32.
    secret: String,
    /// The URI that the QR code contains.
    uri: String,
    /// The QR code as an SVG image.
    qr_code: String,
}

/// What is sealed in `enrollment`, so that nothing is stored until the app is added.
#[derive(Serialize, Deserialize)]
struct Enrollment {
    secret: Sensitive,
    expires_at: Timestamp,
}

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
    let mut rng = app.rng();
    let (policy, account) = (&caller.policy, &caller.account);
    let secret = AppSecret::random(&mut rng);
    let uri = totp::otpauth_uri(policy.title.as_str(), account.username.as_str(), &secret);
    let qr_code = totp::qr_code_svg(uri.expose())
        .ok_or_else(|| Problem::internal("a name is too long for a QR code"))?;
    let enrollment = Enrollment {
        secret: secret.base32(),
        expires_at: caller.origin.at + ENROLLMENT,
    };
    let plain = serde_json::to_string(&enrollment).map_err(Problem::internal)?;
    let plain = Sensitive::new(plain);
    let binding = CeremonyPurpose::Enrollment(&caller).binding(policy);
    let keyring = app.store.keyring();
    let plain = plain.expose().as_bytes();
    Ok(Json(EnrollmentResponse {
        enrollment: keyring.seal(Purpose::AppSecret, &binding, plain, &mut rng),
        secret: secret.base32().expose().to_owned(),
        uri: uri.expose().to_owned(),
        qr_code,
    }))
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
    params(PortalParams),
    request_body = AuthenticatorAppRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = crate::change_factors::AddedFactorResponse, description = "The app", headers(("location" = String, description = "The path of the app"))),
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
    let mut fields = FieldErrors::default();
    let name = fields.take("name", FactorName::parse(&request.name));
    let name = fields.into_result(name)?;
    let secret = opened(&app, &caller, &request.enrollment)?;
    let bytes = BASE32_NOPAD.decode(secret.expose().as_bytes());
    let bytes = bytes.map_err(Problem::internal)?;
    let step = totp::accepted_step(&bytes, &request.code, caller.origin.at, None);
    let step = step.ok_or_else(|| {
        let detail =
            "is not the code that the app shows now; check that the clock of your device is right";
        Problem::invalid_field("code", detail)
    })?;
    let factor = NewFactor::App { secret, step };
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

/// Opens the secret that the caller's session was given.
fn opened(app: &App, caller: &Caller, enrollment: &str) -> Result<Sensitive, Problem> {
    let unusable = || {
        Problem::new(
            StatusCode::GONE,
            "enrollment-unusable",
            "Start again",
            "This took too long, or was started in another session. Start again and scan the new QR code.",
        )
    };
    if enrollment.len() > MAX_ENROLLMENT_LENGTH {
        return Err(unusable());
    }
    let binding = CeremonyPurpose::Enrollment(caller).binding(&caller.policy);
    let keyring = app.store.keyring();
    let plain = keyring.open(Purpose::AppSecret, &binding, enrollment);
    let plain = plain.map_err(|_| unusable())?;
    let opened: Enrollment = serde_json::from_slice(&plain).map_err(|_| unusable())?;
    if caller.origin.at >= opened.expires_at {
        return Err(unusable());
    }
    Ok(opened.secret)
}
