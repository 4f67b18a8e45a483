//! The agent portal, and what its registration has in common with that of the group portal.

use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_local::personas::{DANA, DANA_AS_PRODUCER};
use vestibule_tests::World;
use vestibule_tests::client::Person;
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, agent, group_principal, with, without};
use vestibule_tests::white_box::shown;

/// The first person of an agency and of a group, with their verification fields.
fn principals() -> [(&'static str, Value, [&'static str; 2]); 2] {
    [
        ("agent", agent(), ["agent_id", "ssn_last4"]),
        ("group", group_principal(), ["group_number", "tax_id_last4"]),
    ]
}

/// Another person with the same verification.
fn stranger(body: Value) -> Value {
    let body = with(body, "/username", "some.stranger");
    let body = with(body, "/email", "stranger@example.com");
    let body = with(body, "/first_name", "Sten");
    with(body, "/last_name", "Ranger")
}

/// A changed verification.
fn proving(body: &Value, facts: &[(&str, &str)]) -> Value {
    facts.iter().fold(body.clone(), |body, (name, value)| {
        with(body, &format!("/verification/{name}"), *value)
    })
}

#[tokio::test]
async fn ag_03_the_first_person_attests_to_signing_authority_and_is_principal_and_administrator() {
    let world = World::new().await;
    for (portal, body, _) in principals() {
        // A person who doesn't attest signing authority can't register an organization.
        for unstated in [
            without(body.clone(), "/attests_signing_authority"),
            with(body.clone(), "/attests_signing_authority", false),
        ] {
            world
                .on(portal)
                .registers(unstated)
                .await
                .invalid("attests_signing_authority");
        }
        let registered = world.on(portal).registers(body.clone()).await.expect(201);
        assert_eq!(registered.headers["location"], format!("/{portal}/me"));
        assert_eq!(
            registered.body.get("next_step"),
            None,
            "nothing is left to do"
        );

        let username = body["username"].as_str().unwrap();
        let principal = world.sign_in(portal, username).await;
        let me = principal
            .get("/me")
            .await
            .has("/organization/role", "principal")
            .has("/organization/role_title", "Principal");
        let administrators = me.body["organization"]["administrators"]
            .as_array()
            .unwrap();
        assert_eq!(administrators.len(), 1, "{}", me.text);
        assert_eq!(administrators[0]["email"], body["email"]);
        // Administrator routes are open.
        for path in ["/users", "/invitations", "/entitlements"] {
            let open = principal.get(path).await;
            assert_eq!(open.status, 200, "{portal} {path}: {}", open.text);
        }
    }
    let mail = world.mails_to("dana@whitfield.example").await.remove(0);
    insta::assert_snapshot!("mail_principal_registered", shown(&mail));
}

#[tokio::test]
async fn ag_03_a_second_person_does_not_become_principal_and_gets_the_response_for_unknown_data() {
    let world = World::new().await;
    for (portal, body, [number, _]) in principals() {
        let unknown = world
            .on(portal)
            .registers(stranger(proving(&body, &[(number, "ZZ99999")])))
            .await;
        world.register(portal, body.clone()).await;
        let second = world
            .on(portal)
            .registers(stranger(body.clone()))
            .await
            .refused(403, "registration-refused");
        assert_eq!(second.text, unknown.text);
        // Not even with the principal's own username, address or password.
        for pointer in ["/username", "/email", "/password"] {
            let guessed = match pointer {
                "/password" => with(body.clone(), pointer, "Other-River-58!"),
                _ => with(
                    stranger(body.clone()),
                    pointer,
                    body.pointer(pointer).unwrap().clone(),
                ),
            };
            let refused = world.on(portal).registers(guessed).await;
            assert_eq!(refused.text, unknown.text, "{portal} {pointer}");
        }
        world
            .on(portal)
            .signs_in("some.stranger", PASSWORD)
            .await
            .expect(401);
        assert_eq!(world.mails_to("stranger@example.com").await, []);
    }
}

