//! The member portal.

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::record::RecordKind;
use vestibule_local::client::{Answer, Client};
use vestibule_tests::people::{PASSWORD, QUESTIONS, member, security_answers, with, without};
use vestibule_tests::{World, another, fault, masked, pin_in, shown};

/// A registration of another person in the sample records.
fn other(first: &str, last: &str, verification: Value) -> Value {
    let name = first.to_lowercase().replace('í', "i");
    let body = with(member(), "/verification", verification);
    let body = with(with(body, "/first_name", first), "/last_name", last);
    with(
        with(body, "/email", format!("{name}@example.com")),
        "/username",
        format!("{name}.member"),
    )
}

fn verification(enrollee_id: &str, subscriber_last_name: &str, date_of_birth: &str) -> Value {
    json!({ "enrollee_id": enrollee_id, "subscriber_last_name": subscriber_last_name, "date_of_birth": date_of_birth })
}

fn thomas() -> Value {
    other(
        "Thomas",
        "O'Brien",
        verification("100200302", "O'Brien", "1965-11-03"),
    )
}

fn annika() -> Value {
    other(
        "Annika",
        "Müller",
        verification("100200303", "Müller", "1990-07-21"),
    )
}

fn diego() -> Value {
    other(
        "Diego",
        "Alvarez",
        verification("100200301", "Alvarez", "2006-09-30"),
    )
}

fn lucia() -> Value {
    other(
        "Lucía",
        "Moreno",
        verification("100200301", "Alvarez", "1981-02-17"),
    )
}

/// The twins differ only in their first name.
fn twin(first: &str) -> Value {
    other(first, "Kim", verification("100200304", "Kim", "2007-05-05"))
}

async fn register(world: &World, body: Value) -> Answer {
    world
        .on("member")
        .post("/registrations", body)
        .await
        .unwrap()
}

