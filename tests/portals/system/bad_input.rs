//! Any invalid input results in a problem that names the field, never in a server error.
//!
//! The invalid input is derived from the OpenAPI document. A new endpoint or field without an
//! example here fails the test.

use std::cell::Cell;
use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use reqwest::Method;
use serde_json::{Map, Value, json};
use vestibule_local::openapi::openapi;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{
    PASSWORD, agent, dental, group_principal, hint, member, provider, security_answers, with,
    without,
};
use vestibule_tests::{World, link_token, pin_in, portals_with};

use super::openapi::{is_for_applications, operations, resolve};

/// The maximum size of a response to invalid input, in bytes, however large the input.
const SMALL: usize = 6_000;

const MAX_BODY_BYTES: usize = vestibule_http::request::MAX_BODY_BYTES;

thread_local! {
    static SENT: Cell<u32> = const { Cell::new(0) };
}

/// Sends each request from another address, so that nothing is rate limited.
fn from_elsewhere(client: &Person) -> Person {
    let n = SENT.replace(SENT.get() + 1);
    client.from_source(&format!(
        "10.{}.{}.{}",
        n >> 16 & 255,
        n >> 8 & 255,
        n & 255
    ))
}

/// An endpoint with a request body: how it is called, and a valid body.
struct Endpoint {
    method: Method,
    route: String,
    path: String,
    client: Person,
    body: Value,
    /// Texts that are refused, but not for their format, such as an unknown username or token.
    looked_up: &'static [&'static str],
}

impl Endpoint {
    async fn send(&self, body: &Value) -> Response {
        from_elsewhere(&self.client)
            .send(self.method.clone(), &self.path, Some(body))
            .await
    }

    async fn send_text(&self, content_type: Option<&str>, body: impl Into<Vec<u8>>) -> Response {
        let mut request = from_elsewhere(&self.client)
            .request(self.method.clone(), &self.path)
            .body(body.into());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Response::to(request).await
    }
}

/// A system in which campaigns start an hour later on the producer portal.
async fn world_in_campaigns() -> World {
    let portals = portals_with(
        "producer",
        &[("America/Chicago", "Asia/Shanghai")],
        r#"
[[campaign]]
kind = "re_registration"
start = 2026-11-24
cutoff = 2027-11-24
transition_days = 90
[[campaign]]
kind = "release_usernames"
on = 2026-11-24
created_before = 2026-11-24
"#,
    );
    World::with_portals(&portals).await
}

