//! Second factors: setting them up, giving them, and what they confirm. The authenticators are not part of this
//! project.

use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_local::Options;
use vestibule_tests::authenticator::{Browser, app_code};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, group_principal};
use vestibule_tests::{World, options, portals_with};

const RUTH: &str = "ruth@blueheron.example";

const SITE: &str = "https://groups.harborlight.example";

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// Returns the request that gives an app's code.
fn code(code: &str) -> Value {
    json!({ "factor": { "code": code } })
}

/// Answers the challenge of the session.
async fn signed(person: &Person, browser: &mut Browser) -> Value {
    let path = "/sessions/current/passkey-challenge";
    let started = person.send(Method::POST, path, None).await.expect(200);
    let credential = browser.get(&started.body["options"]).await;
    json!({ "factor": { "passkey": { "ceremony": started.text_at("/ceremony"), "credential": credential } } })
}

/// Signs Ruth in on a device.
async fn on_device(world: &World, password: &str, device: &str) -> (Person, Response) {
    let visitor = world.on("group");
    let body = json!({ "username": "ruth.okafor", "password": password, "token_delivery": "body", "device": device });
    let session = visitor.post("/sessions", body).await.expect(201);
    (visitor.with_token(session.text_at("/token")), session)
}

const NEW_PASSWORD: &str = "Entirely-new-password-7";

/// Sets a new password with a link that the help desk sends to Ruth's address.
async fn resets_password(world: &World, agent: &Person, id: &str) {
    let reset = format!("/accounts/group/{id}/password-reset");
    let reason = json!({ "reason": "Caller forgot the password." });
    agent.post(&reset, reason).await;
    let token = vestibule_tests::link_token(&world.last_mail_to(RUTH).await);
    let body = json!({ "token": token, "new_password": NEW_PASSWORD });
    let done = world
        .on("group")
        .post("/password-resets/redemption", body)
        .await;
    assert!(done.status < 300, "{}", done.text);
}

/// Returns Ruth, signed in with her password only.
async fn ruth(world: &World) -> (Person, Response) {
    let ruth = world.on("group").sign_in("ruth.okafor", PASSWORD).await;
    (ruth.0, ruth.1.expect(201))
}

#[tokio::test]
async fn mf_01_a_user_adds_names_lists_and_removes_passkeys_and_apps() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut browser = Browser::on(SITE, true);
    ruth.adds_app(&world, "Phone").await;
    ruth.adds_passkey(&mut browser, "Laptop").await.expect(201);
    let codes = ruth.creates_recovery_codes().await;
    assert_eq!(codes.len(), 10);

    let factors = ruth.get("/me/second-factors").await.expect(200);
    let factors = factors
        .has("/authenticator_apps/0/name", "Phone")
        .has("/passkeys/0/name", "Laptop");
    assert_eq!(factors.body["recovery_codes_left"], 10);
    assert_eq!(factors.body["is_required"], false);

    let laptop = factors.text_at("/passkeys/0/id");
    let path = format!("/me/second-factors/{laptop}");
    ruth.patch(&path, json!({ "name": "Work laptop" }))
        .await
        .expect(204);
    let renamed = ruth.get("/me/second-factors").await.expect(200);
    renamed.has("/passkeys/0/name", "Work laptop");
    ruth.delete(&path).await.expect(204);
    ruth.delete(&path).await.refused(404, "not-found");

    // Each change is announced.
    let mails = world.mails_to(RUTH).await;
    let subjects: Vec<_> = mails.iter().map(|m| m.subject.as_str()).collect();
    for subject in [
        "An authenticator app was added",
        "A passkey was added",
        "New recovery codes",
        "A passkey was removed",
    ] {
        assert!(
            subjects.iter().any(|s| s.starts_with(subject)),
            "{subject}: {subjects:?}"
        );
    }
}

