//! SE-04: every place where a secret is compared, found in the code, and what guessing there is worth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_local::{Options, personas};
use vestibule_tests::authenticator::app_code;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::people::{
    PASSWORD, agent, dental, hint, member, provider, security_answers, with,
};
use vestibule_tests::{Item, World, another, code_in, link_token, options, pin_in, portals_with};

/// A request that contains a guess.
#[derive(Debug, Clone)]
struct Guessing {
    by: Person,
    method: Method,
    path: &'static str,
    /// The request with a wrong secret, and with the right one.
    wrong: Value,
    right: Value,
}

/// A place where a secret is compared.
struct Place {
    /// The file, below `functions`, and how many comparisons it has.
    file: &'static str,
    comparisons: usize,
    /// What can be guessed there.
    rows: Vec<Row>,
}

/// A secret that can be guessed in a place.
struct Row {
    what: &'static str,
    /// How many guesses are evaluated.
    evaluated: usize,
    /// The response to a wrong guess, and to one that is not evaluated.
    responses: (&'static str, &'static str),
    /// The action on the audit trail.
    action: &'static str,
}

const fn row(
    what: &'static str,
    evaluated: usize,
    responses: (&'static str, &'static str),
    action: &'static str,
) -> Row {
    Row {
        what,
        evaluated,
        responses,
        action,
    }
}

const LIMITED: &str = "too-many-attempts";

/// Every place. A comparison that is added to the code without a row here fails a test.
fn places() -> Vec<Place> {
    let place = |file, comparisons, rows| Place {
        file,
        comparisons,
        rows,
    };
    let invalid = ("invalid-fields", LIMITED);
    let unregistered = ("registration-refused", LIMITED);
    let unproved = ("recovery-refused", LIMITED);
    let wrong_factor = ("second-factor-wrong", LIMITED);
    vec![
        place(
            "sign-in/src/sign_in.rs",
            1,
            vec![row(
                "password: sign-in",
                10,
                ("sign-in-failed", LIMITED),
                "sign_in",
            )],
        ),
        place(
            "sign-in/src/give_second_factor.rs",
            2,
            vec![
                row("password: confirmation", 10, invalid, "confirm_password"),
                row(
                    "second factor: code",
                    10,
                    wrong_factor,
                    "enter_second_factor",
                ),
                row(
                    "second factor: recovery code",
                    10,
                    wrong_factor,
                    "enter_second_factor",
                ),
            ],
        ),
        place(
            "sign-in/src/reset_second_factors.rs",
            1,
            vec![row(
                "PIN: second factors",
                5,
                ("pin-wrong", "pin-locked"),
                "reset_second_factors",
            )],
        ),
        place(
            "sign-in/src/change_password.rs",
            1,
            vec![row("password: change", 10, invalid, "change_password")],
        ),
        place(
            "my-profile/src/change_email.rs",
            1,
            vec![row("password: email", 10, invalid, "request_email_change")],
        ),
        place(
            "my-profile/src/edit_profile.rs",
            1,
            vec![row("password: profile", 10, invalid, "edit_profile")],
        ),
        place(
            "register/src/register.rs",
            // The second comparison is that of a duplicate request that lost the race.
            2,
            vec![
                row("facts: registration", 5, unregistered, "register"),
                row("password: registration again", 5, unregistered, "register"),
            ],
        ),
        place(
            "register/src/register_additional_organization.rs",
            1,
            vec![row(
                "facts: additional organization",
                5,
                unregistered,
                "register_additional_organization",
            )],
        ),
        place(
            "register/src/register_again.rs",
            1,
            vec![row("facts: campaign", 5, unregistered, "register_again")],
        ),
        place(
            "register/src/accept_invitation.rs",
            1,
            vec![row(
                "password: invitation again",
                10,
                ("invitation-used", LIMITED),
                "accept_invitation",
            )],
        ),
        place(
            "activate-pin/src/enter_pin.rs",
            1,
            vec![row("PIN", 5, ("pin-wrong", "pin-locked"), "activate_pin")],
        ),
        place(
            "activate-pin/src/redeem_code.rs",
            // The second comparison is that of a duplicate request that lost the race.
            2,
            vec![
                row(
                    "registration code",
                    5,
                    ("code-wrong", "code-locked"),
                    "redeem_registration_code",
                ),
                row(
                    "password: code again",
                    5,
                    ("code-wrong", "code-locked"),
                    "redeem_registration_code",
                ),
            ],
        ),
        place(
            "reset-password/src/complete_reset.rs",
            1,
            vec![
                row("answers: password", 10, unproved, "reset_password"),
                row("hint answer", 10, unproved, "reset_password"),
            ],
        ),
        place(
            "reset-password/src/start_username_recovery.rs",
            1,
            vec![row(
                "facts: username",
                5,
                ("200", LIMITED),
                "recover_username",
            )],
        ),
        place(
            "reset-password/src/recover_username.rs",
            1,
            vec![row("answers: username", 5, unproved, "recover_username")],
        ),
    ]
}

