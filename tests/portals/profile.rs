//! Changes that users make to their own profile.

use reqwest::Method;
use serde_json::{Value, json};
use vestibule_local::client::{Answer, Client};
use vestibule_tests::people::{self, PASSWORD, hint, security_answers};
use vestibule_tests::{World, fault, link_token, pin_in};

async fn patch(client: &Client, body: Value) -> Answer {
    client
        .send(Method::PATCH, "/me", Some(&body))
        .await
        .unwrap()
}

#[tokio::test]
async fn ag_17_a_user_sends_feedback_which_reaches_the_help_desk() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sent = ruth
        .post(
            "/feedback",
            json!({ "message": "The list is slow.\n\nOtherwise: fine & <b>good</b>." }),
        )
        .await
        .unwrap();
    assert_eq!(sent.status, 202, "{}", sent.text);
    let desk = ruth.get("").await.unwrap();
    assert_eq!(desk.status, 200);
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
        let refused = ruth
            .post("/feedback", json!({ "message": text }))
            .await
            .unwrap();
        assert_eq!(
            (refused.status, refused.fields()),
            (status, vec!["message"])
        );
    }
    assert_eq!(
        world
            .on("group")
            .post("/feedback", json!({ "message": "hello" }))
            .await
            .unwrap()
            .status,
        401
    );
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
    let changed = patch(&helen, body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let me = helen.get("/me").await.unwrap();
    assert_eq!(
        (me.text_at("/first_name"), me.text_at("/last_name")),
        ("Héléna", "Brandt-Ruiz")
    );
    assert_eq!(me.text_at("/hint/question"), "Where did I learn to swim?");
    assert_eq!(
        me.body["links"],
        json!([{ "title": "Journal", "url": "https://journal.example/today" }])
    );
    assert!(!me.text.contains("Bled"));
    // Administrators see the change.
    assert_eq!(
        helen
            .get("/users")
            .await
            .unwrap()
            .text_at("/items/0/last_name"),
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
        let refused = patch(&helen, body).await;
        assert_eq!(
            (refused.status, refused.fields()),
            (422, vec![field]),
            "{}",
            refused.text
        );
    }
    assert_eq!(
        helen.get("/me").await.unwrap().text_at("/username"),
        username
    );
}

#[tokio::test]
async fn ux_06_changed_security_questions_are_told_and_are_the_ones_that_get_back_in() {
    let world = World::new().await;
    let maria = world.member().await;
    let before = world.mails_to("maria@example.com").await.len();
    let mut answers = security_answers();
    answers[1]["answer"] = json!("Pepper");
    let change =
        |password: &str| json!({ "security_answers": answers.clone(), "password": password });
    let refused = patch(&maria, change("Wrong-River-58!")).await;
    assert_eq!(fault(&refused), (422, "password", "is incorrect"));
    assert_eq!(world.mails_to("maria@example.com").await.len(), before);

    let changed = patch(&maria, change(PASSWORD)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert!(!changed.text.contains("Pepper"));
    let told = world.last_mail_to("maria@example.com").await;
    assert_eq!(
        told.subject,
        "Your security questions on Harborlight for Members were changed"
    );
    assert!(
        told.text.contains("If you did not make this change"),
        "{}",
        told.text
    );

    let redeem = |answers: Value| json!({ "username": "maria.alvarez", "security_answers": answers, "new_password": "Calm-Harbor-71!" });
    let anyone = world.on("member");
    let path = "/password-resets/redemption";
    let old = anyone.post(path, redeem(security_answers())).await.unwrap();
    assert_eq!(old.status, 403, "{}", old.text);
    let new = anyone.post(path, redeem(answers)).await.unwrap();
    assert_eq!(new.status, 200, "{}", new.text);
}

#[tokio::test]
async fn bl_12_a_new_address_is_confirmed_and_the_old_one_told() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let ask = |email: &'static str, password: &'static str| {
        let helen = helen.clone();
        async move {
            helen
                .send(
                    Method::PUT,
                    "/me/email",
                    Some(&json!({ "email": email, "password": password })),
                )
                .await
                .unwrap()
        }
    };
    let refused = ask("helen@new.example", "Wrong-River-58!").await;
    assert_eq!((refused.status, refused.fields()), (422, vec!["password"]));
    assert_eq!(ask("helen@new.example", PASSWORD).await.status, 202);

    let told = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        told.subject,
        "Request to change your email address on Harborlight for Providers"
    );
    let token = link_token(&world.last_mail_to("helen@new.example").await);
    let me = helen.get("/me").await.unwrap();
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
                .unwrap()
        }
    };
    assert_eq!(confirm(token.clone()).await.status, 204);
    let me = helen.get("/me").await.unwrap();
    assert_eq!(
        (me.text_at("/email"), me.text_at("/unconfirmed_email")),
        ("helen@new.example", "")
    );
    let told = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        told.subject,
        "Your email address on Harborlight for Providers was changed"
    );
    let again = confirm(token).await;
    assert_eq!(
        (again.status, again.problem()),
        (410, "email-link-unusable")
    );

    // The username can be recovered with the new address, and no longer with the old one.
    for address in ["helen@new.example", "helen@lakeside.example"] {
        assert_eq!(
            world
                .on("provider")
                .post("/username-reminders", json!({ "email": address }))
                .await
                .unwrap()
                .status,
            202
        );
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
    assert_eq!(ask("helen@third.example", PASSWORD).await.status, 202);
    let older = link_token(&world.last_mail_to("helen@third.example").await);
    assert_eq!(ask("helen@fourth.example", PASSWORD).await.status, 202);
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
    let publication = helen
        .get("")
        .await
        .unwrap()
        .text_at("/publications/0/id")
        .to_owned();
    let refused = patch(&helen, json!({ "subscriptions": [publication] })).await;
    assert_eq!(
        (refused.status, refused.text_at("/next_step")),
        (403, "enter_pin"),
        "{}",
        refused.text
    );

    let pin = pin_in(&world.last_letter().await, 4);
    assert_eq!(
        helen
            .post("/pin/activation", json!({ "pin": pin }))
            .await
            .unwrap()
            .status,
        200
    );
    let chosen = patch(&helen, json!({ "subscriptions": [publication] })).await;
    assert_eq!(
        (chosen.status, &chosen.body["subscriptions"]),
        (200, &json!([publication])),
        "{}",
        chosen.text
    );
    assert_eq!(
        patch(&helen, json!({ "subscriptions": [] })).await.body["subscriptions"],
        json!([])
    );
}