/// All endpoints with a body, each with a body that is valid now.
async fn endpoints(world: &World) -> Vec<Endpoint> {
    let producer = with(agent(), "/registration_type", "producer");
    world.register("producer", producer.clone()).await;
    let ortega = json!({ "agent_id": "AG10002", "ssn_last4": "7310" });
    let luis = with(producer, "/verification", ortega.clone());
    let luis = with(with(luis, "/first_name", "Luis"), "/last_name", "Ortega");
    let luis = with(luis, "/email", "luis@ortega.example");
    world
        .register("producer", with(luis, "/username", "luis.ortega"))
        .await;
    world.pass(SignedDuration::from_hours(1));
    // Both have to choose a username; one of them has, and has to register again.
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let luis = world.sign_in("producer", "luis.ortega").await;
    let chosen = json!({ "username": "luis.ortega" });
    luis.put("/me/username", chosen).await.expect(200);
    let number = json!({ "agent_id": "AG10012", "ssn_last4": "6948" });
    let latoya = with(
        with(agent(), "/verification", number),
        "/username",
        "latoya.castaneda",
    );
    let latoya = with(latoya, "/email", "latoya@castaneda.example");
    world.register("agent", latoya).await;
    let latoya = world.sign_in("agent", "latoya.castaneda").await;
    let ruth = world.group_principal().await;
    ruth.adds_app(world, "Phone").await;
    let sam = world.invited(&ruth, "Sam", "user").await;
    let kim = world
        .invite(&ruth, "Kim", "kim@blueheron.example", "user")
        .await;
    let lee = world
        .invite(&ruth, "Lee", "lee@blueheron.example", "user")
        .await;
    let (helen, helens_name) = world.provider().await;
    let (added, code) = world.added_by(&helen, "Ivy").await;
    let maria = world.member().await;
    let letters = world.letters().await;
    let pin = letters
        .iter()
        .find(|l| l.contains("Alvarez"))
        .map(|l| pin_in(l, 6))
        .unwrap();
    let omar = {
        world.register("practice", dental()).await;
        world.sign_in("practice", "omar.haddad").await
    };
    // A user to manage, one who confirms an email address, and one who has forgotten the password.
    world.staff(&ruth, "Tess", "user").await;
    let tess = ruth
        .searches_users("tess.lind")
        .await
        .text_at("/items/0/id")
        .to_owned();
    let reset_helen = reset_token(world, "provider", &helens_name, "helen@lakeside.example").await;
    let reset_tess = reset_token(world, "group", "tess.lind", "tess@blueheron.example").await;
    // An office manager, and a user whom another organization has invited.
    let mona = {
        let body = with(dental(), "/registration_type", "office_manager");
        let verification = json!({ "provider_id": "PV30001", "tax_id": "003456789" });
        let body = with(
            with(body, "/verification", verification),
            "/username",
            "mona.office",
        );
        world
            .register("practice", with(body, "/email", "mona@lakeside.example"))
            .await;
        world.sign_in("practice", "mona.office").await
    };
    let body = json!({ "email": "mona@other.example", "password": PASSWORD });
    mona.put("/me/email", &body).await.expect(202);
    let confirmation = link_token(&world.last_mail_to("mona@other.example").await);
    let employer = without(
        with(group_principal(), "/registration_type", "employer"),
        "/attests_signing_authority",
    );
    world.register("employer", employer.clone()).await;
    let ruth_at_work = world.sign_in("employer", "ruth.okafor").await;
    let small = with(
        employer,
        "/verification",
        json!({ "group_number": "GR20002", "tax_id_last4": "5678" }),
    );
    let small = with(
        with(small, "/username", "pat.cedar"),
        "/email",
        "pat@cedar.example",
    );
    world.register("employer", small).await;
    let pat = world.sign_in("employer", "pat.cedar").await;
    let invited_ruth = world
        .invite(&pat, "Ruth", "ruth@blueheron.example", "user")
        .await;
    let body = json!({ "email": "pat@other.example", "password": PASSWORD });
    pat.put("/me/email", &body).await.expect(202);
    let cancellation = link_token(&world.last_mail_to("pat@cedar.example").await);
    let additional = json!({
        "registration_type": "practice", "verification": { "provider_id": "PV30002", "tax_id": "004567890" }, "attests_signing_authority": true,
        "postal_address": provider()["postal_address"], "accepted_agreements": {},
    });
    let blue_heron = ruth.get("/me").await.text_at("/organization/id").to_owned();
    let publication = helen.get("").await.text_at("/publications/0/id").to_owned();
    let desk = world.help_desk().await;
    // Accounts for the help desk's actions.
    let of_desk =
        |portal: &str, id: &str, method: Method, act: &str, body: Value, looked_up| Endpoint {
            method,
            route: format!("/{{portal}}/accounts/{{account_portal}}/{{id}}/{act}"),
            path: format!("/accounts/{portal}/{id}/{act}"),
            client: desk.agent.clone(),
            body: with(body, "/reason", "The owner called"),
            looked_up,
        };
    let maria_id = maria.get("/me").await.text_at("/id").to_owned();
    let ruth_id = ruth.get("/me").await.text_at("/id").to_owned();
    let carla = {
        world.added_by(&helen, "Carla").await;
        let found = helen.searches_users("carla").await;
        found.text_at("/items/0/id").to_owned()
    };
    let billing = with(
        with(provider(), "/registration_type", "billing_agency"),
        "/verification",
        json!({ "provider_id": "PV30005", "tax_id": "007890123" }),
    );
    let billing = with(billing, "/email", "billing@agency.example");
    let billing = world.register("provider", billing).await;
    let billing = billing.text_at("/user_id").to_owned();
    world
        .invite(&ruth, "Pia", "pia@blueheron.example", "user")
        .await;
    let (put_, post_) = (Method::PUT, Method::POST);
    let forgetful = json!({ "registration_type": "member", "verification": member()["verification"], "first_name": "Maria" });

    let on = |portal: &str| world.on(portal);
    let small_group = json!({ "group_number": "GR20002", "tax_id_last4": "5678" });
    let dependent = json!({ "enrollee_id": "100200301", "subscriber_last_name": "Alvarez", "date_of_birth": "2006-09-30" });
    let facility = with(
        provider(),
        "/verification",
        json!({ "provider_id": "PV30003", "tax_id": "005678901" }),
    );
    let new_user = json!({
        "first_name": "Noa", "last_name": "Lind", "email": "noa@lakeside.example", "role": "user",
        "services": ["claims"], "group_codes": [],
    });
    let staff = with(
        with(
            with(new_user.clone(), "/username", "noa.lind"),
            "/initial_password",
            "Lantern-Moss-41",
        ),
        "/email",
        "noa@riverbend.example",
    );

    let in_review = json!({
        "first_name": "Ann", "last_name": "Lee", "email": "ann@riverbend.example",
        "username": "ann.lee", "initial_password": "Lantern-Moss-41",
    });
    let reviewed = omar.post("/users", in_review).await;
    let reviewed = reviewed.text_at("/id").to_owned();
    omar.post("/access-reviews", json!({})).await.expect(201);

    let one = |method: Method, client: &Person, route: &str, body: Value, looked_up| Endpoint {
        method,
        route: format!("/{{portal}}{route}"),
        path: route.replace("{id}", &sam),
        client: client.clone(),
        body,
        looked_up,
    };
    let post =
        |client: &Person, route: &str, body: Value| one(Method::POST, client, route, body, &[]);
    let of_tess = |route: &str, body: Value| Endpoint {
        path: route.replace("{id}", &tess),
        ..one(Method::PUT, &ruth, route, body, &[])
    };
    vec![
        post(
            &on("group"),
            "/registrations",
            with(
                with(
                    with(group_principal(), "/verification", small_group),
                    "/username",
                    "pat.cedar",
                ),
                "/accepted_agreements",
                json!({}),
            ),
        ),
        post(
            &on("member"),
            "/registrations",
            with(
                with(member(), "/verification", dependent),
                "/username",
                "diego.alvarez",
            ),
        ),
        post(&on("provider"), "/registrations", facility),
        post(&on("agent"), "/registrations", agent()),
        one(
            Method::POST,
            &on("group"),
            "/invitations/look-up",
            json!({ "token": kim }),
            &["token"],
        ),
        one(
            Method::POST,
            &on("group"),
            "/invitations/accept",
            World::acceptance(&lee, "Lee", "lee@blueheron.example", "lee.lind"),
            &["token", "security_answers", "hint"],
        ),
        post(
            &ruth,
            "/invitations",
            json!({ "first_name": "Jo", "last_name": "Lind", "email": "jo@blueheron.example", "role": "user" }),
        ),
        post(&maria, "/pin/activation", json!({ "pin": pin })),
        post(
            &on("provider"),
            "/registration-codes/redemption",
            json!({ "username": added, "registration_code": code, "password": PASSWORD, "hint": hint(), "security_answers": [] }),
        ),
        one(
            Method::POST,
            &on("group"),
            "/sessions",
            json!({ "username": "ruth.okafor", "password": PASSWORD, "token_delivery": "body", "device": "A".repeat(43) }),
            &["username"],
        ),
        post(&helen, "/me/organizations", additional),
        one(
            Method::POST,
            &ruth_at_work,
            "/me/invitations",
            json!({ "token": invited_ruth }),
            &["token"],
        ),
        Endpoint {
            path: "/me/agreements/office_manager_terms/acceptance".into(),
            ..post(
                &mona,
                "/me/agreements/{id}/acceptance",
                json!({ "revision": "2026-10" }),
            )
        },
        post(&helen, "/users", new_user),
        post(&omar, "/users", staff),
        post(
            &ruth,
            "/users/{id}/approval",
            json!({ "services": ["enrollment"], "group_codes": ["BH01"], "end_date": "2027-01-31" }),
        ),
        one(
            Method::PUT,
            &ruth,
            "/sessions/current/password",
            json!({ "current_password": PASSWORD, "new_password": "Other-Brook-63!" }),
            &[],
        ),
        one(
            Method::PUT,
            &ruth,
            "/sessions/current/organization",
            json!({ "organization_id": blue_heron }),
            &[],
        ),
        of_tess(
            "/users/{id}/access",
            json!({ "role": "user", "services": ["enrollment"], "group_codes": ["BH01"], "end_date": "2027-01-31" }),
        ),
        of_tess("/users/{id}/status", json!({ "status": "active" })),
        Endpoint {
            path: format!("/access-reviews/current/users/{reviewed}"),
            ..one(
                Method::PUT,
                &omar,
                "/access-reviews/current/users/{id}",
                json!({ "decision": "confirmed" }),
                &[],
            )
        },
        one(
            Method::PATCH,
            &helen,
            "/me",
            json!({
                "first_name": "Helen", "last_name": "Brandt-Ruiz", "hint": hint(), "password": PASSWORD, "subscriptions": [publication],
                "links": [{ "title": "Journal", "url": "https://journal.example/today" }],
            }),
            &[],
        ),
        one(
            Method::PUT,
            &omar,
            "/me/email",
            json!({ "email": "omar@other.example", "password": PASSWORD }),
            &[],
        ),
        one(
            Method::PUT,
            &dana,
            "/me/username",
            json!({ "username": "dana.whitfield" }),
            &[],
        ),
        one(
            Method::PUT,
            &luis,
            "/me/registration",
            json!({ "verification": ortega, "attests_signing_authority": true }),
            &[],
        ),
        one(
            Method::POST,
            &on("group"),
            "/authorizations",
            json!({ "query": "client_id=enrollment-desk&redirect_uri=https%3A%2F%2Fenrollment.harborlight.example%2Fcallback" }),
            &["query"],
        ),
        one(
            Method::POST,
            &on("practice"),
            "/email-confirmations",
            json!({ "token": confirmation }),
            &["token"],
        ),
        one(
            Method::POST,
            &on("employer"),
            "/email-change-cancellations",
            json!({ "token": cancellation }),
            &["token"],
        ),
        post(
            &ruth,
            "/feedback",
            json!({ "message": "The list of users is slow." }),
        ),
        post(
            &on("group"),
            "/password-resets",
            json!({ "username": "ruth.okafor" }),
        ),
        post(
            &on("group"),
            "/username-reminders",
            json!({ "email": "ruth@blueheron.example" }),
        ),
        post(&on("member"), "/username-recoveries", forgetful.clone()),
        post(
            &on("member"),
            "/username-recoveries/answers",
            with(forgetful, "/security_answers", security_answers()),
        ),
        one(
            Method::POST,
            &on("provider"),
            "/password-resets/look-up",
            json!({ "token": reset_helen }),
            &["token"],
        ),
        one(
            Method::POST,
            &desk.agent,
            "/accounts/search",
            json!({ "portal": "group", "username": "ruth.okafor" }),
            &["portal", "username"],
        ),
        Endpoint {
            path: "/accounts/group/audit-events/users/search".to_owned(),
            ..one(
                Method::POST,
                &desk.agent,
                "/accounts/{account_portal}/audit-events/users/search",
                json!({ "username": "ruth.okafor" }),
                &[],
            )
        },
        one(
            Method::POST,
            &ruth,
            "/audit-events/users/search",
            json!({ "username": "ruth.okafor" }),
            &[],
        ),
        one(
            Method::POST,
            &ruth,
            "/users/search",
            json!({
                "query": "lind", "role": "user", "registration": "registered", "status": "active",
                "idle_since": "2026-11-01T00:00:00Z", "limit": 5,
            }),
            &[],
        ),
        one(
            Method::POST,
            &latoya,
            "/agents/search",
            json!({ "query": "luis", "limit": 5 }),
            &[],
        ),
        one(
            Method::POST,
            &desk.agent,
            "/plan-records/unlock",
            json!({ "portal": "group", "number": "GR20001", "reason": "The caller made the attempts" }),
            &["portal", "number", "reason"],
        ),
        of_desk(
            "group",
            &tess,
            post_.clone(),
            "unlock",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "group",
            &sam,
            post_.clone(),
            "secure",
            json!({ "clear_security_answers": true, "clear_second_factors": true }),
            &["reason"],
        ),
        of_desk(
            "group",
            &ruth_id,
            post_.clone(),
            "password-reset",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "group",
            &ruth_id,
            post_.clone(),
            "second-factor-reset",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "group",
            &tess,
            post_.clone(),
            "reinstatement",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "member",
            &maria_id,
            put_.clone(),
            "username",
            json!({ "username": "maria.ruiz" }),
            &["reason"],
        ),
        of_desk(
            "provider",
            &carla,
            put_.clone(),
            "subscriptions",
            json!({ "subscriptions": [publication] }),
            &["reason"],
        ),
        of_desk(
            "provider",
            &carla,
            post_.clone(),
            "registration-code",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "group",
            &ruth_id,
            post_.clone(),
            "invitation",
            json!({ "email": "pia@blueheron.example" }),
            &["reason", "email"],
        ),
        of_desk(
            "provider",
            &billing,
            post_.clone(),
            "agreements",
            json!({ "agreement": "signatory_agreement", "revision": "2026-01" }),
            &["reason"],
        ),
        of_desk(
            "provider",
            &billing,
            put_.clone(),
            "postal-address",
            json!({ "postal_address": provider()["postal_address"] }),
            &["reason"],
        ),
        of_desk(
            "provider",
            &billing,
            post_.clone(),
            "pin",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "provider",
            &carla,
            post_.clone(),
            "removal",
            json!({}),
            &["reason"],
        ),
        of_desk(
            "provider",
            &billing,
            post_.clone(),
            "record-detachment",
            json!({}),
            &["reason"],
        ),
        // A changed password ends the user's sessions, so these come last.
        one(
            Method::POST,
            &on("group"),
            "/password-resets/redemption",
            json!({ "token": reset_tess, "new_password": "Other-Brook-63!" }),
            &["token"],
        ),
        one(
            Method::POST,
            &on("provider"),
            "/password-resets/redemption",
            json!({ "token": reset_helen, "hint": { "answer": "A green Beetle" }, "new_password": "Other-Brook-63!" }),
            &["token"],
        ),
        post(
            &on("member"),
            "/password-resets/redemption",
            json!({ "username": "maria.ruiz", "security_answers": security_answers(), "new_password": "Other-Brook-63!" }),
        ),
    ]
}

