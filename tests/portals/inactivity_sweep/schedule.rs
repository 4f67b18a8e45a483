//! What time alone brings about: idle accounts, passwords and letters, backups that are missing.

use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use futures::future::join;
use jiff::civil::Date;
use jiff::{SignedDuration, ToSpan};
use serde_json::{Value, json};
use vestibule_domain::rules::schedule::ScheduledAction;
use vestibule_domain::state::account::{Account, Status};
use vestibule_domain::state::membership::Membership;
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::Clock;
use vestibule_inactivity_sweep::{Preview, Run, Summary, Swept};
use vestibule_local::instance::at_work;
use vestibule_local::{Options, sample_records};
use vestibule_store::due::Queue;
use vestibule_tests::client::Person;
use vestibule_tests::fault_injection::{Fault, FaultInjector, Starter};
use vestibule_tests::invariants::{Contents, invariants, plain, text};
use vestibule_tests::meter::Meter;
use vestibule_tests::people::{PASSWORD, agent, group_principal, member, with};
use vestibule_tests::white_box;
use vestibule_tests::{Prepared, World, options, pin_in};

const SAM: &str = "sam@whitfield.example";
const DANA: &str = "dana@whitfield.example";

/// Invites and approves a person on the producer portal who has not signed in. Returns the id.
async fn sub_user(world: &World, dana: &Person, first: &str) -> String {
    let email = format!("{}@whitfield.example", first.to_lowercase());
    let token = world.invite(dana, first, &email, "user").await;
    let body = World::acceptance(
        &token,
        first,
        &email,
        &format!("{}.lind", first.to_lowercase()),
    );
    let accepted = world.on("producer").accepts(body).await.expect(201);
    let id = accepted.text_at("/user_id").to_owned();
    let body = json!({ "services": ["quotes"], "group_codes": [] });
    dana.post(&format!("/users/{id}/approval"), body)
        .await
        .expect(200);
    id
}

/// An agency of the producer portal: Dana, its primary producer, and Sam, who has never signed in.
async fn agency_with(options: Options) -> (World, String) {
    let world = World::empty(options).await;
    let feed: Vec<_> = sample_records::committed(RecordKind::Agent)
        .lines()
        .take(2)
        .collect();
    world.import(RecordKind::Agent, &feed.join("\n")).await;
    world
        .register("producer", with(agent(), "/registration_type", "producer"))
        .await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let id = sub_user(&world, &dana, "Sam").await;
    (world, id)
}

async fn agency() -> (World, String) {
    agency_with(options()).await
}

/// Runs the sweep once; nothing may fail.
async fn tick(world: &World) -> Swept {
    let swept = world.instance.schedule().await.unwrap();
    assert_eq!(swept.summary.failed, 0, "{swept:?}");
    assert!(!swept.summary.unfinished);
    swept
}

/// Lets days pass and runs the sweep on each day on which something is due; returns what was done
/// on which of them.
async fn tick_days(world: &World, days: u32) -> Vec<(u32, Summary)> {
    let mut done = Vec::new();
    let passed = world.instance.pass_days(days, |day| {
        assert_eq!(day.summary.failed, 0);
        done.push((day.number, day.summary.clone()));
        Ok(())
    });
    passed.await.unwrap();
    done
}

/// The account, as it is kept.
async fn account(world: &World, portal: &str, id: &str) -> Account {
    let store = &world.instance.app.store;
    let portal = PortalId::parse(portal).unwrap();
    let id = AccountId::parse(id).unwrap();
    store.account(&portal, &id).await.unwrap().unwrap()
}

/// How the account stands, as an administrator's list shows it; "gone" if it doesn't.
async fn status(world: &World, id: &str) -> String {
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let shown = dana.get(&format!("/users/{id}")).await;
    match shown.status {
        200 => shown.text_at("/status").to_owned(),
        _ => "gone".to_owned(),
    }
}

async fn subjects(world: &World, address: &str) -> Vec<String> {
    let mails = world.mails_to(address).await;
    mails.into_iter().map(|m| m.subject).collect()
}

/// How many mails with this in their subject an address has.
async fn mails_about(world: &World, address: &str, subject: &str) -> usize {
    let subjects = subjects(world, address).await;
    subjects.iter().filter(|s| s.contains(subject)).count()
}

async fn sign_in(world: &World, username: &str) -> (u16, String) {
    let response = world.on("producer").signs_in(username, PASSWORD).await;
    (response.status, response.text_at("/detail").to_owned())
}

async fn reinstate(world: &World, id: &str) {
    let dana = world.sign_in("producer", "dana.whitfield").await;
    dana.put(
        &format!("/users/{id}/status"),
        json!({ "status": "active" }),
    )
    .await
    .expect(200);
}

