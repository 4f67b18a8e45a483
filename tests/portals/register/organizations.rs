//! One user with several organizations, and several users registering one organization.

use std::collections::BTreeSet;

use futures::future::{join, join_all};
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_local::Options;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::{invariants, text};
use vestibule_tests::people::{
    PASSWORD, agent, dental, group_principal, office_manager_terms, provider, with,
};
use vestibule_tests::{World, options, pin_in, shown};

/// A person who registers on the practice portal with a provider's numbers.
fn person(registration_type: &str, provider_id: &str, tax_id: &str, name: &str) -> Value {
    let verification = json!({ "provider_id": provider_id, "tax_id": tax_id });
    let body = with(
        with(dental(), "/verification", verification),
        "/registration_type",
        registration_type,
    );
    let body = with(
        with(body, "/username", name),
        "/accepted_agreements",
        accepted_agreements(registration_type),
    );
    with(body, "/email", format!("{name}@practice.example"))
}

/// The agreements that a person can accept with this registration type.
fn accepted_agreements(registration_type: &str) -> Value {
    if registration_type.ends_with("office_manager") {
        office_manager_terms()
    } else {
        json!({})
    }
}

/// A request to register an additional provider with an existing account.
fn additional(registration_type: &str, provider_id: &str, tax_id: &str) -> Value {
    json!({
        "registration_type": registration_type, "verification": { "provider_id": provider_id, "tax_id": tax_id },
        "attests_signing_authority": true, "accepted_agreements": accepted_agreements(registration_type),
    })
}

/// The office manager of Lakeside Family Medicine.
fn manager() -> Value {
    person("office_manager", "PV30001", "003456789", "mona.office")
}

/// The provider of Lakeside Family Medicine.
fn physician() -> Value {
    person("medical", "PV30001", "003456789", "helen.brandt")
}

async fn choose(client: &Person, organization: &str) -> Response {
    let body = json!({ "organization_id": organization });
    client.put("/sessions/current/organization", &body).await
}

/// The names and roles of those who manage the caller's organization.
async fn administrators(client: &Person) -> BTreeSet<(String, String)> {
    let me = client.get("/me").await.expect(200);
    let list = me.body["organization"]["administrators"].as_array();
    list.unwrap()
        .iter()
        .map(|a| (text(a, "/email").to_owned(), text(a, "/role").to_owned()))
        .collect()
}

fn both() -> BTreeSet<(String, String)> {
    [
        ("mona.office@practice.example", "administrator"),
        ("helen.brandt@practice.example", "principal"),
    ]
    .map(|(who, role)| (who.to_owned(), role.to_owned()))
    .into()
}

