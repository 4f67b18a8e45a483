//! Access reviews (EX-11): managers are asked regularly, confirm or remove each account, and are
//! reminded of the others.

use futures::future::{join, join_all};
use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_inactivity_sweep::{Run, Summary};
use vestibule_local::standins::ses::ReceivedMail;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, dental};
use vestibule_tests::{Prepared, World, options, portals_with, shown};

const INITIAL: &str = "First-Morning-17";

/// Riverbend Dental with its provider, two office managers and three users.
struct Practice {
    world: World,
    omar: Person,
    managers: [Person; 2],
    staff: [String; 3],
}

async fn add(omar: &Person, name: &str, role: &str) -> String {
    let body = json!({
        "first_name": name, "last_name": "Lind", "email": format!("{name}@riverbend.example"),
        "username": format!("{name}.lind"), "initial_password": INITIAL, "role": role,
    });
    let added = omar.post("/users", body).await.expect(201);
    added.text_at("/id").to_owned()
}

async fn chooses_own_password(world: &World, name: &str) -> Person {
    let username = format!("{name}.lind");
    let (client, _) = world.on("practice").sign_in(&username, INITIAL).await;
    let body = json!({ "current_password": INITIAL, "new_password": PASSWORD });
    client
        .put("/sessions/current/password", body)
        .await
        .expect(200);
    client
}

impl Practice {
    async fn new() -> Self {
        Self::of(World::new().await).await
    }

    async fn of(world: World) -> Self {
        world.register("practice", dental()).await;
        let omar = world.sign_in("practice", "omar.haddad").await;
        for name in ["mona", "mick"] {
            add(&omar, name, "administrator").await;
        }
        let managers = [
            chooses_own_password(&world, "mona").await,
            chooses_own_password(&world, "mick").await,
        ];
        let staff = [
            add(&omar, "sam", "user").await,
            add(&omar, "tess", "user").await,
            add(&omar, "uma", "user").await,
        ];
        // Shortly after everyone joined.
        world.pass(SignedDuration::from_secs(60));
        Self {
            world,
            omar,
            managers,
            staff,
        }
    }

    /// Username, decision and reviewer of everyone in the review.
    async fn status(&self) -> Vec<(String, String, String)> {
        let shown = self.omar.get("/access-reviews/current").await.expect(200);
        let text =
            |account: &Value, field: &str| account[field].as_str().unwrap_or_default().to_owned();
        let accounts = shown.body["accounts"].as_array().unwrap();
        let mut status: Vec<_> = accounts
            .iter()
            .map(|a| {
                (
                    text(a, "username"),
                    text(a, "decision"),
                    text(a, "decided_by"),
                )
            })
            .collect();
        status.sort();
        status
    }
}

async fn begin(by: &Person) -> Response {
    by.post("/access-reviews", json!({})).await
}

async fn decide(by: &Person, id: &str, given: &str) -> Response {
    let path = format!("/access-reviews/current/users/{id}");
    by.put(&path, json!({ "decision": given })).await
}

