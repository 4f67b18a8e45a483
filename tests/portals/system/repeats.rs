//! Requests that are sent again: with an idempotency key, and without one.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_tests::authenticator::{Browser, app_code};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{agent, dental, group_principal, provider, with};
use vestibule_tests::{Prepared, World, options};

use super::faults::accepts_the_only_invitation;
use super::openapi::{operations, resolve};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

/// Sends a request with an idempotency key.
async fn send(by: &Person, path: &str, body: Option<&Value>, key: &str) -> Response {
    let mut request = by
        .request(Method::POST, path)
        .header("idempotency-key", key);
    if let Some(body) = body {
        request = request.json(body);
    }
    Response::to(request).await
}

fn is_replayed(response: &Response) -> bool {
    response
        .headers
        .get("idempotency-replayed")
        .is_some_and(|value| value == "true")
}

fn ivy() -> Value {
    json!({ "first_name": "Ivy", "last_name": "Lind", "email": "ivy@lakeside.example" })
}

fn sam() -> Value {
    json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example" })
}

/// A request that creates something: who sends it, where, and with what.
struct Creation {
    operation: &'static str,
    by: Person,
    path: &'static str,
    body: Option<Value>,
    /// Another valid request of the same kind, if there is a body.
    other: Option<Value>,
    /// The address that gets one email for each creation.
    mail_to: &'static str,
}

/// Every operation of a signed-in user that accepts a key, except those that need an authenticator.
async fn creations(world: &World) -> Vec<Creation> {
    let ruth = world.group_principal().await;
    let (helen, _) = world.provider().await;
    let maria = world.member().await;
    world.register("practice", dental()).await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    // A user of one organization whom another one invites.
    let employer = |number: &str, tax_id: &str, first: &str, username: &str| {
        json!({
            "registration_type": "employer",
            "verification": { "group_number": number, "tax_id_last4": tax_id },
            "first_name": first, "last_name": "Lind", "email": format!("{username}@cedar.example"),
            "username": username, "password": vestibule_tests::people::PASSWORD,
        })
    };
    let verification = &group_principal()["verification"];
    let (number, tax_id) = (&verification["group_number"], &verification["tax_id_last4"]);
    let first = employer(
        number.as_str().unwrap(),
        tax_id.as_str().unwrap(),
        "Ann",
        "ann.heron",
    );
    world.register("employer", first).await;
    let ann = world.sign_in("employer", "ann.heron").await;
    world
        .register("employer", employer("GR20002", "5678", "Pat", "pat.cedar"))
        .await;
    let pat = world.sign_in("employer", "pat.cedar").await;
    let link = world
        .invite(&pat, "Ann", "ann.heron@cedar.example", "user")
        .await;
    let creation = |operation, by: &Person, path, body: Value, other: Value, mail_to| Creation {
        operation,
        by: by.clone(),
        path,
        body: (!body.is_null()).then_some(body),
        other: (!other.is_null()).then_some(other),
        mail_to,
    };
    let lee = json!({ "first_name": "Lee", "last_name": "Lind", "email": "lee@blueheron.example" });
    let jo = json!({ "first_name": "Jo", "last_name": "Lind", "email": "jo@lakeside.example" });
    let message = |text: &str| json!({ "message": text });
    let practice = |number: &str, tax_id: &str| {
        json!({
            "registration_type": "practice", "verification": { "provider_id": number, "tax_id": tax_id },
            "attests_signing_authority": true, "postal_address": provider()["postal_address"], "accepted_agreements": {},
        })
    };
    vec![
        creation(
            "invite_user",
            &ruth,
            "/invitations",
            sam(),
            lee,
            "sam@blueheron.example",
        ),
        creation(
            "add_user",
            &helen,
            "/users",
            ivy(),
            jo,
            "ivy@lakeside.example",
        ),
        creation(
            "send_feedback",
            &ruth,
            "/feedback",
            message("The new site is good."),
            message("The new site is bad."),
            "group-services@harborlight.example",
        ),
        creation(
            "reissue_pin",
            &maria,
            "/pin/letter",
            Value::Null,
            Value::Null,
            "",
        ),
        creation(
            "start_access_review",
            &omar,
            "/access-reviews",
            Value::Null,
            Value::Null,
            "omar@riverbend.example",
        ),
        creation(
            "register_additional_organization",
            &helen,
            "/me/organizations",
            practice("PV30002", "004567890"),
            practice("PV30006", "008901234"),
            "",
        ),
        creation(
            "accept_invitation_as_user",
            &ann,
            "/me/invitations",
            json!({ "token": link }),
            json!({ "token": "vi.nowhere" }),
            "pat.cedar@cedar.example",
        ),
    ]
}

