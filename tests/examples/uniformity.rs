//! Measures whether response times distinguish known from unknown names (UX-09).
//!
//! ```sh
//! cargo run --release -p vestibule-tests --features measure --example uniformity            # 200 pairs of requests a flow
//! cargo run --release -p vestibule-tests --features measure --example uniformity -- 1000 'sign in'   # flows so named
//! ```
//!
//! Each flow is asked about a name, number or address that exists and about one that doesn't, in
//! random order, with the production parameters of Argon2id. Printed are both medians and how often
//! a known name took longer than an unknown one: 50 % is what guessing gives, and what there should
//! be within the margin that is printed beside it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement: it reads its argument and the wall clock, and may panic"
)]

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rand::rngs::{StdRng, SysRng};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use vestibule_http::app::LEAST_TIME;
use vestibule_local::Options;
use vestibule_secrets::HashParameters;
use vestibule_tests::authenticator::Browser;
use vestibule_tests::client::Person;
use vestibule_tests::people::{group_principal, member, security_answers, with};
use vestibule_tests::{World, options};

/// A request whose response must not reveal whether a person exists.
struct Flow {
    name: &'static str,
    portal: &'static str,
    path: &'static str,
    known: Value,
    unknown: Value,
}

/// Forged tokens of every kind, with the id of an account that exists and of one that doesn't. A session is
/// sent with a GET request, and its body here is the token.
fn forged(id: &str) -> Vec<Flow> {
    let token = |kind: &str, id: &str| format!("{kind}.{id}.{}", "A".repeat(43));
    let nobody: String = id.chars().rev().collect();
    let link = |kind: &str, id: &str| json!({ "token": token(kind, id) });
    let redeem = |id: &str| json!({ "token": token("vr", id), "new_password": "Calm-Harbor-71!" });
    let flow = |name, path, known, unknown| Flow {
        name,
        portal: "group",
        path,
        known,
        unknown,
    };
    let session = |id: &str| Value::String(token("vs", id));
    vec![
        flow("forged session", "/me", session(id), session(&nobody)),
        flow(
            "forged email confirmation",
            "/email-confirmations",
            link("ve", id),
            link("ve", &nobody),
        ),
        flow(
            "forged reset link, looked up",
            "/password-resets/look-up",
            link("vr", id),
            link("vr", &nobody),
        ),
        flow(
            "forged reset link, redeemed",
            "/password-resets/redemption",
            redeem(id),
            redeem(&nobody),
        ),
    ]
}

fn flows(pending: &str) -> Vec<Flow> {
    let attempt = |name: &str| json!({ "username": name, "password": "Wrong-River-58!" });
    let ask = |name: &str| json!({ "username": name });
    let mut answers = security_answers();
    answers[0]["answer"] = json!("wrong");
    let redeem = |name: &str| json!({ "username": name, "security_answers": answers.clone(), "new_password": "Calm-Harbor-71!" });
    let who = json!({ "registration_type": "member", "verification": member()["verification"], "first_name": "Maria" });
    let nobody = with(who.clone(), "/verification/enrollee_id", "100999999");
    let answering = |who: &Value| with(who.clone(), "/security_answers", answers.clone());
    let stranger = with(group_principal(), "/username", "some.stranger");
    let code = |name: &str| json!({ "username": name, "registration_code": "RC000000", "password": "Calm-Harbor-71!", "hint": { "question": "What was my first car?", "answer": "A green Beetle" } });
    vec![
        Flow {
            name: "sign in, wrong password",
            portal: "group",
            path: "/sessions",
            known: attempt("ruth.okafor"),
            unknown: attempt("no.such.name"),
        },
        Flow {
            name: "forgotten password, a link is mailed",
            portal: "group",
            path: "/password-resets",
            known: ask("ruth.okafor"),
            unknown: ask("no.such.name"),
        },
        Flow {
            name: "forgotten password, questions are asked",
            portal: "member",
            path: "/password-resets",
            known: ask("maria.alvarez"),
            unknown: ask("no.such.name"),
        },
        Flow {
            name: "forgotten password, wrong answers",
            portal: "member",
            path: "/password-resets/redemption",
            known: redeem("maria.alvarez"),
            unknown: redeem("no.such.name"),
        },
        Flow {
            name: "forgotten username",
            portal: "group",
            path: "/username-reminders",
            known: json!({ "email": "ruth@blueheron.example" }),
            unknown: json!({ "email": "nobody@blueheron.example" }),
        },
        Flow {
            name: "forgotten username, questions are asked",
            portal: "member",
            path: "/username-recoveries",
            known: who.clone(),
            unknown: nobody.clone(),
        },
        Flow {
            name: "forgotten username, wrong answers",
            portal: "member",
            path: "/username-recoveries/answers",
            known: answering(&who),
            unknown: answering(&nobody),
        },
        Flow {
            name: "registration, registered or unknown",
            portal: "group",
            path: "/registrations",
            known: stranger.clone(),
            unknown: with(stranger, "/verification/group_number", "ZZ99999"),
        },
        Flow {
            name: "registration code, wrong",
            portal: "provider",
            path: "/registration-codes/redemption",
            known: code(pending),
            unknown: code("prv23456789"),
        },
    ]
}