#[tokio::test]
async fn ex_11_managers_confirm_or_remove_each_account_and_see_what_is_pending() {
    let practice = Practice::new().await;
    let [mona, mick] = &practice.managers;
    let [sam, tess, uma] = &practice.staff;
    mona.get("/access-reviews/current")
        .await
        .refused(404, "not-found");

    let begun = begin(mona).await.expect(201).has("/due_date", "2026-12-23");
    assert_eq!(begun.text_at("/started_by"), mona.id().await);
    // Whoever sees the profile's administrators knows who that is.
    let profile = mick.get("/me").await.expect(200);
    let administrators = profile.body["organization"]["administrators"].as_array();
    let starter = (administrators.unwrap().iter()).find(|a| a["id"] == begun.body["started_by"]);
    assert_eq!(starter.unwrap()["email"], "mona@riverbend.example");
    for address in [
        "mona@riverbend.example",
        "mick@riverbend.example",
        "omar@riverbend.example",
    ] {
        let mail = practice.world.last_mail_to(address).await;
        assert_eq!(
            mail.subject,
            "Review who has access to Harborlight Practice Desk"
        );
        if address.starts_with("mona") {
            insta::assert_snapshot!("ex_11_asked", shown(&mail, &[]));
        }
    }
    // Everyone except the provider, who is responsible for the practice.
    let names = |status: Vec<(String, String, String)>, response: &str| -> Vec<String> {
        let of = status.into_iter().filter(|(_, a, _)| a == response);
        of.map(|(name, _, _)| name).collect()
    };
    assert_eq!(
        names(practice.status().await, "pending"),
        [
            "mick.lind",
            "mona.lind",
            "sam.lind",
            "tess.lind",
            "uma.lind"
        ]
    );

    // Users who join later aren't included.
    practice.world.pass(SignedDuration::from_secs(60));
    let late = add(&practice.omar, "vera", "user").await;
    decide(mona, &late, "confirmed")
        .await
        .refused(409, "not-in-review");
    decide(mona, &late, "removed")
        .await
        .refused(409, "not-in-review");

    let confirmed = decide(mona, sam, "confirmed").await;
    assert_eq!(
        (
            confirmed.status,
            confirmed.text_at("/decision"),
            confirmed.text_at("/decided_by"),
            confirmed.text_at("/decided_at")
        ),
        (
            200,
            "confirmed",
            mona.id().await.as_str(),
            practice.world.now().to_string().as_str()
        ),
        "{}",
        confirmed.text
    );
    // Removed in the review or otherwise, the result is the same.
    let removed = decide(mick, tess, "removed")
        .await
        .expect(200)
        .has("/decision", "removed");
    practice
        .omar
        .get(&format!("/users/{tess}"))
        .await
        .expect(404);
    mona.delete(&format!("/users/{uma}")).await.expect(204);
    let again = decide(mick, tess, "removed").await;
    assert_eq!(again.text, removed.text, "the same again changes nothing");

    let (mona_id, mick_id) = (mona.id().await, mick.id().await);
    let entry = |name: &str, response: &str, by: &str| {
        (format!("{name}.lind"), response.to_owned(), by.to_owned())
    };
    assert_eq!(
        practice.status().await,
        [
            entry("mick", "pending", ""),
            entry("mona", "pending", ""),
            entry("sam", "confirmed", &mona_id),
            entry("tess", "removed", &mick_id),
            entry("uma", "removed", &mona_id),
        ]
    );
    for (filter, count) in [("confirmed", 1), ("removed", 2), ("pending", 2)] {
        let path = format!("/access-reviews/current?decision={filter}");
        let some = practice.omar.get(&path).await;
        let accounts = some.body["accounts"].as_array().unwrap();
        assert_eq!(accounts.len(), count, "{}", some.text);
        assert!(accounts.iter().all(|a| a["decision"] == filter));
    }
    let all = invariants(&practice.world).await;
    assert_eq!(
        (all.done("confirm_access"), all.done("start_access_review")),
        (1, 1)
    );
}

#[tokio::test]
async fn ex_11_a_manager_whom_the_help_desk_removes_counts_as_removed() {
    let practice = Practice::new().await;
    let desk = practice.world.help_desk().await;
    begin(&practice.omar).await.expect(201);
    let mona = practice.managers[0].id().await;
    let path = format!("/accounts/practice/{mona}/removal");
    let why = json!({ "reason": "The provider asked for it by letter." });
    desk.agent.post(&path, why).await.expect(200);
    let status = practice.status().await;
    let gone = ("mona.lind".to_owned(), "removed".to_owned(), String::new());
    assert!(status.contains(&gone), "{status:?}");
    assert_eq!(status.len(), 5);
    invariants(&practice.world).await;
}

#[tokio::test]
async fn ex_11_nobody_reviews_themselves_or_a_higher_role_and_staff_review_nobody() {
    let practice = Practice::new().await;
    let [mona, mick] = &practice.managers;
    begin(mona).await.expect(201);
    let (mona_id, omar_id) = (mona.id().await, practice.omar.id().await);
    for given in ["confirmed", "removed"] {
        decide(mona, &mona_id, given)
            .await
            .refused(409, "self-action-forbidden");
        let refused = decide(mona, &omar_id, given).await;
        assert!(
            [(403, "not-allowed"), (409, "not-in-review")]
                .contains(&(refused.status, refused.problem())),
            "{}",
            refused.text
        );
    }
    // A manager can be confirmed by another, but only deleted by the help desk (EX-12).
    decide(mick, &mona_id, "confirmed").await.expect(200);
    decide(mick, &mona_id, "removed")
        .await
        .refused(403, "not-allowed");

    let sam = chooses_own_password(&practice.world, "sam").await;
    for refused in [
        begin(&sam).await,
        sam.get("/access-reviews/current").await,
        decide(&sam, &practice.staff[1], "confirmed").await,
    ] {
        assert_eq!((refused.status, refused.problem()), (403, "not-allowed"));
    }
    decide(mona, &practice.staff[0], "perhaps")
        .await
        .invalid("decision");
}