/// Operations that create something and accept no key: each sign-in is meant to create another session.
const WITHOUT_KEY: [&str; 2] = ["sign_in", "sign_in_with_passkey"];

/// Operations of people without a session, with tests of their own below.
const WITHOUT_SESSION: [&str; 2] = ["register", "accept_invitation"];

/// Operations that need an authenticator, with a test of their own below.
const WITH_AUTHENTICATOR: [&str; 3] = [
    "add_authenticator_app",
    "add_passkey",
    "create_recovery_codes",
];

#[tokio::test]
async fn ap_01_every_operation_that_creates_something_accepts_a_key() {
    let world = World::new().await;
    let mut expected: BTreeSet<String> = WITHOUT_KEY.map(String::from).into();
    let creations = creations(&world).await;
    expected.extend(creations.iter().map(|c| c.operation.to_owned()));
    expected.extend(WITH_AUTHENTICATOR.map(String::from));
    expected.extend(WITHOUT_SESSION.map(String::from));
    let mut found = BTreeSet::new();
    for (_, _, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        let parameters = operation["parameters"].as_array().unwrap();
        let has_key = parameters.iter().any(|p| p["name"] == "Idempotency-Key");
        if operation["responses"]["201"].is_object() || has_key {
            found.insert(id.to_owned());
            assert_eq!(has_key, !WITHOUT_KEY.contains(&id), "{id}");
        }
    }
    assert_eq!(found, expected);
}

#[tokio::test]
async fn ap_01_a_second_factor_is_added_once_for_a_key_and_recovery_codes_are_shown_again() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let begin = async |path: &str| ruth.send(Method::POST, path, None).await.expect(200);
    let app = begin("/me/authenticator-apps/enrollment").await;
    let app = json!({
        "name": "Phone",
        "enrollment": app.text_at("/enrollment"),
        "code": app_code(app.text_at("/secret"), world.now()),
    });
    let passkey = begin("/me/passkeys/challenge").await;
    let mut browser = Browser::on("https://groups.harborlight.example", true);
    let credential = browser.create(&passkey.body["options"]).await;
    let passkey = json!({
        "name": "Laptop",
        "passkey": { "ceremony": passkey.text_at("/ceremony"), "credential": credential },
    });
    for (path, body) in [
        ("/me/authenticator-apps", Some(&app)),
        ("/me/passkeys", Some(&passkey)),
        ("/me/recovery-codes", None),
    ] {
        let key = format!("{KEY}{path}");
        let first = send(&ruth, path, body, &key).await.expect(201);
        let again = send(&ruth, path, body, &key).await.expect(201);
        assert_eq!(again.body, first.body, "{path}");
        assert!(!is_replayed(&first) && is_replayed(&again), "{path}");
    }
    let factors = ruth.get("/me/second-factors").await.expect(200);
    for kind in ["authenticator_apps", "passkeys"] {
        assert_eq!(
            factors.body[kind].as_array().map(Vec::len),
            Some(1),
            "{kind}"
        );
    }
}

/// Returns how many emails an address received, and how many letters were printed.
async fn messages(world: &World, address: &str) -> (usize, usize) {
    (
        world.mails_to(address).await.len(),
        world.letters().await.len(),
    )
}

#[tokio::test]
async fn ap_01_the_same_key_gives_the_same_response_and_happens_once() {
    let world = World::new().await;
    for creation in creations(&world).await {
        let Creation {
            operation,
            by,
            path,
            body,
            other,
            mail_to,
        } = &creation;
        let own = &format!("{KEY}-{operation}");
        let before = messages(&world, mail_to).await;
        let first = send(by, path, body.as_ref(), own).await;
        assert!(
            matches!(first.status, 201 | 202),
            "{operation}: {}",
            first.text
        );
        assert!(!is_replayed(&first), "{operation}");
        let made = messages(&world, mail_to).await;
        assert!(made > before, "{operation}");
        world.pass(SignedDuration::from_mins(1));
        for key in [own.as_str(), &format!("\"{own}\"")] {
            let again = send(by, path, body.as_ref(), key).await;
            assert!(is_replayed(&again), "{operation}: {}", again.text);
            assert_eq!(
                (again.status, &again.text),
                (first.status, &first.text),
                "{operation}"
            );
            assert_eq!(
                again.headers.get("location"),
                first.headers.get("location"),
                "{operation}"
            );
        }
        if let Some(other) = other {
            let refused = send(by, path, Some(other), own).await;
            refused.refused(422, "idempotency-key-reused");
        }
        if *operation == "invite_user" {
            // The key was used for this path; another path is another request.
            let message = json!({ "message": "Hello" });
            let elsewhere = send(by, "/feedback", Some(&message), own).await;
            elsewhere.refused(422, "idempotency-key-reused");
        }
        let then = messages(&world, mail_to).await;
        assert_eq!(then, made, "{operation}");
    }
    invariants(&world).await;
}

