//! The practice portal: medical and dental providers, office managers and their staff.

use serde_json::{Value, json};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, dental, office_manager_terms, with, without};
use vestibule_tests::{World, fault, shown};

/// A registration with a provider's numbers.
fn registration(registration_type: &str, provider_id: &str, tax_id: &str) -> Value {
    let body = with(
        dental(),
        "/verification",
        json!({ "provider_id": provider_id, "tax_id": tax_id }),
    );
    let accepted_agreements = if registration_type.ends_with("office_manager") {
        office_manager_terms()
    } else {
        json!({})
    };
    let body = with(body, "/accepted_agreements", accepted_agreements);
    let name = format!("{registration_type}.{}", provider_id.to_lowercase());
    let body = with(
        with(body, "/registration_type", registration_type),
        "/username",
        name.as_str(),
    );
    with(body, "/email", format!("{name}@practice.example"))
}

/// An office manager's request to add a user.
fn staff(first: &str) -> Value {
    let first_lower = first.to_lowercase();
    json!({
        "first_name": first, "last_name": "Lind", "email": format!("{first_lower}@lakeside.example"),
        "username": format!("{first_lower}.lind"), "initial_password": INITIAL, "services": ["claims", "referrals"],
    })
}

const INITIAL: &str = "First-Morning-17";

async fn change_password(client: &Person, current: &str, new: &str) -> Response {
    let body = json!({ "current_password": current, "new_password": new });
    client.put("/sessions/current/password", &body).await
}

#[tokio::test]
async fn ex_03_office_managers_register_before_their_staff() {
    let world = World::new().await;
    // No registration type is open to staff, and there are no users before the office manager.
    let portal = world.on("practice").get("").await;
    let registration_types: Vec<_> = portal.body["registration_types"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        registration_types,
        [
            "medical",
            "dental",
            "office_manager",
            "dental_office_manager"
        ]
    );
    let body = registration("staff", "PV30001", "003456789");
    world
        .on("practice")
        .registers(body)
        .await
        .invalid("registration_type");
    world
        .on("practice")
        .post("/users", staff("Sam"))
        .await
        .refused(401, "not-signed-in");
    world
        .on("practice")
        .signs_in("sam.lind", INITIAL)
        .await
        .refused(401, "sign-in-failed");
    let accept = World::acceptance("vi.x.y", "Sam", "sam@lakeside.example", "sam.lind");
    world
        .on("practice")
        .accepts(accept)
        .await
        .refused(404, "invitation-not-found");
    let code =
        json!({ "username": "sam.lind", "registration_code": "RC123456", "password": PASSWORD });
    world
        .on("practice")
        .post("/registration-codes/redemption", code)
        .await
        .expect(404);

    // The office manager registers with a provider's letter and has access at once.
    let registered = world
        .on("practice")
        .registers(registration("office_manager", "PV30001", "003456789"))
        .await;
    assert_eq!(
        (registered.status, registered.body.get("next_step")),
        (201, None),
        "{}",
        registered.text
    );
    let manager = world.sign_in("practice", "office_manager.pv30001").await;
    manager
        .get("/entitlements")
        .await
        .expect(200)
        .has("/role", "administrator");
    manager
        .get("/me")
        .await
        .has("/organization/name", "Lakeside Family Medicine")
        .has("/organization/role_title", "Office manager");

    // Then they add their staff, who sign in.
    manager
        .post("/users", staff("Sam"))
        .await
        .expect(201)
        .has("/registration", "registered");
    world
        .on("practice")
        .signs_in("sam.lind", INITIAL)
        .await
        .expect(201)
        .has("/next_step", "change_password");

    // A manager can't add managers; only the provider can (EX-10).
    manager
        .post("/users", with(staff("Ada"), "/role", "administrator"))
        .await
        .refused(403, "not-allowed");
    // The registration type is used. The next person is refused like a stranger.
    let second = with(
        registration("office_manager", "PV30001", "003456789"),
        "/username",
        "second.manager",
    );
    world
        .on("practice")
        .registers(with(second, "/email", "second@practice.example"))
        .await
        .refused(403, "registration-refused");
}

