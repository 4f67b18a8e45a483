//! `POST /{portal}/authorizations`: opens an application for the user of a session (SO-01, SO-02, SO-04).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::{Application, Policy};
use vestibule_domain::rules::authorization_request::{
    self as requests, AuthorizationRequest, ErrorCode, OAuthError, Parameters, ReturnAddress,
    Unanswerable,
};
use vestibule_domain::rules::single_sign_on::{self as rules, FirstStep, User};
use vestibule_http::oauth::{self, Pairs};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::responses;
use vestibule_http::{App, Body, Caller, Portal, Problem, Visitor, transact};

use crate::with_query;

/// The maximum length of a request's query.
const MAX_QUERY: usize = 8192;

/// The parameter that proves when a request started.
const RESUME: &str = "resume";

/// A request of an application, as the page received it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthorizeRequest {
    /// The query of the page's address, without the `?`.
    #[schema(max_length = 8192, pattern = "^[!-~]+$")]
    query: String,
}

/// The application that the user is about to open.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestedApplication {
    /// Its client id.
    id: String,
    title: String,
}

/// Where the browser goes next.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuthorizationResponse {
    /// The address of the application, with a code or an error. Absent if the user has to do something first.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_to: Option<String>,
    /// What the user has to do first: `sign_in`, or a step of the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
    /// The query to send after that, with a parameter that proves when the request started.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<RequestedApplication>,
}

/// Open an application
///
/// Responds to the authorization request of an application (OpenID Connect Core 1.0, 3.1.2) for the page
/// `authorize`. Without a session, it says that the user has to sign in.
#[utoipa::path(
    post, path = "/{portal}/authorizations", tag = "single sign-on",
    operation_id = "authorize",
    params(PortalParams),
    request_body = AuthorizeRequest,
    security((), ("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AuthorizationResponse, description = "Where the browser goes, or what the user does first"),
        (status = 401, description = "`not-signed-in`: the session ended while the application was being opened"),
        (status = 422, description = "`invalid-authorization-request`: the application or its address is unknown; or `invalid-fields`"),
        FieldProblems,
    )
)]
pub(crate) async fn authorize(
    State(app): State<App>,
    Portal(policy): Portal,
    Visitor(caller): Visitor,
    Body(body): Body<AuthorizeRequest>,
) -> Result<Json<AuthorizationResponse>, Problem> {
    if body.query.len() > MAX_QUERY {
        return Err(Problem::invalid_field(
            "query",
            "must be at most 8192 characters long",
        ));
    }
    let pairs = oauth::pairs(body.query.as_bytes());
    let parameters = Parameters::new(&pairs);
    let (application, address) = requests::return_address(parameters, &policy)
        .map_err(|cause| unanswerable(cause, &policy))?;
    let now = app.clock.now();
    let resumed = parameters.get(RESUME).ok().flatten();
    let started_at =
        resumed.and_then(|text| oauth::started_at(&app, &policy, application, text, now));
    let user = caller.as_ref().map(|caller| User {
        account: &caller.account,
        session: &caller.session,
    });
    let request = AuthorizationRequest::parse(parameters, application);
    let step = request.and_then(|request| {
        let step = rules::first_step(&request, user, started_at, (&policy, now))?;
        Ok((request, step))
    });
    let (request, step) = match step {
        Ok(step) => step,
        Err(error) => return Ok(Json(refused(&error, &address, &policy))),
    };
    if let Some(step) = step {
        let proof = oauth::start_proof(&app, &policy, application, started_at.unwrap_or(now));
        return Ok(Json(first(step, application, &pairs, &proof)));
    }
    // Only a signed-in user has no first step.
    let caller = caller.ok_or_else(Problem::sign_in_first)?;
    let code = open(&app, &caller, &request, (application, &address)).await?;
    let Some(code) = code else {
        let description = "the service of this application is not assigned to the user";
        let error = OAuthError::new(ErrorCode::AccessDenied, description);
        return Ok(Json(refused(&error, &address, &policy)));
    };
    Ok(Json(lead_back(&[("code", &code)], &address, &policy)))
}

/// Issues a code; `None` if the application's service is not assigned to the user, which is recorded.
async fn open(
    app: &App,
    caller: &Caller,
    request: &AuthorizationRequest,
    (application, address): (&Application, &ReturnAddress),
) -> Result<Option<String>, Problem> {
    let organization = caller.organization(app).await?;
    let (_, code) = transact(
        app,
        |attempt| caller.latest(app, attempt),
        |account, rng| {
            let user = User {
                account,
                session: &caller.session,
            };
            let organization = organization.as_ref();
            let context = caller.context(rng);
            let opened = rules::open(request, address, application, user, organization, context);
            Ok(match opened {
                Ok((code, decision)) => (Some(code.expose()), decision),
                Err(refused) => (None, *refused),
            })
        },
    )
    .await?;
    Ok(code.map(|code| code.expose().to_owned()))
}

fn unanswerable(cause: Unanswerable, policy: &Policy) -> Problem {
    let detail = match cause {
        Unanswerable::UnknownApplication => {
            "The application that sent you here is not known to this portal. Go back to the application and report this."
        }
        Unanswerable::UnknownRedirectUri => {
            "The application that sent you here gave an address that is not registered. Go back to the application and report this."
        }
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "invalid-authorization-request",
        "This application can't be opened",
        detail,
    )
    .with_help(policy)
}

/// Returns the response that leads to a step first.
fn first(
    step: FirstStep,
    application: &Application,
    pairs: &Pairs,
    proof: &str,
) -> AuthorizationResponse {
    let next_step = match step {
        FirstStep::SignIn => Some("sign_in"),
        FirstStep::Step(step) => responses::step(Some(step)),
    };
    let others = pairs.iter().filter(|(name, _)| name != RESUME);
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair(RESUME, proof)
        .finish();
    AuthorizationResponse {
        redirect_to: None,
        next_step,
        query: Some(query),
        application: Some(RequestedApplication {
            id: application.id.to_string(),
            title: application.title.to_string(),
        }),
    }
}

fn refused(error: &OAuthError, address: &ReturnAddress, policy: &Policy) -> AuthorizationResponse {
    let parameters = [
        ("error", error.code.into_str()),
        ("error_description", error.description),
    ];
    lead_back(&parameters, address, policy)
}

/// Returns the response that leads to the application, with the issuer that responds (RFC 9207).
fn lead_back(
    parameters: &[(&str, &str)],
    address: &ReturnAddress,
    policy: &Policy,
) -> AuthorizationResponse {
    let issuer = policy.issuer();
    let state = address.state.iter().map(|state| ("state", state.as_str()));
    let parameters = parameters.iter().copied().chain(state);
    let parameters = parameters.chain([("iss", issuer.as_str())]);
    AuthorizationResponse {
        redirect_to: Some(with_query(&address.redirect_uri, parameters)),
        next_step: None,
        query: None,
        application: None,
    }
}
