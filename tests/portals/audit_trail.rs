//! The audit trail: who did and viewed what, who can read it, and that changes to it are detected.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use jiff::civil::Date;
use serde_json::{Value, json};
use vestibule_domain::values::ids::PortalId;
use vestibule_local::instance::SEALS;
use vestibule_store::seals::{Fault as Wrong, Verification};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, dental, group_principal, with};
use vestibule_tests::{Item, World};

/// Returns a page of the trail. The request must succeed.
async fn trail(by: &Person, query: &str) -> Vec<Value> {
    page(by, query).await.0
}

/// Returns a page of the trail and the cursor of the next.
async fn page(by: &Person, query: &str) -> (Vec<Value>, Option<String>) {
    let response = by.get(&format!("/audit-events?{query}")).await.expect(200);
    let items = response.items().clone();
    let next = response.body["next_cursor"].as_str().map(str::to_owned);
    (items, next)
}

/// Returns a field of each event.
fn each<'e>(entries: &'e [Value], field: &str) -> Vec<&'e str> {
    entries
        .iter()
        .map(|e| e[field].as_str().unwrap_or_default())
        .collect()
}

async fn get(by: &Person, path: &str, status: u16) -> Response {
    by.get(path).await.expect(status)
}

/// The first person of another group, signed in.
async fn another_principal(world: &World) -> Person {
    let body = with(
        with(
            with(group_principal(), "/email", "otto@redmaple.example"),
            "/username",
            "otto.maple",
        ),
        "/verification",
        json!({ "group_number": "GR20002", "tax_id_last4": second_tax_id() }),
    );
    world.register("group", body).await;
    world.sign_in("group", "otto.maple").await
}

/// The last four digits of the tax ID of the second sample group.
fn second_tax_id() -> String {
    let feed = vestibule_local::sample_records::committed(
        vestibule_domain::values::record_kind::RecordKind::Group,
    );
    let row = feed.lines().find(|l| l.starts_with("GR20002,")).unwrap();
    let tax_id = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(row.as_bytes())
        .records()
        .next()
        .unwrap()
        .unwrap()[2]
        .to_owned();
    tax_id[tax_id.len() - 4..].to_owned()
}

fn minute() -> SignedDuration {
    SignedDuration::from_mins(1)
}

#[tokio::test]
async fn ex_02_the_trail_shows_who_viewed_what_when_and_from_where() {
    let world = World::new().await;
    let ruth = world.group_principal().await.from_source("192.0.2.10");
    let sam = world
        .staff(&ruth, "Sam", "user")
        .await
        .from_source("198.51.100.7");
    let (ruths, sams) = (ruth.id().await, sam.id().await);
    world.pass(minute());
    let organization = get(&ruth, "/entitlements", 200).await;
    let organization = organization.text_at("/organization_id");

    // Each request, its user, and what is recorded about which object.
    let looks: [(&Person, &str, u16, &str, &str, &str); 7] = [
        (&ruth, "/users", 200, "list_users", "", "done"),
        (
            &ruth,
            &format!("/users/{sams}"),
            200,
            "view_user",
            &sams,
            "done",
        ),
        (&ruth, "/invitations", 200, "list_invitations", "", "done"),
        (
            &sam,
            "/entitlements?service=enrollment",
            200,
            "open_service",
            "enrollment",
            "done",
        ),
        (
            &sam,
            "/entitlements?service=billing",
            403,
            "open_service",
            "billing",
            "refused",
        ),
        (
            &ruth,
            &format!("/audit-events?user_ids={sams}"),
            200,
            "search_audit",
            &sams,
            "done",
        ),
        (
            &ruth,
            "/audit-events.jsonl",
            200,
            "download_audit",
            "",
            "done",
        ),
    ];
    for (by, path, status, action, object, outcome) in looks {
        world.pass(minute());
        let response = get(by, path, status).await;
        if status == 403 {
            assert_eq!(response.problem(), "service-not-assigned");
            assert!(!response.text_at("/help_desk/phone").is_empty());
        }
        let at = world.now().to_string();
        let (who, name, from) = if std::ptr::eq(by, &ruth) {
            (&ruths, "ruth.okafor", "192.0.2.10")
        } else {
            (&sams, "sam.lind", "198.51.100.7")
        };
        let mut expected = json!({
            "occurred_at": at, "action": action, "outcome": outcome, "actor": "account", "actor_id": who,
            "actor_username": name, "organization_id": organization, "source": from, "is_verified": true,
        });
        if !object.is_empty() {
            expected["object"] = object.into();
        }
        if object == sams && action != "search_audit" {
            expected["object_username"] = "sam.lind".into();
        }
        if outcome == "refused" {
            expected["reason"] = "service_not_assigned".into();
        }
        let mut found = trail(&ruth, &format!("action={action}")).await;
        // The search itself is on the trail.
        found.retain(|e| {
            e["occurred_at"] == at.as_str()
                && (action != "search_audit" || e["object"] == sams.as_str())
        });
        assert_eq!(found.len(), 1, "{path}: {found:?}");
        found[0].as_object_mut().unwrap().remove("id");
        assert_eq!(found[0], expected, "{path}");
    }
    // Access to unprotected data is not recorded, nor is data that was not shown, except that it was refused.
    world.pass(minute());
    get(&sam, "/entitlements", 200).await;
    get(&sam, "/me", 200).await;
    get(&sam, "/users", 403).await;
    get(&ruth, "/users/00000000000000000000000000", 404).await;
    get(&sam, "/entitlements?service=nothing", 422).await;
    let since = world.now().to_string();
    let entries = trail(&ruth, "").await;
    assert_eq!(
        entries
            .iter()
            .filter(|e| e["occurred_at"] == since.as_str() && e["outcome"] == "done")
            .count(),
        1,
        "only this very search: {entries:?}"
    );
}

#[tokio::test]
async fn ex_02_sign_ins_and_failed_sign_ins_are_on_the_organizations_trail() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let sams = sam.id().await;
    world.pass(minute());
    let stranger = world.on("group").from_source("203.0.113.5");
    stranger
        .signs_in("sam.lind", "Wrong-River-58!")
        .await
        .expect(401);
    let found = trail(&ruth, "action=sign_in&outcome=refused").await;
    assert_eq!(found.len(), 1, "{found:?}");
    let entry = &found[0];
    assert_eq!(
        (
            &entry["actor"],
            &entry["object"],
            &entry["object_username"],
            &entry["source"],
            &entry["reason"]
        ),
        (
            &json!("unknown"),
            &json!(sams),
            &json!("sam.lind"),
            &json!("203.0.113.5"),
            &json!("failed")
        )
    );
    let signed_in = trail(
        &ruth,
        &format!("action=sign_in&outcome=done&user_ids={sams}"),
    )
    .await;
    assert_eq!(each(&signed_in, "actor_id"), [sams.as_str()]);
}

