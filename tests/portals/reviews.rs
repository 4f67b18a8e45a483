//! Reviews of access (EX-11): managers confirm or remove each account.

use futures::future::{join, join_all};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_local::client::{Answer, Client};
use vestibule_tests::invariants::invariants;
use vestibule_tests::meddle::{Fault, Meddler};
use vestibule_tests::people::{PASSWORD, dental};
use vestibule_tests::{World, options, shown};

const INITIAL: &str = "First-Morning-17";

/// Riverbend Dental with its provider, two office managers and three of the staff.
struct Practice {
    world: World,
    omar: Client,
    managers: [Client; 2],
    staff: [String; 3],
}

async fn add(omar: &Client, name: &str, role: &str) -> String {
    let body = json!({
        "first_name": name, "last_name": "Lind", "email": format!("{name}@riverbend.example"),
        "user_name": format!("{name}.lind"), "initial_password": INITIAL, "role": role,
    });
    let added = omar.post("/users", body).await.unwrap();
    assert_eq!(added.status, 201, "{}", added.text);
    added.text_at("/id").to_owned()
}

async fn put(client: &Client, path: &str, body: Value) -> Answer {
    client.send(Method::PUT, path, Some(&body)).await.unwrap()
}

async fn chooses_own_password(world: &World, name: &str) -> Client {
    let user_name = format!("{name}.lind");
    let (client, _) = world
        .on("practice")
        .sign_in(&user_name, INITIAL)
        .await
        .unwrap();
    let body = json!({ "current_password": INITIAL, "new_password": PASSWORD });
    let changed = put(&client, "/sessions/current/password", body).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
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
        // A moment later than everybody came.
        world.pass(SignedDuration::from_secs(60));
        Self {
            world,
            omar,
            managers,
            staff,
        }
    }

    /// User name, answer and by whom, of everybody in the review.
    async fn standing(&self) -> Vec<(String, String, String)> {
        let shown = self.omar.get("/access-reviews/current").await.unwrap();
        assert_eq!(shown.status, 200, "{}", shown.text);
        let text =
            |account: &Value, field: &str| account[field].as_str().unwrap_or_default().to_owned();
        let accounts = shown.body["accounts"].as_array().unwrap();
        let mut standing: Vec<_> = accounts
            .iter()
            .map(|a| {
                (
                    text(a, "user_name"),
                    text(a, "answer"),
                    text(a, "answered_by"),
                )
            })
            .collect();
        standing.sort();
        standing
    }
}

async fn begin(by: &Client) -> Answer {
    by.post("/access-reviews", json!({})).await.unwrap()
}

async fn answer(by: &Client, id: &str, given: &str) -> Answer {
    let path = format!("/access-reviews/current/users/{id}");
    put(by, &path, json!({ "answer": given })).await
}

async fn id_of(client: &Client) -> String {
    client.get("/me").await.unwrap().text_at("/id").to_owned()
}

