//! Concurrent requests: one of them wins entirely, and every attempt is counted.

use std::collections::BTreeMap;

use futures::future::{join, join_all};
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::people::{PASSWORD, dental, group_principal, hint, member, with};
use vestibule_tests::{World, another, code_in, options, pin_in};

/// The same request, many times at once, each from an address of its own.
async fn at_once(
    client: &Person,
    path: &str,
    bodies: impl IntoIterator<Item = Value>,
) -> Vec<Response> {
    let sent = bodies.into_iter().enumerate().map(|(i, body)| {
        let client = client.from_source(&format!("198.51.100.{i}"));
        async move { client.post(path, body).await }
    });
    join_all(sent).await
}

/// The number of responses of each kind: the status of a success, or the problem.
fn tally(answers: &[Response]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for response in answers {
        let kind = if response.status < 300 {
            response.status.to_string()
        } else {
            response.problem().to_owned()
        };
        *tally.entry(kind).or_default() += 1;
    }
    tally
}

fn counts<const N: usize>(expected: [(&str, usize); N]) -> BTreeMap<String, usize> {
    expected
        .into_iter()
        .map(|(kind, n)| (kind.to_owned(), n))
        .collect()
}

/// Fifty groups, GR50000 to GR50049, with the same tax id.
async fn fifty_groups() -> World {
    let world = World::empty(options()).await;
    let rows = (0..50).map(|i| format!("GR500{i:02},Company {i},001234567,C{i}\n"));
    let feed = format!(
        "group_number,name,tax_id,group_codes\n{}",
        rows.collect::<String>()
    );
    world.import(RecordKind::Group, &feed).await;
    world
}

