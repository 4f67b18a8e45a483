//! Single sign-on: applications sign users in with a client library that nobody here wrote, and every misuse is
//! refused with the error that the standards name.

mod robustness;

use std::collections::BTreeMap;
use std::convert::Infallible;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use futures::future::join_all;
use jiff::SignedDuration;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims,
};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse,
};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_domain::values::text::Sensitive;
use vestibule_http::Clock;
use vestibule_http::oauth::client_secret;
use vestibule_local::instance::at_work;
use vestibule_local::{Options, sample_records};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::PASSWORD;
use vestibule_tests::{World, options, portals_with};

const SITE: &str = "https://groups.harborlight.example";
const ISSUER: &str = "https://groups.harborlight.example/group";
const CLIENT: &str = "enrollment-desk";
const CALLBACK: &str = "https://enrollment.harborlight.example/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The parameters of a request or response.
type Parameters = BTreeMap<String, String>;

fn parameters(pairs: &[(&str, &str)]) -> Parameters {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn challenge(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(verifier))
}

/// Returns a valid authorization request of the enrollment desk.
fn request() -> Parameters {
    parameters(&[
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile email"),
        ("state", "state-1"),
        ("nonce", "nonce-1"),
        ("code_challenge", &challenge(VERIFIER)),
        ("code_challenge_method", "S256"),
    ])
}

fn with(mut parameters: Parameters, name: &str, value: &str) -> Parameters {
    parameters.insert(name.to_owned(), value.to_owned());
    parameters
}

fn without(mut parameters: Parameters, name: &str) -> Parameters {
    parameters.remove(name);
    parameters
}

fn query(parameters: &Parameters) -> String {
    serde_urlencoded::to_string(parameters).unwrap()
}

/// Sends an authorization request as the page does.
async fn authorize(person: &Person, parameters: &Parameters) -> Response {
    let body = json!({ "query": query(parameters) });
    person.post("/authorizations", body).await
}

/// Returns the address and the parameters to which a response leads.
fn redirection(response: &Response) -> (String, Parameters) {
    let to = response.text_at("/redirect_to");
    let (address, query) = to
        .split_once('?')
        .unwrap_or_else(|| panic!("{}", response.text));
    (
        address.to_owned(),
        serde_urlencoded::from_str(query).unwrap(),
    )
}

/// Opens the application for a user and returns the code.
async fn code(person: &Person) -> String {
    let response = authorize(person, &request()).await.expect(200);
    let (address, answer) = redirection(&response);
    assert_eq!(
        (address.as_str(), answer["iss"].as_str()),
        (CALLBACK, ISSUER),
        "{answer:?}"
    );
    assert_eq!(answer["state"], "state-1");
    answer["code"].clone()
}

/// The secret of an application, as the command prints it.
fn secret(world: &World, portal: &str, application: &str) -> Sensitive {
    let app = &world.instance.app;
    let policy = app.portals.get(portal).unwrap().unwrap();
    client_secret(app, policy, policy.application(application).unwrap())
}

/// Posts a form as the enrollment desk.
async fn post(world: &World, path: &str, form: &Parameters) -> Response {
    let secret = secret(world, "group", CLIENT);
    let request = world.on("group").request(Method::POST, path);
    Response::to(request.basic_auth(CLIENT, Some(secret.expose())).form(form)).await
}

fn exchange(code: &str) -> Parameters {
    parameters(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ])
}

async fn redeem(world: &World, code: &str) -> Response {
    post(world, "/token", &exchange(code)).await
}

/// Opens the application for a user and returns its access token.
async fn token(world: &World, person: &Person) -> String {
    let tokens = redeem(world, &code(person).await).await.expect(200);
    tokens.text_at("/access_token").to_owned()
}

async fn userinfo(world: &World, token: &str) -> Response {
    world.on("group").with_token(token).get("/userinfo").await
}

async fn introspect(world: &World, token: &str) -> Response {
    let form = parameters(&[("token", token)]);
    post(world, "/introspect", &form).await.expect(200)
}

/// Asserts that a token gives nothing any more.
async fn is_over(world: &World, token: &str, why: &str) {
    let refused = userinfo(world, token).await;
    assert_eq!(
        (refused.status, refused.text_at("/error")),
        (401, "invalid_token"),
        "{why}"
    );
    let introspected = introspect(world, token).await;
    assert_eq!(introspected.body, json!({ "active": false }), "{why}");
}

/// Returns an HTTP client of the library that finds the portal at this machine.
fn transport(world: &World) -> impl AsyncFn(HttpRequest) -> Result<HttpResponse, Infallible> {
    let (base, http) = (world.base.clone(), reqwest::Client::new());
    async move |request: HttpRequest| {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string().replacen(SITE, &base, 1);
        let sent = http
            .request(parts.method, url)
            .headers(parts.headers)
            .body(body);
        let response = sent.send().await.unwrap();
        let mut answer = HttpResponse::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        *answer.body_mut() = response.bytes().await.unwrap().to_vec();
        Ok(answer)
    }
}

