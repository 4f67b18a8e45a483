//! What must not be disclosed: in stolen tables, in logs, and in refused requests.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;
use vestibule_domain::values::folding;
use vestibule_local::Options;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector};
use vestibule_tests::people::{QUESTIONS, agent, dental, group_principal, member, provider, with};
use vestibule_tests::{World, another, code_in, link_token, options, pin_in};

/// A text that must not be found, and how to recognize it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Secret {
    what: &'static str,
    text: String,
}

impl Secret {
    /// Returns whether it is in a text. A short one must be a separate word and no part of a UUID, because
    /// it could occur in random letters by chance.
    fn is_in(&self, text: &str) -> bool {
        let (text, sought) = (text.to_lowercase(), self.text.to_lowercase());
        let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        text.match_indices(&sought).any(|(at, _)| {
            let (before, after) = (
                text[..at].chars().next_back(),
                text[at + sought.len()..].chars().next(),
            );
            sought.len() >= 9 || (apart(before) && apart(after) && !is_uuid(word_at(&text, at)))
        })
    }
}

/// Returns the letters, digits and hyphens around a position of a text.
fn word_at(text: &str, at: usize) -> &str {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    let start = text[..at].rfind(is_other).map_or(0, |i| {
        i + text[i..].chars().next().map_or(0, char::len_utf8)
    });
    let word = &text[start..];
    &word[..word.find(is_other).unwrap_or(word.len())]
}

fn is_uuid(word: &str) -> bool {
    let hyphens = word.match_indices('-').map(|(at, _)| at);
    word.len() == 36 && hyphens.eq([8, 13, 18, 23])
}

#[test]
fn a_short_secret_is_found_unless_it_is_a_part_of_a_uuid() {
    let ssn = Secret {
        what: "SSN",
        text: "4821".to_owned(),
    };
    for text in ["4821", "ssn=4821", "123-45-4821", "é 4821", "{\"n\":4821}"] {
        assert!(ssn.is_in(text), "{text}");
    }
    for text in ["14821", "\"18650222-c0d3-4821-9be4-2d3db9b5e689\""] {
        assert!(!ssn.is_in(text), "{text}");
    }
}

/// The journeys of users of all portals, their secrets, and what was observed.
struct Journeys<'w> {
    world: &'w World,
    /// What must not be in the tables, the logs or a problem.
    secrets: BTreeSet<Secret>,
    /// What must not be in the logs.
    persons: BTreeSet<Secret>,
    /// Every text of every item at each inspection.
    seen: BTreeSet<String>,
    /// The bodies of all problems.
    problems: Vec<String>,
}

/// Collects all texts of an attribute, including field names.
fn texts(value: &AttributeValue, into: &mut BTreeSet<String>) {
    match value {
        AttributeValue::S(s) | AttributeValue::N(s) => drop(into.insert(s.clone())),
        AttributeValue::B(b) => drop(into.insert(String::from_utf8_lossy(b.as_ref()).into_owned())),
        AttributeValue::Ss(list) | AttributeValue::Ns(list) => into.extend(list.iter().cloned()),
        AttributeValue::L(list) => list.iter().for_each(|v| texts(v, into)),
        AttributeValue::M(map) => map.iter().for_each(|(name, v)| {
            into.insert(name.clone());
            texts(v, into);
        }),
        AttributeValue::Bool(_) | AttributeValue::Null(_) => {}
        other => panic!("an attribute of a kind that is not looked into: {other:?}"),
    }
}

/// Returns which secrets are in which texts.
fn found(
    secrets: &BTreeSet<Secret>,
    texts: impl IntoIterator<Item = impl AsRef<str>>,
) -> Vec<(&Secret, String)> {
    let mut found = Vec::new();
    for text in texts {
        let text = text.as_ref();
        found.extend(
            secrets
                .iter()
                .filter(|s| s.is_in(text))
                .map(|s| (s, text.to_owned())),
        );
    }
    found
}

const PASSWORDS: [&str; 8] = [
    "Zephyr-Anvil-41!",
    "Quartz-Lantern-52!",
    "Maroon-Bicycle-63!",
    "Velvet-Compass-74!",
    "Copper-Orchard-85!",
    "Indigo-Sparrow-96!",
    "Walnut-Harvest-17!",
    "Saffron-Window-28!",
];