#[tokio::test]
async fn ag_05_every_administrator_invites_other_staff_and_nobody_else_does() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let una = world.staff(&ruth, "Una", "user").await;
    world.invited(&ruth, "Pia", "administrator").await;
    let pia = world.sign_in("group", "pia.lind").await;

    let person = |email: &str, role: &str| json!({ "first_name": "Kim", "last_name": "Lind", "email": email, "role": role });
    for (client, name, roles) in [
        (&ruth, "Ruth Okafor", ["administrator", "user"]),
        (&ada, "Ada Lind", ["administrator", "user"]),
    ] {
        for role in roles {
            let email = format!("{role}.of.{}@blueheron.example", &name[..3]);
            let invited = client.post("/invitations", person(&email, role)).await;
            assert_eq!(
                (invited.status, invited.text_at("/role")),
                (201, role),
                "{}",
                invited.text
            );
            let mail = world.last_mail_to(&email).await;
            assert!(
                mail.text.contains(&format!(
                    "{name} invited you to join Blue Heron Manufacturing"
                )),
                "{}",
                mail.text
            );
        }
        // Nobody can add another principal.
        client
            .post(
                "/invitations",
                person("boss@blueheron.example", "principal"),
            )
            .await
            .refused(403, "not-allowed");
    }
    una.post(
        "/invitations",
        person("una.s.friend@blueheron.example", "user"),
    )
    .await
    .refused(403, "not-allowed");
    pia.post(
        "/invitations",
        person("pia.s.friend@blueheron.example", "user"),
    )
    .await
    .expect(403)
    .has("/next_step", "await_approval");
    world
        .on("group")
        .post("/invitations", person("friend@blueheron.example", "user"))
        .await
        .refused(401, "not-signed-in");
    for email in ["boss", "una.s.friend", "pia.s.friend", "friend"] {
        assert_eq!(
            world.mails_to(&format!("{email}@blueheron.example")).await,
            []
        );
    }
}

#[tokio::test]
async fn ag_06_data_that_matches_no_record_is_refused_without_the_wrong_field_and_with_the_help_desk()
 {
    let world = World::new().await;
    for (portal, body, [number, fact]) in principals() {
        let other_number = if portal == "agent" {
            "AG10002"
        } else {
            "GR20002"
        };
        let tried = [
            (
                "the number is nobody's",
                proving(&body, &[(number, "ZZ99999")]),
            ),
            (
                "the number is another's",
                proving(&body, &[(number, other_number)]),
            ),
            ("the digits are wrong", proving(&body, &[(fact, "0000")])),
            (
                "both are wrong",
                proving(&body, &[(number, "ZZ99999"), (fact, "0000")]),
            ),
        ];
        let mut texts = Vec::new();
        for (what, tried) in tried {
            let refused = world.on(portal).registers(tried).await;
            assert_eq!(
                (refused.status, refused.problem()),
                (403, "registration-refused"),
                "{what}: {}",
                refused.text
            );
            assert_eq!(refused.fields(), Vec::<&str>::new(), "{what}");
            texts.push(refused.text.clone());
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "one answer, whatever was wrong: {texts:#?}");
        for name in [number, fact] {
            assert!(
                !texts[0].contains(name),
                "the answer doesn't name a field: {}",
                texts[0]
            );
        }
        let described = world.on(portal).get("").await;
        let refused: Value = serde_json::from_str(&texts[0]).unwrap();
        assert_eq!(refused["help_desk"], described.body["help_desk"]);
        let detail = refused["detail"].as_str().unwrap();
        for reported in ["/help_desk/name", "/help_desk/phone"] {
            assert!(detail.contains(described.text_at(reported)), "{detail}");
        }
        // Matching facts succeed after the refusals, in upper or lower case.
        world
            .on(portal)
            .registers(with(
                body.clone(),
                &format!("/verification/{number}"),
                body["verification"][number]
                    .as_str()
                    .unwrap()
                    .to_lowercase(),
            ))
            .await
            .expect(201);
    }
}