#[tokio::test]
async fn ba_01_an_account_is_disabled_on_the_181st_day_without_a_sign_in_and_not_before() {
    let (world, id) = agency().await;
    // A sign-in late in the evening of 23 November in Chicago, where it is the 24th in Greenwich.
    world.wait_until("2026-11-24T05:30:00Z");
    let sam = world.sign_in("producer", "sam.lind").await;
    sam.get("/entitlements").await.expect(200);

    // 22 May 2027 is the 180th day after; it lasts until midnight of summer time.
    world.wait_until("2027-05-23T04:59:59Z");
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "active");
    world.pass(SignedDuration::from_secs(1));
    let swept = tick(&world).await;
    assert_eq!(swept.summary.count(ScheduledAction::Disable), 1);
    assert_eq!(status(&world, &id).await, "disabled");

    // BA-04: a user with the right password learns whom to contact.
    let (status, detail) = sign_in(&world, "sam.lind").await;
    assert_eq!(
        (status, detail.as_str()),
        (
            403,
            "This user ID no longer has access to the system. Please contact your security administrator for more information."
        )
    );
    insta::assert_snapshot!(
        "ba_01_mail_to_the_user",
        white_box::shown(&world.last_mail_to(SAM).await)
    );
    insta::assert_snapshot!(
        "ba_01_mail_to_the_administrator",
        white_box::shown(&world.last_mail_to(DANA).await)
    );
    let all = invariants(&world).await;
    assert_eq!(all.done("disable_idle"), 1);
    // No one is notified twice.
    let mails = world.instance.inbox.len();
    assert_eq!(tick(&world).await.summary.done.len(), 0);
    assert_eq!(world.instance.inbox.len(), mails);
}

#[tokio::test]
async fn ba_01_disabling_ends_open_sessions_and_a_sign_in_restarts_the_count() {
    let (world, id) = agency().await;
    world.pass_days(100);
    world.sign_in("producer", "sam.lind").await;
    world.pass_days(180);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "active");
    // An open session ends as well, because only sign-ins count.
    let sam = world.sign_in("producer", "sam.lind").await;
    world
        .alter("producer", &id, |a| {
            a.last_sign_in_at = Some(a.created_at);
        })
        .await;
    tick(&world).await;
    sam.get("/sessions/current").await.expect(401);
    assert_eq!(status(&world, &id).await, "disabled");
}

#[tokio::test]
async fn ba_02_a_disabled_account_is_deleted_on_the_401st_day_and_not_before() {
    let (world, id) = agency().await;
    world.sign_in("producer", "sam.lind").await;
    world.pass_days(181);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "disabled");
    world.pass_days(400 - 181);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "disabled");
    world.pass_days(1);
    let swept = tick(&world).await;
    assert_eq!(swept.summary.count(ScheduledAction::Delete), 1);
    assert_eq!(status(&world, &id).await, "gone");

    // BA-05: as if there had never been such a name.
    let unknown = sign_in(&world, "nobody.here").await;
    assert_eq!(sign_in(&world, "sam.lind").await, unknown);
    assert_eq!(unknown.0, 401);
    insta::assert_snapshot!(
        "ba_02_mail_to_the_user",
        white_box::shown(&world.last_mail_to(SAM).await)
    );
    insta::assert_snapshot!(
        "ba_02_mail_to_the_administrator",
        white_box::shown(&world.last_mail_to(DANA).await)
    );

    // Personal data is removed; what the audit trail refers to stays.
    let all = invariants(&world).await;
    assert_eq!(all.done("delete_idle"), 1);
    let left = &all.accounts[&format!("A#producer#{id}")];
    let shown = left.to_string();
    for gone in ["Sam", SAM, "argon2", "quotes"] {
        assert!(!shown.contains(gone), "{gone} is still in {shown}");
    }
    assert_eq!(
        (text(left, "/username"), text(left, "/status")),
        ("sam.lind", "deleted")
    );
    assert!(
        left.get("expires").is_some() && left.get("due").is_none(),
        "{left}"
    );
    assert!(!all.contacts.keys().any(|k| k.contains(SAM)));

    // BA-06: it is not reinstated; the username is available for a new account.
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let again = sub_user(&world, &dana, "Sam").await;
    assert_ne!(again, id);
    world.sign_in("producer", "sam.lind").await;
    invariants(&world).await;
}

#[tokio::test]
async fn ba_02_a_sweep_that_comes_late_disables_first_and_deletes_a_day_later() {
    let (world, id) = agency().await;
    world.pass_days(500);
    let swept = tick(&world).await;
    assert_eq!(
        (
            swept.summary.count(ScheduledAction::Disable),
            swept.summary.count(ScheduledAction::Delete)
        ),
        (1, 0)
    );
    assert_eq!(status(&world, &id).await, "disabled");
    // The email says what happens next and leaves a day to respond.
    let reported = world.last_mail_to(SAM).await.text;
    let words: Vec<_> = reported.split_whitespace().collect();
    let next = "it will be deleted on Friday, April 7, 2028";
    assert!(words.join(" ").contains(next), "{reported}");
    world.pass_days(1);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "gone");
    // Neither was announced by an email about a day in the past.
    assert_eq!(mails_about(&world, SAM, "soon").await, 0);
}

#[tokio::test]
async fn ba_02_an_account_that_an_administrator_disabled_is_deleted_by_the_same_rule() {
    let (world, id) = agency().await;
    world.pass_days(10);
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let body = json!({ "status": "disabled" });
    dana.put(&format!("/users/{id}/status"), &body)
        .await
        .expect(200);
    world.pass_days(390);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "disabled");
    world.pass_days(1);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "gone");
}