#[tokio::main]
async fn main() {
    let pairs: usize = std::env::args()
        .nth(1)
        .map_or(200, |n| n.parse().expect("the number of pairs"));
    let named = std::env::args().nth(2).unwrap_or_default();
    let world = World::with(Options {
        hashing: HashParameters::default(),
        least_time: LEAST_TIME,
        ..options()
    })
    .await;
    let (helen, _) = world.provider().await;
    world.register("group", group_principal()).await;
    world.register("member", member()).await;
    let (pending, _) = world.added_by(&helen, "Nils").await;
    // The margin within which guessing gives 50 %: two standard deviations of Mann and Whitney's U.
    let n = pairs as f64;
    let margin = 200.0 * ((2.0 * n + 1.0) / (12.0 * n * n)).sqrt();
    println!("{pairs} pairs of requests a flow; guessing gives 50 % ± {margin:.1}\n");
    println!("| Flow | Known, median | Unknown, median | Known took longer |");
    println!("|---|---|---|---|");
    let ruth = world.sign_in("group", "ruth.okafor").await.id().await;
    let flows = flows(&pending).into_iter().chain(forged(&ruth));
    for flow in flows.filter(|f| f.name.contains(&named)) {
        compare(&world, flow.name, pairs, async |client, is_known| {
            let body = if is_known { &flow.known } else { &flow.unknown };
            let began = Instant::now();
            let response = match body {
                Value::String(token) => {
                    let client = client.on(flow.portal).with_token(token);
                    client.get(flow.path).await
                }
                body => client.on(flow.portal).post(flow.path, body.clone()).await,
            };
            (response.status, began.elapsed())
        })
        .await;
    }
    let name = "sign in with a passkey and a wrong signature";
    if name.contains(&named) {
        let site = "https://groups.harborlight.example";
        let mut known = Browser::on(site, true);
        let ruth = world.sign_in("group", "ruth.okafor").await;
        ruth.adds_passkey(&mut known, "Laptop").await.expect(201);
        // A passkey of another installation.
        let mut unknown = Browser::on(site, true);
        let elsewhere = World::with(options()).await.group_principal().await;
        let added = elsewhere.adds_passkey(&mut unknown, "Laptop").await;
        added.expect(201);
        let (known, unknown) = (Mutex::new(known), Mutex::new(unknown));
        compare(&world, name, pairs, async |client, is_known| {
            let client = client.on("group");
            let browser = if is_known { &known } else { &unknown };
            let mut body = client.signs_challenge(&mut *browser.lock().await).await;
            body["passkey"]["credential"]["response"]["signature"] = json!("MEUCIQ");
            let began = Instant::now();
            let response = client.post("/sessions/passkey", body).await;
            (response.status, began.elapsed())
        })
        .await;
    }
}

/// Sends pairs of requests in random order and prints a row of the table. `request` returns the status and the time of one.
async fn compare(
    world: &World,
    name: &str,
    pairs: usize,
    request: impl AsyncFn(Person, bool) -> (u16, Duration),
) {
    let mut rng = StdRng::try_from_rng(&mut SysRng).unwrap();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut status = 0;
    for pair in 0..pairs {
        let mut seen = Vec::new();
        let mut order = [true, false];
        order.shuffle(&mut rng);
        for is_known in order {
            // From another place each time, and in a new window: no counter of guesses is full.
            let source = format!("203.0.{}.{}", pair % 250, rng.random_range(1..250));
            let client = world.on("group").from_source(&source);
            let (got, took) = request(client, is_known).await;
            seen.push(got);
            if is_known { &mut known } else { &mut unknown }.push(took);
        }
        assert_eq!(seen[0], seen[1], "{name}");
        status = seen[0];
        world.pass(SignedDuration::from_hours(2));
    }
    let longer = share_longer(&known, &unknown) * 100.0;
    println!(
        "| {name} ({status}) | {} | {} | {longer:.1} % |",
        median(&mut known),
        median(&mut unknown),
    );
}

fn median(times: &mut [Duration]) -> String {
    times.sort();
    format!("{:.2} ms", times[times.len() / 2].as_secs_f64() * 1000.0)
}

/// How often a time of the first list is longer than one of the second, equal ones counting half.
fn share_longer(first: &[Duration], second: &[Duration]) -> f64 {
    let mut points = 0.0;
    for a in first {
        for b in second {
            points += match a.cmp(b) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    points / (first.len() * second.len()) as f64
}