#[tokio::test]
async fn ex_02_a_read_that_cannot_be_recorded_returns_nothing() {
    for fault in [Fault::Unsent, Fault::ResponseLost] {
        let faults = FaultInjector::default();
        let world = World::with(vestibule_local::Options {
            interceptors: vec![faults.interceptor()],
            ..vestibule_tests::options()
        })
        .await;
        let ruth = world.group_principal().await;
        let sam = world.staff(&ruth, "Sam", "user").await;
        let reader = world.help_desk().await.reader;
        let id = sam.id().await;
        for path in [
            "/accounts/group/audit-events?from=2026-11-23",
            &format!("/accounts/group/{id}/invitations"),
            "/users",
            &format!("/users/{id}"),
            "/invitations",
            "/entitlements?service=enrollment",
            "/audit-events",
            "/audit-events.csv",
            "/audit-events.jsonl",
        ] {
            let by = match path.split('/').nth(1) {
                Some("accounts") => &reader,
                Some(of) if of.starts_with("entitlements") => &sam,
                _ => &ruth,
            };
            let mut recording_failed = false;
            for n in 0.. {
                faults.arm(n, fault);
                let response = by.get(path).await;
                let (_, suffered) = faults.disarm();
                let Some(operation) = suffered else { break };
                recording_failed |= operation == "PutItem";
                let response = response.refused(503, "unavailable");
                assert!(!response.text.contains("lind"), "{path}: {}", response.text);
            }
            assert!(recording_failed, "{path} is recorded");
        }
    }
}

#[tokio::test]
async fn bl_17_nobody_sees_what_was_done_for_another_organization() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let sams = sam.id().await;
    let otto = another_principal(&world).await;
    let ottos = otto.id().await;
    get(&otto, "/users", 200).await;
    for username in ["sam.lind", "nobody.at.all"] {
        let found = named(&otto, "/audit-events", username).await;
        assert_eq!(found, [""; 0], "{username}");
    }

    for query in [
        String::new(),
        format!("user_ids={sams}"),
        "action=list_users".to_owned(),
        "outcome=done".to_owned(),
    ] {
        let seen = trail(&otto, &query).await;
        for entry in &seen {
            let by_otto = entry["actor_id"] == ottos.as_str() || entry["object"] == ottos.as_str();
            assert!(by_otto, "{query}: {entry}");
        }
        let looked = seen.iter().any(|e| e["action"] != "search_audit");
        assert_eq!(looked, !query.starts_with("user"), "{query}: {seen:?}");
        // Records of searches don't reveal other users or whether they exist.
        let shown = json!(seen).to_string();
        assert!(!shown.contains("sam.lind"), "{query}: {shown}");
    }
    for path in ["/audit-events.csv", "/audit-events.jsonl"] {
        let all = get(&otto, path, 200).await.text.clone();
        assert!(all.contains(&ottos) && !all.contains("sam.lind"), "{all}");
        let none = get(
            &otto,
            &format!("{path}?user_ids={sams}&action=view_user"),
            200,
        )
        .await
        .text
        .clone();
        assert!(!none.contains(&sams), "{none}");
    }
    // Users who aren't allowed to see it at all.
    for path in ["/audit-events", "/audit-events.csv", "/audit-events.jsonl"] {
        assert_eq!(get(&sam, path, 403).await.problem(), "not-allowed");
        let nobody = world.on("group");
        assert_eq!(get(&nobody, path, 401).await.problem(), "not-signed-in");
    }
    let maria = world.member().await;
    assert_eq!(
        get(&maria, "/audit-events", 403).await.problem(),
        "next-step-required"
    );
}

#[tokio::test]
async fn ux_11_the_trail_is_searched_by_user_action_outcome_and_day() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let kim = world.staff(&ruth, "Kim", "administrator").await;
    let (sams, kims) = (sam.id().await, kim.id().await);
    // November 23 in Chicago lasts until 06:00 UTC on the 24th.
    world.wait_until("2026-11-24T05:59:00Z");
    let kim = world.sign_in("group", "kim.lind").await;
    get(&kim, &format!("/users/{sams}"), 200).await;
    world.wait_until("2026-11-24T06:00:00Z");
    get(&kim, &format!("/users/{sams}"), 200).await;
    let ruth = world.sign_in("group", "ruth.okafor").await;

    let looks = |query: &str| {
        let query = format!("action=view_user&{query}");
        let ruth = ruth.clone();
        async move {
            each(&trail(&ruth, &query).await, "occurred_at")
                .iter()
                .map(|s| (*s).to_owned())
                .collect::<Vec<_>>()
        }
    };
    let (evening, midnight) = ("2026-11-24T05:59:00Z", "2026-11-24T06:00:00Z");
    assert_eq!(looks("").await, [midnight, evening], "the latest first");
    assert_eq!(looks("to=2026-11-23").await, [evening]);
    assert_eq!(looks("from=2026-11-24").await, [midnight]);
    assert_eq!(
        looks("from=2026-11-23&to=2026-11-24").await,
        [midnight, evening]
    );
    assert_eq!(looks("from=2026-11-25").await, [""; 0]);
    assert_eq!(
        looks(&format!("user_ids={kims}")).await,
        [midnight, evening],
        "as the actor"
    );
    assert_eq!(
        looks(&format!("user_ids={sams}&from=2026-11-24")).await,
        [midnight],
        "as whom it was done to"
    );
    assert_eq!(looks("outcome=refused").await, [""; 0]);

    // All events about Sam in both orders, sorted by time, without duplicates.
    let mut about_sam = trail(&ruth, &format!("user_ids={sams}")).await;
    about_sam.retain(|e| e["action"] != "search_audit");
    let mut actions = each(&about_sam, "action");
    // These three happened at the same time.
    actions[2..].sort_unstable();
    assert_eq!(
        actions,
        [
            "view_user",
            "view_user",
            "accept_invitation",
            "approve_user",
            "sign_in"
        ]
    );
    for (query, field) in [
        ("user_ids=x", "user_ids"),
        ("user_ids=", "user_ids"),
        (&format!("user_ids={sams},"), "user_ids"),
        (
            &format!("user_ids={}", vec![sams.as_str(); 27].join(",")),
            "user_ids",
        ),
        ("username=sam.lind", "username"),
        ("action=fly", "action"),
        ("outcome=good", "outcome"),
        ("from=yesterday", "from"),
        ("from=9999-01-01", "from"),
        ("to=9999-12-31", "to"),
        ("from=2026-11-24&to=2026-11-23", "to"),
        ("cursor=AAAA", "cursor"),
        ("limit=51", "limit"),
        ("limit=0", "limit"),
        ("organization=x", "organization"),
    ] {
        let response = get(&ruth, &format!("/audit-events?{query}"), 422).await;
        assert_eq!(response.fields(), [field], "{query}: {}", response.text);
    }
}

