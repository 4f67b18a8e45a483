//! How fast functions start and how much they take: each binary on a stand-in of Lambda's Runtime API, in
//! turns with the least function that there can be (`shared/http/examples/hello.rs`) and the least that uses AWS
//! (`hello_aws.rs` beside it).
//!
//! ```sh
//! make bench-binaries
//! cargo run -p vestibule-tests --features measure --example measure_cold_start -- target/release 10
//! ```
//!
//! With `counts` in the place of the number, it counts what does not depend on the machine: instructions (with
//! valgrind, which must be installed; all of them, and those of the main thread, on which nothing is hashed), page
//! faults, connections and calls to AWS before the first response.
//!
//! Times are CPU times of the function's own process, which another program on the machine changes least, and
//! beside them wall times. AWS is the stand-ins of `cargo portal`, on loopback and without TLS.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement looks at the clock"
)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use aws_sdk_s3::primitives::ByteStream;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, mpsc};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_local::instance::{FEEDS, LETTERS, SEALS, serve_at_free_port};
use vestibule_local::{Options, sample_records};
use vestibule_tests::World;
use vestibule_tests::measure::Killed;
use vestibule_tests::people::{PASSWORD, agent, group_principal, member, with};

/// What other functions are compared with: the keyring, with KMS, and one item.
const HELLO_AWS: &str = "examples/hello_aws";

/// The ports of what stands in for AWS: this one and the next three.
const AWS_PORT: u16 = 28_600;

/// The ports of what counts connections to the stand-ins: this one and the next three.
const PROXY_PORT: u16 = 28_620;

/// Where a body has another number each time.
const NTH: &str = "NTH";

/// How many sign-ins of one process are measured.
const SIGN_INS: usize = 50;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rounds] = arguments.as_slice() else {
        println!("Which folder of binaries, and how many rounds? Such as: -- target/release 10");
        return;
    };
    let folder = PathBuf::from(folder);
    let system = System::start().await;
    let functions = system.functions().await;
    if rounds == "counts" {
        return system.print_counts(&folder, &functions).await;
    }
    let rounds = rounds.parse::<usize>().unwrap();

    let hello = folder.join("examples/hello");
    let mut seen = BTreeMap::<&str, Vec<Seen>>::new();
    let mut least = Vec::new();
    for _ in 0..rounds {
        for (name, event) in &functions {
            let binary = binary(&folder, name);
            if binary.exists() {
                least.push(system.measure(&hello, &functions["my-profile"]).await);
                let one = system.measure(&binary, event).await;
                seen.entry(name).or_default().push(one);
            }
        }
    }
    println!(
        "| function | binary, MiB | start, CPU ms (wall) | x hello | first event, CPU ms (wall) | both without hashing, x hello | second event, CPU ms (wall) | peak memory, MiB |\n|---|---|---|---|---|---|---|---|"
    );
    let hello_line = Line::of(&hello, &least);
    hello_line.print("hello", &hello_line);
    for (name, all) in &seen {
        let called = name.trim_start_matches("examples/");
        Line::of(&binary(&folder, name), all).print(called, &hello_line);
    }

    let (sign_in, event) = (folder.join("sign-in"), &functions["sign-in"]);
    // In turns, because the machine's speed changes.
    let mut shares = Vec::new();
    for _ in 0..rounds {
        let cpu = system.many(&sign_in, event, SIGN_INS).await / SIGN_INS as f64;
        shares.push((cpu, argon2id_ms(&folder)));
    }
    let median = |of: fn(&(f64, f64)) -> f64| median(shares.iter().map(of).collect());
    println!(
        "\nA sign-in takes {:.2} ms of CPU, a bare Argon2id verification {:.2} ms: {:.2} sign-ins for each of its turns.",
        median(|(cpu, _)| *cpu),
        median(|(_, argon2id)| *argon2id),
        median(|(cpu, argon2id)| argon2id / cpu),
    );
}

/// The binary of an event, whose name may go on after a colon.
fn binary(folder: &Path, name: &str) -> PathBuf {
    folder.join(name.split(':').next().unwrap())
}

