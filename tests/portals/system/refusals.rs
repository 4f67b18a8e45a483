//! Refusals: whom they refer people to, and what they don't reveal.

use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::state::account::{Account, Status};
use vestibule_local::Options;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{
    PASSWORD, everyone, group_principal, hint, member, provider, security_answers, with, without,
};
use vestibule_tests::white_box::Calls;
use vestibule_tests::{World, another, link_token, options, pin_in};

/// One portal's refusals, each with its cause.
async fn refusals(world: &World, portal: &str, body: Value) -> Vec<(&'static str, Response)> {
    let caller = world.on(portal);
    let mut seen = Vec::new();

    // Registration: no match, too many attempts, and a taken username or address.
    let fact = body["verification"]
        .as_object()
        .unwrap()
        .keys()
        .find(|k| k.starts_with("ssn") || k.starts_with("tax") || *k == "date_of_birth")
        .unwrap()
        .clone();
    let wrong = match fact.as_str() {
        "date_of_birth" => "1911-11-11",
        "tax_id" => "999999999",
        _ => "9999",
    };
    let registered = caller.registers(&body).await.expect(201);
    let stranger = with(
        with(body.clone(), &format!("/verification/{fact}"), wrong),
        "/email",
        "stranger@example.com",
    );
    for n in 1..=6 {
        let refused = caller.registers(&stranger).await;
        match n {
            1 => seen.push(("registering with a wrong proof", refused)),
            6 => seen.push(("registering with a wrong proof, the sixth try", refused)),
            _ => {}
        }
    }

    // Sign-in: wrong, too often, disabled.
    let username = registered.text_at("/username").to_owned();
    let (principal, signed_in) = caller.sign_in(&username, PASSWORD).await;
    signed_in.expect(201);
    for n in 1..=11 {
        let refused = caller.sign_in("nobody.at.all", PASSWORD).await.1;
        match n {
            1 => seen.push(("signing in with an unknown name", refused)),
            11 => seen.push(("signing in with an unknown name, the eleventh try", refused)),
            _ => {}
        }
    }

    // Unknown links.
    let nowhere = json!({ "token": "vi.nowhere" });
    seen.push((
        "an invitation's link that is not valid",
        caller.post("/invitations/look-up", nowhere).await,
    ));

    // Pending steps, and what only others can do about them.
    let protected = principal.get("/entitlements").await;
    if protected.status != 200 {
        seen.push(("what is protected, before the account is open", protected));
    }
    staff(world, portal, &principal, &mut seen).await;
    pins(world, portal, &principal, &mut seen).await;
    not_open(world, portal, &body, &mut seen).await;

    old_links(world, portal, &principal, &mut seen).await;

    world
        .alter(portal, registered.text_at("/user_id"), |a| {
            a.status = Status::Disabled
        })
        .await;
    seen.push((
        "signing in rightly to a disabled account",
        caller.sign_in(&username, PASSWORD).await.1,
    ));
    seen
}

