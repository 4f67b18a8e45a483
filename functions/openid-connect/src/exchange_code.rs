//! `POST /{portal}/token`: exchanges a code for an ID token and an access token, once (SO-01, SO-05).

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use vestibule_domain::policy::{AccessTokenFormat, Policy};
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::single_sign_on::{
    self as rules, NotRedeemed, Redeemed, Redemption, User,
};
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::state::single_sign_on::AuthorizationCode;
use vestibule_domain::values::text::Sensitive;
use vestibule_http::oauth::{ClientForm, OAuthFailure, authenticate};
use vestibule_http::openapi::PortalParams;
use vestibule_http::request::RequestOrigin;
use vestibule_http::transact::MAX_ATTEMPTS;
use vestibule_http::{App, Portal, Problem};
use vestibule_store::CommitError;
use vestibule_store::grants::Issued;

use crate::{ACCESS_TOKEN, ClaimsResponse, ID_TOKEN, OAuthErrorResponse, scope};

client_form! {
    /// A code to exchange, as a form.
    ExchangeCodeRequest {
        /// `authorization_code`.
        #[schema(max_length = 40)]
        grant_type: String,
        /// The code.
        #[schema(max_length = 256)]
        code: String,
        /// The address to which the code was sent.
        #[schema(max_length = 500)]
        redirect_uri: String,
        /// The verifier of the request's `code_challenge` (RFC 7636).
        #[schema(max_length = 128)]
        code_verifier: String,
    }
}

/// Tokens of an application (OpenID Connect Core 1.0, 3.1.3.3).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenResponse {
    access_token: String,
    /// `Bearer`.
    token_type: &'static str,
    /// For how many seconds the access token is valid.
    expires_in: i64,
    /// Who the user is, signed.
    id_token: String,
    scope: String,
}

/// Exchange a code for tokens
///
/// Returns an ID token and an access token for a code. A code is valid for 60 seconds and once; a second exchange
/// revokes the access token of the first.
#[utoipa::path(
    post, path = "/{portal}/token", tag = "single sign-on",
    operation_id = "exchange_code",
    params(PortalParams),
    request_body(content = ExchangeCodeRequest, content_type = "application/x-www-form-urlencoded"),
    security((), ("client" = [])),
    responses(
        (status = 200, body = TokenResponse, description = "The tokens"),
        (status = 400, body = OAuthErrorResponse, description = "`invalid_request`, `invalid_grant` or `unsupported_grant_type`"),
        (status = 401, body = OAuthErrorResponse, description = "`invalid_client`"),
    )
)]
pub(crate) async fn exchange_code(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    headers: HeaderMap,
    form: ClientForm,
) -> Result<Json<TokenResponse>, OAuthFailure> {
    let application = authenticate(&app, &policy, &headers, &form, origin.at).await?;
    if form.required("grant_type")? != "authorization_code" {
        let description = "grant_type must be authorization_code";
        return Err(OAuthFailure::new("unsupported_grant_type", description));
    }
    let code = form.required("code")?;
    let redemption = Redemption {
        application,
        redirect_uri: form.required("redirect_uri")?,
        verifier: form.required("code_verifier")?,
    };
    let unknown = || invalid_grant("the code is unknown");
    let token = Token::parse(TokenKind::AuthorizationCode, code).ok_or_else(unknown)?;
    let format = application.access_token_format;
    let mut rng = app.rng();
    for _ in 0..MAX_ATTEMPTS {
        let found = app.store.authorization_code(&policy.portal, &token).await?;
        let Issued {
            item: code,
            account,
            session,
        } = found.ok_or_else(unknown)?;
        let user = account.as_ref().zip(session.as_ref());
        let user = user.map(|(account, session)| User { account, session });
        let context = Context::new(&policy, &origin, &mut rng);
        let redeemed = match rules::redeem(&code, redemption, user, context) {
            Ok(redeemed) => redeemed,
            Err(NotRedeemed::Invalid(description)) => return Err(invalid_grant(description)),
            Err(NotRedeemed::Reused(decision)) => {
                app.commit(*decision, &mut rng).await?;
                return Err(invalid_grant("the code was used before"));
            }
        };
        let decision = redeemed.decision.clone();
        // Signed before the code is used up, so that the application can repeat the request if KMS fails.
        let response = respond(&app, &policy, (&code, redeemed), format).await?;
        match app.commit(decision, &mut rng).await {
            Ok(()) => return Ok(Json(response)),
            // Another request with the code was first.
            Err(CommitError::Stale | CommitError::Taken(_)) => {}
            Err(CommitError::Store(cause)) => return Err(cause.into()),
        }
    }
    Err(Problem::conflict().into())
}

fn invalid_grant(description: &str) -> OAuthFailure {
    OAuthFailure::new("invalid_grant", description)
}

async fn respond(
    app: &App,
    policy: &Policy,
    (code, redeemed): (&AuthorizationCode, Redeemed),
    format: AccessTokenFormat,
) -> Result<TokenResponse, OAuthFailure> {
    let Redeemed {
        token,
        access_token,
        claims,
        ..
    } = redeemed;
    let now = access_token.issued_at;
    let grant = &access_token.grant;
    let expires_in = access_token.expires_at.duration_since(now).as_secs();
    let claims = ClaimsResponse::from(claims);
    let mut claims = serde_json::to_value(claims).map_err(Problem::internal)?;
    claims["iss"] = policy.issuer().into();
    claims["aud"] = grant.application.clone().into();
    claims["iat"] = now.as_second().into();
    claims["exp"] = access_token.expires_at.as_second().into();
    let text = match format {
        AccessTokenFormat::Opaque => token.expose(),
        AccessTokenFormat::Jwt => {
            let mut claims = claims.clone();
            claims["jti"] = token.jwt_id().into();
            claims["client_id"] = grant.application.clone().into();
            claims["scope"] = scope(&access_token).into();
            let signed = app.signer.sign(ACCESS_TOKEN, &claims, now).await;
            Sensitive::new(signed.map_err(Problem::from)?)
        }
    };
    // The left half of the hash binds the access token to the ID token (OpenID Connect Core 1.0, 3.1.3.6).
    let hash = Sha256::digest(text.expose());
    claims["at_hash"] = BASE64URL_NOPAD.encode(&hash[..hash.len() / 2]).into();
    if let Some(nonce) = &code.nonce {
        claims["nonce"] = nonce.clone().into();
    }
    Ok(TokenResponse {
        id_token: app
            .signer
            .sign(ID_TOKEN, &claims, now)
            .await
            .map_err(Problem::from)?,
        access_token: text.expose().to_owned(),
        token_type: "Bearer",
        expires_in,
        scope: scope(&access_token),
    })
}
