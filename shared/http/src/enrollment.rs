//! Setting up second factors of one's own account (MF-01): passkeys, authenticator apps and recovery codes. Nothing is
//! stored until a factor has proved that it works.

use axum::http::StatusCode;
use data_encoding::BASE32_NOPAD;
use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::rules::second_factor::NewFactor;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::record::Mac;
use vestibule_domain::values::text::Sensitive;
use vestibule_secrets::Purpose;
use vestibule_secrets::passkey::{Ceremonies, PasskeyRefusal, PasskeyUser};
use vestibule_secrets::recovery_code::RecoveryCode;
use vestibule_secrets::totp::{self, AppSecret};

use crate::passkeys::{self, CeremonyPurpose, SignedChallenge};
use crate::second_factor::PasskeyChallengeResponse;
use crate::{App, Caller, Problem};

/// How long an app can be set up after its secret was displayed.
const ENROLLMENT: SignedDuration = SignedDuration::from_mins(15);

/// The maximum length of a sealed enrollment, in characters.
const MAX_ENROLLMENT_LENGTH: usize = 512;

fn ceremonies<'a>(app: &'a App, caller: &Caller) -> Ceremonies<'a> {
    let at = (&*caller.policy, caller.origin.at);
    passkeys::ceremonies(app, CeremonyPurpose::Enrollment(caller), at)
}

/// Starts adding a passkey.
pub fn start_passkey(
    app: &App,
    caller: &Caller,
    rng: &mut impl CryptoRng,
) -> PasskeyChallengeResponse {
    let account = &caller.account;
    let user = PasskeyUser {
        handle: account.id.as_str().as_bytes(),
        username: account.username.as_str(),
        display_name: &account.name.full(),
    };
    let passkeys = account.second_factors.passkeys.iter();
    let exclude: Vec<_> = passkeys.map(|p| p.credential.clone()).collect();
    let started = ceremonies(app, caller).start_registration(user, &exclude, rng);
    started.into()
}

/// Verifies the browser's response to [`start_passkey`].
///
/// # Errors
/// A problem when it is not acceptable.
pub fn finish_passkey(
    app: &App,
    caller: &Caller,
    signed: &SignedChallenge,
) -> Result<NewFactor, Problem> {
    signed.validate()?;
    let (credential, user_verified) = ceremonies(app, caller)
        .finish_registration(&signed.ceremony, &signed.credential)
        .map_err(passkey_refused)?;
    Ok(NewFactor::Passkey {
        credential,
        user_verified,
    })
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

/// What an authenticator app is set up with. It is displayed once.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnrollmentResponse {
    /// Send it back with the first code.
    enrollment: String,
    /// The secret to type into the app, base32.
    secret: String,
    /// The URI that the QR code contains.
    uri: String,
    /// The QR code as an SVG image.
    qr_code: String,
}

/// What is sealed in `enrollment`.
#[derive(Serialize, Deserialize)]
struct Enrollment {
    secret: Sensitive,
    expires_at: Timestamp,
}

/// Starts adding an authenticator app.
///
/// # Errors
/// A problem when a name is too long for a QR code.
pub fn start_app(
    app: &App,
    caller: &Caller,
    rng: &mut impl CryptoRng,
) -> Result<EnrollmentResponse, Problem> {
    let (policy, account) = (&caller.policy, &caller.account);
    let secret = AppSecret::random(rng);
    let uri = totp::otpauth_uri(policy.title.as_str(), account.username.as_str(), &secret);
    let qr_code = totp::qr_code_svg(uri.expose())
        .ok_or_else(|| Problem::internal("a name is too long for a QR code"))?;
    let enrollment = Enrollment {
        secret: secret.base32(),
        expires_at: caller.origin.at + ENROLLMENT,
    };
    let plain = serde_json::to_string(&enrollment).map_err(Problem::internal)?;
    let plain = Sensitive::new(plain);
    let binding = CeremonyPurpose::Enrollment(caller).binding(policy);
    let plain = plain.expose().as_bytes();
    Ok(EnrollmentResponse {
        enrollment: app.keyring().seal(Purpose::AppSecret, &binding, plain, rng),
        secret: secret.base32().expose().to_owned(),
        uri: uri.expose().to_owned(),
        qr_code,
    })
}

/// Verifies the first code of an app that [`start_app`] set up.
///
/// # Errors
/// A problem when the code is wrong, or the enrollment has expired or belongs to another session.
pub fn finish_app(
    app: &App,
    caller: &Caller,
    enrollment: &str,
    code: &str,
) -> Result<NewFactor, Problem> {
    let secret = opened(app, caller, enrollment)?;
    let bytes = BASE32_NOPAD.decode(secret.expose().as_bytes());
    let bytes = bytes.map_err(Problem::internal)?;
    let step = totp::accepted_step(&bytes, code, caller.origin.at, None);
    let step = step.ok_or_else(|| {
        let detail =
            "is not the code that the app shows now; check that the clock of your device is right";
        Problem::invalid_field("code", detail)
    })?;
    Ok(NewFactor::App { secret, step })
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
    let plain = app.keyring().open(Purpose::AppSecret, &binding, enrollment);
    let plain = plain.map_err(|_| unusable())?;
    let opened: Enrollment = serde_json::from_slice(&plain).map_err(|_| unusable())?;
    if caller.origin.at >= opened.expires_at {
        return Err(unusable());
    }
    Ok(opened.secret)
}

/// Creates recovery codes: as displayed, and as stored.
pub fn recovery_codes(
    app: &App,
    account: &Account,
    number: u32,
    rng: &mut impl CryptoRng,
) -> (Vec<Sensitive>, Vec<Mac>) {
    let codes = (0..number).map(|_| RecoveryCode::random(rng));
    let codes = codes.map(|code| {
        let mac = code.mac(app.keyring(), account.id.as_str());
        (code.formatted(), mac)
    });
    codes.unzip()
}