#[tokio::test]
async fn ex_04_participating_providers_register_themselves_and_others_are_referred_to_customer_care()
 {
    let world = World::new().await;
    let participating = [
        ("PV30001", "003456789", "Lakeside Family Medicine"),
        ("PV30006", "008901234", "Mercy Street Hospital"),
        ("PV30007", "009012345", "Dr. Hannah Weiss"),
    ];
    for (id, tax_id, name) in participating {
        let registered = world
            .on("practice")
            .registers(registration("medical", id, tax_id))
            .await;
        assert_eq!(
            (registered.status, registered.body.get("next_step")),
            (201, None),
            "{}",
            registered.text
        );
        let principal = world
            .sign_in("practice", &format!("medical.{}", id.to_lowercase()))
            .await;
        let entitlements = principal.get("/entitlements").await;
        assert_eq!(
            entitlements.body["services"],
            json!(["claims", "eligibility", "fee_schedules", "referrals"])
        );
        let profile = principal.get("/me").await;
        assert_eq!(
            (
                profile.text_at("/organization/name"),
                profile.text_at("/organization/role")
            ),
            (name, "principal")
        );
    }

    // The response to a person with a valid verification names the place to go instead.
    let medical = "Only medical providers that participate in our network can register here. If you don't participate, please call Customer Care at (312) 555-0150.";
    let manager = "This provider doesn't participate in our network. For a dental provider, please register as office manager of a dental practice; otherwise, call Customer Care at (312) 555-0150.";
    let dentists = "Only dental providers can register here. Medical providers, please register as a medical group, facility or individual practice.";
    let not_open = [
        (registration("medical", "PV30004", "006789012"), medical),
        (registration("medical", "PV30016", "005464616"), medical),
        (registration("medical", "PV30002", "004567890"), medical),
        (
            registration("office_manager", "PV30004", "006789012"),
            manager,
        ),
        (registration("dental", "PV30029", "004748929"), dentists),
    ];
    for (body, words) in &not_open {
        let refused = world.on("practice").registers(body.clone()).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (403, "not-open"),
            "{body}"
        );
        assert_eq!(refused.text_at("/detail"), *words);
        let refused = refused.has("/help_desk/name", "Customer Care");
        refused.has("/help_desk/phone", "(312) 555-0150");
    }

    // A person who has not learns nothing: neither whether the provider participates nor whether it
    // exists.
    let mut refusals = Vec::new();
    for (id, tax_id) in [
        ("PV30004", "006789013"),
        ("PV30016", "999999999"),
        ("PV30029", "004748928"),
        ("PV39999", "006789012"),
        ("PV30001", "003456788"),
    ] {
        let refused = world
            .on("practice")
            .registers(registration("medical", id, tax_id))
            .await;
        assert_eq!(
            (refused.status, refused.problem()),
            (403, "registration-refused"),
            "{id}"
        );
        assert!(
            refused
                .text_at("/detail")
                .contains("call Customer Care at (312) 555-0150"),
            "{}",
            refused.text
        );
        refusals.push(refused.text.clone());
    }
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:#?}");

    // Numbers as people write them.
    let written = with(
        registration("medical", "PV30029", "00-4748929"),
        "/verification/provider_id",
        " pv30029 ",
    );
    world.on("practice").registers(written).await.expect(201);
}

#[tokio::test]
async fn ex_05_a_dental_provider_participating_or_not_registers_with_provider_id_and_tax_id() {
    let world = World::new().await;
    let faults = [
        (
            without(dental(), "/verification/tax_id"),
            "verification.tax_id",
            "is required",
        ),
        (
            without(dental(), "/verification/provider_id"),
            "verification.provider_id",
            "is required",
        ),
        (
            with(dental(), "/verification/tax_id", "00456789"),
            "verification.tax_id",
            "must be 9 digits",
        ),
        (
            with(dental(), "/verification/provider_id", "PV 30002"),
            "verification.provider_id",
            "must be 1 to 20 letters, digits and hyphens",
        ),
    ];
    for (body, field, why) in faults {
        let response = world.on("practice").registers(body).await;
        assert_eq!(fault(&response), (422, field, why), "{}", response.text);
    }
    for (id, tax_id, name) in [
        ("PV30002", "004567890", "Riverbend Dental"),
        ("PV30003", "005678901", "Oakview Dental Studio"),
    ] {
        let refused = world
            .on("practice")
            .registers(registration("dental", id, "004567899"))
            .await;
        assert_eq!(
            (refused.status, refused.problem()),
            (403, "registration-refused"),
            "{id}"
        );
        let registered = world
            .on("practice")
            .registers(registration("dental", id, tax_id))
            .await;
        assert_eq!(
            (registered.status, registered.body.get("next_step")),
            (201, None),
            "{}",
            registered.text
        );
        let dentist = world
            .sign_in("practice", &format!("dental.{}", id.to_lowercase()))
            .await;
        assert_eq!(dentist.get("/me").await.text_at("/organization/name"), name);
        let entitlements = dentist.get("/entitlements").await;
        assert_eq!(
            entitlements.body["services"],
            json!([
                "claims",
                "eligibility",
                "fee_schedules",
                "predeterminations"
            ])
        );
    }
    assert!(
        world.letters().await.is_empty(),
        "there is no PIN on this portal"
    );
}