async fn enter(client: &Client, pin: &str) -> Answer {
    client
        .post("/pin/activation", json!({ "pin": pin }))
        .await
        .unwrap()
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test]
async fn me_01_a_member_registers_with_the_subscribers_name_nine_digits_and_their_own_date_of_birth()
 {
    let world = World::new().await;

    // Invalid fields are reported by name, before anything is compared.
    let digits = "must be 9 digits";
    let date = "must be a date such as 1980-01-31";
    let malformed = [
        ("enrollee_id", "10020030", digits),
        ("enrollee_id", "1002003011", digits),
        ("enrollee_id", "100-200-301", digits),
        ("enrollee_id", "100 200 301", digits),
        ("enrollee_id", "10020030A", digits),
        ("enrollee_id", "H00200301", digits),
        ("enrollee_id", "+10020030", digits),
        ("enrollee_id", "١٠٠٢٠٠٣٠١", digits),
        ("enrollee_id", "", digits),
        ("subscriber_last_name", "", "must not be empty"),
        ("subscriber_last_name", "  ", "must not be empty"),
        ("subscriber_last_name", "-", "must contain a letter"),
        (
            "subscriber_last_name",
            "Alva\u{200b}rez",
            "must not contain control or invisible characters",
        ),
        ("date_of_birth", "", date),
        ("date_of_birth", "04/12/1979", date),
        ("date_of_birth", "12.04.1979", date),
        ("date_of_birth", "1979-4-12", date),
        ("date_of_birth", "19790412", date),
        ("date_of_birth", "1979-02-30", date),
        ("date_of_birth", "1979-04-12T00:00:00Z", date),
        ("date_of_birth", "0979-04-12", date),
    ];
    for (field, entered, why) in malformed {
        let answer = register(
            &world,
            with(member(), &format!("/verification/{field}"), entered),
        )
        .await;
        assert_eq!(
            fault(&answer),
            (422, format!("verification.{field}").as_str(), why),
            "{entered:?}"
        );
    }
    for field in ["enrollee_id", "subscriber_last_name", "date_of_birth"] {
        let answer = register(&world, without(member(), &format!("/verification/{field}"))).await;
        assert_eq!(
            fault(&answer),
            (422, format!("verification.{field}").as_str(), "is required")
        );
    }
    let answer = register(&world, with(member(), "/verification/ssn_last4", "4821")).await;
    assert_eq!(
        fault(&answer),
        (
            422,
            "verification.ssn_last4",
            "is not used for this type of registration"
        )
    );

    // The refusal is the same, whatever was wrong.
    let wrong = [
        verification("100200302", "Alvarez", "1979-04-12"),
        verification("999999999", "Alvarez", "1979-04-12"),
        verification("100200301", "Alvarado", "1979-04-12"),
        verification("100200301", "Maria Alvarez", "1979-04-12"),
        verification("100200301", "Alvarez", "1979-04-13"),
        verification("100200301", "Alvarez", "1979-12-04"),
        verification("100200302", "O'Brien", "1979-04-12"),
        // Lucía's date of birth goes with the subscriber's last name, not with her own.
        verification("100200301", "Moreno", "1981-02-17"),
    ];
    let mut refusals = Vec::new();
    for verification in wrong {
        let answer = register(
            &world,
            with(member(), "/verification", verification.clone()),
        )
        .await;
        assert_eq!(
            (answer.status, answer.problem()),
            (403, "registration-refused"),
            "{verification}"
        );
        refusals.push(answer.text);
        world.pass(HOUR);
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");
    for said in [
        "compare it with your plan documents",
        "Member Services",
        "(312) 555-0130",
    ] {
        assert!(refusals[0].contains(said), "{said}: {}", refusals[0]);
    }

    // Correct facts match in any spelling of the name.
    for (body, spelled) in [
        (member(), "alvarez"),
        (thomas(), "OBRIEN"),
        (annika(), " Muller "),
    ] {
        let answer = register(
            &world,
            with(body, "/verification/subscriber_last_name", spelled),
        )
        .await;
        assert_eq!(
            (answer.status, answer.text_at("/next_step")),
            (201, "enter_pin"),
            "{}",
            answer.text
        );
    }
}

#[tokio::test]
async fn me_02_a_username_has_seven_characters_and_nobody_else_on_the_portal_has_it() {
    let world = World::new().await;
    let short = "must be 7 to 40 characters long";
    let letters = "must start with a letter or digit and contain only the letters a to z, digits, and . _ - @";
    for (name, why) in [
        ("", short),
        ("m", short),
        ("maria7", short),
        (&"m".repeat(41), short),
        ("maria a", letters),
        (" maria7", letters),
        ("maría.alvarez", letters),
        (".maria7", letters),
        ("mаria.alvarez", letters), // with a Cyrillic а
    ] {
        let answer = register(&world, with(member(), "/username", name)).await;
        assert_eq!(fault(&answer), (422, "username", why), "{name:?}");
    }
    let answer = register(&world, without(member(), "/username")).await;
    assert_eq!(fault(&answer), (422, "username", "is required"));

    let answer = register(&world, with(member(), "/username", "Maria77")).await;
    assert_eq!(
        (answer.status, answer.text_at("/username")),
        (201, "Maria77"),
        "{}",
        answer.text
    );
    for taken in ["Maria77", "maria77", "MARIA77", "mArIa77"] {
        let answer = register(&world, with(thomas(), "/username", taken)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            (409, "already-taken"),
            "{taken}"
        );
        assert_eq!(
            fault(&answer),
            (409, "username", "is already taken; choose another one"),
            "{taken}"
        );
    }
    // Thomas chooses another username, and none of his entries are lost.
    let answer = register(&world, with(thomas(), "/username", "maria78")).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    // Usernames are also case-insensitive at sign-in.
    let (_, answer) = world
        .on("member")
        .sign_in("mARIA77", PASSWORD)
        .await
        .unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text);
    // Usernames are separate on each portal.
    world
        .register(
            "practice",
            with(vestibule_tests::people::dental(), "/username", "maria77"),
        )
        .await;
}