#[tokio::test]
async fn ap_01_a_key_belongs_to_its_caller_and_lasts_a_day() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let ruth = world.group_principal().await;
    let message = json!({ "message": "The new site is good." });
    send(&ruth, "/feedback", Some(&message), KEY)
        .await
        .expect(202);
    // Another caller's key is another key.
    let response = send(&helen, "/feedback", Some(&message), KEY)
        .await
        .expect(202);
    assert!(!is_replayed(&response));
    // Another session of the same caller repeats the request.
    let again = world.sign_in("group", "ruth.okafor").await;
    assert!(is_replayed(
        &send(&again, "/feedback", Some(&message), KEY)
            .await
            .expect(202)
    ));
    // A session that is not valid learns nothing.
    again.signs_out().await.expect(204);
    send(&again, "/feedback", Some(&message), KEY)
        .await
        .expect(401);

    world.pass(SignedDuration::from_hours(24));
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let response = send(&ruth, "/feedback", Some(&message), KEY)
        .await
        .expect(202);
    assert!(!is_replayed(&response));
    let sent = world.mails_to("group-services@harborlight.example").await;
    assert_eq!(sent.len(), 2);

    for key in ["", "\"\"", &"k".repeat(256)] {
        send(&ruth, "/feedback", Some(&message), key)
            .await
            .invalid("idempotency-key");
    }
    let long = "k".repeat(255);
    send(&ruth, "/feedback", Some(&message), &long)
        .await
        .expect(202);
}

#[tokio::test]
async fn ap_01_of_many_requests_with_one_key_at_once_one_happens_and_the_others_replay_it() {
    let world = World::new().await;
    for creation in creations(&world).await {
        let Creation {
            operation,
            by,
            path,
            body,
            mail_to,
            ..
        } = &creation;
        let own = &format!("{KEY}-{operation}");
        let before = messages(&world, mail_to).await;
        let sent = (0..12).map(|_| send(by, path, body.as_ref(), own));
        let responses = join_all(sent).await;
        let texts: BTreeSet<_> = responses.iter().map(|r| (r.status, &r.text)).collect();
        // A pin letter is requested three times a day, and each of these attempts counts.
        let allowed: Vec<_> = texts.iter().filter(|(status, _)| *status != 429).collect();
        assert_eq!(allowed.len(), 1, "{operation}: {texts:?}");
        let made = responses
            .iter()
            .filter(|r| r.status < 300 && !is_replayed(r));
        assert_eq!(made.count(), 1, "{operation}");
        let after = messages(&world, mail_to).await;
        let new = (after.0 - before.0) + (after.1 - before.1);
        assert!((1..=2).contains(&new), "{operation} had {new} messages");
        let again = send(by, path, body.as_ref(), own).await;
        assert!(
            is_replayed(&again) && texts.contains(&(again.status, &again.text)),
            "{operation}"
        );
    }
    invariants(&world).await;
}

#[tokio::test]
async fn ap_01_a_repetition_with_a_key_succeeds_whatever_failed_before() {
    let faults = &FaultInjector::default();
    let feed = "group_number,name,tax_id,group_codes\nGR20001,Blue Heron Manufacturing,001234567,BH01;BH02\n";
    let mut prepared = Prepared::new(async || {
        let world = World::empty(vestibule_local::Options {
            interceptors: vec![faults.interceptor()],
            ..options()
        })
        .await;
        world.import(RecordKind::Group, feed).await;
        let ruth = world.group_principal().await;
        (world, ruth)
    });
    let send = async |ruth: &Person| send(ruth, "/invitations", Some(&sam()), KEY).await;
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |_, ruth| send(ruth).await,
            async |world, ruth, injected, first| {
                assert!(
                    matches!(first.status, 201 | 503),
                    "{injected}: {}",
                    first.text
                );
                // Whatever happened, the client sends the same request again and has the invitation.
                let again = send(ruth).await.expect(201);
                if first.status == 201 {
                    assert!(is_replayed(&again) && first.text == again.text);
                }
                accepts_the_only_invitation(world, injected).await;
            },
        )
        .await;
}

