//! Campaigns: everyone registers again (AG-13), and usernames from before a date are released
//! (ME-10).

use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use futures::future::{join, join_all};
use jiff::SignedDuration;
use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule_domain::rules::schedule::ScheduledAction;
use vestibule_inactivity_sweep::{Run, Swept};
use vestibule_local::Options;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector, Starter};
use vestibule_tests::invariants::{invariants, text};
use vestibule_tests::people::{PASSWORD, agent, member, with};
use vestibule_tests::white_box;
use vestibule_tests::{Prepared, World, masked, options, pin_in, portals_with};

use crate::system::persistence::{Life, kept_in};

const DANA: &str = "dana@whitfield.example";
const MARIA: &str = "maria@example.com";

/// The agent portal with a campaign and without password expiration. The transition ends on March
/// 1, 2027.
fn agents(cutoff: &str) -> TempDir {
    let lasting = [(
        "max_age_days = 90 # AG-02\nwarning_days = [14, 7, 3, 1] # UX-02\n",
        "",
    )];
    let campaign = format!(
        "\n[[campaign]]\nkind = \"re_registration\"\nstart = 2026-12-01\ncutoff = {cutoff}\ntransition_days = 90\nwarning_days = [14, 1]\n"
    );
    portals_with("agent", &lasting, &campaign)
}

/// The member portal, on which usernames from before December are released on the 15th.
fn members() -> TempDir {
    let dates = [
        ("on = 2028-01-03", "on = 2026-12-15"),
        ("created_before = 2027-07-01", "created_before = 2026-12-01"),
    ];
    portals_with("member", &dates, "")
}

async fn world(portals: &TempDir) -> World {
    watched(portals, Vec::new()).await
}

async fn watched(portals: &TempDir, interceptors: Vec<SharedInterceptor>) -> World {
    World::with(Options {
        portals: portals.path().to_owned(),
        interceptors,
        ..options()
    })
    .await
}

/// Dana, who registered on the agent portal before the start.
async fn dana() -> World {
    let world = world(&agents("2027-05-31")).await;
    world.register("agent", agent()).await;
    world
}

/// Maria on the member portal, whose username will be released.
async fn maria() -> World {
    maria_watched(Vec::new()).await
}

async fn maria_watched(interceptors: Vec<SharedInterceptor>) -> World {
    let world = watched(&members(), interceptors).await;
    world.register("member", member()).await;
    world
}

fn verification() -> Value {
    json!({ "verification": agent()["verification"], "attests_signing_authority": true })
}

async fn registers_again(client: &Person) -> Response {
    client.put("/me/registration", verification()).await
}

async fn begins(world: &World, portal: &str, username: &str) -> (Person, Response) {
    let (client, response) = world.on(portal).sign_in(username, PASSWORD).await;
    let response = response.expect(201);
    (client, response)
}

/// The status of a protected route, and the next step.
async fn protected(client: &Person) -> (u16, String) {
    let reported = client.get("/entitlements").await;
    (reported.status, reported.text_at("/next_step").to_owned())
}

const OPEN: (u16, &str) = (200, "");

fn is(found: &(u16, String), expected: (u16, &str)) {
    assert_eq!((found.0, found.1.as_str()), expected);
}

async fn tick(world: &World) -> Swept {
    let swept = world.instance.schedule().await.unwrap();
    assert_eq!(swept.summary.failed, 0, "{swept:?}");
    swept
}

/// The emails to an address with this text in their subject.
async fn about(world: &World, address: &str, subject: &str) -> Vec<String> {
    let mails = world.mails_to(address).await;
    mails
        .iter()
        .filter(|m| m.subject.contains(subject))
        .map(white_box::shown)
        .collect()
}

