//! Account recovery: forgotten passwords and usernames, on every portal that supports them.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_local::Options;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{self, PASSWORD, QUESTIONS, security_answers, with, without};
use vestibule_tests::{World, link_token, options};

const NEW: &str = "Amber-Kettle-73!";

async fn redeem(client: &Person, body: Value) -> Response {
    client.post("/password-resets/redemption", body).await
}

async fn ask(client: &Person, username: &str) -> Response {
    client
        .post("/password-resets", json!({ "username": username }))
        .await
}

fn by_answers(answers: Value) -> Value {
    json!({ "username": "maria.alvarez", "security_answers": answers, "new_password": NEW })
}

#[tokio::test]
async fn me_05_a_member_who_forgot_the_password_regains_access_with_all_answers_right() {
    let world = World::new().await;
    let session = world.member().await;
    let anyone = world.on("member");

    let asked = ask(&anyone, "maria.alvarez").await.expect(202);
    assert_eq!(
        asked.body,
        json!({ "verification_methods": ["security_answers"], "questions": QUESTIONS })
    );

    // One wrong answer of three, or an answer to the wrong question, doesn't verify.
    for (i, wrong) in ["Elm Street School", "Bisquit", "Lake Como"]
        .iter()
        .enumerate()
    {
        let mut answers = security_answers();
        answers[i]["answer"] = json!(wrong);
        let refused = redeem(&anyone, by_answers(answers))
            .await
            .refused(403, "recovery-refused");
        assert!(
            refused.text_at("/detail").contains("(312) 555-0130"),
            "{}",
            refused.text
        );
    }
    let mut swapped = security_answers();
    swapped[0]["answer"] = json!("Biscuit");
    swapped[1]["answer"] = json!("Maple Street School");
    redeem(&anyone, by_answers(swapped)).await.expect(403);

    // All correct, in another order and spelling: the password is reset and every session has
    // ended.
    let mut answers = security_answers();
    answers.as_array_mut().unwrap().reverse();
    answers[2]["answer"] = json!("  maple-street SCHOOL ");
    redeem(&anyone, by_answers(answers))
        .await
        .expect(200)
        .has("/username", "maria.alvarez");
    session.get("/me").await.expect(401);
    let old = anyone.signs_in("maria.alvarez", PASSWORD).await;
    let new = anyone.signs_in("maria.alvarez", NEW).await;
    assert_eq!((old.status, new.status), (401, 201));
    let reported = world.last_mail_to("maria@example.com").await;
    assert_eq!(
        reported.subject,
        "Your password on Harborlight for Members was changed"
    );
}

#[tokio::test]
async fn me_05_a_member_who_forgot_the_username_sees_it_after_verification_and_answers() {
    let world = World::new().await;
    world.member().await;
    let anyone = world.on("member");
    let who = json!({ "registration_type": "member", "verification": people::member()["verification"], "first_name": "Maria" });

    let asked = anyone.post("/username-recoveries", &who).await;
    assert_eq!(
        (asked.status, &asked.body),
        (200, &json!({ "questions": QUESTIONS })),
        "{}",
        asked.text
    );
    let response = |who: &Value, answers: Value| {
        anyone.post(
            "/username-recoveries/answers",
            with(who.clone(), "/security_answers", answers),
        )
    };
    let mut wrong = security_answers();
    wrong[1]["answer"] = json!("Rex");
    let refused = response(&who, wrong).await;
    assert_eq!(
        (refused.status, refused.problem()),
        (403, "recovery-refused")
    );
    let stranger = with(who.clone(), "/verification/date_of_birth", "1979-04-13");
    let unknown = response(&stranger, security_answers()).await;
    assert_eq!((unknown.status, &unknown.text), (403, &refused.text));
    let reported = response(&who, security_answers()).await;
    assert_eq!(
        (reported.status, &reported.body),
        (200, &json!({ "username": "maria.alvarez" }))
    );
}

