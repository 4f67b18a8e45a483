//! The provider portal: practices, facilities and billing agencies.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use vestibule_local::instance::FUNCTIONS;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, group_principal, hint, provider, with, without};
use vestibule_tests::{World, another, code_in, fault, pin_in, shown};

/// A registration of another organization in the sample records.
pub fn registration(registration_type: &str, provider_id: &str, tax_id: &str) -> Value {
    let body = with(
        provider(),
        "/verification",
        json!({ "provider_id": provider_id, "tax_id": tax_id }),
    );
    with(
        with(body, "/registration_type", registration_type),
        "/email",
        format!("primary@{}.example", provider_id.to_lowercase()),
    )
}

/// Registers a person, signs them in and enters the PIN from the letter.
async fn active(world: &World, body: Value) -> Person {
    let client = pending(world, body).await;
    let pin = pin_in(&world.last_letter().await, 4);
    client.enters_pin(&pin).await.expect(200);
    client
}

/// Registers a person and signs them in.
pub async fn pending(world: &World, body: Value) -> Person {
    let response = world.register("provider", body).await;
    world
        .sign_in("provider", response.text_at("/username"))
        .await
}

pub fn redemption(username: &str, code: &str) -> Value {
    json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() })
}

pub async fn redeem(world: &World, body: Value) -> Response {
    world
        .on("provider")
        .post("/registration-codes/redemption", body)
        .await
}

pub fn new_user(first: &str, role: &str) -> Value {
    let email = format!("{}@lakeside.example", first.to_lowercase());
    json!({ "first_name": first, "last_name": "Lind", "email": email, "role": role, "services": ["claims"] })
}

/// First names and registration statuses in the list of users.
async fn registrations(administrator: &Person) -> Vec<(String, String)> {
    let list = administrator.get("/users").await.expect(200);
    let text = |user: &Value, field: &str| user[field].as_str().unwrap().to_owned();
    list.items()
        .iter()
        .map(|u| (text(u, "first_name"), text(u, "registration")))
        .collect()
}

#[tokio::test]
async fn bl_02_a_user_is_pending_until_the_code_is_entered_and_registered_after() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Sam").await;
    let row = |first: &str, registration: &str| (first.to_owned(), registration.to_owned());
    assert_eq!(
        registrations(&helen).await,
        [row("Helen", "registered"), row("Sam", "pending")]
    );
    let list = helen.get("/users").await;
    let sam = format!("/users/{}", list.text_at("/items/1/id"));
    assert_eq!(helen.get(&sam).await.body, list.body["items"][1]);

    // A wrong code changes nothing.
    redeem(&world, redemption(&username, &another(&code)))
        .await
        .expect(422);
    assert_eq!(helen.get(&sam).await.text_at("/registration"), "pending");

    redeem(&world, redemption(&username, &code))
        .await
        .expect(200)
        .has("/registration", "registered");
    assert_eq!(helen.get(&sam).await.text_at("/registration"), "registered");
    assert_eq!(
        registrations(&helen).await,
        [row("Helen", "registered"), row("Sam", "registered")]
    );
}