#[tokio::test]
async fn so_01_an_unmodified_client_library_signs_a_user_in() {
    // The library compares the times in tokens with the clock of the machine.
    let world = World::with(Options {
        clock: Clock::System,
        ..options()
    })
    .await;
    let ruth = world.group_principal().await;
    let http = transport(&world);
    let http = |request| http(request);

    let issuer = IssuerUrl::new(ISSUER.to_owned()).unwrap();
    let provider = CoreProviderMetadata::discover_async(issuer, &http)
        .await
        .unwrap();
    let secret = secret(&world, "group", CLIENT);
    let secret = ClientSecret::new(secret.expose().to_owned());
    let id = ClientId::new(CLIENT.to_owned());
    let client = CoreClient::from_provider_metadata(provider, id, Some(secret))
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());

    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("profile".to_owned()))
        .add_scope(Scope::new("email".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    // The browser is led to the page, which sends the query.
    assert!(url.as_str().starts_with(&format!("{SITE}/authorize?")));
    let body = json!({ "query": url.query() });
    let response = ruth.post("/authorizations", body).await.expect(200);
    let (_, answer) = redirection(&response);
    assert_eq!(&answer["state"], state.secret());

    let tokens = client
        .exchange_code(AuthorizationCode::new(answer["code"].clone()))
        .unwrap()
        .set_pkce_verifier(verifier)
        .request_async(&http)
        .await
        .unwrap();
    let id_token = tokens.id_token().unwrap();
    let verifier = client.id_token_verifier();
    let claims = id_token.claims(&verifier, &nonce).unwrap();
    assert_eq!(claims.subject().as_str(), ruth.id().await);
    let expected = openidconnect::AccessTokenHash::from_token(
        tokens.access_token(),
        id_token.signing_alg().unwrap(),
        id_token.signing_key(&verifier).unwrap(),
    );
    assert_eq!(claims.access_token_hash(), Some(&expected.unwrap()));

    let userinfo: CoreUserInfoClaims = client
        .user_info(
            tokens.access_token().clone(),
            Some(claims.subject().clone()),
        )
        .unwrap()
        .request_async(&http)
        .await
        .unwrap();
    let username = userinfo.preferred_username().unwrap();
    assert_eq!(username.as_str(), "ruth.okafor");
    assert_eq!(userinfo.email().unwrap().as_str(), "ruth@blueheron.example");
}

#[tokio::test]
async fn so_01_discovery_promises_only_what_works() {
    let world = World::new().await;
    let visitor = world.on("group");
    let found = visitor
        .get("/.well-known/openid-configuration")
        .await
        .expect(200);
    let found = found.has("/issuer", ISSUER);
    let found = found.has("/authorization_endpoint", &format!("{SITE}/authorize"));
    for (endpoint, form) in [
        ("token_endpoint", true),
        ("introspection_endpoint", true),
        ("revocation_endpoint", true),
        ("userinfo_endpoint", false),
        ("jwks_uri", false),
        ("end_session_endpoint", false),
    ] {
        let url = found.text_at(&format!("/{endpoint}"));
        let path = url.strip_prefix(ISSUER).unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let http = http.build().unwrap();
        let url = format!("{}/group{path}", world.base);
        let response = match form {
            true => http.post(url).form(&parameters(&[])).send().await,
            false => http.get(url).send().await,
        };
        assert!(
            [200, 303, 401].contains(&response.unwrap().status().as_u16()),
            "{path}"
        );
    }
    let keys = visitor.get("/jwks.json").await.expect(200);
    let keys = keys.body["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    for key in keys {
        assert_eq!(
            (&key["kty"], &key["alg"], &key["use"]),
            (&json!("RSA"), &json!("RS256"), &json!("sig"))
        );
        assert_eq!(key.get("d"), None, "no private part");
    }
    // A portal without applications is a provider too; one that doesn't exist is none.
    world
        .on("help-desk")
        .get("/.well-known/openid-configuration")
        .await
        .expect(200);
    world
        .on("nowhere")
        .get("/.well-known/openid-configuration")
        .await
        .expect(404);
}

#[tokio::test]
async fn so_02_an_application_learns_organization_role_services_and_group_codes() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let tokens = redeem(&world, &code(&sam).await).await.expect(200);
    assert_eq!(tokens.body["token_type"], "Bearer");
    assert_eq!(tokens.body["expires_in"], 600);
    assert_eq!(tokens.body["scope"], "openid profile email");
    let now = world.now();
    let id_token = tokens.text_at("/id_token");
    let app = &world.instance.app;
    let claims = app
        .signer
        .verify("JWT", id_token, now)
        .await
        .unwrap()
        .unwrap();
    let organization = sam.get("/me").await.text_at("/organization/id").to_owned();
    let expected = json!({
        "organization": { "id": organization, "name": "Blue Heron Manufacturing", "number": "GR20001" },
        "roles": ["user"],
        "entitlements": ["enrollment"],
        "groups": ["BH01"],
        "name": "Sam Lind",
        "given_name": "Sam",
        "family_name": "Lind",
        "preferred_username": "sam.lind",
        "email": "sam@blueheron.example",
        "acr": "http://idmanagement.gov/ns/assurance/aal/1",
        "amr": ["pwd"],
        "sub": sam.id().await,
        "auth_time": now.as_second(),
    });
    let userinfo = userinfo(&world, tokens.text_at("/access_token"))
        .await
        .expect(200);
    let introspected = introspect(&world, tokens.text_at("/access_token")).await;
    for (name, value) in expected.as_object().unwrap() {
        for found in [&claims, &userinfo.body, &introspected.body] {
            assert_eq!(&found[name], value, "{name}");
        }
    }
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["nonce"]),
        (&json!(ISSUER), &json!(CLIENT), &json!("nonce-1"))
    );
    assert_eq!(claims["exp"].as_i64().unwrap(), now.as_second() + 600);
    assert_eq!(
        (
            &introspected.body["active"],
            &introspected.body["client_id"]
        ),
        (&json!(true), &json!(CLIENT))
    );

    // Without the scopes, the name and the address stay unknown.
    let request = with(request(), "scope", "openid unknown");
    let answer = redirection(&authorize(&sam, &request).await).1;
    let tokens = redeem(&world, &answer["code"]).await.expect(200);
    assert_eq!(tokens.body["scope"], "openid");
    let userinfo = self::userinfo(&world, tokens.text_at("/access_token"))
        .await
        .expect(200);
    for name in [
        "name",
        "given_name",
        "family_name",
        "preferred_username",
        "email",
    ] {
        assert_eq!(userinfo.body.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn so_02_a_user_without_the_service_gets_no_code_and_the_attempt_is_recorded() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = sam.id().await;
    let access = json!({ "role": "user", "services": ["billing"], "group_codes": [] });
    ruth.put(&format!("/users/{id}/access"), access)
        .await
        .expect(200);
    let (_, answer) = redirection(&authorize(&sam, &request()).await);
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(
        world.refusals("authorize_application").await,
        ["service_not_assigned"]
    );
    // Opening it with the service is on the audit trail, too.
    token(&world, &ruth).await;
    let trail = world.dump().await;
    for action in ["authorize_application", "open_application"] {
        assert!(trail.iter().any(|entry| entry.contains(action)), "{action}");
    }
}

#[tokio::test]
async fn so_05_redirect_addresses_are_compared_exactly_and_the_browser_stays_on_the_portal() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for address in [
        "https://enrollment.harborlight.example/callback/",
        "https://enrollment.harborlight.example/callback2",
        "https://enrollment.harborlight.example/callback?next=1",
        "https://enrollment.harborlight.example/callback#part",
        "https://enrollment.harborlight.example/Callback",
        "https://ENROLLMENT.harborlight.example/callback",
        "https://enrollment.harborlight.example:443/callback",
        "http://enrollment.harborlight.example/callback",
        "https://enrollment.harborlight.example.evil.example/callback",
        "https://evil.example/callback",
        "",
    ] {
        let request = with(request(), "redirect_uri", address);
        for visitor in [&ruth, &world.on("group")] {
            let refused = authorize(visitor, &request).await;
            refused.refused(422, "invalid-authorization-request");
        }
    }
    for client in ["Enrollment-desk", "quote-desk", ""] {
        let request = with(request(), "client_id", client);
        let refused = authorize(&ruth, &request).await;
        refused.refused(422, "invalid-authorization-request");
    }
    // An address or client that is given twice is none.
    for twice in ["redirect_uri", "client_id"] {
        let valid = request();
        let query = format!("{}&{twice}={}", query(&valid), valid[twice]);
        let refused = ruth
            .post("/authorizations", json!({ "query": query }))
            .await;
        refused.refused(422, "invalid-authorization-request");
    }
    // The address of the exchange is that of the request.
    let code = code(&ruth).await;
    let form = with(exchange(&code), "redirect_uri", &format!("{CALLBACK}/"));
    let refused = post(&world, "/token", &form).await;
    assert_eq!(
        (refused.status, refused.text_at("/error")),
        (400, "invalid_grant")
    );
    redeem(&world, &code).await.expect(200);
}