#[tokio::test]
async fn ag_13_a_user_from_before_the_start_keeps_access_for_90_days_and_registers_again() {
    let world = dana().await;
    world.wait_until("2026-12-01T05:59:59Z");
    let (dana, begun) = begins(&world, "agent", "dana.whitfield").await;
    assert!(begun.body.get("register_again").is_none(), "{}", begun.text);
    registers_again(&dana)
        .await
        .refused(409, "no-reregistration-required");

    // It is required from the first day on, also in an open session, but access remains.
    world.pass(SignedDuration::from_secs(1));
    let window = json!({ "access_end_date": "2027-03-01", "cutoff_date": "2027-05-31" });
    let me = dana.get("/me").await;
    assert_eq!(me.body["register_again"], window);
    assert!(
        me.text
            .contains(r#""notices":["invite_backup","register_again"]"#),
        "{}",
        me.text
    );
    let (_, begun) = begins(&world, "agent", "dana.whitfield").await;
    assert_eq!(begun.body["register_again"], window);
    assert!(begun.body.get("next_step").is_none());
    is(&protected(&dana).await, OPEN);

    // Access remains until the 90th day.
    world.wait_until("2027-03-02T05:59:59Z");
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    is(&protected(&dana).await, OPEN);
    world.pass(SignedDuration::from_secs(1));
    is(&protected(&dana).await, (403, "register_again"));
    let (dana, begun) = begins(&world, "agent", "dana.whitfield").await;
    begun.has("/next_step", "register_again");
    let refused = dana.get("/users").await;
    assert_eq!(refused.problem(), "next-step-required");
    refused.says("register again");

    // It requires the verification of the first registration, and doesn't reveal which field is
    // wrong.
    let wrong = with(verification(), "/verification/ssn_last4", "4822");
    dana.put("/me/registration", wrong)
        .await
        .refused(403, "registration-refused")
        .says("(312) 555-0110");
    let others = with(
        verification(),
        "/verification",
        json!({ "agent_id": "AG10002", "ssn_last4": "7310" }),
    );
    dana.put("/me/registration", others)
        .await
        .refused(403, "registration-refused");
    dana.put(
        "/me/registration",
        with(verification(), "/attests_signing_authority", false),
    )
    .await
    .invalid("attests_signing_authority");
    is(&protected(&dana).await, (403, "register_again"));

    let again = registers_again(&dana).await.expect(200);
    assert!(again.body.get("next_step").is_none() && again.body["entitlements"].is_object());
    is(&protected(&dana).await, OPEN);
    assert_eq!(
        registers_again(&dana).await.text,
        again.text,
        "once is enough"
    );
    let (dana, begun) = begins(&world, "agent", "dana.whitfield").await;
    assert!(begun.body.get("register_again").is_none(), "{}", begun.text);
    let me = dana.get("/me").await;
    assert_eq!(
        me.text_at("/organization/name"),
        "Dana Whitfield",
        "the account is the same"
    );
    let reported = about(&world, DANA, "You have registered again").await;
    assert_eq!(reported.len(), 1);
    insta::assert_snapshot!("ag_13_registered_again", reported[0]);
    let all = invariants(&world).await;
    assert_eq!(all.done("register_again"), 1);
    let refusals = all
        .audit
        .iter()
        .filter(|e| text(e, "/action") == "register_again" && text(e, "/reason") == "not_matched");
    assert_eq!(refusals.count(), 2);

    // The cutoff doesn't affect users who have registered again.
    world.wait_until("2027-06-01T05:00:00Z");
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    is(&protected(&dana).await, OPEN);
}

#[tokio::test]
async fn ag_13_after_the_cutoff_there_is_no_access_and_the_help_desk_is_named() {
    let world = dana().await;
    world.wait_until("2027-06-01T04:59:59Z");
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    is(&protected(&dana).await, (403, "register_again"));
    world.pass(SignedDuration::from_secs(1));
    let refused = dana.get("/entitlements").await;
    assert_eq!(
        (
            refused.problem(),
            refused.text_at("/next_step"),
            refused.text_at("/help_desk/phone")
        ),
        ("next-step-required", "call_help_desk", "(312) 555-0110")
    );
    registers_again(&dana).await.refused(403, "campaign-over").has("/detail", "The last day to register again was 2027-05-31. For help, call Agent Services at (312) 555-0110 (Monday to Friday, 8 a.m. to 6 p.m. Central Time).");
    let (_, begun) = begins(&world, "agent", "dana.whitfield").await;
    begun.has("/next_step", "call_help_desk");
    // The help desk sees the reason.
    let desk = world.help_desk().await;
    let id = dana.get("/me").await.text_at("/id").to_owned();
    desk.reader
        .get(&format!("/accounts/agent/{id}"))
        .await
        .has("/memberships/0/register_again/cutoff_date", "2027-05-31");
    invariants(&world).await;
}

#[test]
fn ag_13_a_cutoff_that_is_extended_lets_people_in_again() {
    let folder = TempDir::new().unwrap();
    let (first, extended) = (agents("2027-05-31"), agents("2027-07-31"));
    // The same tables and clock in each run of the system.
    let kept = kept_in(folder.path());
    let with = |portals: &TempDir| Options {
        portals: portals.path().to_owned(),
        ..kept.clone()
    };
    let life = Life::first(&with(&first));
    life.live(async |world| {
        world.register("agent", agent()).await;
        world.wait_until("2027-06-01T12:00:00Z");
        let (dana, _) = begins(world, "agent", "dana.whitfield").await;
        is(&protected(&dana).await, (403, "call_help_desk"));
    });
    life.end();
    let life = Life::again(&with(&extended));
    life.live(async |world| {
        let (dana, _) = begins(world, "agent", "dana.whitfield").await;
        is(&protected(&dana).await, (403, "register_again"));
        world.wait_until("2027-08-01T04:59:59Z");
        let (dana, _) = begins(world, "agent", "dana.whitfield").await;
        world.pass(SignedDuration::from_secs(1));
        is(&protected(&dana).await, (403, "call_help_desk"));
    });
    life.end();
    // Once more, in the last second of the last day.
    let life = Life::again(&with(&agents("2027-08-01")));
    life.live(async |world| {
        world.wait_until("2027-08-02T04:59:59Z");
        let (dana, _) = begins(world, "agent", "dana.whitfield").await;
        registers_again(&dana).await.expect(200);
        is(&protected(&dana).await, OPEN);
        invariants(world).await;
    });
    life.end();
}

#[tokio::test]
async fn ag_13_new_people_register_at_any_time_after_the_start_and_once() {
    let world = world(&agents("2027-05-31")).await;
    let other = |name: &str, id: &str, ssn: &str| {
        let body = with(
            agent(),
            "/verification",
            json!({ "agent_id": id, "ssn_last4": ssn }),
        );
        let body = with(body, "/username", format!("{name}.agent"));
        with(body, "/email", format!("{name}@agents.example"))
    };
    world.wait_until("2026-12-01T05:59:59Z");
    world.register("agent", agent()).await;
    world.pass(SignedDuration::from_secs(1));
    world
        .register("agent", other("latoya", "AG10012", "6948"))
        .await;
    let (_, before) = begins(&world, "agent", "dana.whitfield").await;
    assert!(before.body["register_again"].is_object(), "the day before");
    let (_, on) = begins(&world, "agent", "latoya.agent").await;
    assert!(on.body.get("register_again").is_none(), "on the first day");
    // Also after the cutoff.
    world.wait_until("2027-06-15T12:00:00Z");
    world
        .register("agent", other("priya", "AG10003", "2954"))
        .await;
    let (_, new) = begins(&world, "agent", "priya.agent").await;
    assert!(new.body.get("register_again").is_none());
    let (latoya, _) = begins(&world, "agent", "latoya.agent").await;
    is(&protected(&latoya).await, OPEN);
    assert_eq!(
        registers_again(&latoya).await.problem(),
        "no-reregistration-required"
    );
}

#[tokio::test]
async fn ag_13_staff_register_again_after_their_organization() {
    let world = dana().await;
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    let token = world
        .invite(&dana, "Sam", "sam@whitfield.example", "user")
        .await;
    let body = World::acceptance(&token, "Sam", "sam@whitfield.example", "sam.lind");
    let accepted = world.on("agent").accepts(body).await;
    let sam_id = accepted.text_at("/user_id").to_owned();
    let body = json!({ "services": ["quotes"], "group_codes": [] });
    dana.post(&format!("/users/{sam_id}/approval"), body)
        .await
        .expect(200);

    world.wait_until("2027-03-02T06:00:00Z");
    let (sam, begun) = begins(&world, "agent", "sam.lind").await;
    begun.has("/next_step", "register_again");
    sam.put("/me/registration", json!({}))
        .await
        .refused(409, "organization-must-register-first");
    is(&protected(&sam).await, (403, "register_again"));
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    registers_again(&dana).await.expect(200);
    // Users who were invited have no verification.
    registers_again(&sam).await.invalid("verification");
    sam.put("/me/registration", json!({})).await.expect(200);
    is(&protected(&sam).await, OPEN);
    // A user who joins now is new.
    let token = world
        .invite(&dana, "Tess", "tess@whitfield.example", "user")
        .await;
    let body = World::acceptance(&token, "Tess", "tess@whitfield.example", "tess.lind");
    world.on("agent").accepts(body).await;
    let (_, begun) = begins(&world, "agent", "tess.lind").await;
    begun.has("/next_step", "await_approval");
    assert_eq!(invariants(&world).await.done("register_again"), 2);
}

#[tokio::test]
async fn ag_13_users_are_notified_at_the_start_and_before_the_end_of_access_and_campaign() {
    let world = dana().await;
    let mut reported = Vec::new();
    let passed = world.instance.pass_days(200, |day| {
        assert_eq!(day.summary.failed, 0);
        if day.summary.count(ScheduledAction::CampaignNotice) > 0 {
            assert_eq!(day.summary.count(ScheduledAction::CampaignNotice), 1);
            reported.push(day.date.to_string());
        }
        Ok(())
    });
    passed.await.unwrap();
    assert_eq!(
        reported,
        [
            "2026-12-01",
            "2027-02-15",
            "2027-02-28",
            "2027-05-17",
            "2027-05-30"
        ]
    );
    let mails = about(&world, DANA, "Register again").await;
    assert_eq!(mails.len(), 5);
    insta::assert_snapshot!("ag_13_announced_at_the_start", mails[0]);
    insta::assert_snapshot!("ag_13_reminded_before_the_cutoff", mails[4]);
    invariants(&world).await;
}

#[tokio::test]
async fn ag_13_missed_runs_are_made_up_for_with_one_mail_that_is_true() {
    let world = dana().await;
    // The start and the first reminder have passed.
    world.wait_until("2027-02-20T15:00:00Z");
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::CampaignNotice),
        1
    );
    let mails = about(&world, DANA, "Register again").await;
    let words: Vec<_> = mails[0].split_whitespace().collect();
    let until = "You have full access through Monday, March 1, 2027.";
    assert!(words.join(" ").contains(until), "{}", mails[0]);
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::CampaignNotice),
        0
    );
    // Two concurrent runs.
    world.wait_until("2027-02-28T15:00:00Z");
    let run = Run::now(world.now());
    let (one, two) = join(world.instance.sweep(&run), world.instance.sweep(&run)).await;
    let done = one.summary.count(ScheduledAction::CampaignNotice)
        + two.summary.count(ScheduledAction::CampaignNotice);
    assert_eq!(done, 1);
    // Everything has ended.
    world.wait_until("2027-06-02T15:00:00Z");
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::CampaignNotice),
        1
    );
    let over = about(&world, DANA, "You have not registered again").await;
    assert_eq!(over.len(), 1);
    insta::assert_snapshot!("ag_13_notified_after_the_cutoff", over[0]);
    assert_eq!(about(&world, DANA, "Register again").await.len(), 2);
    // A user who has registered again gets no more notices.
    invariants(&world).await;
    let world = dana_again().await;
    world.wait_until("2027-06-02T15:00:00Z");
    tick(&world).await;
    assert!(about(&world, DANA, "egister again on").await.is_empty());
}