#[tokio::test]
async fn me_03_a_password_has_six_characters_a_letter_and_a_digit_and_is_neither_the_name_nor_obscene()
 {
    let world = World::new().await;
    let name = "maria.alvarez1";
    let obscene = "must not contain an obscene word";
    let refused = [
        ("", "must not be empty"),
        ("abcd5", "must have at least 6 characters"),
        ("äöüß5", "must have at least 6 characters"),
        ("abcdef", "must contain a digit"),
        ("123456", "must contain a letter"),
        ("!?!?!?", "must contain a letter, contain a digit"),
        ("a", "must have at least 6 characters, contain a digit"),
        (
            "....",
            "must have at least 6 characters, contain a letter, contain a digit",
        ),
        ("maria.alvarez1", "must not be the username"),
        ("MARIA.ALVAREZ1", "must not be the username"),
        ("Maria.Alvarez1", "must not be the username"),
        ("abc\u{7}def1", "must not contain control characters"),
        ("fuck2026", obscene),
        ("2026FUCK", obscene),
        ("sh1tsh1t", obscene),
        ("5h1tface", obscene),
        ("b1tch99", obscene),
        ("@ssh0le9", obscene),
        ("my1cunt!", obscene),
    ];
    for (password, why) in refused {
        let body = with(with(member(), "/username", name), "/password", password);
        let answer = register(&world, body).await;
        assert_eq!(fault(&answer), (422, "password", why), "{password:?}");
    }
    let answer = register(&world, with(member(), "/password", "x1".repeat(65))).await;
    assert_eq!(
        fault(&answer),
        (422, "password", "must be at most 128 characters long")
    );
    let answer = register(&world, without(member(), "/password")).await;
    assert_eq!(fault(&answer), (422, "password", "is required"));

    // Another person's username, or a text that only resembles a forbidden one, is allowed.
    let body = with(with(member(), "/username", name), "/password", "wq7rtx");
    assert_eq!(register(&world, body).await.status, 201);
    let (maria, _) = world.on("member").sign_in(name, "wq7rtx").await.unwrap();
    let mut current = "wq7rtx".to_owned();
    let accepted = [
        "xtr7qw",
        "é1éöäü",
        "thomas.obrien1",
        "Scunthorpe1",
        "Essex-Meadow-1984",
        "Classic Bass 7",
        "Cockpit-Window-7",
        "Charles Dickens 1812",
        "Analysis-of-9",
    ];
    for password in accepted {
        let body = json!({ "current_password": current, "new_password": password });
        let answer = maria
            .send(Method::PUT, "/sessions/current/password", Some(&body))
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{password:?}: {}", answer.text);
        password.clone_into(&mut current);
    }
    // The rules for changing a password are those at registration.
    let body = json!({ "current_password": current, "new_password": "5h1tface" });
    let answer = maria
        .send(Method::PUT, "/sessions/current/password", Some(&body))
        .await
        .unwrap();
    assert_eq!(fault(&answer), (422, "new_password", obscene));
}

