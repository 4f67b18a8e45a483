//! The nightly feed of plan records, from S3 to what users see (AG-16, EX-06).

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use vestibule_domain::feed::sequence::FeedName;
use vestibule_domain::state::record::{NewRecord, RecordKey};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_import_records::{ImportError, Importer, Outcome, S3Event, Summary};
use vestibule_local::instance::{FEEDS, LETTERS, at_work};
use vestibule_local::{Options, sample_records};
use vestibule_secrets::HashParameters;
use vestibule_store::records::{Saved, Saving};
use vestibule_tests::fault_injection::{Fault, FaultInjector, Starter};
use vestibule_tests::invariants::{Contents, invariants};
use vestibule_tests::people::{agent, dental, member, with};
use vestibule_tests::white_box::Calls;
use vestibule_tests::{Prepared, World, options, portals_with, portals_with_invalid};

/// The header and the first rows of a kind's sample records, as in a test's system.
fn sample(kind: RecordKind) -> Vec<String> {
    let feed = sample_records::committed(kind);
    feed.lines().take(11).map(str::to_owned).collect()
}

fn without_row(kind: RecordKind, begins: &str) -> String {
    let mut rows = sample(kind);
    let before = rows.len();
    rows.retain(|row| !row.starts_with(begins));
    assert!(rows.len() < before, "{begins} is among them");
    rows.join("\n")
}

