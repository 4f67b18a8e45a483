//! The member portal.

use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_tests::people::{PASSWORD, QUESTIONS, member, security_answers, with, without};
use vestibule_tests::{World, fault, options, pin_in};

/// A registration of another person in the sample records.
pub fn other(first: &str, last: &str, verification: Value) -> Value {
    let name = first.to_lowercase().replace('í', "i");
    let body = with(member(), "/verification", verification);
    let body = with(with(body, "/first_name", first), "/last_name", last);
    with(
        with(body, "/email", format!("{name}@example.com")),
        "/username",
        format!("{name}.member"),
    )
}

pub fn verification(enrollee_id: &str, subscriber_last_name: &str, date_of_birth: &str) -> Value {
    json!({ "enrollee_id": enrollee_id, "subscriber_last_name": subscriber_last_name, "date_of_birth": date_of_birth })
}

pub fn thomas() -> Value {
    other(
        "Thomas",
        "O'Brien",
        verification("100200302", "O'Brien", "1965-11-03"),
    )
}

pub fn annika() -> Value {
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
        (
            "subscriber_last_name",
            "-",
            "must contain a letter or digit",
        ),
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
        let response = world
            .on("member")
            .registers(with(member(), &format!("/verification/{field}"), entered))
            .await;
        assert_eq!(
            fault(&response),
            (422, format!("verification.{field}").as_str(), why),
            "{entered:?}"
        );
    }
    for field in ["enrollee_id", "subscriber_last_name", "date_of_birth"] {
        let response = world
            .on("member")
            .registers(without(member(), &format!("/verification/{field}")))
            .await;
        assert_eq!(
            fault(&response),
            (422, format!("verification.{field}").as_str(), "is required")
        );
    }
    let response = world
        .on("member")
        .registers(with(member(), "/verification/ssn_last4", "4821"))
        .await;
    assert_eq!(
        fault(&response),
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
        let response = world
            .on("member")
            .registers(with(member(), "/verification", verification.clone()))
            .await;
        assert_eq!(
            (response.status, response.problem()),
            (403, "registration-refused"),
            "{verification}"
        );
        refusals.push(response.text.clone());
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
        world
            .on("member")
            .registers(with(body, "/verification/subscriber_last_name", spelled))
            .await
            .expect(201)
            .has("/next_step", "enter_pin");
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
        let response = world
            .on("member")
            .registers(with(member(), "/username", name))
            .await;
        assert_eq!(fault(&response), (422, "username", why), "{name:?}");
    }
    let response = world
        .on("member")
        .registers(without(member(), "/username"))
        .await;
    assert_eq!(fault(&response), (422, "username", "is required"));

    world
        .on("member")
        .registers(with(member(), "/username", "Maria77"))
        .await
        .expect(201)
        .has("/username", "Maria77");
    for taken in ["Maria77", "maria77", "MARIA77", "mArIa77"] {
        let response = world
            .on("member")
            .registers(with(thomas(), "/username", taken))
            .await;
        assert_eq!(
            (response.status, response.problem()),
            (409, "already-taken"),
            "{taken}"
        );
        assert_eq!(
            fault(&response),
            (409, "username", "is already taken; choose another one"),
            "{taken}"
        );
    }
    // Thomas chooses another username, and none of his entries are lost.
    world
        .on("member")
        .registers(with(thomas(), "/username", "maria78"))
        .await
        .expect(201);
    // Usernames are also case-insensitive at sign-in.
    world
        .on("member")
        .signs_in("mARIA77", PASSWORD)
        .await
        .expect(201);
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
        let response = world.on("member").registers(body).await;
        assert_eq!(fault(&response), (422, "password", why), "{password:?}");
    }
    let response = world
        .on("member")
        .registers(with(member(), "/password", "x1".repeat(65)))
        .await;
    assert_eq!(
        fault(&response),
        (422, "password", "must be at most 128 characters long")
    );
    let response = world
        .on("member")
        .registers(without(member(), "/password"))
        .await;
    assert_eq!(fault(&response), (422, "password", "is required"));

    // Another person's username, or a text that only resembles a forbidden one, is allowed.
    let body = with(with(member(), "/username", name), "/password", "wq7rtx");
    world.on("member").registers(body).await.expect(201);
    let (maria, _) = world.on("member").sign_in(name, "wq7rtx").await;
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
        let response = maria.put("/sessions/current/password", &body).await;
        assert_eq!(response.status, 200, "{password:?}: {}", response.text);
        password.clone_into(&mut current);
    }
    // The rules for changing a password are those at registration.
    let body = json!({ "current_password": current, "new_password": "5h1tface" });
    let response = maria.put("/sessions/current/password", &body).await;
    assert_eq!(fault(&response), (422, "new_password", obscene));
}