#[tokio::test]
async fn ex_09_an_initial_password_must_be_changed_at_the_first_sign_in() {
    let world = World::new().await;
    world
        .on("practice")
        .registers(registration("office_manager", "PV30001", "003456789"))
        .await;
    let manager = world.sign_in("practice", "office_manager.pv30001").await;
    let faults = [
        (
            without(staff("Sam"), "/initial_password"),
            "initial_password",
            "is required",
        ),
        (
            with(staff("Sam"), "/initial_password", "short1"),
            "initial_password",
            "must have at least 8 characters",
        ),
        (
            with(staff("Sam"), "/initial_password", "sam.lind"),
            "initial_password",
            "must contain a digit, not be the username",
        ),
        (
            without(staff("Sam"), "/username"),
            "username",
            "is required",
        ),
        (
            with(staff("Sam"), "/username", "samli"),
            "username",
            "must be 6 to 40 characters long",
        ),
        (
            with(staff("Sam"), "/services", json!(["surgery"])),
            "services",
            "\"surgery\" is not available on this portal",
        ),
    ];
    for (body, field, why) in faults {
        let response = manager.post("/users", body).await;
        assert_eq!(fault(&response), (422, field, why), "{}", response.text);
    }
    let added = manager.post("/users", staff("Sam")).await.expect(201);
    // Each user needs their own username (EX-01) and email address (EX-08).
    for (body, field) in [
        (with(staff("Ada"), "/username", "SAM.LIND"), "username"),
        (
            with(staff("Ada"), "/email", "Sam@Lakeside.example"),
            "email",
        ),
    ] {
        let response = manager.post("/users", body).await;
        assert_eq!(
            (response.status, response.problem(), response.fields()),
            (409, "already-taken", vec![field])
        );
    }
    // The email contains no password; the manager hands it over.
    let mails = world.mails_to("sam@lakeside.example").await;
    assert_eq!(mails.len(), 1);
    insta::assert_snapshot!("ex_09_account_made", shown(&mails[0], &[]));
    assert!(!added.text.contains(INITIAL) && !mails[0].text.contains(INITIAL));

    // With it, the user can only choose another password.
    let (elsewhere, _) = world.on("practice").sign_in("sam.lind", INITIAL).await;
    let (sam, session) = world.on("practice").sign_in("sam.lind", INITIAL).await;
    session.expect(201).has("/next_step", "change_password");
    for path in ["/entitlements", "/users"] {
        let refused = sam.get(path).await;
        let found = (
            refused.status,
            refused.problem(),
            refused.text_at("/next_step"),
            refused.text_at("/detail"),
        );
        assert_eq!(
            found,
            (
                403,
                "next-step-required",
                "change_password",
                "Choose a new password to continue."
            ),
            "{path}"
        );
    }
    let faults = [
        (
            INITIAL,
            INITIAL,
            "new_password",
            "must be a password that you have not used before",
        ),
        (
            INITIAL,
            "short1",
            "new_password",
            "must have at least 8 characters",
        ),
        (
            INITIAL,
            "longenough",
            "new_password",
            "must contain a digit",
        ),
        (
            "Wrong-Morning-17",
            PASSWORD,
            "current_password",
            "is incorrect",
        ),
    ];
    for (current, new, field, why) in faults {
        let response = change_password(&sam, current, new).await;
        assert_eq!(fault(&response), (422, field, why), "{}", response.text);
        sam.get("/entitlements").await.expect(403);
    }

    // After the change, this session has the assigned access and all others have ended (UX-05).
    let changed = change_password(&sam, INITIAL, PASSWORD).await;
    assert_eq!(
        (changed.status, changed.body.get("next_step")),
        (200, None),
        "{}",
        changed.text
    );
    let entitlements = sam.get("/entitlements").await;
    assert_eq!(
        (entitlements.status, &entitlements.body["services"]),
        (200, &json!(["claims", "referrals"]))
    );
    elsewhere
        .get("/sessions/current")
        .await
        .refused(401, "not-signed-in");
    change_password(&elsewhere, INITIAL, "Third-Morning-17")
        .await
        .expect(401);
    let reported = world.last_mail_to("sam@lakeside.example").await;
    insta::assert_snapshot!("ex_09_password_changed", shown(&reported, &[]));
    world
        .on("practice")
        .signs_in("sam.lind", INITIAL)
        .await
        .refused(401, "sign-in-failed");
    let (sam, session) = world.on("practice").sign_in("sam.lind", PASSWORD).await;
    assert_eq!((session.status, session.body.get("next_step")), (201, None));

    // Later changes are also allowed, and also end the other sessions.
    let other = world.sign_in("practice", "sam.lind").await;
    let before = manager.get("/sessions/current").await.status;
    change_password(&sam, PASSWORD, "Third-Morning-17")
        .await
        .expect(200);
    assert_eq!(
        (sam.get("/me").await.status, other.get("/me").await.status),
        (200, 401)
    );
    assert_eq!(
        (before, manager.get("/sessions/current").await.status),
        (200, 200),
        "nobody else's session ends"
    );
}