impl<'w> Journeys<'w> {
    fn new(world: &'w World) -> Self {
        Self {
            world,
            secrets: BTreeSet::new(),
            persons: BTreeSet::new(),
            seen: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn secret(&mut self, what: &'static str, text: &str) {
        self.secrets.insert(Secret {
            what,
            text: text.to_owned(),
        });
    }

    /// Adds a token, and the part of it that must not be in any table.
    fn token(&mut self, what: &'static str, token: &str) {
        self.secret(what, token);
        self.secret(what, token.rsplit_once('.').unwrap().1);
    }

    fn answer_to(&mut self, text: &str) {
        self.secret("answer", text);
        self.secret("answer, comparable", folding::letters(text).as_str());
    }

    fn person(&mut self, names: &[&str]) {
        self.persons.extend(names.iter().map(|n| Secret {
            what: "person",
            text: (*n).to_owned(),
        }));
    }

    /// Inspects the tables.
    async fn look(&mut self) {
        for table in [
            &self.world.instance.tables.main,
            &self.world.instance.tables.audit,
        ] {
            for item in self.world.items(table).await {
                texts(&AttributeValue::M(item), &mut self.seen);
            }
        }
    }

    /// Makes a request that must return this status.
    async fn send(
        &mut self,
        by: &Person,
        method: Method,
        path: &str,
        body: Value,
        expected: u16,
    ) -> Response {
        let response = by.send(method, path, Some(&body)).await.expect(expected);
        if response.status >= 400 {
            self.problems.push(response.text.clone());
        }
        response
    }

    async fn post(&mut self, by: &Person, path: &str, body: Value, expected: u16) -> Response {
        self.send(by, Method::POST, path, body, expected).await
    }

    /// Registers with a separate password. The tables are inspected before and after email is sent.
    async fn register(&mut self, portal: &str, body: Value, password: &str) -> String {
        for field in ["/first_name", "/last_name", "/email", "/username"] {
            if let Some(text) = body.pointer(field).and_then(Value::as_str) {
                self.person(&[text]);
            }
        }
        self.secret("password", password);
        let response = self
            .post(
                &self.world.on(portal),
                "/registrations",
                with(body, "/password", password),
                201,
            )
            .await;
        self.look().await;
        let username = response.text_at("/username").to_owned();
        self.person(&[&username]);
        username
    }

    async fn sign_in(&mut self, portal: &str, username: &str, password: &str) -> Person {
        self.post(
            &self.world.on(portal),
            "/sessions",
            json!({ "username": username, "password": "Entirely-Wrong-0!" }),
            401,
        )
        .await;
        let (client, response) = self.world.on(portal).sign_in(username, password).await;
        let response = response.expect(201);
        self.token("session token", response.text_at("/token"));
        self.look().await;
        client
    }

    async fn all(&mut self) {
        self.secret("wrong password", "Entirely-Wrong-0!");
        self.group().await;
        self.member().await;
        self.provider().await;
        self.others().await;
        self.world.instance.settle().await.unwrap();
        self.world.instance.deliver_pending().await.unwrap();
        self.look().await;
    }

    async fn group(&mut self) {
        self.person(&[
            "Blue Heron",
            "Ada",
            "Lovelock",
            "ada@blueheron.example",
            "ada.lovelock",
        ]);
        for (what, text) in [
            ("tax id", "001234567"),
            ("tax id", "4567"),
            ("address", "Kilnbrook"),
        ] {
            self.secret(what, text);
        }
        self.register("group", group_principal(), PASSWORDS[0])
            .await;
        let ruth = self.sign_in("group", "ruth.okafor", PASSWORDS[0]).await;
        let body = json!({ "first_name": "Ada", "last_name": "Lovelock", "email": "ada@blueheron.example", "role": "administrator" });
        let invited = self.post(&ruth, "/invitations", body.clone(), 201).await;
        self.post(&ruth, "/invitations", body, 409).await;
        self.look().await;
        let old = link_token(&self.world.last_mail_to("ada@blueheron.example").await);
        self.post(
            &ruth,
            &format!("/invitations/{}/resend", invited.text_at("/id")),
            json!({}),
            200,
        )
        .await;
        self.look().await;
        let new = link_token(&self.world.last_mail_to("ada@blueheron.example").await);
        self.token("invitation token", &old);
        self.token("invitation token", &new);
        self.secret("password", PASSWORDS[1]);
        let accept = |token: &str| {
            with(
                World::acceptance(token, "Ada", "ada@blueheron.example", "ada.lovelock"),
                "/password",
                PASSWORDS[1],
            )
        };
        let group = self.world.on("group");
        self.post(&group, "/invitations/accept", accept(&old), 404)
            .await;
        self.post(
            &group,
            "/invitations/accept",
            with(accept(&new), "/email", "eve@blueheron.example"),
            422,
        )
        .await;
        let accepted = self
            .post(&group, "/invitations/accept", accept(&new), 201)
            .await;
        self.look().await;
        let path = format!("/users/{}/approval", accepted.text_at("/user_id"));
        self.post(&ruth, &path, json!({ "services": ["enrollment"] }), 200)
            .await;
        self.secret("password", PASSWORDS[2]);
        let change = json!({ "current_password": PASSWORDS[0], "new_password": PASSWORDS[2] });
        self.send(
            &ruth,
            Method::PUT,
            "/sessions/current/password",
            change.clone(),
            200,
        )
        .await;
        self.send(
            &ruth,
            Method::PUT,
            "/sessions/current/password",
            change,
            422,
        )
        .await;
    }

    async fn member(&mut self) {
        for (what, text) in [
            ("date of birth", "1979-04-12"),
            ("date of birth", "19790412"),
            ("address", "Heronmere"),
        ] {
            self.secret(what, text);
        }
        let answers = [
            "Persimmon Crescent Nine",
            "Sir Barksalot",
            "Upper Quillingham",
        ];
        answers.iter().for_each(|a| self.answer_to(a));
        let answers: Vec<_> = QUESTIONS
            .iter()
            .zip(answers)
            .map(|(q, a)| json!({ "question": q, "answer": a }))
            .collect();
        self.register(
            "member",
            with(member(), "/security_answers", answers),
            PASSWORDS[3],
        )
        .await;
        let maria = self.sign_in("member", "maria.alvarez", PASSWORDS[3]).await;
        let first = pin_in(&self.world.last_letter().await, 6);
        self.look().await;
        self.post(&maria, "/pin/letter", json!({}), 201).await;
        self.look().await;
        let pin = pin_in(&self.world.last_letter().await, 6);
        self.secret("PIN", &first);
        self.secret("PIN", &pin);
        self.secret("wrong PIN", &another(&pin));
        self.post(
            &maria,
            "/pin/activation",
            json!({ "pin": another(&pin) }),
            422,
        )
        .await;
        self.post(&maria, "/pin/activation", json!({ "pin": pin }), 200)
            .await;
    }

    async fn provider(&mut self) {
        self.person(&["Lakeside", "Noor", "Petrakis", "noor@lakeside.example"]);
        for (what, text) in [
            ("tax id", "003456789"),
            ("address", "12 Harbor Lane"),
            ("address", "Willowmere"),
        ] {
            self.secret(what, text);
        }
        self.answer_to("A Turquoise Trabant");
        let body = with(
            provider(),
            "/hint",
            json!({ "question": "What did I drive?", "answer": "A Turquoise Trabant" }),
        );
        let username = self.register("provider", body, PASSWORDS[4]).await;
        let helen = self.sign_in("provider", &username, PASSWORDS[4]).await;
        let letter = self
            .world
            .letters()
            .await
            .into_iter()
            .find(|l| l.contains("Harbor Lane"))
            .unwrap();
        let pin = pin_in(&letter, 4);
        // Every date contains a year.
        if !["2026", "2027"].contains(&pin.as_str()) {
            self.secret("PIN", &pin);
        }
        self.post(&helen, "/pin/activation", json!({ "pin": pin }), 200)
            .await;
        let body = json!({ "first_name": "Noor", "last_name": "Petrakis", "email": "noor@lakeside.example", "services": ["claims"] });
        let noor = self
            .post(&helen, "/users", body, 201)
            .await
            .text_at("/username")
            .to_owned();
        self.person(&[&noor]);
        self.look().await;
        let code = code_in(&self.world.last_mail_to("noor@lakeside.example").await);
        self.secret("registration code", &code);
        self.secret("registration code", &code[2..]);
        self.secret("wrong code", &another(&code));
        self.secret("password", PASSWORDS[5]);
        self.answer_to("Under the Juniper");
        let hint = json!({ "question": "Where is it?", "answer": "Under the Juniper" });
        let redemption = |code: &str| json!({ "username": noor, "registration_code": code, "password": PASSWORDS[5], "hint": hint });
        let providers = self.world.on("provider");
        self.post(
            &providers,
            "/registration-codes/redemption",
            redemption(&another(&code)),
            422,
        )
        .await;
        self.post(
            &providers,
            "/registration-codes/redemption",
            redemption(&code),
            200,
        )
        .await;
        self.sign_in("provider", &noor, PASSWORDS[5]).await;
    }

    async fn others(&mut self) {
        for (what, text) in [
            ("tax id", "004567890"),
            ("SSN", "4821"),
            ("address", "Ferrystone"),
        ] {
            self.secret(what, text);
        }
        self.person(&[
            "Riverbend",
            "Yara",
            "Castellan",
            "yara@riverbend.example",
            "yara.castellan",
        ]);
        self.register("agent", agent(), PASSWORDS[6]).await;
        self.sign_in("agent", "dana.whitfield", PASSWORDS[6]).await;
        self.register("practice", dental(), PASSWORDS[7]).await;
        let omar = self.sign_in("practice", "omar.haddad", PASSWORDS[7]).await;
        let initial = "Initial-Password-39!";
        self.secret("initial password", initial);
        let body = json!({
            "first_name": "Yara", "last_name": "Castellan", "email": "yara@riverbend.example",
            "username": "yara.castellan", "initial_password": initial, "services": ["claims"],
        });
        self.post(&omar, "/users", body.clone(), 201).await;
        self.post(&omar, "/users", body, 409).await;
        self.sign_in("practice", "yara.castellan", initial).await;
    }

    /// Every kind of invalid request, with a secret in the invalid place.
    async fn refusals(&mut self) {
        let (group, people, practice) = (
            self.world.on("group"),
            self.world.on("member"),
            self.world.on("practice"),
        );
        for secret in [
            "Grackle-Nebula-55",
            "Pumpernickel",
            "987654321",
            "1961-08-30",
            "RC918273",
            "864213",
        ] {
            self.secret("what was sent", secret);
            for body in [
                with(member(), "/password", secret.repeat(30)),
                with(
                    member(),
                    "/verification/date_of_birth",
                    format!("{secret}x"),
                ),
                with(member(), "/verification/subscriber_last_name", secret),
                with(member(), "/verification/enrollee_id", format!("{secret}x")),
                with(member(), "/security_answers/0/answer", secret.repeat(30)),
                with(member(), "/security_answers/0/question", secret),
                with(member(), "/security_answers", secret),
                with(
                    member(),
                    "/postal_address",
                    json!({ "lines": [secret], "city": secret, "country": secret }),
                ),
                with(member(), "/postal_address", secret),
                with(member(), "/attests_signing_authority", secret),
                with(member(), "/verification", json!([secret])),
                with(member(), "/verification/ssn_last4", secret),
                with(member(), "/registration_type", secret),
                with(member(), "/accepted_agreements", json!({ "terms": secret })),
                with(member(), "/password", json!({ "is": secret })),
                with(
                    member(),
                    "/hint",
                    json!({ "question": secret, "answer": secret }),
                ),
            ] {
                self.refuse(&people, "/registrations", body).await;
            }
            for (path, body) in [
                (
                    "/sessions",
                    json!({ "username": "ruth.okafor", "password": secret }),
                ),
                (
                    "/sessions",
                    json!({ "username": "ruth.okafor", "password": secret.repeat(30) }),
                ),
                (
                    "/sessions",
                    json!({ "username": "ruth.okafor", "password": "x", "token_delivery": secret }),
                ),
                (
                    "/sessions",
                    json!({ "username": secret.repeat(30), "password": secret }),
                ),
                (
                    "/invitations/look-up",
                    json!({ "token": format!("vi.{secret}.{secret}") }),
                ),
                (
                    "/invitations/accept",
                    World::acceptance(secret, "Sam", "sam@blueheron.example", "sam.lind"),
                ),
                (
                    "/registrations",
                    with(group_principal(), "/verification/tax_id_last4", secret),
                ),
                (
                    "/registrations",
                    with(group_principal(), "/password", "short"),
                ),
                ("/pin/activation", json!({ "pin": secret })),
            ] {
                self.refuse(&group, path, body).await;
                self.refuse(&practice, path, json!([secret])).await;
            }
            let bearer = self.world.on("group").with_token(secret);
            self.refuse(&bearer, "/invitations", json!({})).await;
            // Not JSON at all, with or without the JSON content type.
            for kind in ["application/json", "text/plain"] {
                let request = group
                    .request(Method::POST, "/sessions")
                    .header("content-type", kind)
                    .body(format!("{{\"password\": \"{secret}\" oops"));
                let response = Response::to(request).await;
                assert!((400..500).contains(&response.status));
                self.problems.push(response.text.clone());
            }
        }
    }

    async fn refuse(&mut self, by: &Person, path: &str, body: Value) {
        let response = by.post(path, body).await;
        assert!(
            (400..500).contains(&response.status),
            "{path}: {} {}",
            response.status,
            response.text
        );
        self.problems.push(response.text.clone());
    }

    /// Checks the texts observed in the tables.
    fn check_tables(&self) {
        let clear = found(&self.secrets, &self.seen);
        assert!(clear.is_empty(), "in the tables in clear: {clear:#?}");
    }
}

#[tokio::test]
async fn stolen_tables_contain_no_secret() {
    let world = World::new().await;
    // First no message is sent, then all are: inspected before and after.
    world.instance.inbox.set_down(true);
    let mut early = Journeys::new(&world);
    early
        .register("group", group_principal(), PASSWORDS[0])
        .await;
    assert!(early.seen.iter().any(|t| t == "pending"));
    world.instance.settle().await.unwrap();
    early.look().await;
    early.check_tables();
    world.instance.inbox.set_down(false);

    let world = World::new().await;
    let mut journeys = Journeys::new(&world);
    journeys.all().await;
    assert!(journeys.secrets.len() > 40, "{}", journeys.secrets.len());
    assert!(journeys.seen.len() > 500, "{}", journeys.seen.len());
    journeys.check_tables();
}

#[tokio::test]
async fn a_plaintext_secret_in_the_tables_is_found() {
    let world = World::new().await;
    let mut journeys = Journeys::new(&world);
    journeys.member().await;
    journeys.check_tables();
    let secrets: Vec<_> = journeys.secrets.iter().cloned().collect();
    for (i, secret) in secrets.iter().enumerate() {
        // As a whole, in a sentence, and nested in a list and map.
        let planted = match i % 3 {
            0 => AttributeValue::S(secret.text.clone()),
            1 => AttributeValue::S(format!("it is \"{}\".", secret.text)),
            _ => AttributeValue::M(
                [(
                    "a".to_owned(),
                    AttributeValue::L(vec![AttributeValue::S(secret.text.to_uppercase())]),
                )]
                .into(),
            ),
        };
        let db = &world.instance.db;
        let item = [
            ("pk", AttributeValue::S("P".into())),
            ("sk", AttributeValue::S("P".into())),
            ("planted", planted),
        ];
        let item = item.map(|(k, v)| (k.to_owned(), v)).into();
        db.put_item()
            .table_name(&world.instance.tables.main)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
        let mut again = Journeys::new(&world);
        again.look().await;
        assert!(
            found(&journeys.secrets, &again.seen)
                .iter()
                .any(|(s, _)| *s == secret),
            "{secret:?}"
        );
    }
}

/// The captured log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Captures the whole log of this system, and the operational log of others, on this thread,
    /// for as long as the returned guard lives.
    fn taken(&self) -> (tracing::Dispatch, tracing::subscriber::DefaultGuard) {
        // With a single subscriber, `tracing` asks only the first thread that reaches a line of
        // code whether it is enabled, and that may be another test's. With two it asks both.
        let second = tracing::Dispatch::new(tracing_subscriber::registry());
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("info,vestibule=trace"))
            .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
            .with_ansi(false)
            .without_time()
            .with_writer(move || log.clone())
            .finish();
        (second, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

#[tokio::test]
async fn logs_contain_no_secrets_or_personal_data() {
    let log = Log::default();
    let _taken = log.taken();
    let faults = FaultInjector::default();
    let world = World::with(Options {
        interceptors: vec![faults.interceptor()],
        ..options()
    })
    .await;
    let mut journeys = Journeys::new(&world);
    journeys.all().await;
    journeys.refusals().await;
    unreliable(&mut journeys, &faults).await;

    let lines = log.lines();
    for expected in [
        "status=201",
        "status=401",
        "status=422",
        "status=503",
        "email delayed",
        "the store is unavailable",
    ] {
        assert!(
            lines.iter().any(|l| l.contains(expected)),
            "nothing was logged of {expected}, only:\n{}",
            lines.join("\n")
        );
    }
    let reported = found(&journeys.secrets, &lines);
    assert!(reported.is_empty(), "secrets in the log: {reported:#?}");
    let reported = found(&journeys.persons, &lines);
    assert!(reported.is_empty(), "persons in the log: {reported:#?}");

    // A logged secret is found.
    tracing::info!(
        who = "maria@example.com",
        "Alvarez entered {}",
        PASSWORDS[3]
    );
    assert_eq!(found(&journeys.secrets, log.lines()).len(), 1);
    assert!(found(&journeys.persons, log.lines()).len() >= 2);
}

/// SES is down and DynamoDB fails at every call; all of it is logged.
async fn unreliable(journeys: &mut Journeys<'_>, faults: &FaultInjector) {
    let world = journeys.world;
    let group = world.on("group").from_source("203.0.113.77");
    let number = |i: usize| {
        let body = with(
            with(group_principal(), "/verification/group_number", "GR20002"),
            "/verification/tax_id_last4",
            "5678",
        );
        with(
            with(body, "/username", format!("baker.number{i}")),
            "/email",
            "baker@millrace.example",
        )
    };
    journeys.secret("tax id", "5678");
    journeys.person(&["baker@millrace.example", "millrace", "Cedar"]);
    for i in 0..4 {
        journeys.person(&[&format!("baker.number{i}")]);
        for fault in [Fault::Unsent, Fault::ResponseLost] {
            faults.arm(i, fault);
            let sign_in = json!({ "username": "maria.alvarez", "password": PASSWORDS[3] });
            let response = world
                .on("member")
                .from_source("203.0.113.78")
                .post("/sessions", sign_in)
                .await;
            assert!(
                response.status == 503 || faults.disarm().1.is_none(),
                "{}",
                response.text
            );
            journeys.problems.push(response.text.clone());
        }
        faults.arm(i, Fault::Unsent);
        let response = group.registers(number(i)).await;
        assert!([503, 429].contains(&response.status), "{}", response.text);
        journeys.problems.push(response.text.clone());
        faults.disarm();
    }
    world.instance.inbox.set_down(true);
    let verification = json!({ "provider_id": "PV30001", "tax_id": "003456789" });
    let late = with(
        with(
            with(dental(), "/verification", verification),
            "/registration_type",
            "medical",
        ),
        "/username",
        "late.comer",
    );
    journeys
        .register(
            "practice",
            with(late, "/email", "late@comer.example"),
            PASSWORDS[0],
        )
        .await;
    world.instance.settle().await.unwrap();
    world.instance.deliver_pending().await.unwrap();
    world.instance.inbox.set_down(false);
}

#[tokio::test]
async fn no_refusal_repeats_a_secret_from_the_request() {
    let world = World::new().await;
    let mut journeys = Journeys::new(&world);
    journeys.all().await;
    journeys.refusals().await;
    assert!(journeys.problems.len() > 150, "{}", journeys.problems.len());
    let echoed = found(&journeys.secrets, &journeys.problems);
    assert!(echoed.is_empty(), "echoed: {echoed:#?}");
}