#[tokio::test]
async fn me_04_at_registration_a_member_answers_three_different_questions_of_those_offered() {
    let world = World::new().await;
    let portal = world.on("member").get("").await.unwrap();
    assert_eq!(portal.body["security_questions_required"], 3);
    let offered = portal.body["security_questions"].as_array().unwrap();
    assert!(
        offered.len() >= 3 && QUESTIONS.iter().all(|q| offered.contains(&json!(q))),
        "{offered:?}"
    );

    let entry = |question: &str, answer: &str| json!({ "question": question, "answer": answer });
    let [a, b, c] = QUESTIONS.map(|q| entry(q, "Right"));
    let three = "must have 3 questions with answers";
    let not_offered = "must be one of the questions offered on this portal";
    let faults: [(Value, &[(&str, &str)]); _] = [
        (json!([]), &[("security_answers", three)]),
        (json!([a, b]), &[("security_answers", three)]),
        (
            json!([a, b, c, entry(offered[3].as_str().unwrap(), "Right")]),
            &[("security_answers", three)],
        ),
        (
            json!([a, b, a]),
            &[(
                "security_answers[2].question",
                "must not be used more than once",
            )],
        ),
        (
            json!([a, entry("What is two and two?", "Four"), c]),
            &[("security_answers[1].question", not_offered)],
        ),
        (
            json!([entry(&QUESTIONS[0].to_lowercase(), "Right"), b, c]),
            &[("security_answers[0].question", not_offered)],
        ),
        (
            json!([a, b, entry(QUESTIONS[2], "")]),
            &[("security_answers[2].answer", "must not be empty")],
        ),
        (
            json!([entry(QUESTIONS[0], "  "), b, c]),
            &[("security_answers[0].answer", "must not be empty")],
        ),
        (
            json!([a, entry(QUESTIONS[1], "?!"), c]),
            &[(
                "security_answers[1].answer",
                "must contain a letter or digit",
            )],
        ),
        (
            json!([a, { "question": QUESTIONS[1] }, c]),
            &[("security_answers[1].answer", "is required")],
        ),
        (
            json!([{ "answer": "Right" }, b, c]),
            &[("security_answers[0].question", "is required")],
        ),
        (
            json!([entry(QUESTIONS[0], ""), b, entry("What?", "")]),
            &[
                ("security_answers[0].answer", "must not be empty"),
                ("security_answers[2].question", not_offered),
                ("security_answers[2].answer", "must not be empty"),
            ],
        ),
    ];
    for (given, expected) in faults {
        let answer = register(&world, with(member(), "/security_answers", given.clone())).await;
        let errors = answer.body["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found: Vec<_> = errors
            .iter()
            .map(|e| (e["field"].as_str().unwrap(), e["detail"].as_str().unwrap()))
            .collect();
        assert_eq!(
            (answer.status, found.as_slice()),
            (422, expected),
            "{given}"
        );
    }
    let answer = register(&world, without(member(), "/security_answers")).await;
    assert_eq!(fault(&answer), (422, "security_answers", three));

    let answer = register(
        &world,
        with(member(), "/security_answers", security_answers()),
    )
    .await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    // Nobody can read the answers, not even in the tables.
    let dump = world.dump().await.join("\n").to_lowercase();
    for answer in ["maple street", "maplestreet", "biscuit", "geneva"] {
        assert!(!dump.contains(answer), "{answer}");
    }
}

#[tokio::test]
async fn me_06_a_posted_pin_opens_the_account_which_shows_nothing_protected_before() {
    let world = World::new().await;
    let registered = world.register("member", member()).await;
    assert_eq!(registered.text_at("/next_step"), "enter_pin");
    let welcome = world.last_mail_to("maria@example.com").await;
    insta::assert_snapshot!("me_06_welcome", shown(&welcome, &[]));
    // The letter goes to the address in the plan records. Nobody can provide another.
    let elsewhere = json!({ "lines": ["1 Elsewhere"], "city": "Reno", "region": null, "postal_code": null, "country": "US" });
    let answer = register(&world, with(thomas(), "/postal_address", elsewhere)).await;
    assert_eq!(
        fault(&answer),
        (
            422,
            "postal_address",
            "is not used for this type of registration"
        )
    );
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1);
    let pin = pin_in(&letters[0], 6);
    insta::assert_snapshot!("me_06_letter", masked(&letters[0], &[(&pin, "[PIN]")]));

    let (maria, session) = world
        .on("member")
        .sign_in("maria.alvarez", PASSWORD)
        .await
        .unwrap();
    assert_eq!(
        (session.status, session.text_at("/next_step")),
        (201, "enter_pin")
    );
    let profile = maria.get("/me").await.unwrap();
    assert_eq!(
        (profile.status, profile.text_at("/next_step")),
        (200, "enter_pin")
    );
    let refused = maria.get("/entitlements").await.unwrap();
    assert_eq!(
        (
            refused.status,
            refused.problem(),
            refused.text_at("/next_step")
        ),
        (403, "next-step-required", "enter_pin")
    );
    assert_eq!(
        refused.text_at("/detail"),
        "Enter the PIN from your letter to continue."
    );
    let status = maria.get("/pin/letter").await.unwrap();

    // The correct PIN activates the account at once, also in this session.
    let wrong = enter(&maria, &another(&pin)).await;
    assert_eq!(fault(&wrong), (422, "pin", "is incorrect"));
    let opened = enter(&maria, &pin).await;
    assert_eq!(opened.status, 200, "{}", opened.text);
    assert_eq!(opened.body.get("next_step"), None);
    let entitlements = maria.get("/entitlements").await.unwrap();
    assert_eq!(entitlements.status, 200, "{}", entitlements.text);
    assert_eq!(
        entitlements.body["services"],
        json!(["benefits", "claims", "documents", "id_cards"])
    );
    assert_eq!(opened.body["entitlements"], entitlements.body);
    // Entered again, for example by a double click, it stays active; also with other digits.
    for entered in [&pin, &another(&pin)] {
        let again = enter(&maria, entered).await;
        assert_eq!((again.status, &again.body), (200, &opened.body));
    }

    // It is never required again.
    world.pass_days(90);
    let (maria, session) = world
        .on("member")
        .sign_in("maria.alvarez", PASSWORD)
        .await
        .unwrap();
    assert_eq!((session.status, session.body.get("next_step")), (201, None));
    assert_eq!(maria.get("/entitlements").await.unwrap().status, 200);
    for (method, path) in [(Method::GET, "/pin/letter"), (Method::POST, "/pin/letter")] {
        let answer = maria.send(method, path, None).await.unwrap();
        assert_eq!(
            (answer.status, answer.problem()),
            (404, "not-found"),
            "{}",
            answer.text
        );
    }
    assert_eq!(world.letters().await.len(), 1);

    // The PIN is in the letter and nowhere else.
    for answer in [
        &registered,
        &session,
        &profile,
        &refused,
        &status,
        &wrong,
        &opened,
        &entitlements,
    ] {
        assert!(!answer.text.contains(&pin), "{}", answer.text);
    }
    for mail in world.mails_to("maria@example.com").await {
        assert!(
            !mail.text.contains(&pin) && !mail.html.unwrap_or_default().contains(&pin),
            "{}",
            mail.subject
        );
    }
}

