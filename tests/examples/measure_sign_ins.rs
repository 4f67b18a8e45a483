//! Whether sign-ins get slower as the embedded database fills: the CPU time of each thousand, without Argon2id's.
//!
//! `cargo run --release -p vestibule-tests --features measure --example measure_sign_ins -- 20000`
#![allow(
    clippy::unwrap_used,
    reason = "a measurement reads its argument and may panic"
)]

use jiff::SignedDuration;
use vestibule_local::Options;
use vestibule_secrets::HashParameters;
use vestibule_tests::measure::cpu_ms;
use vestibule_tests::people::{PASSWORD, agent, with};
use vestibule_tests::{World, options};

/// Argon2id's least parameters, so that the database is most of what is measured.
const HASHING: HashParameters = HashParameters {
    memory_kib: 8,
    passes: 1,
    lanes: 1,
};
const STEP: usize = 1000;

#[tokio::main]
async fn main() {
    let count: usize = std::env::args()
        .nth(1)
        .map_or(20_000, |n| n.parse().unwrap());
    let world = World::with(Options {
        hashing: HASHING,
        interceptors: vec![vestibule_local::aws::without_request_tokens()],
        ..options()
    })
    .await;
    world
        .register("producer", with(agent(), "/registration_type", "producer"))
        .await;
    let producer = world.on("producer");
    let username = agent()["username"].as_str().unwrap().to_owned();

    println!("| sign-ins | CPU of one, ms | of the first thousand's |\n|---|---|---|");
    let mut first = None;
    for done in (STEP..=count).step_by(STEP) {
        let before = cpu_ms();
        for _ in 0..STEP {
            // Attempts are counted by source for a quarter of an hour.
            world.pass(SignedDuration::from_mins(1));
            let (session, signed_in) = producer.sign_in(&username, PASSWORD).await;
            signed_in.expect(201);
            session.signs_out().await.expect(204);
        }
        let each = (cpu_ms() - before) / STEP as f64;
        let first = *first.get_or_insert(each);
        println!("| {done} | {each:.2} | {:.2} |", each / first);
    }
}
