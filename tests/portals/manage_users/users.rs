//! Administrators' actions on the users of their organization.

use reqwest::Method;
use serde_json::{Value, json};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, with};
use vestibule_tests::{World, code_in, link_token};

fn access(role: &str, services: &[&str]) -> Value {
    json!({ "role": role, "services": services, "group_codes": [] })
}

#[tokio::test]
async fn ag_09_an_administrator_finds_a_user_by_username_and_deletes_them_at_once() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    world.staff(&ruth, "Tess", "user").await;
    sam.get("/entitlements").await.expect(200);

    let id = ruth.finds("SAM.li").await;
    ruth.delete(&format!("/users/{id}")).await.expect(204);

    // At once, also in the open session. The response is that for a username that doesn't exist.
    sam.get("/entitlements").await.expect(401);
    world
        .on("group")
        .signs_in("sam.lind", PASSWORD)
        .await
        .refused(401, "sign-in-failed");
    let gone = ruth.get(&format!("/users/{id}")).await;
    let never = ruth.get(&format!("/users/{}", "0".repeat(26))).await;
    assert_eq!((gone.status, gone.text.clone()), (404, never.text.clone()));
    let left = ruth.get("/users").await;
    let names: Vec<_> = left
        .items()
        .iter()
        .map(|u| u["username"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ruth.okafor", "tess.lind"]);
    let reported = world.last_mail_to("sam@blueheron.example").await;
    assert_eq!(
        reported.subject,
        "Your access to Harborlight for Groups has ended"
    );
}

#[tokio::test]
async fn ag_10_a_deleted_user_returns_only_by_a_principals_invitation_and_a_new_registration() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let tess = world.staff(&ruth, "Tess", "administrator").await;
    world.staff(&ruth, "Sam", "user").await;
    let id = ruth.finds("sam").await;
    ruth.delete(&format!("/users/{id}")).await.expect(204);

    // Nobody can reactivate it.
    for status in ["active", "disabled"] {
        ruth.put(&format!("/users/{id}/status"), json!({ "status": status }))
            .await
            .expect(404);
    }
    // An administrator can't invite them again, but a principal can.
    let body =
        json!({ "first_name": "Sam", "last_name": "Lind", "email": "Sam@blueheron.example" });
    tess.post("/invitations", &body)
        .await
        .refused(409, "previously-removed")
        .says("(312) 555-0120");
    ruth.post("/invitations", body).await.expect(201);

    // They register again as a new user.
    let token = link_token(&world.last_mail_to("Sam@blueheron.example").await);
    let acceptance = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
    let renewed = world.on("group").accepts(acceptance).await.expect(201);
    assert_ne!(renewed.text_at("/user_id"), id);
    let (sam, signed_in) = world.on("group").sign_in("sam.lind", PASSWORD).await;
    signed_in.has("/next_step", "await_approval");
    sam.get("/entitlements").await.expect(403);
}