fn replaced(kind: RecordKind, from: &str, to: &str) -> String {
    let text = sample(kind).join("\n");
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

fn event(key: &str) -> S3Event {
    let encoded = key.replace(' ', "+");
    let record = json!({ "s3": { "bucket": { "name": FEEDS }, "object": { "key": encoded } } });
    serde_json::from_value(json!({ "Records": [record] })).unwrap()
}

async fn put(world: &World, key: &str, text: impl Into<String>) {
    let body = ByteStream::from(text.into().into_bytes());
    let put = world.instance.s3.put_object().bucket(FEEDS).key(key);
    put.body(body).send().await.unwrap();
}

async fn object(world: &World, key: &str) -> Option<String> {
    let get = world.instance.s3.get_object().bucket(FEEDS).key(key);
    let body = get.send().await.ok()?.body.collect().await.unwrap();
    Some(String::from_utf8(body.to_vec()).unwrap())
}

async fn status(world: &World, key: &str) -> Value {
    let text = object(world, &format!("{key}.status.json")).await.unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The import function under its role.
struct AtWork(Importer);

impl AtWork {
    async fn import(
        &self,
        key: &str,
        deadline: Option<Timestamp>,
        progress: impl FnMut(&Summary),
    ) -> Result<Outcome, ImportError> {
        at_work("import-records", self.0.import(key, deadline, progress)).await
    }

    async fn handle(
        &self,
        event: &S3Event,
        deadline: Option<Timestamp>,
    ) -> Result<(), ImportError> {
        at_work("import-records", self.0.handle(event, deadline)).await
    }
}

fn importer(world: &World) -> AtWork {
    AtWork(world.instance.importer())
}

/// Uploads a feed and imports it. It must succeed.
async fn imported(world: &World, key: &str, text: impl Into<String>) -> Summary {
    put(world, key, text).await;
    match importer(world).import(key, None, |_| {}).await {
        Ok(Outcome::Imported(summary)) => summary,
        other => panic!("{other:?}"),
    }
}

/// The stored plan records, without what is encrypted differently each time.
async fn records(world: &World) -> Vec<String> {
    let mut all = Contents::of(world).await.records;
    let mut shown: Vec<_> = all
        .iter_mut()
        .map(|record| {
            record.as_object_mut().unwrap().remove("address");
            record.to_string()
        })
        .collect();
    shown.sort();
    shown
}

fn full(kind: RecordKind, day: u32) -> String {
    format!("feeds/harbor/{}/2026-11-{day:02}.full.csv", kind.into_str())
}

fn changes(kind: RecordKind, day: u32) -> String {
    format!(
        "feeds/harbor/{}/2026-11-{day:02}.changes.csv",
        kind.into_str()
    )
}

#[tokio::test]
async fn both_buckets_store_objects() {
    let world = World::empty(options()).await;
    let s3 = &world.instance.s3;
    for bucket in [FEEDS, LETTERS] {
        let key = "harbor/2026-11-23 with spaces.csv";
        let put = s3.put_object().bucket(bucket).key(key);
        let body = "x".repeat(100_000);
        put.body(body.clone().into_bytes().into())
            .if_none_match("*")
            .send()
            .await
            .unwrap();
        let got = s3
            .get_object()
            .bucket(bucket)
            .key(key)
            .send()
            .await
            .unwrap();
        let bytes = got.body.collect().await.unwrap().into_bytes();
        assert_eq!(bytes, body.as_bytes());
        let again = s3.put_object().bucket(bucket).key(key).if_none_match("*");
        let refused = again.send().await.unwrap_err().into_service_error();
        assert_eq!(refused.meta().code(), Some("PreconditionFailed"));
    }
}

#[tokio::test]
async fn ag_16_a_change_in_the_plan_records_is_visible_after_the_feed() {
    let world = World::new().await;
    let principal = world.group_principal().await;
    let staff = world.staff(&principal, "Sam", "user").await;
    let codes = async |client: &vestibule_tests::client::Person| {
        client.get("/entitlements").await.body["group_codes"].clone()
    };
    assert_eq!(codes(&staff).await, json!(["BH01"]));
    // A group code is removed, a name changes, and a group is added.
    let kind = RecordKind::Group;
    let text = replaced(kind, "Blue Heron Manufacturing", "Blue Heron Works").replacen(
        "BH01;BH02;BH03",
        "BH02;BH03",
        1,
    );
    let text = format!("{text}\nGR29999,New Mill,001112223,NM01,small_group,,,,,,,\n");
    let refused = with(
        vestibule_tests::people::group_principal(),
        "/verification",
        json!({ "group_number": "GR29999", "tax_id_last4": "2223" }),
    );
    let newcomer = with(
        with(refused, "/username", "nell.mill"),
        "/email",
        "nell@newmill.example",
    );
    world
        .on("group")
        .registers(&newcomer)
        .await
        .refused(403, "registration-refused");
    let summary = imported(&world, &changes(kind, 24), text).await;
    assert_eq!((summary.saved, summary.unchanged, summary.ended), (2, 9, 0));
    assert_eq!(codes(&staff).await, json!([]));
    staff.get("/me").await.says("Blue Heron Works");
    world.register("group", newcomer).await;

    // Facts change: the old ones no longer verify, the new ones do.
    let kind = RecordKind::Member;
    imported(
        &world,
        &changes(kind, 24),
        replaced(kind, "1979-04-12", "1979-04-21"),
    )
    .await;
    world
        .on("member")
        .registers(member())
        .await
        .refused(403, "registration-refused");
    world
        .register(
            "member",
            with(member(), "/verification/date_of_birth", "1979-04-21"),
        )
        .await;
    invariants(&world).await;
}

#[tokio::test]
async fn ag_16_a_person_missing_in_a_full_feed_loses_access_until_a_feed_contains_them_again() {
    let world = World::new().await;
    let kind = RecordKind::Group;
    imported(&world, &full(kind, 23), sample(kind).join("\n")).await;
    let principal = world.group_principal().await;
    let staff = world.staff(&principal, "Sam", "user").await;
    world.instance.settle().await.unwrap();
    let first = imported(&world, &full(kind, 24), without_row(kind, "GR20001")).await;
    assert_eq!((first.ended, first.unchanged, first.saved), (1, 9, 0));
    // The next request is blocked; signing in leads only to the help desk.
    for (client, name) in [(&principal, "ruth.okafor"), (&staff, "sam.lind")] {
        let refused = client.get("/entitlements").await;
        assert_eq!(refused.status, 401, "{name}: {}", refused.text);
        let again = world.sign_in("group", name).await;
        let refused = again
            .get("/entitlements")
            .await
            .expect(403)
            .has("/next_step", "call_help_desk");
        assert!(!refused.text_at("/help_desk/phone").is_empty());
    }
    let mail = world.last_mail_to("ruth@blueheron.example").await;
    insta::assert_snapshot!(vestibule_tests::white_box::shown(&mail));
    let reported = world.mails_to("sam@blueheron.example").await.len();
    // Nobody can register with it.
    let employer = with(
        vestibule_tests::people::group_principal(),
        "/registration_type",
        "employer",
    );
    world
        .on("employer")
        .registers(employer)
        .await
        .refused(403, "registration-refused");
    invariants(&world).await;
    // The same feed again sends no notices.
    let outcome = importer(&world).import(&full(kind, 24), None, |_| {}).await;
    assert!(matches!(outcome, Ok(Outcome::Before)), "{outcome:?}");
    assert_eq!(
        world.mails_to("sam@blueheron.example").await.len(),
        reported
    );

    let back = imported(&world, &full(kind, 25), sample(kind).join("\n")).await;
    assert_eq!((back.saved, back.unchanged, back.ended), (1, 9, 0));
    let staff = world.sign_in("group", "sam.lind").await;
    let open = staff.get("/entitlements").await;
    assert_eq!(
        (open.status, &open.body["group_codes"]),
        (200, &json!(["BH01"]))
    );
    let mail = world.last_mail_to("sam@blueheron.example").await;
    assert!(
        mail.subject == "Your access to Harborlight for Groups has been restored",
        "{}",
        mail.subject
    );
    assert_eq!(invariants(&world).await.done("end_record"), 2);
}

#[tokio::test]
async fn ag_16_an_invitation_opens_nothing_when_the_organizations_record_has_ended() {
    let world = World::new().await;
    let kind = RecordKind::Group;
    imported(&world, &full(kind, 23), sample(kind).join("\n")).await;
    let principal = world.group_principal().await;
    let email = "sam@blueheron.example";
    let token = world.invite(&principal, "Sam", email, "user").await;
    imported(&world, &full(kind, 24), without_row(kind, "GR20001")).await;
    let accept = async || {
        let body = World::acceptance(&token, "Sam", email, "sam.lind");
        let on = world.on("group");
        on.accepts(body).await
    };
    accept().await.refused(410, "invitation-revoked");

    // Nor when it returns; Sam has to be invited again.
    imported(&world, &full(kind, 25), sample(kind).join("\n")).await;
    accept().await.expect(410);
    let principal = world.sign_in("group", "ruth.okafor").await;
    let token = world.invite(&principal, "Sam", email, "user").await;
    let body = World::acceptance(&token, "Sam", email, "sam.lind");
    let on = world.on("group");
    on.accepts(body).await.expect(201);
    assert_eq!(invariants(&world).await.done("revoke_invitation"), 1);
}

#[tokio::test]
async fn ag_16_a_row_can_say_that_a_record_has_ended_and_a_portal_can_let_people_stay() {
    for (policy, opens) in [("close", 403), ("keep", 200)] {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(options().portals).unwrap() {
            let path = entry.unwrap().path();
            let mut text = std::fs::read_to_string(&path).unwrap();
            if path.ends_with("agent.toml") {
                text = format!("records.on_termination = \"{policy}\"\n{text}");
            }
            std::fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
        }
        let world = World::with(Options {
            portals: folder.path().to_owned(),
            ..options()
        })
        .await;
        world.register("agent", agent()).await;
        let row = "agent_id,name,first_name,last_name,ssn_last4,agreements,group_codes,ended\nAG10001,,,,,,,yes\nAG77777,,,,,,,yes\n";
        let summary = imported(&world, &changes(RecordKind::Agent, 24), row).await;
        assert_eq!((summary.ended, summary.unchanged), (1, 1), "{policy}");
        let client = world.sign_in("agent", "dana.whitfield").await;
        assert_eq!(client.get("/entitlements").await.status, opens, "{policy}");
    }
}

#[tokio::test]
async fn ag_16_invalid_rows_are_reported_beside_the_feed_and_delay_no_other_row() {
    let world = World::new().await;
    let kind = RecordKind::Member;
    let key = full(kind, 24);
    let text = replaced(kind, "1979-04-12", "12 April 1979").replacen(
        "100200302,0,Thomas",
        "100200302,0,Tom",
        1,
    );
    let summary = imported(&world, &key, text).await;
    // A record whose row is invalid stays unchanged.
    assert_eq!(
        (
            summary.rejected,
            summary.saved,
            summary.unchanged,
            summary.ended
        ),
        (1, 1, 8, 0)
    );
    let rejects = object(&world, &format!("{key}.rejects.csv")).await.unwrap();
    assert_eq!(
        rejects,
        "row,column,reason\n2,date_of_birth,\"must be a date such as 1980-01-31\"\n"
    );
    let status = status(&world, &key).await;
    assert_eq!(
        (&status["state"], &status["counts"]["rejected"]),
        (&json!("imported"), &json!(1))
    );
    world.register("member", member()).await;
}

#[tokio::test]
async fn ag_16_a_full_feed_that_would_end_too_many_is_refused_until_an_operator_accepts_it() {
    let world = World::new().await;
    let kind = RecordKind::Provider;
    let key = full(kind, 24);
    let header = sample(kind)[0].clone();
    let before = records(&world).await;
    put(&world, &key, header.clone()).await;
    importer(&world).handle(&event(&key), None).await.unwrap();
    assert_eq!(records(&world).await, before, "nothing was written");
    let reported = status(&world, &key).await;
    assert_eq!(reported["state"], "refused");
    assert!(
        reported["detail"]
            .as_str()
            .unwrap()
            .contains("it would end 10 of 10"),
        "{reported}"
    );

    // The import accepts at most the number in the object's metadata.
    for (accept, state) in [("9", "refused"), ("10", "imported")] {
        let put = world.instance.s3.put_object().bucket(FEEDS).key(&key);
        let body = ByteStream::from(header.clone().into_bytes());
        put.metadata("accept-ended", accept)
            .body(body)
            .send()
            .await
            .unwrap();
        importer(&world).handle(&event(&key), None).await.unwrap();
        assert_eq!(status(&world, &key).await["state"], state, "{accept}");
    }
    let records = records(&world).await;
    let of_kind = |r: &&String| r.contains("\"provider\"");
    let ended = |r: &String| r.contains("\"ended\"");
    assert_eq!(
        records.iter().filter(of_kind).filter(|r| ended(r)).count(),
        10
    );
    assert_eq!(records.iter().filter(|r| ended(r)).count(), 10);
}

#[tokio::test]
async fn ag_16_feeds_are_imported_in_their_order_and_once() {
    let world = World::new().await;
    let kind = RecordKind::Agent;
    let name = |name: &str| replaced(kind, "Dana Whitfield,", &format!("{name},"));
    imported(&world, &changes(kind, 25), name("New Name")).await;
    let now = records(&world).await;
    // An older feed that arrives late is permanently rejected.
    put(&world, &full(kind, 24), name("Old Name")).await;
    importer(&world)
        .handle(&event(&full(kind, 24)), None)
        .await
        .unwrap();
    assert_eq!(status(&world, &full(kind, 24)).await["state"], "refused");
    assert_eq!(records(&world).await, now);
    // The same feed again does nothing, a corrected one is imported.
    let calls = importer(&world)
        .import(&changes(kind, 25), None, |_| {})
        .await;
    assert!(matches!(calls, Ok(Outcome::Before)));
    let corrected = imported(&world, &changes(kind, 25), name("Right Name")).await;
    assert_eq!((corrected.saved, corrected.unchanged), (1, 9));
    // Objects that aren't feeds are reported.
    for key in [
        "feeds/harbor/agent/today.csv",
        "feeds/nowhere/agent/2026-11-26.full.csv",
    ] {
        put(&world, key, name("x")).await;
        let error = importer(&world)
            .handle(&event(key), None)
            .await
            .unwrap_err();
        assert!(
            matches!(error, ImportError::NoFeed(_) | ImportError::UnknownPlan(_)),
            "{error}"
        );
    }
    let wrong = changes(kind, 27);
    put(&world, &wrong, "agent_id,birthday\n").await;
    importer(&world).handle(&event(&wrong), None).await.unwrap();
    assert!(
        status(&world, &wrong).await["detail"]
            .as_str()
            .unwrap()
            .contains("birthday")
    );
}

/// A new dental provider outside the network.
const CLAIMANT: &str =
    "PV39999,Stillwater Dental,009998887,dental,no,,9 Mill Street,,,Aurora,IL,60505,US";

#[tokio::test]
async fn ex_06_a_first_claim_brings_a_notification_letter_once() {
    let world = World::new().await;
    let kind = RecordKind::Provider;
    let all = sample(kind).join("\n");
    // The first feed sends no letters, because the plan has known those providers for a long time.
    let first = imported(
        &world,
        &full(kind, 23),
        format!(
            "{all}\nPV39998,Old Dental,009998886,dental,no,,1 Mill Street,,,Aurora,IL,60505,US"
        ),
    )
    .await;
    assert_eq!((first.saved, first.letters), (1, 0));
    // Before the claim there is no provider ID, and so the provider can't register.
    let claimant = with(
        dental(),
        "/verification",
        json!({ "provider_id": "PV39999", "tax_id": "009998887" }),
    );
    world
        .on("practice")
        .registers(&claimant)
        .await
        .refused(403, "registration-refused");
    let second = imported(&world, &changes(kind, 24), format!("{}\n{CLAIMANT}\nPV39997,In Network Dental,009998885,dental,yes,,1 Mill Street,,,Aurora,IL,60505,US\n", sample(kind)[0])).await;
    assert_eq!((second.saved, second.letters), (2, 1));
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1);
    insta::assert_snapshot!(letters[0]);
    assert!(!letters[0].contains("009998887") && !letters[0].contains("8887"));
    // Never again: not for a repeated feed, a change, or an end and return.
    for (day, text) in [
        (25, format!("{}\n{CLAIMANT}", sample(kind)[0])),
        (
            26,
            format!(
                "{}\n{}",
                sample(kind)[0],
                CLAIMANT.replace("9 Mill", "10 Mill")
            ),
        ),
        (27, format!("{},ended\n{CLAIMANT},yes", sample(kind)[0])),
        (28, format!("{}\n{CLAIMANT}", sample(kind)[0])),
    ] {
        assert_eq!(imported(&world, &changes(kind, day), text).await.letters, 0);
    }
    assert_eq!(world.letters().await.len(), 1);
    world.register("practice", claimant).await;
    invariants(&world).await;
}

#[tokio::test]
async fn ex_06_a_provider_without_an_address_receives_the_letter_when_a_feed_contains_one() {
    let world = World::new().await;
    let kind = RecordKind::Provider;
    imported(&world, &full(kind, 23), sample(kind).join("\n")).await;
    let nowhere = "PV39999,Stillwater Dental,009998887,dental,no,,,,,,,,";
    let header = sample(kind)[0].clone();
    let none = imported(&world, &changes(kind, 24), format!("{header}\n{nowhere}")).await;
    assert_eq!(none.letters, 0);
    let one = imported(&world, &changes(kind, 25), format!("{header}\n{CLAIMANT}")).await;
    assert_eq!(one.letters, 1);
}

#[tokio::test]
async fn ex_06_a_run_that_was_overtaken_does_not_notify_a_provider_again() {
    let world = World::new().await;
    let kind = RecordKind::Provider;
    imported(&world, &full(kind, 23), sample(kind).join("\n")).await;
    let feed = changes(kind, 24);
    let new = format!("{}\n{CLAIMANT}", sample(kind)[0]);
    assert_eq!(imported(&world, &feed, new).await.letters, 1);

    // Another run of the feed read the records before this one created the provider's, and saves it now.
    let app = &world.instance.app;
    let key = RecordKey {
        plan: sample_records::PLAN.to_owned(),
        kind,
        number: "PV39999".to_owned(),
        person: 0,
    };
    let record = async || app.store.plan_record(&key).await.unwrap().unwrap();
    let row = NewRecord {
        key: key.clone(),
        facts: BTreeMap::new(),
        data: record().await.data,
        ended: false,
    };
    let order = FeedName::parse(&feed).unwrap().sorted();
    let saving = Saving {
        feed: Some(&order),
        digest: None,
        to_notify: true,
    };
    let saved = app.store.save_record(&row, saving, &mut app.rng()).await;
    assert!(matches!(saved, Ok(Saved::Written(Some(_)))), "{saved:?}");
    assert!(!record().await.to_notify, "its letter was sent");
}

/// A system with users, and a full feed in the bucket that changes, ends and adds records.
async fn before_the_feed(options: Options) -> (World, String) {
    let world = World::with(options).await;
    let kind = RecordKind::Provider;
    imported(&world, &full(kind, 23), sample(kind).join("\n")).await;
    world.register("practice", dental()).await;
    let key = full(kind, 24);
    let text = without_row(kind, "PV30002").replacen("Oakview Dental Studio", "Oakview", 1);
    put(&world, &key, format!("{text}\n{CLAIMANT}\n")).await;
    (world, key)
}

/// Imports feeds with every kind of change, with an observer of the calls to AWS.
pub async fn go_through_feeds(observer: &SharedInterceptor) {
    let observed = Options {
        observers: vec![observer.clone()],
        ..options()
    };
    let (world, key) = before_the_feed(observed).await;
    let done = importer(&world).import(&key, None, |_| {}).await;
    assert!(matches!(done, Ok(Outcome::Imported(_))), "{done:?}");
    // Oakview has registered.
    let ended = without_row(RecordKind::Provider, "PV30003");
    let summary = imported(&world, &full(RecordKind::Provider, 25), ended).await;
    assert!(summary.accounts > 0);
    let kind = RecordKind::Agent;
    imported(&world, &full(kind, 23), sample(kind).join("\n")).await;
    let moved = replaced(kind, "Luis,Ortega,7310,AG10001", "Luis,Ortega,7310,AG10003");
    imported(&world, &full(kind, 24), moved).await;
}

async fn end_state(world: &World, what: &str) -> (Vec<String>, usize, usize, usize, usize) {
    let letters = world.letters().await.len();
    let mails = world.mails_to("omar@riverbend.example").await.len();
    let all = invariants(world).await;
    let said = (all.done("end_record"), all.done("notify_provider"));
    assert_eq!((letters, said.0, said.1), (1, 1, 1), "{what}");
    // Keyed MACs and ids differ between systems.
    let known = [
        "PV30002",
        "PV30003",
        "PV39999",
        "\"Oakview\"",
        "\"ended\"",
        "\"listed\"",
        "\"to_notify\"",
        "\"digest\"",
    ];
    let mut feed: Vec<String> = records(world)
        .await
        .iter()
        .map(|r| known.map(|k| if r.contains(k) { k } else { "" }).join(" "))
        .collect();
    feed.sort();
    (feed, letters, mails, said.0, said.1)
}

#[tokio::test]
async fn ag_16_a_feed_interrupted_at_any_call_has_the_same_result_when_repeated() {
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        before_the_feed(Options {
            interceptors: vec![faults.interceptor()],
            ..options()
        })
        .await
    });
    let (world, key) = prepared.again().await;
    importer(world).handle(&event(key), None).await.unwrap();
    let right = end_state(world, "undisturbed").await;
    prepared
        .with_every_fault(
            faults,
            &[Fault::Unsent, Fault::ResponseLost],
            async |world, key| importer(world).handle(&event(key), None).await,
            async |world, key, injected, first| {
                let what = injected.to_string();
                assert_eq!(first.is_err(), injected.failed(), "{what}: {first:?}");
                importer(world).handle(&event(key), None).await.unwrap();
                assert_eq!(end_state(world, &what).await, right, "{what}");
            },
        )
        .await;
}