/// Dana, who registered again on the first day.
async fn dana_again() -> World {
    let world = dana().await;
    world.wait_until("2026-12-01T06:00:00Z");
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    registers_again(&dana).await.expect(200);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ag_13_repeated_requests_register_a_user_again_once() {
    let world = dana().await;
    world.wait_until("2027-03-02T06:00:00Z");
    let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
    let answers = join_all((0..4).map(|_| registers_again(&dana))).await;
    for response in &answers {
        assert!([200, 409].contains(&response.status), "{}", response.text);
    }
    assert!(answers.iter().any(|a| a.status == 200));
    is(&protected(&dana).await, OPEN);
    assert_eq!(
        about(&world, DANA, "You have registered again").await.len(),
        1
    );
    assert_eq!(invariants(&world).await.done("register_again"), 1);
}

#[tokio::test]
async fn ag_13_registering_again_is_done_once_whatever_fails() {
    let portals = agents("2027-05-31");
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let world = watched(&portals, vec![faults.interceptor()]).await;
        world.register("agent", agent()).await;
        world.wait_until("2027-03-02T06:00:00Z");
        let (dana, _) = begins(&world, "agent", "dana.whitfield").await;
        (world, dana)
    });
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |_, dana| registers_again(dana).await,
            async |world, dana, injected, first| {
                let what = format!("{injected}: {}", first.text);
                assert!([200, 503].contains(&first.status), "{what}");
                invariants(world).await;
                let again = registers_again(dana).await;
                assert_eq!(again.status, 200, "{what}: {}", again.text);
                is(&protected(dana).await, OPEN);
                assert_eq!(invariants(world).await.done("register_again"), 1, "{what}");
                let reported = about(world, DANA, "You have registered again").await;
                assert_eq!(reported.len(), 1, "{what}");
            },
        )
        .await;
}