#[tokio::test]
async fn ap_01_what_is_kept_for_a_key_reveals_nothing_in_the_table() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let added = send(&helen, "/users", Some(&ivy()), "a key of Lakeside")
        .await
        .expect(201);
    let rows = world.items(&world.instance.tables.main).await;
    let is_kept = |row: &&vestibule_tests::Item| row["sk"].as_s().unwrap().starts_with("K#");
    let kept: Vec<_> = rows
        .iter()
        .filter(is_kept)
        .map(|row| format!("{row:?}"))
        .collect();
    assert_eq!(kept.len(), 1);
    for secret in [
        "Ivy",
        "Lind",
        "ivy@lakeside.example",
        "a key of Lakeside",
        added.text_at("/id"),
        added.text_at("/username"),
    ] {
        assert!(!secret.is_empty() && !kept[0].contains(secret), "{secret}");
    }
}

/// A person without a session who creates an account.
struct Applicant {
    visitor: Person,
    path: &'static str,
    body: Value,
    email: &'static str,
}

impl Applicant {
    async fn all(world: &World) -> [Self; 2] {
        let ruth = world.group_principal().await;
        let email = "kim@blueheron.example";
        let token = world.invite(&ruth, "Kim", email, "user").await;
        [
            Self {
                visitor: world.on("agent"),
                path: "/registrations",
                body: agent(),
                email: "dana@whitfield.example",
            },
            Self {
                visitor: world.on("group"),
                path: "/invitations/accept",
                body: World::acceptance(&token, "Kim", email, "kim.lind"),
                email,
            },
        ]
    }

    async fn send(&self, body: &Value) -> Response {
        send(&self.visitor, self.path, Some(body), KEY).await
    }
}

#[tokio::test]
async fn ap_01_a_registration_with_a_key_is_repeated_only_with_its_password() {
    let world = World::new().await;
    for applicant in Applicant::all(&world).await {
        let (path, body) = (applicant.path, &applicant.body);
        let first = applicant.send(body).await.expect(201);
        assert!(!is_replayed(&first), "{path}");
        let made = messages(&world, applicant.email).await;
        assert!(made > (0, 0), "{path}");

        let again = applicant.send(body).await.expect(201);
        assert!(is_replayed(&again), "{path}");
        assert_eq!(again.text, first.text, "{path}");
        let location = |response: &Response| response.headers.get("location").cloned();
        assert_eq!(location(&again), location(&first), "{path}");

        let other = with(body.clone(), "/first_name", "Robin");
        let refused = applicant.send(&other).await;
        refused.refused(422, "idempotency-key-reused");

        // Without the password, the key gives nothing.
        let wrong = with(body.clone(), "/password", "Wrong-River-58!");
        let with_key = applicant.send(&wrong).await;
        assert!(!is_replayed(&with_key), "{path}");
        let without = applicant.visitor.post(path, &wrong).await;
        assert_eq!(with_key.problem(), without.problem(), "{path}");
        assert!(with_key.status >= 400, "{path}: {}", with_key.text);

        // Without a key, the password alone is enough.
        let natural = applicant.visitor.post(path, body).await.expect(201);
        assert!(!is_replayed(&natural), "{path}");
        let then = messages(&world, applicant.email).await;
        assert_eq!(then, made, "{path}");
    }
    invariants(&world).await;
}

#[tokio::test]
async fn ap_01_of_equal_registrations_with_one_key_at_once_one_happens_and_the_others_replay_it() {
    let world = World::new().await;
    for applicant in Applicant::all(&world).await {
        // As many as may try to prove one record.
        let sent = join_all((0..5).map(|_| applicant.send(&applicant.body))).await;
        let path = applicant.path;
        let texts: BTreeSet<_> = sent.iter().map(|r| (r.status, &r.text)).collect();
        assert_eq!(texts.len(), 1, "{path}: {texts:?}");
        let made = sent.iter().filter(|r| !is_replayed(r)).count();
        assert_eq!(made, 1, "{path}");
    }
    invariants(&world).await;
}

