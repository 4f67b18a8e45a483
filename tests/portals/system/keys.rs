//! SE-11: the data key is rotated while requests are served, and a missing keyring is never replaced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use vestibule_http::{App, Routes};
use vestibule_local::client::Client;
use vestibule_local::instance::{FUNCTIONS, serve_at_free_port};
use vestibule_local::rotate_key;
use vestibule_secrets::{Keyring, sealed_with};
use vestibule_store::Store;
use vestibule_store::rotation::{Progress, SPREAD};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{
    PASSWORD, group_principal, hint, provider, redemption, security_answers,
};
use vestibule_tests::{Item, START, World, another, code_in, options, pin_in};

use super::openapi::operations;
use crate::system::persistence::{Life, kept_in};

fn key() -> Item {
    ["pk", "sk"]
        .map(|name| (name.to_owned(), AttributeValue::S("K".into())))
        .into()
}

/// Removes the keyring and returns it.
async fn lose_keyring(world: &World) -> Item {
    let (db, table) = (&world.instance.db, &world.instance.tables.main);
    let removed = db.delete_item().table_name(table).set_key(Some(key()));
    let removed = removed
        .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld)
        .send();
    removed.await.unwrap().attributes.unwrap()
}

async fn keyring(world: &World) -> Option<Item> {
    let (db, table) = (&world.instance.db, &world.instance.tables.main);
    let got = db.get_item().table_name(table).set_key(Some(key()));
    got.send().await.unwrap().item
}

#[tokio::test]
async fn se_11_without_its_keyring_the_system_refuses_requests_and_makes_no_new_one() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let lost = lose_keyring(&world).await;
    world.pass(SignedDuration::from_mins(6));
    ruth.get("/me").await.expect(503);
    world
        .on("group")
        .registers(group_principal())
        .await
        .expect(503);
    let error = world.instance.keys().create(world.now()).await.unwrap_err();
    assert!(error.to_string().contains("restore the item"), "{error}");
    assert!(keyring(&world).await.is_none());

    // With the keyring restored, everything is as before.
    let (db, table) = (&world.instance.db, &world.instance.tables.main);
    let put = db.put_item().table_name(table).set_item(Some(lost));
    put.send().await.unwrap();
    ruth.get("/me").await.expect(200);
    world.sign_in("group", "ruth.okafor").await;
}

/// Serves the API as a new container does, which has not loaded its keyring.
async fn new_container(world: &World) -> (String, Arc<Keyring>) {
    let open = Arc::new(world.instance.keys().clone().open_later());
    let keyring = Arc::clone(open.keyring());
    let (db, tables) = (world.instance.db.clone(), world.instance.tables.clone());
    let app = App {
        store: Store::loading(db, tables, open, || START.parse().unwrap()),
        ..world.instance.app.clone()
    };
    let routes = FUNCTIONS.iter().map(|f| (f.routes)());
    let routes = routes.fold(Routes::new(), Routes::merge);
    let base = serve_at_free_port(vestibule_http::serve(routes, app)).await;
    (base.unwrap(), keyring)
}

#[tokio::test]
async fn se_11_a_request_that_reads_loads_the_keyring_only_if_it_needs_it() {
    let world = World::new().await;
    world.group_principal().await;
    world.member().await;
    let (helen, helens_name) = world.provider().await;
    let helen = helen.id().await;
    world.help_desk().await;
    let token = async |portal: &str, username: &str| {
        let body = json!({ "username": username, "password": PASSWORD, "token_delivery": "body" });
        let signed_in = world.on(portal).post("/sessions", body).await.expect(201);
        signed_in.text_at("/token").to_owned()
    };
    let people = [
        ("group", token("group", "ruth.okafor").await),
        ("member", token("member", "maria.alvarez").await),
        ("provider", token("provider", &helens_name).await),
        ("help-desk", token("help-desk", "ada.lind").await),
    ];
    let mut without = BTreeSet::new();
    let mut with = BTreeSet::new();
    for (method, route, _) in operations() {
        if method != "GET" {
            continue;
        }
        for (portal, token) in &people {
            let path = route.replace("/{portal}", "");
            let path = path.replace("{id}", &helen).replace("{service}", "claims");
            let usual = world.on(portal).with_token(token).get(&path).await;
            let (base, keyring) = new_container(&world).await;
            let person = Person::from(Client::new(&base, portal));
            let first = person.with_token(token).get(&path).await;
            assert_eq!(
                first.status, usual.status,
                "{portal} {path}: {}",
                first.text
            );
            if first.status == 200 {
                let kind = match keyring.is_loaded() {
                    true => &mut with,
                    false => &mut without,
                };
                kind.insert(format!("{portal} {route}"));
            }
        }
    }
    // Helen's postal address is encrypted.
    assert!(with.contains("provider /{portal}/me"), "{with:?}");
    for route in ["/{portal}", "/{portal}/me", "/{portal}/sessions"] {
        for portal in ["group", "member"] {
            let read = format!("{portal} {route}");
            assert!(without.contains(&read), "{read}: {with:?} {without:?}");
        }
    }
}