/// The agent portal in a campaign.
fn campaign() -> TempDir {
    let lasting = [(
        "max_age_days = 90 # AG-02\nwarning_days = [14, 7, 3, 1] # UX-02\n",
        "",
    )];
    let campaign = "\n[[campaign]]\nkind = \"re_registration\"\nstart = 2026-12-01\ncutoff = 2027-05-31\ntransition_days = 90\nwarning_days = [14, 1]\n";
    portals_with("agent", &lasting, campaign)
}

/// A system in which the secret of a row can be guessed, and the guesses.
async fn prepared(what: &str) -> (World, Guessing, Option<TempDir>) {
    if what == "facts: campaign" {
        let portals = campaign();
        let with_campaign = Options {
            portals: portals.path().to_owned(),
            ..options()
        };
        let world = World::with(with_campaign).await;
        let guessing = campaign_guesses(&world).await;
        return (world, guessing, Some(portals));
    }
    let world = World::new().await;
    let guessing = match what {
        "PIN" => pin_guesses(&world).await,
        "PIN: second factors" => reset_guesses(&world).await,
        _ if what.starts_with("second factor") => factor_guesses(&world, what).await,
        "registration code" | "password: code again" => code_guesses(&world, what).await,
        "password: invitation again" => invitation_guesses(&world).await,
        "facts: additional organization" => organization_guesses(&world).await,
        _ if what.starts_with("password") => password_guesses(&world, what).await,
        _ => recovery_guesses(&world, what).await,
    };
    (world, guessing, None)
}

async fn password_guesses(world: &World, what: &str) -> Guessing {
    let (helen, username) = world.provider().await;
    let visitor = world.on("provider");
    let with_password = |by: &Person, method, path, body: Value, at: &str| Guessing {
        by: by.clone(),
        method,
        path,
        wrong: with(body.clone(), at, "Wrong-Guess-58!"),
        right: with(body, at, PASSWORD),
    };
    match what {
        "password: sign-in" => {
            let body = json!({ "username": username });
            with_password(&visitor, Method::POST, "/sessions", body, "/password")
        }
        "password: change" => {
            let body = json!({ "new_password": "Another-Lake-77!" });
            let path = "/sessions/current/password";
            with_password(&helen, Method::PUT, path, body, "/current_password")
        }
        "password: confirmation" => {
            let path = "/sessions/current/password-confirmation";
            with_password(&helen, Method::PUT, path, json!({}), "/password")
        }
        "password: email" => {
            let body = json!({ "email": "helen@elsewhere.example" });
            with_password(&helen, Method::PUT, "/me/email", body, "/password")
        }
        "password: profile" => {
            let body = json!({ "hint": { "question": "Where was it?", "answer": "In Ghent" } });
            with_password(&helen, Method::PATCH, "/me", body, "/password")
        }
        "password: registration again" => with_password(
            &visitor,
            Method::POST,
            "/registrations",
            provider(),
            "/password",
        ),
        other => panic!("no guesses for {other}"),
    }
}