fn mib(binary: &Path) -> f64 {
    std::fs::metadata(binary).unwrap().len() as f64 / 1_048_576.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A bare verification, built with the same profile.
fn argon2id_ms(folder: &Path) -> f64 {
    let program = folder.join("examples/argon2id");
    let reported = std::process::Command::new(program).output().unwrap();
    String::from_utf8(reported.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

/// The measurements of one process.
#[derive(Clone, Copy)]
struct Seen {
    start: Took,
    first: Took,
    second: Took,
    peak_mib: f64,
}

/// A time, in milliseconds.
#[derive(Clone, Copy)]
struct Took {
    cpu: f64,
    /// The CPU time of the main thread alone: passwords are hashed on another.
    main: f64,
    wall: f64,
}

/// The medians of a binary.
struct Line {
    size_mib: f64,
    seen: Seen,
}

impl Line {
    fn of(binary: &Path, all: &[Seen]) -> Self {
        let median = |of: &dyn Fn(&Seen) -> f64| median(all.iter().map(of).collect());
        let took = |of: fn(&Seen) -> Took| Took {
            cpu: median(&|s| of(s).cpu),
            main: median(&|s| of(s).main),
            wall: median(&|s| of(s).wall),
        };
        Self {
            size_mib: mib(binary),
            seen: Seen {
                start: took(|s| s.start),
                first: took(|s| s.first),
                second: took(|s| s.second),
                peak_mib: median(&|s| s.peak_mib),
            },
        }
    }

    fn print(&self, name: &str, hello: &Self) {
        let whole = |s: &Seen| s.start.main + s.first.main;
        let Seen {
            start,
            first,
            second,
            peak_mib,
        } = &self.seen;
        println!(
            "| {name} | {:.1} | {:.1} ({:.0}) | {:.2} | {:.1} ({:.0}) | {:.2} | {:.1} ({:.0}) | {peak_mib:.1} |",
            self.size_mib,
            start.cpu,
            start.wall,
            start.cpu / hello.seen.start.cpu,
            first.cpu,
            first.wall,
            whole(&self.seen) / whole(&hello.seen),
            second.cpu,
            second.wall,
        );
    }
}

/// The stand-ins, people in them, and the Runtime API.
struct System {
    world: World,
    api: String,
    runtime: Mutex<RuntimeEnd>,
}

/// Forwards connections to the stand-ins for AWS and counts them, and the requests that they carry.
struct Proxies {
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Proxies {
    async fn start() -> Self {
        let proxies = Self {
            connections: Arc::default(),
            calls: Arc::default(),
        };
        for nth in 0..4 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT + nth)).await;
            let listener = listener.unwrap();
            let connections = Arc::clone(&proxies.connections);
            let calls = Arc::clone(&proxies.calls);
            tokio::spawn(async move {
                while let Ok((near, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let far = TcpStream::connect((Ipv4Addr::LOCALHOST, AWS_PORT + nth)).await;
                    let (mut near_in, mut near_out) = near.into_split();
                    let (mut far_in, mut far_out) = far.unwrap().into_split();
                    tokio::spawn(async move {
                        let _ = tokio::io::copy(&mut far_in, &mut near_out).await;
                    });
                    let calls = Arc::clone(&calls);
                    tokio::spawn(async move {
                        let mut bytes = vec![0; 65_536];
                        while let Ok(read @ 1..) = near_in.read(&mut bytes).await {
                            let starts = bytes[..read].windows(11);
                            let starts = starts.filter(|w| w == b" HTTP/1.1\r\n").count();
                            calls.fetch_add(starts, Ordering::SeqCst);
                            if far_out.write_all(&bytes[..read]).await.is_err() {
                                break;
                            }
                        }
                    });
                }
            });
        }
        proxies
    }

    /// Returns the connections and calls since the last time.
    fn take(&self) -> (usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        (take(&self.connections), take(&self.calls))
    }
}

/// The page faults of a process so far, of which the kernel could serve almost all from memory.
fn page_faults(process: u32) -> u64 {
    let reported = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name of the program, which may contain spaces, ends with the last parenthesis.
    let (_, fields) = reported.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    let count = |nth: usize| fields[nth].parse::<u64>().unwrap();
    count(7) + count(9)
}

/// The channels of the Runtime API.
struct RuntimeEnd {
    asked: mpsc::UnboundedReceiver<Instant>,
    answered: mpsc::UnboundedReceiver<(Instant, bool, Bytes)>,
    events: mpsc::UnboundedSender<Value>,
    given: usize,
}

/// The side of it that functions call.
#[derive(Clone)]
struct FunctionEnd {
    asked: mpsc::UnboundedSender<Instant>,
    answered: mpsc::UnboundedSender<(Instant, bool, Bytes)>,
    events: Arc<Mutex<mpsc::UnboundedReceiver<Value>>>,
}

async fn next(State(end): State<FunctionEnd>) -> Response {
    let mut events = end.events.lock().await;
    end.asked.send(Instant::now()).unwrap();
    let event = events.recv().await.unwrap();
    let deadline = Timestamp::now().as_millisecond() + 60_000;
    let headers = [
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned(),
        ),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:measured".to_owned(),
        ),
    ];
    (headers, event.to_string()).into_response()
}

