//! The PIN letter of the member portal.

use reqwest::Method;
use serde_json::json;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_tests::people::{PASSWORD, member, with};
use vestibule_tests::{World, another, fault, masked, pin_in, shown};

use crate::register::member::{annika, other, thomas, verification};

#[tokio::test]
async fn me_06_a_mailed_pin_opens_the_account_which_shows_nothing_protected_before() {
    let world = World::new().await;
    let registered = world
        .register("member", member())
        .await
        .has("/next_step", "enter_pin");
    let welcome = world.last_mail_to("maria@example.com").await;
    insta::assert_snapshot!("me_06_welcome", shown(&welcome, &[]));
    // The letter goes to the address in the plan records. Nobody can provide another.
    let elsewhere = json!({ "lines": ["1 Elsewhere"], "city": "Reno", "region": null, "postal_code": null, "country": "US" });
    let response = world
        .on("member")
        .registers(with(thomas(), "/postal_address", elsewhere))
        .await;
    assert_eq!(
        fault(&response),
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

    let (maria, session) = world.on("member").sign_in("maria.alvarez", PASSWORD).await;
    session.expect(201).has("/next_step", "enter_pin");
    let profile = maria
        .get("/me")
        .await
        .expect(200)
        .has("/next_step", "enter_pin");
    let refused = maria
        .get("/entitlements")
        .await
        .refused(403, "next-step-required")
        .has("/next_step", "enter_pin")
        .has("/detail", "Enter the PIN from your letter to continue.");
    let status = maria.get("/pin/letter").await;

    // The correct PIN activates the account at once, also in this session.
    let wrong = maria.enters_pin(&another(&pin)).await;
    assert_eq!(fault(&wrong), (422, "pin", "is incorrect"));
    let opened = maria.enters_pin(&pin).await.expect(200);
    assert_eq!(opened.body.get("next_step"), None);
    let entitlements = maria.get("/entitlements").await.expect(200);
    assert_eq!(
        entitlements.body["services"],
        json!(["benefits", "claims", "documents", "id_cards"])
    );
    assert_eq!(opened.body["entitlements"], entitlements.body);
    // Entered again, for example by a double click, it stays active; also with other digits.
    for entered in [&pin, &another(&pin)] {
        let again = maria.enters_pin(entered).await;
        assert_eq!((again.status, &again.body), (200, &opened.body));
    }

    // It is never required again.
    world.pass_days(90);
    let (maria, session) = world.on("member").sign_in("maria.alvarez", PASSWORD).await;
    assert_eq!((session.status, session.body.get("next_step")), (201, None));
    maria.get("/entitlements").await.expect(200);
    for (method, path) in [(Method::GET, "/pin/letter"), (Method::POST, "/pin/letter")] {
        maria
            .send(method, path, None)
            .await
            .refused(404, "not-found");
    }
    assert_eq!(world.letters().await.len(), 1);

    // The PIN is in the letter and nowhere else.
    for response in [
        &registered,
        &session,
        &profile,
        &refused,
        &status,
        &wrong,
        &opened,
        &entitlements,
    ] {
        assert!(!response.text.contains(&pin), "{}", response.text);
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
    world
        .on("member")
        .registers(nora)
        .await
        .refused(403, "registration-refused")
        .has("/help_desk/phone", "(312) 555-0130");
}

#[tokio::test]
async fn me_06_a_pin_is_locked_after_its_last_attempt_even_for_the_right_digits() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);

    // A malformed PIN doesn't count as an attempt.
    for malformed in ["", "12345", "1234567", "12345a", "１２３４５６", "12 345"] {
        let response = maria.enters_pin(malformed).await;
        assert_eq!(
            fault(&response),
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
        let response = maria
            .enters_pin(&another(&pin))
            .await
            .refused(422, "pin-wrong");
        assert_eq!(
            response.text_at("/detail"),
            format!("This is not the PIN from your most recent letter. {left}")
        );
        response.has("/help_desk/phone", "(312) 555-0130");
    }
    // Permanently, in any session, on any day.
    for _ in 0..2 {
        let maria = world.sign_in("member", "maria.alvarez").await;
        for entered in [&pin, &another(&pin)] {
            let response = maria.enters_pin(entered).await.refused(410, "pin-locked");
            let said = "This PIN was entered incorrectly too many times and can no longer be used. Request a new PIN; we will mail it to you.";
            assert_eq!(response.text_at("/detail"), said);
        }
        maria.get("/entitlements").await.expect(403);
        world.pass_days(2);
    }

    // A new PIN has its own attempts.
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.post("/pin/letter", json!({})).await.expect(201);
    let new = pin_in(&world.last_letter().await, 6);
    let response = maria.enters_pin(&another(&new)).await;
    assert!(
        response
            .text_at("/detail")
            .ends_with("You have 4 attempts left."),
        "{}",
        response.text
    );
    maria.enters_pin(&new).await.expect(200);
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
            maria.get("/pin/letter").await.text_at("/expires_on"),
            "2027-01-22"
        );
        let response = maria.enters_pin(&pin_in(&letter, 6)).await;
        assert_eq!(
            (response.status, response.problem()),
            expected,
            "{}",
            response.text
        );
        if response.status == 410 {
            assert_eq!(
                response.text_at("/detail"),
                "This PIN has expired. Request a new PIN; we will mail it to you."
            );
            maria.post("/pin/letter", json!({})).await.expect(201);
            let new = pin_in(&world.last_letter().await, 6);
            maria.enters_pin(&new).await.expect(200);
        }
    }
}