#[test]
fn se_11_a_system_does_not_start_without_its_keyring_and_makes_no_new_one() {
    let folder = TempDir::new().unwrap();
    let options = kept_in(folder.path());
    let life = Life::first(&options);
    let lost = life.live(async |world| {
        world.group_principal().await;
        lose_keyring(world).await
    });
    life.end();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(async {
        let started = vestibule_local::Instance::start(options.clone()).await;
        started.unwrap_err().to_string()
    });
    assert!(error.contains("has no keyring"), "{error}");
    runtime.shutdown_background();
    assert!(lost.contains_key("keys"));
}

/// Returns how many sealed texts there are of each key's version.
async fn versions(world: &World) -> BTreeMap<u32, usize> {
    let mut versions = BTreeMap::new();
    for item in world.items(&world.instance.tables.main).await {
        for attribute in ["postal_addresses", "address", "payload"] {
            let sealed = item.get(attribute).and_then(|v| v.as_s().ok());
            if let Some(version) = sealed.and_then(|s| sealed_with(s)) {
                *versions.entry(version).or_default() += 1;
            }
        }
    }
    versions
}

/// Uses the system until it is stopped, and counts the rounds. Each request must succeed.
async fn traffic(
    (world, helen): (&World, &Person),
    helens_name: &str,
    requests: &AtomicUsize,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::SeqCst) {
        let i = requests.load(Ordering::SeqCst);
        let session = world.on("provider").signs_in(helens_name, PASSWORD).await;
        session.expect(201);
        helen.get("/me").await.expect(200);
        let changed =
            json!({ "first_name": format!("Helen{}", "a".repeat(i % 5)), "last_name": "Marsh" });
        helen.patch("/me", changed).await.expect(200);
        let email = format!("user{i}@lakeside.example");
        let added = json!({ "first_name": "Pat", "last_name": "Lind", "email": email, "services": ["claims"] });
        helen.post("/users", added).await.expect(201);
        let ask = json!({ "username": format!("nobody.{i}") });
        world
            .on("provider")
            .from_source(&format!("192.0.2.{}", i % 250))
            .post("/password-resets", ask)
            .await
            .expect(202);
        requests.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_11_the_key_is_rotated_under_traffic_and_nothing_is_lost() {
    let world = World::new().await;
    // Helen has designated a postal address, Maria waits for a letter, and nothing is sent yet.
    world.instance.inbox.set_down(true);
    let registered = world.register("provider", provider()).await;
    let helens_name = registered.text_at("/username").to_owned();
    let helen = world.sign_in("provider", &helens_name).await;
    let pin = pin_in(&world.last_letter().await, 4);
    helen.enters_pin(&pin).await.expect(200);
    let maria = world.member().await;
    let before = versions(&world).await;
    assert!(before[&1] > 5, "{before:?}");
    assert_eq!(before.len(), 1);

    let (rounds, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let rotation = async {
        let keys = world.instance.keys();
        let started = keys.start_rotation(world.now(), SPREAD).await.unwrap();
        assert_eq!((started.version, started.is_resumed), (2, false));
        // The key is known before it is used, and used before anything is sealed again.
        for step in 0..4 {
            let mut rng = world.instance.app.rng();
            let early = keys.reseal(world.now(), &mut rng, |_| {}).await;
            assert!(early.is_err() || world.now() >= started.reseal_at - SPREAD);
            world.pass(SignedDuration::from_mins(5));
            while rounds.load(Ordering::SeqCst) <= step {
                helen.get("/me").await.expect(200);
            }
        }
        assert!(world.now() >= started.reseal_at);
        let mut rng = world.instance.app.rng();
        let done = keys.reseal(world.now(), &mut rng, |_| {}).await.unwrap();
        stop.store(true, Ordering::SeqCst);
        done
    };
    let used = traffic((&world, &helen), &helens_name, &rounds, &stop);
    let (done, ()) = tokio::join!(rotation, used);
    assert!(done.items > 20, "{done:?}");

    let after = versions(&world).await;
    assert!(
        after.get(&2) >= before.get(&1) && after.len() == 1,
        "{before:?} became {after:?}"
    );
    // The letters and emails that waited are sent: they could be opened.
    world.instance.inbox.set_down(false);
    world.pass(SignedDuration::from_hours(1));
    let marias_pin = pin_in(&world.last_letter().await, 6);
    let maria = match maria.get("/me").await.status {
        200 => maria,
        _ => world.sign_in("member", "maria.alvarez").await,
    };
    maria.enters_pin(&marias_pin).await.expect(200);
    let added = world.mails_to("user0@lakeside.example").await;
    assert!(!added.is_empty());
    // The answers that were set before the rotation are still right, and the trail is unaltered.
    let reset = json!({ "username": "maria.alvarez", "security_answers": security_answers(), "new_password": "Calm-Harbor-71!" });
    let visitor = world.on("member");
    visitor
        .post("/password-resets/redemption", reset)
        .await
        .expect(200);
    invariants(&world).await;
    verify_audit(&world).await;
}

/// Adds a user with an idempotency key and returns the username.
async fn adds(by: &Person, n: usize) -> Response {
    let email = format!("pat{n}@lakeside.example");
    let body =
        json!({ "first_name": "Pat", "last_name": "Lind", "email": email, "services": ["claims"] });
    let request = by
        .request(Method::POST, "/users")
        .header("idempotency-key", format!("key-{n}"))
        .json(&body);
    Response::to(request).await.expect(201)
}

/// Two processes serve requests and learn of a new key at different times, so that for a while one uses the new key
/// and the other the old one. Each reads and checks at once what the other writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_11_processes_with_different_keyrings_serve_one_rotation() {
    let world = World::new().await;
    let (helen, name) = world.provider().await;
    world.pass(SignedDuration::from_mins(2));
    let (router, keyring) = world.instance.other_process(options().hashing);
    let base = serve_at_free_port(router).await.unwrap();
    let there: Person = Client::new(&base, "provider").into();
    let ours = world.instance.app.store.keyring().clone();
    world.pass(SignedDuration::from_mins(1));
    let keys = world.instance.keys();
    let started = keys.start_rotation(world.now(), SPREAD).await.unwrap();

    let (mut knew, mut used) = (0, 0);
    let mut is_resealed = false;
    for minute in 0..40 {
        let here = world.on("provider");
        // Whoever is first signs in, which hashes the password again with the process's current key.
        let order = match minute % 2 {
            0 => [&here, &there],
            _ => [&there, &here],
        };
        let [one, other] = order;
        let (helen_one, session) = one.sign_in(&name, PASSWORD).await;
        let token = session.expect(201).text_at("/token").to_owned();
        let helen_other = other.with_token(&token);
        one.signs_in(&name, "not-the-password-1").await.expect(401);
        other.signs_in(&name, PASSWORD).await.expect(201);

        // A response that one seals is opened and repeated by the other.
        let first = adds(&helen_one, minute).await;
        let again = adds(&helen_other, minute).await;
        assert_eq!(again.body, first.body, "{minute}");
        assert!(
            again.headers.contains_key("idempotency-replayed"),
            "{minute}"
        );

        // A code that one issues is checked by the other, and an email that waits is opened by the courier.
        let code = code_in(
            &world
                .last_mail_to(&format!("pat{minute}@lakeside.example"))
                .await,
        );
        let body = redemption(first.text_at("/username"), &code);
        let wrong = redemption(first.text_at("/username"), &another(&code));
        let path = "/registration-codes/redemption";
        other.post(path, wrong).await.refused(422, "code-wrong");
        other.post(path, body).await.expect(200);

        knew += usize::from(keyring.versions() != ours.versions());
        used += usize::from(keyring.current() != ours.current());
        if world.now() >= started.reseal_at && !is_resealed {
            let mut rng = world.instance.app.rng();
            keys.reseal(world.now(), &mut rng, |_| {}).await.unwrap();
            is_resealed = true;
        }
        world.pass(SignedDuration::from_mins(1));
    }
    assert!(is_resealed);
    assert!(knew > 0, "for a while only one of them knew the new key");
    assert!(used > 0, "for a while only one of them used the new key");
    assert_eq!((keyring.current(), ours.current()), (2, 2));
    helen.get("/me").await;
    invariants(&world).await;
    verify_audit(&world).await;
}

async fn verify_audit(world: &World) {
    world.instance.seal_audit_trail().await.unwrap();
    let mut out = Vec::new();
    vestibule_local::audit::verify(&world.instance.app, &Default::default(), &mut out)
        .await
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out)));
}