#[tokio::test]
async fn me_06_without_an_address_in_the_plan_records_the_help_desk_has_to_help() {
    let world = World::new().await;
    let feed = "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,city,country\n\
                100200399,0,Nora,Nowhere,Nowhere,1970-01-01,,,";
    world.import(RecordKind::Member, feed).await;
    let nora = other(
        "Nora",
        "Nowhere",
        verification("100200399", "Nowhere", "1970-01-01"),
    );
    let answer = register(&world, nora).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (403, "registration-refused")
    );
    assert_eq!(answer.text_at("/help_desk/phone"), "(312) 555-0130");
}

#[tokio::test]
async fn me_06_a_pin_dies_with_its_last_try_for_the_right_digits_too() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);

    // A malformed PIN doesn't count as an attempt.
    for malformed in ["", "12345", "1234567", "12345a", "１２３４５６", "12 345"] {
        let answer = enter(&maria, malformed).await;
        assert_eq!(
            fault(&answer),
            (422, "pin", "must be 6 digits"),
            "{malformed:?}"
        );
    }
    let last = "That was your last attempt, and this PIN can no longer be used. Request a new PIN; we will mail it to you.";
    for left in [
        "You have 4 attempts left.",
        "You have 3 attempts left.",
        "You have 2 attempts left.",
        "You have 1 attempt left.",
        last,
    ] {
        let answer = enter(&maria, &another(&pin)).await;
        assert_eq!((answer.status, answer.problem()), (422, "pin-wrong"));
        assert_eq!(
            answer.text_at("/detail"),
            format!("This is not the PIN from your most recent letter. {left}")
        );
        assert_eq!(answer.text_at("/help_desk/phone"), "(312) 555-0130");
    }
    // Permanently, in any session, on any day.
    for _ in 0..2 {
        let (maria, _) = world
            .on("member")
            .sign_in("maria.alvarez", PASSWORD)
            .await
            .unwrap();
        for entered in [&pin, &another(&pin)] {
            let answer = enter(&maria, entered).await;
            assert_eq!((answer.status, answer.problem()), (410, "pin-locked"));
            let said = "This PIN was entered incorrectly too many times and can no longer be used. Request a new PIN; we will mail it to you.";
            assert_eq!(answer.text_at("/detail"), said);
        }
        assert_eq!(maria.get("/entitlements").await.unwrap().status, 403);
        world.pass_days(2);
    }

    // A new PIN has its own attempts.
    let maria = world.sign_in("member", "maria.alvarez").await;
    assert_eq!(
        maria.post("/pin/letter", json!({})).await.unwrap().status,
        201
    );
    let new = pin_in(&world.last_letter().await, 6);
    let answer = enter(&maria, &another(&new)).await;
    assert!(
        answer
            .text_at("/detail")
            .ends_with("You have 4 attempts left."),
        "{}",
        answer.text
    );
    assert_eq!(enter(&maria, &new).await.status, 200);
}