/// The registration of another member.
fn other(username: &str) -> Value {
    let verification = json!({ "enrollee_id": "100200304", "subscriber_last_name": "Kim", "date_of_birth": "1988-01-15" });
    let body = with(
        with(member(), "/verification", verification),
        "/username",
        username,
    );
    let body = with(with(body, "/first_name", "Grace"), "/last_name", "Kim");
    with(body, "/email", "grace@kim.example")
}

/// The registration of a third member.
fn third(username: &str) -> Value {
    let verification = json!({ "enrollee_id": "100200310", "subscriber_last_name": "Barnes", "date_of_birth": "1945-09-09" });
    let body = with(
        with(member(), "/verification", verification),
        "/username",
        username,
    );
    let body = with(with(body, "/first_name", "Linda"), "/last_name", "Barnes");
    with(body, "/email", "linda@barnes.example")
}

async fn chooses(client: &Person, username: &str) -> Response {
    client
        .put("/me/username", json!({ "username": username }))
        .await
}

/// Maria's temporary username, from the email about it.
async fn stand_in(world: &World) -> String {
    let mails = about(world, MARIA, "now belongs to someone else").await;
    assert_eq!(mails.len(), 1, "notified once");
    let name = mails[0].split_whitespace().find(|w| w.starts_with("user-"));
    name.expect("the mail has no username").to_owned()
}