#[tokio::test]
async fn ba_03_primary_producers_and_delegated_administrators_stay() {
    let (world, sam) = agency().await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let tess = sub_user(&world, &dana, "Tess").await;
    let body = json!({ "role": "administrator", "services": [], "group_codes": [] });
    dana.put(&format!("/users/{tess}/access"), &body)
        .await
        .expect(200);
    tick_days(&world, 420).await;
    world.sign_in("producer", "dana.whitfield").await;
    world.sign_in("producer", "tess.lind").await;
    assert_eq!(status(&world, &sam).await, "gone");
    // Nor were they warned.
    assert_eq!(
        mails_about(&world, "tess@whitfield.example", "soon").await,
        0
    );
    invariants(&world).await;
}

#[tokio::test]
async fn ba_03_with_several_organizations_one_exempt_role_is_enough() {
    let (world, sam) = agency().await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let tess = sub_user(&world, &dana, "Tess").await;
    let other = account(&world, "producer", &sam).await.memberships[0].clone();
    world
        .alter("producer", &tess, |a| {
            let mut second = other.clone();
            second.organization = a.memberships[0].organization.clone();
            second.role = vestibule_domain::policy::Role::Administrator;
            a.memberships = vec![second];
        })
        .await;
    world.pass_days(181);
    tick(&world).await;
    assert_eq!(status(&world, &tess).await, "active");
    assert_eq!(status(&world, &sam).await, "disabled");
}

/// One transaction writes at most a hundred items, and each organization needs several.
#[tokio::test]
async fn ba_02_an_account_with_as_many_organizations_as_allowed_is_disabled_and_deleted() {
    let (world, sam) = agency().await;
    let mut rng = world.instance.app.rng();
    world
        .alter("producer", &sam, |a| {
            let first = a.memberships[0].clone();
            a.memberships.extend((1..50).map(|_| Membership {
                organization: Some(OrganizationId::random(&mut rng)),
                ..first.clone()
            }));
        })
        .await;
    let sam_has = account(&world, "producer", &sam).await.memberships.len();
    assert_eq!(sam_has, 50);

    world.pass_days(181);
    let swept = world.instance.sweep(&Run::now(world.now())).await;
    assert_eq!(swept.summary.failed, 0);
    assert_eq!(swept.summary.done[&ScheduledAction::Disable], 1);
    assert_eq!(status(&world, &sam).await, "disabled");

    world.pass_days(401 - 181);
    let swept = world.instance.sweep(&Run::now(world.now())).await;
    assert_eq!(swept.summary.failed, 0);
    assert_eq!(swept.summary.done[&ScheduledAction::Delete], 1, "once");
    assert_eq!(status(&world, &sam).await, "gone");
    let left = account(&world, "producer", &sam).await;
    assert_eq!((left.status, left.memberships.len()), (Status::Deleted, 0));
    // Dana is notified once, and Sam too.
    world.sign_in("producer", "dana.whitfield").await;
    assert_eq!(mails_about(&world, SAM, "deleted").await, 1);
}

/// Accounts that exist besides, copies of one, written with what the store derives.
async fn bystanders(world: &World, id: &str, count: usize) {
    let model = account(world, "producer", id).await;
    let mut rng = world.instance.app.rng();
    for i in 0..count {
        let mut copy = model.clone();
        copy.username =
            vestibule_domain::values::text::Username::parse(&format!("bystander.{i}"), 1).unwrap();
        copy.email =
            vestibule_domain::values::text::Email::parse(&format!("b{i}@example.com")).unwrap();
        copy.id = world
            .instance
            .app
            .store
            .account_id(&copy.portal, &copy.username.key());
        let origin = vestibule_domain::state::audit::Origin {
            portal: copy.portal.clone(),
            at: world.now(),
            source: None,
        };
        let audit = vestibule_domain::state::audit::AuditEvent::done(
            &origin,
            vestibule_domain::state::audit::Actor::System,
            vestibule_domain::state::audit::Action::AddUser,
            &mut rng,
        )
        .on(copy.id.as_str());
        copy.created_at = world.now();
        copy.last_sign_in_at = None;
        let decision = vestibule_domain::Decision::recording(audit)
            .change(vestibule_domain::Change::CreateAccount(Box::new(copy)));
        world.instance.app.commit(decision, &mut rng).await.unwrap();
    }
}

#[tokio::test]
async fn ba_10_a_sweep_costs_what_is_due_and_not_what_exists() {
    let cost_among = |others: usize| async move {
        let meter = Meter::default();
        let (world, id) = agency_with(Options {
            interceptors: vec![meter.interceptor()],
            ..options()
        })
        .await;
        let dana = world.sign_in("producer", "dana.whitfield").await;
        for first in ["Tess", "Umar"] {
            sub_user(&world, &dana, first).await;
        }
        world.pass_days(100);
        bystanders(&world, &id, others).await;
        world.pass_days(81);
        meter.read();
        let swept = world.instance.sweep(&Run::now(world.now())).await;
        (swept, meter.read())
    };
    let (few, cost_among_few) = cost_among(0).await;
    let (many, cost_among_many) = cost_among(60).await;
    assert_eq!(few, many);
    assert_eq!(few.summary.count(ScheduledAction::Disable), 3);
    assert_eq!(few.summary.accounts_read, 3, "each of them was read once");
    // Only the order of calls for accounts in other shards or other emails may differ.
    assert!((cost_among_few.reads - cost_among_many.reads).abs() < 0.1);
    assert!((cost_among_few.writes - cost_among_many.writes).abs() < 0.1);
    let calls = |name| cost_among_many.calls.get(name).copied().unwrap_or(0);
    let portals = std::fs::read_dir(options().portals).unwrap().count();
    let partitions = portals * Queue::ALL.len() * usize::from(vestibule_store::due::SHARDS);
    // One for each partition of the index, and two for the organization: its administrators and its notices.
    assert_eq!(calls("Query"), partitions + 2);
    assert!(calls("BatchGetItem") <= 4, "{:?}", cost_among_many.calls);
    // Three accounts, and one email about all of them to their administrator.
    assert_eq!(calls("TransactWriteItems"), 4);
}

