//! The harness of the end-to-end tests: one system per test with a movable clock, people who
//! register, and their email.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test may panic"
)]

pub mod authenticator;
pub mod client;
pub mod fault_injection;
pub mod invariants;
pub mod measure;
pub mod meter;
pub mod people;
pub mod permissions;
pub mod template;
pub mod white_box;

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{self, Next};
use jiff::{SignedDuration, Timestamp};
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use vestibule_domain::policy::Slug;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::Clock;
use vestibule_local::client::Client;
use vestibule_local::instance::{Saved, at_work, serve_at_free_port};
use vestibule_local::openapi::openapi;
use vestibule_local::standins::ses::ReceivedMail;
use vestibule_local::{Instance, Options, sample_records};
use vestibule_secrets::HashParameters;
use vestibule_store::Tables;

use crate::client::{Person, Response};
use crate::fault_injection::{Fault, FaultInjector, Injected};
use crate::permissions::Permissions;

/// The time when tests start: a Monday morning in Chicago.
pub const START: &str = "2026-11-23T15:00:00Z";

/// The number of sample records of each kind in a test's system: those that tests refer to by name.
const KNOWN: usize = 10;

/// The system of one test.
#[derive(Debug)]
pub struct World {
    pub instance: Instance,
    /// The base URL.
    pub base: String,
}

/// Returns the options of a test's system: in memory, or in new tables of the DynamoDB at
/// `VESTIBULE_DYNAMODB_ENDPOINT`. Password hashing is reduced.
#[allow(clippy::disallowed_methods, reason = "the one setting of the tests")]
pub fn options() -> Options {
    let endpoint = std::env::var("VESTIBULE_DYNAMODB_ENDPOINT").ok();
    let own: u64 = StdRng::try_from_rng(&mut SysRng).unwrap().random();
    Options {
        clock: Clock::at(START.parse().unwrap()),
        hashing: HashParameters {
            memory_kib: 64,
            passes: 1,
            lanes: 1,
        },
        least_time: Duration::ZERO,
        dynamodb_endpoint: endpoint,
        // Tests about required factors use the policies as they are.
        optional_factors: true,
        tables: Tables {
            main: format!("vestibule-{own:x}"),
            audit: format!("vestibule-{own:x}-audit"),
        },
        ..Options::in_memory()
    }
}

/// Whether a system with these options can begin as a copy of one that was made before: in memory, where nobody
/// observes what making it takes.
fn can_be_copied(options: &Options) -> bool {
    options.data.is_none() && options.dynamodb_endpoint.is_none() && options.observers.is_empty()
}

async fn saved(make: impl AsyncFnOnce() -> World) -> Saved {
    let world = make().await;
    world
        .instance
        .save()
        .await
        .unwrap()
        .expect("it is in memory")
}

/// A system that is prepared once and set back before each use. Where its database can't be set back, because it
/// is another than the embedded one, it is prepared each time.
#[derive(Debug)]
pub struct Prepared<F, T> {
    prepare: F,
    ready: Option<(World, T, Option<Saved>)>,
}

impl<T, F: AsyncFn() -> (World, T)> Prepared<F, T> {
    /// To be prepared by this.
    pub fn new(prepare: F) -> Self {
        Self {
            prepare,
            ready: None,
        }
    }

    /// The system as it was prepared, with what its preparation gave.
    pub async fn again(&mut self) -> (&World, &T) {
        match &self.ready {
            Some((world, _, Some(saved))) => world.instance.restore(saved).await.unwrap(),
            _ => {
                let (world, given) = (self.prepare)().await;
                let saved = world.instance.save().await.unwrap();
                self.ready = Some((world, given, saved));
            }
        }
        let (world, given, _) = self.ready.as_ref().unwrap();
        (world, given)
    }

    /// Acts with a fault in each call that it can affect, one at a time, each time from the prepared state, and
    /// checks the result. The last check for each kind of fault is of an undisturbed run.
    pub async fn with_every_fault<R>(
        &mut self,
        faults: &FaultInjector,
        kinds: &[Fault],
        act: impl AsyncFn(&World, &T) -> R,
        mut check: impl AsyncFnMut(&World, &T, Injected, R),
    ) {
        for &fault in kinds {
            for call in 0.. {
                let (world, given) = self.again().await;
                faults.arm(call, fault);
                let result = act(world, given).await;
                let (calls, operation) = faults.disarm();
                let injected = Injected {
                    fault,
                    call,
                    operation,
                };
                check(world, given, injected, result).await;
                if operation.is_none() {
                    assert_eq!(call, calls, "every call has had its turn");
                    break;
                }
            }
        }
    }
}

