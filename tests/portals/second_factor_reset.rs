//! Resets of lost second factors by an administrator or the help desk (MF-06).

use futures::future::join_all;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_local::Options;
use vestibule_local::standins::ses::ReceivedMail;
use vestibule_tests::authenticator::{Browser, app_code};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::PASSWORD;
use vestibule_tests::{World, another, options, pin_in, portals_with};

const SITE: &str = "https://groups.harborlight.example";

const SAM: &str = "sam@blueheron.example";

const MARIA: &str = "maria@example.com";

const RESET: &str = "/sessions/current/second-factor-reset";

const CANCELLATIONS: &str = "/second-factor-reset-cancellations";

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// Returns the token of a link in an email to a page.
fn token_for(mail: &ReceivedMail, page: &str) -> String {
    let start = format!("/{page}#token=");
    let (_, rest) = mail
        .text
        .split_once(&start)
        .expect("the email has the link");
    rest.split_whitespace().next().unwrap().to_owned()
}

fn token(token: &str) -> Value {
    json!({ "token": token })
}

/// An administrator, and a user with an authenticator app whom they manage.
struct Group {
    ruth: Person,
    sam: Person,
    id: String,
    /// The secret of the user's app.
    secret: String,
}

impl Group {
    async fn new(world: &World) -> Self {
        let ruth = world.group_principal().await;
        let sam = world.staff(&ruth, "Sam", "user").await;
        let secret = sam.adds_app(world, "Phone").await;
        let id = sam.id().await;
        Self {
            ruth,
            sam,
            id,
            secret,
        }
    }

    async fn start(&self) -> Response {
        let path = format!("/users/{}/second-factor-reset", self.id);
        self.ruth.send(Method::POST, &path, None).await
    }

    /// Starts a reset. Returns the tokens of the link and of the cancellation.
    async fn started(&self, world: &World) -> (String, String) {
        self.start().await.expect(202);
        let mail = world.last_mail_to(SAM).await;
        let cancellation = token_for(&mail, "second-factor-reset-cancellation");
        (token_for(&mail, "second-factor-reset"), cancellation)
    }
}

/// Signs Sam in with the password only.
async fn sam(world: &World) -> (Person, Response) {
    let (sam, session) = world.on("group").sign_in("sam.lind", PASSWORD).await;
    (sam, session.expect(201))
}

/// Returns a member with an authenticator app, and the account's id.
async fn member_with_app(world: &World) -> (Person, String, String) {
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let secret = maria.adds_app(world, "Phone").await;
    let id = maria.id().await;
    (maria, id, secret)
}

/// Starts a reset as the help desk does.
async fn starts(agent: &Person, portal: &str, id: &str) -> Response {
    let path = format!("/accounts/{portal}/{id}/second-factor-reset");
    let reason = json!({ "reason": "Caller lost the phone." });
    agent.post(&path, reason).await
}

#[tokio::test]
async fn mf_06_an_administrator_starts_a_reset_and_the_owner_completes_it_with_password_and_link() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let mut browser = Browser::on(SITE, true);
    group
        .sam
        .adds_passkey(&mut browser, "Laptop")
        .await
        .expect(201);
    let codes = group.sam.creates_recovery_codes().await;
    let (link, _) = group.started(&world).await;
    let mail = world.last_mail_to(SAM).await;
    assert!(
        mail.text.contains("An administrator of Blue Heron"),
        "{}",
        mail.text
    );

    // Nothing has changed yet, and the link alone changes nothing.
    let factors = group.sam.get("/me/second-factors").await.expect(200);
    let factors = factors.has("/pending_reset/verification", "email");
    assert_eq!(factors.body["recovery_codes_left"], 10);
    let nobody = world.on("group");
    nobody
        .post(RESET, token(&link))
        .await
        .refused(401, "not-signed-in");

    let (sam, session) = self::sam(&world).await;
    session
        .has("/next_step", "enter_second_factor")
        .has("/second_factor_reset", "email");
    let done = sam.post(RESET, token(&link)).await.expect(200);
    assert_eq!(done.body.get("next_step"), None, "{}", done.text);
    assert_eq!(done.body.get("second_factors"), None, "{}", done.text);
    let factors = sam.get("/me/second-factors").await.expect(200);
    assert_eq!(factors.body["authenticator_apps"], json!([]));
    assert_eq!(factors.body["passkeys"], json!([]));
    assert_eq!(factors.body["recovery_codes_left"], 0);
    assert_eq!(factors.body.get("pending_reset"), None);

    // All other sessions have ended, and nothing that was there before is of use.
    group.sam.get("/me").await.refused(401, "not-signed-in");
    let alone = nobody.signs_challenge(&mut browser).await;
    nobody
        .post("/sessions/passkey", alone)
        .await
        .refused(401, "sign-in-failed");
    // A repeated request succeeds, until there are new factors.
    sam.post(RESET, token(&link)).await.expect(200);
    sam.adds_app(&world, "New phone").await;
    let again = sam.post(RESET, token(&link)).await;
    again.refused(410, "second-factor-reset-unusable");
    let old = json!({ "factor": { "recovery_code": codes[0] } });
    sam.gives_factor(old)
        .await
        .refused(422, "second-factor-wrong");
    let mails = world.mails_to(SAM).await;
    let removed = mails
        .iter()
        .filter(|m| m.subject.starts_with("Your second factors were removed"));
    assert_eq!(removed.count(), 1);
    invariants(&world).await;
}

