//! `cargo portal`, as somebody uses it: the binary, its pages, its errors.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

const PORTAL: &str = env!("CARGO_BIN_EXE_portal");
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../portals");
const PASSWORD: &str = "Quiet-River-58!";

/// Runs a command to its end.
fn run(arguments: &[&str]) -> Output {
    Command::new(PORTAL).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A command that must fail with one clear paragraph; returns that.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(
        said.starts_with("error: ") && !said.contains("panicked"),
        "{said}"
    );
    said
}

/// A system that runs.
struct Running {
    child: Child,
    base: String,
    lines: Lines<BufReader<ChildStdout>>,
    announced: String,
}

impl Running {
    /// Starts one on a free port, and waits until it says that it runs.
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(PORTAL)
            .args(["--port", "0", "--data"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut running = Self {
            child,
            base: String::new(),
            lines,
            announced: String::new(),
        };
        running.wait_for_address();
        running
    }

    fn wait_for_address(&mut self) {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            self.announced += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once("Vestibule runs at ") {
                let address = rest.split_whitespace().next().unwrap();
                self.base = address.trim_end_matches('/').to_owned();
                return;
            }
        }
        let mut said = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        panic!("it did not start:\n{}{said}", self.announced);
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(self.at(path)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// A page, which must be there.
    async fn page(&self, path: &str) -> String {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// Asks again until a page holds what is waited for.
    async fn page_with(&self, path: &str, wanted: &str) -> String {
        for _ in 0..300 {
            let text = self.page(path).await;
            if text.contains(wanted) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never held {wanted}");
    }

    async fn post(&self, path: &str, body: &Value, token: &str) -> Value {
        let request = reqwest::Client::new()
            .post(self.at(path))
            .json(body)
            .bearer_auth(token);
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn sign_in(&self, portal: &str, username: &str) -> String {
        let body = json!({ "username": username, "password": PASSWORD, "token_delivery": "body" });
        let answer = self.post(&format!("/{portal}/sessions"), &body, "").await;
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Asks it to stop, as a service manager does; returns what it said.
    #[cfg(unix)]
    fn stop(mut self) -> String {
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(asked.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        self.lines
            .by_ref()
            .map(|line| line.unwrap() + "\n")
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder with some of the policies.
fn policies(names: &[&str]) -> TempDir {
    let folder = folder();
    for name in names {
        let file = format!("{name}.toml");
        fs::copy(Path::new(POLICIES).join(&file), folder.path().join(&file)).unwrap();
    }
    folder
}

/// Changes a policy of such a folder.
fn change(policies: &TempDir, name: &str, from: &str, to: &str) {
    let file = policies.path().join(format!("{name}.toml"));
    let policy = fs::read_to_string(&file).unwrap();
    assert!(policy.contains(from));
    fs::write(file, policy.replace(from, to)).unwrap();
}

#[test]
fn the_demonstration_tells_every_journey_and_ends_well() {
    let output = run(&["demo"]);
    let told = stdout(&output);
    assert!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for journey in [
        "Group: ",
        "Member: ",
        "Provider: ",
        "Practice: ",
        "Help desk: ",
        "Agent: ",
        "Organizations: ",
        "Bulk: ",
        "Audit: ",
    ] {
        assert!(told.lines().any(|l| l.starts_with(journey)), "{journey}");
    }
    for part in [
        "POST /group/registrations",
        "→ 201 Created",
        "│ To:      sam@blueheron.example",
        "Your PIN for Harborlight for Members",
        "Complete your registration on Harborlight for Providers",
        "urn:vestibule:problem:not-open",
        "1 record saved, 1 account changed",
        "POST /practice/me/organizations",
        "\"next_step\": \"choose_organization\"",
        "not-an-address,Una,Reed,user,",
        "mina.ortiz,Mina,Ortiz,",
        "nothing is altered, missing or added.",
        "All as promised.",
    ] {
        assert!(told.contains(part), "{part}");
    }
    assert!(!told.contains(PASSWORD), "passwords are masked");
    assert!(
        !told.contains('\x1b'),
        "there are no colors where there is no terminal"
    );
}

#[test]
fn the_demonstration_tells_one_journey_alone() {
    let output = run(&["demo", "--only", "practice"]);
    let told = stdout(&output);
    assert!(output.status.success());
    assert!(
        told.contains("Practice: ") && !told.contains("Group: ") && told.contains("1 journey,"),
        "{told}"
    );
}

#[test]
fn the_demonstration_fails_where_a_portal_does_otherwise() {
    let changed = policies(&["group"]);
    change(&changed, "group", "approval = true", "approval = false");
    let output = run(&["demo", "--only", "group", "--portals", text(changed.path())]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("expected: \"await_approval\"") && said.contains("journey:  Group"),
        "{said}"
    );
}

#[test]
fn help_shows_examples() {
    for (command, example) in [
        (&["--help"][..], "cargo portal --port 0"),
        (
            &["serve", "--help"],
            "cargo portal serve --portals my-portals",
        ),
        (&["demo", "--help"], "cargo portal demo --only group"),
        (&["reset", "--help"], "cargo portal reset --data"),
        (&["openapi", "--help"], "cargo portal openapi >"),
    ] {
        let output = run(command);
        let help = stdout(&output);
        assert!(
            output.status.success() && help.contains("Examples:") && help.contains(example),
            "{help}"
        );
    }
}

#[test]
fn openapi_prints_the_description_of_the_api() {
    let document: Value = serde_json::from_slice(&run(&["openapi"]).stdout).unwrap();
    assert!(document["paths"]["/{portal}/registrations"]["post"].is_object());
}

#[test]
fn a_taken_port_is_told_with_another_to_take() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = folder();
    let said = refused(&["--port", &port, "--data", text(data.path())]);
    assert!(
        said.contains(&format!("port {port} on this machine is taken")),
        "{said}"
    );
    assert!(said.contains("cargo portal --port"), "{said}");
}

#[test]
fn a_wrong_policy_is_told_with_file_line_and_field() {
    let (data, changed) = (folder(), policies(&["group"]));
    change(&changed, "group", "max_hours = 8\n", "max_hours = 25\n");
    let said = refused(&[
        "--port",
        "0",
        "--data",
        text(data.path()),
        "--portals",
        text(changed.path()),
    ]);
    assert!(
        said.contains("group.toml:") && said.contains("session.hours: must be"),
        "{said}"
    );
}

#[test]
fn a_portal_with_the_name_of_a_page_is_refused() {
    for name in ["inbox", "letters", "api"] {
        let (data, policies) = (folder(), policies(&["group"]));
        let renamed = policies.path().join(format!("{name}.toml"));
        fs::rename(policies.path().join("group.toml"), renamed).unwrap();
        let said = refused(&[
            "--port",
            "0",
            "--data",
            text(data.path()),
            "--portals",
            text(policies.path()),
        ]);
        assert!(said.contains(&format!("can't be named {name:?}")), "{said}");
    }
}

#[test]
fn an_unreachable_dynamodb_is_told() {
    let data = folder();
    let free = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{free}");
    for (endpoint, expected) in [
        (nobody.as_str(), "can't be reached"),
        ("localhost:8000", "is no address"),
    ] {
        let said = refused(&[
            "--port",
            "0",
            "--data",
            text(data.path()),
            "--dynamodb-endpoint",
            endpoint,
        ]);
        assert!(said.contains(endpoint) && said.contains(expected), "{said}");
        assert!(said.contains("--dynamodb-endpoint"), "{said}");
    }
}

#[test]
fn a_folder_that_holds_something_else_is_left_alone() {
    let data = folder();
    fs::write(data.path().join("thesis.txt"), "years of work").unwrap();
    let said = refused(&["--port", "0", "--data", text(data.path())]);
    assert!(said.contains("holds something else"), "{said}");
    let said = refused(&["reset", "--data", text(data.path())]);
    assert!(said.contains("nothing was removed"), "{said}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn pages_show_what_runs_here() {
    let data = folder();
    let running = Running::start(data.path(), &[]);
    for part in [
        "ruth.okafor",
        PASSWORD,
        "What to try",
        "/inbox",
        "First-Visit-21!",
    ] {
        assert!(
            running.announced.contains(part),
            "{part} in {}",
            running.announced
        );
    }

    let home = running.page("/").await;
    for part in [
        "Harborlight for Groups",
        "Harborlight for Members",
        "ruth.okafor",
        "PV30004",
        "curl -s",
        "href=\"/inbox\"",
        "href=\"/letters\"",
        "href=\"/api\"",
    ] {
        assert!(home.contains(part), "{part}");
    }
    assert!(!home.contains("could not be made"));
    let inbox = running.page("/inbox").await;
    assert!(
        inbox.contains("Your invitation to Harborlight for Groups")
            && inbox.contains("sam@blueheron.example")
    );
    let mail = running.page("/inbox/0").await;
    assert!(
        mail.contains("sandbox=\"allow-same-origin\"") && mail.contains("Welcome to Harborlight")
    );
    assert_eq!(running.get("/inbox/9999").await.0, 404);
    assert_eq!(running.get("/inbox/-1").await.0, 404);

    let letters = running.page("/letters").await;
    assert!(
        letters.contains("Your PIN for Harborlight for Members")
            && letters.contains("Maria Alvarez")
    );
    let (_, rest) = letters.split_once("<a href=\"/letters/").unwrap();
    let name = rest.split('"').next().unwrap();
    assert!(
        running
            .page(&format!("/letters/{name}"))
            .await
            .contains("Your PIN")
    );
    assert_eq!(running.get("/letters/..%2Fkms.key").await.0, 404);

    let reference = running.page("/api").await;
    assert!(
        reference.contains("/api/scalar.js") && !reference.contains("https://"),
        "{reference}"
    );
    assert!(running.page("/api/scalar.js").await.len() > 100_000);
    assert!(
        running
            .page("/api/reference.js")
            .await
            .contains("/openapi.json")
    );
    let document: Value = serde_json::from_str(&running.page("/openapi.json").await).unwrap();
    assert!(document["paths"]["/{portal}"].is_object());

    // The API's own routes are beside the pages, and answer what no route does.
    assert!(
        running
            .page("/group")
            .await
            .contains("\"portal\":\"group\"")
    );
    let (status, problem) = running.get("/nothing/here/at/all").await;
    assert!(
        status == 404 && problem.contains("urn:vestibule:problem:not-found"),
        "{problem}"
    );
    let response = reqwest::get(running.at("/")).await.unwrap();
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("default-src 'none'") && policy.contains("script-src 'self'"),
        "{policy}"
    );

    // There is somebody to sign in as for every role of every portal.
    let mut there = BTreeSet::new();
    let people = fs::read_to_string(data.path().join("people.json")).unwrap();
    let people: Value = serde_json::from_str(&people).unwrap();
    for person in people["people"].as_array().unwrap() {
        let said = |name: &str| person[name].as_str().unwrap_or_default();
        let (portal, username) = (said("portal"), said("username"));
        assert!(home.contains(username), "{username} is on the page");
        if said("password") != PASSWORD {
            continue;
        }
        let token = running.sign_in(portal, username).await;
        let request = reqwest::Client::new().get(running.at(&format!("/{portal}/me")));
        let me = request.bearer_auth(token).send().await.unwrap();
        let me: Value = serde_json::from_str(&me.text().await.unwrap()).unwrap();
        let organizations = me["organizations"].as_array().unwrap().iter();
        let roles: Vec<_> = organizations
            .map(|o| o["role"].as_str().unwrap().to_owned())
            .collect();
        // Members belong to no organization.
        let roles = if roles.is_empty() {
            vec!["member".to_owned()]
        } else {
            roles
        };
        there.extend(roles.iter().map(|role| format!("{portal} {role}")));
    }
    let mut wanted = BTreeSet::new();
    for file in fs::read_dir(POLICIES).unwrap().map(|f| f.unwrap().path()) {
        let portal = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let policy = fs::read_to_string(&file).unwrap();
        let roles = policy.lines().filter_map(|l| l.strip_prefix("[roles."));
        let roles = roles.map(|role| role.split(']').next().unwrap());
        wanted.extend(roles.map(|role| format!("{portal} {role}")));
    }
    wanted.remove("practice user"); // Toni, who has to choose a password first
    assert_eq!(there, wanted);
}

#[tokio::test]
async fn a_hostile_name_is_nothing_but_text() {
    let data = folder();
    let running = Running::start(data.path(), &[]);
    let hostile = "<script>alert('x')</script>\"'";
    let eve = json!({
        "registration_type": "group", "verification": { "group_number": "GR20002", "tax_id_last4": "5678" },
        "first_name": hostile, "last_name": "Eve", "email": "eve@cedarpine.example",
        "username": "eve.eve", "password": PASSWORD, "attests_signing_authority": true,
    });
    running.post("/group/registrations", &eve, "").await;
    let token = running.sign_in("group", "eve.eve").await;
    let adam = json!({ "first_name": hostile, "last_name": "Adam", "email": "adam@cedarpine.example", "role": "user" });
    running.post("/group/invitations", &adam, &token).await;
    let annika = json!({
        "registration_type": "member",
        "verification": { "enrollee_id": "100200303", "subscriber_last_name": "Müller", "date_of_birth": "1990-07-21" },
        "first_name": hostile, "last_name": "Müller", "email": "annika@mueller.example",
        "username": "annika.mueller", "password": PASSWORD,
        "security_answers": [
            { "question": "What was the name of the first street you lived on?", "answer": "Maple Street" },
            { "question": "What was the name of your first pet?", "answer": "Biscuit" },
            { "question": "In which town did your parents meet?", "answer": "Lake Geneva" },
        ],
    });
    running.post("/member/registrations", &annika, "").await;
    running.page_with("/inbox", "adam@cedarpine.example").await;
    let inbox = running.page_with("/inbox", "annika@mueller.example").await;
    let (_, rest) = inbox.split_once("href=\"/inbox/").unwrap();
    let newest: usize = rest.split('"').next().unwrap().parse().unwrap();

    let letters = running.page("/letters").await;
    let names = letters
        .split("<a href=\"/letters/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let mut pages = vec!["/".to_owned(), "/inbox".to_owned(), "/letters".to_owned()];
    pages.extend((newest - 3..=newest).map(|n| format!("/inbox/{n}")));
    pages.extend(names.map(|name| format!("/letters/{name}")));
    let mut told = 0;
    for path in pages {
        let page = running.page(&path).await;
        assert!(!page.contains("<script>alert"), "{path}: {page}");
        told += usize::from(page.contains("alert("));
    }
    assert!(told > 0, "the name is shown somewhere");
}

#[tokio::test]
async fn the_first_page_s_examples_work_as_they_are() {
    let curl = Command::new("curl").arg("--version").output();
    if !curl.is_ok_and(|o| o.status.success()) {
        eprintln!("there is no curl on this machine");
        return;
    }
    let data = folder();
    let running = Running::start(data.path(), &[]);
    let home = running.page("/").await;
    let parts = home.split("<pre tabindex=\"0\"><code>").skip(1);
    let commands: Vec<_> = parts
        .map(|part| unescaped(part.split("</code>").next().unwrap()))
        .collect();
    let expected = [
        "\"portal\":\"group\"",
        "nora.lind",
        "ivy@blueheron.example",
        "\"entitlements\"",
        "diego.alvarez",
    ];
    assert_eq!(commands.len(), expected.len());
    for (command, expected) in commands.iter().zip(expected) {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        let answer = stdout(&output);
        assert!(
            output.status.success() && answer.contains(expected),
            "{command}\n{answer}"
        );
    }
}

/// Text as a reader copies it from a page.
fn unescaped(html: &str) -> String {
    let pairs = [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ];
    pairs
        .iter()
        .fold(html.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(unix)]
#[tokio::test]
async fn a_restart_keeps_the_people_and_a_reset_removes_them() {
    let parent = folder();
    let data = parent.path().join("data");
    let first = Running::start(&data, &[]);
    let said = refused(&["--port", "0", "--data", text(&data)]);
    assert!(
        said.contains("another portal is running on the folder") && said.contains("--data"),
        "{said}"
    );
    let said = refused(&["reset", "--data", text(&data)]);
    assert!(said.contains("another portal is running"), "{said}");
    let provider = provider_in(&first.announced);
    let mails = first.page("/inbox").await.matches("href=\"/inbox/").count();
    assert!(first.stop().contains("Stopped."));

    let second = Running::start(&data, &[]);
    assert!(
        !second.announced.contains("Loading"),
        "{}",
        second.announced
    );
    assert_eq!(provider_in(&second.announced), provider);
    assert!(second.page("/").await.contains(&provider));
    assert_eq!(
        second
            .page("/inbox")
            .await
            .matches("href=\"/inbox/")
            .count(),
        mails
    );
    second.sign_in("provider", &provider).await;
    // A sudden end loses nothing either.
    drop(second);
    let third = Running::start(&data, &[]);
    third.sign_in("provider", &provider).await;
    third.stop();

    let mine = data.join("notes.txt");
    fs::write(&mine, "mine").unwrap();
    let output = run(&["reset", "--data", text(&data)]);
    let told = stdout(&output);
    assert!(
        output.status.success() && told.contains("dynamodb.sqlite") && told.contains("people.json"),
        "{told}"
    );
    assert!(
        told.contains("stays") && mine.exists() && fs::read_dir(&data).unwrap().count() == 1,
        "{told}"
    );
    fs::remove_dir_all(&data).unwrap();
    let told = stdout(&run(&["reset", "--data", text(&data)]));
    assert!(told.contains("There is no data folder"), "{told}");
}

/// The username of the first provider in the printed table.
#[cfg(unix)]
fn provider_in(announced: &str) -> String {
    let line = announced
        .lines()
        .find(|l| l.starts_with("provider"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[cfg(unix)]
#[test]
fn a_first_start_that_broke_off_begins_again() {
    let parent = folder();
    let data = parent.path().join("data");
    Running::start(&data, &[]).stop();
    fs::remove_file(data.join("people.json")).unwrap();
    let again = Running::start(&data, &[]);
    assert!(again.announced.contains("Loading"), "{}", again.announced);
    assert!(
        !again.announced.contains("could not be made"),
        "{}",
        again.announced
    );
}

/// A DynamoDB in this process; returns its address.
#[cfg(unix)]
async fn dynamodb() -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let database = dynoxide::Database::memory().unwrap();
    tokio::spawn(dynoxide::server::serve_on(listener, database));
    endpoint
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_runs_on_another_dynamodb_whose_key_stays_in_the_folder() {
    let endpoint = dynamodb().await;
    let (parent, portals) = (folder(), policies(&["agent"]));
    let data = parent.path().join("data");
    let more = [
        "--dynamodb-endpoint",
        &endpoint,
        "--portals",
        text(portals.path()),
    ];

    let first = Running::start(&data, &more);
    assert!(first.page("/").await.contains("luis.ortega"));
    assert!(!data.join("dynamodb.sqlite").exists() && data.join("kms.key").exists());
    first.stop();
    let again = Running::start(&data, &more);
    again.sign_in("agent", "dana.whitfield").await;
    again.stop();

    // Another that knows nobody is told of everybody again.
    let empty = dynamodb().await;
    let portals = text(portals.path());
    let anew = Running::start(
        &data,
        &["--dynamodb-endpoint", &empty, "--portals", portals],
    );
    anew.sign_in("agent", "dana.whitfield").await;
    drop(anew);

    let other = parent.path().join("other");
    let said = refused(&[
        "--port",
        "0",
        "--data",
        text(&other),
        "--dynamodb-endpoint",
        &endpoint,
    ]);
    assert!(
        said.contains("use the folder with which the table was made"),
        "{said}"
    );
}

/// A system in a folder, in this process, whose clock stands at a moment; it is closed afterward.
fn within<T>(
    data: &Path,
    at: jiff::Timestamp,
    work: impl AsyncFnOnce(&vestibule_local::Instance) -> T,
) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let options = vestibule_local::Options {
            data: Some(data.to_owned()),
            clock: vestibule_http::Clock::at(at),
            ..vestibule_local::Options::in_memory()
        };
        let instance = vestibule_local::Instance::start(options).await.unwrap();
        work(&instance).await
    })
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "the command looks at the machine's clock"
)]
fn ux_11_audit_verify_proves_the_trail_and_names_what_was_altered() {
    let data = folder();
    let verify = ["audit", "verify", "--portal", "group", "--data"];
    let verify = [&verify[..], &[text(data.path())]].concat();
    assert!(refused(&["audit", "verify", "--data", "/nowhere/at/all"]).contains("no data folder"));

    let hour = jiff::SignedDuration::from_hours(1);
    let earlier = jiff::Timestamp::now() - 4 * hour;
    within(data.path(), earlier, async |instance| {
        let base = vestibule_local::instance::serve_at_free_port(instance.router());
        let caller = vestibule_local::client::Client::new(&base.await.unwrap(), "group");
        for name in ["nobody.here", "nobody.there"] {
            let (_, answer) = caller.sign_in(name, PASSWORD).await.unwrap();
            assert_eq!(answer.status, 401);
        }
        instance.app.clock.advance(2 * hour);
        instance.seal_audit_trail().await.unwrap();
    });
    let proved = run(&verify);
    let said = stdout(&proved);
    assert_eq!(proved.status.code(), Some(0), "{said}");
    assert!(
        said.contains("2 entries: 2 as written and sealed"),
        "{said}"
    );
    let (_, kept) = said.split_once("keep this elsewhere: ").unwrap();
    let kept = kept.split_whitespace().next().unwrap();
    let with_kept = [&verify[..], &["--kept", kept]].concat();
    assert_eq!(run(&with_kept).status.code(), Some(0));
    let other = format!("{}x", &kept[..kept.len() - 1]);
    let with_other = [&verify[..], &["--kept", &other]].concat();
    let differs = run(&with_other);
    assert_eq!(differs.status.code(), Some(1));
    assert!(stdout(&differs).contains("does not match the digest that was kept"));
    for wrong in [["--portal", "nowhere"], ["--from", "2999-01-01"]] {
        let arguments = [
            &["audit", "verify", "--data", text(data.path())][..],
            &wrong[..],
        ]
        .concat();
        refused(&arguments);
    }

    within(data.path(), earlier, async |instance| {
        let items = instance.db.scan().table_name(&instance.tables.audit);
        let items = items.send().await.unwrap().items.unwrap();
        let mut entry = items
            .into_iter()
            .find(|i| i.contains_key("action"))
            .unwrap();
        let other = aws_sdk_dynamodb::types::AttributeValue::S("192.0.2.1".into());
        entry.insert("source".into(), other);
        let put = instance.db.put_item().table_name(&instance.tables.audit);
        put.set_item(Some(entry)).send().await.unwrap();
    });
    let altered = run(&verify);
    assert_eq!(altered.status.code(), Some(1));
    assert!(stdout(&altered).contains("FAULT altered: entry "));
    let said = String::from_utf8(altered.stderr).unwrap();
    assert_eq!(said.trim(), "error: the audit trail has a fault.");
}