#[tokio::test]
async fn ex_03_a_provider_and_its_office_manager_register_one_organization() {
    for (first, second) in [(manager(), physician()), (physician(), manager())] {
        let world = World::new().await;
        for body in [&first, &second] {
            world.on("practice").registers(body).await.expect(201);
        }
        let all = invariants(&world).await;
        assert_eq!((all.accounts.len(), all.organizations.len()), (2, 1));
        // The provider is its principal, whoever registered first.
        let organization = all.organizations.values().next().unwrap();
        let principals = organization["principals"].as_array().unwrap();
        let helen = world.sign_in("practice", "helen.brandt").await;
        let me = helen.get("/me").await;
        assert_eq!(principals, &[me.body["id"].clone()]);
        me.has("/organization/role", "principal");
        // Each manages it, and each sees the other.
        let mona = world.sign_in("practice", "mona.office").await;
        assert_eq!(administrators(&helen).await, both());
        assert_eq!(administrators(&mona).await, both());
        mona.get("/entitlements").await.expect(200);

        // A used registration type isn't open to a second person. The response is that for an
        // unknown number.
        let unknown = person("medical", "PV39999", "003456789", "some.body");
        let unknown = world.on("practice").registers(&unknown).await;
        for registration_type in ["medical", "office_manager"] {
            let refused = person(registration_type, "PV30001", "003456789", "some.body");
            let refused = world.on("practice").registers(&refused).await;
            assert_eq!(
                (refused.status, refused.problem(), &refused.body),
                (403, "registration-refused", &unknown.body)
            );
        }
        // A person who lost the response and repeats the request gets it again.
        for body in [&first, &second] {
            world.on("practice").registers(body).await.expect(201);
        }
        let all = invariants(&world).await;
        assert_eq!((all.accounts.len(), all.done("register")), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_03_two_concurrent_registration_types_create_one_organization() {
    for _ in 0..5 {
        let world = World::new().await;
        let (manager, physician) = (manager(), physician());
        let (a, b) = join(
            world.on("practice").registers(&manager),
            world.on("practice").registers(&physician),
        )
        .await;
        assert_eq!((a.status, b.status), (201, 201), "{} {}", a.text, b.text);
        let all = invariants(&world).await;
        assert_eq!((all.accounts.len(), all.organizations.len()), (2, 1));
        let mona = world.sign_in("practice", "mona.office").await;
        assert_eq!(administrators(&mona).await, both());
    }
}

#[tokio::test]
async fn bl_01_nobody_works_for_an_organization_that_is_not_theirs() {
    let world = World::new().await;
    for body in [manager(), dental()] {
        world.on("practice").registers(&body).await.expect(201);
    }
    let mona = world.sign_in("practice", "mona.office").await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let of = async |client: &Person| {
        let me = client.get("/me").await;
        me.text_at("/organization/id").to_owned()
    };
    let (lakeside, riverbend) = (of(&mona).await, of(&omar).await);
    let unknown = choose(&mona, "00000000000000000000000000").await;
    let others = choose(&mona, &riverbend).await.refused(404, "not-found");
    assert_eq!(others.body, unknown.body);
    choose(&mona, &lakeside)
        .await
        .expect(200)
        .has("/entitlements/role", "administrator");
    assert_eq!(invariants(&world).await.done("choose_organization"), 1);
}

async fn attach(client: &Person, body: &Value) -> Response {
    client.post("/me/organizations", body).await
}

/// The names of the caller's organizations, the current one in capitals.
async fn belongs_to(client: &Person) -> Vec<String> {
    let me = client.get("/me").await;
    let list = me.body["organizations"].as_array().unwrap();
    list.iter()
        .map(|o| match (text(o, "/name"), o["is_current"].as_bool()) {
            (name, Some(true)) => name.to_uppercase(),
            (name, _) => name.to_owned(),
        })
        .collect()
}

/// Returns the id of the caller's organization with this name.
async fn organization_id(client: &Person, name: &str) -> String {
    let me = client.get("/me").await;
    let list = me.body["organizations"].as_array().unwrap();
    let found = list.iter().find(|o| text(o, "/name") == name);
    text(found.unwrap(), "/id").to_owned()
}

/// The step that blocks the caller's access; empty if none does.
async fn step(client: &Person) -> String {
    let response = client.get("/entitlements").await;
    match response.status {
        200 => String::new(),
        _ => response.text_at("/next_step").to_owned(),
    }
}

/// Mona, office manager of Lakeside and then of Riverbend. Her session works for Lakeside.
async fn mona_of_two(world: &World) -> Person {
    world.on("practice").registers(&manager()).await.expect(201);
    let mona = world.sign_in("practice", "mona.office").await;
    let body = additional("dental_office_manager", "PV30002", "004567890");
    attach(&mona, &body).await.expect(201);
    mona
}

#[tokio::test]
async fn bl_01_one_login_works_for_several_organizations() {
    let world = World::new().await;
    let (helen, username) = world.provider().await;
    let riverbend = json!({
        "registration_type": "practice", "verification": { "provider_id": "PV30002", "tax_id": "004567890" }, "attests_signing_authority": true,
        "postal_address": { "lines": ["9 Ferry Road"], "city": "Joliet", "region": "IL", "postal_code": "60432", "country": "US" },
    });
    // The requirements of the registration type apply again, such as the address for the letter.
    for (field, body) in [
        (
            "postal_address",
            with(riverbend.clone(), "/postal_address", Value::Null),
        ),
        (
            "registration_type",
            with(riverbend.clone(), "/registration_type", "member"),
        ),
    ] {
        attach(&helen, &body).await.invalid(field);
    }
    let response = attach(&helen, &riverbend).await;
    assert_eq!(
        (
            response.status,
            response.text_at("/next_step"),
            &response.headers["location"]
        ),
        (201, "enter_pin", &"/provider/me".parse().unwrap()),
        "{}",
        response.text
    );
    let mail = world.last_mail_to("helen@lakeside.example").await;
    insta::assert_snapshot!("bl_01_additional_organization", shown(&mail, &[]));
    // The letter goes to the address of this registration. The session continues unchanged.
    let letter = world.last_letter().await;
    assert!(letter.contains("9 Ferry Road"), "{letter}");
    assert_eq!(step(&helen).await, "");
    assert_eq!(
        belongs_to(&helen).await,
        ["LAKESIDE FAMILY MEDICINE", "Riverbend Dental"]
    );
    let me = helen.get("/me").await;
    assert_eq!(
        ["registered", "pending"],
        [
            text(&me.body, "/organizations/0/registration"),
            text(&me.body, "/organizations/1/registration")
        ]
    );

    // The other organization has its own PIN, which doesn't block access to the first.
    let (lakeside, second) = (
        organization_id(&helen, "Lakeside Family Medicine").await,
        response.text_at("/organization_id").to_owned(),
    );
    let chosen = choose(&helen, &second)
        .await
        .expect(200)
        .has("/next_step", "enter_pin");
    assert_eq!(chosen.body.get("entitlements"), None);
    assert_eq!(step(&helen).await, "enter_pin");
    helen
        .get("/users")
        .await
        .expect(403)
        .has("/next_step", "enter_pin");
    assert_eq!(choose(&helen, &lakeside).await.body.get("next_step"), None);
    assert_eq!(step(&helen).await, "");
    choose(&helen, &second).await;
    let pin = json!({ "pin": pin_in(&letter, 4) });
    let opened = helen.post("/pin/activation", pin).await;
    assert_eq!(
        (opened.status, step(&helen).await),
        (200, String::new()),
        "{}",
        opened.text
    );
    let entitlements = helen.get("/entitlements").await;
    assert_eq!(entitlements.text_at("/organization_id"), second);

    // A user with several organizations has to choose one after sign-in.
    let (again, signed_in) = world.on("provider").sign_in(&username, PASSWORD).await;
    let signed_in = signed_in.has("/next_step", "choose_organization");
    assert_eq!(signed_in.body.get("organization_id"), None);
    assert_eq!(step(&again).await, "choose_organization");
    assert_eq!(
        belongs_to(&again).await,
        ["Lakeside Family Medicine", "Riverbend Dental"]
    );
    let chosen = choose(&again, &lakeside).await;
    assert_eq!(chosen.text_at("/entitlements/organization_id"), lakeside);
    // Each session works for its own organization.
    assert_eq!(
        belongs_to(&again).await,
        ["LAKESIDE FAMILY MEDICINE", "Riverbend Dental"]
    );
    assert_eq!(
        belongs_to(&helen).await,
        ["Lakeside Family Medicine", "RIVERBEND DENTAL"]
    );

    // The same request again gets the same response and changes nothing.
    let repeated = attach(&helen, &riverbend).await.expect(201);
    assert_eq!(repeated.text_at("/organization_id"), second);
    let all = invariants(&world).await;
    assert_eq!(
        (
            all.accounts.len(),
            all.done("register_additional_organization")
        ),
        (1, 1)
    );
    assert_eq!(world.letters().await.len(), 2);
}

#[tokio::test]
async fn bl_01_signing_authority_is_attested_for_each_organization() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let body = json!({ "registration_type": "group", "verification": { "group_number": "GR20002", "tax_id_last4": "5678" } });
    attach(&ruth, &body)
        .await
        .invalid("attests_signing_authority");
    let response = attach(&ruth, &with(body, "/attests_signing_authority", true)).await;
    assert_eq!(
        (response.status, &response.body["notices"]),
        (201, &json!(["invite_backup"])),
        "{}",
        response.text
    );
}

#[tokio::test]
async fn bl_01_the_address_of_one_organizations_letter_is_not_anothers() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let feed = |agreements: &str| {
        format!(
            "provider_id,name,tax_id,category,participating,agreements\nPV30005,Clearwater Billing Services,007890123,billing_agency,,{agreements}"
        )
    };
    let agency = |lines: &str, id: &str, tax_id: &str, registration_type: &str| {
        let address = with(
            provider()["postal_address"].clone(),
            "/lines",
            json!([lines]),
        );
        json!({ "registration_type": registration_type, "verification": { "provider_id": id, "tax_id": tax_id }, "attests_signing_authority": true, "postal_address": address })
    };
    let clearwater = agency("1 Ledger Way", "PV30005", "007890123", "billing_agency");
    attach(&helen, &clearwater)
        .await
        .has("/next_step", "sign_agreement");
    let riverbend = agency("9 Ferry Road", "PV30002", "004567890", "practice");
    attach(&helen, &riverbend).await.expect(201);
    // The letter that was waiting for the agreement goes to the address of that organization's
    // registration.
    let letters = world.letters().await.len();
    world
        .import(RecordKind::Provider, &feed("signatory_agreement=2026-01"))
        .await;
    assert_eq!(world.letters().await.len(), letters + 1);
    let letter = world.last_letter().await;
    assert!(
        letter.contains("1 Ledger Way") && !letter.contains("9 Ferry Road"),
        "{letter}"
    );
}

#[tokio::test]
async fn bl_10_the_form_is_there_during_registration_and_later_and_the_letter_waits_for_the_plan() {
    let world = World::new().await;
    let portal = world.on("provider").get("").await;
    let registration_types = portal.body["registration_types"].as_array().unwrap();
    let needs = |registration_type: &str| {
        let registration_type = registration_types
            .iter()
            .find(|w| w["id"] == registration_type)
            .unwrap();
        registration_type["agreements"].clone()
    };
    assert_eq!(needs("billing_agency"), json!(["signatory_agreement"]));
    assert_eq!(needs("practice"), json!([]));
    let form = portal.text_at("/agreements/0/form_url").to_owned();
    let body = with(provider(), "/registration_type", "billing_agency");
    let body = with(
        body,
        "/verification",
        json!({ "provider_id": "PV30005", "tax_id": "007890123" }),
    );
    let registered = world.register("provider", body).await;
    let agency = world
        .sign_in("provider", registered.text_at("/username"))
        .await;
    let asked = async || agency.get("/me/agreements").await.body["items"].clone();
    let item = |on_file: Option<&str>, is_current: bool| {
        let mut item = json!({
            "id": "signatory_agreement", "title": "Signatory Agreement", "revision": "2026-01", "form_url": form,
            "recorded_by": "plan", "blocks": "pin_letter", "is_current": is_current,
        });
        if let Some(revision) = on_file {
            item["revision_on_file"] = revision.into();
        }
        json!([item])
    };
    assert_eq!(asked().await, item(None, false));
    // It is signed on paper, so users can't record it themselves.
    let path = "/me/agreements/signatory_agreement/acceptance";
    agency
        .post(path, json!({ "revision": "2026-01" }))
        .await
        .refused(409, "paper-signature-required")
        .says(&form);
    assert_eq!(
        (asked().await, world.letters().await.len()),
        (item(None, false), 0)
    );
    for (revision, is_current, letters) in [("2025-01", false, 0), ("2026-01", true, 1)] {
        let feed = format!(
            "provider_id,name,tax_id,category,participating,agreements\nPV30005,Clearwater Billing Services,007890123,billing_agency,,signatory_agreement={revision}"
        );
        world.import(RecordKind::Provider, &feed).await;
        assert_eq!(asked().await, item(Some(revision), is_current));
        assert_eq!(world.letters().await.len(), letters, "{revision}");
    }
}

#[tokio::test]
async fn ux_09_an_additional_registration_reveals_no_more_than_a_first_one() {
    let world = World::new().await;
    for body in [manager(), dental()] {
        world.on("practice").registers(&body).await.expect(201);
    }
    let mona = world.sign_in("practice", "mona.office").await;
    let first = person("medical", "PV39999", "003456789", "some.body");
    let first = world.on("practice").registers(&first).await;
    for (what, registration_type, number, tax_id) in [
        ("an unknown number", "medical", "PV39999", "003456789"),
        ("a wrong fact", "dental", "PV30003", "003456789"),
        ("somebody's record", "dental", "PV30002", "004567890"),
        (
            "one's own organization, another way",
            "medical",
            "PV30001",
            "003456789",
        ),
    ] {
        let refused = attach(&mona, &additional(registration_type, number, tax_id)).await;
        assert_eq!(
            (refused.status, &refused.body),
            (403, &first.body),
            "{what}"
        );
    }
    // A matching record that isn't eligible gets the same message as at a first registration.
    attach(&mona, &additional("medical", "PV30004", "006789012"))
        .await
        .refused(403, "not-open");
    // Attempts are counted together with those of registrations; a correct one comes too late.
    for n in 0..5 {
        let guess = additional("dental_office_manager", "PV30003", &format!("00567890{n}"));
        attach(
            &mona,
            &with(guess, "/verification/tax_id", format!("10567890{n}")),
        )
        .await;
    }
    let right = additional("dental_office_manager", "PV30003", "005678901");
    attach(&mona, &right)
        .await
        .refused(429, "too-many-attempts");
    let elsewhere = person("dental_office_manager", "PV30003", "005678901", "some.body");
    world.on("practice").registers(&elsewhere).await.expect(429);
    assert_eq!(belongs_to(&mona).await, ["LAKESIDE FAMILY MEDICINE"]);
    let all = invariants(&world).await;
    assert_eq!(
        (
            all.accounts.len(),
            all.done("register_additional_organization")
        ),
        (2, 0)
    );
}

#[tokio::test]
async fn ex_13_an_office_manager_registers_once_and_attaches_the_other_providers() {
    let world = World::new().await;
    let mona = mona_of_two(&world).await;
    assert_eq!(
        belongs_to(&mona).await,
        ["LAKESIDE FAMILY MEDICINE", "Riverbend Dental"]
    );
    // The second provider registers later and finds the office manager there.
    world.on("practice").registers(&dental()).await.expect(201);
    let omar = world.sign_in("practice", "omar.haddad").await;
    let riverbend = organization_id(&mona, "Riverbend Dental").await;
    assert_eq!(organization_id(&omar, "Riverbend Dental").await, riverbend);
    choose(&mona, &riverbend)
        .await
        .expect(200)
        .has("/entitlements/role", "administrator");
    // The users of one provider aren't those of the other (BL-17).
    let sam = json!({
        "first_name": "Sam", "last_name": "Lind", "email": "sam@riverbend.example",
        "username": "sam.lind", "initial_password": "First-Morning-17",
    });
    let added = mona.post("/users", sam).await.expect(201);
    let path = format!("/users/{}", added.text_at("/id"));
    mona.get(&path).await.expect(200);
    let lakeside = organization_id(&mona, "Lakeside Family Medicine").await;
    choose(&mona, &lakeside).await;
    mona.get(&path).await.expect(404);
    omar.get(&path).await.expect(200);
    assert_eq!(invariants(&world).await.accounts.len(), 3);
}

#[tokio::test]
async fn ux_04_a_user_removed_from_the_chosen_organization_has_to_choose_another() {
    let world = World::new().await;
    let mona = mona_of_two(&world).await;
    let riverbend = organization_id(&mona, "Riverbend Dental").await;
    choose(&mona, &riverbend).await;
    // A principal of Riverbend demotes her there and removes her access.
    world.on("practice").registers(&dental()).await.expect(201);
    let omar = world.sign_in("practice", "omar.haddad").await;
    let id = mona.get("/me").await.text_at("/id").to_owned();
    let access = json!({ "role": "user", "services": [] });
    omar.put(&format!("/users/{id}/access"), &access)
        .await
        .expect(200);
    omar.delete(&format!("/users/{id}")).await.expect(204);
    assert_eq!(step(&mona).await, "choose_organization");
    mona.get("/users").await.expect(403);
    assert_eq!(belongs_to(&mona).await, ["Lakeside Family Medicine"]);
    choose(&mona, &riverbend).await.expect(404);
    let lakeside = organization_id(&mona, "Lakeside Family Medicine").await;
    choose(&mona, &lakeside).await.expect(200);
    assert_eq!(step(&mona).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bl_01_choosing_while_being_removed_opens_nothing() {
    for _ in 0..5 {
        let world = World::new().await;
        let mona = mona_of_two(&world).await;
        let riverbend = organization_id(&mona, "Riverbend Dental").await;
        world.on("practice").registers(&dental()).await.expect(201);
        let omar = world.sign_in("practice", "omar.haddad").await;
        let id = mona.get("/me").await.text_at("/id").to_owned();
        let access = json!({ "role": "user", "services": [] });
        let path = format!("/users/{id}");
        omar.put(&format!("{path}/access"), &access).await;
        let (chosen, removed) = join(choose(&mona, &riverbend), omar.delete(&path)).await;
        assert!([200, 404].contains(&chosen.status), "{}", chosen.text);
        assert_eq!(removed.status, 204);
        if chosen.status == 200 {
            assert_eq!(step(&mona).await, "choose_organization");
        } else {
            assert_eq!(step(&mona).await, "");
        }
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bl_01_one_record_is_added_once_by_concurrent_requests() {
    let world = World::new().await;
    world.on("practice").registers(&manager()).await.expect(201);
    let other = person("office_manager", "PV30006", "008901234", "nina.office");
    world.on("practice").registers(&other).await.expect(201);
    let mona = world.sign_in("practice", "mona.office").await;
    let nina = world.sign_in("practice", "nina.office").await;
    let body = additional("dental_office_manager", "PV30002", "004567890");
    // Twice by one user, and by another: one of them gets it, and repeated requests get the same
    // response.
    let answers = join_all([&mona, &mona, &nina].map(|who| attach(who, &body))).await;
    let statuses: Vec<_> = answers.iter().map(|a| a.status).collect();
    assert!(
        [vec![201, 201, 403], vec![403, 403, 201]].contains(&statuses),
        "{statuses:?}"
    );
    let all = invariants(&world).await;
    assert_eq!(
        (
            all.organizations.len(),
            all.done("register_additional_organization")
        ),
        (3, 1)
    );
}

#[tokio::test]
async fn bl_01_an_invitation_is_accepted_with_an_existing_login() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let second = with(
        group_principal(),
        "/verification",
        json!({ "group_number": "GR20002", "tax_id_last4": "5678" }),
    );
    let second = with(
        with(second, "/username", "pat.cedar"),
        "/email",
        "pat@cedar.example",
    );
    world.register("group", second).await;
    let pat = world.sign_in("group", "pat.cedar").await;
    let take_up = async |client: &Person, token: &str| {
        client
            .post("/me/invitations", json!({ "token": token }))
            .await
    };

    // Only the invited address can use it.
    let token = world
        .invite(&pat, "Jo", "jo@elsewhere.example", "user")
        .await;
    take_up(&ruth, &token).await.invalid("token");
    assert_eq!(
        take_up(&ruth, "vi.unknown.link").await.problem(),
        "invitation-not-found"
    );

    let token = world
        .invite(&pat, "Ruth", "ruth@blueheron.example", "user")
        .await;
    let accepted = take_up(&ruth, &token)
        .await
        .expect(201)
        .has("/next_step", "await_approval");
    assert_eq!(take_up(&ruth, &token).await.body, accepted.body);
    // The session continues. The other organization's administrator is notified and has to approve.
    assert_eq!(step(&ruth).await, "");
    let reported = world.last_mail_to("pat@cedar.example").await;
    assert!(
        reported.text.contains("Ruth Okafor") && reported.text.contains("ruth.okafor"),
        "{}",
        reported.text
    );
    let id = ruth.get("/me").await.text_at("/id").to_owned();
    let approval = json!({ "services": [], "group_codes": [] });
    pat.post(&format!("/users/{id}/approval"), approval)
        .await
        .expect(200);
    let cedar = accepted.text_at("/organization_id");
    choose(&ruth, cedar)
        .await
        .expect(200)
        .has("/entitlements/role", "user");
    // She is a user there and manages nobody.
    assert_eq!(ruth.get("/users").await.problem(), "not-allowed");
    let all = invariants(&world).await;
    assert_eq!(
        (all.accounts_on("group"), all.done("accept_invitation")),
        (2, 1)
    );
}

#[tokio::test]
async fn ag_02_a_user_with_an_expired_password_registers_no_additional_organization() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    world.pass_days(91);
    let ruth_again = world.sign_in("group", "ruth.okafor").await;
    drop(ruth);
    let body = json!({ "registration_type": "group", "verification": { "group_number": "GR20002", "tax_id_last4": "5678" }, "attests_signing_authority": true });
    for (path, body) in [
        ("/me/organizations", body),
        ("/me/invitations", json!({ "token": "vi.x.y" })),
    ] {
        ruth_again
            .post(path, body)
            .await
            .expect(403)
            .has("/next_step", "change_password");
    }
}

#[tokio::test]
async fn ex_10_a_provider_lets_office_managers_control_access_and_takes_it_back() {
    let world = World::new().await;
    world
        .on("practice")
        .registers(&physician())
        .await
        .expect(201);
    let helen = world.sign_in("practice", "helen.brandt").await;
    let add = async |by: &Person, first: &str| {
        let name = first.to_lowercase();
        let body = json!({
            "first_name": first, "last_name": "Lind", "email": format!("{name}@lakeside.example"),
            "username": format!("{name}.lind"), "initial_password": "First-Morning-17",
        });
        by.post("/users", body).await
    };
    let enter = async |first: &str| {
        let name = format!("{}.lind", first.to_lowercase());
        let (client, _) = world
            .on("practice")
            .sign_in(&name, "First-Morning-17")
            .await;
        let body = json!({ "current_password": "First-Morning-17", "new_password": PASSWORD });
        client
            .put("/sessions/current/password", &body)
            .await
            .expect(200);
        client
    };
    let set = async |by: &Person, id: &str, role: &str| {
        let body = json!({ "role": role, "services": ["claims"] });
        by.put(&format!("/users/{id}/access"), &body).await
    };
    let sam = add(&helen, "Sam").await.text_at("/id").to_owned();
    let kim = add(&helen, "Kim").await.text_at("/id").to_owned();
    let (sam_lind, kim_lind) = (enter("Sam").await, enter("Kim").await);
    assert_eq!(add(&sam_lind, "Lee").await.problem(), "not-allowed");
    for id in [&sam, &kim] {
        set(&helen, id, "administrator").await.expect(200);
    }
    // They control the access of users at once, but not each other's or their own.
    add(&sam_lind, "Lee").await.expect(201);
    assert_eq!(set(&sam_lind, &kim, "user").await.problem(), "not-allowed");
    assert_eq!(
        set(&sam_lind, &sam, "user").await.problem(),
        "self-action-forbidden"
    );
    let me = kim_lind.get("/me").await;
    assert_eq!(
        me.body["organization"]["administrators"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    // The provider can take back what the provider granted.
    set(&helen, &sam, "user").await.expect(200);
    assert_eq!(add(&sam_lind, "Max").await.problem(), "not-allowed");
    invariants(&world).await;
}

#[tokio::test]
async fn ex_10_an_individual_practitioner_manages_their_own_staff() {
    let world = World::new().await;
    let hannah = person("medical", "PV30007", "009012345", "hannah.weiss");
    world.on("practice").registers(&hannah).await.expect(201);
    let hannah = world.sign_in("practice", "hannah.weiss").await;
    let body = json!({
        "first_name": "Sam", "last_name": "Lind", "email": "sam@weiss.example",
        "username": "sam.lind", "initial_password": "First-Morning-17", "services": ["claims"],
    });
    let added = hannah.post("/users", body).await.expect(201);
    let path = format!("/users/{}", added.text_at("/id"));
    hannah.delete(&path).await.expect(204);
    let gone = world
        .on("practice")
        .signs_in("sam.lind", "First-Morning-17")
        .await;
    assert_eq!(gone.problem(), "sign-in-failed");
}

#[tokio::test]
async fn ex_14_a_user_sees_who_manages_their_access() {
    let world = World::new().await;
    for body in [manager(), physician()] {
        world.on("practice").registers(&body).await.expect(201);
    }
    let mona = world.sign_in("practice", "mona.office").await;
    let body = json!({
        "first_name": "Sam", "last_name": "Lind", "email": "sam@lakeside.example",
        "username": "sam.lind", "initial_password": "First-Morning-17",
    });
    mona.post("/users", body).await.expect(201);
    // At once, before the password is changed.
    let (sam, _) = world
        .on("practice")
        .sign_in("sam.lind", "First-Morning-17")
        .await;
    assert_eq!(step(&sam).await, "change_password");
    assert_eq!(administrators(&sam).await, both());
    // Also while waiting for approval, on portals that require it.
    let ruth = world.group_principal().await;
    world.invited(&ruth, "Tess", "user").await;
    let tess = world.sign_in("group", "tess.lind").await;
    assert_eq!(step(&tess).await, "await_approval");
    assert_eq!(
        administrators(&tess).await,
        [("ruth@blueheron.example".to_owned(), "principal".to_owned())].into()
    );
}

#[tokio::test]
async fn ex_03_the_feed_reaches_everybody_who_registered_with_a_record() {
    // A practice portal whose providers and office managers both need a signed plan agreement.
    let folder = tempfile::TempDir::new().unwrap();
    let policies = options().portals;
    for file in std::fs::read_dir(&policies).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let policy = std::fs::read_to_string(policies.join("practice.toml")).unwrap();
    let agreement = "[[agreement]]\nid = \"network_agreement\"\ntitle = \"Network Agreement\"\nrevision = \"2026-01\"\n\
        form_url = \"https://practice.harborlight.example/forms/network.pdf\"\nrecorded_by = \"plan\"\n\
        blocks = \"protected_information\"\n\n[staff]";
    let policy = policy.replacen("[staff]", agreement, 1);
    std::fs::write(folder.path().join("practice.toml"), policy).unwrap();
    let world = World::with(Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    let mona = mona_of_two(&world).await;
    world
        .on("practice")
        .registers(&physician())
        .await
        .expect(201);
    let helen = world.sign_in("practice", "helen.brandt").await;
    for client in [&mona, &helen] {
        assert_eq!(step(client).await, "sign_agreement");
    }
    let feed = "provider_id,name,tax_id,category,participating,agreements\n\
                PV30001,Lakeside Family Medicine,003456789,medical_group,yes,network_agreement=2026-01\n";
    world.import(RecordKind::Provider, feed).await;
    for client in [&mona, &helen] {
        assert_eq!(step(client).await, "");
    }
    // An agreement recorded for one organization doesn't apply to another.
    let riverbend = organization_id(&mona, "Riverbend Dental").await;
    assert_eq!(
        choose(&mona, &riverbend).await.text_at("/next_step"),
        "sign_agreement"
    );
    assert_eq!(invariants(&world).await.done("record_agreement"), 2);
}

#[tokio::test]
async fn ux_13_an_agreement_is_accepted_for_each_organization_in_its_current_revision() {
    let world = World::new().await;
    let without_terms = with(manager(), "/accepted_agreements", json!({}));
    world
        .on("practice")
        .registers(&without_terms)
        .await
        .has("/next_step", "sign_agreement");
    let mona = world.sign_in("practice", "mona.office").await;
    assert_eq!(step(&mona).await, "sign_agreement");
    mona.get("/users").await.expect(403);
    let listed = mona.get("/me/agreements").await;
    assert_eq!(
        listed.body["items"],
        json!([{
            "id": "office_manager_terms", "title": "Office Manager Terms of Use", "revision": "2026-10",
            "form_url": "https://practice.harborlight.example/forms/office-manager-terms-2026-10.pdf",
            "recorded_by": "user", "blocks": "protected_information", "is_current": false,
        }])
    );
    let accept = async |client: &Person, id: &str, revision: &str| {
        let path = format!("/me/agreements/{id}/acceptance");
        client.post(&path, json!({ "revision": revision })).await
    };
    for revision in ["2026-09", "2026-11", ""] {
        accept(&mona, "office_manager_terms", revision)
            .await
            .invalid("revision");
    }
    accept(&mona, "other_terms", "2026-10").await.expect(404);
    assert_eq!(step(&mona).await, "sign_agreement");
    // Accepted twice at once, it is recorded once.
    let (a, b) = join(
        accept(&mona, "office_manager_terms", "2026-10"),
        accept(&mona, "office_manager_terms", "2026-10"),
    )
    .await;
    for response in [&a, &b] {
        assert_eq!(
            (response.status, response.text_at("/entitlements/role")),
            (200, "administrator"),
            "{}",
            response.text
        );
    }
    assert_eq!(step(&mona).await, "");
    let listed = mona.get("/me/agreements").await;
    assert_eq!(
        (
            listed.text_at("/items/0/revision_on_file"),
            &listed.body["items"][0]["is_current"]
        ),
        ("2026-10", &json!(true))
    );
    assert_eq!(invariants(&world).await.done("record_agreement"), 1);

    // For another provider it has to be accepted again.
    let body = with(
        additional("dental_office_manager", "PV30002", "004567890"),
        "/accepted_agreements",
        json!({}),
    );
    let second = attach(&mona, &body)
        .await
        .has("/next_step", "sign_agreement");
    let riverbend = second.text_at("/organization_id");
    assert_eq!(
        choose(&mona, riverbend).await.text_at("/next_step"),
        "sign_agreement"
    );
    accept(&mona, "office_manager_terms", "2026-10")
        .await
        .expect(200);
    assert_eq!(step(&mona).await, "");
    // Users who don't need it can't accept it.
    world
        .on("practice")
        .registers(&physician())
        .await
        .expect(201);
    let helen = world.sign_in("practice", "helen.brandt").await;
    assert_eq!(helen.get("/me/agreements").await.body["items"], json!([]));
    accept(&helen, "office_manager_terms", "2026-10")
        .await
        .expect(404);
}

/// The ids on a page of agents, and the cursor of the next.
async fn agents(client: &Person, query: &str) -> (Vec<String>, Option<String>) {
    agents_of(&client.get(&format!("/agents{query}")).await.expect(200))
}

/// The same of the agents that a search finds.
async fn searched_agents(client: &Person, query: &str) -> (Vec<String>, Option<String>) {
    let search = json!({ "query": query });
    agents_of(&client.post("/agents/search", search).await.expect(200))
}

fn agents_of(response: &Response) -> (Vec<String>, Option<String>) {
    let items = response.items();
    let ids = items.iter().map(|a| text(a, "/agent_id").to_owned());
    let next = response.body["next_cursor"].as_str().map(str::to_owned);
    (ids.collect(), next)
}

#[tokio::test]
async fn ag_12_a_managing_agent_looks_up_the_ids_of_the_agents_under_them() {
    let world = World::new().await;
    world.register("agent", agent()).await;
    let dana = world.sign_in("agent", "dana.whitfield").await;
    let all = dana.get("/agents").await;
    assert_eq!(
        all.body["items"],
        json!([
            { "agent_id": "AG10002", "name": "Luis Ortega" },
            { "agent_id": "AG10003", "name": "Priya Nair" },
        ])
    );
    for (query, found) in [
        ("luis", vec!["AG10002"]),
        ("NAIR", vec!["AG10003"]),
        ("ag1000", vec!["AG10002", "AG10003"]),
        ("uis", vec![]),
        ("Laura", vec![]),
    ] {
        assert_eq!(
            searched_agents(&dana, query).await,
            (found.iter().map(|s| (*s).to_owned()).collect(), None),
            "{query}"
        );
    }
    // Page by page.
    let (first, next) = agents(&dana, "?limit=1").await;
    let next = next.unwrap();
    let (second, end) = agents(&dana, &format!("?limit=1&cursor={next}")).await;
    assert_eq!(
        (first, second, end),
        (vec!["AG10002".to_owned()], vec!["AG10003".to_owned()], None)
    );
    for (field, query) in [
        ("cursor", "?cursor=AAAA".to_owned()),
        ("limit", "?limit=0".to_owned()),
        ("limit", "?limit=101".to_owned()),
        ("query", "?query=luis".to_owned()),
    ] {
        let refused = dana.get(&format!("/agents{query}")).await;
        assert_eq!(
            (refused.status, refused.fields()),
            (422, vec![field]),
            "{query}"
        );
    }

    let long = json!({ "query": "a".repeat(101) });
    let refused = dana.post("/agents/search", long).await;
    refused.invalid("query");

    // Another managing agent finds only their own agents.
    let latoya = with(
        agent(),
        "/verification",
        json!({ "agent_id": "AG10012", "ssn_last4": "6948" }),
    );
    let latoya = with(
        with(latoya, "/username", "latoya.castaneda"),
        "/email",
        "latoya@castaneda.example",
    );
    world.register("agent", latoya).await;
    let latoya = world.sign_in("agent", "latoya.castaneda").await;
    let (hers, _) = agents(&latoya, "").await;
    assert!(
        hers.contains(&"AG10016".to_owned()) && !hers.contains(&"AG10002".to_owned()),
        "{hers:?}"
    );

    // Agents who change their managing agent or name are found with the new values.
    let feed = "agent_id,name,first_name,last_name,ssn_last4,manager,agreements,group_codes,category\n\
                AG10002,Luis Ortega,Luis,Ortega,7310,AG10012,,BH01,agent\n\
                AG10003,Priya Nair-Shah,Priya,Nair,2954,AG10001,,CP01,agent\n";
    world.import(RecordKind::Agent, feed).await;
    assert_eq!(agents(&dana, "").await.0, ["AG10003"]);
    assert_eq!(searched_agents(&dana, "shah").await.0, ["AG10003"]);
    assert_eq!(searched_agents(&latoya, "luis").await.0, ["AG10002"]);

    // However the name is typed.
    let feed = "agent_id,name,first_name,last_name,ssn_last4,manager,agreements,group_codes,category\n\
                AG10003,Søren Müller-Wałęsa,Søren,Müller-Wałęsa,2954,AG10001,,CP01,agent\n";
    world.import(RecordKind::Agent, feed).await;
    for query in ["soren mueller", "Müller, Soren", "WALESA", "Soeren"] {
        let found = searched_agents(&dana, query).await;
        assert_eq!(found.0, ["AG10003"], "{query}");
    }
    invariants(&world).await;
}

#[tokio::test]
async fn ag_12_only_roles_that_may_look_up_agents_do() {
    let world = World::new().await;
    world.register("agent", agent()).await;
    let dana = world.sign_in("agent", "dana.whitfield").await;
    let email = "sam@whitfield.example";
    let token = world.invite(&dana, "Sam", email, "user").await;
    let body = World::acceptance(&token, "Sam", email, "sam.lind");
    let sam = world.on("agent").accepts(body).await;
    dana.post(
        &format!("/users/{}/approval", sam.text_at("/user_id")),
        json!({ "services": [] }),
    )
    .await
    .expect(200);
    let sam = world.sign_in("agent", "sam.lind").await;
    sam.get("/agents").await.refused(403, "not-allowed");
    // Other portals have no agents to search for.
    let ruth = world.group_principal().await;
    ruth.get("/agents").await.refused(403, "not-allowed");
}
