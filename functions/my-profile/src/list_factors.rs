//! `GET /{portal}/me/second-factors`: lists the caller's second factors (MF-01).

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::rules::next_step::requires_second_factor;
use vestibule_domain::state::second_factor::FactorInfo;
use vestibule_http::SignedIn;
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::responses::moment;
use vestibule_http::second_factor::FactorResetResponse;

/// The caller's second factors.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecondFactorsResponse {
    /// The kinds that the portal offers: `passkey` and `authenticator_app`.
    methods: Vec<&'static str>,
    /// Whether the caller's role requires a second factor.
    is_required: bool,
    passkeys: Vec<PasskeyResponse>,
    authenticator_apps: Vec<FactorResponse>,
    /// The number of unused recovery codes.
    recovery_codes_left: usize,
    /// The devices on which the caller signs in without a second factor (MF-08).
    trusted_devices: Vec<TrustedDeviceResponse>,
    /// The reset that an administrator or the help desk started. Absent if none is pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_reset: Option<FactorResetResponse>,
}

/// A passkey of the caller.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PasskeyResponse {
    #[serde(flatten)]
    factor: FactorResponse,
    /// Whether the passkey is synchronized between devices, such as by a password manager.
    is_synchronized: bool,
    /// Whether the passkey signs in without the password.
    signs_in_alone: bool,
}

/// A device on which the caller signs in without a second factor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TrustedDeviceResponse {
    /// The id, used to remove it.
    id: String,
    /// The browser and system that the device reported.
    program: String,
    trusted_at: String,
    expires_at: String,
    /// Whether it is the device of this session.
    is_current: bool,
}

/// What all second factors have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FactorResponse {
    /// The id, used to rename or remove it.
    id: String,
    /// The name that the caller gave it.
    name: String,
    added_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used_at: Option<String>,
}

impl FactorResponse {
    fn of(info: &FactorInfo) -> Self {
        Self {
            id: info.id.to_string(),
            name: info.name.to_string(),
            added_at: moment(info.added_at),
            last_used_at: info.last_used_at.map(moment),
        }
    }
}

/// List your second factors
///
/// Returns the caller's passkeys, authenticator apps and trusted devices, and how many recovery codes are left.
#[utoipa::path(
    get, path = "/{portal}/me/second-factors", tag = "profile",
    operation_id = "list_second_factors",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SecondFactorsResponse, description = "The second factors"),
        SignedInProblems,
    )
)]
pub(crate) async fn list_second_factors(SignedIn(caller): SignedIn) -> Json<SecondFactorsResponse> {
    let (policy, account) = (&*caller.policy, &caller.account);
    let factors = &account.second_factors;
    let section = policy.second_factor.as_ref();
    let methods = section.map(|s| s.methods.clone()).unwrap_or_default();
    let passkeys = factors.passkeys.iter().map(|p| PasskeyResponse {
        factor: FactorResponse::of(&p.info),
        is_synchronized: p.credential.backed_up,
        signs_in_alone: p.signs_in_alone,
    });
    let now = caller.origin.at;
    let trusted = factors.trusted_devices.iter();
    let trusted = trusted.filter(|(_, device)| now < device.expires_at);
    let devices = trusted.map(|(digest, device)| TrustedDeviceResponse {
        id: device.id.to_string(),
        program: device.program.clone(),
        trusted_at: moment(device.trusted_at),
        expires_at: moment(device.expires_at),
        is_current: caller.session.device.as_ref() == Some(digest),
    });
    let apps = factors.apps.iter().map(|a| FactorResponse::of(&a.info));
    Json(SecondFactorsResponse {
        methods: methods.into_iter().map(|m| m.into_str()).collect(),
        is_required: requires_second_factor(account, policy, policy.today(now)),
        passkeys: passkeys.collect(),
        authenticator_apps: apps.collect(),
        recovery_codes_left: factors.recovery_codes.len(),
        trusted_devices: devices.collect(),
        pending_reset: FactorResetResponse::of(account, now),
    })
}
