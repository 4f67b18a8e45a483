//! Joining an organization that exists already (SE-08).

use serde_json::{Value, json};
use vestibule_local::Options;
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, group_principal, office_manager_terms, with};
use vestibule_tests::{World, options, portals_with};

/// The office manager of Lakeside Family Medicine.
fn manager() -> Value {
    json!({
        "registration_type": "office_manager",
        "verification": { "provider_id": "PV30001", "tax_id": "003456789" },
        "first_name": "Pat", "last_name": "Novak", "email": "pat@lakeside.example",
        "username": "pat.novak", "password": PASSWORD,
        "accepted_agreements": office_manager_terms(),
    })
}

/// The provider of the same practice.
fn principal() -> Value {
    let body = with(manager(), "/registration_type", "medical");
    let body = with(body, "/accepted_agreements", json!({}));
    let body = with(body, "/first_name", "Hana");
    let body = with(body, "/email", "hana@lakeside.example");
    with(body, "/username", "hana.novak")
}

async fn subjects_to(world: &World, address: &str) -> Vec<String> {
    let mails = world.mails_to(address).await;
    mails.into_iter().map(|m| m.subject).collect()
}

#[tokio::test]
async fn se_08_everyone_who_manages_an_organization_is_notified_when_a_person_joins_it() {
    let joined = "A new user has joined Lakeside Family Medicine".to_owned();
    for (first, second) in [(manager(), principal()), (principal(), manager())] {
        let world = World::new().await;
        world.register("practice", first.clone()).await;
        let address = first["email"].as_str().unwrap();
        let before = subjects_to(&world, address).await;
        assert!(!before.contains(&joined), "nobody joined yet");
        world.register("practice", second.clone()).await;
        assert!(subjects_to(&world, address).await.contains(&joined));
        let notice = world.last_mail_to(address).await;
        for fact in [
            second["first_name"].as_str().unwrap(),
            second["username"].as_str().unwrap(),
            "Customer Care",
        ] {
            assert!(notice.text.contains(fact), "{}", notice.text);
        }
        let own = subjects_to(&world, second["email"].as_str().unwrap()).await;
        assert!(!own.contains(&joined), "not the person who joined");
        invariants(&world).await;
    }

    // The same applies to a user of another practice, who adds this one.
    let world = World::new().await;
    world.register("practice", principal()).await;
    let other = json!({ "provider_id": "PV30006", "tax_id": "008901234" });
    world
        .register("practice", with(manager(), "/verification", other))
        .await;
    let pat = world.sign_in("practice", "pat.novak").await;
    let additional = json!({
        "registration_type": "office_manager",
        "verification": { "provider_id": "PV30001", "tax_id": "003456789" },
        "accepted_agreements": office_manager_terms(),
    });
    pat.post("/me/organizations", additional).await.expect(201);
    let subjects = subjects_to(&world, "hana@lakeside.example").await;
    assert!(subjects.contains(&joined), "{subjects:?}");
}

/// Who registered the employer has left and another administrator has stayed. Whoever knows the last four digits of
/// the tax ID becomes an administrator only if that one agrees.
#[tokio::test]
async fn se_08_who_registers_an_employer_again_is_approved_by_those_who_manage_it() {
    let organization = "organization = \"employer group\"\n";
    let required = format!("{organization}joining_requires_approval = true\n");
    let folder = portals_with("employer", &[(organization, &required)], "");
    let world = World::with(Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    let employer = with(group_principal(), "/registration_type", "employer");
    world.register("employer", employer.clone()).await;
    let ruth = world.sign_in("employer", "ruth.okafor").await;
    let address = "ada@blueheron.example";
    let token = world.invite(&ruth, "Ada", address, "administrator").await;
    let ada = World::acceptance(&token, "Ada", address, "ada.lind");
    let ada = world.on("employer").accepts(ada).await.expect(201);
    let approval = json!({ "services": [] });
    let path = format!("/users/{}/approval", ada.text_at("/user_id"));
    ruth.post(&path, &approval).await.expect(200);
    let ada = world.sign_in("employer", "ada.lind").await;
    let desk = world.help_desk().await;
    let path = format!("/accounts/employer/{}/removal", ruth.id().await);
    let because = json!({ "reason": "The employer asked us in writing." });
    desk.agent.post(&path, because).await.expect(200);

    let nora = with(employer, "/email", "nora@blueheron.example");
    let nora = with(with(nora, "/first_name", "Nora"), "/username", "nora.lind");
    let registered = world.register("employer", nora).await;
    registered.has("/next_step", "await_approval");
    let nora = world.sign_in("employer", "nora.lind").await;
    nora.get("/users").await.refused(403, "next-step-required");
    let notice = world.last_mail_to(address).await;
    assert_eq!(
        notice.subject,
        "A new user of Blue Heron Manufacturing needs your approval"
    );
    let path = format!("/users/{}/approval", ada.finds("nora").await);
    let approved = ada.post(&path, approval).await.expect(200);
    approved.has("/role", "administrator");
    nora.get("/users").await.expect(200);
    invariants(&world).await;
}

#[tokio::test]
async fn se_08_a_policy_can_require_that_those_who_manage_approve_a_person_who_joins() {
    let replaced = [
        (
            "role = \"principal\"\n",
            "role = \"principal\"\njoining_requires_approval = true\n",
        ),
        (
            "    \"delete_users\",\n",
            "    \"delete_users\",\n    \"approve_users\",\n",
        ),
        (
            "title = \"Office manager\"\npermissions = [\n",
            "title = \"Office manager\"\npermissions = [\n    \"approve_users\",\n",
        ),
    ];
    let folder = portals_with("practice", &replaced, "");
    let world = World::with(Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    world.register("practice", manager()).await;
    let pat = world.sign_in("practice", "pat.novak").await;
    let registered = world.on("practice").registers(principal()).await;
    registered.expect(201).has("/next_step", "await_approval");
    let notice = world.last_mail_to("pat@lakeside.example").await;
    assert_eq!(
        notice.subject,
        "A new user of Lakeside Family Medicine needs your approval"
    );
    // Until then the provider sees and manages nothing.
    let hana = world.sign_in("practice", "hana.novak").await;
    for path in ["/users", "/entitlements"] {
        hana.get(path).await.refused(403, "next-step-required");
    }
    let id = pat.finds("hana").await;
    pat.post(
        &format!("/users/{id}/approval"),
        json!({ "services": ["claims"] }),
    )
    .await
    .expect(200)
    .has("/role", "principal");
    hana.get("/users").await.expect(200);
    hana.get("/entitlements")
        .await
        .expect(200)
        .has("/role", "principal");
    invariants(&world).await;

    // Nobody is left who could approve, so a successor needs no approval.
    let world = World::with(Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    let desk = world.help_desk().await;
    let registered = world.register("practice", manager()).await;
    let path = format!(
        "/accounts/practice/{}/removal",
        registered.text_at("/user_id")
    );
    let because = json!({ "reason": "The practice asked us in writing." });
    desk.agent.post(&path, because).await.expect(200);
    world.register("practice", principal()).await;
    let hana = world.sign_in("practice", "hana.novak").await;
    hana.get("/users").await.expect(200);
}