/// The token of a reset link. The first delivery processes the request, the second sends the email.
async fn reset_token(world: &World, portal: &str, username: &str, address: &str) -> String {
    world
        .on(portal)
        .post("/password-resets", json!({ "username": username }))
        .await
        .expect(202);
    world.mails_to(address).await;
    link_token(&world.last_mail_to(address).await)
}

/// Asserts that the response is a small problem with a client error status.
fn problem(response: &Response, what: &str) {
    assert!(
        (400..500).contains(&response.status),
        "{what}: {} {}",
        response.status,
        response.text
    );
    assert_eq!(
        response.headers["content-type"], "application/problem+json",
        "{what}"
    );
    assert_eq!(response.body["status"], response.status, "{what}");
    assert!(
        response.text.len() < SMALL,
        "{what}: the response has {} bytes",
        response.text.len()
    );
}

/// Asserts that the response is a problem that names the field, or a list that contains it.
fn names(response: &Response, field: &str, what: &str) {
    problem(response, what);
    let named = response
        .fields()
        .iter()
        .any(|f| *f == field || field.starts_with(&format!("{f}[")));
    assert!(
        named,
        "{what}: {field} is named, not {:?}",
        response.fields()
    );
}

/// A field of a request: its JSON pointer, its name in problems, and its schema.
#[derive(Debug, Clone)]
struct Field {
    pointer: String,
    name: String,
    kinds: BTreeSet<String>,
    required: bool,
    /// Whether it is an object without additional fields.
    closed: bool,
}