#[tokio::test]
async fn ux_11_pages_of_the_trail_show_each_entry_once_in_order() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let sams = sam.id().await;
    for i in 0..30 {
        // Some at the same time, some a few milliseconds apart.
        world.pass(SignedDuration::from_millis(i % 3 * 250));
        get(&ruth, &format!("/users/{sams}"), 200).await;
        get(&sam, "/entitlements?service=enrollment", 200).await;
    }
    world.pass(minute());
    for (query, least) in [
        ("", 60),
        ("action=view_user", 30),
        (&format!("user_ids={sams}"), 60),
    ] {
        let (mut ids, mut times, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        let first = page(&ruth, &format!("{query}&limit=50")).await.0;
        loop {
            let next = cursor
                .as_ref()
                .map(|c| format!("&cursor={c}"))
                .unwrap_or_default();
            let (items, next) = page(&ruth, &format!("{query}&limit=7{next}")).await;
            assert!(items.len() <= 7);
            // Exclude the searches made while paging.
            let items: Vec<_> = items
                .into_iter()
                .filter(|e| e["action"] != "search_audit")
                .collect();
            ids.extend(each(&items, "id").iter().map(|s| (*s).to_owned()));
            times.extend(items.iter().map(|e| {
                e["occurred_at"]
                    .as_str()
                    .unwrap()
                    .parse::<jiff::Timestamp>()
                    .unwrap()
            }));
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert!(ids.len() >= least, "{query}: {}", ids.len());
        assert!(times.is_sorted_by(|a, b| a >= b), "{query}: {times:?}");
        let first: Vec<_> = each(&first, "id").into_iter().collect();
        let known: Vec<_> = ids
            .iter()
            .filter(|id| first.contains(&id.as_str()))
            .collect();
        assert!(known.len() >= 30, "pages of any size show the same");
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "{query}: nothing twice");
    }
}

#[tokio::test]
async fn ux_11_the_trail_is_downloaded_as_csv_and_json_lines() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    for i in 0..230 {
        world.pass(SignedDuration::from_millis(i % 2));
        get(&sam, "/entitlements?service=enrollment", 200).await;
    }
    // A source address that a spreadsheet would execute as a formula, with a quote and a comma.
    let evil = "=HYPERLINK(\"http://evil.example\",\"x\")";
    world
        .on("group")
        .from_source(evil)
        .signs_in("sam.lind", "Wrong-River-58!")
        .await
        .expect(401);
    world.pass(minute());

    let lines = get(&ruth, "/audit-events.jsonl?outcome=done", 200).await;
    assert_eq!(lines.headers["content-type"], "application/jsonl");
    let lines: Vec<Value> = lines
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(lines.len() > 230, "over several pages: {}", lines.len());
    assert!(
        lines
            .iter()
            .all(|e| e["is_verified"] == true && e["outcome"] == "done")
    );

    world.pass(minute());
    let response = get(&ruth, "/audit-events.csv", 200).await;
    assert!(
        response.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/csv")
    );
    assert!(
        response.headers["content-disposition"]
            .to_str()
            .unwrap()
            .contains("audit-events.csv")
    );
    let mut reader = csv::Reader::from_reader(response.text.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    for row in &rows {
        for cell in row.values() {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{cell}"
            );
        }
    }
    assert!(
        rows.iter().any(|r| r["source"] == format!("'{evil}")),
        "unchanged, but harmless in a spreadsheet"
    );
    // Both formats contain the same events.
    let of_row: BTreeMap<_, _> = rows.iter().map(|r| (r["id"].as_str(), r)).collect();
    for entry in &lines {
        let row = of_row[entry["id"].as_str().unwrap()];
        for (name, value) in entry.as_object().unwrap() {
            let shown = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            assert_eq!(row[name], shown, "{name}");
        }
    }
    // The downloads are on the trail too.
    let downloads = trail(&ruth, "action=download_audit").await;
    assert_eq!(downloads.len(), 2);

    // Downloaded in parts with the same filters, the result is the same. Events added in between
    // come before it.
    let (mut parts, mut path) = (Vec::new(), "?outcome=done&limit=100".to_owned());
    let whole = get(&ruth, "/audit-events.csv?outcome=done", 200)
        .await
        .text
        .clone();
    loop {
        world.pass(minute());
        let part = get(&ruth, &format!("/audit-events.csv{path}"), 200).await;
        let link = part.headers.get("link").map(|l| l.to_str().unwrap());
        let next = link.map(|l| l.strip_prefix('<').unwrap());
        let next = next.map(|l| l.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
        parts.push(part.text.clone());
        match next {
            Some(next) => path = next,
            None => break,
        }
        assert!(
            path.starts_with("?outcome=done&limit=100&cursor="),
            "{path}"
        );
    }
    assert_eq!(parts[0].lines().count(), 101);
    assert!(parts.len() >= 3, "{}", parts.len());
    assert!(parts[1..].iter().all(|p| !p.starts_with("id,")));
    let first = whole.lines().nth(1).unwrap();
    let together = parts.concat();
    let (_, from_first) = together.split_once(first).unwrap();
    assert!(whole.ends_with(from_first), "nothing lost or doubled");
    let wrong = get(&ruth, "/audit-events.csv?cursor=AAAA", 422).await;
    assert_eq!(wrong.fields(), ["cursor"]);
}