#[tokio::test]
async fn ba_10_a_sign_in_moves_the_index_once_a_day() {
    let (world, id) = agency().await;
    let due_on = async || {
        let all = Contents::of(&world).await;
        text(&all.accounts[&format!("A#producer#{id}")], "/due_on").to_owned()
    };
    // Fourteen days before the 181st.
    assert_eq!(due_on().await, "2027-05-09");
    world.sign_in("producer", "sam.lind").await;
    world.pass(SignedDuration::from_hours(5));
    world.sign_in("producer", "sam.lind").await;
    assert_eq!(
        due_on().await,
        "2027-05-09",
        "the same day: the index stays"
    );
    world.pass_days(1);
    world.sign_in("producer", "sam.lind").await;
    assert_eq!(due_on().await, "2027-05-10");
    // So the sweep never reads users who sign in.
    for _ in 0..8 {
        world.pass_days(30);
        world.sign_in("producer", "sam.lind").await;
        let swept = tick(&world).await;
        assert_eq!((swept.summary.accounts_read, swept.summary.moved), (0, 0));
    }
}

#[tokio::test]
async fn ba_10_time_that_runs_out_leaves_the_rest_to_the_next_run() {
    let (world, id) = agency().await;
    world.pass_days(181);
    let run = Run {
        until: Some(world.now()),
        ..Run::now(world.now())
    };
    let swept = world.instance.sweep(&run).await;
    assert!(swept.summary.unfinished && swept.summary.done.is_empty());
    assert_eq!(
        tick(&world).await.summary.count(ScheduledAction::Disable),
        1
    );
    assert_eq!(status(&world, &id).await, "disabled");
}

#[tokio::test]
async fn ba_10_a_broken_item_is_counted_and_hinders_no_other() {
    let (world, sam) = agency().await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let mut ids = vec![sam];
    for first in ["Tess", "Umar", "Vera"] {
        ids.push(sub_user(&world, &dana, first).await);
    }
    let broken = ids.pop().unwrap();
    let key = |name: &str, value: String| {
        (
            name.to_owned(),
            aws_sdk_dynamodb::types::AttributeValue::S(value),
        )
    };
    world
        .instance
        .db
        .update_item()
        .table_name(&world.instance.tables.main)
        .set_key(Some(
            [
                key("pk", format!("A#producer#{broken}")),
                key("sk", "A".into()),
            ]
            .into(),
        ))
        .update_expression("SET memberships = :nonsense")
        .expression_attribute_values(
            ":nonsense",
            aws_sdk_dynamodb::types::AttributeValue::S("?".into()),
        )
        .send()
        .await
        .unwrap();
    world.pass_days(181);
    let swept = world.instance.sweep(&Run::now(world.now())).await;
    assert_eq!(
        (
            swept.summary.failed,
            swept.summary.count(ScheduledAction::Disable)
        ),
        (1, 3)
    );
    for id in ids {
        assert_eq!(status(&world, &id).await, "disabled");
    }
}

#[tokio::test]
async fn ux_02_warnings_come_14_7_3_and_1_days_before_disabling_and_before_deletion() {
    let (world, id) = agency().await;
    let done = tick_days(&world, 401).await;
    let warned: Vec<_> = done
        .iter()
        .flat_map(|(day, summary)| summary.done.iter().map(|(what, n)| (*what, *day, *n)))
        .map(|(what, day, n)| {
            assert_eq!(n, 1);
            (what, day)
        })
        .collect();
    let mails = world.mails_to(SAM).await;
    let first = |subject: &str| {
        white_box::shown(mails.iter().find(|m| m.subject.contains(subject)).unwrap())
    };
    insta::assert_snapshot!("ux_02_will_be_disabled", first("will be disabled soon"));
    insta::assert_snapshot!("ux_02_will_be_deleted", first("will be deleted soon"));
    assert_eq!(
        warned,
        [
            (ScheduledAction::WarnOfDisabling, 181 - 14),
            (ScheduledAction::WarnOfDisabling, 181 - 7),
            (ScheduledAction::WarnOfDisabling, 181 - 3),
            (ScheduledAction::WarnOfDisabling, 181 - 1),
            (ScheduledAction::Disable, 181),
            (ScheduledAction::WarnOfDeletion, 401 - 14),
            (ScheduledAction::WarnOfDeletion, 401 - 7),
            (ScheduledAction::WarnOfDeletion, 401 - 3),
            (ScheduledAction::WarnOfDeletion, 401 - 1),
            (ScheduledAction::Delete, 401),
        ]
    );
    assert_eq!(status(&world, &id).await, "gone");
    let all = invariants(&world).await;
    assert_eq!(all.done("warn_idle"), 8);
}