fn principal_of(i: usize) -> Value {
    let body = with(
        group_principal(),
        "/verification/group_number",
        format!("GR500{i:02}"),
    );
    with(
        with(body, "/email", format!("p{i}@company.example")),
        "/username",
        format!("person.{i:02}"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_concurrent_requests_for_one_username_one_succeeds() {
    let world = fifty_groups().await;
    let bodies = (0..50).map(|i| with(principal_of(i), "/username", "first.come"));
    let answers = at_once(&world.on("group"), "/registrations", bodies).await;
    assert_eq!(tally(&answers), counts([("201", 1), ("already-taken", 49)]));
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert_eq!((refused.status, refused.fields()), (409, vec!["username"]));
    }
    // What the others began has left nothing behind: with other names they register at once.
    let all = invariants(&world).await;
    assert_eq!(
        (
            all.accounts.len(),
            all.organizations.len(),
            all.done("register")
        ),
        (1, 1, 1)
    );
    assert_eq!(
        all.records
            .iter()
            .filter(|r| r.get("claim#group").is_some())
            .count(),
        1
    );
    let winner = answers.iter().position(|a| a.status == 201).unwrap();
    let others = (0..50).filter(|i| *i != winner).map(principal_of);
    let answers = at_once(&world.on("group"), "/registrations", others).await;
    assert_eq!(tally(&answers), counts([("201", 49)]));
    assert_eq!(invariants(&world).await.accounts.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_concurrent_registrations_of_one_record_one_succeeds() {
    // As many as may try to prove one record, and as many again after the one that was right, which
    // clears the counter; the rest aren't looked at.
    let world = fifty_groups().await;
    let bodies = (0..50).map(|i| with(principal_of(i), "/verification/group_number", "GR50007"));
    let answers = at_once(&world.on("group"), "/registrations", bodies).await;
    let tally = tally(&answers);
    let of = |response: &str| tally.get(response).copied().unwrap_or_default();
    assert_eq!(of("201"), 1, "{tally:?}");
    assert!((4..=9).contains(&of("registration-refused")), "{tally:?}");
    assert_eq!(
        of("registration-refused") + of("too-many-attempts"),
        49,
        "{tally:?}"
    );
    // A request that is too late gets exactly the response of one that doesn't match.
    let wrong = with(principal_of(1), "/verification/tax_id_last4", "9999");
    let wrong = world.on("group").registers(wrong).await;
    for refused in answers
        .iter()
        .filter(|a| a.problem() == "registration-refused")
    {
        assert_eq!((refused.status, &refused.body), (wrong.status, &wrong.body));
    }
    let all = invariants(&world).await;
    assert_eq!(
        (
            all.accounts.len(),
            all.organizations.len(),
            all.done("register")
        ),
        (1, 1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_sent_twice_at_once_happens_once_with_equal_responses() {
    let world = World::new().await;
    for (portal, body, owner) in [
        ("group", group_principal(), "ruth.okafor"),
        ("member", member(), "maria.alvarez"),
        ("practice", dental(), "omar.haddad"),
    ] {
        let answers = at_once(
            &world.on(portal),
            "/registrations",
            [body.clone(), body.clone(), body],
        )
        .await;
        assert_eq!(
            tally(&answers),
            counts([("201", 3)]),
            "{portal}: {:?}",
            answers.iter().map(|a| &a.text).collect::<Vec<_>>()
        );
        assert!(answers.iter().all(|a| a.body == answers[0].body));
        world.sign_in(portal, owner).await;
        assert_eq!(invariants(&world).await.accounts_on(portal), 1);
    }
    assert_eq!(world.mails_to("maria@example.com").await.len(), 1);
    assert_eq!(world.letters().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ex_08_of_concurrent_registrations_with_one_address_one_succeeds() {
    let world = World::empty(options()).await;
    let rows = (0..20).map(|i| format!("PV500{i:02},Dental {i},004567890,dental,yes,\n"));
    let feed = format!(
        "provider_id,name,tax_id,category,participating,agreements\n{}",
        rows.collect::<String>()
    );
    world.import(RecordKind::Provider, &feed).await;
    let bodies = (0..20).map(|i| {
        let body = with(
            dental(),
            "/verification/provider_id",
            format!("PV500{i:02}"),
        );
        with(body, "/username", format!("dentist.{i:02}"))
    });
    let answers = at_once(&world.on("practice"), "/registrations", bodies).await;
    assert_eq!(tally(&answers), counts([("201", 1), ("already-taken", 19)]));
    assert!(
        answers
            .iter()
            .filter(|a| a.status != 201)
            .all(|a| a.fields() == ["email"])
    );
    let all = invariants(&world).await;
    assert_eq!(
        (all.accounts.len(), all.emails.len(), all.usernames.len()),
        (1, 1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_wrong_pins_at_once_exactly_the_allowed_number_is_compared() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    let wrong = json!({ "pin": another(&pin) });
    let answers = at_once(&maria, "/pin/activation", vec![wrong; 200]).await;
    assert_eq!(
        tally(&answers),
        counts([("pin-wrong", 5), ("pin-locked", 195)])
    );
    maria.enters_pin(&pin).await.refused(410, "pin-locked");
    // The count is the PIN's, not the session's or the day's.
    world.pass_days(1);
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.enters_pin(&pin).await.refused(410, "pin-locked");
    // A new one has its own attempts.
    maria.post("/pin/letter", json!({})).await.expect(201);
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_pin_among_wrong_ones_works_or_is_locked_with_them() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    let bodies =
        (0..40).map(|i| json!({ "pin": if i == 20 { pin.clone() } else { another(&pin) } }));
    let answers = at_once(&maria, "/pin/activation", bodies).await;
    let looked_at = answers
        .iter()
        .filter(|a| a.problem() == "pin-wrong")
        .count();
    assert!(looked_at <= 5, "{:?}", tally(&answers));
    let open = maria.get("/entitlements").await.status == 200;
    assert_eq!(open, answers[20].status == 200, "{}", answers[20].text);
    assert_eq!(
        invariants(&world).await.done("activate_pin"),
        usize::from(open)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_right_pin_entered_many_times_at_once_opens_once() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    let answers = at_once(&maria, "/pin/activation", vec![json!({ "pin": pin }); 5]).await;
    assert_eq!(tally(&answers), counts([("200", 5)]));
    assert_eq!(invariants(&world).await.done("activate_pin"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_wrong_registration_codes_at_once_exactly_the_allowed_number_is_compared() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Sam").await;
    let redemption = |code: &str| json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
    let answers = at_once(
        &world.on("provider"),
        "/registration-codes/redemption",
        vec![redemption(&another(&code)); 200],
    )
    .await;
    assert_eq!(
        tally(&answers),
        counts([("code-wrong", 5), ("code-locked", 195)])
    );
    world
        .on("provider")
        .post("/registration-codes/redemption", redemption(&code))
        .await
        .refused(410, "code-locked");
    world.pass_days(1);
    world
        .on("provider")
        .post("/registration-codes/redemption", redemption(&code))
        .await
        .refused(410, "code-locked");
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_redeemed_twice_at_once_is_redeemed_once_with_equal_responses() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Sam").await;
    let body = json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
    let answers = at_once(
        &world.on("provider"),
        "/registration-codes/redemption",
        vec![body; 4],
    )
    .await;
    assert_eq!(tally(&answers), counts([("200", 4)]));
    world.sign_in("provider", &username).await;
    assert_eq!(invariants(&world).await.done("redeem_registration_code"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_cannot_be_guessed_where_codes_are_redeemed() {
    let world = World::new().await;
    let (_, username) = world.provider().await;
    // Helen registered with a PIN, Sam with a code; this form reveals the password of neither.
    let helen = world.sign_in("provider", &username).await;
    let (sam, code) = world.added_by(&helen, "Sam").await;
    let redemption = |password: &str| json!({ "username": sam, "registration_code": code, "password": password, "hint": hint() });
    world
        .on("provider")
        .post("/registration-codes/redemption", redemption(PASSWORD))
        .await
        .expect(200);
    let rate_limit = (0..200).map(|i| redemption(&format!("Wrong-Guess-{i}")));
    let answers = at_once(
        &world.on("provider"),
        "/registration-codes/redemption",
        rate_limit,
    )
    .await;
    assert_eq!(
        tally(&answers),
        counts([("code-wrong", 5), ("code-locked", 195)])
    );
    let right = world
        .on("provider")
        .post("/registration-codes/redemption", redemption(PASSWORD))
        .await;
    assert_eq!(
        (right.status, right.problem()),
        (410, "code-locked"),
        "otherwise the two hundred and first would reveal it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_wrong_passwords_at_once_exactly_the_allowed_number_is_compared() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    for (portal, username, max_attempts) in
        [("group", "ruth.okafor", 10), ("group", "nobody.there", 10)]
    {
        let sign_in = |password: &str| json!({ "username": username, "password": password });
        let rate_limit = (0..200).map(|i| sign_in(&format!("Wrong-Guess-{i}")));
        let answers = at_once(&world.on(portal), "/sessions", rate_limit).await;
        let expected = counts([
            ("sign-in-failed", max_attempts),
            ("too-many-attempts", 200 - max_attempts),
        ]);
        assert_eq!(tally(&answers), expected, "{portal} {username}");
        assert!(answers.iter().all(|a| a.status
            == if a.problem() == "sign-in-failed" {
                401
            } else {
                429
            }));
        world
            .on(portal)
            .post("/sessions", sign_in(PASSWORD))
            .await
            .refused(429, "too-many-attempts");
    }
    assert_eq!(invariants(&world).await.sessions.len(), 0);
    // In the next window the right one is right again.
    world.pass(jiff::SignedDuration::from_mins(15));
    world.sign_in("group", "ruth.okafor").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_from_one_address_are_counted_together_whatever_the_name() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    let client = world.on("group").from_source("203.0.113.9");
    let rate_limit =
        (0..200).map(|i| json!({ "username": format!("person.{i}"), "password": PASSWORD }));
    let answers = join_all(rate_limit.map(|g| client.post("/sessions", g))).await;
    let answers: Vec<_> = answers.into_iter().collect();
    assert_eq!(
        tally(&answers),
        counts([("sign-in-failed", 100), ("too-many-attempts", 100)])
    );
    let right = json!({ "username": "ruth.okafor", "password": PASSWORD });
    client.post("/sessions", &right).await.expect(429);
    client
        .from_source("203.0.113.10")
        .post("/sessions", right)
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_link_used_many_times_at_once_lets_one_person_in() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for (first, times) in [("Sam", 2), ("Kim", 10)] {
        let email = format!("{}@blueheron.example", first.to_lowercase());
        let token = world.invite(&ruth, first, &email, "user").await;
        let bodies = (0..times).map(|i| {
            World::acceptance(
                &token,
                first,
                &email,
                &format!("{}.number{i}", first.to_lowercase()),
            )
        });
        let answers = at_once(&world.on("group"), "/invitations/accept", bodies).await;
        assert_eq!(
            tally(&answers),
            counts([("201", 1), ("invitation-used", times - 1)])
        );
        assert!(answers.iter().all(|a| matches!(a.status, 201 | 410)));
    }
    let all = invariants(&world).await;
    assert_eq!((all.accounts.len(), all.done("accept_invitation")), (3, 2));
    assert_eq!(
        world.mails_to("kim@blueheron.example").await.len(),
        2,
        "the invitation and one welcome"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acceptance_sent_twice_at_once_happens_once_with_equal_responses() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let body = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
    let answers = at_once(&world.on("group"), "/invitations/accept", vec![body; 5]).await;
    assert_eq!(tally(&answers), counts([("201", 5)]));
    assert_eq!(invariants(&world).await.accounts.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_resent_or_revoked_during_its_use_is_used_or_invalid() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for (i, revoked) in [false, true, false, true, false, true]
        .into_iter()
        .enumerate()
    {
        let (first, email) = (format!("Sam{i}"), format!("sam{i}@blueheron.example"));
        let token = world.invite(&ruth, "Sam", &email, "user").await;
        let list = Contents::of(&world).await.invitations;
        let id = text(
            list.iter().find(|v| text(v, "/email") == email).unwrap(),
            "/id",
        )
        .to_owned();
        let accept = World::acceptance(&token, "Sam", &email, &format!("sam.lind{i}"));
        let (client, path) = (world.on("group"), format!("/invitations/{id}"));
        let changed = async {
            if revoked {
                ruth.delete(&path).await
            } else {
                ruth.post(&format!("{path}/resend"), json!({})).await
            }
        };
        let (accepted, changed) = join(client.accepts(accept), changed).await;
        let (accepted, changed) = (accepted, changed);
        let in_now = invariants(&world)
            .await
            .usernames
            .contains_key(&format!("N#group#sam.lind{i}"));
        assert_eq!(in_now, accepted.status == 201, "{first}: {}", accepted.text);
        let both = (accepted.status == 201, changed.status < 300);
        assert!(
            both == (true, false) || both == (false, true),
            "{first}: {} / {}",
            accepted.text,
            changed.text
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_invitations_to_one_address_at_once_one_is_sent() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let body = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "user" });
    let answers = at_once(&ruth, "/invitations", vec![body; 10]).await;
    assert_eq!(
        tally(&answers),
        counts([("201", 1), ("already-invited", 9)])
    );
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 1);
    assert_eq!(invariants(&world).await.invitations.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_administrators_who_approve_at_once_one_wins_whole() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    for first in ["Sam", "Kim", "Lee"] {
        let id = world.invited(&ruth, first, "user").await;
        let path = format!("/users/{id}/approval");
        let by_ruth = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH01"] });
        let by_ada = json!({ "services": ["billing"], "group_codes": ["BH02"] });
        let (one, other) = join(ruth.post(&path, &by_ruth), ada.post(&path, &by_ada)).await;
        let (one, other) = (one, other);
        let (won, lost) = if one.status == 200 {
            (by_ruth, other)
        } else {
            (by_ada, one)
        };
        assert_eq!(lost.status, 409, "{}", lost.text);
        assert!(
            ["conflict", "approval-not-pending"].contains(&lost.problem()),
            "{}",
            lost.text
        );
        let all = invariants(&world).await;
        let user = &all.accounts[&format!("A#group#{id}")];
        assert_eq!(user.pointer("/memberships/0/services"), won.get("services"));
        assert_eq!(
            user.pointer("/memberships/0/group_codes"),
            won.get("group_codes")
        );
        assert_eq!(
            all.audit
                .iter()
                .filter(|e| text(e, "/action") == "approve_user" && text(e, "/object") == id)
                .count(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_entered_while_another_is_issued_works_or_is_invalid_for_good() {
    for _ in 0..6 {
        let world = World::new().await;
        let maria = world.member().await;
        let old = json!({ "pin": pin_in(&world.last_letter().await, 6) });
        let (entered, issued) = join(
            maria.post("/pin/activation", &old),
            maria.post("/pin/letter", json!({})),
        )
        .await;
        let (entered, issued) = (entered, issued);
        let open = maria.get("/entitlements").await.status == 200;
        assert_eq!(entered.status == 200, open, "{}", entered.text);
        assert_eq!(
            issued.status == 201,
            !open,
            "{} / {}",
            issued.text,
            entered.text
        );
        let letters = world.letters().await;
        assert_eq!(letters.len(), if open { 1 } else { 2 });
        if !open {
            let again = maria.post("/pin/activation", &old).await;
            assert_eq!(again.problem(), "pin-wrong", "the old letter's PIN is dead");
            let new = letters
                .iter()
                .map(|l| pin_in(l, 6))
                .find(|p| json!({ "pin": p }) != old)
                .unwrap();
            maria.enters_pin(&new).await.expect(200);
        }
        assert_eq!(invariants(&world).await.done("activate_pin"), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_requested_at_once_stay_within_the_daily_limit_and_one_pin_works() {
    let world = World::new().await;
    let maria = world.member().await;
    world.letters().await;
    let answers = at_once(&maria, "/pin/letter", vec![json!({}); 20]).await;
    let tally = tally(&answers);
    assert_eq!(tally.get("too-many-attempts"), Some(&17), "{tally:?}");
    let issued = tally["201"];
    let all = invariants(&world).await;
    assert_eq!(all.done("reissue_pin"), issued);
    assert_eq!(
        all.pending("letter"),
        1,
        "the letters in between were taken back"
    );
    let letters = world.letters().await;
    assert_eq!(letters.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_registration_codes_resent_at_once_only_the_latest_works() {
    for _ in 0..5 {
        let world = World::new().await;
        let desk = world.help_desk().await;
        let (helen, _) = world.provider().await;
        let (kim, first) = world.added_by(&helen, "Kim").await;
        let list = helen.searches_users(&kim).await;
        let id = list.text_at("/items/0/id").to_owned();
        // An administrator acts twice, and the help desk, whose action is decided again if it comes second.
        let path = format!("/users/{id}/registration-code");
        let by_desk = format!("/accounts/provider/{id}/registration-code");
        let why = json!({ "reason": "The owner called" });
        let (by_helen, by_desk) = join(
            at_once(&helen, &path, vec![json!({}); 2]),
            at_once(&desk.agent, &by_desk, [why]),
        )
        .await;
        let answers = [by_helen, by_desk].concat();
        let tally = tally(&answers);
        let sent = tally.get("200").unwrap_or(&0) + tally.get("202").unwrap_or(&0);
        let late = tally.get("conflict").unwrap_or(&0);
        assert!(sent >= 1 && sent + late == 3, "{tally:?}");
        let all = invariants(&world).await;
        assert_eq!(all.done("reissue_registration_code"), sent);

        let mails = world.mails_to("kim@lakeside.example").await;
        let codes = mails.iter().filter(|m| m.text.contains("RC")).map(code_in);
        let mut codes: Vec<_> = codes.collect();
        codes.sort();
        codes.dedup();
        assert!(
            codes.len() > 1 && codes.contains(&first),
            "{first}: {codes:?} {tally:?}"
        );
        // A password for each: the same redemption, sent again, would be answered as the first.
        let mut worked = Vec::new();
        for (i, code) in codes.into_iter().enumerate() {
            let password = format!("Calm-Harbor-7{i}!");
            let body = json!({ "username": kim, "registration_code": code, "password": password, "hint": hint() });
            let on = world.on("provider");
            let redeemed = on.post("/registration-codes/redemption", body).await;
            if redeemed.status == 200 {
                worked.push(code);
            }
        }
        assert!(worked.len() == 1 && worked[0] != first, "{worked:?}");
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_at_once_all_succeed_and_the_list_shows_the_last() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    let body = json!({ "username": "ruth.okafor", "password": PASSWORD });
    let answers = at_once(&world.on("group"), "/sessions", vec![body; 10]).await;
    assert_eq!(tally(&answers), counts([("201", 10)]));
    let all = invariants(&world).await;
    assert_eq!((all.sessions.len(), all.done("sign_in")), (10, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_during_a_change_of_the_account_sees_it_before_or_after_and_undoes_nothing() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for i in 0..6 {
        let id = world.invited(&ruth, &format!("Sam{i}"), "user").await;
        let path = format!("/users/{id}/approval");
        let approval = json!({ "services": ["enrollment"], "group_codes": ["BH01"] });
        let client = world.on("group");
        let username = format!("sam{i}.lind");
        let (approved, signed_in) = join(
            ruth.post(&path, approval),
            client.sign_in(&username, PASSWORD),
        )
        .await;
        let (approved, (sam, signed_in)) = (approved, signed_in);
        signed_in.expect(201);
        let open = sam.get("/entitlements").await.status == 200;
        assert_eq!(open, approved.status == 200, "{}", approved.text);
        assert!(
            open || approved.problem() == "conflict",
            "{}",
            approved.text
        );
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_with_the_old_password_during_its_change_opens_nothing_that_stays_open() {
    for _ in 0..4 {
        let world = World::new().await;
        let ruth = world.group_principal().await;
        let new = json!({ "current_password": PASSWORD, "new_password": "Another-Lake-77!" });
        let client = world.on("group");
        let change = ruth.put("/sessions/current/password", &new);
        let (changed, old) = join(change, client.sign_in("ruth.okafor", PASSWORD)).await;
        let (changed, (with_old, old)) = (changed, old);
        if changed.status == 200 {
            assert!([201, 401].contains(&old.status), "{}", old.text);
            assert_eq!(
                with_old.get("/me").await.status,
                401,
                "the session of the old password has ended"
            );
            ruth.get("/me").await.expect(200);
        } else {
            assert_eq!(
                (changed.problem(), old.status),
                ("conflict", 201),
                "{} / {}",
                changed.text,
                old.text
            );
        }
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_changes_of_one_password_at_once_one_holds() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let change = |new: &str| json!({ "current_password": PASSWORD, "new_password": new });
    let (a, b) = (change("Another-Lake-77!"), change("Another-Hill-88!"));
    let put = |body| ruth.put("/sessions/current/password", body);
    let (one, other) = join(put(&a), put(&b)).await;
    let (one, other) = (one.status, other.status);
    assert!((one == 200) != (other == 200), "{one} {other}");
    let holds = if one == 200 {
        "Another-Lake-77!"
    } else {
        "Another-Hill-88!"
    };
    assert_eq!(
        world
            .on("group")
            .sign_in("ruth.okafor", holds)
            .await
            .1
            .status,
        201
    );
    assert_eq!(invariants(&world).await.done("change_password"), 1);
}