#[tokio::test]
async fn ag_07_verification_requires_the_number_and_the_last_four_digits_and_nothing_else() {
    let world = World::new().await;
    for (portal, body, fields) in principals() {
        let described = world.on(portal).get("").await;
        assert_eq!(
            described.body["registration_types"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            described.body["registration_types"][0]["verification_fields"],
            json!(fields)
        );
        assert_eq!(
            described.body["registration_types"][0]["requires_signing_authority"],
            true
        );

        let [number, fact] = fields.map(|f| format!("verification.{f}"));
        let pointer = |field: &str| format!("/{}", field.replace('.', "/"));
        let wrong = [
            (without(body.clone(), &pointer(&number)), &number),
            (without(body.clone(), &pointer(&fact)), &fact),
            (with(body.clone(), &pointer(&fact), "482"), &fact),
            (with(body.clone(), &pointer(&fact), "48210"), &fact),
            (with(body.clone(), &pointer(&fact), "482x"), &fact),
            (with(body.clone(), &pointer(&number), ""), &number),
            (
                with(body.clone(), "/verification/date_of_birth", "1980-01-31"),
                &"verification.date_of_birth".to_owned(),
            ),
        ]
        .map(|(body, field)| (body, field.clone()));
        for (body, field) in wrong {
            world
                .on(portal)
                .registers(body)
                .await
                .invalid(field.as_str());
        }
        // The other portal's verification doesn't match here.
        let [_, other] = principals().map(|(_, b, _)| b["verification"].clone());
        if portal == "agent" {
            let refused = world
                .on(portal)
                .registers(with(body.clone(), "/verification", other))
                .await;
            assert_eq!(refused.status, 422, "{}", refused.text);
        }
        world.register(portal, body).await;
    }
}

/// An agent in the sample records.
fn luis() -> Value {
    json!({
        "registration_type": "agent", "verification": { "agent_id": "AG10002", "ssn_last4": "7310" },
        "first_name": "Luis", "last_name": "Ortega", "email": "luis@ortega.example",
        "username": "luis.ortega", "password": PASSWORD, "attests_signing_authority": true,
    })
}

fn priya() -> Value {
    json!({
        "registration_type": "agent", "verification": { "agent_id": "AG10003", "ssn_last4": "2954" },
        "first_name": "Priya", "last_name": "Nair", "email": "priya@nair.example",
        "username": "priya.nair", "password": PASSWORD, "attests_signing_authority": true,
    })
}

/// Imports the feed row of an agent with these signed agreements.
async fn agreements_on_file(world: &World, who: &Value, agreements: &str) {
    let text = |pointer: &str| who.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let (first, last) = (text("/first_name"), text("/last_name"));
    let row = format!(
        "agent_id,name,first_name,last_name,ssn_last4,manager,agreements,group_codes,category\n{},{first} {last},{first},{last},{},AG10001,{agreements},BH01;BH02,agent\n",
        text("/verification/agent_id"),
        text("/verification/ssn_last4"),
    );
    world.import(RecordKind::Agent, &row).await;
}

/// All protected routes, and the status of each.
async fn protected(client: &Person) -> Vec<(u16, String)> {
    let mut answers = Vec::new();
    for path in ["/entitlements", "/users", "/invitations"] {
        let response = client.get(path).await;
        answers.push((response.status, response.text_at("/next_step").to_owned()));
    }
    let person = json!({ "first_name": "Kim", "last_name": "Lind", "email": "kim@example.com" });
    let response = client.post("/invitations", person).await;
    // An invitation can be sent only once; what matters here is whether access is allowed.
    let status = if matches!(response.status, 201 | 409) {
        200
    } else {
        response.status
    };
    answers.push((status, response.text_at("/next_step").to_owned()));
    answers
}

#[tokio::test]
async fn ag_11_without_the_current_agreement_an_agent_registers_and_sees_nothing_protected_until_it_is_on_file()
 {
    let world = World::new().await;
    let closed = vec![(403, "sign_agreement".to_owned()); 4];
    let open = vec![(200, String::new()); 4];
    for (who, what) in [
        (luis(), "no agreement is on file"),
        (priya(), "one of an older revision is on file"),
    ] {
        let registered = world.register("agent", who.clone()).await;
        assert_eq!(registered.text_at("/next_step"), "sign_agreement", "{what}");
        let client = world
            .sign_in("agent", who["username"].as_str().unwrap())
            .await;
        assert_eq!(protected(&client).await, closed, "{what}");

        // The profile contains the agreement to sign and the URL of its form.
        let me = client.get("/me").await.has("/next_step", "sign_agreement");
        let described = world.on("agent").get("").await;
        for field in ["id", "title", "revision", "form"] {
            assert_eq!(
                me.body["agreement"][field], described.body["agreements"][0][field],
                "{field}"
            );
        }

        // The feed changes something else; access stays blocked.
        agreements_on_file(&world, &who, "producer_agreement=2025-12").await;
        assert_eq!(
            protected(&client).await,
            closed,
            "{what}; an older revision came"
        );

        // The current agreement is recorded; the same session has access at its next request.
        agreements_on_file(&world, &who, "producer_agreement=2026-01").await;
        assert_eq!(
            protected(&client).await,
            open,
            "{what}; the current one came"
        );
        let me = client.get("/me").await;
        assert_eq!(
            (me.body.get("agreement"), me.body.get("next_step")),
            (None, None),
            "{}",
            me.text
        );
    }

    // A user whose agreement is current has access at once.
    let registered = world.register("agent", agent()).await;
    assert_eq!(registered.body.get("next_step"), None);
    let dana = world.sign_in("agent", "dana.whitfield").await;
    assert_eq!(protected(&dana).await, open);

    let mail = world.mails_to("luis@ortega.example").await.remove(0);
    insta::assert_snapshot!("mail_registered_with_agreement", shown(&mail));
}

#[tokio::test]
async fn ag_11_an_agreement_that_is_no_longer_on_file_ends_full_access() {
    let world = World::new().await;
    let who = luis();
    agreements_on_file(&world, &who, "producer_agreement=2026-01").await;
    world.register("agent", who.clone()).await;
    let client = world.sign_in("agent", "luis.ortega").await;
    for (on_file, status) in [
        ("producer_agreement=2024-01", 403),
        ("producer_agreement=2027-05", 200),
        ("", 403),
        ("producer_agreement=2026-01", 200),
        ("another_agreement=2026-01", 403),
    ] {
        agreements_on_file(&world, &who, on_file).await;
        let response = client.get("/entitlements").await;
        assert_eq!(response.status, status, "on file: {on_file:?}");
    }
}

#[tokio::test]
async fn se_09_the_last_four_digits_of_a_record_can_be_guessed_a_hundred_times_on_all_portals() {
    let world = World::new().await;
    let portals = [("agent", DANA), ("producer", DANA_AS_PRODUCER)];
    let guess = |body: &Value, n: u32| {
        let digits = format!("{:04}", 5000 + n);
        with(body.clone(), "/verification/ssn_last4", digits)
    };
    let guesses: Vec<u32> = (0..100).collect();
    for (hour, numbers) in guesses.chunks(10).enumerate() {
        for (n, (portal, persona)) in numbers.iter().zip(portals.iter().cycle()) {
            let stranger = world.on(portal).from_source(&format!("198.51.100.{hour}"));
            let refused = stranger.registers(guess(&persona.registration(), *n)).await;
            assert_eq!(refused.status, 403, "{n}: {}", refused.text);
        }
        world.pass(SignedDuration::from_hours(1));
    }
    for (portal, persona) in &portals {
        let right = world.on(portal).registers(persona.registration()).await;
        right.refused(429, "too-many-attempts").says("Call ");
    }
    // The limit is for the life of the record.
    world.pass_days(3 * 365);
    let right = world.on("agent").registers(DANA.registration()).await;
    right.refused(429, "too-many-attempts");

    // The help desk clears it with a reason, which is on the audit trail.
    let desk = world.help_desk().await;
    let path = "/plan-records/unlock";
    let body =
        json!({ "portal": "agent", "number": "AG10001", "reason": "Dana made these attempts" });
    desk.reader
        .post(path, &body)
        .await
        .refused(403, "not-allowed");
    let without_reason = with(body.clone(), "/reason", "no");
    desk.agent
        .post(path, without_reason)
        .await
        .invalid("reason");
    let unknown = with(body.clone(), "/number", "AG99999");
    desk.agent
        .post(path, unknown)
        .await
        .refused(404, "not-found");
    let elsewhere = with(body.clone(), "/portal", "nowhere");
    desk.agent.post(path, elsewhere).await.invalid("portal");
    desk.agent.post(path, &body).await.expect(204);
    let trail = "/accounts/agent/audit-events?from=2029-11-01&action=unlock_record";
    let events = desk.reader.get(trail).await.expect(200);
    events
        .has("/items/0/object", "AG10001")
        .has("/items/0/justification", "Dana made these attempts");
    let right = world.on("agent").registers(DANA.registration()).await;
    right.expect(201);
    invariants(&world).await;
}

#[tokio::test]
async fn se_09_all_addresses_of_an_ipv6_network_are_one_source() {
    let world = World::new().await;
    let wrong = with(agent(), "/verification/ssn_last4", "0000");
    let from = async |source: &str, n: u32| {
        let record = format!("AG9{n:04}");
        let body = with(wrong.clone(), "/verification/agent_id", record);
        let stranger = world.on("agent").from_source(source);
        stranger.registers(body).await.status
    };
    for n in 0..50 {
        let source = format!("2001:db8:12:34:{n:x}:{n:x}:{n:x}:{n:x}");
        assert_eq!(from(&source, n).await, 403, "{n}");
    }
    assert_eq!(from("2001:db8:12:34::1", 50).await, 429);
    assert_eq!(
        from("2001:0DB8:0012:0034:0000:0000:0000:0001", 51).await,
        429
    );
    assert_eq!(from("2001:db8:12:35::1", 52).await, 403, "another network");

    // An IPv4 address in its IPv6 form is the same source.
    for n in 0..50 {
        assert_eq!(from("198.51.100.7", 100 + n).await, 403, "{n}");
    }
    assert_eq!(from("::ffff:198.51.100.7", 150).await, 429);
}
