//! The PIN letter of the provider portal.

use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_tests::people::{PASSWORD, provider, with, without};
use vestibule_tests::{World, another, code_in, fault, masked, pin_in, shown};

use crate::register::provider::{new_user, pending, redeem, redemption, registration};

/// Clearwater Billing Services, without a signed agreement.
fn billing_agency() -> Value {
    registration("billing_agency", "PV30005", "007890123")
}

#[tokio::test]
async fn bl_03_a_four_digit_pin_is_mailed_to_the_primary_user_only_at_the_address_they_designated()
{
    let world = World::new().await;
    // The primary user designates the address.
    let faults = [
        (
            without(provider(), "/postal_address"),
            "postal_address",
            "is required: we mail your PIN to this address",
        ),
        (
            with(provider(), "/postal_address/lines", json!([])),
            "postal_address.lines",
            "must have one to three lines",
        ),
        (
            with(
                provider(),
                "/postal_address/lines",
                json!(["1", "2", "3", "4"]),
            ),
            "postal_address.lines",
            "must have one to three lines",
        ),
        (
            with(
                provider(),
                "/postal_address/lines",
                json!(["12 Harbor Lane", " "]),
            ),
            "postal_address.lines[1]",
            "must not be empty",
        ),
        (
            with(provider(), "/postal_address/city", ""),
            "postal_address.city",
            "must not be empty",
        ),
        (
            without(provider(), "/postal_address/city"),
            "postal_address.city",
            "is required",
        ),
        (
            without(provider(), "/postal_address/country"),
            "postal_address.country",
            "is required",
        ),
    ];
    for (body, field, why) in faults {
        let response = world.on("provider").registers(body).await;
        assert_eq!(fault(&response), (422, field, why), "{}", response.text);
    }
    for country in ["", "USA", "U", "12", "U1"] {
        let response = world
            .on("provider")
            .registers(with(provider(), "/postal_address/country", country))
            .await;
        assert_eq!(
            (response.status, response.fields()),
            (422, vec!["postal_address.country"]),
            "{country:?}"
        );
    }

    let registered = world.register("provider", provider()).await;
    let helen = world
        .sign_in("provider", registered.text_at("/username"))
        .await;
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1);
    let pin = pin_in(&letters[0], 4);
    insta::assert_snapshot!("bl_03_letter", masked(&letters[0], &[(&pin, "[PIN]")]));
    assert!(
        !letters[0].contains("Willowmere"),
        "not at the address in the plan records"
    );
    helen.enters_pin(&pin).await.expect(200);

    // No other user gets a PIN, whatever their role.
    for role in ["user", "administrator"] {
        let first = if role == "user" { "Sam" } else { "Ada" };
        let added = helen
            .post("/users", new_user(first, role))
            .await
            .expect(201);
        let code = code_in(
            &world
                .last_mail_to(&format!("{}@lakeside.example", first.to_lowercase()))
                .await,
        );
        redeem(&world, redemption(added.text_at("/username"), &code))
            .await
            .expect(200);
        let staff = world.sign_in("provider", added.text_at("/username")).await;
        staff.get("/pin/letter").await.expect(404);
        staff.post("/pin/letter", json!({})).await.expect(403);
        assert_eq!(staff.get("/entitlements").await.text_at("/role"), role);
    }
    assert_eq!(world.letters().await.len(), 1);

    // Facilities have primary users too, and their letters can go to another country.
    let address = json!({ "lines": ["Kranichwinkel 14"], "city": "Berlin", "region": null, "postal_code": "10437", "country": "DE" });
    let facility = with(
        registration("facility", "PV30006", "008901234"),
        "/postal_address",
        address,
    );
    let primary = pending(&world, facility).await;
    let status = primary.get("/pin/letter").await;
    assert_eq!(
        ["/arrives_from", "/arrives_by"].map(|p| status.text_at(p)),
        ["2026-12-03", "2026-12-15"]
    );
    let letter = world.last_letter().await;
    assert!(
        letter.contains("Helen Brandt\nKranichwinkel 14\n10437 Berlin\nGERMANY\n"),
        "{letter}"
    );
}