/// Guesses at a second factor, in a session with the password.
async fn factor_guesses(world: &World, what: &str) -> Guessing {
    let ruth = world.group_principal().await;
    let secret = ruth.adds_app(world, "Phone").await;
    let codes = ruth.creates_recovery_codes().await;
    let ruth = world.sign_in("group", "ruth.okafor").await;
    world.pass(jiff::SignedDuration::from_secs(30));
    let code = app_code(&secret, world.now());
    let (wrong, right) = match what {
        "second factor: code" => (json!({ "code": another(&code) }), json!({ "code": code })),
        _ => (
            json!({ "recovery_code": "0000-0000-0000-0000" }),
            json!({ "recovery_code": codes[0] }),
        ),
    };
    Guessing {
        by: ruth,
        method: Method::PUT,
        path: "/sessions/current/second-factor",
        wrong: json!({ "factor": wrong }),
        right: json!({ "factor": right }),
    }
}

/// Guesses at the PIN of a letter that resets second factors, in a session with the password.
async fn reset_guesses(world: &World) -> Guessing {
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    maria.adds_app(world, "Phone").await;
    let id = maria.id().await;
    let desk = world.help_desk().await;
    let path = format!("/accounts/member/{id}/second-factor-reset");
    let body = json!({ "reason": "Caller lost the phone." });
    desk.agent.post(&path, body).await.expect(200);
    let pin = pin_in(&world.last_letter().await, 6);
    Guessing {
        by: world.sign_in("member", "maria.alvarez").await,
        method: Method::POST,
        path: "/sessions/current/second-factor-reset",
        wrong: json!({ "pin": another(&pin) }),
        right: json!({ "pin": pin }),
    }
}

async fn recovery_guesses(world: &World, what: &str) -> Guessing {
    let maria = world.on("member");
    let who = json!({ "registration_type": "member", "verification": member()["verification"], "first_name": "Maria" });
    let wrong_fact = |body: &Value| with(body.clone(), "/verification/date_of_birth", "1979-04-13");
    let mut wrong_answers = security_answers();
    wrong_answers[0]["answer"] = json!("wrong");
    let wrong_answer =
        |body: &Value| with(body.clone(), "/security_answers", wrong_answers.clone());
    let post = |path, wrong, right| Guessing {
        by: maria.clone(),
        method: Method::POST,
        path,
        wrong,
        right,
    };
    if what == "facts: registration" {
        return post("/registrations", wrong_fact(&member()), member());
    }
    if what == "hint answer" {
        return hint_guesses(world).await;
    }
    world.register("member", member()).await;
    match what {
        "answers: password" => {
            let right = json!({ "username": "maria.alvarez", "security_answers": security_answers(), "new_password": "Calm-Harbor-71!" });
            post("/password-resets/redemption", wrong_answer(&right), right)
        }
        "facts: username" => post("/username-recoveries", wrong_fact(&who), who),
        "answers: username" => {
            let right = with(who, "/security_answers", security_answers());
            post("/username-recoveries/answers", wrong_answer(&right), right)
        }
        other => panic!("no guesses for {other}"),
    }
}

/// Guesses at the answer that the provider portal requires in addition to the link.
async fn hint_guesses(world: &World) -> Guessing {
    let (_, username) = world.provider().await;
    let visitor = world.on("provider");
    let ask = json!({ "username": username });
    visitor.post("/password-resets", ask).await.expect(202);
    let email = provider()["email"].as_str().unwrap().to_owned();
    // The first delivery processes the request, the second sends the email.
    world.mails_to(&email).await;
    let token = link_token(&world.last_mail_to(&email).await);
    let body = json!({ "token": token, "new_password": "Calm-Harbor-71!" });
    let answer = |text: &Value| with(body.clone(), "/hint", json!({ "answer": text }));
    Guessing {
        by: visitor,
        method: Method::POST,
        path: "/password-resets/redemption",
        wrong: answer(&json!("wrong")),
        right: answer(&hint()["answer"]),
    }
}

