//! Changes that users make to their own profile.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use vestibule_tests::people::{self, PASSWORD, hint, security_answers};
use vestibule_tests::{Item, World, fault, link_token, pin_in};

#[tokio::test]
async fn ag_17_a_user_sends_feedback_which_reaches_the_help_desk() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    ruth.post(
        "/feedback",
        json!({ "message": "The list is slow.\n\nOtherwise: fine & <b>good</b>." }),
    )
    .await
    .expect(202);
    ruth.get("").await.expect(200);
    world.instance.settle().await.unwrap();
    let mail = world
        .instance
        .inbox
        .all()
        .into_iter()
        .find(|m| m.subject == "Feedback about Harborlight for Groups")
        .expect("feedback went out");
    assert!(
        mail.text.contains("The list is slow.") && mail.text.contains("ruth@blueheron.example"),
        "{}",
        mail.text
    );
    assert!(!mail.html.unwrap().contains("<b>good</b>"));

    for (text, status) in [("", 422), ("  \n ", 422), ("\u{0}", 422)] {
        ruth.post("/feedback", json!({ "message": text }))
            .await
            .expect(status)
            .invalid("message");
    }
    world
        .on("group")
        .post("/feedback", json!({ "message": "hello" }))
        .await
        .expect(401);
}

#[tokio::test]
async fn bl_11_a_user_changes_name_hint_and_links_but_not_the_username() {
    let world = World::new().await;
    let (helen, username) = world.provider().await;
    let body = json!({
        "first_name": "Héléna", "last_name": "Brandt-Ruiz",
        "hint": { "question": "Where did I learn to swim?", "answer": "Lake Bled" }, "password": PASSWORD,
        "links": [{ "title": "Journal", "url": "https://journal.example/today" }],
    });
    helen.patch("/me", body).await.expect(200);
    let me = helen.get("/me").await;
    assert_eq!(
        (me.text_at("/first_name"), me.text_at("/last_name")),
        ("Héléna", "Brandt-Ruiz")
    );
    let me = me.has("/hint/question", "Where did I learn to swim?");
    assert_eq!(
        me.body["links"],
        json!([{ "title": "Journal", "url": "https://journal.example/today" }])
    );
    assert!(!me.text.contains("Bled"));
    // Administrators see the change.
    assert_eq!(
        helen.get("/users").await.text_at("/items/0/last_name"),
        "Brandt-Ruiz"
    );

    for (body, field) in [
        (json!({ "username": "other.name" }), "username"),
        (json!({ "first_name": "Only" }), "last_name"),
        (json!({ "first_name": "", "last_name": "X" }), "first_name"),
        (
            json!({ "links": [{ "title": "x", "url": "javascript:alert(1)" }] }),
            "links[0].url",
        ),
        (
            json!({ "subscriptions": ["no_such_paper"] }),
            "subscriptions",
        ),
        (
            json!({ "hint": { "question": "?", "answer": " - " }, "password": PASSWORD }),
            "hint.answer",
        ),
        (json!({ "hint": hint() }), "password"),
        (
            json!({ "hint": hint(), "password": "Wrong-River-58!" }),
            "password",
        ),
        (
            json!({ "first_name": "A", "last_name": "B", "password": PASSWORD }),
            "password",
        ),
        (
            json!({ "security_answers": security_answers(), "password": PASSWORD }),
            "security_answers",
        ),
    ] {
        helen.patch("/me", body).await.invalid(field);
    }
    assert_eq!(helen.get("/me").await.text_at("/username"), username);
}

#[tokio::test]
async fn ux_06_changed_security_questions_are_reported_by_email_and_are_valid_for_recovery() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let before = world.mails_to("maria@example.com").await.len();
    let mut answers = security_answers();
    answers[1]["answer"] = json!("Pepper");
    let change =
        |password: &str| json!({ "security_answers": answers.clone(), "password": password });
    let refused = maria.patch("/me", change("Wrong-River-58!")).await;
    assert_eq!(fault(&refused), (422, "password", "is incorrect"));
    assert_eq!(world.mails_to("maria@example.com").await.len(), before);

    let changed = maria.patch("/me", change(PASSWORD)).await.expect(200);
    assert!(!changed.text.contains("Pepper"));
    let reported = world.last_mail_to("maria@example.com").await;
    assert_eq!(
        reported.subject,
        "Your security questions on Harborlight for Members were changed"
    );
    assert!(
        reported.text.contains("If you did not make this change"),
        "{}",
        reported.text
    );

    let redeem = |answers: Value| json!({ "username": "maria.alvarez", "security_answers": answers, "new_password": "Calm-Harbor-71!" });
    let anyone = world.on("member");
    let path = "/password-resets/redemption";
    anyone
        .post(path, redeem(security_answers()))
        .await
        .expect(403);
    anyone.post(path, redeem(answers)).await.expect(200);
}