impl System {
    async fn start() -> Self {
        let world = World::with(Options {
            aws: Some((Ipv4Addr::LOCALHOST, AWS_PORT).into()),
            optional_factors: true,
            ..Options::in_memory()
        })
        .await;
        let (asked, hears_asked) = mpsc::unbounded_channel();
        let (answered, hears_answered) = mpsc::unbounded_channel();
        let (events, gives_events) = mpsc::unbounded_channel();
        let end = FunctionEnd {
            asked,
            answered,
            events: Arc::new(Mutex::new(gives_events)),
        };
        let response = |right: bool| {
            post(async move |State(end): State<FunctionEnd>, body: Bytes| {
                end.answered.send((Instant::now(), right, body)).unwrap();
                StatusCode::ACCEPTED
            })
        };
        let api = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                response(true),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", response(false))
            .route("/2018-06-01/runtime/init/error", response(false))
            .with_state(end);
        let api = serve_at_free_port(api).await.unwrap();
        let runtime = Mutex::new(RuntimeEnd {
            asked: hears_asked,
            answered: hears_answered,
            events,
            given: 0,
        });
        Self {
            world,
            api,
            runtime,
        }
    }

    /// A real event for each function, by people who have registered.
    async fn functions(&self) -> BTreeMap<&'static str, Value> {
        let world = &self.world;
        world.register("group", group_principal()).await;
        world.register("member", member()).await;
        world.register("agent", agent()).await;
        world.help_desk().await;
        let token = async |portal: &str, username: &str| {
            let body =
                json!({ "username": username, "password": PASSWORD, "token_delivery": "body" });
            let signed_in = world.on(portal).post("/sessions", body).await;
            signed_in.text_at("/token").to_owned()
        };
        let ruth = token("group", "ruth.okafor").await;
        let maria = token("member", "maria.alvarez").await;
        // The functions read the shipped policies, which require a second factor of the help desk.
        let ada = token("help-desk", "ada.lind").await;
        let desk = world.on("help-desk").with_token(&ada);
        desk.adds_app(world, "Phone").await;
        let key = format!("feeds/{}/group/2026-11-01.full.csv", sample_records::PLAN);
        let feed: Vec<_> = sample_records::committed(RecordKind::Group)
            .lines()
            .take(11)
            .map(str::to_owned)
            .collect();
        let body = ByteStream::from(feed.join("\n").into_bytes());
        let put = world.instance.s3.put_object().bucket(FEEDS).key(&key);
        put.body(body).send().await.unwrap();