async fn pin_guesses(world: &World) -> Guessing {
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    Guessing {
        by: maria,
        method: Method::POST,
        path: "/pin/activation",
        wrong: json!({ "pin": another(&pin) }),
        right: json!({ "pin": pin }),
    }
}

async fn code_guesses(world: &World, what: &str) -> Guessing {
    let (helen, _) = world.provider().await;
    let (username, _) = world.added_by(&helen, "Sam").await;
    let code = code_in(&world.last_mail_to("sam@lakeside.example").await);
    let visitor = world.on("provider");
    let path = "/registration-codes/redemption";
    let right = json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
    let wrong = if what == "registration code" {
        with(right.clone(), "/registration_code", another(&code))
    } else {
        visitor.post(path, &right).await.expect(200);
        with(right.clone(), "/password", "Wrong-Guess-58!")
    };
    Guessing {
        by: visitor,
        method: Method::POST,
        path,
        wrong,
        right,
    }
}

async fn invitation_guesses(world: &World) -> Guessing {
    let ruth = world.group_principal().await;
    let email = "sam@blueheron.example";
    let token = world.invite(&ruth, "Sam", email, "user").await;
    let right = World::acceptance(&token, "Sam", email, "sam.lind");
    world.on("group").accepts(&right).await.expect(201);
    Guessing {
        by: world.on("group"),
        method: Method::POST,
        path: "/invitations/accept",
        wrong: with(right.clone(), "/password", "Wrong-Guess-58!"),
        right,
    }
}

async fn organization_guesses(world: &World) -> Guessing {
    let facts = |provider_id: &str, tax_id: &str| json!({ "registration_type": "dental_office_manager", "verification": { "provider_id": provider_id, "tax_id": tax_id } });
    let first = facts("PV30003", "005678901");
    let body = with(dental(), "/registration_type", "dental_office_manager");
    let body = with(body, "/verification", first["verification"].clone());
    let body = with(body, "/email", "mona@oakview.example");
    world
        .register("practice", with(body, "/username", "mona.office"))
        .await;
    Guessing {
        by: world.sign_in("practice", "mona.office").await,
        method: Method::POST,
        path: "/me/organizations",
        wrong: facts("PV30002", "004567899"),
        right: facts("PV30002", "004567890"),
    }
}

async fn campaign_guesses(world: &World) -> Guessing {
    world.register("agent", agent()).await;
    world.wait_until("2027-03-05T15:00:00Z");
    let right =
        json!({ "verification": agent()["verification"], "attests_signing_authority": true });
    Guessing {
        by: world.sign_in("agent", "dana.whitfield").await,
        method: Method::PUT,
        path: "/me/registration",
        wrong: with(right.clone(), "/verification/ssn_last4", "4822"),
        right,
    }
}

impl Guessing {
    /// Makes the same guess many times at once, each from an address of its own.
    async fn at_once(&self, times: usize) -> Vec<Response> {
        let sent = (0..times).map(|i| {
            let by = self.by.from_source(&format!("198.51.100.{i}"));
            async move {
                by.send(self.method.clone(), self.path, Some(&self.wrong))
                    .await
            }
        });
        join_all(sent).await
    }

    async fn right(&self) -> Response {
        let by = self.by.from_source("203.0.113.1");
        by.send(self.method.clone(), self.path, Some(&self.right))
            .await
    }
}

fn kind(response: &Response) -> String {
    if response.status < 300 {
        response.status.to_string()
    } else {
        response.problem().to_owned()
    }
}

/// Returns the reasons of an action's refusals on the audit trail, with their number.
fn refusals(all: &Contents, action: &str) -> BTreeMap<String, usize> {
    let mut reasons = BTreeMap::new();
    let refused = |e: &&Value| text(e, "/action") == action && text(e, "/outcome") == "refused";
    for event in all.audit.iter().filter(refused) {
        *reasons
            .entry(text(event, "/reason").to_owned())
            .or_default() += 1;
    }
    reasons
}