#[tokio::test]
async fn mf_06_a_role_that_requires_a_factor_sets_up_a_new_one_after_the_reset() {
    let required = "[second_factor]\nrequired_for = [\"user\"]";
    let portals = portals_with("group", &[("[second_factor]", required)], "");
    let world = World::with(Options {
        portals: portals.path().to_owned(),
        optional_factors: false,
        ..options()
    })
    .await;
    let ruth = world.group_principal().await;
    let id = world.invited(&ruth, "Sam", "user").await;
    ruth.approves(&id).await.expect(200);
    let (sam, session) = self::sam(&world).await;
    session.has("/next_step", "set_up_second_factor");
    let secret = sam.adds_app(&world, "Phone").await;
    let group = Group {
        ruth,
        sam,
        id,
        secret,
    };
    let (link, _) = group.started(&world).await;
    let (sam, _) = self::sam(&world).await;
    let done = sam.post(RESET, token(&link)).await.expect(200);
    done.has("/next_step", "set_up_second_factor");
    sam.get("/entitlements")
        .await
        .refused(403, "next-step-required");
    sam.adds_app(&world, "New phone").await;
    sam.get("/entitlements").await.expect(200);
}

#[tokio::test]
async fn mf_06_the_help_desk_starts_a_reset_and_the_pin_of_a_letter_proves_the_postal_address() {
    let world = World::new().await;
    let (_, id, _) = member_with_app(&world).await;
    let desk = world.help_desk().await;
    let started = starts(&desk.agent, "member", &id).await.expect(200);
    started.has("/second_factor_reset/verification", "pin_letter");
    let mail = world.last_mail_to(MARIA).await;
    assert!(
        mail.text.contains("a letter with a PIN") && !mail.text.contains("/second-factor-reset#"),
        "{}",
        mail.text
    );
    let letter = world.last_letter().await;
    assert!(letter.contains("second factors"), "{letter}");
    // 21 days after November 23, although other PINs of this portal are valid for 60 (NIST SP 800-63B-4, 4.2.1.2).
    assert!(letter.contains("by Monday, December 14, 2026"), "{letter}");
    let pin = pin_in(&letter, 6);
    assert!(!mail.text.contains(&pin), "the email doesn't show the PIN");

    let sign_in = async || {
        let (maria, session) = world.on("member").sign_in("maria.alvarez", PASSWORD).await;
        (maria, session.expect(201))
    };
    let (maria, session) = sign_in().await;
    session
        .has("/next_step", "enter_second_factor")
        .has("/second_factor_reset", "pin_letter");
    let wrong = json!({ "pin": another(&pin) });
    let wrong = maria.post(RESET, wrong).await.refused(422, "pin-wrong");
    assert!(wrong.text.contains("attempts left"), "{}", wrong.text);
    assert_eq!(world.refusals("reset_second_factors").await, ["wrong"]);
    maria
        .post(RESET, json!({ "pin": "12" }))
        .await
        .invalid("pin");
    maria
        .post(RESET, json!({ "pin": pin, "token": "x" }))
        .await
        .invalid("token");
    maria.post(RESET, json!({})).await.invalid("token");
    // The token of an email is no part of this reset.
    let cancellation = token_for(&mail, "second-factor-reset-cancellation");
    maria
        .post(RESET, token(&cancellation))
        .await
        .refused(410, "second-factor-reset-unusable");
    let done = maria.post(RESET, json!({ "pin": pin })).await.expect(200);
    assert_eq!(done.body.get("next_step"), None, "{}", done.text);
    let (_, session) = sign_in().await;
    assert_eq!(session.body.get("next_step"), None, "{}", session.text);
    invariants(&world).await;
}