#[tokio::test]
async fn so_01_an_invalid_request_goes_back_to_the_application_with_the_error_of_the_standard() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let long = "x".repeat(2049);
    for (request, error) in [
        (without(request(), "response_type"), "invalid_request"),
        (
            with(request(), "response_type", "token"),
            "unsupported_response_type",
        ),
        (
            with(request(), "response_type", "code id_token"),
            "unsupported_response_type",
        ),
        (
            with(request(), "response_mode", "fragment"),
            "invalid_request",
        ),
        (without(request(), "scope"), "invalid_scope"),
        (with(request(), "scope", "profile"), "invalid_scope"),
        (without(request(), "code_challenge"), "invalid_request"),
        (
            with(request(), "code_challenge", "short"),
            "invalid_request",
        ),
        (
            without(request(), "code_challenge_method"),
            "invalid_request",
        ),
        (
            with(request(), "code_challenge_method", "plain"),
            "invalid_request",
        ),
        (with(request(), "prompt", "none login"), "invalid_request"),
        (with(request(), "max_age", "soon"), "invalid_request"),
        (with(request(), "max_age", "-1"), "invalid_request"),
        (with(request(), "nonce", &long), "invalid_request"),
        (with(request(), "request", "a.b.c"), "request_not_supported"),
        (
            with(request(), "request_uri", "https://a.example"),
            "request_uri_not_supported",
        ),
    ] {
        let response = authorize(&ruth, &request).await.expect(200);
        let (address, answer) = redirection(&response);
        assert_eq!(address, CALLBACK);
        assert_eq!(
            (
                answer["error"].as_str(),
                answer["state"].as_str(),
                answer["iss"].as_str()
            ),
            (error, "state-1", ISSUER),
            "{request:?}"
        );
    }
    let query = format!("{}&nonce=2", query(&request()));
    let response = ruth
        .post("/authorizations", json!({ "query": query }))
        .await;
    assert_eq!(redirection(&response).1["error"], "invalid_request");
    // What the portal doesn't know is ignored.
    code(&ruth).await;
    let response = authorize(&ruth, &with(request(), "unknown", "1")).await;
    assert!(redirection(&response).1.contains_key("code"));
    let long = json!({ "query": "x".repeat(8193) });
    ruth.post("/authorizations", long).await.invalid("query");
}

/// Starts a system whose group portal has two more applications; `page` has no secret.
async fn with_other_applications() -> World {
    let portals = portals_with(
        "group",
        &[],
        "[[application]]\nid = \"other\"\ntitle = \"Other\"\nservice = \"billing\"\nredirect_uris = [\"https://other.example/callback\"]\n\
         [[application]]\nid = \"page\"\ntitle = \"Page\"\nservice = \"billing\"\nauthentication = \"none\"\nredirect_uris = [\"https://page.example/callback\"]\n",
    );
    World::with_portals(&portals).await
}

#[tokio::test]
async fn so_05_a_code_is_for_its_client_its_verifier_and_a_minute() {
    let world = with_other_applications().await;
    let ruth = world.group_principal().await;
    let refused = async |form: Parameters, status: u16, error: &str| {
        let response = post(&world, "/token", &form).await;
        assert_eq!(
            (response.status, response.text_at("/error")),
            (status, error),
            "{form:?}"
        );
    };
    let code = code(&ruth).await;
    let form = || exchange(&code);
    for (form, status, error) in [
        (
            with(form(), "code_verifier", &VERIFIER.replace('d', "e")),
            400,
            "invalid_grant",
        ),
        (with(form(), "code_verifier", "short"), 400, "invalid_grant"),
        (without(form(), "code_verifier"), 400, "invalid_request"),
        (
            with(form(), "grant_type", "password"),
            400,
            "unsupported_grant_type",
        ),
        (without(form(), "grant_type"), 400, "invalid_request"),
        (with(form(), "code", "vo.x.y"), 400, "invalid_grant"),
        (with(form(), "client_id", "other"), 401, "invalid_client"),
    ] {
        refused(form, status, error).await;
    }

    // Another client can't use it, with its own secret or without any.
    let other = secret(&world, "group", "other");
    let request = world.on("group").request(Method::POST, "/token");
    let stolen = Response::to(
        request
            .basic_auth("other", Some(other.expose()))
            .form(&exchange(&code)),
    )
    .await;
    assert_eq!(
        (stolen.status, stolen.text_at("/error")),
        (400, "invalid_grant")
    );
    let request = world.on("group").request(Method::POST, "/token");
    let stolen = Response::to(request.form(&with(exchange(&code), "client_id", "page"))).await;
    assert_eq!(
        (stolen.status, stolen.text_at("/error")),
        (400, "invalid_grant")
    );
    for wrong in ["", "wrong", other.expose()] {
        let request = world.on("group").request(Method::POST, "/token");
        let response = Response::to(
            request
                .basic_auth(CLIENT, Some(wrong))
                .form(&exchange(&code)),
        )
        .await;
        assert_eq!(
            (response.status, response.text_at("/error")),
            (401, "invalid_client")
        );
        assert!(
            response.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic")
        );
    }
    // A confidential client must authenticate, and in one way.
    let request = world.on("group").request(Method::POST, "/token");
    let anonymous = Response::to(request.form(&with(exchange(&code), "client_id", CLIENT))).await;
    assert_eq!(
        (anonymous.status, anonymous.text_at("/error")),
        (401, "invalid_client")
    );
    let own = secret(&world, "group", CLIENT);
    refused(
        with(exchange(&code), "client_secret", own.expose()),
        400,
        "invalid_request",
    )
    .await;

    // None of this used the code up; time does.
    world.pass(SignedDuration::from_secs(59));
    let request = world.on("group").request(Method::POST, "/token");
    let form = with(
        with(exchange(&code), "client_id", CLIENT),
        "client_secret",
        own.expose(),
    );
    Response::to(request.form(&form)).await.expect(200);
    let late = self::code(&ruth).await;
    world.pass(SignedDuration::from_secs(60));
    let response = redeem(&world, &late).await;
    assert_eq!(
        (response.status, response.text_at("/error")),
        (400, "invalid_grant")
    );
}