#[tokio::test]
async fn bl_07_an_administrator_lists_adds_edits_removes_and_makes_administrators() {
    let world = World::new().await;
    let (helen, username) = world.provider().await;
    let (kim, code) = world.added_by(&helen, "Kim").await;
    let redemption = json!({
        "username": kim, "registration_code": code, "password": PASSWORD, "hint": vestibule_tests::people::hint(),
    });
    world
        .on("provider")
        .post("/registration-codes/redemption", redemption)
        .await
        .expect(200);
    let session = world.sign_in("provider", &kim).await;
    assert_eq!(
        session.get("/users").await.status,
        403,
        "users can't manage anyone"
    );

    let id = helen.finds(&kim).await;
    helen
        .put(
            &format!("/users/{id}/access"),
            access("administrator", &["claims", "eligibility"]),
        )
        .await
        .expect(200)
        .has("/role", "administrator");
    // From the next request on, also in the open session.
    let list = session.get("/users").await;
    let roles: Vec<_> = list
        .items()
        .iter()
        .map(|u| (u["username"].as_str().unwrap(), u["role"].as_str().unwrap()))
        .collect();
    let mut expected = vec![
        (username.as_str(), "principal"),
        (kim.as_str(), "administrator"),
    ];
    let mut listed = roles.clone();
    expected.sort_unstable();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    assert_eq!(
        session.get("/entitlements").await.body["services"],
        json!(["claims", "eligibility"])
    );

    let body = json!({ "first_name": "Lou", "last_name": "Lind", "email": "lou@lakeside.example", "services": ["claims"] });
    let added = session.post("/users", body).await.expect(201);
    code_in(&world.last_mail_to("lou@lakeside.example").await);
    let lou = added.text_at("/id").to_owned();
    session.delete(&format!("/users/{lou}")).await.expect(204);
    assert_eq!(
        helen.get("/users").await.body["items"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );

    // Never a user of a higher role, and never oneself.
    let top = session.finds(&username).await;
    for refused in [
        session.delete(&format!("/users/{top}")).await,
        session
            .put(
                &format!("/users/{top}/status"),
                json!({ "status": "disabled" }),
            )
            .await,
        session
            .put(&format!("/users/{top}/access"), access("user", &[]))
            .await,
    ] {
        assert_eq!(
            (refused.status, refused.problem()),
            (403, "not-allowed"),
            "{}",
            refused.text
        );
    }
    for refused in [
        session.delete(&format!("/users/{id}")).await,
        session
            .put(&format!("/users/{id}/access"), access("principal", &[]))
            .await,
    ] {
        assert_eq!(
            (refused.status, refused.problem()),
            (409, "self-action-forbidden"),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn ba_06_a_disabled_user_sees_the_reason_and_is_reinstated_by_an_administrator() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = ruth.finds("sam").await;
    let set = |status: &'static str| {
        let (ruth, path) = (ruth.clone(), format!("/users/{id}/status"));
        async move { ruth.put(&path, json!({ "status": status })).await }
    };
    set("disabled").await.expect(200).has("/status", "disabled");
    assert_eq!(
        set("disabled").await.status,
        200,
        "disabling twice is disabling"
    );
    sam.get("/me").await.expect(401);
    world
        .on("group")
        .signs_in("sam.lind", PASSWORD).await.expect(403).has("/detail", "This user ID no longer has access to the system. Please contact your security administrator for more information.");
    let refused = world
        .on("group")
        .signs_in("sam.lind", "Wrong-River-58!")
        .await;
    assert_eq!(
        (refused.status, refused.problem()),
        (401, "sign-in-failed"),
        "only the right password reads it"
    );

    assert_eq!(set("active").await.text_at("/status"), "active");
    assert_eq!(
        sam.get("/me").await.status,
        401,
        "the old session stays over"
    );
    let sam = world.sign_in("group", "sam.lind").await;
    sam.get("/entitlements").await.expect(200);
    let subjects: Vec<_> = world
        .mails_to("sam@blueheron.example")
        .await
        .into_iter()
        .map(|m| m.subject)
        .collect();
    assert!(
        subjects.contains(&"Your access to Harborlight for Groups has been disabled".to_owned()),
        "{subjects:?}"
    );
    assert!(
        subjects.contains(&"Your access to Harborlight for Groups has been restored".to_owned()),
        "{subjects:?}"
    );
}

/// The first person of a portal with invitations, and an invited person who has registered.
async fn first_and_invited(
    world: &World,
    portal: &str,
    verification: Value,
    (first, last): (&str, &str),
) -> Person {
    let body = json!({
        "registration_type": portal, "verification": verification, "first_name": "Dana", "last_name": "Whitfield", "email": "dana@whitfield.example",
        "username": "dana.whitfield", "password": PASSWORD, "attests_signing_authority": true,
    });
    world.register(portal, body).await;
    let dana = world.sign_in(portal, "dana.whitfield").await;
    let invitation =
        json!({ "first_name": first, "last_name": last, "email": "sam@whitfield.example" });
    dana.post("/invitations", invitation).await.expect(201);
    let token = link_token(&world.last_mail_to("sam@whitfield.example").await);
    let accept = with(
        World::acceptance(&token, first, "sam@whitfield.example", "sam.lind"),
        "/last_name",
        last,
    );
    world.on(portal).accepts(accept).await.expect(201);
    dana
}

#[tokio::test]
async fn ba_07_a_primary_producer_sees_the_last_sign_in_of_each_sub_user() {
    let world = World::new().await;
    let verification = json!({ "agent_id": "AG10001", "ssn_last4": "4821" });
    let dana = first_and_invited(&world, "producer", verification, ("Sam", "Lind")).await;
    let before = dana.searches_users("sam").await;
    assert_eq!(
        before.body["items"][0].get("last_sign_in_at"),
        None,
        "never signed in"
    );
    world.pass_days(3);
    let signed_in_at = world.now().to_string();
    world.sign_in("producer", "sam.lind").await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let after = dana.searches_users("sam").await;
    assert_eq!(after.text_at("/items/0/last_sign_in_at"), signed_in_at);
    // It finds idle users.
    world.pass_days(2);
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let idle = dana
        .get(&format!(
            "/users?idle_since={}",
            world.now() - jiff::SignedDuration::from_hours(24)
        ))
        .await;
    assert_eq!(
        (
            idle.body["items"].as_array().map(Vec::len),
            idle.text_at("/items/0/username")
        ),
        (Some(1), "sam.lind")
    );
}

#[tokio::test]
async fn ba_09_the_list_with_last_sign_ins_is_downloaded_as_csv_that_is_safe_to_open() {
    let world = World::new().await;
    let verification = json!({ "group_number": "GR20001", "tax_id_last4": "4567" });
    let dana = first_and_invited(&world, "employer", verification, ("=Sam", "Li, nd")).await;
    world.pass(jiff::SignedDuration::from_mins(5));
    let signed_in_at = world.now().to_string();
    let sam = world.sign_in("employer", "sam.lind").await;
    sam.get("/users.csv").await.expect(403);

    let csv = dana.get("/users.csv").await.expect(200);
    assert_eq!(
        csv.headers["content-type"],
        "text/csv; charset=utf-8; header=present"
    );
    let lines: Vec<_> = csv.text.split("\r\n").collect();
    assert_eq!(lines.len(), 4, "{}", csv.text);
    assert_eq!(
        lines[0],
        "username,first_name,last_name,email,role,registration,status,services,group_codes,joined_at,end_date,last_sign_in_at"
    );
    let sam = lines.iter().find(|l| l.starts_with("sam.lind")).unwrap();
    assert!(
        sam.starts_with("sam.lind,'=Sam,\"Li, nd\",sam@whitfield.example,"),
        "{sam}"
    );
    assert!(sam.ends_with(&signed_in_at), "{sam}");
    assert!(!csv.headers.contains_key("link"), "there is no other part");
}

/// All parts of a download, and the cursors between them.
async fn parts(by: &Person, path: &str) -> (Vec<Response>, Vec<String>) {
    let (mut parts, mut cursors) = (Vec::new(), Vec::new());
    let mut query = path.split_once('?').unwrap().1.to_owned();
    let path = path.split('?').next().unwrap();
    loop {
        let part = by.get(&format!("{path}?{query}")).await.expect(200);
        let link = part.headers.get("link").map(|l| l.to_str().unwrap());
        let next = link.map(|l| l.strip_prefix("<?").unwrap());
        let next = next.map(|l| l.strip_suffix(">; rel=\"next\"").unwrap().to_owned());
        parts.push(part);
        match next {
            Some(next) => query = next,
            None => return (parts, cursors),
        }
        cursors.push(query.rsplit_once("cursor=").unwrap().1.to_owned());
    }
}

#[tokio::test]
async fn ba_09_a_list_too_long_for_one_response_is_downloaded_in_parts() {
    let world = World::new().await;
    let verification = json!({ "group_number": "GR20001", "tax_id_last4": "4567" });
    let dana = first_and_invited(&world, "employer", verification, ("Sam", "Lind")).await;
    for i in 0..40 {
        let email = format!("p{i}@whitfield.example");
        let token = world.invite(&dana, "Pat", &email, "user").await;
        let body = World::acceptance(&token, "Pat", &email, &format!("pat.lind{i}"));
        let on = world.on("employer");
        on.accepts(body).await.expect(201);
    }

    let whole = dana.get("/users.csv").await;
    assert!(!whole.headers.contains_key("link"), "it fits in one");
    let (some, cursors) = parts(&dana, "/users.csv?limit=17").await;
    let sizes = some.iter().map(|p| p.text.matches("\r\n").count());
    let sizes: Vec<_> = sizes.collect();
    assert_eq!(sizes, [18, 17, 8], "42 users and the header row");
    let together: String = some.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(together, whole.text);
    let kinds = some.iter().map(|p| p.headers["content-type"].to_str());
    let kinds: Vec<_> = kinds
        .map(|k| k.unwrap().rsplit_once("; ").unwrap().1)
        .collect();
    assert_eq!(kinds, ["header=present", "header=absent", "header=absent"]);
    let names = together.lines().skip(1).map(|l| l.split(',').next());
    let mut users: Vec<_> = names.collect();
    users.sort();
    users.dedup();
    assert!(users.len() == 42 && users.contains(&Some("dana.whitfield")));
    // If a part ends with the last row, an empty one may follow.
    let (exact, _) = parts(&dana, "/users.csv?limit=21").await;
    let together: String = exact.iter().map(|p| p.text.as_str()).collect();
    assert_eq!(together, whole.text);

    // A browser frontend on another origin can read the location of the next part.
    let request = dana.request(Method::GET, "/users.csv?limit=1");
    let request = request.header("origin", "https://producers.harborlight.example");
    let response = Response::to(request).await;
    let exposed = response.headers["access-control-expose-headers"].to_str();
    assert!(exposed.unwrap().split(',').any(|h| h.trim() == "link"));

    // Each part is an access to the list, and on the trail.
    let trail = dana.get("/audit-events?action=download_users").await;
    let looks = trail.items().len();
    assert_eq!(looks, 1 + 3 + exact.len() + 1, "{}", trail.text);

    // BL-17: a cursor belongs to the list of one organization.
    let other = json!({
        "registration_type": "employer", "verification": { "group_number": "GR20002", "tax_id_last4": "5678" },
        "first_name": "Otto", "last_name": "Maple", "email": "otto@cedar.example",
        "username": "otto.maple", "password": PASSWORD, "attests_signing_authority": true,
    });
    world.register("employer", other).await;
    let otto = world.sign_in("employer", "otto.maple").await;
    for cursor in &cursors {
        let path = format!("/users.csv?cursor={cursor}");
        otto.get(&path).await.invalid("cursor");
    }
    for (query, field) in [
        ("cursor=AAAA", "cursor"),
        ("limit=0", "limit"),
        ("limit=100001", "limit"),
        ("query=pat", "query"),
    ] {
        dana.get(&format!("/users.csv?{query}"))
            .await
            .invalid(field);
    }
}

#[tokio::test]
async fn ba_08_the_list_is_searched_by_beginning_role_and_last_sign_in_and_comes_in_pages() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for first in ["Abel", "Abby", "Carl", "Cleo", "Dora"] {
        world.invited(&ruth, first, "user").await;
    }
    for (query, found) in [
        ("ab", 2),
        ("CLEO", 1),
        ("lind", 5),
        ("dora@blueheron", 1),
        ("zz", 0),
    ] {
        let recorded = async || {
            let done = vestibule_tests::invariants::invariants(&world).await;
            done.done("list_users")
        };
        let before = recorded().await;
        let page = ruth.searches_users(query).await.expect(200);
        assert_eq!(page.items().len(), found, "{query}");
        assert_eq!(recorded().await, before + 1, "{query}");
    }
    let count = async |query: &str| {
        let found = ruth.get(&format!("/users?{query}")).await.expect(200);
        found.items().len()
    };
    assert_eq!(count("role=principal").await, 1);
    assert_eq!(count("registration=awaiting_approval").await, 5);
    assert_eq!(count("status=disabled").await, 0);

    // Pages of two, complete and without duplicates, as a list and as a search.
    for (query, all) in [(None, 6), (Some("lind"), 5)] {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = match (query, &cursor) {
                (None, None) => ruth.get("/users?limit=2").await,
                (None, Some(cursor)) => ruth.get(&format!("/users?limit=2&cursor={cursor}")).await,
                (Some(query), cursor) => {
                    let search = json!({ "query": query, "limit": 2, "cursor": cursor });
                    ruth.post("/users/search", search).await.expect(200)
                }
            };
            let items = page.items();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(|u| u["id"].as_str().unwrap().to_owned()));
            match page.text_at("/next_cursor") {
                "" => break,
                next => cursor = Some(next.to_owned()),
            }
        }
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (all, all), "{query:?}");
    }
}