/// Takes a released username, with an observer of the calls to AWS.
pub async fn go_through_a_release(observer: &SharedInterceptor) {
    let portals = members();
    let world = World::with(Options {
        portals: portals.path().to_owned(),
        observers: vec![observer.clone()],
        ..options()
    })
    .await;
    world.register("member", member()).await;
    world.wait_until("2026-12-15T06:00:00Z");
    world
        .on("member")
        .registers(other("Maria.Alvarez"))
        .await
        .expect(201);
    let (maria, _) = begins(&world, "member", &stand_in(&world).await).await;
    let refused = chooses(&maria, "maria.alvarez").await;
    assert_eq!(refused.problem(), "already-taken", "{}", refused.text);
}

#[tokio::test]
async fn me_10_names_from_before_the_date_are_free_for_anyone_from_the_day_on_and_taken_ones_are_not()
 {
    let world = maria().await;
    // It stays taken until the last second of the day before.
    world.wait_until("2026-12-15T05:59:59Z");
    world
        .on("member")
        .registers(other("Maria.Alvarez"))
        .await
        .refused(409, "already-taken");
    let (maria, begun) = begins(&world, "member", "maria.alvarez").await;
    begun.has("/next_step", "enter_pin");
    assert_eq!(
        chooses(&maria, "maria.other").await.problem(),
        "ask-help-desk"
    );

    world.pass(SignedDuration::from_secs(1));
    world
        .on("member")
        .registers(other("Maria.Alvarez"))
        .await
        .expect(201)
        .has("/username", "Maria.Alvarez");
    // It is taken again and not released, because its new owner registered after the date.
    world
        .on("member")
        .registers(third("maria.alvarez"))
        .await
        .refused(409, "already-taken");
    let all = invariants(&world).await;
    assert_eq!(all.done("release_username"), 1);
    world
        .register("member", third("linda.barnes"))
        .await
        .expect(201);
}