#[tokio::test]
async fn ex_11_a_review_ends_on_its_due_date_and_the_next_requires_new_decisions() {
    let practice = Practice::new().await;
    let mona = &practice.managers[0];
    begin(mona).await.expect(201);
    let sam = &practice.staff[0];
    decide(mona, sam, "confirmed").await.expect(200);
    begin(mona).await.refused(409, "review-running");

    // The last day ends at midnight in Chicago.
    practice.world.wait_until("2026-12-24T05:59:00Z");
    let omar = practice.world.sign_in("practice", "omar.haddad").await;
    let shown = omar.get("/access-reviews/current").await;
    assert_eq!(shown.body["is_overdue"], false);
    begin(&omar).await.expect(409);
    practice.world.wait_until("2026-12-24T06:00:00Z");
    let shown = omar.get("/access-reviews/current").await;
    assert_eq!(shown.body["is_overdue"], true);
    let next = begin(&omar).await.expect(201);
    let unanswered = next.body["accounts"].as_array().unwrap();
    assert!(
        unanswered.iter().all(|a| a["decision"] == "pending") && unanswered.len() == 5,
        "a confirmation counts in its own review only: {}",
        next.text
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_11_of_concurrent_decisions_one_counts_and_a_removed_user_stays_removed() {
    let practice = Practice::new().await;
    let [mona, mick] = &practice.managers;
    let [sam, tess, uma] = &practice.staff;
    let begun = join_all((0..5).map(|_| begin(mona))).await;
    let made = begun.iter().filter(|a| a.status == 201).count();
    assert_eq!(made, 1, "one review begins");
    assert!(begun.iter().all(|a| [201, 409].contains(&a.status)));

    let (one, other) = join(
        decide(mona, sam, "confirmed"),
        decide(mick, sam, "confirmed"),
    )
    .await;
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(one.text, other.text, "both see the first decision");
    assert_eq!(invariants(&practice.world).await.done("confirm_access"), 1);

    for id in [tess, uma] {
        let (confirmed, removed) =
            join(decide(mona, id, "confirmed"), decide(mick, id, "removed")).await;
        assert_eq!(removed.status, 200, "{}", removed.text);
        assert!([200, 404].contains(&confirmed.status), "{}", confirmed.text);
    }
    let gone = practice.status().await;
    assert_eq!(
        gone.iter().filter(|(_, a, _)| a == "removed").count(),
        2,
        "{gone:?}"
    );
    invariants(&practice.world).await;
}

#[tokio::test]
async fn ex_11_a_decision_is_recorded_once_whatever_fails() {
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let world = World::with(vestibule_local::Options {
            interceptors: vec![faults.interceptor()],
            ..options()
        })
        .await;
        let practice = Practice::of(world).await;
        begin(&practice.managers[0]).await.expect(201);
        (practice.world, (practice.managers, practice.staff))
    });
    for given in ["confirmed", "removed"] {
        for fault in Fault::ALL {
            let (world, (managers, staff)) = prepared.again().await;
            let mona = &managers[0];
            // The calls read the session, read the target, write, and read the result.
            for (n, id) in staff.iter().enumerate() {
                faults.arm(n, fault);
                let first = decide(mona, id, given).await;
                let (_, suffered) = faults.disarm();
                let what = format!("{fault:?} of call {n}, {suffered:?}: {}", first.text);
                assert!([200, 503].contains(&first.status), "{what}");
                let again = decide(mona, id, given).await;
                assert_eq!(
                    (again.status, again.text_at("/decision")),
                    (200, given),
                    "{what}"
                );
            }
            let all = invariants(world).await;
            let action = match given {
                "confirmed" => "confirm_access",
                _ => "remove_user",
            };
            assert_eq!(all.done(action), 3, "{fault:?}");
        }
    }
}

const MONA: &str = "mona@riverbend.example";
const OMAR: &str = "omar@riverbend.example";

/// One run of the scheduler, which must not fail. Returns how many reviews it started, and for how
/// many it sent reminders.
async fn tick(world: &World) -> (u64, u64) {
    let Summary {
        failed,
        reviews_started,
        reviews_chased,
        ..
    } = world.instance.schedule().await.unwrap().summary;
    assert_eq!(failed, 0);
    (reviews_started, reviews_chased)
}