#[tokio::test]
async fn ux_06_a_user_sees_the_events_of_their_account_without_the_names_of_others() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world
        .staff(&ruth, "Sam", "user")
        .await
        .from_source("198.51.100.7");
    let sams = sam.id().await;
    world.pass(minute());
    let stranger = world.on("group").from_source("203.0.113.5");
    stranger.sign_in("sam.lind", "Wrong-River-58!").await;
    world.pass(minute());
    get(&ruth, &format!("/users/{sams}"), 200).await;
    world.pass(minute());
    get(&sam, "/entitlements?service=enrollment", 200).await;

    let activity = get(&sam, "/me/activity", 200).await;
    let items = activity.items();
    let reported: Vec<_> = items
        .iter()
        .map(|e| {
            let text = |name: &str| e[name].as_str().unwrap_or_default().to_owned();
            [
                text("action"),
                text("outcome"),
                text("actor"),
                text("source"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(reported[0], "open_service done you 198.51.100.7");
    assert_eq!(reported[1], "view_user done somebody_else ");
    assert_eq!(reported[2], "sign_in refused unknown 203.0.113.5");
    assert!(
        reported[3..]
            .iter()
            .any(|t| t.starts_with("sign_in done you")),
        "{reported:?}"
    );
    assert!(
        reported.contains(&"approve_user done somebody_else ".to_owned()),
        "{reported:?}"
    );
    // No other user's events, and no ids of other users.
    assert!(!activity.text.contains(&ruth.id().await));
    assert!(items.iter().all(|e| e["action"] != "register"));

    // It is paged, covers 90 days, and requires only a session, also while a PIN is pending.
    for _ in 0..30 {
        get(&sam, "/entitlements?service=enrollment", 200).await;
    }
    let first = get(&sam, "/me/activity", 200).await;
    assert_eq!(first.items().len(), 25);
    let next = first.text_at("/next_cursor").to_owned();
    get(&sam, &format!("/me/activity?cursor={next}"), 200)
        .await
        .says("sign_in");
    world.pass_days(91);
    let sam = world.sign_in("group", "sam.lind").await;
    sam.changes_password(PASSWORD, "Amber-Kettle-73!")
        .await
        .expect(200);
    let late = get(&sam, "/me/activity", 200).await;
    assert_eq!(late.items().len(), 2, "{}", late.text);
    let maria = world.member().await;
    assert_eq!(
        get(&maria, "/me/activity", 200)
            .await
            .text_at("/items/0/actor"),
        "you"
    );
}

fn group() -> PortalId {
    PortalId::parse("group").unwrap()
}

/// Verifies the group portal's trail for the first two days of a test.
async fn verified(world: &World) -> Verification {
    let days: [Date; 2] = ["2026-11-23", "2026-11-24"].map(|d| d.parse().unwrap());
    let store = &world.instance.app.store;
    store
        .verify_audit(&group(), (days[0], days[1]), None, world.now())
        .await
        .unwrap()
}

/// The group portal's items in the audit table: events, seals, and lists of seals.
async fn lying(world: &World, kind: &str) -> Vec<Item> {
    let mut items = world.items(&world.instance.tables.audit).await;
    items.retain(|i| {
        let pk = i["pk"].as_s().unwrap();
        let second = pk.split('#').nth(1).unwrap();
        let is = if matches!(second, "seals" | "sealed") {
            second
        } else {
            "entries"
        };
        pk.starts_with("group#") && is == kind
    });
    items.sort_by_key(|i| i["sk"].as_s().unwrap().clone());
    items
}

async fn put(world: &World, item: Item) {
    let db = &world.instance.db;
    let put = db.put_item().table_name(&world.instance.tables.audit);
    put.set_item(Some(item)).send().await.unwrap();
}

async fn delete(world: &World, item: &Item) {
    let db = &world.instance.db;
    let delete = db.delete_item().table_name(&world.instance.tables.audit);
    let delete = delete
        .key("pk", item["pk"].clone())
        .key("sk", item["sk"].clone());
    delete.send().await.unwrap();
}

fn sk(item: &Item) -> String {
    item["sk"].as_s().unwrap().clone()
}

fn text(text: &str) -> aws_sdk_dynamodb::types::AttributeValue {
    aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned())
}

/// Three hours of events, sealed.
async fn three_sealed_hours() -> World {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    for _ in 0..3 {
        let ruth = world.sign_in("group", "ruth.okafor").await;
        get(&ruth, "/users", 200).await;
        world.pass(SignedDuration::from_hours(1));
        world.instance.seal_audit_trail().await.unwrap();
    }
    world.pass(SignedDuration::from_mins(15));
    world.instance.seal_audit_trail().await.unwrap();
    world
}

#[tokio::test]
async fn ux_11_an_untouched_trail_is_proved_whole_by_its_seals() {
    let world = three_sealed_hours().await;
    let entries = lying(&world, "entries").await.len() as u64;
    let verification = verified(&world).await;
    assert_eq!(verification.faults, []);
    let day = &verification.days[0];
    assert_eq!(
        (day.entries, day.sealed, day.unsealed),
        (entries, entries, 0),
        "{day:?}"
    );
    let last = verification.last.unwrap();
    assert_eq!(
        (last.number, last.until.to_string().as_str()),
        (3, "2026-11-23T18:00:00Z")
    );
    // A new event is written with its MAC and sealed at the end of the hour.
    world.sign_in("group", "ruth.okafor").await;
    let verification = verified(&world).await;
    assert_eq!(
        (verification.faults.len(), verification.days[0].unsealed),
        (0, 1)
    );
    // Every event has its retention time: six years.
    for item in lying(&world, "entries").await {
        let until: i64 = item["expires_at"].as_n().unwrap().parse().unwrap();
        let at: jiff::Timestamp = item["occurred_at"].as_s().unwrap().parse().unwrap();
        assert_eq!((until - at.as_second()) / 86_400, 6 * 365 + 2);
    }
}

#[tokio::test]
async fn ux_11_an_altered_entry_shows_before_and_after_sealing() {
    let world = three_sealed_hours().await;
    world.sign_in("group", "ruth.okafor").await;
    let entries = lying(&world, "entries").await;
    // The first is sealed, the last is not yet.
    for original in [&entries[0], entries.last().unwrap()] {
        for (attribute, value) in [
            ("action", "sign_out"),
            ("source", "192.0.2.99"),
            ("object", "somebody"),
            ("reason", "because"),
            ("occurred_at", "2026-11-23T15:00:00.001Z"),
            ("of_organization", "group#hidden"),
            ("remark", "added"),
            ("mac", "1.AAAA"),
        ] {
            let mut altered = original.clone();
            altered.insert(attribute.to_owned(), text(value));
            put(&world, altered).await;
            assert_eq!(
                verified(&world).await.faults,
                [Wrong::Altered(sk(original))],
                "{attribute}"
            );
        }
        let mut shorter = original.clone();
        shorter.insert(
            "expires_at".into(),
            aws_sdk_dynamodb::types::AttributeValue::N("1".into()),
        );
        put(&world, shorter).await;
        assert_eq!(
            verified(&world).await.faults,
            [Wrong::Altered(sk(original))]
        );
        put(&world, original.clone()).await;
        assert_eq!(verified(&world).await.faults, []);
    }
    // Readers of the trail see it too.
    let last = entries.last().unwrap();
    let mut altered = last.clone();
    altered.insert("source".into(), text("192.0.2.99"));
    put(&world, altered).await;
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let seen = trail(&ruth, "").await;
    let unverified: Vec<_> = seen.iter().filter(|e| e["is_verified"] != true).collect();
    assert_eq!(unverified.len(), 1, "{unverified:?}");
    assert_eq!(unverified[0]["source"], "192.0.2.99");
}

#[tokio::test]
async fn ux_11_an_entry_removed_added_or_moved_shows_by_name() {
    let world = three_sealed_hours().await;
    let entries = lying(&world, "entries").await;
    let (first, second) = (&entries[0], &entries[1]);

    delete(&world, first).await;
    assert_eq!(verified(&world).await.faults, [Wrong::Missing(sk(first))]);
    put(&world, first.clone()).await;
    assert_eq!(verified(&world).await.faults, []);

    // A genuine event from another time is moved into a sealed hour.
    let mut moved = second.clone();
    let (at, id) = ("2026-11-23T15:30:00.000Z", second["id"].as_s().unwrap());
    moved.insert("sk".into(), text(&format!("{at}#{id}")));
    put(&world, moved.clone()).await;
    assert_eq!(verified(&world).await.faults, [Wrong::Added(sk(&moved))]);
    delete(&world, second).await;
    assert_eq!(
        verified(&world).await.faults,
        [Wrong::Missing(sk(second)), Wrong::Added(sk(&moved))]
    );
    delete(&world, &moved).await;
    put(&world, second.clone()).await;

    // Two events swap places.
    for (one, other) in [(first, second), (second, first)] {
        let mut item = one.clone();
        item.insert("pk".into(), other["pk"].clone());
        item.insert("sk".into(), other["sk"].clone());
        put(&world, item).await;
    }
    let mut faults = verified(&world).await.faults;
    faults.sort();
    let mut expected = [Wrong::Altered(sk(first)), Wrong::Altered(sk(second))];
    expected.sort();
    assert_eq!(faults, expected);
    put(&world, first.clone()).await;
    put(&world, second.clone()).await;

    // A genuine event that was written too late for its hour.
    world.pass(-SignedDuration::from_hours(3));
    world.sign_in("group", "ruth.okafor").await;
    world.pass(SignedDuration::from_hours(3));
    let faults = verified(&world).await.faults;
    assert!(matches!(faults.as_slice(), [Wrong::Added(_)]), "{faults:?}");
}

#[tokio::test]
async fn ux_11_seals_that_are_altered_removed_or_exchanged_show() {
    let world = three_sealed_hours().await;
    let seals = lying(&world, "seals").await;
    assert_eq!(seals.len(), 3);
    let mut altered = seals[1].clone();
    altered.insert(
        "entries".into(),
        aws_sdk_dynamodb::types::AttributeValue::N("0".into()),
    );
    put(&world, altered).await;
    let faults = verified(&world).await.faults;
    assert!(faults.contains(&Wrong::SealAltered(2)), "{faults:?}");
    put(&world, seals[1].clone()).await;

    delete(&world, &seals[1]).await;
    let faults = verified(&world).await.faults;
    assert!(faults.contains(&Wrong::SealMissing(2)), "{faults:?}");
    put(&world, seals[1].clone()).await;

    delete(&world, &seals[0]).await;
    let faults = verified(&world).await.faults;
    assert!(faults.contains(&Wrong::SealMissing(1)), "{faults:?}");
    put(&world, seals[0].clone()).await;

    let list = lying(&world, "sealed").await.remove(0);
    let mut emptied = list.clone();
    emptied.insert("list".into(), text(""));
    put(&world, emptied).await;
    let faults = verified(&world).await.faults;
    assert!(
        matches!(faults.as_slice(), [Wrong::ListAltered(_)]),
        "{faults:?}"
    );
    put(&world, list).await;
    assert_eq!(verified(&world).await.faults, []);

    // The end of the chain was cut off. This is detected only with a digest that was stored
    // elsewhere.
    let store = &world.instance.app.store;
    let days: (Date, Date) = ("2026-11-23".parse().unwrap(), "2026-11-23".parse().unwrap());
    let last = verified(&world).await.last.unwrap();
    let digest = last.digest();
    let kept = Some((last.number, digest.as_str()));
    let whole = store
        .verify_audit(&group(), days, kept, world.now())
        .await
        .unwrap();
    assert_eq!(whole.faults, []);
    delete(&world, &seals[2]).await;
    assert_eq!(verified(&world).await.faults, []);
    let cut = store
        .verify_audit(&group(), days, kept, world.now())
        .await
        .unwrap();
    assert_eq!(cut.faults, [Wrong::NotAsKept(3)]);
}

#[tokio::test]
async fn ux_11_sealing_late_twice_and_at_once_makes_one_chain() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    assert_eq!(
        world.instance.seal_audit_trail().await.unwrap(),
        0,
        "the hour isn't over"
    );
    world.pass(SignedDuration::from_mins(74));
    assert_eq!(
        world.instance.seal_audit_trail().await.unwrap(),
        0,
        "it may still be written to"
    );
    // Two days late.
    world.pass_days(2);
    let runs = (0..8).map(|_| world.instance.seal_audit_trail());
    for run in futures::future::join_all(runs).await {
        run.unwrap();
    }
    assert_eq!(
        world.instance.seal_audit_trail().await.unwrap(),
        0,
        "nothing is left"
    );
    let seals = lying(&world, "seals").await;
    let periods: Vec<_> = seals
        .iter()
        .map(|s| {
            (
                s["from"].as_s().unwrap().as_str(),
                s["until"].as_s().unwrap().as_str(),
            )
        })
        .collect();
    assert_eq!(
        periods,
        [
            ("2026-11-23T15:00:00Z", "2026-11-24T00:00:00Z"),
            ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
            ("2026-11-25T00:00:00Z", "2026-11-25T15:00:00Z"),
        ]
    );
    assert_eq!(verified(&world).await.faults, []);
    // Portals without any events have no seals yet.
    assert!(
        world
            .items(&world.instance.tables.audit)
            .await
            .iter()
            .all(|i| i["pk"].as_s().unwrap().starts_with("group#"))
    );
    drop(ruth);
}

/// Returns the seal of the group portal that the bucket keeps for a day.
async fn kept(world: &World, day: &str) -> Option<Value> {
    let key = format!("seals/group/{day}.json");
    let get = world.instance.s3.get_object().bucket(SEALS).key(key);
    let body = get.send().await.ok()?.body.collect().await.unwrap();
    Some(serde_json::from_slice(&body.into_bytes()).unwrap())
}

#[tokio::test]
async fn ux_11_a_seal_of_each_day_is_kept_where_the_trail_is_not() {
    let world = three_sealed_hours().await;
    let first = kept(&world, "2026-11-23").await.expect("a seal is kept");
    assert_eq!(first["sealed_until"], "2026-11-23T16:00:00Z");
    // The first of the day stays, and the next day has another.
    world.pass(SignedDuration::from_hours(24));
    world.instance.seal_audit_trail().await.unwrap();
    assert_eq!(kept(&world, "2026-11-23").await.unwrap(), first);
    let second = kept(&world, "2026-11-24").await.expect("a seal is kept");
    assert!(second["kept"].as_str() > first["kept"].as_str());

    // With it, a verification notices that the end of the chain was cut off and replaced.
    let verify = async |kept: &Value| {
        let wanted = vestibule_local::audit::Wanted {
            portal: Some("group".into()),
            kept: Some(vestibule_local::audit::kept_seal(kept["kept"].as_str().unwrap()).unwrap()),
            ..Default::default()
        };
        let mut out = Vec::new();
        vestibule_local::audit::verify(&world.instance.app, &wanted, &mut out).await
    };
    verify(&second).await.unwrap();
    let seals = lying(&world, "seals").await;
    delete(&world, seals.last().unwrap()).await;
    verify(&first).await.unwrap();
    assert!(verify(&second).await.is_err());
}

#[tokio::test]
async fn ux_11_a_trail_is_sealed_even_if_its_seal_cannot_be_kept() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    world.pass(SignedDuration::from_hours(2));
    let sealer = vestibule_audit_trail::Sealer {
        app: world.instance.app.clone(),
        s3: world.instance.s3.clone(),
        // Not the name of a bucket.
        bucket: "Not A Bucket".into(),
    };
    let failed = sealer.run().await.unwrap_err();
    assert!(failed.to_string().contains("was not kept"), "{failed}");
    assert_eq!(lying(&world, "seals").await.len(), 1);
    // The next run keeps it.
    world.instance.seal_audit_trail().await.unwrap();
    assert!(kept(&world, "2026-11-23").await.is_some());
}

