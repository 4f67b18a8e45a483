//! `GET /{portal}/.well-known/openid-configuration` and `GET /{portal}/jwks.json`: what an application needs to know
//! of the portal (OpenID Connect Discovery 1.0, 3; SO-01).

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::authorization_request::{AAL1, AAL2};
use vestibule_domain::state::single_sign_on::Scope;
use vestibule_http::openapi::PortalParams;
use vestibule_http::{App, Portal, Problem};

/// The configuration of the portal as an OpenID Connect provider. It promises only what works.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigurationResponse {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    end_session_endpoint: String,
    scopes_supported: Vec<&'static str>,
    response_types_supported: Vec<&'static str>,
    response_modes_supported: Vec<&'static str>,
    grant_types_supported: Vec<&'static str>,
    subject_types_supported: Vec<&'static str>,
    id_token_signing_alg_values_supported: Vec<&'static str>,
    token_endpoint_auth_methods_supported: Vec<&'static str>,
    token_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    introspection_endpoint_auth_methods_supported: Vec<&'static str>,
    introspection_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    revocation_endpoint_auth_methods_supported: Vec<&'static str>,
    revocation_endpoint_auth_signing_alg_values_supported: Vec<&'static str>,
    code_challenge_methods_supported: Vec<&'static str>,
    prompt_values_supported: Vec<&'static str>,
    acr_values_supported: Vec<&'static str>,
    claim_types_supported: Vec<&'static str>,
    claims_supported: Vec<&'static str>,
    ui_locales_supported: Vec<&'static str>,
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    authorization_response_iss_parameter_supported: bool,
    backchannel_logout_supported: bool,
    backchannel_logout_session_supported: bool,
}

const ALGORITHMS: [&str; 2] = ["RS256", "ES256"];

impl ConfigurationResponse {
    fn of(policy: &Policy) -> Self {
        let issuer = policy.issuer();
        let at = |path: &str| format!("{issuer}/{path}");
        let confidential = [
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
        ];
        let all = [&confidential[..], &["none"]].concat();
        let second_factor = policy.second_factor.is_some().then_some(AAL2);
        Self {
            authorization_endpoint: format!("{}/authorize", policy.site),
            token_endpoint: at("token"),
            userinfo_endpoint: at("userinfo"),
            jwks_uri: at("jwks.json"),
            introspection_endpoint: at("introspect"),
            revocation_endpoint: at("revoke"),
            end_session_endpoint: at("end-session"),
            scopes_supported: Scope::ALL.iter().map(Scope::into_str).collect(),
            response_types_supported: vec!["code"],
            response_modes_supported: vec!["query"],
            grant_types_supported: vec!["authorization_code"],
            subject_types_supported: vec!["public"],
            id_token_signing_alg_values_supported: vec!["RS256"],
            token_endpoint_auth_methods_supported: all.clone(),
            token_endpoint_auth_signing_alg_values_supported: ALGORITHMS.into(),
            introspection_endpoint_auth_methods_supported: confidential.into(),
            introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS.into(),
            revocation_endpoint_auth_methods_supported: all,
            revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS.into(),
            code_challenge_methods_supported: vec!["S256"],
            prompt_values_supported: vec!["none", "login", "select_account"],
            acr_values_supported: [Some(AAL1), second_factor].into_iter().flatten().collect(),
            claim_types_supported: vec!["normal"],
            claims_supported: vec![
                "sub",
                "iss",
                "aud",
                "exp",
                "iat",
                "auth_time",
                "nonce",
                "acr",
                "amr",
                "at_hash",
                "sid",
                "organization",
                "roles",
                "entitlements",
                "groups",
                "name",
                "given_name",
                "family_name",
                "preferred_username",
                "email",
            ],
            ui_locales_supported: vec!["en-US"],
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            authorization_response_iss_parameter_supported: true,
            backchannel_logout_supported: true,
            backchannel_logout_session_supported: true,
            issuer,
        }
    }
}

/// Show the OpenID Connect configuration
///
/// Returns the addresses and capabilities of the portal for applications (OpenID Connect Discovery 1.0).
#[utoipa::path(
    get, path = "/{portal}/.well-known/openid-configuration", tag = "single sign-on",
    operation_id = "show_configuration",
    params(PortalParams),
    responses(
        (status = 200, body = ConfigurationResponse, description = "The configuration"),
    )
)]
pub(crate) async fn show_configuration(Portal(policy): Portal) -> Json<ConfigurationResponse> {
    Json(ConfigurationResponse::of(&policy))
}

/// The public keys that verify ID tokens (RFC 7517).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeysResponse {
    /// The current and the next key.
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Value>,
}

/// Show the public keys
///
/// Returns the keys that sign ID tokens, now and after the next rotation.
#[utoipa::path(
    get, path = "/{portal}/jwks.json", tag = "single sign-on",
    operation_id = "show_keys",
    params(PortalParams),
    responses(
        (status = 200, body = KeysResponse, description = "The keys"),
    )
)]
pub(crate) async fn show_keys(
    State(app): State<App>,
    _portal: Portal,
) -> Result<Json<KeysResponse>, Problem> {
    let keys = app.signer.keys(app.clock.now()).await?;
    let mut keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
    // Both aliases may name the same key.
    keys.dedup();
    Ok(Json(KeysResponse { keys }))
}