/// Rotates the key of a system that nothing else uses.
async fn rotate(world: &World) -> String {
    let mut out = Vec::new();
    let (keys, clock) = (world.instance.keys(), &world.instance.app.clock);
    rotate_key::rotate(keys, clock, SignedDuration::ZERO, &mut out)
        .await
        .unwrap();
    world.pass(SignedDuration::from_mins(6));
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn se_11_a_rotation_revives_no_locked_or_used_pin_or_code() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (locked, code) = world.added_by(&helen, "Sam").await;
    let (open, open_code) = world.added_by(&helen, "Kim").await;
    let redemption = |name: &str, code: &str, password: &str| json!({ "username": name, "registration_code": code, "password": password, "hint": hint() });
    let visitor = world.on("provider");
    let path = "/registration-codes/redemption";
    for _ in 0..5 {
        let wrong = redemption(&locked, &another(&code), PASSWORD);
        visitor.post(path, wrong).await.refused(422, "code-wrong");
    }
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    for _ in 0..3 {
        maria
            .enters_pin(&another(&pin))
            .await
            .refused(422, "pin-wrong");
    }
    let usernames = ["nobody.here", "maria.alvarez"].map(|n| json!({ "username": n }));
    let mut questions = Vec::new();
    for ask in &usernames {
        let asked = world.on("member").post("/password-resets", ask).await;
        questions.push(asked.body["questions"].clone());
    }

    assert!(rotate(&world).await.contains("Added key version 2"));

    // The locked code stays locked, also for the right one.
    for code in [&code, &another(&code)] {
        let again = redemption(&locked, code, PASSWORD);
        visitor.post(path, again).await.refused(410, "code-locked");
    }
    // The count of wrong PINs continues: two are left.
    for _ in 0..2 {
        maria
            .enters_pin(&another(&pin))
            .await
            .refused(422, "pin-wrong");
    }
    maria.enters_pin(&pin).await.refused(410, "pin-locked");
    // What was valid stays valid, and what is issued now is, too.
    let right = redemption(&open, &open_code, PASSWORD);
    visitor.post(path, right).await.expect(200);
    let other = redemption(&open, &open_code, "Other-River-58!");
    visitor.post(path, other).await.refused(422, "code-wrong");
    maria.post("/pin/letter", json!({})).await.expect(201);
    let new = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&new).await.expect(200);
    // Questions that change would reveal which names exist.
    for (ask, before) in usernames.iter().zip(questions) {
        let asked = world.on("member").post("/password-resets", ask).await;
        assert_eq!(asked.body["questions"], before);
    }
    invariants(&world).await;
}