#[tokio::test]
async fn so_05_a_code_is_used_once_and_reuse_revokes_what_it_gave() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let code = code(&ruth).await;
    let tokens = redeem(&world, &code).await.expect(200);
    let token = tokens.text_at("/access_token");
    userinfo(&world, token).await.expect(200);
    let reused = redeem(&world, &code).await;
    assert_eq!(
        (reused.status, reused.text_at("/error")),
        (400, "invalid_grant")
    );
    is_over(&world, token, "the code was used again").await;
    assert_eq!(world.refusals("open_application").await, ["code_reused"]);
    // The user's session goes on.
    self::token(&world, &ruth).await;
}

#[tokio::test]
async fn so_05_of_fifty_exchanges_at_the_same_time_one_gets_tokens_and_they_are_revoked() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let code = code(&ruth).await;
    let responses = join_all((0..50).map(|_| redeem(&world, &code))).await;
    let (given, refused): (Vec<_>, Vec<_>) = responses.iter().partition(|r| r.status == 200);
    assert_eq!((given.len(), refused.len()), (1, 49));
    for response in refused {
        assert_eq!(
            (response.status, response.text_at("/error")),
            (400, "invalid_grant")
        );
    }
    is_over(
        &world,
        given[0].text_at("/access_token"),
        "the code was used again",
    )
    .await;
}

#[tokio::test]
async fn so_04_a_silent_request_never_asks_the_user() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let silent = with(request(), "prompt", "none");
    let answer = redirection(&authorize(&world.on("group"), &silent).await).1;
    assert_eq!(
        (answer["error"].as_str(), answer["state"].as_str()),
        ("login_required", "state-1")
    );
    let answer = redirection(&authorize(&ruth, &silent).await).1;
    redeem(&world, &answer["code"]).await.expect(200);
    world.invited(&ruth, "Sam", "user").await;
    let sam = world.sign_in("group", "sam.lind").await;
    let answer = redirection(&authorize(&sam, &silent).await).1;
    assert_eq!(answer["error"], "interaction_required");
    // Not silently, the page leads to the step, and names the application.
    let waiting = authorize(&sam, &request()).await.expect(200);
    let waiting = waiting.has("/next_step", "await_approval");
    waiting.has("/application/title", "Enrollment desk");
    let visitor = authorize(&world.on("group"), &request()).await.expect(200);
    visitor.has("/next_step", "sign_in");
}

#[tokio::test]
async fn so_04_an_application_can_require_a_recent_sign_in() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for (name, value) in [("prompt", "login"), ("max_age", "60"), ("max_age", "0")] {
        world.pass(SignedDuration::from_secs(61));
        let request = with(request(), name, value);
        let first = authorize(&ruth, &request).await.expect(200);
        let first = first.has("/next_step", "sign_in");
        let resumed = json!({ "query": first.text_at("/query") });
        // The same session does not count as a new sign-in.
        let again = ruth.post("/authorizations", &resumed).await.expect(200);
        again.has("/next_step", "sign_in");
        world.pass(SignedDuration::from_secs(5));
        let renewed = world.sign_in("group", "ruth.okafor").await;
        let response = renewed.post("/authorizations", &resumed).await.expect(200);
        let tokens = redeem(&world, &redirection(&response).1["code"])
            .await
            .expect(200);
        let userinfo = userinfo(&world, tokens.text_at("/access_token"))
            .await
            .expect(200);
        assert_eq!(userinfo.body["auth_time"], world.now().as_second());
        // Nobody can invent the proof that the request began earlier, or use it for long.
        let (query, proof) = first.text_at("/query").rsplit_once("resume=").unwrap();
        let (at, code) = proof.split_once('.').unwrap();
        let earlier = at.parse::<i64>().unwrap() - 3_600_000;
        let forged = json!({ "query": format!("{query}resume={earlier}.{code}") });
        world.pass(SignedDuration::from_secs(61));
        let response = renewed.post("/authorizations", forged).await.expect(200);
        response.has("/next_step", "sign_in");
    }
    let old = with(request(), "max_age", "3600");
    assert!(
        redirection(&authorize(&ruth, &old).await)
            .1
            .contains_key("code")
    );
}

#[tokio::test]
async fn so_04_an_application_can_require_a_second_factor() {
    let required = "service = \"enrollment\"\nsecond_factor = true";
    let portals = portals_with("group", &[("service = \"enrollment\"", required)], "");
    let by_policy = World::with_portals(&portals).await;
    let by_request = World::new().await;
    let aal2 = "http://idmanagement.gov/ns/assurance/aal/2";
    for (world, request) in [
        (&by_policy, request()),
        (&by_request, with(request(), "acr_values", aal2)),
    ] {
        let ruth = world.group_principal().await;
        let response = authorize(&ruth, &request).await.expect(200);
        response.has("/next_step", "set_up_second_factor");
        let silent = with(request.clone(), "prompt", "none");
        assert_eq!(
            redirection(&authorize(&ruth, &silent).await).1["error"],
            "interaction_required"
        );
        let app = ruth.adds_app(world, "Phone").await;
        // Adding it gives it in this session; another one has to give it.
        let answer = redirection(&authorize(&ruth, &request).await).1;
        let tokens = redeem(world, &answer["code"]).await.expect(200);
        let userinfo = userinfo(world, tokens.text_at("/access_token"))
            .await
            .expect(200);
        assert_eq!(userinfo.body["acr"], aal2);
        assert_eq!(userinfo.body["amr"], json!(["mfa", "otp", "pwd"]));
        world.pass(SignedDuration::from_secs(60));
        let (renewed, _) = world.on("group").sign_in("ruth.okafor", PASSWORD).await;
        let response = authorize(&renewed, &request).await.expect(200);
        response.has("/next_step", "enter_second_factor");
        let code = vestibule_tests::authenticator::app_code(&app, world.now());
        renewed
            .gives_factor(json!({ "factor": { "code": code } }))
            .await
            .expect(200);
        assert!(
            redirection(&authorize(&renewed, &request).await)
                .1
                .contains_key("code")
        );
    }
}

