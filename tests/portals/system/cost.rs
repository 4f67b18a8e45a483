//! The DynamoDB cost of each flow: calls, round trips and units. The snapshot shows every change.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_http::oauth::client_secret;
use vestibule_local::Options;
use vestibule_tests::authenticator::{Browser, app_code};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::meter::{Cost, Meter};
use vestibule_tests::people::{
    PASSWORD, agent, dental, group_principal, hint, member, provider, with,
};
use vestibule_tests::{World, another, code_in, link_token, options, pin_in};

/// A system with its meter, and the costs measured so far.
struct Bill {
    world: World,
    meter: Meter,
    lines: Vec<(String, Cost)>,
}

impl Bill {
    async fn new() -> Self {
        Self::observed(Vec::new()).await
    }

    async fn observed(observers: Vec<SharedInterceptor>) -> Self {
        let meter = Meter::default();
        let world = World::with(Options {
            interceptors: vec![meter.interceptor()],
            observers,
            ..options()
        })
        .await;
        Self {
            world,
            meter,
            lines: Vec::new(),
        }
    }

    /// Makes a request and records its cost.
    async fn request(
        &mut self,
        flow: &str,
        by: &Person,
        (method, path): (Method, &str),
        body: Value,
        expected: u16,
    ) -> Response {
        self.meter.read();
        let body = Some(&body).filter(|b| !b.is_null());
        let response = by.send(method, path, body).await;
        let cost = self.meter.read();
        assert_eq!(response.status, expected, "{flow}: {}", response.text);
        self.lines.push((flow.to_owned(), cost));
        response
    }

    async fn post(
        &mut self,
        flow: &str,
        by: &Person,
        path: &str,
        body: Value,
        expected: u16,
    ) -> Response {
        self.request(flow, by, (Method::POST, path), body, expected)
            .await
    }

    async fn get(&mut self, flow: &str, by: &Person, path: &str) -> Response {
        self.request(flow, by, (Method::GET, path), Value::Null, 200)
            .await
    }

    /// Sends a CSV file with a number of people and records its cost.
    async fn file(&mut self, flow: &str, by: &Person, path: &str, of: &str, people: usize) {
        let file = (0..people).fold("email,first_name,last_name\n".to_owned(), |file, i| {
            format!("{file}{of}{i}@company.example,Pat,Lind\n")
        });
        self.meter.read();
        let request = by
            .request(Method::POST, path)
            .header("content-type", "text/csv");
        let response = Response::to(request.body(file)).await;
        let cost = self.meter.read();
        let rows = ["created", "already_exists"].map(|c| response.body[c].as_u64().unwrap_or(0));
        assert_eq!(
            rows[0] + rows[1],
            people as u64,
            "{flow}: {}",
            response.text
        );
        self.lines.push((flow.to_owned(), cost));
    }

    fn cost(&self, flow: &str) -> &Cost {
        let line = self.lines.iter().find(|(name, _)| name == flow);
        &line
            .unwrap_or_else(|| panic!("{flow} is not on the bill"))
            .1
    }