#[tokio::test]
async fn mf_01_a_change_of_factors_is_confirmed_with_the_password_or_a_recent_factor() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let enroll = "/me/authenticator-apps/enrollment";
    world.pass(minutes(11));
    let late = ruth.send(Method::POST, enroll, None).await;
    late.refused(403, "step-up-required");
    // Without a factor, the password confirms.
    let confirmation = "/sessions/current/password-confirmation";
    let wrong = json!({ "password": "Not-her-password-1" });
    ruth.put(confirmation, wrong).await.invalid("password");
    ruth.put(confirmation, json!({ "password": PASSWORD }))
        .await
        .expect(200);
    let secret = ruth.adds_app(&world, "Phone").await;
    // With one, only the factor does.
    world.pass(minutes(11));
    ruth.put(confirmation, json!({ "password": PASSWORD }))
        .await
        .expect(200);
    let late = ruth.send(Method::POST, enroll, None).await;
    late.refused(403, "step-up-required");
    ruth.gives_factor(code(&app_code(&secret, world.now())))
        .await
        .expect(200);
    ruth.send(Method::POST, enroll, None).await.expect(200);
}

#[tokio::test]
async fn mf_01_an_enrollment_ends_after_a_while_and_belongs_to_its_session() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let (other, _) = self::ruth(&world).await;
    let path = "/me/authenticator-apps/enrollment";
    let started = ruth.send(Method::POST, path, None).await.expect(200);
    let body = |world: &World| {
        json!({
            "name": "Phone",
            "enrollment": started.text_at("/enrollment"),
            "code": app_code(started.text_at("/secret"), world.now()),
        })
    };
    let elsewhere = other.post("/me/authenticator-apps", body(&world)).await;
    elsewhere.refused(410, "enrollment-unusable");
    let mut wrong = body(&world);
    wrong["code"] = json!("000000");
    ruth.post("/me/authenticator-apps", wrong)
        .await
        .invalid("code");
    world.pass(minutes(9));
    world.pass(minutes(6));
    let confirmation = json!({ "password": PASSWORD });
    ruth.put("/sessions/current/password-confirmation", confirmation)
        .await
        .expect(200);
    let late = ruth.post("/me/authenticator-apps", body(&world)).await;
    late.refused(410, "enrollment-unusable");
}

#[tokio::test]
async fn mf_01_the_number_of_factors_is_limited_and_none_is_added_twice() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut browser = Browser::on(SITE, true);
    for n in 0..3 {
        ruth.adds_app(&world, &format!("App {n}")).await;
    }
    let path = "/me/authenticator-apps/enrollment";
    let started = ruth.send(Method::POST, path, None).await.expect(200);
    let fourth = json!({
        "name": "App 4",
        "enrollment": started.text_at("/enrollment"),
        "code": app_code(started.text_at("/secret"), world.now()),
    });
    ruth.post("/me/authenticator-apps", fourth)
        .await
        .refused(409, "too-many-factors");

    let started = ruth
        .send(Method::POST, "/me/passkeys/challenge", None)
        .await;
    let started = started.expect(200);
    let credential = browser.create(&started.body["options"]).await;
    let body = json!({
        "name": "Laptop",
        "passkey": { "ceremony": started.text_at("/ceremony"), "credential": credential },
    });
    ruth.post("/me/passkeys", body.clone()).await.expect(201);
    ruth.post("/me/passkeys", body)
        .await
        .refused(409, "already-added");
    for n in 1..10 {
        let name = format!("Key {n}");
        let mut another = Browser::on(SITE, true);
        ruth.adds_passkey(&mut another, &name).await.expect(201);
    }
    let mut eleventh = Browser::on(SITE, true);
    let refused = ruth.adds_passkey(&mut eleventh, "Key 11").await;
    refused.refused(409, "too-many-factors");
}