#[tokio::test]
async fn ux_02_a_week_without_a_run_is_caught_up_with_one_warning() {
    let (world, _) = agency().await;
    tick_days(&world, 1).await;
    // The warnings of the 14th, 7th and 3rd day before are all missed.
    world.pass_days(181 - 3);
    let swept = tick(&world).await;
    assert_eq!(
        swept.summary.done,
        [(ScheduledAction::WarnOfDisabling, 1)].into()
    );
    assert_eq!(mails_about(&world, SAM, "will be disabled soon").await, 1);
    let reported = world.last_mail_to(SAM).await.text;
    assert!(reported.contains("Sunday, May 23, 2027"), "{reported}");
    tick_days(&world, 1).await;
    assert_eq!(mails_about(&world, SAM, "will be disabled soon").await, 2);
}

#[tokio::test]
async fn ux_02_a_reinstated_user_has_seven_days_of_grace() {
    let (world, id) = agency().await;
    world.pass_days(200);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "disabled");
    reinstate(&world, &id).await;
    for _ in 0..7 {
        tick(&world).await;
        assert_eq!(status(&world, &id).await, "active");
        world.pass_days(1);
    }
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "active", "the seventh day");
    // They were reminded of it: on the first, the fifth and the seventh day.
    assert_eq!(mails_about(&world, SAM, "will be disabled soon").await, 3);
    world.pass_days(1);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "disabled");

    // A user who signs in during the grace period is like any other user.
    reinstate(&world, &id).await;
    world.pass_days(7);
    world.sign_in("producer", "sam.lind").await;
    world.pass_days(180);
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "active");
}

#[tokio::test]
async fn ux_02_a_password_that_expires_is_announced_14_7_3_and_1_days_before() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    let announced: Vec<_> = tick_days(&world, 100)
        .await
        .iter()
        .filter(|(_, s)| s.count(ScheduledAction::PasswordNotice) == 1)
        .map(|(day, _)| *day)
        .collect();
    let mails = world.mails_to("ruth@blueheron.example").await;
    let notice = mails
        .iter()
        .find(|m| m.subject.contains("password"))
        .unwrap();
    insta::assert_snapshot!("ux_02_password_expires", white_box::shown(notice));
    assert_eq!(announced, [76, 83, 87, 89]);

    // A new password counts from its own day.
    world
        .on("group")
        .signs_in("ruth.okafor", PASSWORD)
        .await
        .has("/next_step", "change_password");
    world
        .alter("group", &group_id(&world).await, |a| {
            a.password.as_mut().unwrap().changed_at = "2027-03-03T15:00:00Z".parse().unwrap();
        })
        .await;
    world.wait_until("2027-05-18T04:59:00Z");
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::PasswordNotice),
        0
    );
    world.pass(SignedDuration::from_mins(1));
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::PasswordNotice),
        1
    );
}

/// The id of the only account on the group portal.
async fn group_id(world: &World) -> String {
    let all = Contents::of(world).await;
    let accounts: Vec<_> = all
        .accounts
        .values()
        .filter(|a| text(a, "/portal") == "group")
        .collect();
    assert_eq!(accounts.len(), 1);
    text(accounts[0], "/id").to_owned()
}

#[tokio::test]
async fn ux_02_a_late_notice_of_a_password_says_that_it_has_expired() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    world.pass_days(120);
    let swept = tick(&world).await;
    assert_eq!(swept.summary.count(ScheduledAction::PasswordNotice), 1);
    let mails = subjects(&world, "ruth@blueheron.example").await;
    assert!(
        mails.contains(&"Your password on Harborlight for Groups has expired".to_owned()),
        "{mails:?}"
    );
    world.pass_days(1);
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::PasswordNotice),
        0
    );
}