#[tokio::test]
async fn bl_12_a_new_address_is_confirmed_and_the_old_one_notified() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let ask = |email: &'static str, password: &'static str| {
        let helen = helen.clone();
        async move {
            helen
                .put("/me/email", json!({ "email": email, "password": password }))
                .await
        }
    };
    ask("helen@new.example", "Wrong-River-58!")
        .await
        .invalid("password");
    ask("helen@new.example", PASSWORD).await.expect(202);

    let reported = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        reported.subject,
        "Request to change your email address on Harborlight for Providers"
    );
    let token = link_token(&world.last_mail_to("helen@new.example").await);
    let me = helen.get("/me").await;
    assert_eq!(
        (me.text_at("/email"), me.text_at("/unconfirmed_email")),
        ("helen@lakeside.example", "helen@new.example")
    );

    let confirm = |token: String| {
        let anyone = world.on("provider");
        async move {
            anyone
                .post("/email-confirmations", json!({ "token": token }))
                .await
        }
    };
    confirm(token.clone()).await.expect(204);
    let me = helen.get("/me").await;
    assert_eq!(
        (me.text_at("/email"), me.text_at("/unconfirmed_email")),
        ("helen@new.example", "")
    );
    let reported = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        reported.subject,
        "Your email address on Harborlight for Providers was changed"
    );
    confirm(token).await.refused(410, "email-link-unusable");

    // The username can be recovered with the new address, and no longer with the old one.
    for address in ["helen@new.example", "helen@lakeside.example"] {
        world
            .on("provider")
            .post("/username-reminders", json!({ "email": address }))
            .await
            .expect(202);
    }
    world.instance.settle().await.unwrap();
    world.instance.settle().await.unwrap();
    let reminders = |address: &str| {
        world
            .instance
            .inbox
            .to(address)
            .iter()
            .filter(|m| m.subject.starts_with("Your username"))
            .count()
    };
    assert_eq!(
        (
            reminders("helen@new.example"),
            reminders("helen@lakeside.example")
        ),
        (1, 0)
    );

    // Before and after the last day, and only with the latest link.
    ask("helen@third.example", PASSWORD).await.expect(202);
    let older = link_token(&world.last_mail_to("helen@third.example").await);
    ask("helen@fourth.example", PASSWORD).await.expect(202);
    let newer = link_token(&world.last_mail_to("helen@fourth.example").await);
    assert_eq!(confirm(older).await.problem(), "email-link-unusable");
    world.pass_days(4);
    assert_eq!(confirm(newer).await.problem(), "email-link-unusable");
}

#[tokio::test]
async fn bl_13_e_news_can_be_chosen_only_after_activation() {
    let world = World::new().await;
    let registered = world.register("provider", people::provider()).await;
    let helen = world
        .sign_in("provider", registered.text_at("/username"))
        .await;
    let publication = helen.get("").await.text_at("/publications/0/id").to_owned();
    helen
        .patch("/me", json!({ "subscriptions": [publication] }))
        .await
        .expect(403)
        .has("/next_step", "enter_pin");

    let pin = pin_in(&world.last_letter().await, 4);
    helen.enters_pin(&pin).await.expect(200);
    let chosen = helen
        .patch("/me", json!({ "subscriptions": [publication] }))
        .await;
    assert_eq!(
        (chosen.status, &chosen.body["subscriptions"]),
        (200, &json!([publication])),
        "{}",
        chosen.text
    );
    assert_eq!(
        helen
            .patch("/me", json!({ "subscriptions": [] }))
            .await
            .body["subscriptions"],
        json!([])
    );
}