#[tokio::test]
async fn mf_02_a_role_that_requires_a_factor_is_led_to_set_one_up_and_reaches_nothing_else() {
    let required = "[second_factor]\nrequired_for = [\"principal\"]";
    let portals = portals_with("group", &[("[second_factor]", required)], "");
    let world = World::with(Options {
        portals: portals.path().to_owned(),
        optional_factors: false,
        ..options()
    })
    .await;
    let registered = world.register("group", group_principal()).await;
    registered.has("/next_step", "set_up_second_factor");
    let (ruth, session) = self::ruth(&world).await;
    session.has("/next_step", "set_up_second_factor");
    for path in ["/users", "/invitations", "/entitlements"] {
        let refused = ruth.get(path).await.refused(403, "next-step-required");
        refused.has("/next_step", "set_up_second_factor");
    }
    ruth.patch("/me", json!({ "first_name": "Rut" }))
        .await
        .refused(403, "next-step-required");
    let codes = ruth.send(Method::POST, "/me/recovery-codes", None).await;
    codes.refused(403, "next-step-required");

    // Enrollment stays reachable, also when the sign-in was a while ago.
    world.pass(minutes(11));
    let confirmation = json!({ "password": PASSWORD });
    ruth.put("/sessions/current/password-confirmation", confirmation)
        .await
        .expect(200);
    ruth.adds_app(&world, "Phone").await;
    ruth.get("/users").await.expect(200);

    // The last one stays.
    let factors = ruth.get("/me/second-factors").await.expect(200);
    assert_eq!(factors.body["is_required"], true);
    let path = format!(
        "/me/second-factors/{}",
        factors.text_at("/authenticator_apps/0/id")
    );
    ruth.delete(&path).await.refused(409, "last-factor");
}

#[tokio::test]
async fn mf_03_a_passkey_that_verifies_its_user_signs_in_alone() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut browser = Browser::on(SITE, true);
    ruth.adds_passkey(&mut browser, "Laptop").await.expect(201);

    let visitor = world.on("group");
    let body = visitor.signs_challenge(&mut browser).await;
    let session = visitor
        .post("/sessions/passkey", body.clone())
        .await
        .expect(201);
    assert_eq!(session.body.get("next_step"), None);
    let ruth = visitor.with_token(session.text_at("/token"));
    ruth.get("/users").await.expect(200);

    // Once only.
    visitor
        .post("/sessions/passkey", body)
        .await
        .refused(401, "sign-in-failed");
    // On its own portal only.
    let elsewhere = visitor.signs_challenge(&mut browser).await;
    let refused = world.on("agent").post("/sessions/passkey", elsewhere).await;
    refused.refused(401, "sign-in-failed");
    // Within five minutes.
    let late = visitor.signs_challenge(&mut browser).await;
    world.pass(minutes(5) + SignedDuration::from_secs(1));
    visitor
        .post("/sessions/passkey", late)
        .await
        .refused(401, "sign-in-failed");
}

#[tokio::test]
async fn mf_03_an_unknown_passkey_and_a_wrong_signature_look_the_same() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let (mut browser, mut stranger) = (Browser::on(SITE, true), Browser::on(SITE, true));
    ruth.adds_passkey(&mut browser, "Laptop").await.expect(201);
    let visitor = world.on("group");
    // The stranger's passkey belongs to an account of another installation.
    let other = World::new().await;
    let foreign = other.group_principal().await;
    foreign
        .adds_passkey(&mut stranger, "Other")
        .await
        .expect(201);
    let unknown = visitor.signs_challenge(&mut stranger).await;
    let mut forged = visitor.signs_challenge(&mut browser).await;
    forged["passkey"]["credential"]["response"]["signature"] = json!("MEUCIQ");
    let unknown = visitor.post("/sessions/passkey", unknown).await;
    let forged = visitor.post("/sessions/passkey", forged).await;
    assert_eq!(
        (unknown.status, &unknown.text),
        (forged.status, &forged.text)
    );
    unknown.refused(401, "sign-in-failed");
}

#[tokio::test]
async fn mf_03_a_passkey_without_verification_of_its_user_is_only_a_second_factor() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut key = Browser::on(SITE, false);
    ruth.adds_passkey(&mut key, "Security key")
        .await
        .expect(201);
    let (ruth, session) = self::ruth(&world).await;
    session.has("/next_step", "enter_second_factor");
    let body = signed(&ruth, &mut key).await;
    let session = ruth.gives_factor(body).await.expect(200);
    assert_eq!(session.body.get("next_step"), None);
}