/// Everything in both tables, in an order.
async fn contents(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for table in [&world.instance.tables.main, &world.instance.tables.audit] {
        for item in world.items(table).await {
            let item = aws_sdk_dynamodb::types::AttributeValue::M(item);
            all.push(plain(&item).to_string());
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn ux_03_a_dry_run_lists_accounts_with_reasons_and_writes_nothing() {
    let (world, sam) = agency().await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    world.pass_days(170);
    let tess = sub_user(
        &world,
        &world.sign_in("producer", "dana.whitfield").await,
        "Tess",
    )
    .await;
    drop(dana);
    world.instance.settle().await.unwrap();
    let before = contents(&world).await;
    let mails = world.instance.inbox.len();
    let dry = |as_of: Option<Date>| Run {
        dry_run: true,
        as_of,
        ..Run::now(world.now())
    };

    let today = world.instance.sweep(&dry(None)).await;
    let shown = |p: &Preview| (p.username.clone(), p.action, p.because.clone());
    let because = "no sign-in since the account was created on 2026-11-23".to_owned();
    assert_eq!(
        today.previews.iter().map(shown).collect::<Vec<_>>(),
        [(
            "sam.lind".to_owned(),
            ScheduledAction::WarnOfDisabling,
            because.clone()
        )]
    );
    assert_eq!(today.previews[0].about, Date::constant(2027, 5, 23));
    assert_eq!(today.previews[0].account, sam);

    let later = Date::constant(2027, 5, 23);
    let then = world.instance.sweep(&dry(Some(later))).await;
    assert_eq!(
        then.previews.iter().map(shown).collect::<Vec<_>>(),
        [("sam.lind".to_owned(), ScheduledAction::Disable, because)]
    );
    let much_later = later.saturating_add(300.days());
    let then = world.instance.sweep(&dry(Some(much_later))).await;
    let mut both: Vec<_> = then
        .previews
        .iter()
        .map(|p| (p.account.clone(), p.action))
        .collect();
    both.sort();
    let mut expected = vec![
        (sam, ScheduledAction::Disable),
        (tess, ScheduledAction::Disable),
    ];
    expected.sort();
    assert_eq!(both, expected);

    let unchanged = before == contents(&world).await;
    assert!(unchanged, "a dry run writes nothing");
    world.instance.settle().await.unwrap();
    assert_eq!(world.instance.inbox.len(), mails);
    // The preview matches what then happens.
    world.wait_until("2027-05-23T15:00:00Z");
    assert_eq!(
        tick(&world).await.summary.done,
        [(ScheduledAction::Disable, 1)].into()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ux_03_a_sign_in_at_the_same_moment_is_never_disabled() {
    let (mut won, mut lost) = (0, 0);
    let starter = Starter::default();
    // Before the sweep, and from when it reads the account until it has disabled it.
    for calls in [0, 1, 1, 2, 3, 4] {
        let (world, id) = agency_with(Options {
            interceptors: vec![starter.interceptor()],
            ..options()
        })
        .await;
        world.pass_days(181);
        let run = Run::now(world.now());
        let sign_in = async { world.on("producer").sign_in("sam.lind", PASSWORD).await };
        let sweep = world.instance.sweep(&run);
        let (swept, (sam, response)) = starter.start_after(calls, sweep, sign_in).await;
        assert_eq!(swept.summary.failed, 0);
        let account = account(&world, "producer", &id).await;
        if response.status == 201 {
            won += 1;
            assert_eq!(
                account.status,
                Status::Active,
                "a signed-in user keeps access"
            );
            sam.get("/entitlements").await.expect(200);
            assert!(swept.summary.done.is_empty());
        } else {
            lost += 1;
            assert_eq!(
                (response.status, response.problem()),
                (403, "account-disabled")
            );
            assert_eq!(account.status, Status::Disabled);
        }
        invariants(&world).await;
    }
    assert_eq!(won + lost, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ux_03_two_sweeps_at_once_do_everything_once() {
    let (world, sam) = agency().await;
    let dana = world.sign_in("producer", "dana.whitfield").await;
    let mut ids = vec![sam];
    for first in ["Tess", "Umar", "Vera"] {
        ids.push(sub_user(&world, &dana, first).await);
    }
    world.pass_days(181);
    let run = Run::now(world.now());
    let (one, two) = join(world.instance.sweep(&run), world.instance.sweep(&run)).await;
    let done =
        one.summary.count(ScheduledAction::Disable) + two.summary.count(ScheduledAction::Disable);
    assert_eq!(
        (done, one.summary.failed + two.summary.failed),
        (4, 0),
        "{one:?} {two:?}"
    );
    // Notices to administrators may wait for the next run, but are never sent twice.
    tick(&world).await;
    for id in &ids {
        assert_eq!(
            account(&world, "producer", id).await.status,
            Status::Disabled
        );
    }
    for name in ["sam", "tess", "umar", "vera"] {
        let address = format!("{name}@whitfield.example");
        assert_eq!(mails_about(&world, &address, "has been disabled").await, 1);
    }
    let mails = world.mails_to(DANA).await;
    let reported: String = mails
        .iter()
        .filter(|m| m.subject.contains("lost their access"))
        .map(|m| m.text.clone())
        .collect();
    for name in ["sam.lind", "tess.lind", "umar.lind", "vera.lind"] {
        assert_eq!(reported.matches(name).count(), 1, "{reported}");
    }
    invariants(&world).await;
}

/// Kills a run at every call in every way, and runs again.
async fn whatever_fails(days: i64, prepare: i64, finished: fn(&Contents)) {
    // One portal only, so that the walk isn't one through other portals' empty partitions.
    let portals = tempfile::tempdir().unwrap();
    let policy = options().portals.join("producer.toml");
    std::fs::copy(policy, portals.path().join("producer.toml")).unwrap();
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let (world, id) = agency_with(Options {
            interceptors: vec![faults.interceptor()],
            portals: portals.path().to_owned(),
            ..options()
        })
        .await;
        if prepare > 0 {
            world.pass_days(prepare);
            tick(&world).await;
        }
        world.pass_days(days - prepare);
        (world, id)
    });
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |world, _| world.instance.sweep(&Run::now(world.now())).await,
            async |world, _, injected, _| {
                invariants(world).await;
                // The same day again, twice.
                tick(world).await;
                tick(world).await;
                let all = invariants(world).await;
                finished(&all);
                for address in [SAM, DANA] {
                    let mails = world.mails_to(address).await;
                    let mut mails: Vec<_> =
                        mails.into_iter().map(|m| (m.subject, m.text)).collect();
                    mails.sort();
                    let sent = mails.len();
                    mails.dedup();
                    // The invitation, the welcome, the request for a backup and the scheduled email all differ.
                    assert_eq!(mails.len(), sent, "{injected}: {mails:?}");
                }
            },
        )
        .await;
}

#[tokio::test]
async fn ba_01_whatever_fails_the_next_run_ends_as_if_nothing_had() {
    whatever_fails(181, 0, |all| {
        assert_eq!((all.done("disable_idle"), all.pending("mail")), (1, 0));
        assert!(all.follow_ups.is_empty() && all.notices_due.is_empty());
    })
    .await;
}

#[tokio::test]
async fn ba_02_whatever_fails_the_next_run_ends_as_if_nothing_had() {
    whatever_fails(401, 181, |all| {
        assert_eq!((all.done("delete_idle"), all.pending("mail")), (1, 0));
        assert!(all.follow_ups.is_empty() && all.notices_due.is_empty());
    })
    .await;
}

#[tokio::test]
async fn ag_04_the_principal_is_reminded_every_week_until_there_is_a_backup() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let reminded = async || mails_about(&world, "ruth@blueheron.example", "backup").await;
    tick(&world).await;
    assert_eq!(reminded().await, 1, "asked at once");
    tick_days(&world, 6).await;
    assert_eq!(reminded().await, 1);
    tick_days(&world, 1).await;
    assert_eq!(reminded().await, 2, "and a week later");
    tick_days(&world, 7).await;
    assert_eq!(reminded().await, 3);
    drop(ruth);

    // A user is no backup; an administrator is, once approved.
    let ruth = world.sign_in("group", "ruth.okafor").await;
    world.staff(&ruth, "Sam", "user").await;
    world.invited(&ruth, "Tess", "administrator").await;
    tick_days(&world, 7).await;
    assert_eq!(reminded().await, 4);
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let tess = ruth.searches_users("tess").await;
    let tess = tess.text_at("/items/0/id").to_owned();
    let body = json!({ "services": [], "group_codes": [] });
    ruth.post(&format!("/users/{tess}/approval"), body)
        .await
        .expect(200);
    tick_days(&world, 15).await;
    assert_eq!(reminded().await, 4);
    // Nothing is looked at any more, as long as she is there.
    assert!(invariants(&world).await.follow_ups.is_empty());

    // After she is removed, reminders are sent again, counted from that day.
    let ruth = world.sign_in("group", "ruth.okafor").await;
    ruth.delete(&format!("/users/{tess}")).await.expect(204);
    let swept = tick(&world).await;
    assert_eq!(swept.summary.backups_wanted, 1);
    assert_eq!(reminded().await, 5);
    tick_days(&world, 7).await;
    assert_eq!(reminded().await, 6);
}

#[tokio::test]
async fn ag_04_a_portal_that_requires_no_backup_sends_no_reminder() {
    let (world, _) = agency().await;
    tick_days(&world, 15).await;
    assert_eq!(mails_about(&world, DANA, "backup").await, 0);
    assert!(invariants(&world).await.follow_ups.is_empty());
}

#[tokio::test]
async fn me_08_a_member_whose_letter_is_overdue_is_advised_to_verify_the_address() {
    let world = World::new().await;
    world.register("member", member()).await;
    // Issued on Monday, 23 November; five business days with Thanksgiving between: 1 December.
    world.wait_until("2026-12-02T05:59:00Z");
    tick(&world).await;
    assert_eq!(mails_about(&world, "maria@example.com", "arrived").await, 0);
    world.pass(SignedDuration::from_mins(1));
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::LetterNotice),
        1
    );
    insta::assert_snapshot!(
        "me_08_letter_overdue",
        white_box::shown(&world.last_mail_to("maria@example.com").await)
    );
    tick_days(&world, 30).await;
    assert_eq!(mails_about(&world, "maria@example.com", "arrived").await, 1);

    // A new letter restarts the wait, and an entered PIN ends it.
    let maria = world.sign_in("member", "maria.alvarez").await;
    let issued = maria.post("/pin/letter", json!({})).await;
    assert!((200..300).contains(&issued.status), "{}", issued.text);
    tick_days(&world, 14).await;
    assert_eq!(mails_about(&world, "maria@example.com", "arrived").await, 2);
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.post("/pin/letter", json!({})).await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    tick_days(&world, 30).await;
    assert_eq!(mails_about(&world, "maria@example.com", "arrived").await, 2);
}

#[tokio::test]
async fn ba_01_a_leap_day_and_both_changes_of_the_clocks_count_as_days() {
    // From 1 September 2027 to 28 February 2028 are 180 days; the 181st is a leap day.
    let clock: jiff::Timestamp = "2027-09-01T17:00:00Z".parse().unwrap();
    let (world, id) = agency_with(Options {
        clock: Clock::at(clock),
        ..options()
    })
    .await;
    world.wait_until("2028-02-29T05:59:59Z");
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "active");
    world.pass(SignedDuration::from_secs(1));
    tick(&world).await;
    assert_eq!(status(&world, &id).await, "disabled");
}