#[tokio::test]
async fn bl_08_an_added_user_receives_a_code_by_email_and_enters_it_on_the_home_page() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let added = helen
        .post(
            "/users",
            with(
                new_user("Sam", "user"),
                "/services",
                json!(["claims", "remittances"]),
            ),
        )
        .await
        .expect(201)
        .has("/registration", "pending");
    let username = added.text_at("/username");
    let location = added.headers["location"].to_str().unwrap();
    assert_eq!(
        location,
        format!("/provider/users/{}", added.text_at("/id"))
    );
    let mails = world.mails_to("sam@lakeside.example").await;
    assert_eq!(mails.len(), 1);
    let code = code_in(&mails[0]);
    insta::assert_snapshot!(
        "bl_08_registration_code",
        shown(&mails[0], &[(username, "[username]"), (&code, "[code]")])
    );
    assert!(!added.text.contains(&code), "only the added user knows it");

    // Before it is entered, sign-in is not possible.
    let refused = world
        .on("provider")
        .signs_in(username, PASSWORD)
        .await
        .refused(401, "sign-in-failed");
    let unknown = world.on("provider").signs_in("prvnobody7", PASSWORD).await;
    assert_eq!((unknown.status, &unknown.text), (401, &refused.text));

    // Missing and invalid fields are reported by name and don't count as attempts.
    let body = || redemption(username, &code);
    let faults = [
        (
            with(body(), "/registration_code", "123456"),
            "registration_code",
            "must be RC followed by 6 digits",
        ),
        (
            with(body(), "/registration_code", ""),
            "registration_code",
            "must be RC followed by 6 digits",
        ),
        (
            with(body(), "/registration_code", format!("{code}1")),
            "registration_code",
            "must be RC followed by 6 digits",
        ),
        (
            without(body(), "/registration_code"),
            "registration_code",
            "is required",
        ),
        (without(body(), "/username"), "username", "is required"),
        (
            with(body(), "/password", "short1"),
            "password",
            "must have at least 8 characters",
        ),
        (
            with(body(), "/password", "longenough"),
            "password",
            "must contain a digit",
        ),
        (without(body(), "/hint"), "hint", "is required"),
        (
            with(body(), "/hint/answer", " "),
            "hint.answer",
            "must not be empty",
        ),
    ];
    for _ in 0..2 {
        for (body, field, why) in &faults {
            let response = redeem(&world, body.clone()).await;
            assert_eq!(fault(&response), (422, *field, *why), "{}", response.text);
        }
    }

    // Typed as people type.
    let typed = redemption(
        &format!(" {} ", username.to_uppercase()),
        &format!(" {} ", code.to_lowercase()),
    );
    redeem(&world, typed)
        .await
        .expect(200)
        .has("/registration", "registered");
    let (sam, session) = world.on("provider").sign_in(username, PASSWORD).await;
    assert_eq!(
        (session.status, session.body.get("next_step")),
        (201, None),
        "{}",
        session.text
    );
    let entitlements = sam.get("/entitlements").await;
    assert_eq!(
        (entitlements.status, &entitlements.body["services"]),
        (200, &json!(["claims", "remittances"]))
    );
    entitlements.has("/role", "user");

    // The same request again gets the same response. With another password it changes nothing.
    redeem(&world, redemption(username, &code))
        .await
        .expect(200);
    redeem(
        &world,
        with(
            redemption(username, &code),
            "/password",
            "Another-River-59!",
        ),
    )
    .await
    .refused(422, "code-wrong");
    world
        .on("provider")
        .signs_in(username, "Another-River-59!")
        .await
        .expect(401);
}

#[tokio::test]
async fn bl_08_a_code_is_locked_after_its_last_attempt_and_unknown_usernames_get_the_same_response()
{
    let world = World::new().await;
    let (helen, primary) = world.provider().await;
    let (sam, of_sam) = world.added_by(&helen, "Sam").await;
    let (ada, of_ada) = world.added_by(&helen, "Ada").await;
    // An unknown username, another user's, or one without a pending code: the response is that for
    // Sam.
    let attempts = [
        (sam.as_str(), another(&of_sam)),
        ("prvnobody7", of_sam.clone()),
        (ada.as_str(), of_sam.clone()),
        (primary.as_str(), of_sam.clone()),
    ];
    let wrong = "The username and registration code do not match your most recent email. \
                 To get a new code, ask an administrator of your organization or call Provider Services at (312) 555-0140.";
    let dead = "This code was entered incorrectly too many times and can no longer be used. \
                To get a new code, ask an administrator of your organization or call Provider Services at (312) 555-0140.";
    let mut answers = BTreeSet::new();
    for (name, code) in &attempts {
        let mut read = Vec::new();
        for (n, expected) in [
            (422, wrong),
            (422, wrong),
            (422, wrong),
            (422, wrong),
            (422, wrong),
            (410, dead),
        ]
        .iter()
        .enumerate()
        {
            let response = redeem(&world, redemption(name, code)).await;
            assert_eq!(
                (response.status, response.text_at("/detail")),
                *expected,
                "{name}, try {n}"
            );
            read.push(response.text.clone());
        }
        answers.insert(read);
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    // Once locked, the correct code is refused too, also later; nobody gained access.
    for _ in 0..2 {
        for (name, code) in [(&sam, &of_sam), (&ada, &of_ada)] {
            redeem(&world, redemption(name, code))
                .await
                .refused(410, "code-locked");
        }
        world.pass_days(1);
    }
    assert_eq!(
        registrations(&world.sign_in("provider", &primary).await)
            .await
            .iter()
            .filter(|(_, r)| r == "pending")
            .count(),
        2
    );
}

#[tokio::test]
async fn bl_08_entering_a_code_does_not_help_to_guess_the_password_of_a_registered_user() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (sam, code) = world.added_by(&helen, "Sam").await;
    redeem(&world, redemption(&sam, &code)).await.expect(200);
    for n in 0..5 {
        let guess = with(
            redemption(&sam, &another(&code)),
            "/password",
            format!("Guess-River-{n}!"),
        );
        assert_eq!(redeem(&world, guess).await.problem(), "code-wrong");
    }
    let right = redeem(&world, redemption(&sam, &another(&code))).await;
    assert_eq!(
        (right.status, right.problem()),
        (410, "code-locked"),
        "a correct password and a wrong one get the same response"
    );
    // Sam can still sign in.
    world.sign_in("provider", &sam).await;
}

