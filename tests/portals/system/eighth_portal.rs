//! An eighth portal needs one more file and no code: a policy with a combination that no shipped
//! one has, tested from registration to entitlements. An invalid policy prevents the start with a
//! clear message.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_http::portals;
use vestibule_inactivity_sweep::Run;
use vestibule_local::client::Client;
use vestibule_local::instance::serve_at_free_port;
use vestibule_local::{Instance, Options};
use vestibule_tests::client::Person;
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, group_principal, member, with};
use vestibule_tests::{World, options, pin_in, portals_with};

/// The policy: agents with PIN letters and generated usernames, who accept an agreement on the
/// portal and approve staff with initial passwords.
const ISLAND: &str = r#"
title = "Island Desk"
site = "https://island.harborlight.example"
origins = ["https://island.harborlight.example"]
time_zone = "America/Anchorage"
hint_question = true

[plan]
id = "harbor"
name = "Harborlight Health"
return_address = ["Harborlight Health", "Island Desk", "1 Ferry Road", "Anchorage, AK 99501"]
home_country = "US"

[help_desk]
name = "Island Help"
phone = "(907) 555-0188"
hours = "Every day, 6 a.m. to 2 p.m. Alaska Time"

[username]
chosen_by = "system"
min_length = 7
prefix = "isle-"

[email]
unique_in = "island"
from = "island@harborlight.example"

[password]
min_length = 10
required_characters = ["uppercase", "lowercase", "digit", "symbol"]
reject_obscene_words = true
max_age_days = 30

[security_questions]
required = 2
questions = ["Which boat did you learn to row on?", "Where do you moor?", "Who taught you knots?"]

[session]
max_hours = 2
idle_minutes = 5

[rate_limits.sign_in]
max_attempts = 3
max_attempts_per_source = 1000
window_minutes = 10

[rate_limits.registration]
max_attempts = 3
max_attempts_per_source = 1000
window_minutes = 10

[[registration_type]]
id = "pilot"
title = "Harbor pilot"
record_type = "agent"
verify = ["ssn_last4", "last_name"]
role = "principal"
organization = "pilot station"
requires_signing_authority = true
pin = true
services = ["charts"]

[[registration_type]]
id = "station"
title = "Station of an employer"
record_type = "group"
verify = ["tax_id"]
role = "administrator"
organization = "station"
eligible.categories = ["small_group"]
ineligible_message = "Large stations call Island Help at (907) 555-0188."

[[agreement]]
id = "tide_rules"
title = "Tide Rules"
revision = "2026-06"
form_url = "https://island.harborlight.example/tide-rules.pdf"
recorded_by = "user"
blocks = "protected_information"
registration_types = ["pilot"]

[pin]
digits = 8
max_attempts = 2
valid_days = 20
address = "designated"
reissued_by = ["user"]
delivery_days = [1, 2]
international_delivery_days = [4, 9]

[staff]
onboarding = "initial_password"
approval = true
requires_backup_administrator = true

[recovery]
forgot_password = ["security_answers", "hint_question", "email"]
forgot_username = ["email"]
link_minutes = 5

[messages]
login_failed = "No such sailor, or not that password."
account_disabled = "You have been put ashore."
registration_refused = "Nobody of that name sails with us."

[group_codes]
offered = ["ISLE-1", "ISLE-2"]

[[service]]
id = "charts"
title = "Charts"

[[service]]
id = "tides"
title = "Tides"

[roles.principal]
title = "Pilot"
permissions = ["add_users", "approve_users", "list_users"]
can_grant = ["administrator", "user"]

[roles.administrator]
title = "Harbor master"
permissions = ["add_users", "list_users", "see_last_sign_in"]
can_grant = ["user"]

[roles.user]
title = "Hand"
"#;

const CHOSEN: &str = "Tide-Table-77";