#[tokio::test]
async fn ag_16_concurrent_runs_of_a_feed_import_it_once() {
    let (world, key) = before_the_feed(options()).await;
    let right = {
        let (world, key) = before_the_feed(options()).await;
        importer(&world).handle(&event(&key), None).await.unwrap();
        end_state(&world, "undisturbed").await
    };
    let importer = importer(&world);
    let runs = (0..4).map(|_| importer.import(&key, None, |_| {}));
    let outcomes = futures::future::join_all(runs).await;
    assert!(outcomes.iter().any(Result::is_ok), "{outcomes:?}");
    importer.handle(&event(&key), None).await.unwrap();
    assert_eq!(end_state(&world, "at once").await, right);
}

#[tokio::test]
async fn ag_16_a_run_that_is_out_of_time_is_continued_and_others_wait_for_it() {
    let world = World::new().await;
    let kind = RecordKind::Agent;
    let header = sample(kind)[0].clone();
    let rows: String = (0..2_500)
        .map(|n| format!("AG{n:05}X,Agent {n},Ann,Agent,1234,,,,agent\n"))
        .collect();
    let key = changes(kind, 24);
    put(&world, &key, format!("{header}\n{rows}")).await;
    let importer = importer(&world);
    let clock = world.instance.app.clock.clone();
    let deadline = world.now() + SignedDuration::from_secs(60);
    // The run is out of time after 2,100 rows, of which 2,000 are recorded.
    let progress = |s: &Summary| {
        if s.saved == 2_100 {
            clock.advance(SignedDuration::from_secs(60));
        }
    };
    let stopped = importer
        .import(&key, Some(deadline), progress)
        .await
        .unwrap_err();
    assert!(
        matches!(stopped, ImportError::OutOfTime(2_100)),
        "{stopped}"
    );
    let next = changes(kind, 25);
    put(&world, &next, sample(kind).join("\n")).await;
    let busy = importer.handle(&event(&next), None).await.unwrap_err();
    assert!(busy.to_string().contains(&key), "{busy}");
    world.pass(SignedDuration::from_mins(6));
    let gap = importer.handle(&event(&next), None).await.unwrap_err();
    assert!(gap.to_string().contains(&key), "{gap}");
    let Ok(Outcome::Imported(rest)) = importer.import(&key, None, |_| {}).await else {
        panic!("it goes on");
    };
    assert_eq!((rest.rows, rest.saved, rest.unchanged), (2_500, 400, 100));
    importer.handle(&event(&next), None).await.unwrap();
}