#[tokio::test]
async fn me_06_a_pin_can_be_entered_on_its_last_day_and_not_on_the_next() {
    // Sixty days after November 23. Midnight in Chicago is 06:00 UTC in winter.
    for (moment, expected) in [
        ("2027-01-23T05:59:59Z", (200, "")),
        ("2027-01-23T06:00:00Z", (410, "pin-expired")),
    ] {
        let world = World::new().await;
        world.register("member", member()).await;
        let letter = world.last_letter().await;
        assert!(
            letter.contains("Enter the PIN by Friday, January 22, 2027."),
            "{letter}"
        );
        world.wait_until(moment);
        let maria = world.sign_in("member", "maria.alvarez").await;
        assert_eq!(
            maria
                .get("/pin/letter")
                .await
                .unwrap()
                .text_at("/expires_on"),
            "2027-01-22"
        );
        let answer = enter(&maria, &pin_in(&letter, 6)).await;
        assert_eq!(
            (answer.status, answer.problem()),
            expected,
            "{}",
            answer.text
        );
        if answer.status == 410 {
            assert_eq!(
                answer.text_at("/detail"),
                "This PIN has expired. Request a new PIN; we will mail it to you."
            );
            assert_eq!(
                maria.post("/pin/letter", json!({})).await.unwrap().status,
                201
            );
            let new = pin_in(&world.last_letter().await, 6);
            assert_eq!(enter(&maria, &new).await.status, 200);
        }
    }
}

#[tokio::test]
async fn me_07_a_new_pin_goes_out_in_a_new_letter_and_the_old_one_is_dead() {
    let world = World::new().await;
    let maria = world.member().await;
    let old = pin_in(&world.last_letter().await, 6);
    let issued = maria.post("/pin/letter", json!({})).await.unwrap();
    assert_eq!(issued.status, 201, "{}", issued.text);
    let letters = world.letters().await;
    assert_eq!(letters.len(), 2, "the first was on its way already");
    let new = pin_in(&letters[1], 6);
    assert_eq!(
        masked(&letters[0], &[(&old, "[PIN]")]),
        masked(&letters[1], &[(&new, "[PIN]")])
    );
    let notice = world.last_mail_to("maria@example.com").await;
    insta::assert_snapshot!("me_07_new_pin_on_its_way", shown(&notice, &[]));
    assert!(!issued.text.contains(&new) && !notice.text.contains(&new));

    let answer = enter(&maria, &old).await;
    assert_eq!((answer.status, answer.problem()), (422, "pin-wrong"));
    assert_eq!(maria.get("/entitlements").await.unwrap().status, 403);
    assert_eq!(enter(&maria, &new).await.status, 200);
    assert_eq!(maria.get("/entitlements").await.unwrap().status, 200);

    // A letter can't be requested without signing in.
    let answer = world
        .on("member")
        .post("/pin/letter", json!({}))
        .await
        .unwrap();
    assert_eq!((answer.status, answer.problem()), (401, "not-signed-in"));
}

#[tokio::test]
async fn me_07_a_letter_that_has_not_been_printed_is_withdrawn() {
    let world = World::new().await;
    let maria = world.member().await;
    for _ in 0..2 {
        assert_eq!(
            maria.post("/pin/letter", json!({})).await.unwrap().status,
            201
        );
    }
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1, "only the latest is posted");
    assert_eq!(enter(&maria, &pin_in(&letters[0], 6)).await.status, 200);
    assert_eq!(
        world.mails_to("maria@example.com").await.len(),
        3,
        "a welcome and two notices"
    );
}

