//! `GET` and `POST /{portal}/end-session`: an application signs its user out everywhere (OpenID Connect
//! RP-Initiated Logout 1.0; SO-03).

use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, StatusCode, header};
use utoipa::{IntoParams, ToSchema};
use vestibule_domain::policy::{Application, Policy};
use vestibule_domain::rules::authorization_request::Parameters;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::ids::AccountId;
use vestibule_http::oauth::{self, ClientForm, OAuthFailure, Pairs};
use vestibule_http::openapi::PortalParams;
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Portal, Problem, sessions};

use crate::{ID_TOKEN, OAuthErrorResponse, with_query};

/// The parameters of a sign-out, in a query or a form.
#[derive(Debug, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[allow(
    dead_code,
    reason = "describes the parameters, which are read leniently as OAuth requires"
)]
pub(crate) struct EndSessionRequest {
    /// The ID token that the application received. Without it, the user confirms on a page of the portal.
    #[param(max_length = 16384)]
    #[schema(max_length = 16384)]
    id_token_hint: Option<String>,
    /// Where the browser goes then, exactly as in the policy.
    #[param(max_length = 500)]
    #[schema(max_length = 500)]
    post_logout_redirect_uri: Option<String>,
    /// Returned to the application.
    #[param(max_length = 2048)]
    #[schema(max_length = 2048)]
    state: Option<String>,
    /// The client id.
    #[param(max_length = 40)]
    #[schema(max_length = 40)]
    client_id: Option<String>,
}

type Redirection = (StatusCode, [(HeaderName, String); 1]);

/// End the session of an ID token
///
/// Ends the session, notifies its other applications, and leads the browser back to the application.
#[utoipa::path(
    get, path = "/{portal}/end-session", tag = "single sign-on",
    operation_id = "end_application_session",
    params(PortalParams, EndSessionRequest),
    responses(
        (status = 303, description = "The next page", headers(("location" = String, description = "The application, or a page of the portal"))),
    )
)]
pub(crate) async fn end_application_session(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    RawQuery(query): RawQuery,
) -> Result<Redirection, Problem> {
    let pairs = oauth::pairs(query.unwrap_or_default().as_bytes());
    end(&app, &policy, &origin, &pairs).await
}

/// End the session of an ID token by POST
///
/// The same as with GET, with the parameters in a form.
#[utoipa::path(
    post, path = "/{portal}/end-session", tag = "single sign-on",
    operation_id = "end_application_session_by_post",
    params(PortalParams),
    request_body(content = EndSessionRequest, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "The next page", headers(("location" = String, description = "The application, or a page of the portal"))),
        (status = 400, body = OAuthErrorResponse, description = "`invalid_request`"),
    )
)]
pub(crate) async fn end_application_session_by_post(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    form: ClientForm,
) -> Result<Redirection, OAuthFailure> {
    Ok(end(&app, &policy, &origin, form.pairs()).await?)
}

async fn end(
    app: &App,
    policy: &Policy,
    origin: &Origin,
    pairs: &Pairs,
) -> Result<Redirection, Problem> {
    let parameters = Parameters::new(pairs);
    let get = |name: &str| parameters.get(name).ok().flatten();
    let hint = match get("id_token_hint") {
        Some(hint) => app.signer.verify(ID_TOKEN, hint, origin.at).await?,
        None => None,
    };
    let text = |name: &str| Some(hint.as_ref()?.get(name)?.as_str()?.to_owned());
    let is_ours = text("iss").is_some_and(|iss| iss == policy.issuer());
    let application = text("aud").filter(|_| is_ours).and_then(|aud| {
        let application = policy.application(&aud)?;
        get("client_id")
            .is_none_or(|id| id == aud)
            .then_some(application)
    });
    let session = text("sub").zip(text("sid"));
    let Some((application, (account, session))) = application.zip(session) else {
        // Nobody vouches for the request, so the user decides on the portal's own page.
        return Ok(redirection(format!("{}/sign-out", policy.site)));
    };
    sign_out(app, policy, origin, (&account, &session)).await?;
    let next = return_to(application, get("post_logout_redirect_uri"), get("state"));
    let next = next.unwrap_or_else(|| format!("{}/signed-out", policy.site));
    Ok(redirection(next))
}

fn redirection(location: String) -> Redirection {
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)])
}

/// Ends a session, if it is still there.
async fn sign_out(
    app: &App,
    policy: &Policy,
    origin: &Origin,
    (account, session): (&str, &str),
) -> Result<(), Problem> {
    let Ok(account) = AccountId::parse(account) else {
        return Ok(());
    };
    let found = app
        .store
        .session_by_id(&policy.portal, &account, session)
        .await?;
    match found {
        Some(session) => sessions::end(app, &session, (policy, origin)).await,
        None => Ok(()),
    }
}

/// Returns the address of the application if it is exactly one of the policy's.
fn return_to(application: &Application, uri: Option<&str>, state: Option<&str>) -> Option<String> {
    let mut own = application.post_logout_redirect_uris.iter();
    let uri = own.find(|own| Some(own.as_str()) == uri)?.as_str();
    let Some(state) = state else {
        return Some(uri.to_owned());
    };
    Some(with_query(uri, [("state", state)]))
}