#[tokio::test]
async fn se_11_earlier_passwords_stay_valid_and_use_the_new_key_from_the_next_sign_in() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let id = ruth.id().await;
    rotate(&world).await;
    let hash = async || {
        let all = invariants(&world).await;
        all.accounts[&format!("A#group#{id}")]["password"]["hash"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(hash().await.contains("keyid=AAAAAQ$"));
    for _ in 0..2 {
        world.sign_in("group", "ruth.okafor").await;
        assert!(hash().await.contains("keyid=AAAAAg$"));
    }
    ruth.get("/me").await.expect(200);
    assert!(rotate(&world).await.contains("Added key version 3"));
    world.sign_in("group", "ruth.okafor").await;
}

#[tokio::test]
async fn se_11_an_interrupted_rotation_continues_and_adds_no_other_key() {
    let world = World::new().await;
    world.provider().await;
    let keys = world.instance.keys();
    let now = world.now();
    let started = keys
        .start_rotation(now, SignedDuration::ZERO)
        .await
        .unwrap();
    assert_eq!((started.version, started.is_resumed), (2, false));
    // Interrupted after the first page.
    let interrupted = std::panic::AssertUnwindSafe(async {
        let mut rng = world.instance.app.rng();
        let stop = |_: Progress| panic!("interrupted");
        drop(keys.reseal(now, &mut rng, stop).await);
    });
    assert!(
        futures::FutureExt::catch_unwind(interrupted).await.is_err(),
        "interrupted"
    );
    let out = rotate(&world).await;
    assert!(
        out.contains("Continuing the rotation to key version 2"),
        "{out}"
    );
    let all = versions(&world).await;
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [2]);
    assert!(rotate(&world).await.contains("Added key version 3"));
}

/// Two commands at the same time add one key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_11_two_rotations_at_once_add_one_key() {
    let world = World::new().await;
    let keys = world.instance.keys();
    let started = (0..4).map(|_| keys.start_rotation(world.now(), SPREAD));
    let started = join_all(started).await;
    let added = started.iter().flatten().filter(|s| !s.is_resumed).count();
    assert_eq!(added, 1, "{started:?}");
    assert!(started.iter().flatten().all(|s| s.version == 2));
}