#[tokio::test]
async fn me_10_a_name_of_the_day_before_the_date_is_released_and_one_of_the_date_is_not() {
    let world = world(&members()).await;
    world.wait_until("2026-12-01T05:59:59Z");
    world.register("member", member()).await;
    world.pass(SignedDuration::from_secs(1));
    world.register("member", other("grace.kim")).await;
    world.wait_until("2026-12-15T06:00:00Z");
    let (_, before) = begins(&world, "member", "maria.alvarez").await;
    before.has("/next_step", "choose_username");
    let (_, on) = begins(&world, "member", "grace.kim").await;
    on.has("/next_step", "enter_pin");
    assert_eq!(
        world
            .on("member")
            .registers(third("grace.kim"))
            .await
            .problem(),
        "already-taken"
    );
    world
        .on("member")
        .registers(third("maria.alvarez"))
        .await
        .expect(201);
    invariants(&world).await;
}

#[tokio::test]
async fn me_10_a_user_whose_username_was_taken_signs_in_with_another_and_chooses_again() {
    let world = maria().await;
    let letter = world.last_letter().await;
    world.wait_until("2026-12-15T06:00:00Z");
    world.register("member", other("maria.alvarez")).await;
    // The response is that for a wrong password or an unknown username.
    let wrong = world
        .on("member")
        .sign_in("maria.alvarez", "Wrong-Lake-58!")
        .await
        .1;
    let unknown = world.on("member").sign_in("nobody.here", PASSWORD).await.1;
    assert_eq!(
        (wrong.status, wrong.text.clone()),
        (401, unknown.text.clone())
    );
    let grace = world
        .on("member")
        .sign_in("maria.alvarez", PASSWORD)
        .await
        .0;
    assert_eq!(grace.get("/me").await.text_at("/first_name"), "Grace");

    let instead = stand_in(&world).await;
    let mails = world.mails_to(MARIA).await;
    let gone = mails.iter().find(|m| m.text.contains(&instead)).unwrap();
    insta::assert_snapshot!(
        "me_10_username_gone",
        masked(&white_box::shown(gone), &[(&instead, "[USERNAME]")])
    );
    // Users who have lost the email recover the username as usual on this portal (ME-05).
    let asked = json!({
        "registration_type": "member", "verification": member()["verification"], "first_name": "Maria",
        "security_answers": member()["security_answers"],
    });
    let reported = world
        .on("member")
        .post("/username-recoveries/answers", asked)
        .await;
    assert_eq!(
        (reported.status, reported.text_at("/username")),
        (200, instead.as_str()),
        "{}",
        reported.text
    );

    let (maria, begun) = begins(&world, "member", &instead).await;
    begun.has("/next_step", "choose_username");
    is(&protected(&maria).await, (403, "choose_username"));
    chooses(&maria, "maria.alvarez")
        .await
        .refused(409, "already-taken");
    chooses(&maria, "maria").await.invalid("username");
    // The temporary username can't be chosen by anyone else.
    assert_eq!(
        world
            .on("member")
            .registers(third(&instead))
            .await
            .problem(),
        "already-taken"
    );
    let chosen = chooses(&maria, "maria.a.alvarez")
        .await
        .expect(200)
        .has("/next_step", "enter_pin");
    let again = chooses(&maria, "maria.a.alvarez").await;
    assert_eq!(again.text, chosen.text, "the same again changes nothing");
    assert_eq!(
        chooses(&maria, "maria.b.alvarez").await.problem(),
        "ask-help-desk"
    );
    let gone = world.on("member").sign_in(&instead, PASSWORD).await.1;
    assert_eq!(gone.status, 401);

    // The account is the same: the PIN from its letter still activates it.
    let (maria, _) = begins(&world, "member", "maria.a.alvarez").await;
    maria.enters_pin(&pin_in(&letter, 6)).await.expect(200);
    is(&protected(&maria).await, OPEN);
    let reported = about(&world, MARIA, "has changed").await;
    assert_eq!(reported.len(), 1);
    insta::assert_snapshot!("me_10_username_chosen", reported[0]);
    let all = invariants(&world).await;
    assert_eq!(
        (all.done("release_username"), all.done("choose_username")),
        (1, 1)
    );
}