#[tokio::test]
async fn ux_11_a_seal_that_fails_at_any_call_is_completed_by_the_next_run() {
    for fault in [Fault::Unsent, Fault::ResponseLost, Fault::Repeated] {
        let faults = FaultInjector::default();
        let world = World::with(vestibule_local::Options {
            interceptors: vec![faults.interceptor()],
            ..vestibule_tests::options()
        })
        .await;
        world.group_principal().await;
        world.pass(SignedDuration::from_hours(30));
        let store = &world.instance.app.store;
        // Each run fails one call later than the previous one, until no call is left to fail.
        for n in 0.. {
            faults.arm(n, fault);
            let run = store.seal_audit(&group(), world.now()).await;
            let (_, suffered) = faults.disarm();
            let failed = suffered.is_some() && fault != Fault::Repeated;
            assert_eq!(run.is_err(), failed, "{fault:?} {n} {suffered:?}");
            assert_eq!(
                verified(&world).await.faults,
                [],
                "{fault:?} {n} {suffered:?}"
            );
            if suffered.is_none() {
                break;
            }
        }
        let verification = verified(&world).await;
        assert_eq!(verification.last.unwrap().number, 2);
        assert_eq!(
            (verification.days[0].sealed, verification.days[0].unsealed),
            (verification.days[0].entries, 0)
        );
    }
}