#[tokio::test]
async fn bl_14_a_forgotten_password_takes_the_link_and_the_hint_answer() {
    let world = World::new().await;
    let (session, username) = world.provider().await;
    let anyone = world.on("provider");
    let asked = ask(&anyone, &username).await;
    assert_eq!(
        (asked.status, &asked.body),
        (
            202,
            &json!({ "verification_methods": ["email", "hint_question"] })
        ),
        "{}",
        asked.text
    );
    // The first delivery processes the request, the second sends the email.
    world.mails_to("helen@lakeside.example").await;
    let mail = world.last_mail_to("helen@lakeside.example").await;
    let token = link_token(&mail);
    insta::assert_snapshot!(mail.text.replace(&token, "[token]"));

    let looked_up = anyone
        .post("/password-resets/look-up", json!({ "token": token }))
        .await;
    assert_eq!(
        looked_up.body,
        json!({ "verification_methods": ["email", "hint_question"], "hint": { "question": "What was my first car?" } })
    );
    let body =
        json!({ "token": token, "hint": { "answer": "a GREEN beetle" }, "new_password": NEW });

    // Neither the link alone nor the answer alone is sufficient.
    redeem(&anyone, without(body.clone(), "/hint"))
        .await
        .invalid("hint");
    redeem(&anyone, without(body.clone(), "/token"))
        .await
        .invalid("token");
    redeem(&anyone, with(body.clone(), "/hint/answer", "A red Beetle"))
        .await
        .refused(403, "recovery-refused");

    let done = redeem(&anyone, body.clone()).await;
    assert_eq!(
        (done.status, done.text_at("/username")),
        (200, username.as_str()),
        "{}",
        done.text
    );
    assert_eq!(
        session.get("/me").await.status,
        401,
        "the other sessions are over"
    );
    anyone.signs_in(&username, NEW).await.expect(201);

    // The link works once.
    redeem(&anyone, with(body, "/new_password", "Other-Kettle-91!"))
        .await
        .refused(403, "recovery-refused");
    anyone
        .post("/password-resets/look-up", json!({ "token": token }))
        .await
        .refused(410, "reset-link-unusable");
}

#[tokio::test]
async fn bl_15_a_forgotten_username_is_mailed_to_the_address_on_record() {
    let world = World::new().await;
    let (_, username) = world.provider().await;
    let anyone = world.on("provider");
    let before = world.mails_to("helen@lakeside.example").await.len();
    let known = anyone
        .post(
            "/username-reminders",
            json!({ "email": "Helen@Lakeside.example" }),
        )
        .await;
    let unknown = anyone
        .post(
            "/username-reminders",
            json!({ "email": "nobody@lakeside.example" }),
        )
        .await;
    assert_eq!((known.status, &known.text), (202, &unknown.text));
    unknown.expect(202);
    // The first delivery processes the request, the second sends the email.
    world.mails_to("helen@lakeside.example").await;
    let mails = world.mails_to("helen@lakeside.example").await;
    assert_eq!(mails.len(), before + 1);
    assert!(
        mails[before].text.contains(&username),
        "{}",
        mails[before].text
    );
    assert_eq!(world.mails_to("nobody@lakeside.example").await.len(), 0);
}

#[tokio::test]
async fn ex_07_everyone_can_use_forgot_password() {
    // Every portal has a recovery method for its first user.
    let world = World::new().await;
    for (portal, body, address) in [
        ("agent", people::agent(), "dana@whitfield.example"),
        ("group", people::group_principal(), "ruth@blueheron.example"),
        ("practice", people::dental(), "omar@riverbend.example"),
    ] {
        world.register(portal, body.clone()).await;
        let username = body["username"].as_str().unwrap();
        let token = reset_token(&world, portal, username, address).await;
        let done = redeem(
            &world.on(portal),
            json!({ "token": token, "new_password": NEW }),
        )
        .await;
        assert_eq!(done.status, 200, "{portal}: {}", done.text);
        let back = world.on(portal).signs_in(username, NEW).await;
        assert_eq!(back.status, 201, "{portal}: {}", back.text);
    }
}

async fn reset_token(world: &World, portal: &str, username: &str, address: &str) -> String {
    ask(&world.on(portal), username).await.expect(202);
    world.mails_to(address).await;
    link_token(&world.last_mail_to(address).await)
}