/// The shipped policies in a folder of their own, that of one portal with texts in the place of others
/// and with more at its end.
pub fn portals_with(portal: &str, replaced: &[(&str, &str)], added: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(options().portals).unwrap() {
        let path = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        if path.file_stem().is_some_and(|stem| stem == portal) {
            for (from, to) in replaced {
                assert!(text.contains(from), "{portal}.toml contains {from}");
                text = text.replacen(from, to, 1);
            }
            text.push_str(added);
        }
        std::fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    folder
}

impl World {
    /// Starts a system with the sample records that tests refer to by name.
    pub async fn new() -> Self {
        Self::with(options()).await
    }

    /// Starts such a system with the policies of a folder.
    pub async fn with_portals(folder: &TempDir) -> Self {
        let portals = folder.path().to_owned();
        Self::with(Options {
            portals,
            ..options()
        })
        .await
    }

    /// Starts such a system with other options.
    pub async fn with(options: Options) -> Self {
        static KNOWN: OnceCell<Saved> = OnceCell::const_new();
        // Records are the same wherever policies and the time of the import are.
        let usual = options.portals == Options::in_memory().portals
            && options.clock.now() == START.parse().unwrap();
        if usual && can_be_copied(&options) {
            let known = KNOWN
                .get_or_init(|| saved(World::made_with_known_people))
                .await;
            return Self::copied(options, known).await;
        }
        let world = Self::empty(options).await;
        world.import_known_people().await;
        world
    }

    async fn made_with_known_people() -> Self {
        let world = Self::made(self::options()).await;
        world.import_known_people().await;
        world
    }

    async fn import_known_people(&self) {
        for &kind in RecordKind::ALL {
            let feed = sample_records::committed(kind);
            let known: Vec<_> = feed.lines().take(KNOWN + 1).collect();
            self.import(kind, &known.join("\n")).await;
        }
    }

    /// A system without records.
    pub async fn empty(options: Options) -> Self {
        static EMPTY: OnceCell<Saved> = OnceCell::const_new();
        if can_be_copied(&options) {
            let empty = EMPTY
                .get_or_init(|| saved(|| World::made(self::options())))
                .await;
            return Self::copied(options, empty).await;
        }
        Self::made(options).await
    }

    async fn copied(mut options: Options, of: &Saved) -> Self {
        options.observers.push(Permissions::default().interceptor());
        Self::serving(Instance::start_from(options, of).await.unwrap()).await
    }

    async fn made(mut options: Options) -> Self {
        options.observers.push(Permissions::default().interceptor());
        Self::serving(Instance::start(options).await.unwrap()).await
    }

    async fn serving(instance: Instance) -> Self {
        let router = instance.router().layer(middleware::from_fn(documented));
        let base = serve_at_free_port(router).await.unwrap();
        Self { instance, base }
    }

    /// Imports a feed. Every row must be valid.
    pub async fn import(&self, kind: RecordKind, feed: &str) {
        let plan = Slug::parse(sample_records::PLAN).unwrap();
        let imported = vestibule_import_records::import(
            &self.instance.app,
            &plan,
            kind,
            feed.as_bytes(),
            |_| {},
        );
        let summary = at_work("import-records", imported).await.unwrap();
        assert_eq!(
            summary.rejects,
            [],
            "every row of a test's feed must be valid"
        );
    }

    /// Returns a client on a portal that isn't signed in.
    pub fn on(&self, portal: &str) -> Person {
        Client::new(&self.base, portal).into()
    }

    pub fn now(&self) -> Timestamp {
        self.instance.app.clock.now()
    }

    /// Advances the clock.
    pub fn pass(&self, time: SignedDuration) {
        self.instance.app.clock.advance(time);
    }

    /// Advances the clock by days.
    pub fn pass_days(&self, days: i64) {
        self.pass(SignedDuration::from_hours(24 * days));
    }

    /// Advances the clock to a later time.
    pub fn wait_until(&self, moment: &str) {
        let wait = moment
            .parse::<Timestamp>()
            .unwrap()
            .duration_since(self.now());
        assert!(!wait.is_negative(), "{moment} has passed");
        self.pass(wait);
    }

    /// Delivers pending messages and returns the emails sent to an address.
    pub async fn mails_to(&self, address: &str) -> Vec<ReceivedMail> {
        self.instance.settle().await.unwrap();
        self.instance.inbox.to(address)
    }

    /// Returns the last email to an address. There must be one.
    pub async fn last_mail_to(&self, address: &str) -> ReceivedMail {
        let mails = self.mails_to(address).await;
        mails
            .into_iter()
            .next_back()
            .unwrap_or_else(|| panic!("no email was sent to {address}"))
    }

    /// Prints the pending letters and returns the texts of all letters so far, in printing order.
    pub async fn letters(&self) -> Vec<String> {
        self.instance.settle().await.unwrap();
        self.instance
            .letters()
            .into_iter()
            .map(|l| l.text)
            .collect()
    }

    /// Returns the text of the last letter. There must be one.
    pub async fn last_letter(&self) -> String {
        self.letters().await.pop().expect("no letter was printed")
    }

    /// Returns the reasons of the refused actions of a kind on the audit trail.
    pub async fn refusals(&self, action: &str) -> Vec<String> {
        let trail = self.items(&self.instance.tables.audit).await;
        let field = |e: &Item, name: &str| Some(e.get(name)?.as_s().ok()?.clone());
        let of_action = |e: &&Item| {
            field(e, "action").as_deref() == Some(action)
                && field(e, "outcome").as_deref() == Some("refused")
        };
        let refused = trail.iter().filter(of_action);
        refused.filter_map(|e| field(e, "reason")).collect()
    }

    /// Returns how many events on the audit trail are refusals with one of these reasons.
    pub async fn refused_because(&self, reasons: &[&str]) -> usize {
        let trail = self.items(&self.instance.tables.audit).await;
        let field = |e: &Item, name: &str| Some(e.get(name)?.as_s().ok()?.clone());
        let refused = trail.iter().filter(|e| {
            field(e, "outcome").as_deref() == Some("refused")
                && field(e, "reason").is_some_and(|reason| reasons.contains(&reason.as_str()))
        });
        refused.count()
    }

    pub async fn items(&self, table: &str) -> Vec<Item> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let got = self
                .instance
                .db
                .scan()
                .table_name(table)
                .set_exclusive_start_key(start)
                .send()
                .await
                .unwrap();
            items.extend(got.items.unwrap_or_default());
            start = got.last_evaluated_key;
            if start.is_none() {
                return items;
            }
        }
    }

    /// Returns all items of both tables as text: what somebody who stole the tables would have.
    pub async fn dump(&self) -> Vec<String> {
        let mut dumped = Vec::new();
        for table in [&self.instance.tables.main, &self.instance.tables.audit] {
            dumped.extend(self.items(table).await.iter().map(|i| {
                let sorted: std::collections::BTreeMap<_, _> = i.iter().collect();
                format!("{sorted:?}")
            }));
        }
        dumped
    }
}