/// Collects all fields in a schema, including nested ones.
fn fields(document: &Value, schema: &Value, at: &Field, out: &mut Vec<Field>) {
    let schema = resolve(document, schema);
    let alternatives = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    if let Some(alternatives) = alternatives {
        let mut at = at.clone();
        if alternatives.iter().any(|a| a["type"] == "null") {
            at.kinds.insert("null".into());
        }
        let solid = alternatives.iter().find(|a| a["type"] != "null").unwrap();
        return fields(document, solid, &at, out);
    }
    let mut here = at.clone();
    match &schema["type"] {
        Value::Array(kinds) => here
            .kinds
            .extend(kinds.iter().map(|k| k.as_str().unwrap().to_owned())),
        kind => {
            here.kinds
                .insert(kind.as_str().unwrap_or("string").to_owned());
        }
    }
    here.closed = schema["additionalProperties"] == false;
    if !here.pointer.is_empty() || here.closed {
        out.push(here.clone());
    }
    let below = |name: String, pointer: String, required: bool| Field {
        pointer,
        name,
        kinds: BTreeSet::new(),
        required,
        closed: false,
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"]
            .as_array()
            .is_some_and(|r| r.contains(&name.as_str().into()));
        let full = if here.name.is_empty() {
            name.clone()
        } else {
            format!("{}.{name}", here.name)
        };
        fields(
            document,
            property,
            &below(full, format!("{}/{name}", here.pointer), required),
            out,
        );
    }
    if schema["items"].is_object() {
        let item = below(
            format!("{}[0]", here.name),
            format!("{}/0", here.pointer),
            false,
        );
        fields(document, &schema["items"], &item, out);
    }
    if schema["additionalProperties"].is_object() {
        let entry = below(
            format!("{}.*", here.name),
            format!("{}/*", here.pointer),
            false,
        );
        fields(document, &schema["additionalProperties"], &entry, out);
    }
}

/// The schema of an endpoint's request.
fn schema_of<'d>(document: &'d Value, endpoint: &Endpoint) -> &'d Value {
    let method = endpoint.method.as_str().to_lowercase();
    &document["paths"][&endpoint.route][method]["requestBody"]["content"]["application/json"]["schema"]
}

/// Adds values for fields of the schema that a body omits.
fn complete(document: &Value, schema: &Value, body: &mut Value) {
    let schema = resolve(document, schema);
    if let Some(alternatives) = schema["oneOf"].as_array() {
        let solid = alternatives.iter().find(|a| a["type"] != "null").unwrap();
        return complete(document, solid, body);
    }
    if body.is_null() {
        *body = match schema["type"]
            .as_array()
            .map_or(&schema["type"], |kinds| &kinds[0])
            .as_str()
        {
            Some("object") => json!({}),
            Some("array") => json!([null]),
            Some("boolean") => json!(false),
            _ => schema["enum"].get(0).cloned().unwrap_or_else(|| json!("x")),
        };
    }
    if body.as_array().is_some_and(Vec::is_empty) {
        *body = json!([null]);
    }
    for item in body.as_array_mut().into_iter().flatten() {
        complete(document, &schema["items"], item);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        complete(document, property, &mut body[name]);
    }
}

/// The fields of an endpoint's request, with lists and maps as in the valid body.
fn fields_of(document: &Value, endpoint: &Endpoint) -> Vec<Field> {
    let schema = schema_of(document, endpoint);
    let whole = Field {
        pointer: String::new(),
        name: String::new(),
        kinds: BTreeSet::new(),
        required: true,
        closed: true,
    };
    let mut described = Vec::new();
    fields(document, schema, &whole, &mut described);
    let mut found = Vec::new();
    for field in described {
        match field.pointer.split_once("/*") {
            Some((map, _)) => {
                for key in endpoint
                    .body
                    .pointer(map)
                    .and_then(Value::as_object)
                    .into_iter()
                    .flat_map(Map::keys)
                {
                    found.push(Field {
                        pointer: field.pointer.replacen('*', key, 1),
                        name: field.name.replacen('*', key, 1),
                        ..field.clone()
                    });
                }
            }
            None => found.push(field),
        }
    }
    found
}

/// Returns the body with a value in a field, or `None` if the field's parent doesn't exist.
fn put(body: &Value, pointer: &str, value: Value) -> Option<Value> {
    let mut body = body.clone();
    if let Some(there) = body.pointer_mut(pointer) {
        *there = value;
        return Some(body);
    }
    let (parent, name) = pointer.rsplit_once('/')?;
    body.pointer_mut(parent)?
        .as_object_mut()?
        .insert(name.to_owned(), value);
    Some(body)
}

/// Operations whose valid body needs an authenticator and works once. `second_factor.rs` and
/// `second_factor_reset.rs` try invalid ones.
const USED_ONCE: [&str; 8] = [
    "PATCH /{portal}/me/second-factors/{id}",
    "POST /{portal}/me/authenticator-apps",
    "POST /{portal}/me/passkeys",
    "POST /{portal}/second-factor-reset-cancellations",
    "POST /{portal}/sessions/current/second-factor-reset",
    "POST /{portal}/sessions/passkey",
    "PUT /{portal}/sessions/current/password-confirmation",
    "PUT /{portal}/sessions/current/second-factor",
];

#[tokio::test]
async fn every_field_of_every_body_is_validated_and_named_in_problems() {
    let world = world_in_campaigns().await;
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let endpoints = endpoints(&world).await;

    let described: BTreeSet<_> = operations()
        .into_iter()
        .filter(|(_, _, operation)| {
            operation["requestBody"]["content"]["application/json"].is_object()
        })
        .map(|(method, path, _)| format!("{method} {path}"))
        .filter(|route| !USED_ONCE.contains(&route.as_str()))
        .collect();
    let tried: BTreeSet<_> = endpoints
        .iter()
        .map(|e| format!("{} {}", e.method, e.route))
        .collect();
    assert_eq!(
        described, tried,
        "every endpoint with a body has an example"
    );

    for endpoint in &endpoints {
        let route = format!("{} {}", endpoint.method, endpoint.route);
        // All fields are present, including those this portal doesn't use: types are checked first.
        let mut full = endpoint.body.clone();
        complete(&document, schema_of(&document, endpoint), &mut full);
        for field in fields_of(&document, endpoint) {
            let there = full.pointer(&field.pointer);
            let what = |how: &str| format!("{route}: {:?} {how}", field.name);
            let named = if field.name.is_empty() {
                "(body)"
            } else {
                &field.name
            };

            // Another type.
            let others = [
                ("string", json!("true")),
                ("number", json!(7)),
                ("number", json!(-1.5e300)),
                ("boolean", json!(true)),
                ("null", Value::Null),
                ("array", json!([[]])),
                ("object", json!({ "a": 1 })),
            ];
            for (kind, value) in others {
                let is_integer = field.kinds.contains("integer") && value.is_i64();
                if field.kinds.contains(kind) || is_integer {
                    continue;
                }
                let Some(body) = put(&full, &field.pointer, value) else {
                    continue;
                };
                let reported = endpoint.send(&body).await;
                names(&reported, named, &what(&format!("as {kind}")));
                assert!(
                    !["struct ", " u8", " u32"]
                        .iter()
                        .any(|word| reported.text.contains(word)),
                    "the code is not revealed: {}",
                    reported.text
                );
            }
            // A missing required field, and an unknown field.
            if field.required && !field.pointer.is_empty() && there.is_some() {
                let reported = endpoint.send(&without(full.clone(), &field.pointer)).await;
                names(&reported, named, &what("missing"));
            }
            if field.closed
                && let Some(Value::Object(fields)) = there
            {
                let in_order = fields.values().cloned().collect::<Vec<_>>();
                let reported = endpoint
                    .send(&put(&full, &field.pointer, in_order.into()).unwrap())
                    .await;
                names(&reported, named, &what("as a list of its fields"));
            }
            if field.closed && there.is_some() {
                let stray = if field.name.is_empty() {
                    "is_admin".to_owned()
                } else {
                    format!("{}.is_admin", field.name)
                };
                let body = put(&full, &format!("{}/is_admin", field.pointer), json!(true)).unwrap();
                names(
                    &endpoint.send(&body).await,
                    &stray,
                    &what("with a stray field"),
                );
                let long = "k".repeat(60_000);
                let body = put(&full, &format!("{}/{long}", field.pointer), json!(true)).unwrap();
                problem(
                    &endpoint.send(&body).await,
                    &what("with a long stray field"),
                );
            }
        }
    }
    all_still_right(&endpoints).await;
}