#[tokio::test]
async fn me_07_three_letters_a_day_and_the_next_day_more() {
    let world = World::new().await;
    let maria = world.member().await;
    for _ in 0..3 {
        assert_eq!(
            maria.post("/pin/letter", json!({})).await.unwrap().status,
            201
        );
    }
    let letters = world.letters().await;
    let refused = maria.post("/pin/letter", json!({})).await.unwrap();
    assert_eq!(
        (refused.status, refused.problem()),
        (429, "too-many-attempts")
    );
    assert_eq!(
        refused.text_at("/detail"),
        "Several letters are already on their way to you. Wait for the most recent one, or try again tomorrow."
    );
    assert_eq!(world.letters().await.len(), letters.len());
    // The refusal hasn't invalidated the PIN that is on its way. Tomorrow letters are possible
    // again.
    world.pass_days(1);
    let maria = world.sign_in("member", "maria.alvarez").await;
    assert_eq!(
        maria.post("/pin/letter", json!({})).await.unwrap().status,
        201
    );
    let latest = pin_in(&world.last_letter().await, 6);
    assert_eq!(enter(&maria, &latest).await.status, 200);

    // Thomas has his own daily limit.
    world.register("member", thomas()).await;
    let thomas = world.sign_in("member", "thomas.member").await;
    assert_eq!(
        thomas.post("/pin/letter", json!({})).await.unwrap().status,
        201
    );
}

#[tokio::test]
async fn me_08_the_member_sees_when_the_letter_was_issued_and_by_when_it_should_arrive() {
    let world = World::new().await;
    world.register("member", member()).await;
    world.register("member", annika()).await;

    // Three to five business days; a letter to another country takes seven to fifteen. Thanksgiving
    // is not a business day.
    for (username, from, by) in [
        ("maria.alvarez", "2026-11-27", "2026-12-01"),
        ("annika.member", "2026-12-03", "2026-12-15"),
    ] {
        let member = world.sign_in("member", username).await;
        let status = member.get("/pin/letter").await.unwrap();
        let expected = json!({
            "status": "posted", "issued_on": "2026-11-23", "arrives_from": from, "arrives_by": by, "expires_on": "2027-01-22",
            "advice": format!("Your letter should arrive between {from} and {by}."),
        });
        assert_eq!((status.status, status.body), (200, expected));
    }
    let welcome = world.last_mail_to("annika@example.com").await;
    assert!(
        welcome
            .text
            .contains("The letter should arrive by Tuesday, December 15, 2026."),
        "{}",
        welcome.text
    );

    // The letter is not overdue on the last delivery day. Midnight in Chicago is 06:00 UTC in
    // winter.
    let advice = |by: &str| {
        format!(
            "Your letter should have arrived by {by}. Call Member Services at (312) 555-0130 to confirm your mailing address, and then request a new PIN."
        )
    };
    for (username, by, before, after) in [
        (
            "maria.alvarez",
            "2026-12-01",
            "2026-12-02T05:59:59Z",
            "2026-12-02T06:00:00Z",
        ),
        (
            "annika.member",
            "2026-12-15",
            "2026-12-16T05:59:59Z",
            "2026-12-16T06:00:00Z",
        ),
    ] {
        for (moment, status, is_advised) in [(before, "posted", false), (after, "overdue", true)] {
            world.wait_until(moment);
            let member = world.sign_in("member", username).await;
            let answer = member.get("/pin/letter").await.unwrap();
            assert_eq!(
                (
                    answer.status,
                    answer.text_at("/status"),
                    answer.text_at("/arrives_by")
                ),
                (200, status, by),
                "{moment}"
            );
            assert_eq!(
                answer.text_at("/advice") == advice(by),
                is_advised,
                "{}",
                answer.text
            );
        }
    }

    // Weekends and postal holidays don't count, in the portal's time zone.
    let letters = [
        (
            "2026-12-23T18:00:00Z",
            "2026-12-23",
            "2026-12-29",
            "2026-12-31",
        ), // Christmas
        (
            "2026-12-26T18:00:00Z",
            "2026-12-26",
            "2026-12-30",
            "2027-01-04",
        ), // on a Saturday; New Year
        (
            "2027-01-15T18:00:00Z",
            "2027-01-15",
            "2027-01-21",
            "2027-01-25",
        ), // Martin Luther King Jr. Day
        (
            "2027-02-13T03:00:00Z",
            "2027-02-12",
            "2027-02-18",
            "2027-02-22",
        ), // still Friday in Chicago; Presidents' Day
        (
            "2027-05-28T18:00:00Z",
            "2027-05-28",
            "2027-06-03",
            "2027-06-07",
        ), // Memorial Day
        (
            "2027-07-02T18:00:00Z",
            "2027-07-02",
            "2027-07-08",
            "2027-07-12",
        ), // Independence Day, kept on Monday
        (
            "2027-10-08T18:00:00Z",
            "2027-10-08",
            "2027-10-14",
            "2027-10-18",
        ), // Columbus Day
        (
            "2027-11-10T18:00:00Z",
            "2027-11-10",
            "2027-11-16",
            "2027-11-18",
        ), // Veterans Day
        (
            "2027-03-01T18:00:00Z",
            "2027-03-01",
            "2027-03-04",
            "2027-03-08",
        ), // an ordinary week
    ];
    let mut letters = Vec::from(letters);
    letters.sort_unstable();
    for (moment, issued_on, from, by) in letters {
        world.wait_until(moment);
        let maria = world.sign_in("member", "maria.alvarez").await;
        let issued = maria.post("/pin/letter", json!({})).await.unwrap();
        let found = ["/issued_on", "/arrives_from", "/arrives_by"].map(|p| issued.text_at(p));
        assert_eq!(
            (issued.status, found),
            (201, [issued_on, from, by]),
            "{moment}"
        );
        assert_eq!(maria.get("/pin/letter").await.unwrap().body, issued.body);
    }
}