#[tokio::test]
async fn ap_01_the_same_person_is_not_added_twice_without_a_key() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let first = helen.post("/users", ivy()).await.expect(201);
    helen
        .post("/users", ivy())
        .await
        .refused(409, "already-added");
    let others =
        json!({ "first_name": "Ivana", "last_name": "Lindt", "email": "IVY@lakeside.example" });
    helen
        .post("/users", others)
        .await
        .refused(409, "already-added");
    assert_eq!(world.mails_to("ivy@lakeside.example").await.len(), 1);
    let found = helen.searches_users("ivy").await.expect(200);
    assert_eq!(found.items().len(), 1);

    // At once, too.
    let jo = json!({ "first_name": "Jo", "last_name": "Lind", "email": "jo@lakeside.example" });
    let sent = join_all((0..10).map(|_| helen.post("/users", &jo))).await;
    let (added, refused): (Vec<_>, Vec<_>) = sent.iter().partition(|r| r.status == 201);
    assert_eq!((added.len(), refused.len()), (1, 9));
    let problems: BTreeSet<_> = refused.iter().map(|r| r.problem()).collect();
    assert!(
        problems.is_subset(&["already-added", "conflict"].into()),
        "{problems:?}"
    );
    assert_eq!(world.mails_to("jo@lakeside.example").await.len(), 1);
    let found = helen.searches_users("jo").await.expect(200);
    assert_eq!(found.items().len(), 1);

    // Who was removed can be added again, and another organization can add the same person.
    let id = first.text_at("/id");
    helen.delete(&format!("/users/{id}")).await.expect(204);
    helen.post("/users", ivy()).await.expect(201);
    invariants(&world).await;
}

/// RFC 9110, 15.3.2: the location identifies what was created.
#[tokio::test]
async fn every_201_has_a_location_that_the_creator_can_get() {
    let world = World::new().await;
    let mut seen = BTreeSet::new();
    let mut check = async |operation: &'static str, by: &Person, response: Response| {
        let response = response.expect(201);
        let location = response.headers["location"].to_str().unwrap();
        let (_, path) = location[1..].split_once('/').unwrap();
        by.get(&format!("/{path}")).await.expect(200);
        seen.insert(operation.to_owned());
    };
    for creation in creations(&world).await {
        let Creation {
            operation,
            by,
            path,
            body,
            ..
        } = &creation;
        if *operation != "send_feedback" {
            let response = by.send(Method::POST, path, body.as_ref()).await;
            check(operation, by, response).await;
        }
    }
    // What strangers create, they can get when they have signed in.
    let visitor = world.on("agent");
    let agent = vestibule_tests::people::agent();
    let registered = visitor.registers(&agent).await;
    let username = agent["username"].as_str().unwrap();
    let (dana, begun) = visitor
        .sign_in(username, vestibule_tests::people::PASSWORD)
        .await;
    check("register", &dana, registered).await;
    check("sign_in", &dana, begun).await;
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let token = world
        .invite(&ruth, "Kim", "kim@blueheron.example", "user")
        .await;
    let body = World::acceptance(&token, "Kim", "kim@blueheron.example", "kim.lind");
    let accepted = world.on("group").accepts(body).await;
    let kim = world.sign_in("group", "kim.lind").await;
    check("accept_invitation", &kim, accepted).await;
    let mut browser = Browser::on("https://groups.harborlight.example", true);
    check(
        "add_authenticator_app",
        &ruth,
        ruth.enrolls_app(&world, "Phone").await.1,
    )
    .await;
    check(
        "add_passkey",
        &ruth,
        ruth.adds_passkey(&mut browser, "Laptop").await,
    )
    .await;
    let codes = ruth.send(Method::POST, "/me/recovery-codes", None).await;
    check("create_recovery_codes", &ruth, codes).await;
    let visitor = world.on("group");
    let body = visitor.signs_challenge(&mut browser).await;
    let begun = visitor.post("/sessions/passkey", body).await;
    let ruth = visitor.with_token(begun.text_at("/token"));
    check("sign_in_with_passkey", &ruth, begun).await;

    let document: Value = serde_json::from_str(&vestibule_local::openapi::openapi()).unwrap();
    let mut described = BTreeSet::new();
    for (_, _, operation) in operations() {
        let response = resolve(&document, &operation["responses"]["201"]);
        if response.is_object() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(
                response["headers"]["location"].is_object(),
                "{id} describes its location"
            );
            described.insert(id);
        }
    }
    assert_eq!(seen, described);
}