/// The valid bodies are still accepted after all refusals, so invalid input has changed nothing.
async fn all_still_right(endpoints: &[Endpoint]) {
    for endpoint in endpoints {
        let reported = endpoint.send(&endpoint.body).await;
        assert!(
            (200..300).contains(&reported.status),
            "{} {}: {}",
            endpoint.method,
            endpoint.route,
            reported.text
        );
    }
}

const INVISIBLE: [&str; 7] = [
    "\u{202e}", "\u{2066}", "\u{200b}", "\u{200d}", "\u{feff}", "\u{ad}", "\u{2028}",
];

#[tokio::test]
async fn unusual_texts_are_rejected_with_the_name_of_the_field() {
    let world = world_in_campaigns().await;
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let endpoints = endpoints(&world).await;
    let mut invisible = INVISIBLE.into_iter().cycle();
    for endpoint in &endpoints {
        let route = format!("{} {}", endpoint.method, endpoint.route);
        let mut is_first = true;
        for field in fields_of(&document, endpoint) {
            let Some(text) = endpoint
                .body
                .pointer(&field.pointer)
                .and_then(Value::as_str)
            else {
                continue;
            };
            let mut middle = text.len() / 2;
            while !text.is_char_boundary(middle) {
                middle += 1;
            }
            let (head, tail) = text.split_at(middle);
            let amid = |c: &str| format!("{head}{c}{tail}");
            let is_password = field.name.contains("password");
            let mut texts = vec![
                ("empty", String::new()),
                ("blank", " \u{3000}\t ".to_owned()),
                ("with NUL", amid("\0")),
                ("with a line break", amid("\r\nBcc: all@example.com")),
                ("with an escape sequence", amid("\u{1b}[31m")),
                ("with DEL", amid("\u{7f}")),
                ("very long", "x".repeat(60_000)),
                ("very long in wide letters", "\u{1f512}".repeat(15_000)),
            ];
            // Passwords can contain any character of a keyboard, and feedback is free text.
            if is_password {
                texts.remove(1);
            } else if route.ends_with("/feedback") {
                texts.remove(3);
            } else {
                // A test in the domain shows that texts of every kind refuse all of them. Here, each field gets two.
                for c in invisible.by_ref().take(2) {
                    texts.push(("with an invisible character", amid(c)));
                }
            }
            // The size of a body is limited before its fields are read.
            if std::mem::take(&mut is_first) {
                texts.push(("too long for a body", "x".repeat(100_000)));
            }
            for (how, text) in texts {
                let what = format!("{route}: {} {how}", field.name);
                let large = text.len() > MAX_BODY_BYTES;
                let reported = endpoint
                    .send(&put(&endpoint.body, &field.pointer, json!(text)).unwrap())
                    .await;
                problem(&reported, &what);
                if large {
                    assert_eq!(
                        (reported.status, reported.fields()),
                        (413, vec!["(body)"]),
                        "{what}"
                    );
                } else if !endpoint.looked_up.contains(&field.name.as_str()) {
                    names(&reported, &field.name, &what);
                }
                assert!(
                    !reported.text.contains(&"x".repeat(200)),
                    "{what}: it is not shown back"
                );
            }
        }
    }
    all_still_right(&endpoints).await;
}

#[tokio::test]
async fn a_body_that_is_not_a_json_object_is_rejected() {
    let world = world_in_campaigns().await;
    let endpoints = endpoints(&world).await;
    for (n, endpoint) in endpoints.iter().enumerate() {
        // All endpoints share two extractors, so every fourth endpoint gets all bodies and the others a few of each
        // kind, which show that they use them.
        let is_whole = n % 4 == 0;
        let right = endpoint.body.to_string();
        let json = Some("application/json");
        let refused = async |how: &str,
                             content_type: Option<&str>,
                             body: Vec<u8>,
                             status: u16,
                             field: &str| {
            let what = format!("{} {}: {how}", endpoint.method, endpoint.route);
            let reported = endpoint.send_text(content_type, body).await;
            names(&reported, field, &what);
            assert_eq!(reported.status, status, "{what}: {}", reported.text);
        };
        for (how, text) in [
            ("nothing", String::new()),
            ("blank", " \n".to_owned()),
            ("no JSON", "<registration/>".to_owned()),
            ("a form", "username=ruth&password=x".to_owned()),
            ("cut off", right[..right.len() - 1].to_owned()),
            ("cut off in a text", right[..right.len() / 2].to_owned()),
            ("something after it", format!("{right} {{}}")),
            ("a trailing comma", right.replacen('}', ",}", 1)),
            ("single quotes", right.replace('"', "'")),
            ("a comment", format!("/* hello */ {right}")),
            (
                "half a surrogate",
                right
                    .replacen(": \"", ": \"\\ud800", 1)
                    .replacen(":\"", ":\"\\ud800", 1),
            ),
            (
                "two wrong halves",
                right.replacen(":\"", ":\"\\udc00\\ud800", 1),
            ),
            ("an escape of nothing", right.replacen(":\"", ":\"\\x41", 1)),
            (
                "a raw line break in a text",
                right.replacen(":\"", ":\"\n", 1),
            ),
            ("NaN", "NaN".to_owned()),
        ] {
            let is_tried = is_whole || ["nothing", "no JSON", "cut off"].contains(&how);
            if is_tried && text != right {
                refused(how, json, text.into(), 400, "(body)").await;
            }
        }
        let mut bytes = right.clone().into_bytes();
        let at = bytes.windows(2).position(|w| w == b":\"").map(|at| at + 2);
        if let Some(at) = at {
            bytes.splice(at..at, [0xff, 0xc0, 0x80]);
            refused("no UTF-8", json, bytes, 400, "(body)").await;
        }
        if is_whole {
            let body = right.encode_utf16().flat_map(u16::to_le_bytes).collect();
            refused("a byte order mark and UTF-16", json, body, 400, "(body)").await;
        }

        for (how, text) in [
            ("an array", "[]"),
            ("a text", "\"hello\""),
            ("a number", "7"),
            ("null", "null"),
            ("true", "true"),
        ] {
            if !is_whole && !["an array", "null"].contains(&how) {
                continue;
            }
            let what = format!("{} {}: {how}", endpoint.method, endpoint.route);
            let reported = endpoint.send_text(json, text).await;
            problem(&reported, &what);
            assert!(
                !reported.fields().is_empty() && reported.status == 422,
                "{what}: {}",
                reported.text
            );
        }
        // Deep nesting within the size limit is rejected at some level.
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let depth = 5_000;
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let reported = endpoint.send_text(json, deep.clone()).await;
            problem(&reported, "a deep body");
            let first = endpoint
                .body
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap()
                .clone();
            let rest = with(endpoint.body.clone(), &format!("/{first}"), "DEEP")
                .to_string()
                .replacen("\"DEEP\"", &deep, 1);
            problem(&endpoint.send_text(json, rest).await, "a deep field");
        }
        let twice = format!("{},{}", &right[..right.len() - 1], &right[1..]);
        let reported = endpoint.send_text(json, twice).await;
        problem(&reported, "every field twice");
        assert_eq!(
            reported.body["errors"][0]["detail"], "is given twice",
            "{}",
            reported.text
        );

        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/jsonp"),
            Some("application/json5; charset=utf-8"),
            Some("multipart/form-data; boundary=x"),
        ] {
            if !is_whole && ![None, Some("text/plain")].contains(&content_type) {
                continue;
            }
            refused(
                &format!("as {content_type:?}"),
                content_type,
                right.clone().into(),
                415,
                "content-type",
            )
            .await;
        }
        let large = with(endpoint.body.clone(), "/padding", "x".repeat(1 << 20)).to_string();
        refused("a megabyte", json, large.into(), 413, "(body)").await;
    }
    all_still_right(&endpoints).await;
}