#[tokio::test]
async fn ux_11_entries_older_than_six_years_can_be_absent() {
    let world = three_sealed_hours().await;
    let entries = lying(&world, "entries").await;
    delete(&world, &entries[0]).await;
    assert_eq!(verified(&world).await.faults.len(), 1);
    world.pass_days(6 * 365 + 3);
    let verification = verified(&world).await;
    assert_eq!(verification.faults, []);
    assert!(verification.days[0].expired);
    // Seals expire together with what they seal.
    for seal in lying(&world, "seals").await {
        delete(&world, &seal).await;
    }
    assert_eq!(verified(&world).await.faults, []);
}

/// Signs in from an address, with a new browser or a known one.
async fn arrive(world: &World, source: &str, device: Option<&str>) -> Response {
    let mut body =
        json!({ "username": "omar.haddad", "password": PASSWORD, "token_delivery": "body" });
    if let Some(device) = device {
        body["device"] = device.into();
    }
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
    let request = world
        .on("practice")
        .from_source(source)
        .request(reqwest::Method::POST, "/sessions")
        .header("user-agent", agent)
        .json(&body);
    Response::to(request).await.expect(201)
}

/// The emails to Omar Haddad whose subject starts with this text.
async fn mails(world: &World, subject: &str) -> Vec<String> {
    let all = world.mails_to("omar@riverbend.example").await;
    all.into_iter()
        .filter(|m| m.subject.starts_with(subject))
        .map(|m| m.text)
        .collect()
}

#[tokio::test]
async fn ux_06_a_sign_in_from_a_new_device_is_reported_by_email_and_one_from_a_known_device_is_not()
{
    let world = World::new().await;
    world.register("practice", dental()).await;
    let first = arrive(&world, "192.0.2.1", None).await;
    let device = first.text_at("/device").to_owned();
    assert_eq!(device.len(), 43);
    assert_eq!(
        mails(&world, "New sign-in").await.len(),
        0,
        "the first of all is no news"
    );
    let again = arrive(&world, "198.51.100.7", Some(&device)).await;
    assert_eq!(again.text_at("/device"), device);
    assert_eq!(
        mails(&world, "New sign-in").await.len(),
        0,
        "known, wherever it is"
    );
    arrive(&world, "203.0.113.5", None).await;
    let reported = mails(&world, "New sign-in").await;
    assert_eq!(reported.len(), 1);
    let reported = reported[0].split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Monday, November 23, 2026, 9:00 AM CST",
        "203.0.113.5",
        "Firefox on Linux",
        "(312) 555-0150",
    ] {
        assert!(reported.contains(part), "{part}: {reported}");
    }
    // A browser keeps a cookie for it, which outlives the session.
    let browser = world
        .on("practice")
        .post(
            "/sessions",
            json!({ "username": "omar.haddad", "password": PASSWORD }),
        )
        .await;
    let cookies: Vec<_> = browser
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|c| c.to_str().unwrap().to_owned())
        .collect();
    let cookie = cookies
        .iter()
        .find(|c| c.starts_with("__Host-vestibule-device="))
        .unwrap();
    for rule in [
        "HttpOnly",
        "Secure",
        "SameSite=Strict",
        "Path=/",
        "Max-Age=34560000",
    ] {
        assert!(cookie.contains(rule), "{cookie}");
    }
    assert!(
        cookies
            .iter()
            .any(|c| c.starts_with("__Host-session=") && !c.contains("Max-Age"))
    );
    assert_eq!(mails(&world, "New sign-in").await.len(), 2);
    let request = world
        .on("practice")
        .request(reqwest::Method::POST, "/sessions")
        .header("cookie", cookie.split(';').next().unwrap())
        .json(&json!({ "username": "omar.haddad", "password": PASSWORD }));
    assert_eq!(Response::to(request).await.status, 201);
    assert_eq!(mails(&world, "New sign-in").await.len(), 2);
    // Ten devices are remembered. After ten more, the first is forgotten.
    for _ in 0..10 {
        world.pass(minute());
        arrive(&world, "192.0.2.1", None).await;
    }
    let before = mails(&world, "New sign-in").await.len();
    arrive(&world, "192.0.2.1", Some(&device)).await;
    assert_eq!(mails(&world, "New sign-in").await.len(), before + 1);
    let dump = world.dump().await.join("\n");
    assert!(!dump.contains(&device), "only its digest is kept");
    let wrong = json!({ "username": "omar.haddad", "password": PASSWORD, "device": "x" });
    let wrong = world.on("practice").post("/sessions", wrong).await;
    assert_eq!(wrong.fields(), ["device"]);
}

#[tokio::test]
async fn ex_01_an_account_used_from_two_places_at_once_is_detected_recorded_shown_and_reported_once_a_day()
 {
    let world = World::new().await;
    world.register("practice", dental()).await;
    let on = world.on("practice");
    let first = arrive(&world, "192.0.2.1", None).await;
    let (first, device) = (
        on.with_token(first.text_at("/token")),
        first.text_at("/device").to_owned(),
    );
    let me = first.id().await;
    let subject = "Your account on";
    let noticed = async || trail(&first, "action=notice_concurrent_use").await;

    // From the same network, or with the other session unused: nothing is detected.
    world.pass(minute());
    arrive(&world, "192.0.2.200", Some(&device)).await;
    assert_eq!(noticed().await.len(), 0, "the same network");
    let second = arrive(&world, "198.51.100.7", Some(&device)).await;
    let second = on.with_token(second.text_at("/token"));
    get(&second, "/me", 200).await;
    assert_eq!(
        mails(&world, subject).await.len(),
        0,
        "the older session isn't used"
    );

    // The older session is used while the newer one is open elsewhere, with many requests at once.
    world.pass(minute());
    let at_once = (0..8).map(|_| first.get("/me"));
    for response in futures::future::join_all(at_once).await {
        assert_eq!(response.status, 200);
    }
    let at = world.now().to_string();
    let entries = noticed().await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(
        (&entries[0]["object"], &entries[0]["occurred_at"]),
        (&json!(me), &json!(at))
    );
    let reported = mails(&world, subject).await;
    assert_eq!(reported.len(), 1);
    assert!(
        reported[0].contains("192.0.2.1") && reported[0].contains("198.51.100.7"),
        "{}",
        reported[0]
    );
    let user = get(&first, &format!("/users/{me}"), 200).await;
    assert_eq!(user.text_at("/concurrent_use_detected_at"), at);
    let users = get(&first, "/users", 200).await;
    assert_eq!(users.text_at("/items/0/concurrent_use_detected_at"), at);
    vestibule_tests::invariants::invariants(&world).await;

    // Not again on the same day, but on the next.
    world.pass(minute());
    arrive(&world, "203.0.113.5", Some(&device)).await;
    get(&first, "/me", 200).await;
    assert_eq!(mails(&world, subject).await.len(), 1);
    world.pass_days(1);
    let here = arrive(&world, "192.0.2.1", Some(&device)).await;
    let here = on.with_token(here.text_at("/token"));
    arrive(&world, "203.0.113.5", Some(&device)).await;
    get(&here, "/me", 200).await;
    assert_eq!(mails(&world, subject).await.len(), 2);
    // A change made by the detecting request isn't lost, nor is the detection.
    world.pass_days(1);
    let here = arrive(&world, "192.0.2.1", Some(&device)).await;
    let here = on.with_token(here.text_at("/token"));
    arrive(&world, "203.0.113.5", Some(&device)).await;
    let body = json!({ "first_name": "Omari", "last_name": "Haddad" });
    here.patch("/me", &body).await.expect(200);
    assert_eq!(mails(&world, subject).await.len(), 3);
    // On a portal whose policy doesn't enable it, nothing is detected.
    let ruth = world.group_principal().await.from_source("192.0.2.1");
    world
        .on("group")
        .from_source("198.51.100.7")
        .sign_in("ruth.okafor", PASSWORD)
        .await;
    get(&ruth, "/me", 200).await;
    assert_eq!(trail(&ruth, "action=notice_concurrent_use").await.len(), 0);
}