#[tokio::test]
async fn ux_01_an_expired_invitation_is_reported_as_expired_for_90_days_and_then_deleted() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let days = 90;
    world.pass_days(14 + days - 1);
    world
        .on("group")
        .post("/invitations/look-up", json!({ "token": token }))
        .await
        .refused(410, "invitation-expired");
    let all = invariants(&world).await;
    let expires = all.invitations[0]["expires"].as_i64().unwrap();
    let until: jiff::Timestamp = text(&all.invitations[0], "/expires_at").parse().unwrap();
    assert_eq!(expires, until.as_second() + 24 * 3600 * days);
}

/// Moves an account to another day in the index, as an earlier policy would have.
async fn index_on(world: &World, id: &str, day: &str) {
    let s = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let table = &world.instance.tables.main;
    let update = world.instance.db.update_item().table_name(table);
    let update = update
        .key("pk", s(&format!("A#producer#{id}")))
        .key("sk", s("A"))
        .update_expression("SET due_on = :day")
        .expression_attribute_values(":day", s(day));
    update.send().await.unwrap();
}

#[tokio::test]
async fn a_changed_policy_moves_what_is_due() {
    // An entry whose day lies later under the policy now is moved there, and cost once.
    let (world, id) = agency().await;
    let partition = {
        let all = Contents::of(&world).await;
        text(&all.accounts[&format!("A#producer#{id}")], "/due").to_owned()
    };
    assert!(partition.starts_with("account#producer#"), "{partition}");
    index_on(&world, &id, "2026-11-01").await;
    let swept = tick(&world).await;
    assert_eq!((swept.summary.moved, swept.summary.done.len()), (1, 0));
    invariants(&world).await;
    assert_eq!(tick(&world).await.summary.accounts_read, 0);
}