#[tokio::test]
async fn a_row_costs_a_hundredth_of_a_read_when_it_is_as_it_was() {
    let calls = Calls::default();
    let world = World::empty(Options {
        interceptors: vec![calls.interceptor()],
        ..options()
    })
    .await;
    let kind = RecordKind::Agent;
    let feed = |name: &str| -> String {
        let rows: String = (0..300)
            .map(|n| format!("AG{n:05},{name} {n},Ann,Agent,1234,,,,agent\n"))
            .collect();
        format!("{}\n{rows}", sample(kind)[0])
    };
    let mut seen = Vec::new();
    for (what, day, text) in [
        ("new", 23, feed("Agent")),
        ("as they were", 24, feed("Agent")),
        ("changed", 25, feed("Other")),
    ] {
        calls.take();
        imported(&world, &full(kind, day), text).await;
        let mut counts = std::collections::BTreeMap::<String, usize>::new();
        for call in calls.take() {
            *counts.entry(call).or_default() += 1;
        }
        seen.push(format!("300 rows, {what}: {counts:?}"));
    }
    insta::assert_snapshot!(seen.join("\n"));
}

#[tokio::test]
async fn ag_16_codes_that_the_portal_offers_outlast_a_change_of_the_record() {
    let portals = portals_with(
        "group",
        &[("from_records = true", "offered = [\"V01\", \"V02\"]")],
        "",
    );
    let world = World::with_portals(&portals).await;
    let ruth = world.group_principal().await;
    let id = world.invited(&ruth, "Sam", "user").await;
    ruth.post(
        &format!("/users/{id}/approval"),
        json!({ "services": [], "group_codes": ["V01"] }),
    )
    .await
    .expect(200);
    let sam = world.sign_in("group", "sam.lind").await;

    let kind = RecordKind::Group;
    let moved = replaced(kind, "1200 Kilnbrook Parkway", "1300 Kilnbrook Parkway");
    imported(&world, &full(kind, 24), moved).await;

    for (person, codes) in [(&ruth, json!(["V01", "V02"])), (&sam, json!(["V01"]))] {
        let entitlements = person.get("/entitlements").await.expect(200);
        assert_eq!(entitlements.body["group_codes"], codes);
    }
    // The organization can still assign them.
    let access = json!({ "role": "user", "services": [], "group_codes": ["V02"] });
    ruth.put(&format!("/users/{id}/access"), access)
        .await
        .expect(200);
}