#[tokio::test]
async fn ex_11_managers_confirm_or_remove_each_account_and_see_what_is_unanswered() {
    let practice = Practice::new().await;
    let [mona, mick] = &practice.managers;
    let [sam, tess, uma] = &practice.staff;
    let none = mona.get("/access-reviews/current").await.unwrap();
    assert_eq!((none.status, none.problem()), (404, "not-found"));

    let begun = begin(mona).await;
    assert_eq!(
        (begun.status, begun.text_at("/answer_by")),
        (201, "2026-12-23"),
        "{}",
        begun.text
    );
    assert_eq!(begun.text_at("/started_by"), id_of(mona).await);
    for address in [
        "mona@riverbend.example",
        "mick@riverbend.example",
        "omar@riverbend.example",
    ] {
        let mail = practice.world.last_mail_to(address).await;
        assert_eq!(
            mail.subject,
            "Please review who has access to Harborlight Practice Desk"
        );
        if address.starts_with("mona") {
            insta::assert_snapshot!("ex_11_asked", shown(&mail, &[]));
        }
    }
    // Everybody but the provider, who answers for the practice.
    let names = |standing: Vec<(String, String, String)>, answer: &str| -> Vec<String> {
        let of = standing.into_iter().filter(|(_, a, _)| a == answer);
        of.map(|(name, _, _)| name).collect()
    };
    assert_eq!(
        names(practice.standing().await, "unanswered"),
        [
            "mick.lind",
            "mona.lind",
            "sam.lind",
            "tess.lind",
            "uma.lind"
        ]
    );

    // Who comes later isn't in it.
    practice.world.pass(SignedDuration::from_secs(60));
    let late = add(&practice.omar, "vera", "user").await;
    let refused = answer(mona, &late, "confirmed").await;
    assert_eq!((refused.status, refused.problem()), (409, "not-in-review"));
    let refused = answer(mona, &late, "removed").await;
    assert_eq!((refused.status, refused.problem()), (409, "not-in-review"));

    let confirmed = answer(mona, sam, "confirmed").await;
    assert_eq!(
        (
            confirmed.status,
            confirmed.text_at("/answer"),
            confirmed.text_at("/answered_by"),
            confirmed.text_at("/answered_at")
        ),
        (
            200,
            "confirmed",
            id_of(mona).await.as_str(),
            practice.world.now().to_string().as_str()
        ),
        "{}",
        confirmed.text
    );
    // In answer to the review, or otherwise: removed is removed.
    let removed = answer(mick, tess, "removed").await;
    assert_eq!(
        (removed.status, removed.text_at("/answer")),
        (200, "removed"),
        "{}",
        removed.text
    );
    assert_eq!(
        practice
            .omar
            .get(&format!("/users/{tess}"))
            .await
            .unwrap()
            .status,
        404
    );
    let deleted = mona
        .send(Method::DELETE, &format!("/users/{uma}"), None)
        .await
        .unwrap();
    assert_eq!(deleted.status, 204, "{}", deleted.text);
    let again = answer(mick, tess, "removed").await;
    assert_eq!(again.text, removed.text, "the same again changes nothing");

    let (mona_id, mick_id) = (id_of(mona).await, id_of(mick).await);
    let entry = |name: &str, answer: &str, by: &str| {
        (format!("{name}.lind"), answer.to_owned(), by.to_owned())
    };
    assert_eq!(
        practice.standing().await,
        [
            entry("mick", "unanswered", ""),
            entry("mona", "unanswered", ""),
            entry("sam", "confirmed", &mona_id),
            entry("tess", "removed", &mick_id),
            entry("uma", "removed", &mona_id),
        ]
    );
    for (filter, count) in [("confirmed", 1), ("removed", 2), ("unanswered", 2)] {
        let path = format!("/access-reviews/current?answer={filter}");
        let some = practice.omar.get(&path).await.unwrap();
        let accounts = some.body["accounts"].as_array().unwrap();
        assert_eq!(accounts.len(), count, "{}", some.text);
        assert!(accounts.iter().all(|a| a["answer"] == filter));
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
    assert_eq!(begin(&practice.omar).await.status, 201);
    let mona = id_of(&practice.managers[0]).await;
    let path = format!("/accounts/practice/{mona}/removal");
    let why = json!({ "reason": "The provider asked for it by letter." });
    let done = desk.agent.post(&path, why).await.unwrap();
    assert_eq!(done.status, 200, "{}", done.text);
    let standing = practice.standing().await;
    let gone = ("mona.lind".to_owned(), "removed".to_owned(), String::new());
    assert!(standing.contains(&gone), "{standing:?}");
    assert_eq!(standing.len(), 5);
    invariants(&practice.world).await;
}

#[tokio::test]
async fn ex_11_nobody_answers_for_themselves_or_above_and_staff_not_at_all() {
    let practice = Practice::new().await;
    let [mona, mick] = &practice.managers;
    assert_eq!(begin(mona).await.status, 201);
    let (mona_id, omar_id) = (id_of(mona).await, id_of(&practice.omar).await);
    for given in ["confirmed", "removed"] {
        let refused = answer(mona, &mona_id, given).await;
        assert_eq!((refused.status, refused.problem()), (409, "yourself"));
        let refused = answer(mona, &omar_id, given).await;
        assert!(
            [(403, "not-allowed"), (409, "not-in-review")]
                .contains(&(refused.status, refused.problem())),
            "{}",
            refused.text
        );
    }
    // A manager is confirmed by another, and deleted by the help desk only (EX-12).
    assert_eq!(answer(mick, &mona_id, "confirmed").await.status, 200);
    let refused = answer(mick, &mona_id, "removed").await;
    assert_eq!((refused.status, refused.problem()), (403, "not-allowed"));

    let sam = chooses_own_password(&practice.world, "sam").await;
    for refused in [
        begin(&sam).await,
        sam.get("/access-reviews/current").await.unwrap(),
        answer(&sam, &practice.staff[1], "confirmed").await,
    ] {
        assert_eq!((refused.status, refused.problem()), (403, "not-allowed"));
    }
    let wrong = answer(mona, &practice.staff[0], "perhaps").await;
    assert_eq!((wrong.status, wrong.fields()), (422, vec!["answer"]));
}

#[tokio::test]
async fn ex_11_a_review_runs_until_its_last_day_and_the_next_asks_again() {
    let practice = Practice::new().await;
    let mona = &practice.managers[0];
    assert_eq!(begin(mona).await.status, 201);
    let sam = &practice.staff[0];
    assert_eq!(answer(mona, sam, "confirmed").await.status, 200);
    let early = begin(mona).await;
    assert_eq!((early.status, early.problem()), (409, "review-running"));

    // The last day is over at midnight in Chicago.
    practice.world.wait_until("2026-12-24T05:59:00Z");
    let omar = practice.world.sign_in("practice", "omar.haddad").await;
    let shown = omar.get("/access-reviews/current").await.unwrap();
    assert_eq!(shown.body["overdue"], false);
    assert_eq!(begin(&omar).await.status, 409);
    practice.world.wait_until("2026-12-24T06:00:00Z");
    let shown = omar.get("/access-reviews/current").await.unwrap();
    assert_eq!(shown.body["overdue"], true);
    let next = begin(&omar).await;
    assert_eq!(next.status, 201, "{}", next.text);
    let unanswered = next.body["accounts"].as_array().unwrap();
    assert!(
        unanswered.iter().all(|a| a["answer"] == "unanswered") && unanswered.len() == 5,
        "a confirmation counts in its own review only: {}",
        next.text
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_11_of_answers_given_at_once_one_counts_and_removed_stays_removed() {
    let practice = Practice::new().await;
    let [mona, mick] = &practice.managers;
    let [sam, tess, uma] = &practice.staff;
    let begun = join_all((0..5).map(|_| begin(mona))).await;
    let made = begun.iter().filter(|a| a.status == 201).count();
    assert_eq!(made, 1, "one review begins");
    assert!(begun.iter().all(|a| [201, 409].contains(&a.status)));

    let (one, other) = join(
        answer(mona, sam, "confirmed"),
        answer(mick, sam, "confirmed"),
    )
    .await;
    assert_eq!((one.status, other.status), (200, 200));
    assert_eq!(one.text, other.text, "both read who was first");
    assert_eq!(invariants(&practice.world).await.done("confirm_access"), 1);

    for id in [tess, uma] {
        let (confirmed, removed) =
            join(answer(mona, id, "confirmed"), answer(mick, id, "removed")).await;
        assert_eq!(removed.status, 200, "{}", removed.text);
        assert!([200, 404].contains(&confirmed.status), "{}", confirmed.text);
    }
    let gone = practice.standing().await;
    assert_eq!(
        gone.iter().filter(|(_, a, _)| a == "removed").count(),
        2,
        "{gone:?}"
    );
    invariants(&practice.world).await;
}

#[tokio::test]
async fn ex_11_an_answer_is_given_once_whatever_fails() {
    for given in ["confirmed", "removed"] {
        for fault in Fault::ALL {
            let meddler = Meddler::default();
            let world = World::with(vestibule_local::Options {
                interceptors: vec![meddler.interceptor()],
                ..options()
            })
            .await;
            let practice = Practice::of(world).await;
            let mona = &practice.managers[0];
            assert_eq!(begin(mona).await.status, 201);
            // Reading the session, reading the target, writing, looking at what became of it.
            for (n, id) in practice.staff.iter().enumerate() {
                meddler.arm(n, fault);
                let first = answer(mona, id, given).await;
                let (_, suffered) = meddler.disarm();
                let what = format!("{fault:?} of call {n}, {suffered:?}: {}", first.text);
                assert!([200, 503].contains(&first.status), "{what}");
                let again = answer(mona, id, given).await;
                assert_eq!(
                    (again.status, again.text_at("/answer")),
                    (200, given),
                    "{what}"
                );
            }
            let all = invariants(&practice.world).await;
            let action = match given {
                "confirmed" => "confirm_access",
                _ => "remove_user",
            };
            assert_eq!(all.done(action), 3, "{fault:?}");
        }
    }
}