#[tokio::test]
async fn me_04_at_registration_a_member_answers_three_different_questions_of_those_offered() {
    let world = World::new().await;
    let portal = world.on("member").get("").await;
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
        let response = world
            .on("member")
            .registers(with(member(), "/security_answers", given.clone()))
            .await;
        let errors = response.body["errors"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found: Vec<_> = errors
            .iter()
            .map(|e| (e["field"].as_str().unwrap(), e["detail"].as_str().unwrap()))
            .collect();
        assert_eq!(
            (response.status, found.as_slice()),
            (422, expected),
            "{given}"
        );
    }
    let response = world
        .on("member")
        .registers(without(member(), "/security_answers"))
        .await;
    assert_eq!(fault(&response), (422, "security_answers", three));

    world
        .on("member")
        .registers(with(member(), "/security_answers", security_answers()))
        .await
        .expect(201);
    // Nobody can read the answers, not even in the tables.
    let dump = world.dump().await.join("\n").to_lowercase();
    for response in ["maple street", "maplestreet", "biscuit", "geneva"] {
        assert!(!dump.contains(response), "{response}");
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
        let response = world.register("member", body.clone()).await;
        let letter = world.last_letter().await;
        assert!(
            letter.contains(address) && letter.contains(greeting),
            "{letter}"
        );
        let person = world.sign_in("member", response.text_at("/username")).await;
        person.enters_pin(&pin_in(&letter, 6)).await.expect(200);
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
    let refusal = world
        .on("member")
        .registers(stranger)
        .await
        .refused(403, "registration-refused");
    world.pass(HOUR);
    for (body, ..) in family {
        let again = with(
            with(body, "/username", "second.account"),
            "/email",
            "second@example.com",
        );
        let response = world.on("member").registers(again).await;
        assert_eq!((response.status, &response.text), (403, &refusal.text));
        world.pass(HOUR);
    }
    // A person who is neither twin isn't found, nor is one with Diego's date of birth and their own
    // last name.
    for nobody in [
        twin("Emma"),
        with(lucia(), "/verification/subscriber_last_name", "Moreno"),
    ] {
        let response = world.on("member").registers(nobody).await;
        assert_eq!((response.status, &response.text), (403, &refusal.text));
    }
    assert_eq!(world.letters().await.len(), 5);
}

#[tokio::test]
async fn me_01_a_last_name_matches_the_record_however_it_is_spelled() {
    let spellings = [
        ("Sørensen", &["Sorensen", "SOERENSEN"][..]),
        ("Wałęsa", &["Walesa"]),
        ("Strauß", &["Strauss", "STRAUSS"]),
        ("Æsop", &["Aesop"]),
        ("Müller", &["Mueller", "Muller", "Mu\u{308}ller"]),
        ("MUELLER", &["Müller", "Muller"]),
        ("Barnes", &["Barnes Jr.", "Barnes, Jr", "Barnes III"]),
        ("BARNES JR", &["Barnes", "Barnes Jr."]),
        ("de la Cruz", &["Delacruz"]),
        ("Sokolov", &["Соколов"]),
    ];
    let typed: Vec<_> = spellings
        .into_iter()
        .flat_map(|(recorded, typed)| typed.iter().map(move |t| (recorded, *t)))
        .collect();
    let id = |i: usize| format!("{}", 300_000_001 + i);
    let mut feed = vec!["enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,city,region,postal_code,country".to_owned()];
    feed.extend(typed.iter().enumerate().map(|(i, (recorded, _))| {
        let id = id(i);
        format!("{id},0,Kim,\"{recorded}\",\"{recorded}\",1980-01-31,1 Elm Street,Springfield,IL,62704,US")
    }));
    let world = World::empty(options()).await;
    world.import(RecordKind::Member, &feed.join("\n")).await;
    let body = |i: usize, last: &str| {
        let body = other("Kim", last, verification(&id(i), last, "1980-01-31"));
        let body = with(body, "/email", format!("kim{i}@example.com"));
        with(body, "/username", format!("kim.member{i}"))
    };
    // Another name is refused, and so is a part of the right one.
    for wrong in ["Sorenson", "Soren", "Sorensen Smith"] {
        let refused = world.on("member").registers(body(0, wrong)).await;
        refused.refused(403, "registration-refused");
    }
    for (i, (_, typed)) in typed.iter().enumerate() {
        world.register("member", body(i, typed)).await;
    }
}

#[tokio::test]
async fn me_11_twins_whose_first_names_are_spelled_alike_are_not_confused() {
    let world = World::empty(options()).await;
    let row = |person: u8, first: &str| {
        format!(
            "300000001,{person},{first},Kim,Kim,2007-05-05,1 Elm Street,Springfield,IL,62704,US"
        )
    };
    let header = "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,city,region,postal_code,country";
    let feed = [
        header.to_owned(),
        row(1, "Joel"),
        row(2, "Jol"),
        row(3, "Zoë"),
    ];
    world.import(RecordKind::Member, &feed.join("\n")).await;
    let register = async |first: &str| {
        let body = other(first, "Kim", verification("300000001", "Kim", "2007-05-05"));
        world.on("member").registers(body).await
    };
    register("Joel").await.refused(403, "registration-refused");
    register("Zoe").await.expect(201);
}

#[tokio::test]
async fn se_06_a_name_cannot_carry_a_link_and_is_visible() {
    let world = World::new().await;
    for name in [
        "https://evil.example",
        "WINNER! Claim at evil.com",
        "evil\u{3002}com",
        "me@evil.example",
        "\u{3164}",
        "\u{2800}\u{115f}",
    ] {
        for field in ["first_name", "last_name"] {
            let body = with(member(), &format!("/{field}"), name);
            world.on("member").registers(body).await.invalid(field);
        }
    }
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let body = json!({ "first_name": "Claim at evil.com", "last_name": "Alvarez" });
    maria.patch("/me", body).await.invalid("first_name");
    let ruth = world.group_principal().await;
    let body = json!({ "first_name": "www.evil.com", "last_name": "Lind", "email": "sam@blueheron.example", "role": "user" });
    ruth.post("/invitations", body).await.invalid("first_name");
    // A period that ends a word is a part of a name.
    let thomas = with(thomas(), "/first_name", "Thomas J. R.");
    world.register("member", thomas).await;
}

#[tokio::test]
async fn ux_10_the_own_email_address_is_no_password() {
    let world = World::new().await;
    let body = with(member(), "/email", "turquoise9@juniper.example");
    for password in ["turquoise9@juniper.example", "Turquoise9Juniper"] {
        let body = with(body.clone(), "/password", password);
        world.on("member").registers(body).await.invalid("password");
    }
    world.register("member", body).await;
    let maria = world.sign_in("member", "maria.alvarez").await;
    let changed = maria
        .changes_password(PASSWORD, "turquoise9@juniper.example")
        .await;
    changed.invalid("new_password");
}

#[tokio::test]
async fn me_04_answers_are_long_enough_different_and_not_in_the_question() {
    let world = World::new().await;
    let answers = |given: [&str; 3]| -> Value {
        let pairs = QUESTIONS.iter().zip(given);
        pairs
            .map(|(q, a)| json!({ "question": q, "answer": a }))
            .collect()
    };
    let pet = QUESTIONS[1]
        .trim_end_matches('?')
        .rsplit(' ')
        .next()
        .unwrap();
    for (given, fields) in [
        (
            ["a", "a", "a"],
            vec![
                "security_answers[0].answer",
                "security_answers[1].answer",
                "security_answers[2].answer",
            ],
        ),
        (
            ["Biscuit", "biscuit!", "Lake Geneva"],
            vec!["security_answers[1].answer"],
        ),
        (
            ["Maple Street", QUESTIONS[1], "Lake Geneva"],
            vec!["security_answers[1].answer"],
        ),
        (
            ["Maple Street", pet, "Lake Geneva"],
            vec!["security_answers[1].answer"],
        ),
    ] {
        let body = with(member(), "/security_answers", answers(given));
        let refused = world.on("member").registers(body).await;
        refused.invalid_fields(&fields);
    }
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let body = json!({ "password": PASSWORD, "security_answers": answers(["x", "Biscuit", "Lake Geneva"]) });
    maria
        .patch("/me", body)
        .await
        .invalid("security_answers[0].answer");
}