/// The trail of a portal that the help desk serves. The request must succeed.
async fn served(staff: &Person, portal: &str, query: &str) -> Vec<Value> {
    trail_at(staff, &format!("/accounts/{portal}/audit-events?{query}"))
        .await
        .0
}

/// Returns a page of a trail and the cursor of the next.
async fn trail_at(by: &Person, path: &str) -> (Vec<Value>, Option<String>) {
    let response = get(by, path, 200).await;
    let items = response.items().clone();
    let next = response.body["next_cursor"].as_str().map(str::to_owned);
    (items, next)
}

#[tokio::test]
async fn ux_11_the_help_desk_searches_the_trail_of_every_portal_it_serves() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let otto = another_principal(&world).await;
    let maria = world.member().await;
    let (sams, ottos, marias) = (sam.id().await, otto.id().await, maria.id().await);
    let (agent, reader) = (desk.agent.id().await, desk.reader.id().await);
    let organization = get(&ruth, "/me", 200).await;
    let organization = organization.text_at("/organization/id").to_owned();
    let because = json!({ "reason": "The owner called, case 4711" });
    let path = format!("/accounts/member/{marias}/pin");
    desk.agent.post(&path, because).await.expect(200);
    world.pass(minute());
    let looking = desk.reader.from_source("198.51.100.44");

    // By user, with the names that the organization's own administrator sees.
    let of_sam = served(&looking, "group", &format!("user_ids={sams}")).await;
    let mut actions = each(&of_sam, "action");
    actions.retain(|a| *a != "search_audit");
    actions.sort_unstable();
    assert_eq!(actions, ["accept_invitation", "approve_user", "sign_in"]);
    let approved = of_sam.iter().find(|e| e["action"] == "approve_user");
    let names = ["actor_username", "object_username"].map(|n| &approved.unwrap()[n]);
    assert_eq!(names, ["ruth.okafor", "sam.lind"]);
    // By organization, and by both.
    let of_ruths = format!("organization_id={organization}");
    let all = served(&looking, "group", &of_ruths).await;
    assert!(
        all.len() > 5
            && all
                .iter()
                .all(|e| e["organization_id"] == organization.as_str())
    );
    let both = served(&looking, "group", &format!("{of_ruths}&user_ids={ottos}")).await;
    assert_eq!(each(&both, "action"), ["search_audit"], "only this search");
    // By action and day, for all users of this portal and no other.
    let day = "from=2026-11-23&to=2026-11-23";
    let signed_in = served(&looking, "group", &format!("{day}&action=sign_in")).await;
    let mut who = each(&signed_in, "actor_username");
    who.sort_unstable();
    assert_eq!(who, ["otto.maple", "ruth.okafor", "sam.lind"]);
    let next_day = served(&looking, "group", "from=2026-11-24&action=sign_in").await;
    assert_eq!(next_day.len(), 0);
    // Members have no organization. Help desk actions show the agent and the reason.
    let acts = served(&looking, "member", &format!("{day}&action=reissue_pin")).await;
    let said = ["actor", "actor_id", "object", "justification"].map(|n| acts[0][n].clone());
    let why = "The owner called, case 4711";
    assert_eq!(said, ["help_desk", &agent, &marias, why].map(|t| json!(t)));
    let refused = served(&desk.agent, "member", &format!("{day}&outcome=refused")).await;
    assert_eq!(refused.len(), 0, "{refused:?}");

    // Each search is on that portal's trail, with the organization and user it was about.
    let seen = trail(&ruth, "action=search_audit&outcome=done").await;
    let by_desk: Vec<_> = seen.iter().filter(|e| e["actor"] == "help_desk").collect();
    assert_eq!(by_desk.len(), 2, "{seen:?}");
    for entry in by_desk {
        let said = ["actor_id", "source"].map(|n| entry[n].as_str().unwrap());
        assert_eq!(said, [reader.as_str(), "198.51.100.44"]);
    }
    get(&sam, "/me/activity", 200)
        .await
        .has("/items/0/action", "search_audit")
        .has("/items/0/actor", "help_desk");
    let searches = served(&looking, "group", &format!("{day}&action=search_audit")).await;
    assert_eq!(searches.len(), 7, "{searches:?}");

    // No other role, and no other portal.
    let path = "/accounts/group/audit-events?from=2026-11-23";
    for (by, status, problem) in [
        (&desk.supervisor, 403, "not-allowed"),
        (&ruth, 403, "not-allowed"),
        (&sam, 403, "not-allowed"),
        (&world.on("help-desk"), 401, "not-signed-in"),
        (&world.on("group"), 401, "not-signed-in"),
    ] {
        assert_eq!(get(by, path, status).await.problem(), problem);
    }
    for portal in ["help-desk", "nowhere"] {
        let path = format!("/accounts/{portal}/audit-events?from=2026-11-23");
        assert_eq!(get(&looking, &path, 404).await.problem(), "not-found");
    }
    for (query, field) in [
        ("", "from"),
        ("to=2026-11-23", "from"),
        ("action=sign_in", "from"),
        ("user_ids=x", "user_ids"),
        ("organization_id=x", "organization_id"),
        ("username=sam.lind", "username"),
        ("from=2026-11-24&to=2026-11-23", "to"),
        ("from=2026-11-23&cursor=AAAA", "cursor"),
        ("from=2026-11-23&limit=51", "limit"),
    ] {
        let path = format!("/accounts/group/audit-events?{query}");
        let response = get(&looking, &path, 422).await;
        assert_eq!(response.fields(), [field], "{query}: {}", response.text);
    }
}