#[tokio::test]
async fn bl_07_users_are_listed_by_name_administrators_first_on_every_page() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let named = async |first: &str, last: &str, role: &str| {
        let email = format!("{}@blueheron.example", first.to_lowercase());
        let body = json!({ "first_name": first, "last_name": last, "email": email, "role": role });
        ruth.post("/invitations", body).await.expect(201);
        let token = link_token(&world.last_mail_to(&email).await);
        let username = format!("{}.listed", first.to_lowercase());
        let body = with(
            World::acceptance(&token, first, &email, &username),
            "/last_name",
            last,
        );
        let accepted = world.on("group").accepts(body).await.expect(201);
        ruth.approves(accepted.text_at("/user_id"))
            .await
            .expect(200);
    };
    for (first, last, role) in [
        ("Vera", "O'Brien", "user"),
        ("Paul", "Obrist", "user"),
        ("Anna", "obama", "user"),
        ("Maria", "de la Cruz", "user"),
        ("Zoe", "Müller", "user"),
        ("Adam", "Muller", "user"),
        ("Carl", "Zimmer", "administrator"),
        ("Aaron", "Aaronson", "user"),
    ] {
        named(first, last, role).await;
    }
    let listed = async |filter: &str| {
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ruth
                .get(&format!("/users?limit=2{filter}{cursor}"))
                .await
                .expect(200);
            let last = |user: &Value| user["last_name"].as_str().unwrap().to_owned();
            names.extend(page.items().iter().map(last));
            match page.text_at("/next_cursor") {
                "" => return names,
                next => {
                    let lower = next.to_lowercase();
                    assert!(!names.iter().any(|n| lower.contains(&n.to_lowercase())));
                    cursor = format!("&cursor={next}");
                }
            }
        }
    };
    let staff = [
        "Aaronson",
        "de la Cruz",
        "Muller",
        "Müller",
        "obama",
        "O'Brien",
        "Obrist",
    ];
    assert_eq!(listed("").await[..2], ["Okafor", "Zimmer"]);
    assert_eq!(listed("").await[2..], staff);
    assert_eq!(listed("&role=user").await, staff);

    // Another name moves the user, with everything that is known about them.
    let anna = world.sign_in("group", "anna.listed").await;
    anna.patch("/me", json!({ "first_name": "Anna", "last_name": "Young" }))
        .await
        .expect(200);
    assert_eq!(
        listed("&role=user").await,
        [
            "Aaronson",
            "de la Cruz",
            "Muller",
            "Müller",
            "O'Brien",
            "Obrist",
            "Young"
        ]
    );
    let moved = ruth.searches_users("young").await.expect(200);
    assert!(
        !moved.text_at("/items/0/last_sign_in_at").is_empty(),
        "{}",
        moved.text
    );

    // A cursor belongs to the list of one organization.
    let page = ruth.get("/users?limit=2").await.expect(200);
    let foreign = page.text_at("/next_cursor");
    let verification = json!({ "agent_id": "AG10001", "ssn_last4": "4821" });
    let dana = first_and_invited(&world, "producer", verification, ("Sam", "Lind")).await;
    for cursor in [foreign, "1.AAAA", "2.AAAA", "AAAA", "%20", ""] {
        let refused = dana.get(&format!("/users?cursor={cursor}")).await;
        refused.invalid("cursor");
    }
    vestibule_tests::invariants::invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_removals_never_remove_the_last_principal() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let tess = world.staff(&ruth, "Tess", "administrator").await;
    let (ruth_id, tess_id) = (ruth.finds("ruth").await, ruth.finds("tess").await);
    tess.put(
        &format!("/users/{tess_id}/access"),
        access("principal", &[]),
    )
    .await
    .refused(409, "self-action-forbidden");
    let made = ruth
        .put(
            &format!("/users/{tess_id}/access"),
            access("principal", &[]),
        )
        .await;
    if made.status == 403 {
        // On this portal nobody can add principals, so the only one can't be removed.
        tess.delete(&format!("/users/{ruth_id}")).await.expect(403);
        return;
    }
    made.expect(200);
    let (one, other) = futures::future::join(
        async { ruth.delete(&format!("/users/{tess_id}")).await },
        async { tess.delete(&format!("/users/{ruth_id}")).await },
    )
    .await;
    let statuses = [one.status, other.status];
    assert!(
        statuses.contains(&204) && !statuses.iter().all(|s| *s == 204),
        "{statuses:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_changes_of_a_user_are_never_mixed() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let tess = world.staff(&ruth, "Tess", "administrator").await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = ruth.finds("sam").await;
    for _ in 0..5 {
        let (one, other) = futures::future::join(
            ruth.put(&format!("/users/{id}/access"), access("user", &["billing"])),
            tess.put(
                &format!("/users/{id}/access"),
                access("user", &["reports", "enrollment"]),
            ),
        )
        .await;
        assert!(
            [one.status, other.status]
                .iter()
                .all(|s| [200, 409].contains(s)),
            "{} {}",
            one.text,
            other.text
        );
        let services = sam.get("/entitlements").await.body["services"].clone();
        assert!(
            services == json!(["billing"]) || services == json!(["enrollment", "reports"]),
            "{services}"
        );
    }
    // Deleted while being edited: it stays deleted.
    let (edited, deleted) = futures::future::join(
        tess.put(&format!("/users/{id}/access"), access("user", &["billing"])),
        ruth.delete(&format!("/users/{id}")),
    )
    .await;
    assert!([200, 404, 409].contains(&edited.status), "{}", edited.text);
    if deleted.status == 409 {
        ruth.delete(&format!("/users/{id}")).await.expect(204);
    }
    sam.get("/me").await.expect(401);
    ruth.get(&format!("/users/{id}")).await.expect(404);
}