#[tokio::test]
async fn content_types_are_parsed_in_every_valid_form() {
    let world = world_in_campaigns().await;
    for (portal, body) in [("agent", agent()), ("group", group_principal())] {
        for content_type in [
            "Application/JSON",
            "application/json;charset=utf-8",
            "application/json ; profile=\"x\"",
        ] {
            let request = world.on(portal).request(Method::POST, "/registrations");
            let reported = Response::to(
                request
                    .header("content-type", content_type)
                    .body(body.to_string()),
            )
            .await;
            assert_eq!(reported.status, 201, "{content_type}: {}", reported.text);
        }
    }
}

#[tokio::test]
async fn many_errors_result_in_a_short_response() {
    let world = world_in_campaigns().await;
    for field in ["verification", "accepted_agreements"] {
        let many: Map<String, Value> = (0..4_000).map(|n| (format!("k{n}"), json!("v"))).collect();
        let reported = world
            .on("group")
            .registers(with(group_principal(), &format!("/{field}"), many))
            .await;
        problem(&reported, field);
        assert_eq!(reported.fields().len(), 20);
        let long = json!({ "k".repeat(60_000): "v" });
        let reported = world
            .on("group")
            .registers(with(group_principal(), &format!("/{field}"), long))
            .await;
        problem(&reported, field);
        let long = json!({ "k".repeat(60_000): 7 });
        let reported = world
            .on("group")
            .registers(with(group_principal(), &format!("/{field}"), long))
            .await;
        problem(&reported, field);
    }
    let answers: Vec<Value> = (0..500)
        .map(|_| json!({ "question": "?", "answer": "!" }))
        .collect();
    let reported = world
        .on("member")
        .registers(with(member(), "/security_answers", answers))
        .await;
    names(&reported, "security_answers", "five hundred answers");
    let lines: Vec<Value> = (0..500).map(|_| json!("")).collect();
    let reported = world
        .on("provider")
        .registers(with(provider(), "/postal_address/lines", lines))
        .await;
    names(&reported, "postal_address.lines", "five hundred lines");
}

#[tokio::test]
async fn query_parameters_are_validated() {
    let world = world_in_campaigns().await;
    let ruth = world.group_principal().await;
    for first in ["Sam", "Kim", "Lee"] {
        world.invited(&ruth, first, "user").await;
    }
    let page = ruth.get("/users?limit=1").await;
    let of_users = page.text_at("/next_cursor").to_owned();
    assert!(!of_users.is_empty(), "{}", page.text);
    let second = ruth.get(&format!("/users?limit=2&cursor={of_users}")).await;
    assert_eq!((second.status, second.items().len()), (200, 2));
    // A valid cursor of the invitation list, as if there were more than one page.
    let id = ruth
        .get("/invitations")
        .await
        .text_at("/items/0/id")
        .to_owned();
    let of_invitations = data_encoding::BASE64URL_NOPAD.encode(format!("I#{id}").as_bytes());
    let additional = ruth
        .get(&format!("/invitations?cursor={of_invitations}"))
        .await;
    assert_eq!((additional.status, additional.items().len()), (200, 2));

    let huge = "A".repeat(5_000);
    let odd = data_encoding::BASE64URL_NOPAD.encode(b"O#\xff\xfe");
    let of_organization = data_encoding::BASE64URL_NOPAD.encode(b"O");
    for (path, query, field) in [
        ("/users", "order=name".to_owned(), "order"),
        ("/invitations", "order=name".to_owned(), "order"),
        ("/invitations", "limit=5".to_owned(), "limit"),
        ("/users", "limit=5&limit=6".to_owned(), "limit"),
        ("/users", "limit=0".to_owned(), "limit"),
        ("/users", "limit=101".to_owned(), "limit"),
        ("/users", "limit=256".to_owned(), "limit"),
        ("/users", "limit=-1".to_owned(), "limit"),
        ("/users", "limit=ten".to_owned(), "limit"),
        ("/users", "limit=".to_owned(), "limit"),
        ("/users", "limit=1e1".to_owned(), "limit"),
        ("/users", "cursor=".to_owned(), "cursor"),
        ("/users", "cursor=garbage".to_owned(), "cursor"),
        ("/users", "cursor=%00%ff".to_owned(), "cursor"),
        ("/users", format!("cursor={of_invitations}"), "cursor"),
        ("/users", format!("cursor={of_organization}"), "cursor"),
        ("/users", format!("cursor={odd}"), "cursor"),
        ("/users", format!("cursor={huge}"), "cursor"),
        (
            "/users",
            format!("cursor={of_users}&cursor={of_users}"),
            "cursor",
        ),
        ("/users", "role=king".to_owned(), "role"),
        ("/users", "role=".to_owned(), "role"),
        ("/users", "registration=maybe".to_owned(), "registration"),
        ("/users", "status=asleep".to_owned(), "status"),
        ("/users", "idle_since=yesterday".to_owned(), "idle_since"),
        ("/users", "idle_since=2026-13-01".to_owned(), "idle_since"),
        ("/users", "query=lind".to_owned(), "query"),
        ("/agents", "query=lind".to_owned(), "query"),
        ("/audit-events", "username=sam.lind".to_owned(), "username"),
        ("/invitations", format!("cursor={of_users}"), "cursor"),
        ("/invitations", "cursor=garbage".to_owned(), "cursor"),
    ] {
        let reported = ruth.get(&format!("{path}?{query}")).await;
        let what = format!("GET {path}?{}", &query[..query.len().min(60)]);
        assert_eq!(reported.status, 422, "{what}: {}", reported.text);
        names(&reported, field, &what);
    }
    let long = ruth.get(&format!("/users?{}=1", "k".repeat(5_000))).await;
    problem(&long, "a long parameter");
    long.expect(422);
}