#[tokio::test]
async fn mf_04_a_session_reveals_nothing_about_the_person_before_the_factor() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let secret = ruth.adds_app(&world, "Phone").await;
    let id = ruth.id().await;
    let (ruth, session) = self::ruth(&world).await;
    let session = session.has("/next_step", "enter_second_factor");
    assert_eq!(session.body.get("user_id"), None);
    for secret in ["Okafor", "blueheron", "organization_id"] {
        assert!(!session.text.contains(secret), "{secret}: {}", session.text);
    }
    assert_eq!(session.body["second_factors"], json!(["authenticator_app"]));
    for path in [
        "/me",
        "/sessions",
        "/users",
        "/me/activity",
        "/me/second-factors",
    ] {
        let refused = ruth.get(path).await.refused(403, "next-step-required");
        let refused = refused.has("/next_step", "enter_second_factor");
        assert!(!refused.text.contains(&id), "{path}: {}", refused.text);
    }
    let changes = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let refused = ruth.put("/sessions/current/password", changes).await;
    refused.refused(403, "next-step-required");
    world.pass(SignedDuration::from_secs(30));
    ruth.gives_factor(code(&app_code(&secret, world.now())))
        .await
        .expect(200);
    ruth.get("/me").await.expect(200);
}

#[tokio::test]
async fn mf_04_nobody_learns_who_has_a_factor_before_the_password_is_right() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let without = world
        .on("group")
        .signs_in("ruth.okafor", "Not-her-password-1")
        .await;
    ruth.adds_app(&world, "Phone").await;
    let with = world
        .on("group")
        .signs_in("ruth.okafor", "Not-her-password-1")
        .await;
    assert_eq!((without.status, &without.text), (with.status, &with.text));
    // A challenge for signing in by a passkey names nobody's.
    let path = "/passkey-challenges";
    let challenge = world
        .on("group")
        .send(Method::POST, path, None)
        .await
        .expect(200);
    assert_eq!(challenge.body["options"]["allowCredentials"], json!([]));
}

#[tokio::test]
async fn mf_05_a_code_is_accepted_once_also_when_it_is_used_fifty_times_at_once() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let secret = ruth.adds_app(&world, "Phone").await;
    let (ruth, _) = self::ruth(&world).await;
    // The code that proved the app is used up.
    ruth.gives_factor(code(&app_code(&secret, world.now())))
        .await
        .refused(422, "second-factor-wrong");
    world.pass(SignedDuration::from_secs(30));
    accepted_once(&world, code(&app_code(&secret, world.now()))).await;
    // The clock of the phone may be half a minute off, but an older code than the last is of no use.
    world.pass_days(1);
    let before = world.now() - SignedDuration::from_secs(30);
    let (ruth, _) = self::ruth(&world).await;
    let now = code(&app_code(&secret, world.now()));
    ruth.gives_factor(now).await.expect(200);
    ruth.gives_factor(code(&app_code(&secret, before)))
        .await
        .refused(422, "second-factor-wrong");
}

#[tokio::test]
async fn mf_05_a_recovery_code_is_accepted_once_also_when_it_is_used_fifty_times_at_once() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    ruth.adds_app(&world, "Phone").await;
    let codes = ruth.creates_recovery_codes().await;
    // Typed as people do.
    let typed = codes[0].to_lowercase().replace('-', " ");
    accepted_once(&world, json!({ "factor": { "recovery_code": typed } })).await;
    let mail = world.last_mail_to(RUTH).await;
    assert!(mail.text.contains("9 codes are left"), "{}", mail.text);
    // New codes replace the old ones.
    world.pass_days(1);
    let ruth = {
        let (ruth, _) = self::ruth(&world).await;
        let body = json!({ "factor": { "recovery_code": codes[1] } });
        ruth.gives_factor(body).await.expect(200);
        ruth
    };
    ruth.creates_recovery_codes().await;
    let (again, _) = self::ruth(&world).await;
    let body = json!({ "factor": { "recovery_code": codes[2] } });
    again
        .gives_factor(body)
        .await
        .refused(422, "second-factor-wrong");
}

