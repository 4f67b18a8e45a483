//! Tests of `cargo portal` as a user runs it: the binary, its pages and its errors.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::LazyLock;

use serde_json::{Value, json};
use tempfile::TempDir;

const PORTAL: &str = env!("CARGO_BIN_EXE_portal");
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../portals");
const PASSWORD: &str = "Quiet-River-58!";

/// Runs a command until it exits.
fn run(arguments: &[&str]) -> Output {
    Command::new(PORTAL).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs a command that must fail with a message of one line; returns the message.
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

/// A running portal.
struct Running {
    child: Child,
    base: String,
    lines: Lines<BufReader<ChildStdout>>,
    announced: String,
}

impl Running {
    /// Starts a portal on a free port and waits until it prints its address.
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

    /// Returns a page, which must exist.
    async fn page(&self, path: &str) -> String {
        let (status, text) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {text}");
        text
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

    /// Stops it with SIGTERM, as a service manager does; returns its remaining output.
    #[cfg(unix)]
    fn stop(mut self) -> String {
        let killed = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(killed.success());
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

/// Copies the data of a portal that was started once with the sample people and stopped.
#[cfg(unix)]
fn populated() -> TempDir {
    static FIRST: LazyLock<TempDir> = LazyLock::new(|| {
        let data = folder();
        Running::start(data.path(), &[]).stop();
        data
    });
    let copy = folder();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(FIRST.path().join("."))
        .arg(copy.path())
        .status();
    assert!(copied.unwrap().success());
    copy
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Creates a folder with some of the shipped policies.
fn policies(names: &[&str]) -> TempDir {
    let folder = folder();
    for name in names {
        let file = format!("{name}.toml");
        fs::copy(Path::new(POLICIES).join(&file), folder.path().join(&file)).unwrap();
    }
    folder
}

/// Changes a policy in such a folder.
fn change(policies: &TempDir, name: &str, from: &str, to: &str) {
    let file = policies.path().join(format!("{name}.toml"));
    let policy = fs::read_to_string(&file).unwrap();
    assert!(policy.contains(from));
    fs::write(file, policy.replace(from, to)).unwrap();
}

#[test]
fn the_demo_shows_every_journey_and_succeeds() {
    let output = run(&["demo"]);
    let printed = stdout(&output);
    assert!(
        output.status.success(),
        "{printed}\n{}",
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
        "Single sign-on: ",
        "Bulk: ",
        "Audit: ",
    ] {
        assert!(printed.lines().any(|l| l.starts_with(journey)), "{journey}");
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
        "no entry is altered, missing or added.",
        "All results are as expected.",
    ] {
        assert!(printed.contains(part), "{part}");
    }
    assert!(!printed.contains(PASSWORD), "passwords must be masked");
    assert!(
        !printed.contains('\x1b'),
        "output to a pipe must not be colored"
    );
}

#[test]
fn the_demo_shows_one_journey() {
    let output = run(&["demo", "--only", "practice"]);
    let printed = stdout(&output);
    assert!(output.status.success());
    assert!(
        printed.contains("Practice: ")
            && !printed.contains("Group: ")
            && printed.contains("1 journey,"),
        "{printed}"
    );
}

#[test]
fn the_demo_fails_if_a_result_is_not_as_expected() {
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
        (&["tick", "--help"], "cargo portal tick --days 181"),
        (&["sweep", "--help"], "cargo portal sweep --dry-run"),
        (
            &["first-staff", "--help"],
            "cargo portal first-staff --name",
        ),
        (&["import", "--help"], "cargo portal import members.csv"),
        (&["audit", "--help"], "cargo portal audit verify"),
        (
            &["audit", "verify", "--help"],
            "cargo portal audit verify --portal group",
        ),
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
fn a_port_in_use_is_reported_with_an_alternative() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = folder();
    let said = refused(&["--port", &port, "--data", text(data.path())]);
    assert!(
        said.contains(&format!("port {port} on this machine is already in use")),
        "{said}"
    );
    assert!(said.contains("cargo portal --port"), "{said}");
}

#[test]
fn an_invalid_policy_is_reported_with_file_line_and_field() {
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
        said.contains("group.toml:") && said.contains("session.max_hours: must be"),
        "{said}"
    );
}

#[test]
fn a_portal_with_the_name_of_a_page_is_rejected() {
    for name in ["inbox", "letters", "api", "links", "control"] {
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
fn an_unreachable_dynamodb_is_reported() {
    let data = folder();
    let free = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{free}");
    for (endpoint, expected) in [
        (nobody.as_str(), "can't be reached"),
        ("localhost:8000", "is not a valid URL"),
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
fn a_folder_with_other_files_is_not_touched() {
    let data = folder();
    fs::write(data.path().join("thesis.txt"), "years of work").unwrap();
    let said = refused(&["--port", "0", "--data", text(data.path())]);
    assert!(said.contains("contains other files"), "{said}");
    let said = refused(&["reset", "--data", text(data.path())]);
    assert!(said.contains("nothing was removed"), "{said}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn pages_show_what_runs_here() {
    let data = populated();
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
    assert!(!home.contains("could not be created"));
    let inbox = running.page("/inbox").await;
    assert!(
        inbox.contains("Your invitation to Harborlight for Groups")
            && inbox.contains("sam@blueheron.example")
    );
    let mail = running.page("/inbox/0").await;
    assert!(
        mail.contains("sandbox=\"allow-same-origin allow-popups allow-popups-to-escape-sandbox\"")
            && mail.contains("Welcome to Harborlight")
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

    // The API is served beside the pages and responds to unknown paths.
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

    // There is a sample person for every role of every portal.
    let (mut there, mut with_factor) = (BTreeSet::new(), BTreeSet::new());
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
        // Who has a second factor gives the code that the first page shows.
        if person.get("authenticator_secret").is_some() {
            let shown = format!("data-code=\"{portal}/{username}\"");
            assert!(home.contains(&shown), "{username}'s code is on the page");
            let codes = reqwest::get(running.at("/authenticator-codes")).await;
            let codes: Value = serde_json::from_str(&codes.unwrap().text().await.unwrap()).unwrap();
            let factor = json!({ "factor": { "code": codes[format!("{portal}/{username}")] } });
            let path = format!("/{portal}/sessions/current/second-factor");
            let request = reqwest::Client::new().put(running.at(&path)).json(&factor);
            let given = request.bearer_auth(&token).send().await.unwrap();
            assert_eq!(given.status(), 200, "{portal} {username}");
            with_factor.insert(portal.to_owned());
        }
        let request = reqwest::Client::new().get(running.at(&format!("/{portal}/me")));
        let me = request.bearer_auth(token).send().await.unwrap();
        let me: Value = serde_json::from_str(&me.text().await.unwrap()).unwrap();
        let organizations = me["organizations"].as_array().unwrap().iter();
        let roles: Vec<_> = organizations
            .map(|o| o["role"].as_str().unwrap().to_owned())
            .collect();
        // Members don't belong to an organization.
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
    wanted.remove("practice user"); // Toni, who must change the initial password first
    assert_eq!(there, wanted);
    let requiring = ["employer", "help-desk", "provider"].map(str::to_owned);
    assert_eq!(with_factor, BTreeSet::from(requiring));
}

/// Moves the clock of a data folder and returns what the command prints.
fn tick(data: &Path, days: u32) -> String {
    let output = run(&["tick", "--days", &days.to_string(), "--data", text(data)]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    stdout(&output)
}

/// Returns the emails that are stored in a data folder.
fn emails_in(data: &Path) -> Vec<Value> {
    let stored = fs::read_to_string(data.join("inbox.jsonl")).unwrap();
    stored
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Returns the number of emails that a tick reports.
fn emails_of(ticked: &str) -> usize {
    let words: Vec<_> = ticked.split([' ', '\n', ',']).collect();
    let counts = words.windows(2).filter(|w| w[1].starts_with("email"));
    counts.map(|w| w[0].parse::<usize>().unwrap()).sum()
}

/// Returns the system's time at the end of a tick.
fn time_of(ticked: &str) -> &str {
    let (_, time) = ticked.trim_end().split_once("time is now ").unwrap();
    time.trim_end_matches('.')
}

#[cfg(unix)]
#[tokio::test]
async fn tick_moves_the_clock_of_a_running_portal_and_its_emails_have_arrived() {
    let (parent, portals) = (folder(), policies(&["producer"]));
    let data = parent.path().join("data");
    let more = ["--portals", text(portals.path())];
    let running = Running::start(&data, &more);
    let before = emails_in(&data).len();

    let ticked = tick(&data, 181);
    assert!(ticked.contains("warned of disabling"), "{ticked}");
    assert!(ticked.contains("1 disabled"), "{ticked}");
    let sent = emails_of(&ticked);
    assert!(sent > 0, "{ticked}");
    assert_eq!(emails_in(&data).len(), before + sent, "{ticked}");
    let inbox = running.page("/inbox").await;
    assert_eq!(inbox.matches("href=\"/inbox/").count(), before + sent);
    let hour = time_of(&ticked).rsplit_once(':').unwrap().0;
    assert!(running.page("/").await.contains(hour), "{ticked}");

    // The moved clock is stored, and a portal that isn't running can be moved further.
    running.stop();
    let ticked = tick(&data, 30);
    assert_eq!(emails_in(&data).len(), before + sent + emails_of(&ticked));
    let running = Running::start(&data, &more);
    let hour = time_of(&ticked).rsplit_once(':').unwrap().0;
    assert!(running.page("/").await.contains(hour), "{ticked}");
}

#[tokio::test]
async fn only_a_process_that_can_read_the_data_folder_moves_the_clock() {
    let (data, portals) = (folder(), policies(&["producer"]));
    let running = Running::start(data.path(), &["--portals", text(portals.path())]);
    let stored = fs::read_to_string(data.path().join("server.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let token = stored["token"].as_str().unwrap();
    for (token, status) in [("", 401), ("guessed", 401), (token, 200)] {
        let request = reqwest::Client::new().post(running.at("/control/tick"));
        let request = request.bearer_auth(token).json(&json!({ "days": 1 }));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}

#[test]
fn tick_says_that_another_command_is_using_the_folder() {
    let data = folder();
    fs::write(data.path().join("kms.key"), [0; 32]).unwrap();
    let lock = fs::File::create(data.path().join("vestibule.lock")).unwrap();
    lock.lock().unwrap();
    let said = refused(&["tick", "--days", "1", "--data", text(data.path())]);
    assert!(said.contains("another `cargo portal` command"), "{said}");
}

#[tokio::test]
async fn pg_04_links_in_emails_lead_to_the_pages_of_the_portal() {
    let data = folder();
    let running = Running::start(data.path(), &[]);
    let ruth = running.sign_in("group", "ruth.okafor").await;
    let ivy = json!({ "first_name": "Ivy", "last_name": "O'Chen", "email": "ivy@blueheron.example", "role": "user" });
    running.post("/group/invitations", &ivy, &ruth).await;
    tick(data.path(), 1);

    let emails = emails_in(data.path());
    let mut invitation = None;
    let mut pages = BTreeSet::new();
    for email in &emails {
        let words = email["text"].as_str().unwrap().split_whitespace();
        for link in words.filter(|word| word.starts_with("http")) {
            assert!(link.starts_with(&running.base), "{link} in {email}");
            if email["to"][0].as_str().unwrap().contains("ivy@") {
                invitation = Some(link);
            }
            let path = link[running.base.len()..].split('#').next().unwrap();
            assert!(path.split('/').nth(2) == Some("app") || path.starts_with("/links/"));
            pages.insert(path.to_owned());
        }
    }
    for path in &pages {
        assert!(running.page(path).await.contains("<h1"), "{path}");
    }
    let (page, _) = invitation.unwrap().split_once("#token=").unwrap();
    assert_eq!(
        page,
        format!("{}/group/app/invitations/accept", running.base)
    );
    assert_eq!(running.get("/nowhere/app/sign-in").await.0, 404);
    assert_eq!(running.get("/links/nowhere/forms/one.pdf").await.0, 404);
}

#[tokio::test]
async fn a_hostile_name_is_displayed_as_text() {
    let data = populated();
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
    tick(data.path(), 1);
    let inbox = running.page("/inbox").await;
    assert!(inbox.contains("adam@cedarpine.example") && inbox.contains("annika@mueller.example"));
    let (_, rest) = inbox.split_once("href=\"/inbox/").unwrap();
    let newest: usize = rest.split('"').next().unwrap().parse().unwrap();

    let letters = running.page("/letters").await;
    let names = letters
        .split("<a href=\"/letters/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap());
    let mut pages = vec!["/".to_owned(), "/inbox".to_owned(), "/letters".to_owned()];
    pages.extend((newest - 9..=newest).map(|n| format!("/inbox/{n}")));
    pages.extend(names.map(|name| format!("/letters/{name}")));
    let mut shown = 0;
    for path in pages {
        let page = running.page(&path).await;
        assert!(!page.contains("<script>alert"), "{path}: {page}");
        shown += usize::from(page.contains("alert("));
    }
    assert!(shown > 0, "a page must show the name");
}

#[tokio::test]
async fn the_examples_of_the_first_page_work_unchanged() {
    let curl = Command::new("curl").arg("--version").output();
    if !curl.is_ok_and(|o| o.status.success()) {
        eprintln!("curl is not installed");
        return;
    }
    let data = populated();
    let running = Running::start(data.path(), &[]);
    let commands = commands_in(&running.page("/").await);
    let expected = [
        "\"portal\":\"group\"",
        "nora.lind",
        "ivy@blueheron.example",
        "\"entitlements\"",
        "diego.alvarez",
    ];
    assert_eq!(commands.len(), expected.len());
    for (command, expected) in commands.iter().zip(expected) {
        assert_prints(command, expected);
    }
}

/// Returns the commands that a page shows.
fn commands_in(page: &str) -> Vec<String> {
    let parts = page.split("<pre tabindex=\"0\"><code>").skip(1);
    parts
        .map(|part| unescaped(part.split("</code>").next().unwrap()))
        .collect()
}

/// Runs a command in a shell, whose output must contain a text.
fn assert_prints(command: &str, expected: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let printed = stdout(&output);
    assert!(
        output.status.success() && printed.contains(expected),
        "{command}\n{printed}"
    );
}

/// Returns text as a reader copies it from a page.
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
    let copy = populated();
    let data = copy.path();
    let first = Running::start(data, &[]);
    let said = refused(&["--port", "0", "--data", text(data)]);
    assert!(
        said.contains("another portal is running on the folder") && said.contains("--data"),
        "{said}"
    );
    let said = refused(&["reset", "--data", text(data)]);
    assert!(said.contains("another portal is running"), "{said}");
    let provider = provider_in(&first.announced);
    let mails = first.page("/inbox").await.matches("href=\"/inbox/").count();
    assert!(first.stop().contains("Stopped."));

    let second = Running::start(data, &[]);
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
    // Killing the process loses nothing either.
    drop(second);
    let third = Running::start(data, &[]);
    third.sign_in("provider", &provider).await;
    third.stop();

    let mine = data.join("notes.txt");
    fs::write(&mine, "mine").unwrap();
    let output = run(&["reset", "--data", text(data)]);
    let printed = stdout(&output);
    assert!(
        output.status.success()
            && printed.contains("dynamodb.sqlite")
            && printed.contains("people.json"),
        "{printed}"
    );
    assert!(
        printed.contains("stays") && mine.exists() && fs::read_dir(data).unwrap().count() == 1,
        "{printed}"
    );
    fs::remove_dir_all(data).unwrap();
    let printed = stdout(&run(&["reset", "--data", text(data)]));
    assert!(printed.contains("There is no data folder"), "{printed}");
}

/// Returns the username of the first provider in the printed table.
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
fn an_interrupted_first_start_is_repeated() {
    let (parent, portals) = (folder(), policies(&["producer"]));
    let data = parent.path().join("data");
    let more = ["--portals", text(portals.path())];
    Running::start(&data, &more).stop();
    fs::remove_file(data.join("people.json")).unwrap();
    let again = Running::start(&data, &more);
    assert!(again.announced.contains("Loading"), "{}", again.announced);
    assert!(
        !again.announced.contains("could not be created"),
        "{}",
        again.announced
    );
}

/// Serves a DynamoDB in this process; returns its address.
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
async fn it_runs_on_another_dynamodb_with_its_key_in_the_folder() {
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

    // On an empty DynamoDB, the people are created again.
    let empty = dynamodb().await;
    let portals = text(portals.path());
    let refilled = Running::start(
        &data,
        &["--dynamodb-endpoint", &empty, "--portals", portals],
    );
    refilled.sign_in("agent", "dana.whitfield").await;
    drop(refilled);

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
        said.contains("use the folder that the table was created with"),
        "{said}"
    );
}

/// Runs a system on a folder in this process with its clock at a moment, then closes it.
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
    reason = "the command reads the machine's clock"
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
    assert!(said.contains("2 entries: 2 sealed and unaltered"), "{said}");
    let (_, kept) = said.split_once("store this seal elsewhere: ").unwrap();
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