    /// Asserts that a flow made exactly these calls, in this number of round trips.
    #[track_caller]
    fn is<const N: usize>(&self, flow: &str, trips: usize, calls: [(&'static str, usize); N]) {
        let cost = self.cost(flow);
        assert_eq!(
            (cost.trips, &cost.calls),
            (trips, &BTreeMap::from(calls)),
            "{flow}"
        );
    }

    fn table(&self) -> String {
        let mut table = "flow | calls (items of transactions) | round trips | read units | write units\n--- | --- | --- | --- | ---\n".to_owned();
        for (flow, cost) in &self.lines {
            writeln!(table, "{flow} | {cost}").unwrap();
        }
        table
    }
}

/// Compares a table of costs with the snapshot of this name. Other implementations of DynamoDB
/// count units differently (DynamoDB Local counts none for a query without results), so only calls
/// and round trips are compared there.
#[track_caller]
fn assert_as_before(name: &str, table: &str) {
    if options().dynamodb_endpoint.is_none() {
        insta::assert_snapshot!(name, table);
        return;
    }
    let file = format!("portals/system/snapshots/portals__system__cost__{name}.snap");
    let before = std::fs::read_to_string(file).unwrap();
    let (_, before) = before.split_once("\n---\n").unwrap();
    let calls = |table: &str| -> Vec<String> {
        let columns = |line: &str| line.split(" | ").take(3).collect::<Vec<_>>().join(" | ");
        table.trim().lines().map(columns).collect()
    };
    assert_eq!(calls(table), calls(before), "{name}");
}

#[tokio::test]
async fn the_cost_of_every_flow_is_unchanged() {
    let mut bill = Bill::new().await;
    main_flows(&mut bill).await;
    assert_as_before("cost_of_every_flow", &bill.table());

    // Sign-in is one read and one transaction, in addition to the two attempt counters.
    bill.is(
        "sign in",
        2,
        [
            ("BatchGetItem", 1),
            ("TransactWriteItems", 1),
            ("UpdateItem", 2),
        ],
    );
    bill.is(
        "sign in: wrong password",
        3,
        [
            ("BatchGetItem", 1),
            ("GetItem", 1),
            ("TransactWriteItems", 1),
            ("UpdateItem", 2),
        ],
    );
    bill.is(
        "sign in: unknown name",
        3,
        [
            ("BatchGetItem", 1),
            ("GetItem", 1),
            ("TransactWriteItems", 1),
            ("UpdateItem", 2),
        ],
    );
    // They cost the same, except that the trail's indexes, which DynamoDB updates later, contain
    // the account for which the password was wrong.
    assert_eq!(
        bill.cost("sign in: wrong password").items,
        bill.cost("sign in: unknown name").items
    );
    // A signed-in request is one read of session and account.
    bill.is("a request: entitlements", 1, [("BatchGetItem", 1)]);
    assert_eq!(bill.cost("a request: entitlements").reads, 2.0);
    // A page of users is one query, however many there are.
    bill.is(
        "list 50 users",
        2,
        [("BatchGetItem", 1), ("PutItem", 1), ("Query", 1)],
    );
    // So is the download of a list of one page.
    bill.is(
        "download the list of users",
        3,
        [("BatchGetItem", 1), ("PutItem", 1), ("Query", 1)],
    );
    // Opening a service is that read and its audit event.
    bill.is("open a service", 2, [("BatchGetItem", 1), ("PutItem", 1)]);
    // A page of the trail is one query for an organization, two for a user, and the names in it.
    bill.is(
        "search the audit trail",
        4,
        [("BatchGetItem", 2), ("PutItem", 1), ("Query", 1)],
    );
    bill.is(
        "search the audit trail for a user",
        4,
        [("BatchGetItem", 2), ("PutItem", 1), ("Query", 2)],
    );
    // A refusal costs the same whether nothing matches or the record is already registered.
    let (unmatched, taken) = (
        bill.cost("register: refused, no match"),
        bill.cost("register: refused, registered already"),
    );
    assert_eq!(
        (&unmatched.calls, unmatched.trips, unmatched.writes),
        (&taken.calls, taken.trips, taken.writes)
    );
    // Invalid requests cost nothing.
    assert_eq!(bill.cost("register: fields not valid"), &Cost::default());
}

/// Runs every flow of this file, with an observer of the calls to AWS.
pub async fn go_through_every_flow(observer: &SharedInterceptor) {
    let mut bill = Bill::observed(vec![observer.clone()]).await;
    main_flows(&mut bill).await;
    bill = Bill::observed(vec![observer.clone()]).await;
    flows_around(&mut bill).await;
    bill = Bill::observed(vec![observer.clone()]).await;
    messages(&mut bill).await;
    bill = Bill::observed(vec![observer.clone()]).await;
    help_desk(&mut bill).await;
    bill = Bill::observed(vec![observer.clone()]).await;
    second_factors(&mut bill).await;
    applications(&mut bill).await;
}

async fn main_flows(bill: &mut Bill) {
    registrations(bill).await;
    invitations(bill).await;
    pins(bill).await;
    codes_and_users(bill).await;
    sessions(bill).await;
    organizations(bill).await;
}

async fn flows_around(bill: &mut Bill) {
    getting_back_in(bill).await;
    managing_users(bill).await;
    reviewing(bill).await;
    ones_own_profile(bill).await;
}

async fn registrations(bill: &mut Bill) {
    let (group, people, providers) = (
        bill.world.on("group"),
        bill.world.on("member"),
        bill.world.on("provider"),
    );
    bill.post(
        "register: fields not valid",
        &group,
        "/registrations",
        with(group_principal(), "/email", "nobody"),
        422,
    )
    .await;
    let wrong = with(group_principal(), "/verification/tax_id_last4", "0000");
    bill.post(
        "register: refused, no match",
        &group,
        "/registrations",
        wrong,
        403,
    )
    .await;
    bill.post(
        "register: group",
        &group,
        "/registrations",
        group_principal(),
        201,
    )
    .await;
    bill.post(
        "register: the same again",
        &group,
        "/registrations",
        group_principal(),
        201,
    )
    .await;
    let other = with(
        with(group_principal(), "/username", "some.body"),
        "/email",
        "some@body.example",
    );
    bill.post(
        "register: refused, registered already",
        &group,
        "/registrations",
        other,
        403,
    )
    .await;
    bill.post("register: member", &people, "/registrations", member(), 201)
        .await;
    bill.post(
        "register: provider",
        &providers,
        "/registrations",
        provider(),
        201,
    )
    .await;
}

async fn invitations(bill: &mut Bill) {
    let ruth = bill.world.sign_in("group", "ruth.okafor").await;
    let group = bill.world.on("group");
    let whom = |first: &str, email: &str| json!({ "first_name": first, "last_name": "Lind", "email": email, "role": "user" });
    let invited = bill
        .post(
            "invite",
            &ruth,
            "/invitations",
            whom("Sam", "sam@blueheron.example"),
            201,
        )
        .await;
    let path = format!("/invitations/{}", invited.text_at("/id"));
    bill.post(
        "invite: the same address again",
        &ruth,
        "/invitations",
        whom("Sam", "sam@blueheron.example"),
        409,
    )
    .await;
    bill.get("list invitations", &ruth, "/invitations").await;
    bill.post(
        "resend an invitation",
        &ruth,
        &format!("{path}/resend"),
        json!({}),
        200,
    )
    .await;
    let token = link_token(&bill.world.last_mail_to("sam@blueheron.example").await);
    bill.post(
        "look up an invitation",
        &group,
        "/invitations/look-up",
        json!({ "token": token }),
        200,
    )
    .await;
    let acceptance = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
    let accepted = bill
        .post(
            "accept an invitation",
            &group,
            "/invitations/accept",
            acceptance,
            201,
        )
        .await;
    let other = ruth
        .post("/invitations", whom("Kim", "kim@blueheron.example"))
        .await;
    let path = format!("/invitations/{}", other.text_at("/id"));
    bill.request(
        "revoke an invitation",
        &ruth,
        (Method::DELETE, &path),
        Value::Null,
        204,
    )
    .await;
    let path = format!("/users/{}", accepted.text_at("/user_id"));
    let services = json!({ "services": ["enrollment"], "group_codes": ["BH01"] });
    bill.post(
        "approve a user",
        &ruth,
        &format!("{path}/approval"),
        services,
        200,
    )
    .await;
    bill.get("show a user", &ruth, &path).await;
    bill.get("download the list of users", &ruth, "/users.csv")
        .await;
    bill.get("me, with administrators", &ruth, "/me").await;
}

async fn pins(bill: &mut Bill) {
    let maria = bill.world.sign_in("member", "maria.alvarez").await;
    bill.get("status of the letter", &maria, "/pin/letter")
        .await;
    bill.post("issue a new PIN", &maria, "/pin/letter", json!({}), 201)
        .await;

    // Of her two letters, the one printed last has the valid PIN.
    let letters = bill.world.letters().await;
    let pin = letters
        .iter()
        .rfind(|l| l.contains("Maria Alvarez"))
        .map(|l| pin_in(l, 6))
        .unwrap();
    bill.post(
        "enter a PIN: wrong",
        &maria,
        "/pin/activation",
        json!({ "pin": another(&pin) }),
        422,
    )
    .await;
    bill.post(
        "enter a PIN",
        &maria,
        "/pin/activation",
        json!({ "pin": pin }),
        200,
    )
    .await;
    bill.post(
        "enter a PIN: open already",
        &maria,
        "/pin/activation",
        json!({ "pin": pin }),
        200,
    )
    .await;
    bill.get("me, without an organization", &maria, "/me").await;
}

/// An additional organization for a user, agreements, and searching for agents.
async fn organizations(bill: &mut Bill) {
    let practice = bill.world.on("practice");
    let mona = |provider_id: &str, tax_id: &str| json!({ "registration_type": "dental_office_manager", "verification": { "provider_id": provider_id, "tax_id": tax_id } });
    let first = mona("PV30003", "005678901");
    let body = with(
        with(dental(), "/registration_type", "dental_office_manager"),
        "/verification",
        first["verification"].clone(),
    );
    let body = with(
        with(body, "/email", "mona@oakview.example"),
        "/username",
        "mona.office",
    );
    bill.world.register("practice", body).await;
    let mona_office = bill.world.sign_in("practice", "mona.office").await;
    let additional = mona("PV30002", "004567890");
    for (flow, body, expected) in [
        (
            "an additional organization: an unknown number",
            mona("PV39999", "004567890"),
            403,
        ),
        (
            "an additional organization: a wrong fact",
            mona("PV30002", "004567899"),
            403,
        ),
        ("an additional organization", additional.clone(), 201),
        (
            "an additional organization: the same again",
            additional,
            201,
        ),
    ] {
        bill.post(flow, &mona_office, "/me/organizations", body, expected)
            .await;
    }
    bill.get("me, of two organizations", &mona_office, "/me")
        .await;
    bill.get("list agreements", &mona_office, "/me/agreements")
        .await;
    let path = "/me/agreements/office_manager_terms/acceptance";
    let revision = json!({ "revision": "2026-10" });
    bill.post("accept an agreement", &mona_office, path, revision, 200)
        .await;
    practice
        .signs_in("mona.office", PASSWORD)
        .await
        .has("/next_step", "choose_organization");

    bill.world.register("agent", agent()).await;
    let dana = bill.world.sign_in("agent", "dana.whitfield").await;
    bill.get("look up agents: two", &dana, "/agents").await;
    for (flow, query) in [("one of two", "luis"), ("none of two", "zzz")] {
        let (flow, search) = (format!("look up agents: {flow}"), json!({ "query": query }));
        bill.post(&flow, &dana, "/agents/search", search, 200).await;
    }
}

async fn codes_and_users(bill: &mut Bill) {
    let letters = bill.world.letters().await;
    let pin = letters
        .iter()
        .find(|l| l.contains("Helen Brandt"))
        .map(|l| pin_in(l, 4))
        .unwrap();
    let (providers, body) = (
        bill.world.on("provider"),
        json!({ "password": PASSWORD, "token_delivery": "body" }),
    );
    let again = providers.registers(provider()).await;
    let username = again.text_at("/username").to_owned();
    let signed_in = providers
        .post("/sessions", with(body, "/username", username))
        .await;
    let helen = providers.with_token(signed_in.text_at("/token"));
    bill.post(
        "enter a PIN: of an organization",
        &helen,
        "/pin/activation",
        json!({ "pin": pin }),
        200,
    )
    .await;

    let user = |first: &str, email: String| json!({ "first_name": first, "last_name": "Lind", "email": email, "services": ["claims"] });
    let sam = bill
        .post(
            "add a user",
            &helen,
            "/users",
            user("Sam", "sam@lakeside.example".into()),
            201,
        )
        .await;
    let code = code_in(&bill.world.last_mail_to("sam@lakeside.example").await);
    let redemption = |code: &str| json!({ "username": sam.text_at("/username"), "registration_code": code, "password": PASSWORD, "hint": hint() });
    bill.post(
        "redeem a code: wrong",
        &providers,
        "/registration-codes/redemption",
        redemption(&another(&code)),
        422,
    )
    .await;
    bill.post(
        "redeem a code",
        &providers,
        "/registration-codes/redemption",
        redemption(&code),
        200,
    )
    .await;
    bill.post(
        "redeem a code: the same again",
        &providers,
        "/registration-codes/redemption",
        redemption(&code),
        200,
    )
    .await;
    for i in 2..50 {
        helen
            .post("/users", user("Kim", format!("kim{i}@lakeside.example")))
            .await
            .expect(201);
    }
    let listed = bill.get("list 50 users", &helen, "/users").await;
    assert_eq!(listed.body["items"].as_array().map(Vec::len), Some(50));
}

async fn sessions(bill: &mut Bill) {
    let group = bill.world.on("group");
    let body = |username: &str, password: &str| json!({ "username": username, "password": password, "token_delivery": "body" });
    let from_device = with(body("ruth.okafor", PASSWORD), "/device", "A".repeat(43));
    bill.post(
        "sign in: from a new device",
        &group,
        "/sessions",
        from_device.clone(),
        201,
    )
    .await;
    let ruth = bill
        .post("sign in", &group, "/sessions", from_device, 201)
        .await;
    let ruth = group.with_token(ruth.text_at("/token"));
    bill.post(
        "sign in: wrong password",
        &group,
        "/sessions",
        body("ruth.okafor", "Wrong-Guess-1"),
        401,
    )
    .await;
    bill.post(
        "sign in: unknown name",
        &group,
        "/sessions",
        body("nobody.there", PASSWORD),
        401,
    )
    .await;
    for _ in 0..9 {
        group
            .post("/sessions", body("nobody.there", PASSWORD))
            .await;
    }
    bill.post(
        "sign in: too many guesses",
        &group,
        "/sessions",
        body("nobody.there", PASSWORD),
        429,
    )
    .await;
    bill.get("a request: entitlements", &ruth, "/entitlements")
        .await;
    bill.get("open a service", &ruth, "/entitlements?service=enrollment")
        .await;
    bill.get("a request: the session", &ruth, "/sessions/current")
        .await;
    bill.get("search the audit trail", &ruth, "/audit-events")
        .await;
    let id = ruth.get("/me").await.text_at("/id").to_owned();
    let path = format!("/audit-events?user_ids={id}");
    bill.get("search the audit trail for a user", &ruth, &path)
        .await;
    let search = json!({ "username": "ruth.okafor" });
    let (flow, path) = ("find the users of a username", "/audit-events/users/search");
    bill.post(flow, &ruth, path, search, 200).await;
    bill.get("one's own activity", &ruth, "/me/activity").await;
    bill.world.pass(SignedDuration::from_mins(5));
    bill.get("a request: after five minutes", &ruth, "/entitlements")
        .await;
    bill.request(
        "a request: not signed in",
        &group,
        (Method::GET, "/me"),
        Value::Null,
        401,
    )
    .await;
    let me = ruth.get("/me").await;
    bill.request(
        "choose an organization",
        &ruth,
        (Method::PUT, "/sessions/current/organization"),
        json!({ "organization_id": me.text_at("/organization/id") }),
        200,
    )
    .await;
    let change = json!({ "current_password": PASSWORD, "new_password": "Another-Lake-77!" });
    bill.request(
        "change the password",
        &ruth,
        (Method::PUT, "/sessions/current/password"),
        change,
        200,
    )
    .await;
    bill.request(
        "sign out",
        &ruth,
        (Method::DELETE, "/sessions/current"),
        Value::Null,
        204,
    )
    .await;
}

#[tokio::test]
async fn a_file_costs_as_much_as_its_rows() {
    let mut bill = Bill::new().await;
    let ruth = bill.world.group_principal().await;
    let (helen, _) = bill.world.provider().await;
    let person = json!({ "first_name": "Pat", "last_name": "Lind", "email": "one@company.example", "role": "user" });
    for (by, path, one, many) in [
        (&ruth, "/invitations", "invite one", "invite 20 from a file"),
        (&helen, "/users", "add one user", "add 20 users from a file"),
    ] {
        bill.post(one, by, path, person.clone(), 201).await;
        let path = format!("{path}.csv");
        bill.file(many, by, &path, "p", 20).await;
        let again = format!("{many}: the same again");
        bill.file(&again, by, &path, "p", 20).await;
        // The session is read once for all of them.
        let (many, one, again) = (bill.cost(many), bill.cost(one), bill.cost(&again));
        assert_eq!(many.writes, 20.0 * one.writes);
        assert!(many.reads < 20.0 * one.reads);
        assert_eq!((again.items, again.writes), (0, 0.0));
    }
    // Rows are processed concurrently, so the number of round trips varies.
    for (_, cost) in &mut bill.lines {
        cost.trips = 0;
    }
    assert_as_before("cost_of_files", &bill.table().replace("| 0 |", "| – |"));
}

#[tokio::test]
async fn the_cost_of_every_message_is_unchanged() {
    let mut bill = Bill::new().await;
    messages(&mut bill).await;
    assert_as_before("cost_of_every_message", &bill.table());
}

async fn messages(bill: &mut Bill) {
    bill.world.register("member", member()).await;
    bill.meter.read();
    bill.world.instance.deliver_pending().await.unwrap();
    bill.lines
        .push(("look for mails and deliver one".into(), bill.meter.read()));
    bill.world.instance.deliver_pending().await.unwrap();
    bill.lines
        .push(("look for mails: none".into(), bill.meter.read()));
    // The stream contains the email, which was sent, and the letter, which the mail sender ignores.
    bill.world.instance.settle().await.unwrap();
    bill.lines.push((
        "two events, and look for letters and print one".into(),
        bill.meter.read(),
    ));
    bill.world.instance.settle().await.unwrap();
    bill.lines
        .push(("look for letters: none".into(), bill.meter.read()));
    bill.world.register("group", group_principal()).await;
    bill.meter.read();
    bill.world.instance.settle().await.unwrap();
    bill.lines.push((
        "two events with a mail each, and look for letters: none".into(),
        bill.meter.read(),
    ));
}

/// Help desk actions on a user whose PIN letter is on its way.
async fn help_desk(bill: &mut Bill) {
    let desk = bill.world.help_desk().await;
    let maria = bill.world.member().await;
    bill.world.letters().await;
    let id = maria.get("/me").await.text_at("/id").to_owned();
    let (agent, at) = (&desk.agent, format!("/accounts/member/{id}"));
    for (by, what) in [
        ("username", "maria.alvarez"),
        ("email", "maria@example.com"),
        ("number", "100200301"),
    ] {
        let body = with(json!({ "portal": "member" }), &format!("/{by}"), what);
        let flow = format!("help desk: find by {}", by.replace('_', " "));
        bill.post(&flow, agent, "/accounts/search", body, 200).await;
    }
    let body = json!({ "portal": "member", "number": "100200301", "reason": "The caller made the attempts" });
    let flow = "help desk: unlock a plan record";
    bill.post(flow, agent, "/plan-records/unlock", body, 204)
        .await;
    bill.get("help desk: look at an account", agent, &at).await;
    let because = json!({ "reason": "The owner called" });
    for (flow, query) in [
        (
            "help desk: search the trail for a user",
            format!("user_ids={id}"),
        ),
        (
            "help desk: search the trail of a day",
            "from=2026-11-23".into(),
        ),
        (
            "help desk: search the trail of a day for an action",
            "from=2026-11-23&action=reissue_pin".into(),
        ),
    ] {
        let path = format!("/accounts/member/audit-events?{query}");
        bill.get(flow, agent, &path).await;
    }
    let flow = "help desk: find the users of a username";
    let path = "/accounts/member/audit-events/users/search";
    let search = json!({ "username": "maria.alvarez" });
    bill.post(flow, agent, path, search, 200).await;
    reissuing(bill, agent).await;
    for (flow, act) in [
        ("help desk: reissue a PIN", "pin"),
        ("help desk: start a reset", "password-reset"),
        ("help desk: unlock", "unlock"),
        ("help desk: reinstate (is active)", "reinstatement"),
        ("help desk: secure", "secure"),
    ] {
        let path = format!("{at}/{act}");
        bill.post(flow, agent, &path, because.clone(), 200).await;
    }
    let rename = with(because.clone(), "/username", "maria.ruiz");
    let path = format!("{at}/username");
    bill.request(
        "help desk: rename",
        agent,
        (Method::PUT, &path),
        rename,
        200,
    )
    .await;
    let path = format!("{at}/removal");
    bill.post("help desk: delete a member", agent, &path, because, 200)
        .await;
}

/// What the help desk reissues for organizations.
async fn reissuing(bill: &mut Bill, agent: &Person) {
    let ruth = bill.world.group_principal().await;
    bill.world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let id = ruth.get("/me").await.text_at("/id").to_owned();
    let path = format!("/accounts/group/{id}/invitations");
    bill.get("help desk: list waiting invitations", agent, &path)
        .await;
    let body = json!({ "reason": "The owner called", "email": "sam@blueheron.example" });
    let path = format!("/accounts/group/{id}/invitation");
    bill.post(
        "help desk: send an invitation again",
        agent,
        &path,
        body,
        200,
    )
    .await;
    let (helen, _) = bill.world.provider().await;
    let (kim, _) = bill.world.added_by(&helen, "Kim").await;
    let list = helen.searches_users(&kim).await;
    let id = list.text_at("/items/0/id");
    let path = format!("/accounts/provider/{id}/registration-code");
    let body = json!({ "reason": "The owner called" });
    bill.post(
        "help desk: send a registration code again",
        agent,
        &path,
        body,
        200,
    )
    .await;
}

#[tokio::test]
async fn the_cost_of_help_desk_actions_is_unchanged() {
    let mut bill = Bill::new().await;
    help_desk(&mut bill).await;
    assert_as_before("cost_of_the_help_desk", &bill.table());
}

/// Signing in with and without a factor, factors of one's own account, and a reset.
async fn second_factors(bill: &mut Bill) {
    let ruth = bill.world.group_principal().await;
    let sam = bill.world.staff(&ruth, "Sam", "user").await;
    let id = sam.id().await;
    let visitor = bill.world.on("group");
    let credentials =
        json!({ "username": "sam.lind", "password": PASSWORD, "token_delivery": "body" });
    let sign_in = "/sessions";
    let flow = "sign in: without a factor";
    bill.post(flow, &visitor, sign_in, credentials.clone(), 201)
        .await;
    let started = sam
        .send(Method::POST, "/me/authenticator-apps/enrollment", None)
        .await;
    let secret = started.text_at("/secret").to_owned();
    let body = json!({
        "name": "Phone", "enrollment": started.text_at("/enrollment"),
        "code": app_code(&secret, bill.world.now()),
    });
    let flow = "add an authenticator app";
    bill.post(flow, &sam, "/me/authenticator-apps", body, 201)
        .await;
    let flow = "create recovery codes";
    bill.post(flow, &sam, "/me/recovery-codes", Value::Null, 201)
        .await;
    let flow = "sign in: with a factor, the password";
    bill.post(flow, &visitor, sign_in, credentials.clone(), 201)
        .await;
    bill.world.pass(SignedDuration::from_secs(30));
    let sam = bill.world.sign_in("group", "sam.lind").await;
    let code = json!({ "factor": { "code": app_code(&secret, bill.world.now()) } });
    let path = "/sessions/current/second-factor";
    let flow = "sign in: with a factor, its code";
    bill.request(flow, &sam, (Method::PUT, path), code, 200)
        .await;
    let mut browser = Browser::on("https://groups.harborlight.example", true);
    sam.adds_passkey(&mut browser, "Laptop").await.expect(201);
    let flow = "sign in: a passkey, the challenge";
    bill.post(flow, &visitor, "/passkey-challenges", Value::Null, 200)
        .await;
    let signed = visitor.signs_challenge(&mut browser).await;
    let flow = "sign in: a passkey, its signature";
    bill.post(flow, &visitor, "/sessions/passkey", signed, 201)
        .await;

    let path = format!("/users/{id}/second-factor-reset");
    let start = "start a reset of second factors";
    bill.post(start, &ruth, &path, Value::Null, 202).await;
    let mail = bill.world.last_mail_to("sam@blueheron.example").await;
    let link = link_token(&mail);
    let sam = bill.world.sign_in("group", "sam.lind").await;
    let path = "/sessions/current/second-factor-reset";
    let flow = "complete a reset of second factors by link";
    bill.post(flow, &sam, path, json!({ "token": link }), 200)
        .await;

    let maria = bill.world.member().await;
    let pin = pin_in(&bill.world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    maria.adds_app(&bill.world, "Phone").await;
    let desk = bill.world.help_desk().await;
    let path = format!("/accounts/member/{}/second-factor-reset", maria.id().await);
    let because = json!({ "reason": "Caller lost the phone." });
    let flow = "help desk: start a reset of second factors by letter";
    bill.post(flow, &desk.agent, &path, because.clone(), 200)
        .await;
    let flow = "cancel a reset of second factors";
    let path_of_own = "/me/second-factor-reset";
    let cancel = (Method::DELETE, path_of_own);
    bill.request(flow, &maria, cancel, Value::Null, 204).await;
    desk.agent.post(&path, because).await.expect(200);
    let pin = pin_in(&bill.world.last_letter().await, 6);
    let maria = bill.world.sign_in("member", "maria.alvarez").await;
    let flow = "complete a reset of second factors by PIN";
    let path = "/sessions/current/second-factor-reset";
    bill.post(flow, &maria, path, json!({ "pin": pin }), 200)
        .await;
}

#[tokio::test]
async fn the_cost_of_second_factors_is_unchanged() {
    let mut bill = Bill::new().await;
    second_factors(&mut bill).await;
    assert_as_before("cost_of_second_factors", &bill.table());

    // A factor costs nothing before it is given.
    let (without, with) = (
        bill.cost("sign in: without a factor"),
        bill.cost("sign in: with a factor, the password"),
    );
    assert_eq!((without.trips, &without.calls), (with.trips, &with.calls));
}

#[tokio::test]
async fn so_03_what_applications_cost_is_unchanged() {
    let mut bill = Bill::new().await;
    applications(&mut bill).await;
    assert_as_before("cost_of_applications", &bill.table());
    // One read finds the token, the session and the account.
    bill.is("application: userinfo", 1, [("BatchGetItem", 1)]);
    bill.is("application: introspection", 1, [("BatchGetItem", 1)]);
}

impl Bill {
    /// Calls an endpoint for applications as the enrollment desk, and records the cost.
    async fn called(&mut self, flow: &str, path: &str, form: &[(&str, &str)]) -> Response {
        let app = &self.world.instance.app;
        let policy = app.portals.get("group").unwrap().unwrap();
        let application = policy.application("enrollment-desk").unwrap();
        let secret = client_secret(app, policy, application);
        self.meter.read();
        let request = self.world.on("group").request(Method::POST, path);
        let request = request.basic_auth("enrollment-desk", Some(secret.expose()));
        let response = Response::to(request.form(form)).await;
        let cost = self.meter.read();
        self.lines.push((flow.to_owned(), cost));
        response
    }
}

async fn applications(bill: &mut Bill) {
    const CALLBACK: &str = "https://enrollment.harborlight.example/callback";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let ruth = bill.world.group_principal().await;
    let query = format!(
        "response_type=code&client_id=enrollment-desk&scope=openid&redirect_uri={CALLBACK}&code_challenge_method=S256&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    let query = json!({ "query": query });
    let code = |response: &Response| {
        let (_, code) = response
            .text_at("/redirect_to")
            .split_once("code=")
            .unwrap();
        code.split('&').next().unwrap().to_owned()
    };
    let exchange = |code: &str| {
        [
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", CALLBACK.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
        ]
    };
    let path = "/authorizations";
    let flow = "open an application for the first time";
    bill.post(flow, &ruth, path, query.clone(), 200).await;
    let opened = bill
        .post("open an application", &ruth, path, query, 200)
        .await;
    let form = exchange(&code(&opened));
    let form: Vec<_> = form
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let tokens = bill
        .called("application: token", "/token", &form)
        .await
        .expect(200);
    let token = tokens.text_at("/access_token").to_owned();
    let by_token = bill.world.on("group").with_token(&token);
    bill.get("application: userinfo", &by_token, "/userinfo")
        .await;
    let form = [("token", token.as_str())];
    bill.called("application: introspection", "/introspect", &form)
        .await
        .expect(200);
    bill.called("application: revocation", "/revoke", &form)
        .await
        .expect(200);
    let visitor = bill.world.on("group");
    bill.get(
        "application: configuration",
        &visitor,
        "/.well-known/openid-configuration",
    )
    .await;
    bill.get("application: keys", &visitor, "/jwks.json").await;
    bill.meter.read();
    let hint = [("id_token_hint", tokens.text_at("/id_token"))];
    let request = visitor.request(Method::POST, "/end-session").form(&hint);
    // The page to which it leads is not there.
    let _ = request.send().await;
    let cost = bill.meter.read();
    bill.lines
        .push(("application: end of the session".to_owned(), cost));
    bill.world.instance.deliver_pending().await.unwrap();
    let cost = bill.meter.read();
    bill.lines.push((
        "tell an application that a session has ended".to_owned(),
        cost,
    ));
}

#[tokio::test]
async fn the_cost_of_every_secondary_flow_is_unchanged() {
    let mut bill = Bill::new().await;
    flows_around(&mut bill).await;
    assert_as_before("cost_of_flows_around", &bill.table());

    // A request costs the same whether or not the account exists, because it is only stored.
    let (known, unknown) = (
        bill.cost("forgot the password: known name"),
        bill.cost("forgot the password: unknown name"),
    );
    assert_eq!((known.trips, &known.calls), (unknown.trips, &unknown.calls));
    let (known, unknown) = (
        bill.cost("forgot the username: known address"),
        bill.cost("forgot the username: unknown address"),
    );
    assert_eq!((known.trips, &known.calls), (unknown.trips, &unknown.calls));
}

async fn getting_back_in(bill: &mut Bill) {
    bill.world.group_principal().await;
    bill.world.member().await;
    let (group, member) = (bill.world.on("group"), bill.world.on("member"));
    let ask = |name: &str| json!({ "username": name });
    bill.post(
        "forgot the password: known name",
        &group,
        "/password-resets",
        ask("ruth.okafor"),
        202,
    )
    .await;
    bill.world.mails_to("ruth@blueheron.example").await;
    bill.world.mails_to("ruth@blueheron.example").await;
    // A second link replaces the first one, whose item is deleted.
    group.post("/password-resets", ask("ruth.okafor")).await;
    bill.world.mails_to("ruth@blueheron.example").await;
    bill.meter.read();
    let token = link_token(&bill.world.last_mail_to("ruth@blueheron.example").await);
    bill.post(
        "forgot the password: unknown name",
        &group,
        "/password-resets",
        ask("nobody.there"),
        202,
    )
    .await;
    bill.post(
        "look up a reset link",
        &group,
        "/password-resets/look-up",
        json!({ "token": token }),
        200,
    )
    .await;
    let body = |token: &str| json!({ "token": token, "new_password": "Another-Lake-77!" });
    bill.post(
        "reset the password: wrong link",
        &group,
        "/password-resets/redemption",
        body("vr.nobody.AAAA"),
        403,
    )
    .await;
    bill.post(
        "reset the password",
        &group,
        "/password-resets/redemption",
        body(&token),
        200,
    )
    .await;
    bill.post(
        "forgot the password: questions",
        &member,
        "/password-resets",
        ask("maria.alvarez"),
        202,
    )
    .await;
    let address = |email: &str| json!({ "email": email });
    bill.post(
        "forgot the username: known address",
        &group,
        "/username-reminders",
        address("ruth@blueheron.example"),
        202,
    )
    .await;
    bill.post(
        "forgot the username: unknown address",
        &group,
        "/username-reminders",
        address("nobody@blueheron.example"),
        202,
    )
    .await;
}

async fn managing_users(bill: &mut Bill) {
    let (ruth, _) = bill
        .world
        .on("group")
        .sign_in("ruth.okafor", "Another-Lake-77!")
        .await;
    let world = &bill.world;
    world.staff(&ruth, "Sam", "user").await;
    let list = ruth.searches_users("sam").await;
    let path = format!("/users/{}", list.text_at("/items/0/id"));
    let search = json!({ "query": "sam" });
    bill.post("search users", &ruth, "/users/search", search, 200)
        .await;
    bill.request(
        "assign access",
        &ruth,
        (Method::PUT, &format!("{path}/access")),
        json!({ "role": "user", "services": ["billing"], "group_codes": [] }),
        200,
    )
    .await;
    for (flow, status) in [
        ("disable a user", "disabled"),
        ("reinstate a user", "active"),
    ] {
        bill.request(
            flow,
            &ruth,
            (Method::PUT, &format!("{path}/status")),
            json!({ "status": status }),
            200,
        )
        .await;
    }
    bill.post(
        "send a reset link to a user",
        &ruth,
        &format!("{path}/password-reset"),
        json!({}),
        202,
    )
    .await;
    bill.post(
        "send a username to a user",
        &ruth,
        &format!("{path}/username-reminder"),
        json!({}),
        202,
    )
    .await;
    bill.request(
        "remove a user",
        &ruth,
        (Method::DELETE, &path),
        Value::Null,
        204,
    )
    .await;
}

/// An access review with one user to review.
async fn reviewing(bill: &mut Bill) {
    bill.world.register("practice", dental()).await;
    let omar = bill.world.sign_in("practice", "omar.haddad").await;
    let body = json!({ "first_name": "Ann", "last_name": "Lee", "email": "ann@riverbend.example", "username": "ann.lee", "initial_password": PASSWORD });
    let ann = omar.post("/users", body).await;
    bill.post("begin a review", &omar, "/access-reviews", Value::Null, 201)
        .await;
    bill.get("show a review", &omar, "/access-reviews/current")
        .await;
    let path = format!("/access-reviews/current/users/{}", ann.text_at("/id"));
    for (flow, response) in [
        ("confirm in a review", "confirmed"),
        ("remove in a review", "removed"),
    ] {
        let body = json!({ "decision": response });
        bill.request(flow, &omar, (Method::PUT, &path), body, 200)
            .await;
    }
    let (helen, _) = bill.world.provider().await;
    let (kim, _) = bill.world.added_by(&helen, "Kim").await;
    let list = helen.searches_users(&kim).await;
    let path = format!("/users/{}/registration-code", list.text_at("/items/0/id"));
    bill.post(
        "send a registration code again",
        &helen,
        &path,
        json!({}),
        202,
    )
    .await;
}

async fn ones_own_profile(bill: &mut Bill) {
    let (ruth, _) = bill
        .world
        .on("group")
        .sign_in("ruth.okafor", "Another-Lake-77!")
        .await;
    bill.get("list open sessions", &ruth, "/sessions").await;
    bill.request(
        "edit the profile",
        &ruth,
        (Method::PATCH, "/me"),
        json!({ "first_name": "Ruth", "last_name": "Okafor-Hale" }),
        200,
    )
    .await;
    bill.request(
        "ask for another address",
        &ruth,
        (Method::PUT, "/me/email"),
        json!({ "email": "ruth@new.example", "password": "Another-Lake-77!" }),
        202,
    )
    .await;
    let token = link_token(&bill.world.last_mail_to("ruth@new.example").await);
    bill.post(
        "confirm another address",
        &ruth,
        "/email-confirmations",
        json!({ "token": token }),
        204,
    )
    .await;
    bill.post(
        "send feedback",
        &ruth,
        "/feedback",
        json!({ "message": "It is fine." }),
        202,
    )
    .await;
    let again = json!({ "email": "ruth@third.example", "password": "Another-Lake-77!" });
    ruth.put("/me/email", &again).await.expect(202);
    bill.request(
        "cancel another address",
        &ruth,
        (Method::DELETE, "/me/email"),
        Value::Null,
        204,
    )
    .await;
    ruth.put("/me/email", &again).await.expect(202);
    let token = link_token(&bill.world.last_mail_to("ruth@new.example").await);
    bill.post(
        "cancel another address by link",
        &ruth,
        "/email-change-cancellations",
        json!({ "token": token }),
        204,
    )
    .await;
}
