//! What the download of an organization's users costs, and how much memory, for ever more users.
//!
//! `cargo run --release -p vestibule-tests --features measure --example measure_download -- 1000 10000 100000`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement looks at the clock"
)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::StreamExt;
use vestibule_domain::values::ids::PortalId;
use vestibule_http::parts::MAX_BYTES;
use vestibule_local::Options;
use vestibule_tests::measure::{held_mib, peak_mib, reset_peak, sizes};
use vestibule_tests::meter::Meter;
use vestibule_tests::people::{group_principal, with};
use vestibule_tests::{Item, World, options};

fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

#[tokio::main]
async fn main() {
    let header = "| users | parts | bytes | largest part | slowest part | Query | read units | whole download | memory before | more at the peak |";
    sizes(header, measure).await;
}

async fn measure(count: usize, endpoint: String) {
    let meter = Meter::default();
    let world = World::with(Options {
        dynamodb_endpoint: Some(endpoint),
        interceptors: vec![meter.interceptor()],
        ..options()
    })
    .await;
    let employer = with(group_principal(), "/registration_type", "employer");
    world.register("employer", employer).await;
    let all = world.items(&world.instance.tables.main).await;
    let is_row = |i: &Item| i["sk"].as_s().unwrap().starts_with("O#");
    let model = all.into_iter().find(is_row).unwrap();
    seed(&world, &model, count - 1).await;

    let dana = world.sign_in("employer", "ruth.okafor").await;
    reset_peak();
    let before = held_mib();
    meter.read();
    let began = Instant::now();
    let (mut parts, mut bytes, mut largest, mut slowest) = (0, 0, 0, Duration::ZERO);
    let (mut rows, mut names) = (0, BTreeSet::new());
    let mut query = String::new();
    loop {
        let begun = Instant::now();
        let part = dana.get(&format!("/users.csv{query}")).await;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(part.status, 200, "{}", part.text);
        assert!(part.text.len() <= MAX_BYTES);
        parts += 1;
        bytes += part.text.len();
        largest = largest.max(part.text.len());
        let lines = part.text.lines().filter(|l| !l.starts_with("username,"));
        // A number a name, so that checking takes little memory itself.
        for line in lines {
            rows += 1;
            names.insert(
                line.split(',').next().unwrap()[5..]
                    .parse::<u32>()
                    .unwrap_or(0),
            );
        }
        let link = part.headers.get("link").map(|l| l.to_str().unwrap());
        match link {
            Some(link) => link[1..].split('>').next().unwrap().clone_into(&mut query),
            None => break,
        }
    }
    let took = began.elapsed();
    let cost = meter.read();
    assert_eq!((rows, names.len()), (count, count), "each user once");
    println!(
        "| {count} | {parts} | {bytes} | {largest} | {slowest:.1?} | {} | {} | {took:.1?} | {before:.0} MiB | {:.0} MiB |",
        cost.calls.get("Query").copied().unwrap_or(0),
        cost.reads,
        peak_mib() - before,
    );
}

/// Copies of an organization's row for a user, as users of their own.
async fn seed(world: &World, model: &Item, count: usize) {
    let portal = PortalId::parse("employer").unwrap();
    let items = (1..=count).map(|i| {
        let username = format!("user.{i:07}");
        let id = world.instance.app.store.account_id(&portal, &username);
        let email = format!("{username}@blueheron.example");
        let mut item = model.clone();
        let search = ["ruth", "okafor"].map(text);
        let search = [text(&username)].into_iter().chain(search);
        let search = search.chain([text(&email)]).collect();
        for (name, value) in [
            ("sk", text(format!("O#U#{id}"))),
            ("account", text(&id)),
            ("username", text(&username)),
            ("email", text(&email)),
            ("role", text("user")),
            ("last_sign_in_at", text("2026-11-20T15:00:00Z")),
            ("search", AttributeValue::L(search)),
        ] {
            item.insert(name.to_owned(), value);
        }
        item
    });
    let batches = {
        let mut items = items;
        std::iter::from_fn(move || {
            let batch: Vec<Item> = items.by_ref().take(25).collect();
            (!batch.is_empty()).then_some(batch)
        })
    };
    futures::stream::iter(batches)
        .for_each_concurrent(4, |batch| async {
            let requests = batch.into_iter().map(|item| {
                let put = PutRequest::builder().set_item(Some(item)).build().unwrap();
                WriteRequest::builder().put_request(put).build()
            });
            let sent = world
                .instance
                .db
                .batch_write_item()
                .request_items(&world.instance.tables.main, requests.collect())
                .send()
                .await
                .unwrap();
            assert!(sent.unprocessed_items.is_none_or(|u| u.is_empty()));
        })
        .await;
}
