//! What administrators resend for their users: registration codes, reset links, usernames.

use serde_json::{Value, json};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, hint};
use vestibule_tests::{World, code_in, link_token};

async fn send(by: &Person, id: &str, what: &str) -> Response {
    by.post(&format!("/users/{id}/{what}"), json!({})).await
}

async fn redeem(world: &World, username: &str, code: &str) -> Response {
    let body = json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
    let on = world.on("provider");
    on.post("/registration-codes/redemption", body).await
}

#[tokio::test]
async fn bl_09_an_administrator_resends_a_lost_registration_code_and_the_older_one_stops_working() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (kim, first) = world.added_by(&helen, "Kim").await;
    let id = helen.finds(&kim).await;
    // After too many wrong entries, and close to its expiration: the new code has its own attempts
    // and expiration date.
    for _ in 0..5 {
        redeem(&world, &kim, "RC000000").await;
    }
    assert_eq!(redeem(&world, &kim, &first).await.problem(), "code-locked");
    world.pass_days(29);
    let helen = world
        .sign_in("provider", &helen_name(&helen, &world).await)
        .await;
    let sent = send(&helen, &id, "registration-code").await;
    assert_eq!(
        (sent.status, sent.text.as_str()),
        (202, ""),
        "{}",
        sent.text
    );
    let mail = world.last_mail_to("kim@lakeside.example").await;
    let second = code_in(&mail);
    assert!(mail.text.contains(&kim) && second != first, "{}", mail.text);
    world.pass_days(20);
    redeem(&world, &kim, &first)
        .await
        .refused(422, "code-wrong");
    redeem(&world, &kim, &second).await.expect(200);

    // Once redeemed, there is nothing to resend.
    let helen = world
        .sign_in("provider", &helen_name(&helen, &world).await)
        .await;
    send(&helen, &id, "registration-code")
        .await
        .refused(409, "no-pending-code");
    let all = vestibule_tests::invariants::invariants(&world).await;
    assert_eq!(all.done("reissue_registration_code"), 1);
}

/// The username that was generated for the primary user.
async fn helen_name(_: &Person, world: &World) -> String {
    let items = vestibule_tests::invariants::Contents::of(world).await;
    let helen = items
        .accounts
        .values()
        .find(|a| vestibule_tests::invariants::text(a, "/email") == "helen@lakeside.example");
    vestibule_tests::invariants::text(helen.unwrap(), "/username").to_owned()
}

#[tokio::test]
async fn bl_14_an_administrator_has_a_password_reset_and_only_its_owner_gets_the_link() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (kim, code) = world.added_by(&helen, "Kim").await;
    let id = helen.finds(&kim).await;
    send(&helen, &id, "password-reset")
        .await
        .refused(409, "not-recoverable");
    redeem(&world, &kim, &code).await.expect(200);

    let before = world.mails_to("helen@lakeside.example").await.len();
    let sent = send(&helen, &id, "password-reset").await;
    assert_eq!((sent.status, sent.text.as_str()), (202, ""));
    let mail = world.last_mail_to("kim@lakeside.example").await;
    assert!(
        mail.text
            .contains("An administrator of Lakeside Family Medicine requested"),
        "{}",
        mail.text
    );
    assert_eq!(world.mails_to("helen@lakeside.example").await.len(), before);
    // The portal's other requirements still apply to the user.
    let redemption = |answer: &str| json!({ "token": link_token(&mail), "hint": { "answer": answer }, "new_password": "Fresh-Kettle-91!" });
    let on = world.on("provider");
    on.post("/password-resets/redemption", redemption("A red Beetle"))
        .await
        .refused(403, "recovery-refused");
    let reset = on
        .post("/password-resets/redemption", redemption("A green Beetle"))
        .await;
    assert_eq!(
        (reset.status, reset.text_at("/username")),
        (200, kim.as_str()),
        "{}",
        reset.text
    );
    world
        .on("provider")
        .signs_in(&kim, "Fresh-Kettle-91!")
        .await
        .expect(201);
}

#[tokio::test]
async fn bl_15_an_administrator_has_a_username_sent_to_its_owner() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (kim, code) = world.added_by(&helen, "Kim").await;
    redeem(&world, &kim, &code).await.expect(200);
    let id = helen.finds(&kim).await;
    let sent = send(&helen, &id, "username-reminder").await;
    assert_eq!((sent.status, sent.text.as_str()), (202, ""));
    let mail = world.last_mail_to("kim@lakeside.example").await;
    assert!(mail.text.contains(&kim), "{}", mail.text);
}