#[tokio::test]
async fn mf_06_a_pin_is_locked_after_too_many_attempts_and_a_new_letter_replaces_it() {
    let world = World::new().await;
    let (_, id, _) = member_with_app(&world).await;
    let desk = world.help_desk().await;
    starts(&desk.agent, "member", &id).await.expect(200);
    let pin = pin_in(&world.last_letter().await, 6);
    let (maria, _) = world.on("member").sign_in("maria.alvarez", PASSWORD).await;
    let wrong = json!({ "pin": another(&pin) });
    let mut last = maria.post(RESET, &wrong).await;
    while last.status == 422 {
        last = maria.post(RESET, &wrong).await;
    }
    last.refused(410, "pin-locked");
    maria
        .post(RESET, json!({ "pin": pin }))
        .await
        .refused(410, "pin-locked");
    starts(&desk.agent, "member", &id).await.expect(200);
    let new = pin_in(&world.last_letter().await, 6);
    let done = maria.post(RESET, json!({ "pin": new })).await.expect(200);
    assert_eq!(done.body.get("next_step"), None, "{}", done.text);
}

#[tokio::test]
async fn mf_06_a_letter_that_was_not_printed_is_withdrawn_with_its_reset() {
    let world = World::new().await;
    let (_, id, secret) = member_with_app(&world).await;
    let desk = world.help_desk().await;
    let before = world.letters().await.len();
    starts(&desk.agent, "member", &id).await.expect(200);
    starts(&desk.agent, "member", &id).await.expect(200);
    world.pass(SignedDuration::from_secs(30));
    let (maria, _) = world.on("member").sign_in("maria.alvarez", PASSWORD).await;
    let code = json!({ "factor": { "code": app_code(&secret, world.now()) } });
    maria.gives_factor(code).await.expect(200);
    assert_eq!(world.letters().await.len(), before);
}