        let scheduled = json!({ "version": "0", "source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {} });
        let sign_in =
            json!({ "username": "ruth.okafor", "password": PASSWORD, "token_delivery": "body" });
        let read = gateway("GET", "/{portal}/me", "group", Some(&ruth), Value::Null);
        BTreeMap::from([
            (HELLO_AWS, read.clone()),
            (
                "register",
                gateway(
                    "POST",
                    "/{portal}/registrations",
                    "member",
                    None,
                    with(member(), "/verification/enrollee_id", NTH),
                ),
            ),
            (
                "invite",
                gateway(
                    "GET",
                    "/{portal}/invitations",
                    "group",
                    Some(&ruth),
                    Value::Null,
                ),
            ),
            (
                "activate-pin",
                gateway(
                    "GET",
                    "/{portal}/pin/letter",
                    "member",
                    Some(&maria),
                    Value::Null,
                ),
            ),
            (
                "sign-in",
                gateway("POST", "/{portal}/sessions", "group", None, sign_in),
            ),
            (
                "reset-password",
                gateway(
                    "POST",
                    "/{portal}/password-resets",
                    "group",
                    None,
                    json!({ "username": format!("nobody.{NTH}") }),
                ),
            ),
            (
                "manage-users",
                gateway("GET", "/{portal}/users", "group", Some(&ruth), Value::Null),
            ),
            (
                "help-desk",
                gateway(
                    "POST",
                    "/{portal}/accounts/search",
                    "help-desk",
                    Some(&ada),
                    json!({ "portal": "member", "username": "maria.alvarez" }),
                ),
            ),
            ("my-profile", read),
            (
                "my-profile: member",
                gateway("GET", "/{portal}/me", "member", Some(&maria), Value::Null),
            ),
            (
                "sign-in: own sessions",
                gateway(
                    "GET",
                    "/{portal}/sessions",
                    "group",
                    Some(&ruth),
                    Value::Null,
                ),
            ),
            (
                "register: the portal",
                gateway("GET", "/{portal}", "group", None, Value::Null),
            ),
            (
                "openid-connect",
                gateway("GET", "/{portal}/jwks.json", "group", None, Value::Null),
            ),
            (
                "pages",
                gateway("GET", "/{portal}/app", "group", None, Value::Null),
            ),
            (
                "audit-trail",
                gateway(
                    "GET",
                    "/{portal}/audit-events",
                    "group",
                    Some(&ruth),
                    Value::Null,
                ),
            ),
            ("seal-audit-trail", scheduled.clone()),
            ("deliver-mail", scheduled.clone()),
            ("print-letters", scheduled),
            ("inactivity-sweep", json!({})),
            (
                "import-records",
                json!({ "Records": [{ "s3": { "bucket": { "name": FEEDS }, "object": { "key": key } } }] }),
            ),
        ])
    }

    fn spawn(&self, binary: &Path) -> Killed {
        self.spawn_at(Command::new(binary), AWS_PORT)
    }

    /// Starts a function whose AWS is at this port and the next three.
    fn spawn_at(&self, mut command: Command, aws_port: u16) -> Killed {
        let endpoint = |nth: u16| format!("http://127.0.0.1:{}", aws_port + nth);
        let portals = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/portals");
        let child = command
            .env_clear()
            .env(
                "AWS_LAMBDA_RUNTIME_API",
                self.api.trim_start_matches("http://"),
            )
            .envs([
                ("AWS_LAMBDA_FUNCTION_NAME", "measured"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH", "true"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
                ("KMS_KEY_ID", "alias/vestibule"),
                ("FEEDS_BUCKET", FEEDS),
                ("LETTERS_BUCKET", LETTERS),
                ("SEALS_BUCKET", SEALS),
            ])
            .env("PORTALS_DIR", portals)
            .env("TABLE", &self.world.instance.tables.main)
            .env("AUDIT_TABLE", &self.world.instance.tables.audit)
            .env("AWS_ENDPOINT_URL_DYNAMODB", endpoint(0))
            .env("AWS_ENDPOINT_URL_KMS", endpoint(1))
            .env("AWS_ENDPOINT_URL_SES", endpoint(2))
            .env("AWS_ENDPOINT_URL_S3", endpoint(3))
            .stdout(Stdio::null())
            .spawn();
        Killed(child.unwrap())
    }

    /// Starts a binary and gives it an event twice.
    async fn measure(&self, binary: &Path, event: &Value) -> Seen {
        let mut runtime = self.runtime.lock().await;
        let began = Instant::now();
        let child = self.spawn(binary);
        let process = child.0.id();
        let asked = runtime.asked(binary).await;
        let start = Took {
            cpu: cpu_ms(process),
            main: main_ms(process),
            wall: ms(asked - began),
        };
        let first = runtime.give(binary, process, event).await;
        let second = runtime.give(binary, process, event).await;
        Seen {
            start,
            first,
            second,
            peak_mib: peak_mib(process),
        }
    }

    /// Prints the counts of every function for which there is a binary.
    async fn print_counts(&self, folder: &Path, functions: &BTreeMap<&'static str, Value>) {
        println!(
            "| function | binary, MiB | instructions, million | of the main thread | x hello_aws | page faults | connections | calls |\n|---|---|---|---|---|---|---|---|"
        );
        let proxies = Proxies::start().await;
        let mut hello_aws = None;
        // What the others are compared with is first.
        let (first, others): (Vec<_>, Vec<_>) =
            functions.iter().partition(|(name, _)| **name == HELLO_AWS);
        for (name, event) in first.into_iter().chain(others) {
            let binary = binary(folder, name);
            if !binary.exists() {
                continue;
            }
            let (faults, connections, calls) = self.count(&binary, event, &proxies).await;
            let (instructions, main) = self.instructions(&binary, event).await;
            let least = *hello_aws.get_or_insert(main);
            println!(
                "| {} | {:.1} | {:.1} | {:.1} | {:.2} | {faults} | {connections} | {calls} |",
                name.trim_start_matches("examples/"),
                mib(&binary),
                instructions / 1e6,
                main / 1e6,
                main / least,
            );
        }
    }

    /// The page faults, connections to AWS and calls of AWS until the first response.
    async fn count(&self, binary: &Path, event: &Value, proxies: &Proxies) -> (u64, usize, usize) {
        let mut runtime = self.runtime.lock().await;
        proxies.take();
        let child = self.spawn_at(Command::new(binary), PROXY_PORT);
        let process = child.0.id();
        runtime.asked(binary).await;
        runtime.give(binary, process, event).await;
        let (connections, calls) = proxies.take();
        (page_faults(process), connections, calls)
    }

    /// The instructions until the first response: of all threads, and of the main thread.
    async fn instructions(&self, binary: &Path, event: &Value) -> (f64, f64) {
        let mut runtime = self.runtime.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let mut valgrind = Command::new("valgrind");
        let path = folder.path().join("counted");
        valgrind.args(["--tool=callgrind", "--quiet", "--separate-threads=yes"]);
        valgrind.arg(format!("--callgrind-out-file={}", path.display()));
        valgrind.arg(binary);
        let mut child = self.spawn_at(valgrind, AWS_PORT);
        let process = child.0.id();
        runtime.asked(binary).await;
        runtime.give(binary, process, event).await;
        let ended = Command::new("kill").arg(process.to_string()).status();
        assert!(ended.unwrap().success());
        child.0.wait().unwrap();
        let (mut all, mut main) = (0.0, 0.0);
        // One file per thread, numbered from 01.
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let report = std::fs::read_to_string(&path).unwrap();
            let line = report.lines().find_map(|l| l.strip_prefix("totals: "));
            let Some(count) = line.and_then(|l| l.trim().parse::<f64>().ok()) else {
                continue;
            };
            all += count;
            if path.to_string_lossy().ends_with("-01") {
                main = count;
            }
        }
        assert!(main > 0.0, "valgrind reports a total of the main thread");
        (all, main)
    }

    /// The CPU time of so many events, after the first two, in milliseconds.
    async fn many(&self, binary: &Path, event: &Value, times: usize) -> f64 {
        let mut runtime = self.runtime.lock().await;
        let child = self.spawn(binary);
        let process = child.0.id();
        runtime.asked(binary).await;
        for _ in 0..2 {
            runtime.give(binary, process, event).await;
        }
        let mut cpu = 0.0;
        for _ in 0..times {
            cpu += runtime.give(binary, process, event).await.cpu;
        }
        cpu
    }
}

impl RuntimeEnd {
    /// Returns when the function requests an event.
    async fn asked(&mut self, binary: &Path) -> Instant {
        tokio::select! {
            asked = self.asked.recv() => asked.unwrap(),
            reported = self.answered.recv() => panic!("{} can't start: {reported:?}", binary.display()),
        }
    }