#[tokio::test]
async fn ag_16_an_open_quote_affects_only_its_own_row() {
    let world = World::empty(options()).await;
    let kind = RecordKind::Member;
    let mut rows = sample(kind);
    rows[2] = rows[2].replacen(",1,", ",1,\"", 1);
    let summary = imported(&world, &changes(kind, 24), rows.join("\n")).await;
    let rejected: Vec<_> = summary.rejects.iter().map(ToString::to_string).collect();
    assert_eq!(
        rejected,
        ["line 3 has an opening quote without a closing quote"]
    );
    assert_eq!(summary.saved, rows.len() as u64 - 2);
}

#[tokio::test]
async fn ag_16_an_invalid_policy_delays_only_the_consequences_for_its_portal() {
    let world = World::new().await;
    let principal = world.group_principal().await;
    let employer = with(
        vestibule_tests::people::group_principal(),
        "/registration_type",
        "employer",
    );
    world.register("employer", employer).await;
    let employer = world.sign_in("employer", "ruth.okafor").await;
    let codes = async |client: &vestibule_tests::client::Person| {
        client.get("/entitlements").await.expect(200).body["group_codes"].clone()
    };
    let before = codes(&principal).await;
    let kind = RecordKind::Group;
    let text = replaced(kind, "BH01;BH02;BH03", "BH02");
    let importer = world.instance.importer();
    let broken = AtWork(Importer {
        app: vestibule_http::App {
            portals: portals_with_invalid("group"),
            ..importer.app.clone()
        },
        ..importer
    });
    put(&world, &changes(kind, 24), text.clone()).await;
    let outcome = broken.import(&changes(kind, 24), None, |_| {}).await;
    assert!(matches!(outcome, Ok(Outcome::Imported(_))), "{outcome:?}");
    assert_eq!(codes(&employer).await, json!(["BH02"]));
    assert_eq!(codes(&principal).await, before);
    // With the corrected policy, the next feed applies what was held back.
    imported(&world, &changes(kind, 25), text).await;
    assert_eq!(codes(&principal).await, json!(["BH02"]));
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ag_16_a_registration_during_a_feed_gets_the_new_data() {
    for calls in 1..=4 {
        let starter = Starter::default();
        let world = World::with(Options {
            interceptors: vec![starter.interceptor()],
            // The feed is imported while the password is hashed, after the record was read.
            hashing: HashParameters {
                memory_kib: 64,
                passes: 10_000,
                lanes: 1,
            },
            ..options()
        })
        .await;
        let kind = RecordKind::Group;
        let text = replaced(kind, "BH01;BH02;BH03", "BH02");
        let visitor = world.on("group");
        let registering = visitor.registers(vestibule_tests::people::group_principal());
        let key = changes(kind, 24);
        let feed = imported(&world, &key, text);
        let (registered, _) = starter.start_after(calls, registering, feed).await;
        registered.expect(201);
        let ruth = world.sign_in("group", "ruth.okafor").await;
        let codes = ruth.get("/entitlements").await.expect(200).body["group_codes"].clone();
        assert_eq!(codes, json!(["BH02"]), "after {calls} calls");
        invariants(&world).await;
    }
}