/// The days on which the scheduler started a review or sent reminders, with the counts.
async fn tick_days(world: &World, days: u32) -> Vec<(String, u64, u64)> {
    let mut done = Vec::new();
    let passed = world.instance.pass_days(days, |day| {
        let s = &day.summary;
        assert_eq!(s.failed, 0);
        if s.reviews_started + s.reviews_chased > 0 {
            done.push((day.date.to_string(), s.reviews_started, s.reviews_chased));
        }
        Ok(())
    });
    passed.await.unwrap();
    done
}

/// The emails about reviews to an address.
async fn mails_about_reviews(world: &World, address: &str) -> Vec<ReceivedMail> {
    let mails = world.mails_to(address).await;
    let about = |m: &ReceivedMail| m.subject.contains("who has access");
    mails.into_iter().filter(about).collect()
}

/// A practice with no confirmations when its first review starts on May 22.
async fn asked() -> Practice {
    let practice = Practice::new().await;
    practice.world.wait_until("2027-05-22T15:00:00Z");
    assert_eq!(tick(&practice.world).await, (1, 0));
    practice
}

#[tokio::test]
async fn ex_11_a_review_starts_on_its_day_and_every_manager_is_notified() {
    let practice = Practice::new().await;
    let world = &practice.world;
    // 180 days after registration, and not a second before.
    world.wait_until("2027-05-22T04:59:59Z");
    assert_eq!(tick(world).await, (0, 0));
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(tick(world).await, (1, 0));
    for address in [MONA, "mick@riverbend.example", OMAR] {
        let mails = mails_about_reviews(world, address).await;
        assert_eq!(mails.len(), 1, "{address}");
        assert!(
            mails[0].text.contains("Monday, June 21, 2027"),
            "{}",
            mails[0].text
        );
    }
    let omar = world.sign_in("practice", "omar.haddad").await;
    let shown = omar.get("/access-reviews/current").await;
    assert_eq!(
        (shown.text_at("/due_date"), shown.body.get("started_by")),
        ("2027-06-21", None),
        "{}",
        shown.text
    );
    let accounts = shown.body["accounts"].as_array().unwrap();
    assert!(accounts.len() == 5 && accounts.iter().all(|a| a["decision"] == "pending"));
    assert_eq!(begin(&omar).await.problem(), "review-running");
    // A second run on the same day does nothing.
    assert_eq!(tick(world).await, (0, 0));
    let all = invariants(world).await;
    assert_eq!(all.done("start_access_review"), 1);
}

#[tokio::test]
async fn ex_11_incomplete_reviews_are_followed_up_before_and_after_their_due_date() {
    let practice = asked().await;
    let world = &practice.world;
    // Two and a half weeks before the due date, sam is confirmed and uma removed.
    let mona = world.sign_in("practice", "mona.lind").await;
    let [sam, tess, uma] = &practice.staff;
    decide(&mona, sam, "confirmed").await.expect(200);
    decide(&mona, uma, "removed").await.expect(200);

    let chased = |day: &str| (day.to_owned(), 0, 1);
    // Until the day after the due date, and then weekly.
    assert_eq!(
        tick_days(world, 31).await,
        [
            chased("2027-06-07"),
            chased("2027-06-18"),
            chased("2027-06-22")
        ]
    );
    let mails = mails_about_reviews(world, MONA).await;
    assert_eq!(mails.len(), 4);
    insta::assert_snapshot!("ex_11_reminded", shown(&mails[1], &[]));
    insta::assert_snapshot!("ex_11_overdue", shown(&mails[3], &[]));
    assert_eq!(
        mails_about_reviews(world, OMAR).await.len(),
        4,
        "the provider is notified too"
    );
    let omar = world.sign_in("practice", "omar.haddad").await;
    let list = omar.get("/access-reviews/current?decision=pending").await;
    assert_eq!(list.body["is_overdue"], true);
    assert_eq!(
        list.body["accounts"].as_array().unwrap().len(),
        3,
        "{}",
        list.text
    );
    assert_eq!(
        tick_days(world, 14).await,
        [chased("2027-06-29"), chased("2027-07-06")]
    );

    // Late decisions count and complete it.
    let mick = world.sign_in("practice", "mick.lind").await;
    let mona = world.sign_in("practice", "mona.lind").await;
    decide(&mona, tess, "confirmed").await.expect(200);
    decide(&mona, &mick.id().await, "confirmed")
        .await
        .expect(200);
    decide(&mick, &mona.id().await, "confirmed")
        .await
        .expect(200);
    let before = mails_about_reviews(world, MONA).await.len();
    // The next review is due 180 days after this one started.
    assert_eq!(
        tick_days(world, 136).await,
        [("2027-11-18".to_owned(), 1, 0)]
    );
    assert_eq!(mails_about_reviews(world, MONA).await.len(), before + 1);
    invariants(world).await;
}