#[tokio::test]
async fn bl_08_a_code_can_be_entered_on_its_last_day_and_not_on_the_next() {
    // Thirty days after November 23. Midnight in Chicago is 06:00 UTC in winter.
    for (moment, expected) in [
        ("2026-12-24T05:59:59Z", (200, "")),
        ("2026-12-24T06:00:00Z", (410, "code-expired")),
    ] {
        let world = World::new().await;
        let (helen, _) = world.provider().await;
        let (sam, code) = world.added_by(&helen, "Sam").await;
        let mail = world.last_mail_to("sam@lakeside.example").await;
        assert!(
            mail.text
                .contains("Use the code by:  Wednesday, December 23, 2026"),
            "{}",
            mail.text
        );
        world.wait_until(moment);
        let response = redeem(&world, redemption(&sam, &code)).await;
        assert_eq!(
            (response.status, response.problem()),
            expected,
            "{}",
            response.text
        );
        if response.status == 410 {
            assert!(
                response
                    .text_at("/detail")
                    .starts_with("This code has expired. To get a new code, ask an administrator"),
                "{}",
                response.text
            );
            // A wrong code is only wrong; only its owner learns that it has expired.
            assert_eq!(
                redeem(&world, redemption(&sam, &another(&code)))
                    .await
                    .problem(),
                "code-wrong"
            );
        }
    }
}