#[tokio::test]
async fn bl_04_the_first_sign_in_leads_to_the_pin_and_the_right_one_is_never_requested_again() {
    let world = World::new().await;
    let registered = world
        .register("provider", provider())
        .await
        .has("/next_step", "enter_pin");
    let username = registered.text_at("/username");
    let (helen, session) = world.on("provider").sign_in(username, PASSWORD).await;
    let session = session.expect(201).has("/next_step", "enter_pin");
    let pin = pin_in(&world.last_letter().await, 4);

    for malformed in ["", "123", "12345", "12a4"] {
        let response = helen.enters_pin(malformed).await;
        assert_eq!(
            fault(&response),
            (422, "pin", "must be 4 digits"),
            "{malformed:?}"
        );
    }
    let wrong = helen
        .enters_pin(&another(&pin))
        .await
        .refused(422, "pin-wrong")
        .has(
            "/detail",
            "This is not the PIN from your most recent letter. You have 4 attempts left.",
        );

    let other_session = world.sign_in("provider", username).await;
    let opened = helen.enters_pin(&pin).await;
    assert_eq!(
        (opened.status, opened.body.get("next_step")),
        (200, None),
        "{}",
        opened.text
    );
    let opened = opened.has("/entitlements/role", "principal");
    // At once: in this session, in one that was already open, and in new ones.
    let next = world.on("provider").sign_in(username, PASSWORD).await;
    assert_eq!((next.1.status, next.1.body.get("next_step")), (201, None));
    for client in [helen, other_session, next.0] {
        assert_eq!(
            client.get("/sessions/current").await.body.get("next_step"),
            None
        );
        assert_eq!(
            client.get("/entitlements").await.body,
            opened.body["entitlements"]
        );
    }
    assert!(
        [&registered, &session, &wrong, &opened]
            .iter()
            .all(|a| !a.text.contains(&format!("\"{pin}\"")))
    );
}

#[tokio::test]
async fn bl_04_a_pin_is_locked_after_its_last_attempt_and_only_the_help_desk_issues_another() {
    let world = World::new().await;
    let helen = pending(&world, provider()).await;
    let pin = pin_in(&world.last_letter().await, 4);
    let ask =
        "Call Provider Services at (312) 555-0140 to request a new PIN; we will mail it to you.";
    let last = format!("That was your last attempt, and this PIN can no longer be used. {ask}");
    for left in [
        "You have 4 attempts left.",
        "You have 3 attempts left.",
        "You have 2 attempts left.",
        "You have 1 attempt left.",
        &last,
    ] {
        let response = helen
            .enters_pin(&another(&pin))
            .await
            .refused(422, "pin-wrong");
        assert_eq!(
            response.text_at("/detail"),
            format!("This is not the PIN from your most recent letter. {left}")
        );
    }
    let dead = helen.enters_pin(&pin).await.refused(410, "pin-locked");
    assert_eq!(
        dead.text_at("/detail"),
        format!("This PIN was entered incorrectly too many times and can no longer be used. {ask}")
    );
    helen.get("/entitlements").await.expect(403);

    // Users can't do this themselves on this portal (BL-06).
    helen.post("/pin/letter", json!({})).await.refused(403, "ask-help-desk").has("/detail", "You cannot request a new PIN online on this portal. Call Provider Services at (312) 555-0140 (Monday to Friday, 7 a.m. to 7 p.m. Central Time) to request one.");
    assert_eq!(world.letters().await.len(), 1);
}

#[tokio::test]
async fn bl_04_a_pin_can_be_entered_on_its_last_day_and_not_on_the_next() {
    for (moment, expected) in [
        ("2027-01-23T05:59:59Z", (200, "")),
        ("2027-01-23T06:00:00Z", (410, "pin-expired")),
    ] {
        let world = World::new().await;
        let registered = world.register("provider", provider()).await;
        let pin = pin_in(&world.last_letter().await, 4);
        world.wait_until(moment);
        let helen = world
            .sign_in("provider", registered.text_at("/username"))
            .await;
        let response = helen.enters_pin(&pin).await;
        assert_eq!(
            (response.status, response.problem()),
            expected,
            "{}",
            response.text
        );
        if response.status == 410 {
            assert_eq!(
                response.text_at("/detail"),
                "This PIN has expired. Call Provider Services at (312) 555-0140 to request a new PIN; we will mail it to you."
            );
        }
    }
}