/// The seven policies of this source tree and additional ones, in a new folder.
fn folder_with(others: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(Options::in_memory().portals).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    for (name, text) in others {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

async fn islands() -> (TempDir, World) {
    let folder = folder_with(&[("island-desk.toml", ISLAND)]);
    let world = World::with(Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    (folder, world)
}

fn pilot() -> Value {
    json!({
        "registration_type": "pilot", "verification": { "agent_id": "AG10001", "ssn_last4": "4821", "last_name": "Whitfield" },
        "first_name": "Dana", "last_name": "Whitfield", "email": "dana@isle.example", "password": CHOSEN,
        "attests_signing_authority": true, "accepted_agreements": { "tide_rules": "2026-06" },
        "security_answers": [
            { "question": "Which boat did you learn to row on?", "answer": "The Grebe" },
            { "question": "Where do you moor?", "answer": "Pier 4" },
        ],
        "hint": { "question": "First port?", "answer": "Sitka" },
        "postal_address": { "lines": ["2 Kelp Street"], "city": "Sitka", "region": "AK", "postal_code": "99835", "country": "US" },
    })
}

async fn sign_in(world: &World, username: &str, password: &str) -> (Person, String) {
    let (client, response) = world.on("island-desk").sign_in(username, password).await;
    let response = response.expect(201);
    (client, response.text_at("/next_step").to_owned())
}

#[tokio::test]
async fn the_eighth_portal_describes_itself_and_leaves_the_seven_as_they_were() {
    let (_folder, world) = islands().await;
    let about = world.on("island-desk").get("").await.expect(200);
    insta::assert_json_snapshot!(about.body);
    world.member().await;
    let seven = [
        "agent", "group", "member", "provider", "practice", "producer", "employer",
    ];
    for portal in seven {
        assert_eq!(world.on(portal).get("").await.text_at("/portal"), portal);
    }
}

#[tokio::test]
async fn a_pilot_registers_enters_the_pin_and_adds_staff() {
    let (_folder, world) = islands().await;
    let portal = world.on("island-desk");

    // What the policy requires is required, and nothing else.
    let refuse = async |body: Value| portal.registers(body).await;
    for (body, field) in [
        (with(pilot(), "/username", "dana.whitfield"), "username"),
        (with(pilot(), "/password", "tide-table-77"), "password"),
        (
            with(pilot(), "/attests_signing_authority", false),
            "attests_signing_authority",
        ),
        (
            with(pilot(), "/accepted_agreements/tide_rules", "2025-06"),
            "accepted_agreements.tide_rules",
        ),
        (
            with(
                pilot(),
                "/accepted_agreements",
                json!({ "producer_agreement": "2026-01" }),
            ),
            "accepted_agreements.producer_agreement",
        ),
        (with(pilot(), "/hint", Value::Null), "hint"),
        (
            with(pilot(), "/security_answers", json!([])),
            "security_answers",
        ),
        (
            with(pilot(), "/postal_address", Value::Null),
            "postal_address",
        ),
        (
            with(
                pilot(),
                "/verification",
                json!({ "agent_id": "AG10001", "ssn_last4": "4821" }),
            ),
            "verification.last_name",
        ),
        (
            with(pilot(), "/registration_type", "agent"),
            "registration_type",
        ),
    ] {
        refuse(body).await.invalid(field);
    }
    let refused = refuse(with(pilot(), "/verification/last_name", "Whitfeld"))
        .await
        .refused(403, "registration-refused");
    assert!(
        refused
            .text_at("/detail")
            .starts_with("Nobody of that name sails with us."),
        "{}",
        refused.text
    );
    refused.has("/help_desk/phone", "(907) 555-0188");

    let registered = world.register("island-desk", pilot()).await;
    let username = registered.text_at("/username").to_owned();
    assert!(
        username.starts_with("isle-") && username.len() == 13,
        "{username}"
    );
    let registered = registered.has("/next_step", "enter_pin");
    assert_eq!(registered.body["notices"], json!(["invite_backup"]));

    // Delivery takes two business days. The user has a new PIN issued, and only the new one is
    // valid.
    let (dana, next) = sign_in(&world, &username, CHOSEN).await;
    assert_eq!(next, "enter_pin");
    let old = pin_in(&world.last_letter().await, 8);
    let letter = dana.get("/pin/letter").await;
    assert_eq!(
        (
            letter.text_at("/arrives_from"),
            letter.text_at("/arrives_by")
        ),
        ("2026-11-24", "2026-11-25")
    );
    dana.post("/pin/letter", json!({})).await.expect(201);
    // Both letters have the same date, so their names don't show which is newer.
    let pins: Vec<_> = world.letters().await.iter().map(|l| pin_in(l, 8)).collect();
    assert_eq!(pins.len(), 2);
    let new = pins.into_iter().find(|p| *p != old).unwrap();
    let enter = async |pin: &str| dana.enters_pin(pin).await;
    assert_eq!(enter(&old).await.problem(), "pin-wrong");
    let opened = enter(&new).await;
    assert_eq!(
        (opened.status, &opened.body["entitlements"]["services"]),
        (200, &json!(["charts"])),
        "{}",
        opened.text
    );
    assert_eq!(
        opened.body["entitlements"]["group_codes"],
        json!(["ISLE-1", "ISLE-2"])
    );

    // Staff get an initial password, choose their own, and wait for approval.
    let hand = json!({
        "first_name": "Finn", "last_name": "Moe", "email": "finn@isle.example", "initial_password": "Harbor-Lamp-24!",
    });
    let added = dana.post("/users", &hand).await.expect(201);
    let (id, name) = (added.text_at("/id"), added.text_at("/username"));
    assert!(name.starts_with("isle-"), "{name}");
    let reported = world.last_mail_to("finn@isle.example").await;
    assert!(
        reported.text.contains(name) && reported.from.contains("island@harborlight.example"),
        "{reported:?}"
    );
    let (finn, next) = sign_in(&world, name, "Harbor-Lamp-24!").await;
    assert_eq!(next, "change_password");
    let change =
        json!({ "current_password": "Harbor-Lamp-24!", "new_password": "Northern-Buoy-35!" });
    finn.put("/sessions/current/password", &change)
        .await
        .expect(200)
        .has("/next_step", "await_approval");
    assert_eq!(
        finn.get("/entitlements").await.text_at("/next_step"),
        "await_approval"
    );
    let approval = json!({ "services": ["tides"], "group_codes": ["ISLE-2"] });
    dana.post(&format!("/users/{id}/approval"), approval)
        .await
        .expect(200);
    let entitlements = finn.get("/entitlements").await;
    assert_eq!(
        (
            &entitlements.body["services"],
            &entitlements.body["group_codes"]
        ),
        (&json!(["tides"]), &json!(["ISLE-2"])),
        "{}",
        entitlements.text
    );

    // An address is unique on this portal, and free in another realm.
    let twin = dana
        .post("/users", with(hand, "/email", "FINN@isle.example"))
        .await;
    assert_eq!(
        (twin.status, twin.fields()),
        (409, vec!["email"]),
        "{}",
        twin.text
    );
    world
        .register(
            "agent",
            with(
                vestibule_tests::people::agent(),
                "/email",
                "dana@isle.example",
            ),
        )
        .await;
}

#[tokio::test]
async fn a_user_without_the_agreement_sees_nothing_protected() {
    let (_folder, world) = islands().await;
    let registered = world
        .register(
            "island-desk",
            with(pilot(), "/accepted_agreements", json!({})),
        )
        .await;
    let (dana, _) = sign_in(&world, registered.text_at("/username"), CHOSEN).await;
    let pin = pin_in(&world.last_letter().await, 8);
    dana.enters_pin(&pin)
        .await
        .expect(200)
        .has("/next_step", "sign_agreement");
    dana.get("/me").await.has("/agreement/id", "tide_rules");
    dana.get("/entitlements").await.expect(403);
    dana.get("/users").await.expect(403);
}

#[tokio::test]
async fn sessions_attempts_and_wording_follow_the_policy() {
    let (_folder, world) = islands().await;
    let registered = world.register("island-desk", pilot()).await;
    let name = registered.text_at("/username");
    let session = world.on("island-desk").signs_in(name, CHOSEN).await;
    assert_eq!(
        (
            session.text_at("/started_at"),
            session.text_at("/expires_at")
        ),
        ("2026-11-23T15:00:00Z", "2026-11-23T17:00:00Z")
    );
    let dana = world
        .on("island-desk")
        .with_token(session.text_at("/token"));
    for _ in 0..3 {
        world.pass(SignedDuration::from_mins(4));
        dana.get("/me").await.expect(200);
    }
    world.pass(SignedDuration::from_mins(6));
    assert_eq!(
        dana.get("/me").await.status,
        401,
        "idle for more than five minutes"
    );

    for _ in 0..3 {
        world
            .on("island-desk")
            .signs_in(name, "Wrong-Tide-00!")
            .await
            .expect(401)
            .has("/detail", "No such sailor, or not that password.");
    }
    let refused = world.on("island-desk").signs_in(name, CHOSEN).await;
    assert_eq!(refused.status, 429, "three guesses");
    world.pass(SignedDuration::from_mins(10));
    let (_, next) = sign_in(&world, name, CHOSEN).await;
    assert_eq!(next, "enter_pin");

    // A registration type that isn't open to a record responds with the policy's message.
    let station = json!({
        "registration_type": "station", "verification": { "group_number": "GR20001", "tax_id": "00-1234567" },
        "first_name": "Ruth", "last_name": "Okafor", "email": "ruth@isle.example", "password": CHOSEN,
        "security_answers": pilot()["security_answers"], "hint": pilot()["hint"],
    });
    world.on("island-desk").registers(&station).await.has(
        "/detail",
        "Large stations call Island Help at (907) 555-0188.",
    );
    let small = with(
        station,
        "/verification",
        json!({ "group_number": "GR20002", "tax_id": "002345678" }),
    );
    let registered = world.register("island-desk", small).await;
    let (master, next) = sign_in(&world, registered.text_at("/username"), CHOSEN).await;
    assert_eq!(
        next, "",
        "nothing to do first: no PIN, no agreement, no approval"
    );
    let me = master.get("/me").await;
    assert_eq!(
        (
            me.text_at("/organization/role_title"),
            me.text_at("/organization/kind")
        ),
        ("Harbor master", "station")
    );

    // The password expires after thirty days.
    world.pass_days(31);
    let (_, next) = sign_in(&world, registered.text_at("/username"), CHOSEN).await;
    assert_eq!(next, "change_password");
}

/// The error message of a start with this folder, without the folder's name.
async fn refused(folder: &Path) -> String {
    let options = Options {
        portals: folder.to_owned(),
        ..options()
    };
    let error = Instance::start(options).await.unwrap_err().to_string();
    error
        .replace(&format!("{}/", folder.display()), "")
        .replace(&folder.display().to_string(), "FOLDER")
}

#[tokio::test]
async fn an_invalid_policy_prevents_the_start_with_file_line_and_field() {
    let wrong = |from: &str, to: &str| {
        assert_eq!(ISLAND.matches(from).count(), 1, "{from}");
        folder_with(&[("island-desk.toml", &ISLAND.replace(from, to))])
    };
    let line = |text: &str| ISLAND.lines().position(|l| l == text).unwrap() + 1;
    for (from, to, at, reported) in [
        (
            "max_hours = 2\n",
            "max_hours = 25\n",
            line("max_hours = 2"),
            "session.max_hours: must be a whole number from 1 to 24, not 25",
        ),
        (
            "verify = [\"ssn_last4\", \"last_name\"]",
            "verify = [\"tax_id\"]",
            line("verify = [\"ssn_last4\", \"last_name\"]"),
            "registration_type[0].verify: records of this kind hold no tax_id",
        ),
        (
            "registration_types = [\"pilot\"]",
            "registration_types = [\"captain\"]",
            line("registration_types = [\"pilot\"]"),
            "agreement[0].registration_types: captain is no [[registration_type]]",
        ),
        (
            "hint_question = true",
            "hint_question = false",
            line("forgot_password = [\"security_answers\", \"hint_question\", \"email\"]"),
            "recovery.forgot_password: needs hint_question = true",
        ),
        (
            "time_zone = \"America/Anchorage\"",
            "time_zone = \"Mars/Olympus\"",
            line("time_zone = \"America/Anchorage\""),
            "time_zone: must be the IANA name of a time zone such as America/Chicago, not \"Mars/Olympus\"",
        ),
    ] {
        let folder = wrong(from, to);
        assert_eq!(
            refused(folder.path()).await,
            format!("island-desk.toml:{at}: {reported}")
        );
    }
    let folder = wrong("[roles.user]", "[roles.stowaway]");
    let reported = refused(folder.path()).await;
    assert!(
        reported.starts_with(&format!("island-desk.toml:{}: roles", line("[roles.user]"))),
        "{reported}"
    );
    let folder = wrong("title = \"Island Desk\"", "title = \"Island Desk");
    let reported = refused(folder.path()).await;
    assert!(
        reported.starts_with("island-desk.toml:2: (file): "),
        "{reported}"
    );
    let folder = wrong("idle_minutes = 5", "idle_minutes = 5\nidle_hours = 1");
    let reported = refused(folder.path()).await;
    let at = line("idle_minutes = 5") + 1;
    assert!(
        reported.starts_with(&format!("island-desk.toml:{at}: session.idle_hours: ")),
        "{reported}"
    );
}

/// A function reads a policy when a request for its portal arrives. An invalid policy makes only
/// that portal unavailable, and no data is lost.
#[tokio::test]
async fn an_invalid_policy_makes_only_its_portal_unavailable() {
    let mut world = World::new().await;
    world.register("group", group_principal()).await;
    world.register("member", member()).await;

    let folder = portals_with("member", &[("America/Chicago", "Chicago")], "");
    let right = Arc::clone(&world.instance.app.portals);
    let wrong = Arc::new(portals::open(folder.path()).unwrap());
    world.instance.app.portals = Arc::clone(&wrong);
    world.instance.mailer.portals = Arc::clone(&wrong);
    world.instance.printer.portals = wrong;

    let base = serve_at_free_port(world.instance.router()).await.unwrap();
    let sign_in = async |portal: &str, username: &str| {
        let body = json!({ "username": username, "password": PASSWORD });
        Person::from(Client::new(&base, portal))
            .post("/sessions", body)
            .await
    };
    for _ in 0..2 {
        let response = sign_in("member", "maria.alvarez")
            .await
            .refused(503, "unavailable");
        assert!(!response.text.contains("time_zone"), "that is for the log");
        sign_in("group", "ruth.okafor").await.expect(201);
    }
    let swept = world.instance.schedule().await.unwrap();
    assert_eq!(swept.summary.failed, 1);
    assert_eq!(world.instance.letters().len(), 0, "no letter is printed");
    assert!(!world.instance.inbox.to("ruth@blueheron.example").is_empty());
    let run = Run::now(world.now());
    assert_eq!(world.instance.sweep(&run).await.summary.failed, 1);
    assert_eq!(world.instance.inbox.to("maria@example.com").len(), 0);

    world.instance.app.portals = Arc::clone(&right);
    world.instance.mailer.portals = Arc::clone(&right);
    world.instance.printer.portals = right;
    world.pass_days(1);
    assert_eq!(world.instance.schedule().await.unwrap().summary.failed, 0);
    assert_eq!(world.instance.inbox.to("maria@example.com").len(), 1);
    assert!(world.last_letter().await.contains("Maria"));
    invariants(&world).await;
}

#[tokio::test]
async fn a_folder_without_policies_prevents_the_start_with_a_message() {
    let folder = TempDir::new().unwrap();
    assert_eq!(
        refused(folder.path()).await,
        "FOLDER: contains no policy; add one NAME.toml file per portal (docs/portals.md)"
    );
    std::fs::write(folder.path().join("notes.txt"), "no policy").unwrap();
    assert!(refused(folder.path()).await.contains("contains no policy"));

    let missing: PathBuf = folder.path().join("not-there");
    assert_eq!(
        refused(&missing).await,
        "FOLDER: No such file or directory (os error 2)"
    );

    let named = folder_with(&[("Island Desk.toml", ISLAND)]);
    assert_eq!(
        refused(named.path()).await,
        "Island Desk.toml: a portal's name is 2 to 24 of a-z, 0-9 and -, starting with a letter; the file name must be the portal's name"
    );

    // An unreadable policy is not skipped.
    let unreadable = folder_with(&[]);
    std::fs::create_dir(unreadable.path().join("folder.toml")).unwrap();
    let reported = refused(unreadable.path()).await;
    assert!(reported.starts_with("folder.toml: "), "{reported}");
    let binary = folder_with(&[]);
    std::fs::write(binary.path().join("binary.toml"), [0xff, 0xfe, 0x00]).unwrap();
    let reported = refused(binary.path()).await;
    assert!(reported.starts_with("binary.toml: "), "{reported}");
}