#[tokio::test]
async fn only_the_latest_unexpired_reset_link_is_valid() {
    let world = World::new().await;
    world.group_principal().await;
    let anyone = world.on("group");
    let token = |username| reset_token(&world, "group", username, "ruth@blueheron.example");
    let body = |token: &str| json!({ "token": token, "new_password": NEW });

    // A newer link invalidates the older one.
    let first = token("ruth.okafor").await;
    let second = token("ruth.okafor").await;
    assert_ne!(first, second);
    assert_eq!(
        redeem(&anyone, body(&first)).await.problem(),
        "recovery-refused"
    );

    // Exactly thirty minutes.
    world.pass(SignedDuration::from_mins(30) - SignedDuration::from_secs(1));
    anyone
        .post("/password-resets/look-up", json!({ "token": second }))
        .await
        .expect(200);
    world.pass(SignedDuration::from_secs(1));
    anyone
        .post("/password-resets/look-up", json!({ "token": second }))
        .await
        .expect(410);
    assert_eq!(
        redeem(&anyone, body(&second)).await.problem(),
        "recovery-refused"
    );

    // A token for one purpose is invalid for any other.
    let third = token("ruth.okafor").await;
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let invitation = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    anyone.with_token(&third).get("/me").await.expect(401);
    anyone
        .with_token(&third.replacen("vr.", "vs.", 1))
        .get("/me")
        .await
        .expect(401);
    let accept = World::acceptance(&third, "Sam", "sam@blueheron.example", "sam.lind");
    assert_eq!(
        anyone.accepts(accept).await.problem(),
        "invitation-not-found"
    );
    assert_eq!(
        redeem(&anyone, body(&invitation)).await.problem(),
        "recovery-refused"
    );
    assert_eq!(
        redeem(&anyone, body(&invitation.replacen("vi.", "vr.", 1)))
            .await
            .problem(),
        "recovery-refused"
    );

    // It is unknown on another portal.
    assert_eq!(
        redeem(&world.on("agent"), body(&third)).await.problem(),
        "recovery-refused"
    );
    redeem(&anyone, body(&third)).await.expect(200);
}

#[tokio::test]
async fn ux_10_a_new_password_is_none_of_the_former_ones() {
    let world = World::new().await;
    world.group_principal().await;
    let anyone = world.on("group");
    let token = reset_token(&world, "group", "ruth.okafor", "ruth@blueheron.example").await;
    redeem(&anyone, json!({ "token": token, "new_password": PASSWORD }))
        .await
        .invalid("new_password")
        .says("have not used before");
    redeem(&anyone, json!({ "token": token, "new_password": NEW }))
        .await
        .expect(200);

    let (ruth, _) = anyone.sign_in("ruth.okafor", NEW).await;
    for former in [PASSWORD, NEW] {
        let body = json!({ "current_password": NEW, "new_password": former });
        ruth.put("/sessions/current/password", &body)
            .await
            .invalid("new_password");
    }
}

#[tokio::test]
async fn ux_09_recovery_never_reveals_whether_an_account_exists() {
    let world = World::new().await;
    world.group_principal().await;
    world.member().await;
    let group = world.on("group");
    let (known, unknown) = (
        ask(&group, "ruth.okafor").await,
        ask(&group, "no.such.name").await,
    );
    assert_eq!(
        (known.status, known.text.clone()),
        (unknown.status, unknown.text.clone())
    );

    // On the member portal every username has questions, and always the same ones.
    let member = world.on("member");
    let (known, unknown, once_more) = (
        ask(&member, "maria.alvarez").await,
        ask(&member, "no.such.name").await,
        ask(&member, "no.such.name").await,
    );
    assert_eq!(unknown.body, once_more.body);
    assert_eq!(
        known.body["questions"].as_array().map(Vec::len),
        unknown.body["questions"].as_array().map(Vec::len)
    );
    let mut answers = security_answers();
    answers[0]["answer"] = json!("wrong");
    let known = redeem(&member, by_answers(answers.clone())).await;
    let unknown = redeem(
        &member,
        with(by_answers(answers), "/username", "no.such.name"),
    )
    .await;
    assert_eq!(
        (known.status, known.text.clone()),
        (unknown.status, unknown.text.clone())
    );
}