#[tokio::test]
async fn unknown_paths_and_objects_are_problems() {
    let world = world_in_campaigns().await;
    let ruth = world.group_principal().await;
    let huge = "0".repeat(5_000);
    for id in [
        "0",
        "-1",
        "%00",
        "a%2Fb",
        "%2E%2E",
        "%F0%9F%94%92",
        "%FF",
        "ruth.okafor",
        "null",
        "%20",
        &huge,
        "00000000000000000000000000",
        "0000000000000000000000000O",
        "'%20OR%201=1",
        "{id}",
    ] {
        let nothing = json!({ "services": [], "group_codes": [] });
        for (method, path, body) in [
            (Method::GET, format!("/users/{id}"), None),
            (Method::DELETE, format!("/users/{id}"), None),
            (
                Method::POST,
                format!("/users/{id}/approval"),
                Some(nothing.clone()),
            ),
            (
                Method::PUT,
                format!("/users/{id}/access"),
                Some(with(nothing.clone(), "/role", "user")),
            ),
            (
                Method::PUT,
                format!("/users/{id}/status"),
                Some(json!({ "status": "active" })),
            ),
            (
                Method::POST,
                format!("/invitations/{id}/resend"),
                Some(nothing),
            ),
            (Method::GET, format!("/invitations/{id}"), None),
            (Method::DELETE, format!("/invitations/{id}"), None),
            (Method::DELETE, format!("/sessions/{id}"), None),
        ] {
            let reported = ruth.send(method.clone(), &path, body.as_ref()).await;
            problem(
                &reported,
                &format!("{method} {}", &path[..path.len().min(60)]),
            );
            assert_eq!(
                (reported.status, reported.problem()),
                (404, "not-found"),
                "{method} {path}"
            );
        }
    }
    for portal in [
        "nowhere",
        "Group",
        "GROUP",
        "group%00",
        "gr%6Fup%20",
        "..%2fgroup",
        "%FF",
        "%E2%80%AE",
        &huge,
    ] {
        let client = world.on(portal);
        for reported in [
            client.get("").await,
            client.get("/me").await,
            client
                .post(
                    "/sessions",
                    json!({ "username": "ruth.okafor", "password": PASSWORD }),
                )
                .await,
            client.registers(group_principal()).await,
        ] {
            problem(&reported, portal);
            assert_eq!(
                (reported.status, reported.problem()),
                (404, "not-found"),
                "{portal}: {}",
                reported.text
            );
        }
    }
    for path in [
        "/nothing",
        "/users/1/2/3",
        "/me/",
        "/registrations/",
        "//me",
        "/.env",
        "/users/../me2",
        "/sessions/current/password/x",
    ] {
        let reported = ruth.get(path).await;
        problem(&reported, path);
        reported.refused(404, "not-found");
    }
    // The root, and paths outside the portals.
    for path in ["/", "/%00", "/favicon.ico", "/robots.txt"] {
        let request = reqwest::Client::new().get(format!("{}{path}", world.base));
        Response::to(request).await.refused(404, "not-found");
    }
}

#[tokio::test]
async fn an_unsupported_method_is_a_problem() {
    let world = world_in_campaigns().await;
    let operations = operations();
    let routes: BTreeSet<&String> = operations.iter().map(|(_, path, _)| path).collect();
    for route in routes {
        let known: Vec<_> = operations
            .iter()
            .filter(|(_, path, _)| path == route)
            .map(|(method, ..)| method.as_str())
            .collect();
        let path = route
            .strip_prefix("/{portal}")
            .unwrap()
            .replace("{id}", "00000000000000000000000000");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            // Another route may match: `/invitations/look-up` also has the form of an `{id}`.
            let other = operations.iter().any(|(m, p, _)| {
                m == method
                    && p.contains("{id}")
                    && p.split('/').count() == route.split('/').count()
                    && fits(p, route)
            });
            if known.contains(&method) || other {
                continue;
            }
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let reported = world.on("group").send(method.clone(), &path, None).await;
            problem(&reported, &format!("{method} {route}"));
            assert_eq!(
                (reported.status, reported.problem()),
                (405, "method-not-allowed"),
                "{method} {route}"
            );
            let allowed = reported.headers["allow"].to_str().unwrap();
            assert!(
                known.iter().all(|k| allowed.contains(k)),
                "{method} {route} lists its methods: {allowed}"
            );
        }
    }
}

/// Returns whether a route with parameters matches another route's text.
fn fits(route: &str, text: &str) -> bool {
    route
        .split('/')
        .zip(text.split('/'))
        .all(|(r, t)| r.starts_with('{') || r == t)
}

#[tokio::test]
async fn similar_usernames_and_addresses_cannot_impersonate_another_user() {
    let world = world_in_campaigns().await;
    world.register("group", group_principal()).await;
    let small = with(
        group_principal(),
        "/verification",
        json!({ "group_number": "GR20002", "tax_id_last4": "5678" }),
    );
    let mut attempts = 0;
    for (name, status) in [
        ("ruth.okafor", 409),
        ("Ruth.Okafor", 409),
        ("RUTH.OKAFOR", 409),
        ("ruth.\u{43e}kafor", 422),  // Cyrillic o
        ("ruth.okaf\u{3bf}r", 422),  // Greek omicron
        ("\u{ff52}uth.okafor", 422), // full width
        ("ruth\u{2024}okafor", 422), // one dot leader
        ("ruth.o\u{212a}afor", 422), // Kelvin
        ("ruth.okafor\u{200b}", 422),
        ("ruth.okafor\0", 422),
        ("ruth.oka\u{fb00}or", 422), // ligature ff
        ("ruth.okafor ", 422),
        (" ruth.okafor", 422),
        ("ru\u{301}th.okafor", 422),
    ] {
        if status == 409 {
            attempts += 1;
            assert!(attempts < 5, "the attempts at a record are few");
        }
        let reported = world
            .on("group")
            .registers(with(small.clone(), "/username", name))
            .await;
        assert_eq!(
            (reported.status, reported.fields()),
            (status, vec!["username"]),
            "{name:?}: {}",
            reported.text
        );
    }
    // It is available on another portal, because people register on each separately.
    world
        .register(
            "employer",
            without(
                with(group_principal(), "/registration_type", "employer"),
                "/attests_signing_authority",
            ),
        )
        .await;

    // EX-08: an address belongs to one account.
    world.register("practice", dental()).await;
    let other = with(
        with(
            dental(),
            "/verification",
            json!({ "provider_id": "PV30003", "tax_id": "005678901" }),
        ),
        "/username",
        "other.person",
    );
    for (email, status) in [
        ("omar@riverbend.example", 409),
        ("OMAR@RIVERBEND.EXAMPLE", 409),
        (" Omar@Riverbend.Example ", 409),
        ("\u{43e}mar@riverbend.example", 422),
        ("omar@riverb\u{435}nd.example", 422),
        ("omar@riverbend.example.", 422),
        ("omar@riverbend\u{3002}example", 422),
        ("omar\u{200b}@riverbend.example", 422),
        ("\"omar\"@riverbend.example", 422),
        ("omar@[127.0.0.1]", 422),
        ("Omar Haddad <omar@riverbend.example>", 422),
        ("omar@riverbend.example,eve@example.com", 422),
        ("omar@riverbend.example\r\nBcc: eve@example.com", 422),
    ] {
        let reported = world
            .on("practice")
            .registers(with(other.clone(), "/email", email))
            .await;
        assert_eq!(
            (reported.status, reported.fields()),
            (status, vec!["email"]),
            "{email:?}: {}",
            reported.text
        );
    }
    world
        .register(
            "practice",
            with(other, "/email", "omar+two@riverbend.example"),
        )
        .await;
}

