//! One login, several organisations; several ways to one organisation.

use std::collections::BTreeSet;

use futures::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_local::client::{Answer, Client};
use vestibule_tests::World;
use vestibule_tests::invariants::{invariants, text};
use vestibule_tests::people::{dental, with};

/// Somebody who registers on the practice portal with the ids of a provider.
fn person(way: &str, provider_id: &str, tax_id: &str, name: &str) -> Value {
    let proof = json!({ "provider_id": provider_id, "tax_id": tax_id });
    let body = with(with(dental(), "/proof", proof), "/way", way);
    let body = with(body, "/user_name", name);
    with(body, "/email", format!("{name}@practice.example"))
}

/// The office manager of Lakeside Family Medicine.
fn manager() -> Value {
    person("office_manager", "PV30001", "003456789", "mona.office")
}

/// Its provider.
fn physician() -> Value {
    person("medical", "PV30001", "003456789", "helen.brandt")
}

async fn register(world: &World, body: &Value) -> Answer {
    world
        .on("practice")
        .post("/registrations", body.clone())
        .await
        .unwrap()
}

async fn choose(client: &Client, organisation: &str) -> Answer {
    let body = json!({ "organisation_id": organisation });
    client
        .send(Method::PUT, "/sessions/current/organisation", Some(&body))
        .await
        .unwrap()
}

/// The names and roles of those who manage the caller's organisation.
async fn administrators(client: &Client) -> BTreeSet<(String, String)> {
    let me = client.get("/me").await.unwrap();
    assert_eq!(me.status, 200, "{}", me.text);
    let list = me.body["organisation"]["administrators"].as_array();
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
async fn ex_03_a_providers_office_manager_and_the_provider_come_to_one_organisation() {
    for (first, second) in [(manager(), physician()), (physician(), manager())] {
        let world = World::new().await;
        for body in [&first, &second] {
            let answer = register(&world, body).await;
            assert_eq!(answer.status, 201, "{}", answer.text);
        }
        let all = invariants(&world).await;
        assert_eq!((all.accounts.len(), all.organisations.len()), (2, 1));
        // The provider is its principal, whoever was first.
        let organisation = all.organisations.values().next().unwrap();
        let principals = organisation["principals"].as_array().unwrap();
        let helen = world.sign_in("practice", "helen.brandt").await;
        let me = helen.get("/me").await.unwrap();
        assert_eq!(principals, &[me.body["id"].clone()]);
        assert_eq!(me.text_at("/organisation/role"), "principal");
        // Each manages it, and each sees the other.
        let mona = world.sign_in("practice", "mona.office").await;
        assert_eq!(administrators(&helen).await, both());
        assert_eq!(administrators(&mona).await, both());
        assert_eq!(mona.get("/entitlements").await.unwrap().status, 200);

        // A way that was used isn't open to a second person; the answer tells no more than for a
        // number that nobody has.
        let unknown = person("medical", "PV39999", "003456789", "some.body");
        let unknown = register(&world, &unknown).await;
        for way in ["medical", "office_manager"] {
            let refused = person(way, "PV30001", "003456789", "some.body");
            let refused = register(&world, &refused).await;
            assert_eq!(
                (refused.status, refused.problem(), &refused.body),
                (403, "registration-refused", &unknown.body)
            );
        }
        // Who lost the answer and asks again gets it again.
        for body in [&first, &second] {
            assert_eq!(register(&world, body).await.status, 201);
        }
        let all = invariants(&world).await;
        assert_eq!((all.accounts.len(), all.done("register")), (2, 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_03_two_ways_at_once_make_one_organisation() {
    for _ in 0..5 {
        let world = World::new().await;
        let (manager, physician) = (manager(), physician());
        let (a, b) = join(register(&world, &manager), register(&world, &physician)).await;
        assert_eq!((a.status, b.status), (201, 201), "{} {}", a.text, b.text);
        let all = invariants(&world).await;
        assert_eq!((all.accounts.len(), all.organisations.len()), (2, 1));
        let mona = world.sign_in("practice", "mona.office").await;
        assert_eq!(administrators(&mona).await, both());
    }
}

#[tokio::test]
async fn bl_01_nobody_works_for_an_organisation_that_is_not_theirs() {
    let world = World::new().await;
    for body in [manager(), dental()] {
        assert_eq!(register(&world, &body).await.status, 201);
    }
    let mona = world.sign_in("practice", "mona.office").await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let of = async |client: &Client| {
        let me = client.get("/me").await.unwrap();
        me.text_at("/organisation/id").to_owned()
    };
    let (lakeside, riverbend) = (of(&mona).await, of(&omar).await);
    let unknown = choose(&mona, "00000000000000000000000000").await;
    let others = choose(&mona, &riverbend).await;
    assert_eq!((others.status, others.problem()), (404, "not-found"));
    assert_eq!(others.body, unknown.body);
    let own = choose(&mona, &lakeside).await;
    assert_eq!(
        (own.status, own.text_at("/entitlements/role")),
        (200, "administrator")
    );
    assert_eq!(invariants(&world).await.done("choose_organisation"), 1);
}