/// Uses a factor in sessions of Ruth at once, as often as the limit allows; it must be accepted once.
async fn accepted_once(world: &World, body: Value) {
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(self::ruth(world).await.0);
    }
    // Fifty requests, of which the limit lets some through.
    let requests = (0..50).map(|n| sessions[n % 10].gives_factor(body.clone()));
    let responses = join_all(requests).await;
    let accepted = responses.iter().filter(|r| r.status == 200).count();
    assert_eq!(
        accepted,
        1,
        "{:?}",
        responses.iter().map(|r| r.status).collect::<Vec<_>>()
    );
    let others = responses.iter().filter(|r| r.status != 200);
    assert!(others.clone().all(|r| [409, 422, 429].contains(&r.status)));
}

#[tokio::test]
async fn mf_05_a_signature_is_accepted_once_also_when_it_is_used_fifty_times_at_once_and_only_in_its_session()
 {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut browser = Browser::on(SITE, true);
    ruth.adds_passkey(&mut browser, "Laptop").await.expect(201);
    let (ruth, _) = self::ruth(&world).await;
    let (other, _) = self::ruth(&world).await;
    let body = signed(&ruth, &mut browser).await;
    other
        .gives_factor(body.clone())
        .await
        .refused(422, "second-factor-wrong");
    let responses = join_all((0..50).map(|_| ruth.gives_factor(body.clone()))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) = responses.iter().partition(|r| r.status == 200);
    assert_eq!(accepted.len(), 1);
    assert!(refused.iter().all(|r| [409, 422, 429].contains(&r.status)));
    let repeated = ruth.gives_factor(body).await;
    assert!([422, 429].contains(&repeated.status), "{}", repeated.text);
}

#[tokio::test]
async fn mf_05_wrong_factors_are_counted_for_a_day_and_the_help_desk_unlocks() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let secret = ruth.adds_app(&world, "Phone").await;
    let id = ruth.id().await;
    let (ruth, _) = self::ruth(&world).await;
    for _ in 0..10 {
        ruth.gives_factor(code("000000"))
            .await
            .refused(422, "second-factor-wrong");
    }
    world.pass(minutes(10));
    let right = code(&app_code(&secret, world.now()));
    ruth.gives_factor(right)
        .await
        .refused(429, "too-many-attempts");
    assert!(world.refusals("enter_second_factor").await.len() >= 10);
    let desk = world.help_desk().await;
    let unlock = format!("/accounts/group/{id}/unlock");
    desk.agent
        .post(&unlock, json!({ "reason": "Caller typed old codes." }))
        .await
        .expect(200);
    let (ruth, _) = self::ruth(&world).await;
    ruth.gives_factor(code(&app_code(&secret, world.now())))
        .await
        .expect(200);
}

#[tokio::test]
async fn mf_05_a_factor_is_exactly_one_and_well_formed() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    ruth.adds_app(&world, "Phone").await;
    for factor in [
        json!({}),
        json!({ "code": "123456", "recovery_code": "7K3M-9QXT-2WVB" }),
        json!({ "code": "1".repeat(41) }),
    ] {
        ruth.gives_factor(json!({ "factor": factor }))
            .await
            .invalid("code");
    }
    let short = json!({ "factor": { "recovery_code": "7K3M" } });
    ruth.gives_factor(short).await.invalid("recovery_code");
    let passkey = json!({ "factor": { "passkey": { "ceremony": "x", "credential": "text" } } });
    ruth.gives_factor(passkey).await.invalid("credential");
}

#[tokio::test]
async fn mf_07_sensitive_actions_require_a_recent_factor() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let user = world.staff(&ruth, "Sam", "user").await.id().await;
    let administrator = world.staff(&ruth, "Ada", "administrator").await.id().await;
    // Without a factor there is nothing to confirm with.
    ruth.get("/users.csv").await.expect(200);
    let secret = ruth.adds_app(&world, "Phone").await;
    world.pass(minutes(11));
    let grant = json!({ "role": "administrator", "services": [], "group_codes": [] });
    ruth.get("/users.csv")
        .await
        .refused(403, "step-up-required");
    ruth.put(&format!("/users/{user}/access"), grant.clone())
        .await
        .refused(403, "step-up-required");
    ruth.invites("Tara", "administrator")
        .await
        .refused(403, "step-up-required");
    ruth.delete(&format!("/users/{administrator}"))
        .await
        .refused(403, "step-up-required");
    // Others go on without.
    ruth.get("/users").await.expect(200);
    ruth.invites("Uma", "user").await.expect(201);
    ruth.gives_factor(code(&app_code(&secret, world.now())))
        .await
        .expect(200);
    ruth.get("/users.csv").await.expect(200);
    ruth.put(&format!("/users/{user}/access"), grant)
        .await
        .expect(200);
    ruth.delete(&format!("/users/{administrator}"))
        .await
        .expect(204);
}