#[tokio::test]
async fn ux_05_a_user_sees_their_sessions_ends_any_and_a_new_password_ends_the_others() {
    let world = World::new().await;
    world.group_principal().await;
    let at = |place: &str| world.on("group").from_source(place);
    let (home, _) = at("203.0.113.7").sign_in("ruth.okafor", PASSWORD).await;
    let (office, _) = at("198.51.100.9").sign_in("ruth.okafor", PASSWORD).await;
    let list = home.get("/sessions").await;
    let items = list.items();
    assert_eq!(items.len(), 3, "{}", list.text);
    let of = |place: &str| items.iter().find(|s| s["source"] == place).unwrap();
    assert_eq!(
        (
            of("203.0.113.7")["is_current"].as_bool(),
            of("198.51.100.9")["is_current"].as_bool()
        ),
        (Some(true), Some(false))
    );

    let id = of("198.51.100.9")["id"].as_str().unwrap();
    home.delete(&format!("/sessions/{id}")).await.expect(204);
    assert_eq!(
        (office.get("/me").await.status, home.get("/me").await.status),
        (401, 200)
    );
    home.delete(&format!("/sessions/{id}")).await.expect(404);

    let (phone, _) = at("192.0.2.44").sign_in("ruth.okafor", PASSWORD).await;
    let body = json!({ "current_password": PASSWORD, "new_password": "Amber-Kettle-73!" });
    home.put("/sessions/current/password", &body)
        .await
        .expect(200);
    assert_eq!(
        (phone.get("/me").await.status, home.get("/me").await.status),
        (401, 200)
    );
    assert_eq!(
        home.get("/sessions").await.body["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    // Another user's session can't be ended.
    let sam = world.staff(&home, "Sam", "user").await;
    let mine = home
        .get("/sessions")
        .await
        .text_at("/items/0/id")
        .to_owned();
    sam.delete(&format!("/sessions/{mine}")).await.expect(404);
    home.get("/me").await.expect(200);
}

#[tokio::test]
async fn ag_02_a_password_is_changed_every_90_days_and_an_expired_one_reaches_only_that() {
    let world = World::new().await;
    world.group_principal().await;
    world.pass_days(90);
    world.pass(jiff::SignedDuration::from_secs(-1));
    let ruth = world.sign_in("group", "ruth.okafor").await;
    ruth.get("/entitlements").await.expect(200);
    world.pass(jiff::SignedDuration::from_secs(1));
    // Also ended in the open session.
    ruth.get("/entitlements")
        .await
        .expect(403)
        .has("/next_step", "change_password");
    let (ruth, signed_in) = world.on("group").sign_in("ruth.okafor", PASSWORD).await;
    signed_in.expect(201).has("/next_step", "change_password");
    for path in ["/entitlements", "/users", "/invitations"] {
        assert_eq!(
            ruth.get(path).await.text_at("/next_step"),
            "change_password",
            "{path}"
        );
    }
    let change =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    ruth.put("/sessions/current/password", &change(PASSWORD, PASSWORD))
        .await
        .invalid("new_password");
    ruth.put(
        "/sessions/current/password",
        &change(PASSWORD, "Amber-Kettle-73!"),
    )
    .await
    .expect(200)
    .has("/next_step", "");
    ruth.get("/entitlements").await.expect(200);
    // And at any time.
    ruth.put(
        "/sessions/current/password",
        &change("Amber-Kettle-73!", "Slate-Garden-19!"),
    )
    .await
    .expect(200);
}

#[tokio::test]
async fn ux_05_all_open_sessions_are_listed_however_many_there_are() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let (db, table) = (&world.instance.db, &world.instance.tables.main);
    let all = world.items(table).await;
    let sk = |item: &Item| item["sk"].as_s().unwrap().clone();
    let session = all.iter().find(|i| sk(i).starts_with("S#")).unwrap();
    for n in 0..230 {
        let mut another = session.clone();
        another.insert("sk".into(), AttributeValue::S(format!("S#another{n}")));
        another.insert("id".into(), AttributeValue::S(format!("another{n}")));
        let put = db.put_item().table_name(table).set_item(Some(another));
        put.send().await.unwrap();
    }
    let listed = ruth.get("/sessions").await.expect(200);
    assert_eq!(listed.items().len(), 231);
}