#[tokio::test]
async fn me_07_a_new_pin_is_mailed_in_a_new_letter_and_the_old_one_stops_working() {
    let world = World::new().await;
    let maria = world.member().await;
    let old = pin_in(&world.last_letter().await, 6);
    let issued = maria.post("/pin/letter", json!({})).await.expect(201);
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

    maria.enters_pin(&old).await.refused(422, "pin-wrong");
    maria.get("/entitlements").await.expect(403);
    maria.enters_pin(&new).await.expect(200);
    maria.get("/entitlements").await.expect(200);

    // A letter can't be requested without signing in.
    world
        .on("member")
        .post("/pin/letter", json!({}))
        .await
        .refused(401, "not-signed-in");
}

#[tokio::test]
async fn me_07_a_letter_that_has_not_been_printed_is_withdrawn() {
    let world = World::new().await;
    let maria = world.member().await;
    for _ in 0..2 {
        maria.post("/pin/letter", json!({})).await.expect(201);
    }
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1, "only the latest is mailed");
    maria.enters_pin(&pin_in(&letters[0], 6)).await.expect(200);
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
        maria.post("/pin/letter", json!({})).await.expect(201);
    }
    let letters = world.letters().await;
    maria.post("/pin/letter", json!({})).await.refused(429, "too-many-attempts").has("/detail", "Several letters are already on their way to you. Wait for the most recent one, or try again tomorrow.");
    assert_eq!(world.letters().await.len(), letters.len());
    // The refusal hasn't invalidated the PIN that is on its way. Tomorrow letters are possible
    // again.
    world.pass_days(1);
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.post("/pin/letter", json!({})).await.expect(201);
    let latest = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&latest).await.expect(200);

    // Thomas has his own daily limit.
    world.register("member", thomas()).await;
    let thomas = world.sign_in("member", "thomas.member").await;
    thomas.post("/pin/letter", json!({})).await.expect(201);
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
        let status = member.get("/pin/letter").await;
        let expected = json!({
            "status": "mailed", "issued_on": "2026-11-23", "arrives_from": from, "arrives_by": by, "expires_on": "2027-01-22",
            "advice": format!("Your letter should arrive between {from} and {by}."),
        });
        assert_eq!((status.status, status.body.clone()), (200, expected));
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
        for (moment, status, is_advised) in [(before, "mailed", false), (after, "overdue", true)] {
            world.wait_until(moment);
            let member = world.sign_in("member", username).await;
            let response = member.get("/pin/letter").await;
            assert_eq!(
                (
                    response.status,
                    response.text_at("/status"),
                    response.text_at("/arrives_by")
                ),
                (200, status, by),
                "{moment}"
            );
            assert_eq!(
                response.text_at("/advice") == advice(by),
                is_advised,
                "{}",
                response.text
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
        let issued = maria.post("/pin/letter", json!({})).await;
        let found = ["/issued_on", "/arrives_from", "/arrives_by"].map(|p| issued.text_at(p));
        assert_eq!(
            (issued.status, found),
            (201, [issued_on, from, by]),
            "{moment}"
        );
        assert_eq!(maria.get("/pin/letter").await.body, issued.body);
    }
}