/// Response times reveal nothing, because every response is delayed until the same time. Only the
/// minimum is asserted; `tests/examples/uniformity.rs` measures the difference between known and
/// unknown.
#[tokio::test]
async fn ux_09_no_response_that_could_reveal_an_account_comes_before_its_minimum_time() {
    let least_time = Duration::from_millis(150);
    let world = World::with(Options {
        least_time,
        ..options()
    })
    .await;
    world.member().await;
    let who = json!({ "registration_type": "member", "verification": people::member()["verification"], "first_name": "Maria" });
    let stranger = with(who.clone(), "/verification/date_of_birth", "1979-04-13");
    let ask = |name: &str| json!({ "username": name });
    let answering = |who: &Value| with(who.clone(), "/security_answers", security_answers());
    let someone_else = with(by_answers(security_answers()), "/username", "no.such.name");
    let email = |email: &str| json!({ "email": email });
    let link = json!({ "token": "nobody's" });
    for (portal, path, body) in [
        ("group", "/password-resets", ask("ruth.okafor")),
        ("member", "/password-resets", ask("maria.alvarez")),
        ("member", "/password-resets", ask("no.such.name")),
        ("group", "/password-resets/look-up", link),
        ("member", "/password-resets/redemption", someone_else),
        ("group", "/username-reminders", email("ruth@x.example")),
        ("member", "/username-recoveries", who.clone()),
        ("member", "/username-recoveries", stranger.clone()),
        ("member", "/username-recoveries/answers", answering(&who)),
        (
            "member",
            "/username-recoveries/answers",
            answering(&stranger),
        ),
    ] {
        let began = tokio::time::Instant::now();
        world.on(portal).post(path, body).await;
        assert!(began.elapsed() >= least_time, "{path} responds early");
    }
    // Everywhere, the refusal of a session is delayed.
    let forged = format!("vs.{}.{}", "0".repeat(26), "A".repeat(43));
    let began = tokio::time::Instant::now();
    let forger = world.on("member").with_token(&forged);
    forger.get("/me").await.expect(401);
    assert!(began.elapsed() >= least_time, "/me refuses early");
    // On other routes, only refusals are delayed.
    let signs_in = json!({ "username": "maria.alvarez", "password": "Wrong-River-58!" });
    let code = json!({ "username": "prv23456789", "registration_code": "RC000000", "password": "Calm-Harbor-71!", "hint": people::hint() });
    for (portal, path, body, status) in [
        (
            "member",
            "/sessions",
            with(signs_in.clone(), "/username", "no.such.name"),
            401,
        ),
        ("member", "/sessions", signs_in, 401),
        (
            "member",
            "/registrations",
            with(people::member(), "/username", "some.stranger"),
            403,
        ),
        ("provider", "/registration-codes/redemption", code, 422),
    ] {
        let began = tokio::time::Instant::now();
        world.on(portal).post(path, body).await.expect(status);
        assert!(began.elapsed() >= least_time, "{path} refuses early");
    }
}

#[tokio::test]
async fn attempts_at_security_answers_are_counted_before_comparison() {
    let world = World::new().await;
    world.member().await;
    let anyone = world.on("member");
    let mut answers = security_answers();
    answers[0]["answer"] = json!("wrong");
    let rate_limit = (0..40).map(|_| redeem(&anyone, by_answers(answers.clone())));
    let statuses: Vec<u16> = futures::future::join_all(rate_limit)
        .await
        .iter()
        .map(|a| a.status)
        .collect();
    assert_eq!(
        statuses.iter().filter(|s| **s == 403).count(),
        10,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|s| **s == 429).count(),
        30,
        "{statuses:?}"
    );
    let right = redeem(&anyone, by_answers(security_answers())).await;
    assert_eq!(
        right.status, 429,
        "the right answers, too, wait for the next window"
    );
    world.pass(SignedDuration::from_mins(15));
    redeem(&anyone, by_answers(security_answers()))
        .await
        .expect(200);
}

#[tokio::test]
async fn ux_09_questions_are_in_the_order_of_the_policy_for_known_and_unknown_usernames() {
    let world = World::new().await;
    let portal = world.on("member").get("").await.expect(200);
    let offered = portal.body["security_questions"]
        .as_array()
        .unwrap()
        .clone();
    // Maria answered in another order than that of the policy.
    let mut answers = security_answers();
    answers.as_array_mut().unwrap().reverse();
    world
        .register(
            "member",
            with(people::member(), "/security_answers", answers),
        )
        .await;
    let usernames = (0..20).map(|i| format!("nobody.number{i}"));
    for username in usernames.chain(["maria.alvarez".to_owned()]) {
        let body = json!({ "username": username });
        let asked = world.on("member").post("/password-resets", body).await;
        let asked = asked.expect(202).body["questions"]
            .as_array()
            .unwrap()
            .clone();
        let places: Vec<_> = asked
            .iter()
            .map(|q| offered.iter().position(|o| o == q).unwrap())
            .collect();
        assert!(places.is_sorted(), "{username}: {places:?}");
    }
}