#[tokio::test]
async fn me_10_the_first_user_to_choose_a_username_keeps_it() {
    let world = maria().await;
    world.wait_until("2026-12-15T06:00:00Z");
    let (maria, begun) = begins(&world, "member", "maria.alvarez").await;
    begun.has("/next_step", "choose_username");
    chooses(&maria, "maria.alvarez")
        .await
        .expect(200)
        .has("/next_step", "enter_pin");
    world
        .on("member")
        .registers(other("maria.alvarez"))
        .await
        .refused(409, "already-taken");
    assert_eq!(
        begins(&world, "member", "maria.alvarez")
            .await
            .1
            .text_at("/next_step"),
        "enter_pin"
    );
    assert!(about(&world, MARIA, "has changed").await.is_empty());
    // From now on only the help desk can change it (ME-09), and not to a username chosen again by
    // another user.
    assert_eq!(
        chooses(&maria, "maria.other").await.problem(),
        "ask-help-desk"
    );
    invariants(&world).await;
}

#[tokio::test]
async fn me_10_the_help_desk_gives_a_released_name_too() {
    let world = maria().await;
    world.wait_until("2026-12-15T06:00:00Z");
    let grace = world
        .register("member", other("grace.kim"))
        .await
        .text_at("/user_id")
        .to_owned();
    let desk = world.help_desk().await;
    let body = json!({ "reason": "She asked for it", "username": "maria.alvarez" });
    desk.agent
        .put(&format!("/accounts/member/{grace}/username"), body)
        .await
        .expect(200)
        .has("/username", "maria.alvarez");
    stand_in(&world).await;
    assert_eq!(
        begins(&world, "member", "maria.alvarez")
            .await
            .1
            .text_at("/user_id"),
        grace
    );
    invariants(&world).await;
}