#[tokio::test]
async fn ex_11_a_review_that_is_never_completed_is_repeated_by_the_next() {
    let practice = asked().await;
    let world = &practice.world;
    let days = tick_days(world, 200).await;
    let begun: Vec<_> = days.iter().filter(|d| d.1 == 1).collect();
    assert_eq!(begun.len(), 1, "{days:?}");
    assert_eq!(begun[0].0, "2027-11-18");
    let omar = world.sign_in("practice", "omar.haddad").await;
    let shown = omar
        .get("/access-reviews/current")
        .await
        .has("/due_date", "2027-12-18");
    assert_eq!(shown.body["accounts"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn ex_11_a_week_without_a_run_results_in_one_correct_email() {
    let practice = asked().await;
    let world = &practice.world;
    // The run is late by a week, and two reminders are missed.
    world.wait_until("2027-06-23T15:00:00Z");
    assert_eq!(tick(world).await, (0, 1));
    let mails = mails_about_reviews(world, MONA).await;
    assert_eq!(mails.len(), 2);
    assert!(
        mails[1].subject.starts_with("Overdue"),
        "{}",
        mails[1].subject
    );
    assert_eq!(tick(world).await, (0, 0));
    // The weeks count from the due date, not from the run.
    assert_eq!(tick_days(world, 6).await, [("2027-06-29".to_owned(), 0, 1)]);

    let practice = Practice::new().await;
    practice.world.wait_until("2027-05-29T15:00:00Z");
    assert_eq!(tick(&practice.world).await, (1, 0));
    let omar = practice.world.sign_in("practice", "omar.haddad").await;
    let shown = omar.get("/access-reviews/current").await;
    assert_eq!(
        shown.text_at("/due_date"),
        "2027-06-28",
        "there is as much time as ever"
    );
}

#[tokio::test]
async fn ex_11_a_review_started_by_a_manager_is_followed_up_and_postpones_the_next() {
    let practice = Practice::new().await;
    let world = &practice.world;
    begin(&practice.managers[0]).await.expect(201);
    assert_eq!(
        tick_days(world, 31).await,
        [
            ("2026-12-09".to_owned(), 0, 1),
            ("2026-12-20".to_owned(), 0, 1),
            ("2026-12-24".to_owned(), 0, 1)
        ]
    );
    invariants(world).await;
}

#[tokio::test]
async fn ex_11_a_manager_without_staff_has_nothing_to_review() {
    let world = World::new().await;
    world.register("practice", dental()).await;
    assert_eq!(tick_days(&world, 400).await, []);
    assert!(mails_about_reviews(&world, OMAR).await.is_empty());
    // Once there are users to review, the next one starts.
    let omar = world.sign_in("practice", "omar.haddad").await;
    add(&omar, "sam", "user").await;
    let begun = tick_days(&world, 180).await;
    assert_eq!((begun.len(), begun[0].1), (5, 1), "{begun:?}");
    invariants(&world).await;
}

#[tokio::test]
async fn ex_11_a_portal_without_reviews_starts_none() {
    let portals = portals_with(
        "practice",
        &[(
            "[access_review] # EX-11\ninterval_days = 180\ndue_within_days = 30\nreminder_days = [14, 3]\n",
            "",
        )],
        "",
    );
    let world = World::with(vestibule_local::Options {
        portals: portals.path().to_owned(),
        ..options()
    })
    .await;
    let practice = Practice::of(world).await;
    assert_eq!(tick_days(&practice.world, 200).await, []);
    assert!(invariants(&practice.world).await.follow_ups.is_empty());
    let mona = practice.world.sign_in("practice", "mona.lind").await;
    assert_eq!(begin(&mona).await.problem(), "unsupported-on-portal");
}

#[tokio::test]
async fn ex_11_organizations_from_before_the_policy_are_found_by_a_reindex() {
    let practice = Practice::new().await;
    let world = &practice.world;
    let key = invariants(world)
        .await
        .follow_ups
        .into_keys()
        .next()
        .unwrap();
    let (pk, sk) = key.split_once('/').unwrap();
    let s = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    world
        .instance
        .db
        .delete_item()
        .table_name(&world.instance.tables.main)
        .key("pk", s(pk))
        .key("sk", s(sk))
        .send()
        .await
        .unwrap();
    world.wait_until("2027-06-01T15:00:00Z");
    assert_eq!(tick(world).await, (0, 0));
    let app = &world.instance.app;
    let moved = vestibule_inactivity_sweep::reindex(app, None).await;
    assert_eq!((moved.moved, moved.failed), (1, 0));
    assert_eq!(
        vestibule_inactivity_sweep::reindex(app, None).await.moved,
        0
    );
    assert_eq!(tick(world).await, (1, 0));
    invariants(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_11_two_concurrent_runs_and_a_manager_start_one_review() {
    for _ in 0..3 {
        let practice = Practice::new().await;
        let world = &practice.world;
        world.wait_until("2027-05-22T15:00:00Z");
        let mona = world.sign_in("practice", "mona.lind").await;
        let run = Run::now(world.now());
        let (one, (two, by_hand)) = join(
            world.instance.sweep(&run),
            join(world.instance.sweep(&run), begin(&mona)),
        )
        .await;
        assert_eq!(one.summary.failed + two.summary.failed, 0);
        let begun = one.summary.reviews_started + two.summary.reviews_started;
        assert_eq!(
            begun + u64::from(by_hand.status == 201),
            1,
            "{}",
            by_hand.text
        );
        assert_eq!(tick(world).await, (0, 0));
        assert_eq!(mails_about_reviews(world, MONA).await.len(), 1);
        // Nor are reminders sent twice.
        world.wait_until("2027-06-22T15:00:00Z");
        let run = Run::now(world.now());
        let (one, two) = join(world.instance.sweep(&run), world.instance.sweep(&run)).await;
        assert_eq!(one.summary.reviews_chased + two.summary.reviews_chased, 1);
        assert_eq!(mails_about_reviews(world, MONA).await.len(), 2);
        invariants(world).await;
    }
}

#[tokio::test]
async fn ex_11_whatever_fails_the_next_run_ends_as_if_nothing_had() {
    // Only one portal, so that the sweep doesn't read the empty partitions of others.
    let portals = tempfile::tempdir().unwrap();
    let policy = options().portals.join("practice.toml");
    std::fs::copy(policy, portals.path().join("practice.toml")).unwrap();
    for (day, begun, mails) in [
        ("2027-05-22T15:00:00Z", 1, 1),
        ("2027-06-22T15:00:00Z", 0, 2),
    ] {
        let faults = &FaultInjector::default();
        let mut prepared = Prepared::new(async || {
            let world = World::with(vestibule_local::Options {
                interceptors: vec![faults.interceptor()],
                portals: portals.path().to_owned(),
                ..options()
            })
            .await;
            let world = Practice::of(world).await.world;
            if begun == 0 {
                world.wait_until("2027-05-22T15:00:00Z");
                tick(&world).await;
            }
            world.wait_until(day);
            (world, ())
        });
        prepared
            .with_every_fault(
                faults,
                &Fault::ALL,
                async |world, ()| world.instance.sweep(&Run::now(world.now())).await,
                async |world, (), injected, _| {
                    invariants(world).await;
                    tick(world).await;
                    tick(world).await;
                    let all = invariants(world).await;
                    assert_eq!(all.done("start_access_review"), 1, "{injected}");
                    assert_eq!(all.pending("mail"), 0, "{injected}");
                    for address in [MONA, OMAR] {
                        let reported = mails_about_reviews(world, address).await.len();
                        assert_eq!(reported, mails, "{injected}");
                    }
                },
            )
            .await;
    }
}

#[tokio::test]
async fn se_10_viewing_an_access_review_leaves_a_trace() {
    let practice = Practice::new().await;
    begin(&practice.omar).await.expect(201);
    let before = invariants(&practice.world).await.done("view_access_review");
    let mona = &practice.managers[0];
    mona.get("/access-reviews/current").await.expect(200);
    let after = invariants(&practice.world).await.done("view_access_review");
    assert_eq!(after, before + 1);
}