#[tokio::test]
async fn mf_07_every_help_desk_action_requires_a_recent_factor() {
    let world = World::new().await;
    let member = world.member().await.id().await;
    let desk = world.help_desk().await;
    let secret = desk.agent.adds_app(&world, "Phone").await;
    let reason = json!({ "reason": "Caller asked for it." });
    let unlock = format!("/accounts/member/{member}/unlock");
    desk.agent.post(&unlock, reason.clone()).await.expect(200);
    for _ in 0..3 {
        world.pass(minutes(4));
        desk.agent
            .get(&format!("/accounts/member/{member}"))
            .await
            .expect(200);
    }
    desk.agent
        .post(&unlock, reason.clone())
        .await
        .refused(403, "step-up-required");
    desk.agent
        .gives_factor(code(&app_code(&secret, world.now())))
        .await
        .expect(200);
    desk.agent.post(&unlock, reason).await.expect(200);
}

#[tokio::test]
async fn mf_08_a_trusted_device_needs_no_factor_for_as_long_as_the_policy_says() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let secret = ruth.adds_app(&world, "Phone").await;
    let sign_in = async |device: String| on_device(&world, PASSWORD, &device).await;
    let (home, office) = ("A".repeat(43), format!("{}E", "B".repeat(42)));
    let (ruth, _) = sign_in(home.clone()).await;
    world.pass(SignedDuration::from_secs(30));
    let mut given = code(&app_code(&secret, world.now()));
    given["trust_device"] = json!(true);
    ruth.gives_factor(given).await.expect(200);

    let (trusted, session) = sign_in(home.clone()).await;
    assert_eq!(session.body.get("next_step"), None, "{}", session.text);
    // The device alone confirms nothing.
    trusted
        .get("/users.csv")
        .await
        .refused(403, "step-up-required");
    let (_, elsewhere) = sign_in(office).await;
    elsewhere.has("/next_step", "enter_second_factor");

    world.pass_days(30);
    let (_, later) = sign_in(home.clone()).await;
    later.has("/next_step", "enter_second_factor");
}

#[tokio::test]
async fn mf_08_trusted_devices_are_listed_and_each_can_be_removed() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let secret = ruth.adds_app(&world, "Phone").await;
    let (home, office) = ("A".repeat(43), format!("{}E", "B".repeat(42)));
    for device in [&home, &office] {
        let (ruth, _) = on_device(&world, PASSWORD, device).await;
        world.pass(SignedDuration::from_secs(30));
        let mut given = code(&app_code(&secret, world.now()));
        given["trust_device"] = json!(true);
        ruth.gives_factor(given).await.expect(200);
    }
    let (ruth, _) = on_device(&world, PASSWORD, &office).await;
    let listed = ruth.get("/me/second-factors").await.expect(200);
    let devices = listed.body["trusted_devices"].as_array().unwrap().clone();
    assert_eq!(devices.len(), 2, "{}", listed.text);
    let of = |current: bool| devices.iter().find(|d| d["is_current"] == current).unwrap();
    assert_eq!(of(false)["program"], "an unknown program");
    let id = of(false)["id"].as_str().unwrap();
    let path = format!("/me/second-factors/{id}");

    // Removing one requires a confirmation, and ends the trust in that one alone.
    ruth.delete(&path).await.refused(403, "step-up-required");
    world.pass(SignedDuration::from_secs(30));
    ruth.gives_factor(code(&app_code(&secret, world.now())))
        .await
        .expect(200);
    ruth.patch(&path, json!({ "name": "Office" }))
        .await
        .refused(404, "not-found");
    ruth.delete(&path).await.expect(204);
    ruth.delete(&path).await.refused(404, "not-found");
    let left = ruth.get("/me/second-factors").await.expect(200);
    assert_eq!(left.body["trusted_devices"].as_array().unwrap().len(), 1);
    assert_eq!(left.body["authenticator_apps"].as_array().unwrap().len(), 1);
    let (_, session) = on_device(&world, PASSWORD, &home).await;
    session.has("/next_step", "enter_second_factor");
    let (ruth, session) = on_device(&world, PASSWORD, &office).await;
    assert_eq!(session.body.get("next_step"), None, "{}", session.text);
    let trail = ruth.get("/audit-events?action=remove_trusted_device").await;
    assert_eq!(trail.expect(200).items().len(), 1);
}