#[tokio::test]
async fn bl_05_secure_information_and_users_are_available_only_after_activation() {
    let world = World::new().await;
    let helen = pending(&world, provider()).await;
    let pin = pin_in(&world.last_letter().await, 4);
    let own = helen.get("/me").await.text_at("/id").to_owned();
    let own = format!("/users/{own}");
    let requests = [
        (Method::GET, "/entitlements", None, 200),
        (Method::GET, "/users", None, 200),
        (Method::GET, own.as_str(), None, 200),
        (Method::POST, "/users", Some(new_user("Sam", "user")), 201),
    ];
    for (method, path, body, _) in &requests {
        let response = helen.send(method.clone(), path, body.as_ref()).await;
        let found = (
            response.status,
            response.problem(),
            response.text_at("/next_step"),
        );
        assert_eq!(
            found,
            (403, "next-step-required", "enter_pin"),
            "{method} {path}"
        );
        response.has("/detail", "Enter the PIN from your letter to continue.");
    }
    assert!(world.mails_to("sam@lakeside.example").await.is_empty());
    helen.enters_pin(&pin).await.expect(200);
    for (method, path, body, expected) in &requests {
        let response = helen.send(method.clone(), path, body.as_ref()).await;
        assert_eq!(
            response.status, *expected,
            "{method} {path}: {}",
            response.text
        );
    }
    assert_eq!(world.mails_to("sam@lakeside.example").await.len(), 1);
}

#[tokio::test]
async fn bl_10_the_pin_letter_of_a_billing_agency_waits_until_the_plan_has_recorded_the_agreement()
{
    let world = World::new().await;
    let registered = world
        .register("provider", billing_agency())
        .await
        .has("/next_step", "sign_agreement");
    let username = registered.text_at("/username");
    let welcome = world.last_mail_to("primary@pv30005.example").await;
    insta::assert_snapshot!(
        "bl_10_welcome",
        shown(&welcome, &[(username, "[username]")])
    );
    let helen = world.sign_in("provider", username).await;
    let status = helen.get("/pin/letter").await;
    let withheld = json!({
        "status": "withheld",
        "advice": "We will mail your letter when your signed agreement is on file. To check whether we received it, call Provider Services at (312) 555-0140.",
    });
    assert_eq!((status.status, status.body.clone()), (200, withheld));
    helen.get("/me").await.has(
        "/agreement/form_url",
        "https://providers.harborlight.example/forms/signatory-agreement-2026-01.pdf",
    );
    for path in ["/entitlements", "/users"] {
        helen
            .get(path)
            .await
            .expect(403)
            .has("/next_step", "sign_agreement");
    }
    assert_eq!(
        helen.enters_pin("0000").await.text_at("/next_step"),
        "sign_agreement"
    );

    // Neither the same row nor an older revision of the agreement releases the letter.
    let row = |agreements: &str| {
        format!(
            "provider_id,name,tax_id,category,participating,agreements\n\
             PV30005,Clearwater Billing Services,007890123,billing_agency,,{agreements}"
        )
    };
    for agreements in [
        "",
        "signatory_agreement=2024-01",
        "producer_agreement=2026-01",
    ] {
        world.import(RecordKind::Provider, &row(agreements)).await;
        assert_eq!(world.letters().await.len(), 0, "{agreements}");
    }

    world.pass_days(9);
    world
        .import(RecordKind::Provider, &row("signatory_agreement=2026-01"))
        .await;
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1);
    let pin = pin_in(&letters[0], 4);
    insta::assert_snapshot!("bl_10_letter", masked(&letters[0], &[(&pin, "[PIN]")]));
    // Importing again sends no second letter.
    world
        .import(RecordKind::Provider, &row("signatory_agreement=2026-01"))
        .await;
    assert_eq!(world.letters().await.len(), 1);
    let (helen, session) = world.on("provider").sign_in(username, PASSWORD).await;
    session.has("/next_step", "enter_pin");
    let status = helen.get("/pin/letter").await;
    assert_eq!(
        (status.text_at("/status"), status.text_at("/issued_on")),
        ("mailed", "2026-12-02")
    );
    helen.enters_pin(&pin).await.expect(200);
    let entitlements = helen.get("/entitlements").await;
    assert_eq!(
        entitlements.body["services"],
        json!(["claims", "eligibility", "remittances"])
    );

    // If the agreement is already signed, the letter is mailed at once.
    pending(
        &world,
        registration("billing_agency", "PV30022", "004917051"),
    )
    .await;
    assert_eq!(world.letters().await.len(), 2);
}

#[tokio::test]
async fn ux_10_the_first_password_is_not_made_of_the_own_name_or_address() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Kimberly").await;
    let redeem = async |code: &str, password: &str| {
        let body = with(redemption(&username, code), "/password", password);
        let on = world.on("provider");
        on.post("/registration-codes/redemption", body).await
    };
    for password in ["Kimberly-Lind-1", "kimberly@lakeside.example1"] {
        redeem(&code, password).await.invalid("password");
        // With a wrong code, the response is that for any password.
        let wrong = redeem(&another(&code), password).await;
        wrong.refused(422, "code-wrong");
    }
    redeem(&code, PASSWORD).await.expect(200);
}