/// An application that listens for notices, and how it answers.
struct Listener {
    address: String,
    received: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    is_down: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Listener {
    async fn start() -> Self {
        use axum::http::StatusCode;
        let received = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let is_down = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (kept, down) = (received.clone(), is_down.clone());
        let take = async move |body: String| {
            if down.load(std::sync::atomic::Ordering::SeqCst) {
                return StatusCode::SERVICE_UNAVAILABLE;
            }
            kept.lock().unwrap().push(body);
            StatusCode::OK
        };
        let router = axum::Router::new().route("/logout", axum::routing::post(take));
        let base = vestibule_local::instance::serve_at_free_port(router)
            .await
            .unwrap();
        Self {
            address: format!("{base}/logout"),
            received,
            is_down,
        }
    }

    /// Returns policies with this as the enrollment desk.
    fn portals(&self) -> TempDir {
        let address = "https://enrollment.harborlight.example/backchannel-logout";
        portals_with("group", &[(address, &self.address)], "")
    }

    /// Returns a system whose enrollment desk this is.
    async fn world(&self) -> World {
        World::with_portals(&self.portals()).await
    }

    fn set_down(&self, is_down: bool) {
        self.is_down
            .store(is_down, std::sync::atomic::Ordering::SeqCst);
    }

    /// Takes the claims of the notices that arrived, whose signatures are right.
    async fn take(&self, world: &World) -> Vec<Value> {
        world.instance.deliver_all().await.unwrap();
        let received = std::mem::take(&mut *self.received.lock().unwrap());
        let mut claims = Vec::new();
        for form in received {
            let form: Parameters = serde_urlencoded::from_str(&form).unwrap();
            let signer = &world.instance.app.signer;
            let token = signer
                .verify("logout+jwt", &form["logout_token"], world.now())
                .await;
            claims.push(token.unwrap().expect("the portal signed it"));
        }
        claims
    }
}

/// Each way in which a person ends the access of an application.
const WAYS: [&str; 7] = [
    "sign-out",
    "end of the session",
    "disabled",
    "deleted",
    "reassigned",
    "password reset",
    "password changed elsewhere",
];

/// A user who opened the enrollment desk.
struct Opened {
    person: Person,
    id: String,
    username: String,
    email: String,
    token: String,
    /// The id of the session.
    sid: String,
}

impl Opened {
    async fn by_staff(world: &World, ruth: &Person, first: &str) -> Self {
        let person = world.staff(ruth, first, "user").await;
        let token = token(world, &person).await;
        let userinfo = userinfo(world, &token).await.expect(200);
        Self {
            id: person.id().await,
            username: format!("{}.lind", first.to_lowercase()),
            email: format!("{}@blueheron.example", first.to_lowercase()),
            sid: userinfo.text_at("/sid").to_owned(),
            token,
            person,
        }
    }