#[tokio::test]
async fn me_10_users_are_notified_on_the_day_their_username_is_released() {
    let world = maria().await;
    world.wait_until("2026-12-15T05:59:59Z");
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::UsernameNotice),
        0
    );
    world.pass(SignedDuration::from_secs(1));
    let run = Run::now(world.now());
    let (one, two) = join(world.instance.sweep(&run), world.instance.sweep(&run)).await;
    let done = one.summary.count(ScheduledAction::UsernameNotice)
        + two.summary.count(ScheduledAction::UsernameNotice);
    assert_eq!(done, 1);
    let reported = about(&world, MARIA, "Choose your username").await;
    assert_eq!(reported.len(), 1);
    insta::assert_snapshot!("me_10_username_released", reported[0]);
    world.pass_days(30);
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::UsernameNotice),
        0
    );
    // New users get no notice, nor do users who have chosen their released username again.
    world.register("member", other("grace.kim")).await;
    let (maria, _) = begins(&world, "member", "maria.alvarez").await;
    chooses(&maria, "maria.alvarez").await.expect(200);
    world.pass_days(30);
    assert_eq!(
        tick(&world)
            .await
            .summary
            .count(ScheduledAction::UsernameNotice),
        0
    );
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn me_10_of_concurrent_requests_for_a_username_one_succeeds() {
    let starter = Starter::default();
    for round in 0..4 {
        let world = maria_watched(vec![starter.interceptor()]).await;
        world.wait_until("2026-12-15T06:00:00Z");
        let (maria, _) = begins(&world, "member", "maria.alvarez").await;
        let owner = async {
            if round % 2 == 0 {
                Some(chooses(&maria, "maria.alvarez").await)
            } else {
                None
            }
        };
        let visitor = world.on("member");
        let others = join(
            visitor.registers(other("maria.alvarez")),
            visitor.registers(third("maria.alvarez")),
        );
        let ((one, two), kept) = starter.start_after(round, others, owner).await;
        let all = [Some(&one), Some(&two), kept.as_ref()];
        let got = all
            .iter()
            .flatten()
            .filter(|a| [200, 201].contains(&a.status))
            .count();
        assert_eq!(
            got,
            1,
            "{} {} {:?}",
            one.text,
            two.text,
            kept.map(|k| k.text.clone())
        );
        for lost in all
            .iter()
            .flatten()
            .filter(|a| ![200, 201].contains(&a.status))
        {
            assert_eq!(lost.status, 409, "{}", lost.text);
        }
        assert!(
            about(&world, MARIA, "now belongs to someone else")
                .await
                .len()
                <= 1
        );
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn me_10_an_owner_who_signs_in_while_the_username_is_taken_succeeds_or_reads_the_usual_refusal()
 {
    let starter = Starter::default();
    for calls in 0..5 {
        let world = maria_watched(vec![starter.interceptor()]).await;
        world.wait_until("2026-12-15T06:00:00Z");
        let sign_in = async {
            let mut body = json!({ "username": "maria.alvarez", "password": PASSWORD });
            body["token_delivery"] = "body".into();
            world.on("member").post("/sessions", body).await
        };
        let mut grace = other("maria.alvarez");
        grace["password"] = "Another-Lake-77!".into();
        let visitor = world.on("member");
        let taken = visitor.registers(grace);
        let (taken, begun) = starter.start_after(calls, taken, sign_in).await;
        assert_eq!(taken.status, 201, "{}", taken.text);
        match begun.status {
            201 => {
                let maria = world.on("member").with_token(begun.text_at("/token"));
                let me = maria.get("/me").await;
                assert_eq!(
                    (me.text_at("/first_name"), me.text_at("/next_step")),
                    ("Maria", "choose_username")
                );
                chooses(&maria, "maria.other").await.expect(200);
            }
            _ => assert_eq!((begun.status, begun.problem()), (401, "sign-in-failed")),
        }
        invariants(&world).await;
    }
}

#[tokio::test]
async fn me_10_a_released_name_is_taken_once_whatever_fails() {
    let portals = members();
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let world = watched(&portals, vec![faults.interceptor()]).await;
        world.register("member", member()).await;
        world.wait_until("2026-12-15T06:00:00Z");
        (world, ())
    });
    let register = async |world: &World| {
        let body = other("maria.alvarez");
        world.on("member").registers(body).await
    };
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |world, ()| register(world).await,
            async |world, (), injected, first| {
                let what = format!("{injected}: {}", first.text);
                assert!([201, 503].contains(&first.status), "{what}");
                invariants(world).await;
                let again = register(world).await;
                assert_eq!(again.status, 201, "{what}: {}", again.text);
                let all = invariants(world).await;
                assert_eq!(
                    (all.done("release_username"), all.done("register")),
                    (1, 2),
                    "{what}"
                );
                let instead = stand_in(world).await;
                begins(world, "member", &instead).await;
                let mails = about(world, "grace@kim.example", "").await;
                assert_eq!(mails.len(), 1, "{what}");
            },
        )
        .await;
}

#[test]
fn ag_13_a_cutoff_that_is_moved_to_an_earlier_day_is_announced_in_time() {
    let folder = TempDir::new().unwrap();
    let kept = kept_in(folder.path());
    let with = |portals: &TempDir| Options {
        portals: portals.path().to_owned(),
        ..kept.clone()
    };
    let life = Life::first(&with(&agents("2027-05-31")));
    life.live(async |world| {
        world.register("agent", agent()).await;
        world.wait_until("2026-12-01T18:00:00Z");
        assert_eq!(
            tick(world)
                .await
                .summary
                .count(ScheduledAction::CampaignNotice),
            1
        );
    });
    life.end();
    let corrected = agents("2027-02-10\ncorrected_on = 2027-01-10");
    let life = Life::again(&with(&corrected));
    life.live(async |world| {
        vestibule_inactivity_sweep::reindex(&world.instance.app, None).await;
        world.wait_until("2027-01-10T18:00:00Z");
        assert_eq!(
            tick(world)
                .await
                .summary
                .count(ScheduledAction::CampaignNotice),
            1
        );
        let mails = about(world, DANA, "Register again").await;
        let words: Vec<_> = mails[mails.len() - 1].split_whitespace().collect();
        assert!(
            words.join(" ").contains("February 10, 2027"),
            "{}",
            words.join(" ")
        );
        world.wait_until("2027-02-11T18:00:00Z");
        let (dana, _) = begins(world, "agent", "dana.whitfield").await;
        is(&protected(&dana).await, (403, "call_help_desk"));
        invariants(world).await;
    });
    life.end();
}