#[tokio::test]
async fn bl_14_nobody_has_anything_sent_above_themselves_to_themselves_or_elsewhere() {
    let world = World::new().await;
    let (helen, helen_name) = world.provider().await;
    let (kim, code) = world.added_by(&helen, "Kim").await;
    redeem(&world, &kim, &code).await.expect(200);
    let id = helen.finds(&kim).await;
    let body = json!({ "role": "administrator", "services": [], "group_codes": [] });
    let path = format!("/users/{id}/access");
    helen.put(&path, &body).await.expect(200);
    let kim = world.sign_in("provider", &kim).await;
    let top = kim.finds(&helen_name).await;
    for what in ["registration-code", "password-reset", "username-reminder"] {
        let above = send(&kim, &top, what).await;
        assert_eq!(
            (above.status, above.problem()),
            (403, "not-allowed"),
            "{what}"
        );
        let oneself = send(&kim, &id, what).await;
        assert_eq!(
            (oneself.status, oneself.problem()),
            (409, "self-action-forbidden"),
            "{what}"
        );
        let nobody = send(&kim, &"0".repeat(26), what).await;
        assert_eq!(
            (nobody.status, nobody.problem()),
            (404, "not-found"),
            "{what}"
        );
    }
}

#[tokio::test]
async fn ux_10_passwords_that_are_guessed_first_are_refused_with_a_reason_wherever_one_is_chosen() {
    const COMMON: &str = "must not be a common or leaked password";
    const DRESSED: &str = "must not be a common password with digits or symbols around it";
    const NAMES: &str = "must not consist mainly of your name, your username, your email address or the name of the portal";
    let world = World::new().await;
    let fault_of = |response: &Response| {
        let errors = response.body["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let detail = errors.first().map(|e| e["detail"].clone());
        (
            response.status,
            detail.and_then(|d: Value| d.as_str().map(str::to_owned)),
        )
    };
    let refused = |reason: &str| (422, Some(reason.to_owned()));
    for (password, reason) in [
        ("password1", COMMON),
        ("P@ssw0rd", "must contain a digit"),
        ("Passw0rd", COMMON),
        ("qwerty123", COMMON),
        ("1q2w3e4r", COMMON),
        ("Sunshine2026!", DRESSED),
        ("12Winter34", DRESSED),
        ("Dragon!!77", DRESSED),
        (
            "aaaaaaa1",
            "must contain at least four different characters",
        ),
        ("Okafor-1979", NAMES),
        ("ruth.okafor1", NAMES),
        ("2026Harborlight!", NAMES),
        ("Harborlight-Groups-1", NAMES),
    ] {
        let body = vestibule_tests::people::with(
            vestibule_tests::people::group_principal(),
            "/password",
            password,
        );
        let response = world.on("group").registers(body).await;
        if reason == "must contain a digit" {
            assert_eq!(response.status, 422, "{password}");
            continue;
        }
        assert_eq!(fault_of(&response), refused(reason), "{password}");
    }
    // Not every common word makes a password weak.
    let ruth = world.group_principal().await;
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        ruth.put("/sessions/current/password", &body).await
    };
    assert_eq!(
        fault_of(&change(PASSWORD, "Sunshine2026!").await),
        refused(DRESSED)
    );
    assert_eq!(
        fault_of(&change(PASSWORD, "Ruth-Okafor-58").await),
        refused(NAMES)
    );
    change(PASSWORD, "Ruth-Lantern-Meadow-58").await.expect(200);

    // By invitation, with a code, with an initial password, after forgetting one.
    let ruth = world
        .on("group")
        .sign_in("ruth.okafor", "Ruth-Lantern-Meadow-58")
        .await
        .0;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let mut body = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
    body["password"] = "Dragon!!77".into();
    let response = world.on("group").accepts(body).await;
    assert_eq!(fault_of(&response), refused(DRESSED));
    let (helen, _) = world.provider().await;
    let (kim, code) = world.added_by(&helen, "Kim").await;
    let body = json!({ "username": kim, "registration_code": code, "password": "qwerty123", "hint": hint() });
    let on = world.on("provider");
    let response = on.post("/registration-codes/redemption", body).await;
    assert_eq!(fault_of(&response), refused(COMMON));
    world
        .register("practice", vestibule_tests::people::dental())
        .await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let body = json!({ "first_name": "Ann", "last_name": "Lee", "email": "ann@riverbend.example", "username": "ann.lee", "initial_password": "Welcome123" });
    let response = omar.post("/users", body).await.expect(422);
    assert_eq!(response.fields(), ["initial_password"]);
    world.last_mail_to("omar@riverbend.example").await;
    let forgot = json!({ "username": "omar.haddad" });
    world
        .on("practice")
        .post("/password-resets", forgot)
        .await
        .expect(202);
    // The first delivery processes the request, the second sends its email.
    world.mails_to("omar@riverbend.example").await;
    let mail = world.last_mail_to("omar@riverbend.example").await;
    assert!(mail.text.contains("#token="), "{}", mail.text);
    let token = link_token(&mail);
    let body = |new: &str| json!({ "token": token, "new_password": new });
    let on = world.on("practice");
    let response = on
        .post("/password-resets/redemption", body("Sunshine2026!"))
        .await;
    assert_eq!(fault_of(&response), refused(DRESSED));
    let response = on
        .post("/password-resets/redemption", body("Omar-Haddad-58"))
        .await;
    assert_eq!(
        fault_of(&response),
        refused(NAMES),
        "only after verification"
    );
    let response = on
        .post("/password-resets/redemption", body("Fresh-Kettle-91!"))
        .await;
    assert_eq!(
        response.status, 200,
        "and the link was not used up: {}",
        response.text
    );
}