const GUESSES: usize = 30;

/// In each place, of guesses made at once exactly the allowed number is evaluated, every one is on the audit
/// trail, and afterward the right secret is not evaluated either.
async fn guess_everywhere(is_wanted: impl Fn(&Row) -> bool) {
    for row in places().into_iter().flat_map(|place| place.rows) {
        if !is_wanted(&row) {
            continue;
        }
        let (world, guessing, _portals) = prepared(row.what).await;
        let answers = guessing.at_once(GUESSES).await;
        let mut tally = BTreeMap::<String, usize>::new();
        for response in &answers {
            *tally.entry(kind(response)).or_default() += 1;
        }
        let expected = BTreeMap::from([
            (row.responses.0.to_owned(), row.evaluated),
            (row.responses.1.to_owned(), GUESSES - row.evaluated),
        ]);
        assert_eq!(tally, expected, "{}: {}", row.what, answers[0].text);
        let right = guessing.right().await;
        assert_eq!(
            kind(&right),
            row.responses.1,
            "{}: {}",
            row.what,
            right.text
        );

        let reasons = refusals(&invariants(&world).await, row.action);
        let limited: usize = reasons
            .iter()
            .filter(|(reason, _)| ["too_many_attempts", "locked"].contains(&reason.as_str()))
            .map(|(_, n)| n)
            .sum();
        let recorded: usize = reasons.values().sum();
        assert_eq!(
            (recorded - limited, limited),
            (row.evaluated, GUESSES - row.evaluated + 1),
            "{}: {reasons:?}",
            row.what
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_04_of_passwords_guessed_at_once_exactly_the_allowed_number_is_evaluated_everywhere() {
    guess_everywhere(|row| row.what.starts_with("password")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_04_of_facts_guessed_at_once_exactly_the_allowed_number_is_evaluated_everywhere() {
    guess_everywhere(|row| row.what.starts_with("facts")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_04_of_codes_and_answers_guessed_at_once_exactly_the_allowed_number_is_evaluated() {
    guess_everywhere(|row| !row.what.starts_with("password") && !row.what.starts_with("facts"))
        .await;
}

/// While sign-in is locked, the responses to a right and a wrong password are the same everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_04_a_password_is_compared_nowhere_while_sign_in_is_locked() {
    let rows = places().into_iter().flat_map(|place| place.rows);
    for row in rows.filter(|row| row.what.starts_with("password")) {
        let (world, guessing, _portals) = prepared(row.what).await;
        let (portal, username) = owner(&world, row.what).await;
        let visitor = world.on(&portal);
        for i in 0..10 {
            let by = visitor.from_source(&format!("192.0.2.{i}"));
            let wrong = json!({ "username": username, "password": "Wrong-Guess-58!" });
            by.post("/sessions", wrong).await.expect(401);
        }
        let right = json!({ "username": username, "password": PASSWORD });
        visitor.post("/sessions", right).await.expect(429);
        let wrong = guessing.at_once(1).await.remove(0);
        let right = guessing.right().await;
        assert_eq!(
            (right.status, &right.body),
            (wrong.status, &wrong.body),
            "{}",
            row.what
        );
        assert!(right.status >= 400, "{}: {}", row.what, right.text);
    }
}

/// The account whose password is guessed.
async fn owner(world: &World, what: &str) -> (String, String) {
    let all = Contents::of(world).await;
    let is_sam = ["password: code again", "password: invitation again"].contains(&what);
    let account = all
        .accounts
        .values()
        .find(|a| (text(a, "/name/first") == "Sam") == is_sam)
        .unwrap();
    (
        text(account, "/portal").to_owned(),
        text(account, "/username").to_owned(),
    )
}

/// A right guess leaves a trace as well, also where it only repeats what was done before.
#[tokio::test]
async fn se_04_a_right_password_is_recorded_where_a_request_is_repeated() {
    for what in [
        "password: registration again",
        "password: invitation again",
        "password: code again",
    ] {
        let (world, guessing, _portals) = prepared(what).await;
        let response = guessing.right().await;
        assert!(response.status < 300, "{what}: {}", response.text);
        let all = invariants(&world).await;
        assert_eq!(all.done("repeat_registration"), 1, "{what}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn se_04_the_table_lists_every_place_where_the_code_compares_a_secret() {
    let functions = root().join("functions");
    let mut files = Vec::new();
    sources(&functions, &mut files);
    let mut found = BTreeMap::new();
    for file in files {
        let code = std::fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(&functions).unwrap().to_str().unwrap();
        // The functions are called by their full name, so that they are found here.
        for imported in code.split("secret_check::{").skip(1) {
            let imported = imported.split('}').next().unwrap();
            let mut names = imported.split(',').map(str::trim);
            assert!(
                names.all(|n| n == "self" || n.starts_with(|c: char| c.is_ascii_uppercase())),
                "{name} imports a comparison by its short name: {imported}"
            );
        }
        let calls = [
            "secret_check::check(",
            "secret_check::password(",
            "secret_check::verification(",
            "second_factor::check(",
        ];
        let comparisons: usize = calls.iter().map(|call| code.matches(call).count()).sum();
        // A signature can't be guessed: it is only counted for its source (MF-03).
        if comparisons > 0 && name != "sign-in/src/sign_in_with_passkey.rs" {
            found.insert(name.to_owned(), comparisons);
        }
    }
    let listed: BTreeMap<_, _> = places()
        .iter()
        .map(|place| (place.file.to_owned(), place.comparisons))
        .collect();
    assert_eq!(found, listed);
    assert!(places().iter().all(|place| !place.rows.is_empty()));
}

/// The type that compares is private to `secret_check`, and a function can't make another one.
#[test]
fn se_04_nothing_but_the_one_function_can_compare_a_secret() {
    let functions = root().join("functions");
    for function in std::fs::read_dir(functions).unwrap() {
        let manifest = function.unwrap().path().join("Cargo.toml");
        let manifest = std::fs::read_to_string(&manifest).unwrap();
        assert!(!manifest.contains("vestibule-secrets"), "{manifest}");
    }
    let shared = root().join("shared/http/src");
    let mut files = Vec::new();
    sources(&shared, &mut files);
    for file in files.iter().filter(|f| !f.ends_with("secret_check.rs")) {
        let code = std::fs::read_to_string(file).unwrap();
        for comparison in [".is_code(", "hasher.0", "hasher.verify"] {
            assert!(
                !code.contains(comparison),
                "{}: {comparison}",
                file.display()
            );
        }
    }
}

#[tokio::test]
async fn se_04_every_counter_is_deleted_some_time() {
    let world = World::new().await;
    let maria = world.member().await;
    maria.enters_pin("000000").await.refused(422, "pin-wrong");
    let (helen, _) = world.provider().await;
    let (username, _) = world.added_by(&helen, "Ivy").await;
    for name in [username.as_str(), "nobodysname"] {
        let body = personas::redemption(name, "RC000000");
        let refused = world
            .on("provider")
            .post("/registration-codes/redemption", body)
            .await;
        assert_eq!(refused.problem(), "code-wrong");
    }
    let items = world.items(&world.instance.tables.main).await;
    let counters: Vec<_> = items
        .iter()
        .filter(|i| i["sk"].as_s().is_ok_and(|sk| sk == "G"))
        .collect();
    assert!(counters.len() >= 5, "{}", counters.len());
    // The attempts at a plan record count for its whole life (SE-09); there are no more of them than records.
    let lasts = |i: &&Item| i["pk"].as_s().is_ok_and(|pk| pk.starts_with("G#record#"));
    for counter in counters.into_iter().filter(|c| !lasts(c)) {
        assert!(counter.contains_key("expires"), "{counter:?}");
    }
}