#[tokio::test]
async fn ag_09_a_user_is_found_by_full_name_however_it_is_typed() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let people = [
        ("Zoë", "Müller", "zoe"),
        ("Søren", "Wałęsa-Strauß", "soren"),
        ("Maria", "de la Cruz", "maria"),
        ("Paul", "Barnes Jr.", "paul"),
    ];
    for (first, last, name) in people {
        let email = format!("{name}@blueheron.example");
        let body =
            json!({ "first_name": first, "last_name": last, "email": email, "role": "user" });
        ruth.post("/invitations", body).await.expect(201);
        let token = link_token(&world.last_mail_to(&email).await);
        let body = World::acceptance(&token, first, &email, &format!("{name}.lind"));
        let body = with(body, "/last_name", last);
        world.on("group").accepts(body).await.expect(201);
    }
    for (typed, found) in [
        ("Zoë Müller", "zoe.lind"),
        ("zoe mueller", "zoe.lind"),
        ("ZOE MULLER", "zoe.lind"),
        ("Müller, Zoë", "zoe.lind"),
        ("Zoe\u{308} Mu\u{308}ll", "zoe.lind"),
        ("Ｍüll", "zoe.lind"),
        ("soren walesa", "soren.lind"),
        ("strauss", "soren.lind"),
        ("Maria DelaCruz", "maria.lind"),
        ("cruz", "maria.lind"),
        ("Paul Barnes", "paul.lind"),
        ("barnes jr", "paul.lind"),
        ("Barnes III", "paul.lind"),
        ("PAUL@BLUE", "paul.lind"),
    ] {
        let id = ruth.finds(typed).await;
        let user = ruth.get(&format!("/users/{id}")).await.expect(200);
        user.has("/username", found);
    }
    for typed in ["uller", "zoe meier", "paul cruz", "..."] {
        let found = ruth.searches_users(typed).await;
        assert_eq!(found.expect(200).items().len(), 0, "{typed}");
    }
    vestibule_tests::invariants::invariants(&world).await;
}

#[tokio::test]
async fn ba_09_no_cell_of_a_download_starts_a_formula() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for (first, name) in [
        ("＝1＋1", "sam"),
        ("＋1", "tess"),
        ("－1 Una", "una"),
        ("-Vic", "vic"),
    ] {
        let email = format!("{name}@blueheron.example");
        let body =
            json!({ "first_name": first, "last_name": "Lind", "email": email, "role": "user" });
        ruth.post("/invitations", body).await.expect(201);
        let token = link_token(&world.last_mail_to(&email).await);
        let body = World::acceptance(&token, first, &email, &format!("{name}.lind"));
        world.on("group").accepts(body).await.expect(201);
    }
    let listed = ruth.get("/users.csv").await.expect(200);
    for row in listed.text.lines().skip(1) {
        let starts = row.split(',').any(|cell| {
            cell.trim_start()
                .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
        });
        assert!(!starts, "{row}");
    }
    assert!(listed.text.contains("'＝1＋1"), "{}", listed.text);
}
