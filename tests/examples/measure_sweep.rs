//! What a sweep costs with a thousand accounts due among ever more that are not, beside a scan of them all.
//!
//! `cargo run --release -p vestibule-tests --features measure --example measure_sweep -- 10000 100000`
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement looks at the clock"
)]

use std::time::Instant;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures::StreamExt;
use jiff::SignedDuration;
use vestibule_domain::rules::schedule::{self, ScheduledAction};
use vestibule_domain::state::account::Account;
use vestibule_domain::values::ids::PortalId;
use vestibule_inactivity_sweep::Run;
use vestibule_local::Options;
use vestibule_store::due::SHARDS;
use vestibule_tests::measure::{cpu_ms, peak_mib, reset_peak, sizes};
use vestibule_tests::meter::Meter;
use vestibule_tests::people::{agent, with};
use vestibule_tests::{Item, World, options};

/// How many accounts are due to be disabled.
const DUE: usize = 1000;

fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

#[tokio::main]
async fn main() {
    let header = "| accounts | done | accounts read per account acted on | index keys read | Query | read units | sweep | CPU | peak memory | scan: items read | read units | scan |";
    sizes(header, measure).await;
}

async fn measure(count: usize, endpoint: String) {
    let meter = Meter::default();
    let world = World::with(Options {
        interceptors: vec![meter.interceptor()],
        dynamodb_endpoint: Some(endpoint),
        ..options()
    })
    .await;
    world
        .register("producer", with(agent(), "/registration_type", "producer"))
        .await;
    let all = world.items(&world.instance.tables.main).await;
    let model = all
        .into_iter()
        .find(|i| i["sk"] == text("A"))
        .expect("the account that was registered");
    seed(&world, &model, count).await;

    world.pass_days(181);
    meter.read();
    reset_peak();
    let (began, cpu) = (Instant::now(), cpu_ms());
    let swept = world.instance.sweep(&Run::now(world.now())).await.summary;
    let (took, cpu, peak) = (began.elapsed(), cpu_ms() - cpu, peak_mib());
    let cost = meter.read();
    assert_eq!(
        (swept.count(ScheduledAction::Disable), swept.failed),
        (DUE as u64, 0)
    );

    // The embedded engine takes the square of the pages' number for a scan: half an hour for a million.
    let began = Instant::now();
    let (read, units) = match count {
        ..=100_000 => scan(&world).await,
        _ => (0, 0.0),
    };
    println!(
        "| {count} | {} | {:.2} | {DUE} | {} | {} | {:.1} s | {:.1} s | {:.0} MiB | {read} | {units} | {:.1} s |",
        swept.count(ScheduledAction::Disable),
        swept.accounts_read as f64 / swept.count(ScheduledAction::Disable) as f64,
        cost.calls.get("Query").copied().unwrap_or(0),
        cost.reads,
        took.as_secs_f64(),
        cpu / 1000.0,
        peak,
        began.elapsed().as_secs_f64(),
    );
}

/// Copies of an account: a thousand that have not signed in for 181 days when the sweep runs, the others
/// with a last sign-in on one of the 166 days before it.
async fn seed(world: &World, model: &Item, count: usize) {
    let policy = world.instance.policy("producer").unwrap();
    let portal = PortalId::parse("producer").unwrap();
    let items = (0..count).map(|i| {
        let username = format!("user.{i:07}");
        let id = world.instance.app.store.account_id(&portal, &username);
        let days_later = if i < DUE { 0 } else { 16 + (i % 165) as i64 };
        let signed_in = world.now() + SignedDuration::from_hours(24 * days_later);
        let mut account: Account =
            serde_json::from_value(plain(model)).expect("an account as it is kept");
        account.id = id.clone();
        account.last_sign_in_at = Some(signed_in);
        for membership in &mut account.memberships {
            membership.role = vestibule_domain::policy::Role::User;
        }
        let due = schedule::next_due(&account, policy).unwrap();
        // The thousand have been warned, so disabling is due for them.
        let due_on = if i < DUE { due.about } else { due.on };
        let shard = id.as_str().as_bytes()[id.as_str().len() - 1] % SHARDS;
        let mut item = model.clone();
        for (name, value) in [
            ("pk", format!("A#producer#{id}")),
            ("id", id.to_string()),
            ("username", username),
            ("email", format!("user{i}@example.com")),
            ("last_sign_in_at", signed_in.to_string()),
            ("due", format!("account#producer#{shard}")),
            ("due_on", due_on.to_string()),
        ] {
            item.insert(name.to_owned(), text(value));
        }
        let role = &mut item.get_mut("memberships").unwrap();
        if let AttributeValue::L(list) = role
            && let Some(AttributeValue::M(membership)) = list.first_mut()
        {
            membership.insert("role".into(), text("user"));
        }
        item
    });
    futures::stream::iter(items)
        .chunks(25)
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

fn plain(item: &Item) -> serde_json::Value {
    vestibule_tests::invariants::plain(&AttributeValue::M(item.clone()))
}

/// What the naive sweep reads: everything.
async fn scan(world: &World) -> (i32, f64) {
    let (mut read, mut units, mut start) = (0, 0.0, None);
    loop {
        let got = world
            .instance
            .db
            .scan()
            .table_name(&world.instance.tables.main)
            .return_consumed_capacity(aws_sdk_dynamodb::types::ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(start)
            .send()
            .await
            .unwrap();
        read += got.scanned_count;
        units += got
            .consumed_capacity
            .and_then(|c| c.capacity_units)
            .unwrap_or_default();
        start = got.last_evaluated_key;
        if start.is_none() {
            return (read, units);
        }
    }
}