#[tokio::test]
async fn me_11_a_dependent_registers_with_the_subscribers_name_and_id_and_their_own_date_of_birth()
{
    let world = World::new().await;
    let family = [
        (
            diego(),
            "Diego Alvarez\n418 Heronmere Lane\nSpringfield, IL 62704\n",
            "Dear Diego Alvarez,",
        ),
        (
            lucia(),
            "Lucía Moreno\n418 Heronmere Lane\nSpringfield, IL 62704\n",
            "Dear Lucía Moreno,",
        ),
        (
            twin("Ethan"),
            "Ethan Kim\n905 Lanternfield Road\nNaperville, IL 60540\n",
            "Dear Ethan Kim,",
        ),
        (
            twin("Olivia"),
            "Olivia Kim\n905 Lanternfield Road\nNaperville, IL 60540\n",
            "Dear Olivia Kim,",
        ),
        (
            member(),
            "Maria Alvarez\n418 Heronmere Lane\nSpringfield, IL 62704\n",
            "Dear Maria Alvarez,",
        ),
    ];
    for (body, address, greeting) in &family {
        let answer = world.register("member", body.clone()).await;
        let letter = world.last_letter().await;
        assert!(
            letter.contains(address) && letter.contains(greeting),
            "{letter}"
        );
        let person = world.sign_in("member", answer.text_at("/username")).await;
        assert_eq!(enter(&person, &pin_in(&letter, 6)).await.status, 200);
        world.pass(HOUR);
    }
    assert_eq!(world.letters().await.len(), family.len());

    // Each person registers once. The second response is that for a person who can't verify their
    // identity.
    let stranger = with(
        member(),
        "/verification",
        verification("100200301", "Alvarez", "1999-09-09"),
    );
    let refusal = register(&world, stranger).await;
    assert_eq!(
        (refusal.status, refusal.problem()),
        (403, "registration-refused")
    );
    world.pass(HOUR);
    for (body, ..) in family {
        let again = with(
            with(body, "/username", "second.account"),
            "/email",
            "second@example.com",
        );
        let answer = register(&world, again).await;
        assert_eq!((answer.status, &answer.text), (403, &refusal.text));
        world.pass(HOUR);
    }
    // A person who is neither twin isn't found, nor is one with Diego's date of birth and their own
    // last name.
    for nobody in [
        twin("Emma"),
        with(lucia(), "/verification/subscriber_last_name", "Moreno"),
    ] {
        let answer = register(&world, nobody).await;
        assert_eq!((answer.status, &answer.text), (403, &refusal.text));
    }
    assert_eq!(world.letters().await.len(), 5);
}