#[tokio::test]
async fn mf_06_the_owner_cancels_a_reset_by_link_and_every_session_ends() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let (link, cancellation) = group.started(&world).await;
    let nobody = world.on("group");
    nobody
        .post(CANCELLATIONS, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");
    nobody
        .post(CANCELLATIONS, token(&cancellation))
        .await
        .expect(204);
    nobody
        .post(CANCELLATIONS, token(&cancellation))
        .await
        .refused(410, "second-factor-reset-unusable");
    group.sam.get("/me").await.refused(401, "not-signed-in");
    let (sam, session) = self::sam(&world).await;
    assert_eq!(session.body.get("second_factor_reset"), None);
    sam.post(RESET, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");
}

#[tokio::test]
async fn mf_06_the_owner_cancels_a_reset_in_the_profile_or_by_giving_a_factor() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let (link, _) = group.started(&world).await;
    group
        .sam
        .delete("/me/second-factor-reset")
        .await
        .expect(204);
    group
        .sam
        .delete("/me/second-factor-reset")
        .await
        .expect(204);
    let (sam, session) = self::sam(&world).await;
    assert_eq!(session.body.get("second_factor_reset"), None);
    sam.post(RESET, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");

    let (link, _) = group.started(&world).await;
    world.pass(SignedDuration::from_secs(30));
    let code = json!({ "factor": { "code": app_code(&group.secret, world.now()) } });
    sam.gives_factor(code).await.expect(200);
    sam.post(RESET, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");
}

#[tokio::test]
async fn mf_06_only_the_latest_link_works_until_it_expires_and_only_for_its_account() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let (first, _) = group.started(&world).await;
    let (second, _) = group.started(&world).await;
    let uma = world.staff(&group.ruth, "Uma", "user").await;
    uma.adds_app(&world, "Phone").await;
    uma.post(RESET, token(&second))
        .await
        .refused(410, "second-factor-reset-unusable");
    let (sam, _) = self::sam(&world).await;
    sam.post(RESET, token(&first))
        .await
        .refused(410, "second-factor-reset-unusable");
    world.pass(minutes(29));
    let (late, _) = self::sam(&world).await;
    world.pass(minutes(2));
    late.post(RESET, token(&second))
        .await
        .refused(410, "second-factor-reset-unusable");
    let (_, session) = self::sam(&world).await;
    assert_eq!(session.body.get("second_factor_reset"), None);
}

#[tokio::test]
async fn mf_06_a_session_without_the_password_does_not_complete_a_reset() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let mut browser = Browser::on(SITE, true);
    let added = group.sam.adds_passkey(&mut browser, "Laptop").await;
    added.expect(201);
    let visitor = world.on("group");
    let alone = visitor.signs_challenge(&mut browser).await;
    let session = visitor.post("/sessions/passkey", alone).await.expect(201);
    let by_passkey = visitor.with_token(session.text_at("/token"));
    let (link, _) = group.started(&world).await;
    by_passkey
        .post(RESET, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");
}

#[tokio::test]
async fn mf_06_other_recoveries_end_a_reset_and_remove_no_factor() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let (link, _) = group.started(&world).await;
    let reset = format!("/users/{}/password-reset", group.id);
    group
        .ruth
        .send(Method::POST, &reset, None)
        .await
        .expect(202);
    let (sam, session) = self::sam(&world).await;
    session.has("/next_step", "enter_second_factor");
    sam.post(RESET, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");

    let (link, _) = group.started(&world).await;
    for status in ["disabled", "active"] {
        let path = format!("/users/{}/status", group.id);
        let body = json!({ "status": status });
        group.ruth.put(&path, body).await.expect(200);
    }
    let (sam, session) = self::sam(&world).await;
    session.has("/next_step", "enter_second_factor");
    sam.post(RESET, token(&link))
        .await
        .refused(410, "second-factor-reset-unusable");
}

#[tokio::test]
async fn mf_06_a_reset_is_started_only_by_those_whom_the_policy_names_and_for_those_who_have_a_factor()
 {
    let replaced = [(
        "[second_factor]",
        "[second_factor]\nreset_by = [\"help_desk\"]",
    )];
    let portals = portals_with("group", &replaced, "");
    let world = World::with_portals(&portals).await;
    let group = Group::new(&world).await;
    group.start().await.refused(403, "ask-help-desk");
    let without = world.staff(&group.ruth, "Uma", "user").await;
    let path = format!("/users/{}/second-factor-reset", without.id().await);
    let refused = group.ruth.send(Method::POST, &path, None).await;
    refused.refused(409, "no-second-factor");
    let by_user = without.send(Method::POST, &path, None).await;
    by_user.refused(403, "not-allowed");
    group.ruth.adds_app(&world, "Phone").await;
    let own = format!("/users/{}/second-factor-reset", group.ruth.id().await);
    let refused = group.ruth.send(Method::POST, &own, None).await;
    refused.refused(409, "self-action-forbidden");
    let desk = world.help_desk().await;
    starts(&desk.agent, "group", &group.id).await.expect(200);

    // MF-07: an administrator who has a factor confirms it.
    world.pass(minutes(11));
    group.start().await.refused(403, "step-up-required");
}

#[tokio::test]
async fn mf_06_the_help_desk_resets_only_where_the_policy_lets_it_and_an_address_is_known() {
    let replaced = [(
        "[second_factor]",
        "[second_factor]\nreset_by = [\"administrator\"]",
    )];
    let portals = portals_with("group", &replaced, "");
    let world = World::with_portals(&portals).await;
    let group = Group::new(&world).await;
    let desk = world.help_desk().await;
    starts(&desk.agent, "group", &group.id)
        .await
        .refused(409, "unsupported-on-portal");
    starts(&desk.reader, "group", &group.id)
        .await
        .refused(403, "not-allowed");

    // On the provider portal, only the person who registered has a postal address.
    let replaced = [(
        "[second_factor]",
        "[second_factor]\nreset_verification = \"pin_letter\"",
    )];
    let portals = portals_with("provider", &replaced, "");
    let world = World::with_portals(&portals).await;
    let (helen, _) = world.provider().await;
    let (username, code) = world.added_by(&helen, "Ben").await;
    let body = vestibule_tests::people::redemption(&username, &code);
    let redeemed = world
        .on("provider")
        .post("/registration-codes/redemption", body)
        .await;
    redeemed.expect(200);
    let ben = world.sign_in("provider", &username).await;
    ben.adds_app(&world, "Phone").await;
    let path = format!("/users/{}/second-factor-reset", ben.id().await);
    let refused = helen.send(Method::POST, &path, None).await;
    refused.refused(409, "no-address");
    let desk = world.help_desk().await;
    starts(&desk.agent, "provider", &ben.id().await)
        .await
        .refused(409, "no-address");
    helen.adds_app(&world, "Phone").await;
    let id = helen.id().await;
    let started = starts(&desk.agent, "provider", &id).await.expect(200);
    started.has("/second_factor_reset/verification", "pin_letter");
}

#[tokio::test]
async fn mf_06_where_a_letter_is_required_securing_an_account_keeps_its_factors() {
    let world = World::new().await;
    let (_, id, _) = member_with_app(&world).await;
    let desk = world.help_desk().await;
    let path = format!("/accounts/member/{id}/secure");
    let clearing = json!({ "reason": "Caller lost the phone.", "clear_second_factors": true });
    desk.agent
        .post(&path, clearing)
        .await
        .refused(409, "unsupported-on-portal");
    let secured = desk
        .agent
        .post(&path, json!({ "reason": "Caller lost the phone." }))
        .await
        .expect(200);
    assert_eq!(secured.body["has_second_factor"], true);
}

#[tokio::test]
async fn mf_06_a_reset_and_a_factor_given_at_once_have_one_winner() {
    for _ in 0..5 {
        let world = World::new().await;
        let group = Group::new(&world).await;
        let (link, _) = group.started(&world).await;
        let (resetting, _) = sam(&world).await;
        let (giving, _) = sam(&world).await;
        world.pass(SignedDuration::from_secs(30));
        let code = json!({ "factor": { "code": app_code(&group.secret, world.now()) } });
        let (reset, given) = futures::future::join(
            resetting.post(RESET, token(&link)),
            giving.gives_factor(code),
        )
        .await;
        let (_, session) = sam(&world).await;
        let has_factor = session.text_at("/next_step") == "enter_second_factor";
        match (reset.status, given.status) {
            // The factor was given: the reset is canceled.
            (409 | 410, 200) => assert!(has_factor, "{}", session.text),
            // The factors are gone, and the other session with them.
            (200, 401 | 409 | 422) => {
                assert!(!has_factor, "{}", session.text);
                giving.get("/me").await.refused(401, "not-signed-in");
            }
            other => panic!("{other:?}: {} {}", reset.text, given.text),
        }
        invariants(&world).await;
    }
}

#[tokio::test]
async fn mf_06_a_reset_is_completed_once_also_when_it_is_used_fifty_times_at_once() {
    let world = World::new().await;
    let group = Group::new(&world).await;
    let (link, _) = group.started(&world).await;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(sam(&world).await.0);
    }
    let requests = (0..50).map(|n| sessions[n % 5].post(RESET, token(&link)));
    let responses = join_all(requests).await;
    let statuses: Vec<_> = responses.iter().map(|r| r.status).collect();
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(
        statuses.iter().all(|s| [200, 401, 409, 410].contains(s)),
        "{statuses:?}"
    );
    let alive = sessions.iter().map(|s| s.get("/me"));
    let alive = join_all(alive).await;
    assert_eq!(alive.iter().filter(|r| r.status == 200).count(), 1);
    let all = invariants(&world).await;
    assert_eq!(all.done("reset_second_factors"), 1);
}