/// Checks every response of every test: the OpenAPI document lists its status for the operation (AP-02).
async fn documented(request: Request, next: Next) -> axum::response::Response {
    static DOCUMENT: LazyLock<serde_json::Value> =
        LazyLock::new(|| serde_json::from_str(&openapi()).unwrap());
    let method = request.method().as_str().to_lowercase();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let operation = route
        .as_ref()
        .map(|r| &DOCUMENT["paths"][r.as_str()][&method]);
    if let Some(operation) = operation.filter(|o| o.is_object()) {
        let (status, id) = (response.status(), &operation["operationId"]);
        assert!(
            operation["responses"].get(status.as_str()).is_some(),
            "{id} returned {status}, which its description must list"
        );
    }
    response
}

/// A DynamoDB item.
pub type Item = HashMap<String, AttributeValue>;

/// Extracts the token from the link in an invitation.
pub fn link_token(mail: &ReceivedMail) -> String {
    let (_, rest) = mail
        .text
        .split_once("#token=")
        .expect("the email has no link");
    rest.split_whitespace().next().unwrap().to_owned()
}

/// Extracts the PIN from a letter: the only line of digits and spaces.
pub fn pin_in(letter: &str, digits: usize) -> String {
    let pins: Vec<String> = letter
        .lines()
        .map(|l| l.chars().filter(|c| !c.is_whitespace()).collect::<String>())
        .filter(|l| l.len() == digits && l.chars().all(|c| c.is_ascii_digit()))
        .collect();
    assert_eq!(pins.len(), 1, "expected one PIN in the letter:\n{letter}");
    pins[0].clone()
}

/// Extracts the registration code from an email.
pub fn code_in(mail: &ReceivedMail) -> String {
    let found = mail
        .text
        .split_whitespace()
        .map(|w| w.trim_matches(|c: char| !c.is_ascii_alphanumeric()));
    let mut codes = found.filter(|w| {
        w.len() == 8 && w.starts_with("RC") && w[2..].chars().all(|c| c.is_ascii_digit())
    });
    codes
        .next()
        .expect("the email has no registration code")
        .to_owned()
}

/// Renders an email for a snapshot: subject and text, with random parts replaced by names.
pub fn shown(mail: &ReceivedMail, random: &[(&str, &str)]) -> String {
    masked(
        &format!("Subject: {}\n\n{}", mail.subject, mail.text),
        random,
    )
}

/// Replaces each random part of a text, all of which must be present, by its name.
pub fn masked(text: &str, random: &[(&str, &str)]) -> String {
    random.iter().fold(text.to_owned(), |text, (part, name)| {
        assert!(text.contains(part), "{name} is missing from:\n{text}");
        text.replace(part, name)
    })
}

/// Returns the status of a problem with a single field, the field, and what is wrong with it.
pub fn fault(response: &Response) -> (u16, &str, &str) {
    assert!(response.fields().len() < 2, "{}", response.text);
    (
        response.status,
        response.text_at("/errors/0/field"),
        response.text_at("/errors/0/detail"),
    )
}

/// Returns a different code of the same form.
pub fn another(code: &str) -> String {
    let last = code.chars().next_back().unwrap();
    let other = if last == '9' {
        '0'
    } else {
        char::from(last as u8 + 1)
    };
    format!("{}{other}", &code[..code.len() - 1])
}

/// The shipped policies, of which that of one portal is invalid.
pub fn portals_with_invalid(
    portal: &str,
) -> std::sync::Arc<vestibule_domain::policy::portals::Portals> {
    let folder = portals_with(portal, &[("title = ", "headline = ")], "");
    std::sync::Arc::new(vestibule_http::portals::open(folder.path()).unwrap())
}