    /// Ends the access in one of the ways.
    async fn ends(&self, world: &World, ruth: &Person, why: &str) {
        let id = &self.id;
        let other = async || world.sign_in("group", &self.username).await;
        match why {
            "sign-out" => drop(self.person.signs_out().await.expect(204)),
            "end of the session" => {
                let path = format!("/sessions/{}", self.sid);
                other().await.delete(&path).await.expect(204);
            }
            "disabled" => {
                let body = json!({ "status": "disabled" });
                ruth.put(&format!("/users/{id}/status"), body)
                    .await
                    .expect(200);
            }
            "deleted" => drop(ruth.delete(&format!("/users/{id}")).await.expect(204)),
            "reassigned" => {
                let body = json!({ "role": "user", "services": ["billing"], "group_codes": [] });
                ruth.put(&format!("/users/{id}/access"), body)
                    .await
                    .expect(200);
            }
            "password reset" => {
                ruth.post(&format!("/users/{id}/password-reset"), json!({}))
                    .await;
                let mail = world.last_mail_to(&self.email).await;
                let token = vestibule_tests::link_token(&mail);
                let body = json!({ "token": token, "new_password": "Entirely-new-7" });
                world
                    .on("group")
                    .post("/password-resets/redemption", body)
                    .await
                    .expect(200);
            }
            _ => {
                let other = other().await;
                let changed = other.changes_password(PASSWORD, "Entirely-new-7");
                changed.await.expect(200);
            }
        }
    }
}

/// Lets an hour pass in which an application gets nothing, and then what the application gets.
async fn an_hour_later(listener: &Listener, world: &World) -> Vec<Value> {
    for _ in 0..12 {
        assert_eq!(listener.take(world).await, Vec::<Value>::new());
        world.pass(SignedDuration::from_mins(5));
    }
    listener.set_down(false);
    let mut notices = Vec::new();
    for _ in 0..13 {
        notices.extend(listener.take(world).await);
        world.pass(SignedDuration::from_mins(5));
    }
    notices
}

#[tokio::test]
async fn so_03_however_access_ends_the_next_call_is_refused_and_the_application_is_notified() {
    let listener = Listener::start().await;
    let world = listener.world().await;
    let ruth = world.group_principal().await;
    for why in WAYS {
        let first = format!("P{}", why.replace([' ', '-'], ""));
        let sam = Opened::by_staff(&world, &ruth, &first).await;
        assert_eq!(
            listener.take(&world).await,
            Vec::<Value>::new(),
            "{why}: not yet"
        );
        sam.ends(&world, &ruth, why).await;
        is_over(&world, &sam.token, why).await;
        let notices = listener.take(&world).await;
        assert_eq!(notices.len(), 1, "{why}: {notices:?}");
        let notice = &notices[0];
        assert_eq!(
            (notice["sid"].as_str(), notice["sub"].as_str()),
            (Some(sam.sid.as_str()), Some(sam.id.as_str())),
            "{why}"
        );
        assert_eq!(
            (notice["iss"].as_str(), notice["aud"].as_str()),
            (Some(ISSUER), Some(CLIENT))
        );
        assert!(notice["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());
        assert_eq!(notice.get("nonce"), None);
        assert_eq!(
            listener.take(&world).await,
            Vec::<Value>::new(),
            "{why}: once"
        );
    }
}

#[tokio::test]
async fn so_03_an_application_that_is_down_for_an_hour_is_notified_afterwards_however_access_ended()
{
    let listener = Listener::start().await;
    let world = listener.world().await;
    let ruth = world.group_principal().await;
    let mut users = Vec::new();
    for why in WAYS {
        let first = format!("P{}", why.replace([' ', '-'], ""));
        users.push((why, Opened::by_staff(&world, &ruth, &first).await));
    }
    listener.set_down(true);
    for (why, sam) in &users {
        sam.ends(&world, &ruth, why).await;
        is_over(&world, &sam.token, why).await;
    }
    let notices = an_hour_later(&listener, &world).await;
    for (why, sam) in &users {
        let of_sam: Vec<_> = notices
            .iter()
            .filter(|n| n["sub"] == sam.id.as_str())
            .collect();
        assert_eq!(of_sam.len(), 1, "{why}: {notices:?}");
        assert_eq!(of_sam[0]["sid"], sam.sid.as_str(), "{why}");
        // The token is current although the end of the access is not.
        let lifetime = of_sam[0]["exp"].as_i64().unwrap() - of_sam[0]["iat"].as_i64().unwrap();
        assert_eq!(lifetime, 120);
    }
    assert_eq!(notices.len(), users.len());
}

#[tokio::test]
async fn so_03_an_end_date_and_an_ended_record_end_access_at_once_and_notify() {
    for is_down in [false, true] {
        let listener = Listener::start().await;
        let world = listener.world().await;
        world.group_principal().await;
        // Twenty minutes before midnight in Chicago.
        world.wait_until("2026-11-24T05:40:00Z");
        let ruth = world.sign_in("group", "ruth.okafor").await;
        let sam = world.staff(&ruth, "Sam", "user").await;
        let opened = token(&world, &sam).await;
        let access = json!({ "role": "user", "services": ["enrollment"], "group_codes": [], "end_date": "2026-11-23" });
        ruth.put(&format!("/users/{}/access", sam.id().await), access)
            .await
            .expect(200);
        userinfo(&world, &opened).await.expect(200);
        assert_eq!(
            listener.take(&world).await,
            Vec::<Value>::new(),
            "the day has not passed"
        );
        world.wait_until("2026-11-24T06:00:00Z");
        is_over(&world, &opened, "the last day has passed").await;
        listener.set_down(is_down);
        world.instance.schedule().await.unwrap();
        let notices = match is_down {
            true => an_hour_later(&listener, &world).await,
            false => listener.take(&world).await,
        };
        assert_eq!(notices.len(), 1);

        let ruth = world.sign_in("group", "ruth.okafor").await;
        let opened = token(&world, &ruth).await;
        let (kind, feed) = (
            RecordKind::Group,
            sample_records::committed(RecordKind::Group),
        );
        let rows: Vec<_> = feed
            .lines()
            .filter(|row| !row.starts_with("GR20001,"))
            .collect();
        let key = format!("feeds/harbor/{}/2026-11-24.full.csv", kind.into_str());
        let importer = world.instance.importer();
        let put = world
            .instance
            .s3
            .put_object()
            .bucket(&importer.bucket)
            .key(&key);
        put.body(rows.join("\n").into_bytes().into())
            .send()
            .await
            .unwrap();
        listener.set_down(is_down);
        at_work("import-records", importer.import(&key, None, |_| {}))
            .await
            .unwrap();
        is_over(&world, &opened, "the record has ended").await;
        let notices = match is_down {
            true => an_hour_later(&listener, &world).await,
            false => listener.take(&world).await,
        };
        assert_eq!(notices.len(), 1);
    }
}

#[tokio::test]
async fn so_03_a_session_that_ends_by_itself_notifies_its_applications() {
    for by_idleness in [true, false] {
        let listener = Listener::start().await;
        let world = listener.world().await;
        let ruth = world.group_principal().await;
        let opened = token(&world, &ruth).await;
        let sid = userinfo(&world, &opened).await.expect(200);
        let sid = sid.text_at("/sid").to_owned();
        // Use keeps the session open: after 30 minutes without, or after eight hours, it ends.
        let uses = if by_idleness { 3 } else { 8 * 60 / 20 - 1 };
        for _ in 0..uses {
            world.pass(SignedDuration::from_mins(20));
            ruth.get("/me").await.expect(200);
            assert_eq!(listener.take(&world).await, Vec::<Value>::new());
        }
        let left = if by_idleness { 31 } else { 20 };
        world.pass(SignedDuration::from_mins(left));
        is_over(&world, &opened, "the session has ended").await;
        let notices = listener.take(&world).await;
        assert_eq!(notices.len(), 1, "{by_idleness}: {notices:?}");
        assert_eq!(notices[0]["sid"], sid.as_str());
        world.pass(SignedDuration::from_hours(24));
        assert_eq!(listener.take(&world).await, Vec::<Value>::new(), "once");
        ruth.get("/me").await.expect(401);
        assert_eq!(invariants(&world).await.pending("mail"), 0);
    }
}

#[tokio::test]
async fn so_03_an_application_signs_its_user_out_with_the_id_token() {
    let listener = Listener::start().await;
    let world = listener.world().await;
    let ruth = world.group_principal().await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let http = http.build().unwrap();
    let end = async |form: &Parameters, by_post: bool| {
        let url = format!("{}/group/end-session", world.base);
        let request = match by_post {
            true => http.post(url).form(form),
            false => http.get(url).query(form),
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 303);
        response.headers()["location"].to_str().unwrap().to_owned()
    };
    let home = "https://enrollment.harborlight.example/";
    for by_post in [false, true] {
        let sam = world.sign_in("group", "ruth.okafor").await;
        let tokens = redeem(&world, &code(&sam).await).await.expect(200);
        let hint = tokens.text_at("/id_token");
        let access_token = tokens.text_at("/access_token");
        // Without a token of the portal, nothing ends, and the user decides on the portal's page.
        let (message, _) = hint.rsplit_once('.').unwrap();
        let forged = format!("{message}.AAAA");
        let unsigned = format!(
            "eyJhbGciOiJub25lIn0.{}.",
            message.split_once('.').unwrap().1
        );
        for hint in [
            None,
            Some("x"),
            Some(forged.as_str()),
            Some(unsigned.as_str()),
            Some(access_token),
        ] {
            let mut form = parameters(&[("post_logout_redirect_uri", home)]);
            form.extend(hint.map(|hint| ("id_token_hint".to_owned(), hint.to_owned())));
            assert_eq!(
                end(&form, by_post).await,
                format!("{SITE}/sign-out"),
                "{hint:?}"
            );
        }
        let other = parameters(&[("id_token_hint", hint), ("client_id", "other")]);
        assert_eq!(end(&other, by_post).await, format!("{SITE}/sign-out"));
        userinfo(&world, access_token).await.expect(200);
        let form = parameters(&[
            ("id_token_hint", hint),
            ("post_logout_redirect_uri", home),
            ("state", "a b"),
        ]);
        assert_eq!(end(&form, by_post).await, format!("{home}?state=a+b"));
        is_over(&world, access_token, "signed out").await;
        sam.get("/me").await.expect(401);
        assert_eq!(listener.take(&world).await.len(), 1);
        // Again, and to another address: the browser stays on the portal.
        let form = with(form, "post_logout_redirect_uri", "https://evil.example/");
        assert_eq!(end(&form, by_post).await, format!("{SITE}/signed-out"));
    }
    ruth.get("/me").await.expect(200);
}

#[tokio::test]
async fn so_05_an_application_revokes_and_introspects_only_its_own_tokens() {
    let world = with_other_applications().await;
    let ruth = world.group_principal().await;
    let token = token(&world, &ruth).await;
    let form = parameters(&[("token", &token)]);
    let other = secret(&world, "group", "other");
    let by_other = async |path: &str| {
        let request = world.on("group").request(Method::POST, path);
        Response::to(
            request
                .basic_auth("other", Some(other.expose()))
                .form(&form),
        )
        .await
    };
    let introspected = by_other("/introspect").await.expect(200);
    assert_eq!(introspected.body, json!({ "active": false }));
    let revoked = by_other("/revoke").await;
    assert_eq!(
        (revoked.status, revoked.text_at("/error")),
        (400, "unauthorized_client")
    );
    let page = with(form.clone(), "client_id", "page");
    for path in ["/introspect", "/revoke"] {
        let request = world.on("group").request(Method::POST, path);
        let response = Response::to(request.form(&page)).await;
        let error = if path == "/revoke" {
            (400, "unauthorized_client")
        } else {
            (401, "invalid_client")
        };
        assert_eq!((response.status, response.text_at("/error")), error);
        let request = world.on("group").request(Method::POST, path);
        let anonymous = Response::to(request.form(&form)).await;
        assert_eq!(
            (anonymous.status, anonymous.text_at("/error")),
            (401, "invalid_client")
        );
    }
    userinfo(&world, &token).await.expect(200);
    post(&world, "/revoke", &form).await.expect(200);
    is_over(&world, &token, "revoked").await;
    post(&world, "/revoke", &form).await.expect(200);
    let unknown = parameters(&[("token", "unknown")]);
    post(&world, "/revoke", &unknown).await.expect(200);
    for path in ["/introspect", "/revoke"] {
        let empty = post(&world, path, &parameters(&[])).await;
        assert_eq!(
            (empty.status, empty.text_at("/error")),
            (400, "invalid_request")
        );
    }
    // A session is no access token, and an access token is no session.
    let (person, _) = world.on("group").sign_in("ruth.okafor", PASSWORD).await;
    let token = self::token(&world, &person).await;
    world
        .on("group")
        .with_token(&token)
        .get("/me")
        .await
        .expect(401);
    let anonymous = world.on("group").get("/userinfo").await.expect(401);
    assert!(anonymous.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn so_01_keys_rotate_while_users_sign_in() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let kms = &world.instance.keys().kms;
    let alias = "alias/vestibule-signing";
    let keys = async || {
        let keys = world.on("group").get("/jwks.json").await.expect(200);
        let keys = keys.body["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let kid = |tokens: &Response| {
        let (header, _) = tokens.text_at("/id_token").split_once('.').unwrap();
        let header = BASE64URL_NOPAD.decode(header.as_bytes()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        header["kid"].as_str().unwrap().to_owned()
    };
    let before = keys().await;
    let first = redeem(&world, &code(&ruth).await).await.expect(200);
    assert_eq!(kid(&first), before[0]);

    // The aliases change places between the request and the exchange.
    let code = code(&ruth).await;
    let target = async |name: &str| {
        let found = kms
            .get_public_key()
            .key_id(format!("{alias}-{name}"))
            .send()
            .await;
        found.unwrap().key_id.unwrap()
    };
    let (current, next) = (target("current").await, target("next").await);
    for (name, key) in [("current", next), ("next", current)] {
        let moved = kms.update_alias().alias_name(format!("{alias}-{name}"));
        moved.target_key_id(key).send().await.unwrap();
    }
    // Whoever has not noticed signs with the former key, which is still published.
    let between = redeem(&world, &code).await.expect(200);
    assert!(keys().await.contains(&kid(&between)));
    world.pass(SignedDuration::from_mins(6));
    let after = keys().await;
    assert_eq!(after, [before[1].clone(), before[0].clone()]);
    let last = redeem(&world, &self::code(&ruth).await).await.expect(200);
    assert_eq!(kid(&last), before[1]);
    let signer = &world.instance.app.signer;
    for tokens in [&first, &between, &last] {
        let verified = signer
            .verify("JWT", tokens.text_at("/id_token"), world.now())
            .await;
        assert!(verified.unwrap().is_some());
    }
}

#[tokio::test]
async fn so_01_another_website_reaches_only_what_is_for_applications() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let code = code(&ruth).await;
    let secret = secret(&world, "group", CLIENT);
    for (origin, allowed) in [
        ("https://enrollment.harborlight.example", true),
        ("https://evil.example", false),
    ] {
        let request = world.on("group").request(Method::POST, "/token");
        let request = request
            .basic_auth(CLIENT, Some(secret.expose()))
            .header("origin", origin);
        let response = Response::to(request.form(&exchange(&code))).await;
        let cors = response.headers.get("access-control-allow-origin");
        assert_eq!(cors.is_some(), allowed, "{origin}");
        let request = ruth
            .request(Method::POST, "/authorizations")
            .header("origin", origin);
        let body = json!({ "query": query(&self::request()) });
        let refused = Response::to(request.json(&body)).await;
        refused.refused(403, "cross-origin");
        let request = ruth.request(Method::GET, "/me").header("origin", origin);
        let response = Response::to(request).await;
        assert_eq!(response.headers.get("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn so_03_an_access_token_in_the_form_of_a_jwt_ends_at_userinfo_as_any_other() {
    let jwt = "service = \"enrollment\"\naccess_token_format = \"jwt\"";
    let portals = portals_with("group", &[("service = \"enrollment\"", jwt)], "");
    let world = World::with_portals(&portals).await;
    let ruth = world.group_principal().await;
    let token = token(&world, &ruth).await;
    let signer = &world.instance.app.signer;
    let claims = signer.verify("at+jwt", &token, world.now()).await.unwrap();
    let claims = claims.expect("an API can check it without a call");
    assert_eq!(claims["client_id"], CLIENT);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!(ISSUER), &json!(CLIENT))
    );
    assert_eq!(claims["scope"], "openid profile email");
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 600);
    // It is no ID token, and an ID token is no access token.
    assert_eq!(
        signer.verify("JWT", &token, world.now()).await.unwrap(),
        None
    );
    let tokens = redeem(&world, &code(&ruth).await).await.expect(200);
    is_over(&world, tokens.text_at("/id_token"), "an ID token").await;
    let userinfo = userinfo(&world, &token).await.expect(200);
    assert_eq!(userinfo.body["sub"], claims["sub"]);
    assert_eq!(introspect(&world, &token).await.body["active"], true);
    let form = parameters(&[("token", &token)]);
    post(&world, "/revoke", &form).await.expect(200);
    is_over(&world, &token, "revoked").await;
    let other = self::token(&world, &ruth).await;
    ruth.signs_out().await.expect(204);
    is_over(&world, &other, "signed out").await;
}

/// The key of an application that authenticates by `private_key_jwt`.
struct ApplicationKey(EcdsaKeyPair);

impl ApplicationKey {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// Returns policies with this as the key of the enrollment desk.
    fn portals(&self) -> TempDir {
        let point = self.0.public_key().as_ref();
        let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64URL_NOPAD.encode(half));
        let policy = format!(
            "service = \"enrollment\"\nauthentication = \"private_key_jwt\"\njwks = [{{ kid = \"k1\", kty = \"EC\", crv = \"P-256\", x = \"{x}\", y = \"{y}\" }}]"
        );
        portals_with("group", &[("service = \"enrollment\"", &policy)], "")
    }

    /// Returns the claims of a valid assertion.
    fn claims(&self, world: &World, jti: &str) -> Value {
        let expires = world.now().as_second() + 60;
        json!({ "iss": CLIENT, "sub": CLIENT, "aud": format!("{ISSUER}/token"), "jti": jti, "exp": expires })
    }

    fn assertion(&self, claims: &Value) -> String {
        self.signed("k1", claims)
    }

    fn signed(&self, kid: &str, claims: &Value) -> String {
        let encode = |part: &Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
        let header = json!({ "alg": "ES256", "kid": kid });
        let message = format!("{}.{}", encode(&header), encode(claims));
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let signature = self.0.sign(&rng, message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }

    /// Posts a form with an assertion.
    async fn post(&self, world: &World, path: &str, form: Parameters, assertion: &str) -> Response {
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let form = with(form, "client_assertion", assertion);
        let form = with(form, "client_assertion_type", kind);
        let request = world.on("group").request(Method::POST, path);
        Response::to(request.form(&form)).await
    }
}

#[tokio::test]
async fn so_01_an_application_authenticates_with_a_key_of_its_own() {
    let (key, stranger) = (ApplicationKey::new(), ApplicationKey::new());
    let world = World::with_portals(&key.portals()).await;
    let ruth = world.group_principal().await;
    let code = code(&ruth).await;
    let now = world.now().as_second();
    let claims = key.claims(&world, "1");
    let send = async |assertion: &str| key.post(&world, "/token", exchange(&code), assertion).await;
    let altered = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        claims
    };
    let right = key.assertion(&claims);
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", right.split('.').nth(1).unwrap());
    for wrong in [
        stranger.assertion(&claims),
        key.signed("k2", &claims),
        key.assertion(&altered("iss", json!("other"))),
        key.assertion(&altered("sub", json!("other"))),
        key.assertion(&altered("aud", json!("https://other.example"))),
        key.assertion(&altered("aud", json!([ISSUER, "https://other.example"]))),
        key.assertion(&altered("exp", json!(now - 120))),
        key.assertion(&altered("exp", json!(now + 3600))),
        key.assertion(&altered("exp", Value::Null)),
        key.assertion(&altered("jti", Value::Null)),
        key.assertion(&altered("jti", json!(""))),
        key.assertion(&altered("nbf", json!(now + 120))),
        unsigned,
        "x".to_owned(),
    ] {
        let response = send(&wrong).await;
        assert_eq!(
            (response.status, response.text_at("/error")),
            (401, "invalid_client"),
            "{wrong}"
        );
    }
    // A secret is not enough, even if it is the one that would be derived.
    let refused = redeem(&world, &code).await;
    assert_eq!(
        (refused.status, refused.text_at("/error")),
        (401, "invalid_client")
    );
    // None of these used the id of the assertion up.
    send(&right).await.expect(200);
    // It counts once (RFC 7523, 3), and until it expires no other with its id does.
    for repeated in [right, key.assertion(&altered("exp", json!(now + 120)))] {
        let again = send(&repeated).await;
        assert_eq!(
            (again.status, again.text_at("/error")),
            (401, "invalid_client")
        );
    }
    let mut array = altered("aud", json!([ISSUER]));
    array["jti"] = json!("2");
    let response = send(&key.assertion(&array)).await;
    assert_eq!(
        response.text_at("/error"),
        "invalid_grant",
        "the code was used"
    );
}