async fn reindex(world: &World) -> Summary {
    let run = vestibule_inactivity_sweep::reindex(&world.instance.app, None);
    at_work("inactivity-sweep", run).await
}

/// Performs all scheduled work, with an observer of the calls to AWS.
pub async fn go_through_the_schedule(observer: &SharedInterceptor) {
    let options = Options {
        observers: vec![observer.clone()],
        ..options()
    };
    let (world, _) = agency_with(options).await;
    world.pass(SignedDuration::from_hours(2));
    assert!(world.instance.seal_audit_trail().await.unwrap() > 0);
    // A link for a forgotten password that was never used ends with the account's other access.
    let forgotten = json!({ "username": "sam.lind" });
    let portal = world.on("producer");
    portal.post("/password-resets", forgotten).await.expect(202);
    world.instance.settle().await.unwrap();
    // Of two concurrent runs, one is overtaken and reads again.
    world.pass_days(181);
    let run = Run::now(world.now());
    let (one, two) = join(world.instance.sweep(&run), world.instance.sweep(&run)).await;
    assert!(one.summary.overtaken + two.summary.overtaken > 0);
    let done = tick_days(&world, 420).await;
    assert!(
        done.iter()
            .any(|(_, day)| day.count(ScheduledAction::Delete) > 0)
    );
    reindex(&world).await;
}

#[tokio::test]
async fn ba_10_a_reindex_finds_what_a_changed_policy_made_due_earlier() {
    let (world, id) = agency().await;
    // As under a policy that disabled much later.
    index_on(&world, &id, "2036-11-01").await;
    world.pass_days(181);
    assert!(tick(&world).await.summary.done.is_empty());
    let summary = reindex(&world).await;
    assert_eq!(
        (summary.accounts_read, summary.moved, summary.failed),
        (2, 1, 0)
    );
    assert_eq!(
        tick(&world).await.summary.done,
        [(ScheduledAction::Disable, 1)].into()
    );
    let again = reindex(&world).await;
    assert_eq!(again.moved, 0);
}

/// The response to a scheduled event, as it appears in the log of the function.
#[tokio::test]
async fn ux_03_the_response_to_a_dry_run_is_json_for_people_and_programs() {
    let (world, id) = agency().await;
    let run = Run {
        dry_run: true,
        as_of: Some(Date::constant(2027, 5, 23)),
        ..Run::now(world.now())
    };
    let response = serde_json::to_value(world.instance.sweep(&run).await).unwrap();
    let expected: Value = json!([{
        "portal": "producer", "account": id, "username": "sam.lind", "action": "disable",
        "due_on": "2027-05-23", "about": "2027-05-23",
        "because": "no sign-in since the account was created on 2026-11-23",
    }]);
    assert_eq!(response["previews"], expected);
    assert_eq!(response["done"], json!({ "disable": 1 }));
}

#[tokio::test]
async fn ux_07_an_access_is_taken_away_on_the_day_after_its_last() {
    let (world, id) = agency().await;
    world.sign_in("producer", "sam.lind").await;
    let ends = Date::constant(2026, 12, 31);
    world
        .alter("producer", &id, |a| a.memberships[0].end_date = Some(ends))
        .await;
    world.wait_until("2027-01-01T05:59:59Z");
    assert!(tick(&world).await.summary.done.is_empty());
    assert_eq!(status(&world, &id).await, "active");
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(
        tick(&world).await.summary.done,
        [(ScheduledAction::EndAccess, 1)].into()
    );
    assert_eq!(status(&world, &id).await, "gone");
    assert_eq!(sign_in(&world, "sam.lind").await.0, 401);
    insta::assert_snapshot!(
        "ux_07_mail_to_the_user",
        white_box::shown(&world.last_mail_to(SAM).await)
    );
    insta::assert_snapshot!(
        "ux_07_mail_to_the_administrator",
        white_box::shown(&world.last_mail_to(DANA).await)
    );
    let all = invariants(&world).await;
    assert_eq!(all.done("end_access"), 1);
    assert!(all.rows.keys().all(|row| !row.ends_with(&id)));
}