#[tokio::test]
async fn an_invalid_session_gives_no_access() {
    let world = world_in_campaigns().await;
    let ruth = world.group_principal().await;
    let invitation = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let session = world.on("group").signs_in("ruth.okafor", PASSWORD).await;
    let token = session.text_at("/token");
    world.register("agent", agent()).await;
    let other = world.on("agent").signs_in("dana.whitfield", PASSWORD).await;
    let ended = world.on("group").signs_in("ruth.okafor", PASSWORD).await;
    let ended = ended.text_at("/token");
    world
        .on("group")
        .with_token(ended)
        .signs_out()
        .await
        .expect(204);

    let swapped = |from: &str, to: &str| token.replacen(from, to, 1);
    let flipped = format!(
        "{}{}",
        &token[..token.len() - 2],
        if token.ends_with("AA") { "BA" } else { "AA" }
    );
    let tokens = [
        String::new(),
        " ".to_owned(),
        "garbage".to_owned(),
        "x".repeat(10_000),
        format!("{token}x"),
        format!("x{token}"),
        format!("{token} {token}"),
        token[..token.len() - 1].to_owned(),
        token.to_uppercase(),
        flipped,
        swapped("vs.", "vi."),
        invitation.clone(),
        invitation.replacen("vi.", "vs.", 1),
        other.text_at("/token").to_owned(),
        ended.to_owned(),
        "vs..".to_owned(),
        format!("vs.{}.{}", "a".repeat(26), "A".repeat(43)),
        "vs.%00.AAAA".to_owned(),
    ];
    let protected: Vec<_> = operations()
        .into_iter()
        .filter(|(_, _, o)| o.get("security").is_some() && !is_for_applications(o))
        .collect();
    for bad in &tokens {
        for header in ["authorization", "cookie"] {
            let value = if header == "cookie" {
                format!("theme=dark; __Host-session={bad}")
            } else {
                format!("Bearer {bad}")
            };
            let request = world
                .on("group")
                .request(Method::GET, "/me")
                .header(header, value);
            let reported = Response::to(request).await;
            problem(&reported, bad);
            assert_eq!(
                (reported.status, reported.problem()),
                (401, "not-signed-in"),
                "{header}: {bad}"
            );
        }
    }
    for (name, value) in [
        ("authorization", token.to_owned()),
        ("authorization", format!("Basic {token}")),
        ("authorization", format!("Token {token}")),
        ("cookie", format!("session={token}")),
        ("cookie", format!("__Secure-session={token}")),
        ("cookie", format!("x__Host-session={token}")),
        ("cookie", token.to_owned()),
        ("cookie", ";;;=;=".to_owned()),
        ("x-session", token.to_owned()),
    ] {
        let reported = Response::to(
            world
                .on("group")
                .request(Method::GET, "/me")
                .header(name, value.clone()),
        )
        .await;
        assert_eq!(reported.status, 401, "{name}: {value}");
    }
    let bytes = reqwest::header::HeaderValue::from_bytes(b"Bearer \xff\xfe").unwrap();
    let reported = Response::to(
        world
            .on("group")
            .request(Method::GET, "/me")
            .header("authorization", bytes),
    )
    .await;
    assert_eq!(reported.status, 401);

    // This applies to every protected route, and is checked before anything else.
    for (method, path, operation) in protected {
        let path = path
            .strip_prefix("/{portal}")
            .unwrap()
            .replace("{id}", "00000000000000000000000000");
        let client = world.on("group").with_token(other.text_at("/token"));
        let body = operation.get("requestBody").map(|_| json!({}));
        let reported = client
            .send(
                Method::from_bytes(method.as_bytes()).unwrap(),
                &path,
                body.as_ref(),
            )
            .await;
        assert_eq!(
            (reported.status, reported.problem()),
            (401, "not-signed-in"),
            "{method} {path}"
        );
    }
    // The header and the cookie are each sufficient.
    let reported = Response::to(
        world
            .on("group")
            .request(Method::GET, "/me")
            .header("cookie", format!("__Host-session={token}")),
    )
    .await;
    assert_eq!(reported.status, 200);
    ruth.get("/me").await.expect(200);
}

/// Arbitrary JSON of limited size.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "\\PC{0,300}".prop_map(Value::from),
        prop_oneof![
            Just("\0"),
            Just("vs.x.y"),
            Just("\u{202e}"),
            Just("1980-02-30"),
            Just("9999-12-31"),
            Just("RC000000"),
            Just("000000")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{0,12}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[test]
fn random_json_never_causes_a_server_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(world_in_campaigns());
    let endpoints = runtime.block_on(endpoints(&world));
    let config = Config {
        cases: 200,
        rng_seed: RngSeed::Fixed(20_261_123),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let pointers: Vec<Vec<String>> = endpoints.iter().map(|e| pointers(&e.body, "")).collect();
    let mut runner = TestRunner::new(config);
    let case = (
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any_json(),
        0u8..4,
    );
    // The strategy generates values before anything is sent. An error in it would show here.
    assert!(
        any_json()
            .new_tree(&mut runner)
            .unwrap()
            .current()
            .to_string()
            .len()
            < 1 << 20
    );
    runner
        .run(&case, |(which, whither, value, how)| {
            let which = which.index(endpoints.len());
            let endpoint = &endpoints[which];
            let pointer = whither.get(&pointers[which]);
            let body = if how == 0 {
                value
            } else {
                put(&endpoint.body, pointer, value).unwrap()
            };
            let reported = runtime.block_on(endpoint.send(&body));
            prop_assert!(
                reported.status < 500,
                "{} {}: {}",
                endpoint.method,
                endpoint.route,
                reported.text
            );
            if reported.status >= 400 {
                prop_assert_eq!(
                    &reported.headers["content-type"],
                    "application/problem+json"
                );
                prop_assert!(reported.text.len() < SMALL);
            }
            Ok(())
        })
        .unwrap();
}

/// The JSON pointers of all values in a body.
fn pointers(value: &Value, at: &str) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => Vec::new(),
    };
    let mut found: Vec<String> = below
        .iter()
        .flat_map(|(k, v)| pointers(v, &format!("{at}/{k}")))
        .collect();
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    found
}