#[tokio::test]
async fn se_01_a_change_of_factors_ends_the_other_sessions_and_keeps_its_own() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let other = world.sign_in("group", "ruth.okafor").await;
    ruth.adds_app(&world, "Phone").await;
    other.get("/me").await.refused(401, "not-signed-in");
    ruth.get("/users").await.expect(200);

    // Signs in on another device with a recovery code.
    let codes = ruth.creates_recovery_codes().await;
    let signs_in = async |code: &str| {
        let (other, _) = world.on("group").sign_in("ruth.okafor", PASSWORD).await;
        let code = json!({ "factor": { "recovery_code": code } });
        other.gives_factor(code).await.expect(200);
        other.get("/users").await.expect(200);
        other
    };
    let other = signs_in(&codes[0]).await;
    let mut browser = Browser::on(SITE, true);
    let added = ruth.adds_passkey(&mut browser, "Laptop").await;
    let path = "/me/second-factors";
    let laptop = ruth.get(path).await.text_at("/passkeys/0/id").to_owned();
    added.expect(201);
    other.get("/users").await.refused(401, "not-signed-in");

    // A new name changes no way in.
    let other = signs_in(&codes[1]).await;
    let path = format!("/me/second-factors/{laptop}");
    let name = json!({ "name": "Work laptop" });
    ruth.patch(&path, name).await.expect(204);
    other.get("/users").await.expect(200);
    ruth.delete(&path).await.expect(204);
    other.get("/users").await.refused(401, "not-signed-in");

    let other = signs_in(&codes[2]).await;
    ruth.creates_recovery_codes().await;
    other.get("/users").await.refused(401, "not-signed-in");
    ruth.get("/users").await.expect(200);
}