/// Strangers at many places request links for Ruth, as often as they like.
#[tokio::test]
async fn se_05_strangers_who_request_links_do_not_lock_the_owner_out_of_the_reset() {
    let world = World::new().await;
    world.group_principal().await;
    let address = "ruth@blueheron.example";
    let strangers = async |n: usize| {
        for i in 0..n {
            let stranger = world.on("group").from_source(&format!("203.0.113.{i}"));
            ask(&stranger, "ruth.okafor").await.expect(202);
        }
        world.instance.settle().await.unwrap();
        world.instance.settle().await.unwrap();
    };
    let links = || {
        let mails = world.instance.inbox.to(address);
        let of_link = mails
            .into_iter()
            .filter(|m| m.subject.starts_with("Choose a new password"));
        of_link.collect::<Vec<_>>()
    };
    strangers(40).await;
    assert_eq!(links().len(), 10);

    // Ruth requests one herself. Nothing new is sent, and the newest link in her mailbox works.
    let owner = world.on("group").from_source("198.51.100.1");
    ask(&owner, "ruth.okafor").await.expect(202);
    world.instance.settle().await.unwrap();
    world.instance.settle().await.unwrap();
    assert_eq!(links().len(), 10);
    let token = link_token(links().last().unwrap());
    owner
        .post("/password-resets/look-up", json!({ "token": token }))
        .await
        .expect(200);

    // When it has expired, the next request sends another one, however many there were on that day.
    for sent in 11..14 {
        world.pass(SignedDuration::from_mins(31));
        strangers(5).await;
        assert_eq!(links().len(), sent);
        ask(&owner, "ruth.okafor").await.expect(202);
        world.instance.settle().await.unwrap();
        let token = link_token(links().last().unwrap());
        let looked_up = owner.post("/password-resets/look-up", json!({ "token": token }));
        looked_up.await.expect(200);
    }
    let token = link_token(links().last().unwrap());
    let new = "Kelp-Orchard-47-Lantern";
    let body = json!({ "token": token, "new_password": new });
    redeem(&owner, body).await.expect(200);
    owner.signs_in("ruth.okafor", new).await.expect(201);

    // Requests of strangers for links leave the other emails of the day alone.
    let reminder = json!({ "email": address });
    for _ in 0..12 {
        owner
            .post("/username-reminders", &reminder)
            .await
            .expect(202);
    }
    let chandra = with(
        people::group_principal(),
        "/email",
        "chandra@cedarandpine.example",
    );
    let cedar = json!({ "group_number": "GR20002", "tax_id_last4": "5678" });
    let chandra = with(
        with(chandra, "/verification", cedar),
        "/username",
        "chandra.cedar",
    );
    world.register("group", chandra).await;
    let chandra = world.sign_in("group", "chandra.cedar").await;
    let before = world.instance.inbox.to(address).len();
    world.invite(&chandra, "Ruth", address, "user").await;
    assert!(world.instance.inbox.to(address).len() > before);
}

#[tokio::test]
async fn se_10_a_request_over_a_limit_leaves_a_trace() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let anyone = world.on("group").from_source("203.0.113.7");
    // As many as the policy allows one source, for whomever.
    for n in 0..100 {
        let username = format!("nobody.{}", n % 3);
        ask(&anyone, &username).await.expect(202);
    }
    ask(&anyone, "ruth.okafor")
        .await
        .refused(429, "too-many-attempts");
    assert_eq!(
        world.refusals("request_password_reset").await,
        ["too_many_attempts"]
    );

    let feedback = json!({ "message": "Where are the claims?" });
    for _ in 0..10 {
        ruth.post("/feedback", &feedback).await.expect(202);
    }
    ruth.post("/feedback", &feedback)
        .await
        .refused(429, "too-many-attempts");
    assert_eq!(world.refusals("send_feedback").await, ["too_many_attempts"]);
}