#[tokio::test]
async fn ux_05_a_user_sees_their_sessions_ends_any_and_a_new_password_ends_the_others() {
    let world = World::new().await;
    world.group_principal().await;
    let at = |place: &str| world.on("group").from_source(place);
    let (home, _) = at("203.0.113.7")
        .sign_in("ruth.okafor", PASSWORD)
        .await
        .unwrap();
    let (office, _) = at("198.51.100.9")
        .sign_in("ruth.okafor", PASSWORD)
        .await
        .unwrap();
    let list = home.get("/sessions").await.unwrap();
    let items = list.body["items"].as_array().unwrap();
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
    let ended = home
        .send(Method::DELETE, &format!("/sessions/{id}"), None)
        .await
        .unwrap();
    assert_eq!(ended.status, 204, "{}", ended.text);
    assert_eq!(
        (
            office.get("/me").await.unwrap().status,
            home.get("/me").await.unwrap().status
        ),
        (401, 200)
    );
    let again = home
        .send(Method::DELETE, &format!("/sessions/{id}"), None)
        .await
        .unwrap();
    assert_eq!(again.status, 404);

    let (phone, _) = at("192.0.2.44")
        .sign_in("ruth.okafor", PASSWORD)
        .await
        .unwrap();
    let body = json!({ "current_password": PASSWORD, "new_password": "Amber-Kettle-73!" });
    let changed = home
        .send(Method::PUT, "/sessions/current/password", Some(&body))
        .await
        .unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(
        (
            phone.get("/me").await.unwrap().status,
            home.get("/me").await.unwrap().status
        ),
        (401, 200)
    );
    assert_eq!(
        home.get("/sessions").await.unwrap().body["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );

    // Another user's session can't be ended.
    let sam = world.staff(&home, "Sam", "user").await;
    let mine = home
        .get("/sessions")
        .await
        .unwrap()
        .text_at("/items/0/id")
        .to_owned();
    assert_eq!(
        sam.send(Method::DELETE, &format!("/sessions/{mine}"), None)
            .await
            .unwrap()
            .status,
        404
    );
    assert_eq!(home.get("/me").await.unwrap().status, 200);
}

#[tokio::test]
async fn ag_02_a_password_is_changed_every_90_days_and_an_expired_one_reaches_only_that() {
    let world = World::new().await;
    world.group_principal().await;
    world.pass_days(90);
    world.pass(jiff::SignedDuration::from_secs(-1));
    let ruth = world.sign_in("group", "ruth.okafor").await;
    assert_eq!(ruth.get("/entitlements").await.unwrap().status, 200);
    world.pass(jiff::SignedDuration::from_secs(1));
    // Also ended in the open session.
    let refused = ruth.get("/entitlements").await.unwrap();
    assert_eq!(
        (refused.status, refused.text_at("/next_step")),
        (403, "change_password")
    );
    let (ruth, signed_in) = world
        .on("group")
        .sign_in("ruth.okafor", PASSWORD)
        .await
        .unwrap();
    assert_eq!(
        (signed_in.status, signed_in.text_at("/next_step")),
        (201, "change_password")
    );
    for path in ["/entitlements", "/users", "/invitations"] {
        assert_eq!(
            ruth.get(path).await.unwrap().text_at("/next_step"),
            "change_password",
            "{path}"
        );
    }
    let change =
        |current: &str, new: &str| json!({ "current_password": current, "new_password": new });
    let refused = ruth
        .send(
            Method::PUT,
            "/sessions/current/password",
            Some(&change(PASSWORD, PASSWORD)),
        )
        .await
        .unwrap();
    assert_eq!(
        (refused.status, refused.fields()),
        (422, vec!["new_password"])
    );
    let changed = ruth
        .send(
            Method::PUT,
            "/sessions/current/password",
            Some(&change(PASSWORD, "Amber-Kettle-73!")),
        )
        .await
        .unwrap();
    assert_eq!(
        (changed.status, changed.text_at("/next_step")),
        (200, ""),
        "{}",
        changed.text
    );
    assert_eq!(ruth.get("/entitlements").await.unwrap().status, 200);
    // And at any time.
    let changed = ruth
        .send(
            Method::PUT,
            "/sessions/current/password",
            Some(&change("Amber-Kettle-73!", "Slate-Garden-19!")),
        )
        .await
        .unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text);
}