#[tokio::test]
async fn ux_11_pages_of_many_days_of_a_portal_show_each_entry_once_in_order() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    world.register("group", group_principal()).await;
    for days in [0, 1, 1, 12, 3] {
        world.pass_days(days);
        let ruth = world.sign_in("group", "ruth.okafor").await;
        for _ in 0..5 {
            world.pass(SignedDuration::from_millis(250));
            get(&ruth, "/users", 200).await;
        }
    }
    let staff = world.sign_in("help-desk", "rob.lind").await;
    drop(desk);
    let ids = async |limit: usize| {
        let (mut ids, mut pages, mut query) = (Vec::new(), Vec::new(), String::new());
        loop {
            let path = format!("/accounts/group/audit-events?from=2026-11-22&limit={limit}{query}");
            let (items, next) = trail_at(&staff, &path).await;
            assert!(items.len() <= limit);
            pages.push(items.len());
            let others = items.iter().filter(|e| e["action"] != "search_audit");
            ids.extend(others.map(|e| (e["occurred_at"].to_string(), e["id"].to_string())));
            match next {
                Some(next) => query = format!("&cursor={next}"),
                None => return (ids, pages),
            }
        }
    };
    let (whole, pages) = ids(50).await;
    assert!(pages.len() > 1, "a page looks through a week: {pages:?}");
    let mut times: Vec<jiff::Timestamp> = Vec::new();
    for (at, _) in &whole {
        times.push(at.trim_matches('"').parse().unwrap());
    }
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let (few, _) = ids(3).await;
    assert_eq!(few, whole, "pages of any size show the same");
    // Everything on the portal except the searches.
    let lies = world.items(&world.instance.tables.audit).await;
    let text = |i: &Item, name: &str| i[name].as_s().unwrap().to_owned();
    let mut lies: Vec<_> = lies
        .iter()
        .filter(|i| i["pk"].as_s().unwrap().starts_with("group#2"))
        .filter(|i| {
            i.get("action")
                .is_some_and(|a| a.as_s().unwrap() != "search_audit")
        })
        .map(|i| format!("{:?}", text(i, "id")))
        .collect();
    let mut shown: Vec<_> = whole.into_iter().map(|(_, id)| id).collect();
    lies.sort();
    shown.sort();
    assert!(shown.len() > 5 * 6);
    assert_eq!(shown, lies);
}

/// Returns the ids of the users who have or had a username, for a search below `path`.
async fn named(by: &Person, path: &str, username: &str) -> Vec<String> {
    let path = format!("{path}/users/search");
    let found = by.post(&path, json!({ "username": username })).await;
    let found = found.expect(200);
    each(found.items(), "id")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// Returns the ids of the objects of an action on the users with a username that a search finds.
async fn objects(by: &Person, path: &str, (username, action): (&str, &str)) -> Vec<String> {
    let ids = named(by, path, username).await.join(",");
    let found = get(by, &format!("{path}?user_ids={ids}&action={action}"), 200).await;
    let objects = found.items().iter().filter_map(|e| e["object"].as_str());
    objects.map(str::to_owned).collect()
}

#[tokio::test]
async fn ux_11_a_removed_user_is_found_by_the_username_they_had() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    world.staff(&ruth, "Sam", "user").await;
    let id = ruth.finds("sam.lind").await;
    let path = "/audit-events";
    let approved = ("Sam.Lind", "approve_user");
    assert_eq!(objects(&ruth, path, approved).await, [id.as_str()]);
    ruth.delete(&format!("/users/{id}")).await.expect(204);
    assert_eq!(objects(&ruth, path, approved).await, [id.as_str()]);
    let removed = ("sam.lind", "remove_user");
    assert_eq!(objects(&ruth, path, removed).await, [id.as_str()]);
    let file = format!("/audit-events.csv?user_ids={id}&action=remove_user");
    let file = get(&ruth, &file, 200).await;
    assert_eq!(file.text.lines().count(), 2, "{}", file.text);

    // Another user with the same username is found beside them.
    let email = "samuel@blueheron.example";
    let token = world.invite(&ruth, "Samuel", email, "user").await;
    let body = World::acceptance(&token, "Samuel", email, "sam.lind");
    world.on("group").accepts(body).await.expect(201);
    let second = ruth.finds("sam.lind").await;
    ruth.approves(&second).await.expect(200);
    let mut found = objects(&ruth, path, approved).await;
    let mut both = vec![id, second];
    found.sort_unstable();
    both.sort_unstable();
    assert_eq!(found, both);

    // Nobody else's organization is searched, and unknown usernames are found nowhere.
    for name in ["nobody.lind", "dana.whitfield"] {
        let none = named(&ruth, path, name).await;
        assert_eq!(none, Vec::<String>::new(), "{name}");
    }
    invariants(&world).await;
}

#[tokio::test]
async fn ux_11_the_help_desk_searches_by_username_and_downloads_what_it_finds() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    world.staff(&ruth, "Sam", "user").await;
    let id = ruth.finds("sam.lind").await;
    let desk = world.help_desk().await;
    let path = "/accounts/group/audit-events";
    let approved = ("SAM.lind", "approve_user");
    assert_eq!(objects(&desk.reader, path, approved).await, [id.as_str()]);
    ruth.delete(&format!("/users/{id}")).await.expect(204);
    assert_eq!(objects(&desk.reader, path, approved).await, [id.as_str()]);
    for (kind, lines) in [("csv", 2), ("jsonl", 1)] {
        let path = format!("{path}.{kind}?user_ids={id}&action=approve_user");
        let file = get(&desk.reader, &path, 200).await;
        assert_eq!(file.text.lines().count(), lines, "{}", file.text);
        assert!(file.text.contains(&id), "{}", file.text);
    }
    // The period, the portal and the permission are checked as for a search.
    let path = "/accounts/group/audit-events.csv";
    desk.reader.get(path).await.invalid("from");
    let elsewhere = "/accounts/nowhere/audit-events.csv?from=2026-11-23";
    desk.reader.get(elsewhere).await.expect(404);
    // What is searched for is recorded on the portal's trail, whether somebody is found or not.
    let path = "/accounts/group/audit-events";
    let count = async || invariants(&world).await.done("view_account");
    let before = count().await;
    assert_eq!(named(&desk.reader, path, "nobody.lind").await, [""; 0]);
    assert_eq!(count().await, before + 1);
    let search = format!("{path}/users/search");
    let empty = json!({ "username": " " });
    desk.reader.post(&search, empty).await.invalid("username");
    let elsewhere = "/accounts/nowhere/audit-events/users/search";
    let sams = json!({ "username": "sam.lind" });
    desk.reader.post(elsewhere, sams.clone()).await.expect(404);
    ruth.post(&search, sams).await.expect(403);
    let path = "/accounts/group/audit-events.csv";
    ruth.get(&format!("{path}?from=2026-11-23"))
        .await
        .expect(403);
    assert_eq!(invariants(&world).await.done("download_audit"), 2);
}