/// Refusals for staff who aren't approved or lack a permission.
async fn staff(
    world: &World,
    portal: &str,
    principal: &Person,
    seen: &mut Vec<(&'static str, Response)>,
) {
    let person = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@staff.example", "role": "user" });
    let described = world.on(portal).get("").await;
    let user = match described.text_at("/staff_onboarding") {
        "invitation" if principal.post("/invitations", &person).await.status == 201 => {
            let token = link_token(&world.last_mail_to("sam@staff.example").await);
            let other = World::acceptance(&token, "Sam", "other@staff.example", "sam.lind");
            seen.push((
                "an invitation sent to another address",
                world.on(portal).accepts(other).await,
            ));
            let body = World::acceptance(&token, "Sam", "sam@staff.example", "sam.lind");
            let id = world
                .on(portal)
                .accepts(body)
                .await
                .text_at("/user_id")
                .to_owned();
            let look_up = world
                .on(portal)
                .post("/invitations/look-up", json!({ "token": token }))
                .await;
            seen.push(("an invitation that was used", look_up));
            let sam = world.sign_in(portal, "sam.lind").await;
            seen.push((
                "what is protected, before approval",
                sam.get("/entitlements").await,
            ));
            principal
                .post(&format!("/users/{id}/approval"), json!({ "services": [] }))
                .await
                .expect(200);
            sam
        }
        "initial_password" => {
            let body = without(
                with(
                    with(person, "/username", "sam.lind"),
                    "/initial_password",
                    "First-River-58!",
                ),
                "/role",
            );
            principal.post("/users", body).await.expect(201);
            let (sam, _) = world
                .on(portal)
                .sign_in("sam.lind", "First-River-58!")
                .await;
            seen.push((
                "what is protected, with an initial password",
                sam.get("/entitlements").await,
            ));
            let change = json!({ "current_password": "First-River-58!", "new_password": PASSWORD });
            sam.put("/sessions/current/password", &change)
                .await
                .expect(200);
            sam
        }
        _ => return,
    };
    for (what, path) in [
        ("listing users without the right", "/users"),
        ("listing invitations without the right", "/invitations"),
    ] {
        seen.push((what, user.get(path).await));
    }
}

/// Refusals for invited people whose link was revoked or has expired.
async fn old_links(
    world: &World,
    portal: &str,
    principal: &Person,
    seen: &mut Vec<(&'static str, Response)>,
) {
    let mut tokens = Vec::new();
    for address in ["withdrawn@staff.example", "late@staff.example"] {
        let person = json!({ "first_name": "Kim", "last_name": "Lind", "email": address });
        let invited = principal.post("/invitations", person).await;
        if invited.status != 201 {
            return;
        }
        tokens.push(link_token(&world.last_mail_to(address).await));
        if tokens.len() == 1 {
            let path = format!("/invitations/{}", invited.text_at("/id"));
            principal.delete(&path).await;
        }
    }
    world.pass_days(15);
    for (what, token) in [
        "an invitation that was withdrawn",
        "an invitation that is too old",
    ]
    .into_iter()
    .zip(tokens)
    {
        let look_up = world
            .on(portal)
            .post("/invitations/look-up", json!({ "token": token }))
            .await;
        seen.push((what, look_up));
    }
}

/// Refusals for a PIN or registration code that is wrong, locked or expired.
async fn pins(
    world: &World,
    portal: &str,
    principal: &Person,
    seen: &mut Vec<(&'static str, Response)>,
) {
    let described = world.on(portal).get("").await;
    let Some(digits) = described.body["pin_digits"].as_u64() else {
        return;
    };
    let letters = world.letters().await;
    let title = described.text_at("/title");
    let letter = letters.iter().rfind(|l| l.contains(title)).unwrap();
    let pin = pin_in(letter, usize::try_from(digits).unwrap());
    let enter = async |pin: &str| principal.enters_pin(pin).await;
    let reissued = principal.post("/pin/letter", json!({})).await;
    if reissued.status != 201 {
        seen.push((
            "asking for a new PIN where the help desk issues it",
            reissued,
        ));
    }
    // Without reissuing, the PIN is that of the letter; with it, the PIN is invalid and so also
    // wrong.
    seen.push(("a wrong PIN", enter(&another(&pin)).await));
    for _ in 0..3 {
        enter(&another(&pin)).await;
    }
    seen.push(("a wrong PIN, the last try", enter(&another(&pin)).await));
    seen.push(("a PIN after the last try", enter(&pin).await));
    if portal != "provider" {
        return;
    }
    // The codes of added users, once the account is active.
    let me = principal.get("/me").await.text_at("/id").to_owned();
    world
        .alter(portal, &me, |a| {
            a.memberships[0].pending_step = vestibule_domain::state::membership::PendingStep::Open
        })
        .await;
    let (username, code) = world.added_by(principal, "Nils").await;
    let redeem = async |code: &str| {
        let body = json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
        world
            .on(portal)
            .post("/registration-codes/redemption", body)
            .await
    };
    seen.push(("a wrong registration code", redeem(&another(&code)).await));
    for _ in 0..4 {
        redeem(&another(&code)).await;
    }
    seen.push((
        "a registration code after the last try",
        redeem(&code).await,
    ));
}

/// Refusals for a person who isn't eligible for a registration type.
async fn not_open(
    world: &World,
    portal: &str,
    body: &Value,
    seen: &mut Vec<(&'static str, Response)>,
) {
    let (number, tax_id, registration_type) = match portal {
        "practice" => ("PV30004", "006789012", "medical"),
        "provider" => ("PV30006", "008901234", "practice"),
        _ => return,
    };
    let body = with(
        with(body.clone(), "/registration_type", registration_type),
        "/verification",
        json!({ "provider_id": number, "tax_id": tax_id }),
    );
    let body = with(body, "/email", "other@provider.example");
    let body = if portal == "practice" {
        with(body, "/username", "other.name")
    } else {
        body
    };
    seen.push((
        "registering in a way that is not open",
        world.on(portal).registers(body).await,
    ));
}

#[tokio::test]
async fn ag_18_every_refusal_that_users_cannot_resolve_names_the_help_desk_of_their_portal() {
    let mut table = String::new();
    let world = World::new().await;
    for (portal, body) in everyone() {
        let described = world.on(portal).get("").await;
        let desk = &described.body["help_desk"];
        let (name, phone) = (
            described.text_at("/help_desk/name"),
            described.text_at("/help_desk/phone"),
        );
        assert!(!name.is_empty() && phone.len() >= 10, "{}", described.text);
        table.push_str(&format!("{portal}: {name}, {phone}\n"));
        for (what, refused) in refusals(&world, portal, body).await {
            assert!(refused.status >= 400, "{portal}, {what}: {}", refused.text);
            assert_eq!(
                refused.headers["content-type"], "application/problem+json",
                "{portal}, {what}"
            );
            assert_eq!(
                &refused.body["help_desk"], desk,
                "{portal}, {what}: {}",
                refused.text
            );
            // A sentence with a phone number contains this portal's help desk number.
            let detail = refused.text_at("/detail");
            assert_eq!(
                detail.contains("555-"),
                detail.contains(phone),
                "{portal}, {what}: {detail}"
            );
            table.push_str(&format!(
                "  {what}\n    {} {}: {detail}\n",
                refused.status,
                refused.problem()
            ));
        }
        table.push('\n');
    }
    insta::assert_snapshot!("refusals", table);
}

/// What an outsider can observe of a response, and its cost.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    calls: Vec<String>,
    hashes: u64,
}

/// A system whose calls are recorded.
async fn watched() -> (World, Calls) {
    let calls = Calls::default();
    let world = World::with(Options {
        interceptors: vec![calls.interceptor()],
        ..options()
    })
    .await;
    (world, calls)
}

/// Sends a request and records everything that could reveal something.
async fn see(world: &World, calls: &Calls, portal: &str, path: &str, body: &Value) -> Seen {
    calls.take();
    let before = world.hashes();
    let response = world.on(portal).post(path, body).await;
    let mut headers: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    Seen {
        status: response.status,
        headers,
        body: response.text.clone(),
        calls: calls.take(),
        hashes: world.hashes() - before,
    }
}

/// Asserts that every request looks and costs the same as the first, which is returned.
async fn see_same(
    world: &World,
    calls: &Calls,
    portal: &str,
    path: &str,
    requests: &[(&str, Value)],
) -> Seen {
    let (_, first) = &requests[0];
    let expected = see(world, calls, portal, path, first).await;
    for (what, request) in &requests[1..] {
        let seen = see(world, calls, portal, path, request).await;
        assert_eq!(seen, expected, "{portal}{path}: {what}");
    }
    expected
}

#[tokio::test]
async fn ux_09_signing_in_does_not_reveal_which_accounts_exist() {
    let (world, calls) = watched().await;
    let (helen, helens_name) = world.provider().await;
    let (pending, _) = world.added_by(&helen, "Nils").await;
    let member = world.member().await;
    let id = member.get("/me").await.text_at("/id").to_owned();
    let attempt = |name: &str| json!({ "username": name, "password": "Wrong-River-58!" });
    let seen = see_same(
        &world,
        &calls,
        "provider",
        "/sessions",
        &[
            ("an unknown name", attempt("prv23456789")),
            ("a known name, a wrong password", attempt(&helens_name)),
            ("a registration that isn't complete", attempt(&pending)),
            ("what can't be a username", attempt("no such name")),
            ("another portal's name", attempt("maria.alvarez")),
            (
                "a known name in capitals",
                attempt(&helens_name.to_uppercase()),
            ),
        ],
    )
    .await;
    assert_eq!((seen.status, seen.hashes), (401, 1));
    assert_eq!(
        seen.calls,
        [
            "BatchGetItem of 2",
            "GetItem of 1",
            "TransactWriteItems of 1",
            "UpdateItem of 1",
            "UpdateItem of 1"
        ]
    );

    // Nor which accounts were disabled or deleted.
    let ends: [fn(&mut Account); 2] = [|a| a.status = Status::Disabled, Account::delete];
    for end in ends {
        world.alter("member", &id, end).await;
        let requests = [
            ("an unknown name", attempt("nobody.at.all")),
            ("a name that was", attempt("maria.alvarez")),
        ];
        see_same(&world, &calls, "member", "/sessions", &requests).await;
    }
    let right = json!({ "username": "maria.alvarez", "password": PASSWORD });
    let requests = [
        ("an unknown name", attempt("nobody.at.all")),
        ("a deleted account, its right password", right),
    ];
    see_same(&world, &calls, "member", "/sessions", &requests).await;
}

#[tokio::test]
async fn ux_09_signing_in_does_not_reveal_which_usernames_were_chosen_again_after_a_deletion() {
    let (world, calls) = watched().await;
    let ruth = world.group_principal().await;
    let deleted = world.invited(&ruth, "Sam", "user").await;
    let path = format!("/users/{deleted}");
    ruth.delete(&path).await.expect(204);
    let renewed = world.invited(&ruth, "Sam", "user").await;
    assert_ne!(renewed, deleted, "the same username, a different account");
    let attempt = |name: &str| json!({ "username": name, "password": "Wrong-River-58!" });
    let requests = [
        ("an unknown name", attempt("nobody.at.all")),
        ("a name taken for the first time", attempt("ruth.okafor")),
        ("a name taken again", attempt("sam.lind")),
    ];
    let seen = see_same(&world, &calls, "group", "/sessions", &requests).await;
    assert_eq!((seen.status, seen.hashes), (401, 1), "{}", seen.body);

    // Nor do usernames with too many attempts.
    let mut last = Vec::new();
    for name in ["nobody.at.all", "ruth.okafor", "sam.lind"] {
        for _ in 0..9 {
            see(&world, &calls, "group", "/sessions", &attempt(name)).await;
        }
        last.push(see(&world, &calls, "group", "/sessions", &attempt(name)).await);
    }
    assert_eq!(last[0].status, 429);
    assert!(last.iter().all(|seen| *seen == last[0]), "{last:#?}");
}

#[tokio::test]
async fn ux_09_too_many_sign_ins_get_the_same_response_for_existing_and_unknown_usernames() {
    let (world, calls) = watched().await;
    world.register("group", group_principal()).await;
    let mut courses = Vec::new();
    for name in ["nobody.at.all", "ruth.okafor"] {
        let attempt = json!({ "username": name, "password": "Wrong-River-58!" });
        let mut course = Vec::new();
        for _ in 0..12 {
            course.push(see(&world, &calls, "group", "/sessions", &attempt).await);
        }
        courses.push(course);
    }
    assert_eq!(courses[0], courses[1]);
    let statuses: Vec<_> = courses[0].iter().map(|s| s.status).collect();
    assert_eq!(statuses, [[401; 10].as_slice(), &[429; 2]].concat());
    assert_eq!(
        courses[0][11].hashes, 0,
        "attempts over the limit are not compared"
    );
}

#[tokio::test]
async fn ux_09_registering_does_not_reveal_who_is_registered_or_on_record() {
    let (world, calls) = watched().await;
    for (portal, body) in everyone() {
        let described = world.on(portal).get("").await;
        let verification = body["verification"].as_object().unwrap();
        let (number, unknown) = match portal {
            "member" => ("enrollee_id", "999999999"),
            "agent" | "producer" => ("agent_id", "ZZ99999"),
            "group" | "employer" => ("group_number", "ZZ99999"),
            _ => ("provider_id", "ZZ99999"),
        };
        let (fact, wrong) = match portal {
            "member" => ("date_of_birth", "1911-11-11"),
            "agent" | "producer" => ("ssn_last4", "0000"),
            "group" | "employer" => ("tax_id_last4", "0000"),
            _ => ("tax_id", "999999999"),
        };
        assert!(verification.contains_key(number) && verification.contains_key(fact));
        world.register(portal, body.clone()).await;

        let stranger = with(body.clone(), "/email", "stranger@example.com");
        let named = described.text_at("/username_chosen_by") == "user";
        let stranger = if named {
            with(stranger, "/username", "some.stranger")
        } else {
            stranger
        };
        let mut requests = vec![
            (
                "the number is nobody's",
                with(
                    stranger.clone(),
                    &format!("/verification/{number}"),
                    unknown,
                ),
            ),
            (
                "the fact is wrong",
                with(stranger.clone(), &format!("/verification/{fact}"), wrong),
            ),
            ("what matches is registered", stranger.clone()),
            (
                "the same, with another password",
                with(body.clone(), "/password", "Other-River-58!"),
            ),
        ];
        if named {
            let owners = with(stranger, "/username", body["username"].clone());
            requests.push((
                "a username that is taken, a number that is nobody's",
                with(owners, &format!("/verification/{number}"), unknown),
            ));
        }
        let seen = see_same(&world, &calls, portal, "/registrations", &requests).await;
        assert_eq!(
            (seen.status, seen.hashes),
            (403, 1),
            "{portal}: {}",
            seen.body
        );
        assert_eq!(
            seen.calls,
            [
                "GetItem of 1",
                "Query of 1",
                "TransactWriteItems of 1",
                "UpdateItem of 1",
                "UpdateItem of 1",
                "UpdateItem of 1",
                "UpdateItem of 1"
            ],
            "{portal}"
        );
    }
}

#[tokio::test]
async fn ux_09_an_unavailable_registration_type_is_revealed_only_after_verification() {
    let (world, calls) = watched().await;
    let facility = |number: &str, tax_id: &str| {
        with(
            provider(),
            "/verification",
            json!({ "provider_id": number, "tax_id": tax_id }),
        )
    };
    let requests = [
        ("nobody's number", facility("ZZ99999", "008901234")),
        (
            "a facility's number with a wrong tax id",
            facility("PV30006", "999999999"),
        ),
    ];
    let seen = see_same(&world, &calls, "provider", "/registrations", &requests).await;
    assert_eq!(seen.status, 403);
    let reported = world
        .on("provider")
        .registers(facility("PV30006", "008901234"))
        .await;
    assert_eq!(reported.problem(), "not-open", "{}", reported.text);
}

#[tokio::test]
async fn ux_09_too_many_registrations_get_the_same_response_for_existing_and_unknown_records() {
    let (world, calls) = watched().await;
    world.register("member", member()).await;
    let known = with(member(), "/email", "stranger@example.com");
    let unknown = with(known.clone(), "/verification/enrollee_id", "999999999");
    let mut courses = Vec::new();
    for body in [unknown, known] {
        let mut course = Vec::new();
        for _ in 0..6 {
            course.push(see(&world, &calls, "member", "/registrations", &body).await);
        }
        courses.push(course);
    }
    assert_eq!(courses[0], courses[1]);
    let statuses: Vec<_> = courses[0].iter().map(|s| s.status).collect();
    assert_eq!(statuses, [403, 403, 403, 403, 403, 429]);
}

#[tokio::test]
async fn ux_09_redeeming_a_code_does_not_reveal_which_accounts_exist_or_have_a_pending_code() {
    let (world, calls) = watched().await;
    let (helen, principal) = world.provider().await;
    let (pending, code) = world.added_by(&helen, "Nils").await;
    let (redeemed, redeemed_code) = world.added_by(&helen, "Ida").await;
    let (deleted, deleted_code) = world.added_by(&helen, "Dell").await;
    let redemption = |name: &str, code: &str, password: &str| json!({ "username": name, "registration_code": code, "password": password, "hint": hint() });
    let path = "/registration-codes/redemption";
    world
        .on("provider")
        .post(path, redemption(&redeemed, &redeemed_code, PASSWORD))
        .await
        .expect(200);
    let users = helen.get("/users").await;
    let id = users
        .items()
        .iter()
        .find(|u| u["username"] == deleted.as_str())
        .unwrap()["id"]
        .clone();
    world
        .alter("provider", id.as_str().unwrap(), Account::delete)
        .await;

    let requests = [
        (
            "an unknown name",
            redemption("prv23456789", &code, "Other-River-58!"),
        ),
        (
            "a code that is wrong",
            redemption(&pending, &another(&code), "Other-River-58!"),
        ),
        (
            "another user's code",
            redemption(&pending, &deleted_code, "Other-River-58!"),
        ),
        (
            "an account without a code",
            redemption(&principal, &code, "Other-River-58!"),
        ),
        (
            "an account without a code, its password",
            redemption(&principal, &code, PASSWORD),
        ),
        (
            "a code that was redeemed, another password",
            redemption(&redeemed, &redeemed_code, "Other-River-58!"),
        ),
        (
            "a deleted account's own code",
            redemption(&deleted, &deleted_code, PASSWORD),
        ),
    ];
    let seen = see_same(&world, &calls, "provider", path, &requests).await;
    assert_eq!((seen.status, seen.hashes), (422, 2), "{}", seen.body);
    assert_eq!(
        seen.calls,
        [
            "BatchGetItem of 2",
            "TransactWriteItems of 1",
            "UpdateItem of 1",
            "UpdateItem of 1",
            "UpdateItem of 1"
        ]
    );

    // After the last attempt it is locked, and a username without a code looks the same.
    let names = ["prv98765432", &world.added_by(&helen, "Kim").await.0];
    let mut courses = Vec::new();
    for name in names {
        let mut course = Vec::new();
        for _ in 0..7 {
            course.push(
                see(
                    &world,
                    &calls,
                    "provider",
                    path,
                    &redemption(name, "RC000000", "Other-River-58!"),
                )
                .await,
            );
        }
        courses.push(course);
    }
    assert_eq!(courses[0], courses[1]);
    let statuses: Vec<_> = courses[0].iter().map(|s| s.status).collect();
    assert_eq!(statuses, [422, 422, 422, 422, 422, 410, 410]);
}

#[tokio::test]
async fn ux_09_redeeming_again_allows_no_more_guesses_at_a_password_than_the_code_had_attempts() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Ida").await;
    let redeem = async |password: &str, source: &str| {
        let body = json!({ "username": username, "registration_code": code, "password": password, "hint": hint() });
        let caller = world.on("provider").from_source(source);
        caller.post("/registration-codes/redemption", body).await
    };
    // A person who lost the response gets it again with the same password.
    for _ in 0..2 {
        redeem(PASSWORD, "192.0.2.1")
            .await
            .expect(200)
            .has("/registration", "registered");
    }
    let mut statuses = Vec::new();
    for n in 0..6 {
        statuses.push(
            redeem(&format!("Guess-River-{n}!"), &format!("192.0.2.{}", n + 2))
                .await
                .status,
        );
    }
    assert_eq!(statuses, [422, 422, 422, 422, 410, 410]);
    let right = redeem(PASSWORD, "192.0.2.99").await;
    assert_eq!(
        (right.status, right.problem()),
        (410, "code-locked"),
        "the right one is not looked at either"
    );
    let signed_in = world.on("provider").signs_in(&username, PASSWORD).await;
    assert_eq!(
        signed_in.status, 201,
        "signing in is another door: {}",
        signed_in.text
    );
}

#[tokio::test]
async fn ux_09_a_forged_link_does_not_reveal_which_invitations_exist() {
    let (world, calls) = watched().await;
    let ruth = world.group_principal().await;
    let first = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let path = format!(
        "/invitations/{}/resend",
        ruth.get("/invitations").await.text_at("/items/0/id")
    );
    ruth.post(&path, json!({})).await.expect(200);
    let current = link_token(&world.last_mail_to("sam@blueheron.example").await);

    let parts: Vec<&str> = current.split('.').collect();
    let [kind, organization, id, secret] = parts[..] else {
        panic!("{current}")
    };
    let reversed = |text: &str| text.chars().rev().collect::<String>();
    let made_up = "A".repeat(secret.len());
    let tokens = [
        (
            "nobody's invitation",
            format!(
                "{kind}.{}.{}.{made_up}",
                reversed(organization),
                reversed(id)
            ),
        ),
        (
            "another invitation of the organization",
            format!("{kind}.{organization}.{}.{made_up}", reversed(id)),
        ),
        (
            "an invitation that is pending",
            format!("{kind}.{organization}.{id}.{made_up}"),
        ),
        ("a link that was replaced", first),
    ];
    let look_ups = tokens
        .clone()
        .map(|(what, token)| (what, json!({ "token": token })));
    let seen = see_same(&world, &calls, "group", "/invitations/look-up", &look_ups).await;
    assert_eq!(
        (seen.status, seen.hashes, seen.calls),
        (404, 0, vec!["GetItem of 1".to_owned()]),
        "{}",
        seen.body
    );
    let acceptances = tokens.clone().map(|(what, token)| {
        (
            what,
            World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind"),
        )
    });
    let accepted = see_same(&world, &calls, "group", "/invitations/accept", &acceptances).await;
    assert_eq!(
        (accepted.status, &accepted.body, accepted.hashes),
        (404, &seen.body, 0)
    );

    // A session token is not an invitation, however it is disguised.
    let begun = world.on("group").signs_in("ruth.okafor", PASSWORD).await;
    for token in [
        begun.text_at("/token").to_owned(),
        begun.text_at("/token").replacen("vs.", "vi.", 1),
        String::new(),
    ] {
        let refused = see(
            &world,
            &calls,
            "group",
            "/invitations/look-up",
            &json!({ "token": token }),
        )
        .await;
        assert_eq!((refused.status, &refused.body), (404, &seen.body));
    }

    // Only a person with the link learns that an invitation was accepted or revoked.
    let body = World::acceptance(&current, "Sam", "sam@blueheron.example", "sam.lind");
    world.on("group").accepts(body).await.expect(201);
    let look_ups = tokens.map(|(what, token)| (what, json!({ "token": token })));
    assert_eq!(
        see_same(&world, &calls, "group", "/invitations/look-up", &look_ups)
            .await
            .body,
        seen.body
    );
}

/// A token with the id of somebody's account, or of nobody's, and a secret that was made up.
fn forged(kind: &str, id: &str) -> String {
    format!("{kind}.{id}.{}", "A".repeat(43))
}

/// An id that is nobody's: that of somebody, spelled backwards.
fn nobodys(id: &str) -> String {
    id.chars().rev().collect()
}

#[tokio::test]
async fn ux_09_a_forged_session_does_not_reveal_whose_id_it_contains() {
    let (world, calls) = watched().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let gone = world.on("member");
    for (method, path, body) in [
        (Method::GET, "/me", None),
        (Method::GET, "/entitlements", None),
        (
            Method::PUT,
            "/me/email",
            Some(json!({ "email": "eve@example.com", "password": PASSWORD })),
        ),
        (Method::DELETE, "/sessions/current", None),
    ] {
        let mut seen = Vec::new();
        for id in [&id, &nobodys(&id)] {
            let forger = gone.with_token(&forged("vs", id));
            calls.take();
            let response = forger.send(method.clone(), path, body.as_ref()).await;
            seen.push((response.status, response.text.clone(), calls.take()));
        }
        assert_eq!(seen[0], seen[1], "{path}");
        assert_eq!(
            (seen[0].0, seen[0].2.as_slice()),
            (401, ["BatchGetItem of 2".to_owned()].as_slice())
        );
    }
}

#[tokio::test]
async fn ux_09_a_forged_link_does_not_reveal_whose_id_it_contains() {
    let (world, calls) = watched().await;
    let maria = world.member().await;
    let ruth = world.group_principal().await;
    let group = world.on("group");
    // Ruth has requested another email address and a new password.
    let change = json!({ "email": "ruth@elsewhere.example", "password": PASSWORD });
    ruth.put("/me/email", change).await.expect(202);
    let ask = json!({ "username": "ruth.okafor" });
    group.post("/password-resets", ask).await.expect(202);
    world.instance.settle().await.unwrap();
    let (ruths, marias) = (ruth.id().await, maria.id().await);

    let one_read = vec!["GetItem of 1".to_owned()];
    let of = |kind: &str| {
        [&ruths, &nobodys(&ruths), &marias]
            .map(|id| ("a forged link", json!({ "token": forged(kind, id) })))
    };
    for (kind, path, status) in [
        ("ve", "/email-confirmations", 410),
        ("vx", "/second-factor-reset-cancellations", 410),
        ("vr", "/password-resets/look-up", 410),
        ("vh", "/password-resets/look-up", 410),
    ] {
        let seen = see_same(&world, &calls, "group", path, &of(kind)).await;
        assert_eq!(
            (seen.status, seen.hashes),
            (status, 0),
            "{path}: {}",
            seen.body
        );
        assert_eq!(seen.calls, one_read, "{path}: only the token is looked up");
    }
    for kind in ["vr", "vh"] {
        let redemptions =
            of(kind).map(|(what, body)| (what, with(body, "/new_password", "Calm-Harbor-71!")));
        let path = "/password-resets/redemption";
        let seen = see_same(&world, &calls, "group", path, &redemptions).await;
        assert_eq!((seen.status, seen.hashes), (403, 1), "{}", seen.body);
    }
}

#[tokio::test]
async fn ux_09_an_account_id_cannot_be_computed_from_the_username() {
    let mut ids = Vec::new();
    // Each of these systems has its own keyring.
    for _ in 0..2 {
        let world = World::with(Options {
            observers: vec![Calls::default().interceptor()],
            ..options()
        })
        .await;
        ids.push(world.member().await.id().await);
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn ux_09_the_member_portal_reveals_nothing_about_dependents_to_strangers() {
    let (world, calls) = watched().await;
    let person = |id: &str, born: &str, name: &str| {
        json!({
            "registration_type": "member",
            "verification": { "enrollee_id": id, "subscriber_last_name": "Alvarez", "date_of_birth": born },
            "first_name": name, "last_name": "Alvarez", "email": "stranger@example.com",
            "username": "some.stranger", "password": PASSWORD, "security_answers": security_answers(),
        })
    };
    world
        .register("member", person("100200301", "2006-09-30", "Diego"))
        .await;
    let requests = [
        (
            "nobody's number",
            person("999999999", "2006-09-30", "Diego"),
        ),
        (
            "a registered dependent",
            with(
                person("100200301", "2006-09-30", "Diego"),
                "/username",
                "other.stranger",
            ),
        ),
        (
            "nobody's day of birth",
            person("100200301", "1999-09-09", "Diego"),
        ),
    ];
    let seen = see_same(&world, &calls, "member", "/registrations", &requests).await;
    assert_eq!(seen.status, 403, "{}", seen.body);
}