#[tokio::test]
async fn bl_16_the_system_generates_the_username_and_nobody_chooses_one() {
    let world = World::new().await;
    let made = "is assigned automatically on this portal";
    let refused = world
        .on("provider")
        .registers(with(provider(), "/username", "helen.brandt"))
        .await;
    assert_eq!(fault(&refused), (422, "username", made));
    let (helen, primary) = world.provider().await;
    let refused = helen
        .post(
            "/users",
            with(new_user("Sam", "user"), "/username", "sam.lind"),
        )
        .await;
    assert_eq!(fault(&refused), (422, "username", made));

    // No two are equal, not even for two people with the same name.
    let mut names = vec![primary];
    for n in 0..12 {
        let body = with(
            new_user("Sam", "user"),
            "/email",
            format!("sam{n}@lakeside.example"),
        );
        let added = helen.post("/users", body).await.expect(201);
        names.push(added.text_at("/username").to_owned());
    }
    let plain = |name: &String| {
        name.len() == 11
            && name.starts_with("prv")
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    assert!(names.iter().all(plain), "{names:?}");
    assert_eq!(BTreeSet::from_iter(&names).len(), names.len(), "{names:?}");
}

/// An id that doesn't exist.
const NOBODY: &str = "0123456789abcdefghjkmnpqrs";

/// The routes with an id whose responses are known. The others are compared all the same.
const KNOWN: [&str; 6] = [
    "/users/{id}",
    "/users/{id}/access",
    "/users/{id}/approval",
    "/users/{id}/status",
    "/invitations/{id}",
    "/invitations/{id}/resend",
];

/// Every route that identifies something of an organization by id, with a valid body.
fn routes_with_ids() -> Vec<(Method, String, Option<Value>)> {
    let described = FUNCTIONS.map(|f| (f.openapi)().paths.paths);
    let mut routes = Vec::new();
    for (path, item) in described.iter().flatten() {
        // Sessions and everything below `/me` belong to one user, regardless of organization. The
        // help desk belongs to no organization and is tested separately.
        let own = path.contains("/sessions/") || path.contains("/me/");
        if !path.contains("{id}") || own || path.contains("/accounts/") {
            continue;
        }
        let operations = [
            (Method::GET, &item.get),
            (Method::PUT, &item.put),
            (Method::POST, &item.post),
            (Method::PATCH, &item.patch),
            (Method::DELETE, &item.delete),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let body = operation
                .request_body
                .as_ref()
                .map(|_| match path.as_str() {
                    "/{portal}/users/{id}/approval" => json!({ "services": [] }),
                    "/{portal}/users/{id}/access" => json!({ "role": "user", "services": [] }),
                    "/{portal}/users/{id}/status" => json!({ "status": "disabled" }),
                    "/{portal}/access-reviews/current/users/{id}" => {
                        json!({ "decision": "removed" })
                    }
                    _ => json!({}),
                });
            routes.push((method, path.replace("/{portal}", ""), body));
        }
    }
    assert!(
        KNOWN
            .iter()
            .all(|k| routes.iter().any(|(_, route, _)| route == k)),
        "{routes:?}"
    );
    routes
}

#[tokio::test]
async fn bl_17_no_endpoint_shows_or_changes_a_user_of_another_organization() {
    let world = World::new().await;
    // Two practices, on another portal two groups with a pending invitation each, and a member.
    let (helen, helens_name) = world.provider().await;
    let hannah = active(&world, registration("practice", "PV30029", "004748929")).await;
    world.added_by(&helen, "Sam").await;
    let ruth = world.group_principal().await;
    let ben = json!({ "group_number": "GR20002", "tax_id_last4": "5678" });
    let ben = with(
        with(
            with(group_principal(), "/verification", ben),
            "/username",
            "ben.cole",
        ),
        "/email",
        "ben@cedarpine.example",
    );
    world.register("group", ben).await;
    let ben = world.sign_in("group", "ben.cole").await;
    world.invited(&ruth, "Lea", "user").await;
    world
        .invite(&ruth, "Tim", "tim@blueheron.example", "user")
        .await;
    let maria = world.member().await;
    let pin = world
        .letters()
        .await
        .iter()
        .find(|l| l.contains("Maria Alvarez"))
        .map(|l| pin_in(l, 6))
        .unwrap();
    maria.enters_pin(&pin).await.expect(200);

    let list = async |client: &Person, path: &str| -> Value {
        let list = client.get(path).await.expect(200);
        list.body.clone()
    };
    let ids = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|i| i["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = [
        list(&helen, "/users").await,
        list(&ruth, "/users").await,
        list(&ruth, "/invitations").await,
    ];
    let of_lakeside = ids(&before[0]);
    let of_blue_heron = [ids(&before[1]), ids(&before[2])].concat();
    let of_maria = [maria.get("/me").await.text_at("/id").to_owned()];
    assert_eq!((of_lakeside.len(), of_blue_heron.len()), (2, 4));

    // Another organization's id gets exactly the response of one that doesn't exist.
    let strangers = [
        (
            "an administrator of another practice",
            &hannah,
            [of_lakeside.as_slice(), &of_blue_heron, &of_maria].concat(),
        ),
        (
            "an administrator of another group",
            &ben,
            [of_blue_heron.as_slice(), &of_lakeside, &of_maria].concat(),
        ),
        (
            "an administrator on another portal",
            &ruth,
            [of_lakeside.as_slice(), &of_maria].concat(),
        ),
        (
            "a member",
            &maria,
            [of_lakeside.as_slice(), &of_blue_heron].concat(),
        ),
    ];
    for (who, client, others) in strangers {
        for (method, route, body) in routes_with_ids() {
            let ask = async |id: &str| {
                client
                    .send(method.clone(), &route.replace("{id}", id), body.as_ref())
                    .await
            };
            let expected = ask(NOBODY).await;
            match who {
                "a member" => assert_eq!(
                    (expected.status, expected.problem()),
                    (403, "not-allowed"),
                    "{method} {route}"
                ),
                // The provider portal has no approvals.
                "an administrator of another practice" if route.ends_with("/approval") => {
                    assert_eq!(expected.status, 403)
                }
                _ if KNOWN.contains(&route.as_str()) => {
                    assert_eq!(
                        (expected.status, expected.problem()),
                        (404, "not-found"),
                        "{who}, {method} {route}"
                    );
                }
                _ => assert!(
                    (400..500).contains(&expected.status),
                    "{who}, {method} {route}: {}",
                    expected.text
                ),
            }
            for id in &others {
                let response = ask(id).await;
                assert_eq!(
                    (response.status, &response.text),
                    (expected.status, &expected.text),
                    "{who}, {method} {route}"
                );
            }
        }
    }
    let after = [
        list(&helen, "/users").await,
        list(&ruth, "/users").await,
        list(&ruth, "/invitations").await,
    ];
    assert_eq!(before, after, "nothing was changed");

    // Lists contain only one's own users, and a session is invalid on another portal.
    let users = hannah.get("/users").await;
    assert_eq!(users.items().len(), 1);
    assert!(
        !users.text.contains(&helens_name) && !users.text.contains("lakeside"),
        "{}",
        users.text
    );
    assert_eq!(list(&ben, "/invitations").await["items"], json!([]));
    let token = world
        .on("provider")
        .sign_in(&helens_name, PASSWORD)
        .await
        .1
        .text_at("/token")
        .to_owned();
    for portal in ["group", "practice", "member", "agent"] {
        let response = world.on(portal).with_token(&token).get("/users").await;
        assert_eq!(
            (response.status, response.problem()),
            (401, "not-signed-in"),
            "{portal}"
        );
    }
}

#[tokio::test]
async fn bl_17_a_user_who_cannot_manage_users_learns_nothing_from_ids() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Sam").await;
    redeem(&world, redemption(&username, &code))
        .await
        .expect(200);
    let sam = world.sign_in("provider", &username).await;
    let ruth = world.group_principal().await;
    let lea = world.staff(&ruth, "Lea", "user").await;
    world
        .invite(&ruth, "Tim", "tim@blueheron.example", "user")
        .await;

    for (client, administrator) in [(&sam, &helen), (&lea, &ruth)] {
        let mut known = vec![administrator.get("/me").await.text_at("/id").to_owned()];
        let invitations = administrator.get("/invitations").await;
        known.extend(
            invitations.body["items"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|i| i["id"].as_str().unwrap().to_owned()),
        );
        for (method, route, body) in routes_with_ids() {
            let ask = async |id: &str| {
                client
                    .send(method.clone(), &route.replace("{id}", id), body.as_ref())
                    .await
            };
            let expected = ask(NOBODY).await;
            assert_eq!(
                (expected.status, expected.problem()),
                (403, "not-allowed"),
                "{method} {route}"
            );
            for id in &known {
                let response = ask(id).await;
                assert_eq!(
                    (response.status, &response.text),
                    (expected.status, &expected.text),
                    "{method} {route}"
                );
            }
        }
    }
}

#[tokio::test]
async fn bl_17_a_session_is_ended_by_its_owner_alone() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Sam").await;
    redeem(&world, redemption(&username, &code))
        .await
        .expect(200);
    let sam = world.sign_in("provider", &username).await;
    let ruth = world.group_principal().await;
    let maria = world.member().await;
    let end = async |client: &Person, id: &str| client.delete(&format!("/sessions/{id}")).await;
    let sessions = sam.get("/sessions").await;
    let id = sessions.text_at("/items/0/id").to_owned();
    for client in [&helen, &ruth, &maria] {
        let unknown = end(client, NOBODY).await;
        let response = end(client, &id).await;
        let unknown = unknown.refused(404, "not-found");
        assert_eq!((response.status, &response.text), (404, &unknown.text));
    }
    assert_eq!(sam.get("/sessions").await.body, sessions.body);
    end(&sam, &id).await.expect(204);
    sam.get("/me").await.expect(401);
}