    /// Gives the function an event; it must succeed. The time ends when it requests another.
    async fn give(&mut self, binary: &Path, process: u32, event: &Value) -> Took {
        let mut event = event.clone();
        // From another place and about another record each time, so that no counter of guesses is full.
        self.given += 1;
        if let Some(source) = event.pointer_mut("/requestContext/identity/sourceIp") {
            *source = format!("198.51.{}.{}", self.given / 250, self.given % 250).into();
        }
        if let Some(Value::String(body)) = event.get_mut("body") {
            *body = body.replace(NTH, &format!("{:09}", self.given));
        }
        let (cpu, main) = (cpu_ms(process), main_ms(process));
        let began = Instant::now();
        self.events.send(event).unwrap();
        let (answered, right, body) = self.answered.recv().await.unwrap();
        let text = String::from_utf8_lossy(&body);
        let response: Value = serde_json::from_slice(&body).unwrap_or_default();
        let status = response["statusCode"].as_u64().unwrap_or(200);
        // Who registers with another record each time is in none of them, and is hashed all the same.
        let expected = status < 300 || binary.ends_with("register") && status == 403;
        assert!(right && expected, "{}: {text}", binary.display());
        self.asked.recv().await.unwrap();
        Took {
            cpu: cpu_ms(process) - cpu,
            main: main_ms(process) - main,
            wall: ms(answered - began),
        }
    }
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The CPU time that a process has had, in milliseconds.
fn cpu_ms(process: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads.filter_map(|t| thread_ms(&t.ok()?.path())).sum()
}

/// The CPU time that its main thread has had.
fn main_ms(process: u32) -> f64 {
    thread_ms(Path::new(&format!("/proc/{process}/task/{process}"))).unwrap()
}

/// The CPU time of a thread, as Linux's scheduler counts it.
fn thread_ms(thread: &Path) -> Option<f64> {
    let reported = std::fs::read_to_string(thread.join("schedstat")).ok()?;
    let ns: f64 = reported.split(' ').next()?.parse().ok()?;
    Some(ns / 1e6)
}

/// The most memory that a process has held at a time, in MiB.
fn peak_mib(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib / 1024.0
}

/// What API Gateway sends.
fn gateway(method: &str, route: &str, portal: &str, token: Option<&str>, body: Value) -> Value {
    let path = route.replace("{portal}", portal);
    let mut headers = json!({ "accept": "application/json", "content-type": "application/json", "host": "localhost" });
    if let Some(token) = token {
        headers["authorization"] = format!("Bearer {token}").into();
    }
    let multi: serde_json::Map<_, _> = headers
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    json!({
        "resource": route, "path": path, "httpMethod": method,
        "headers": headers, "multiValueHeaders": multi,
        "queryStringParameters": null, "multiValueQueryStringParameters": null,
        "pathParameters": { "portal": portal }, "stageVariables": null,
        "requestContext": {
            "resourcePath": route, "httpMethod": method, "path": format!("/live{path}"), "stage": "live",
            "protocol": "HTTP/1.1", "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "accountId": "123456789012", "apiId": "1234567890",
            "identity": { "sourceIp": "192.0.2.17", "userAgent": "a measurement" },
        },
        "body": if body.is_null() { Value::Null } else { body.to_string().into() },
        "isBase64Encoded": false,
    })
}