#[tokio::test]
async fn mf_08_a_new_password_ends_the_trust_and_a_passkey_signs_in_only_with_it() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut browser = Browser::on(SITE, true);
    ruth.adds_passkey(&mut browser, "Laptop").await.expect(201);
    let id = ruth.id().await;
    let home = "A".repeat(43);
    let (ruth, _) = on_device(&world, PASSWORD, &home).await;
    let mut given = signed(&ruth, &mut browser).await;
    given["trust_device"] = json!(true);
    ruth.gives_factor(given).await.expect(200);
    let (_, trusted) = on_device(&world, PASSWORD, &home).await;
    assert_eq!(trusted.body.get("next_step"), None, "{}", trusted.text);

    let desk = world.help_desk().await;
    resets_password(&world, &desk.agent, &id).await;
    let (_, trusted) = on_device(&world, NEW_PASSWORD, &home).await;
    trusted.has("/next_step", "enter_second_factor");
    let visitor = world.on("group");

    // No recovery removes a factor, and nobody signs in by a passkey that was there before.
    let alone = visitor.signs_challenge(&mut browser).await;
    visitor
        .post("/sessions/passkey", alone)
        .await
        .refused(401, "sign-in-failed");
    let (ruth, session) = visitor.sign_in("ruth.okafor", NEW_PASSWORD).await;
    session.expect(201).has("/next_step", "enter_second_factor");
    let body = signed(&ruth, &mut browser).await;
    ruth.gives_factor(body).await.expect(200);
    let alone = visitor.signs_challenge(&mut browser).await;
    visitor.post("/sessions/passkey", alone).await.expect(201);
}

#[tokio::test]
async fn mf_06_the_help_desk_resets_a_lost_factor_and_the_owner_proves_the_address_on_record() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let mut browser = Browser::on(SITE, true);
    ruth.adds_app(&world, "Phone").await;
    ruth.adds_passkey(&mut browser, "Laptop").await.expect(201);
    let codes = ruth.creates_recovery_codes().await;
    let id = ruth.id().await;
    let desk = world.help_desk().await;
    let secure = format!("/accounts/group/{id}/secure");
    let body = json!({ "reason": "Caller lost the phone.", "clear_second_factors": true });
    desk.agent.post(&secure, body).await.expect(200);
    let mail = world.last_mail_to(RUTH).await;
    assert!(
        mail.text.contains("recovery codes were removed"),
        "{}",
        mail.text
    );

    // Nothing that was there before is of use, the password included.
    let visitor = world.on("group");
    let alone = visitor.signs_challenge(&mut browser).await;
    visitor
        .post("/sessions/passkey", alone)
        .await
        .refused(401, "sign-in-failed");
    let old = visitor.signs_in("ruth.okafor", PASSWORD).await;
    old.refused(401, "sign-in-failed");

    // The link to the address on record leads in, and new factors are set up.
    resets_password(&world, &desk.agent, &id).await;
    let (ruth, session) = visitor.sign_in("ruth.okafor", NEW_PASSWORD).await;
    let session = session.expect(201);
    assert_eq!(session.body.get("next_step"), None, "{}", session.text);
    let factors = ruth.get("/me/second-factors").await.expect(200);
    assert_eq!(factors.body["recovery_codes_left"], 0);
    ruth.adds_app(&world, "New phone").await;
    let old = json!({ "factor": { "recovery_code": codes[0] } });
    ruth.gives_factor(old)
        .await
        .refused(422, "second-factor-wrong");
}
