//! Emails that aren't delivered: SES is unavailable, rejects them, or they bounce.

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_deliver_mail::{Event, Mailer};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_local::Options;
use vestibule_local::instance::at_work;
use vestibule_local::standins::ses::DeliveryOutcome;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::people::{PASSWORD, agent, group_principal, member, redemption, with};
use vestibule_tests::{World, code_in, link_token, options, portals_with_invalid};

const RUTH: &str = "ruth@blueheron.example";
const MARIA: &str = "maria@example.com";

/// The number of emails in a state.
async fn in_state(world: &World, state: &str) -> usize {
    let all = Contents::of(world).await;
    let mails = all.messages.values();
    mails
        .filter(|m| text(m, "/channel") == "mail" && text(m, "/state") == state)
        .count()
}

#[tokio::test]
async fn a_temporarily_rejected_email_delays_no_other_and_backs_off() {
    let world = World::new().await;
    world
        .instance
        .inbox
        .set_outcome(MARIA, Some(DeliveryOutcome::Throttled));
    world.register("member", member()).await;
    world.register("group", group_principal()).await;
    world.instance.settle().await.unwrap();
    assert_eq!(world.instance.inbox.to(RUTH).len(), 2, "the others leave");
    assert!(world.instance.inbox.to(MARIA).is_empty());

    // Each delay ends exactly at its minute.
    for minutes in [1, 2, 4, 8] {
        let attempts = async || {
            let all = Contents::of(&world).await;
            let waits = all
                .messages
                .values()
                .find(|m| text(m, "/channel") == "mail" && text(m, "/state") == "pending");
            waits.unwrap()["attempts"].as_u64().unwrap()
        };
        let before = attempts().await;
        world.pass(SignedDuration::from_secs(60 * minutes - 1));
        world.instance.deliver_pending().await.unwrap();
        assert_eq!(attempts().await, before, "{minutes}");
        world.pass(SignedDuration::from_secs(1));
        world.instance.deliver_pending().await.unwrap();
        assert_eq!(attempts().await, before + 1, "{minutes}");
    }
    world.instance.inbox.set_outcome(MARIA, None);
    world.pass(SignedDuration::from_mins(16));
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 1);
    assert_eq!(world.instance.inbox.to(MARIA).len(), 1);
    invariants(&world).await;
}

#[tokio::test]
async fn an_email_is_abandoned_and_erased_after_three_days() {
    let world = World::new().await;
    world.instance.inbox.set_down(true);
    world.register("member", member()).await;
    world.instance.settle().await.unwrap();
    for _ in 0..3 {
        assert_eq!(
            (
                in_state(&world, "pending").await,
                in_state(&world, "failed").await
            ),
            (1, 0)
        );
        world.pass_days(1);
        world.instance.deliver_pending().await.unwrap();
    }
    assert_eq!(
        (
            in_state(&world, "pending").await,
            in_state(&world, "failed").await
        ),
        (0, 1)
    );
    world.instance.inbox.set_down(false);
    world.pass_days(1);
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
    assert!(world.instance.inbox.is_empty());
    invariants(&world).await;
}

#[tokio::test]
async fn ses_gets_only_the_identifier_of_an_email_as_metadata() {
    let world = World::new().await;
    world.register("member", member()).await;
    let mail = world.last_mail_to(MARIA).await;
    let all = Contents::of(&world).await;
    let id = mail.tags["outbox"].clone();
    assert_eq!(mail.tags.len(), 1);
    assert!(all.messages.contains_key(&format!("X#{id}")), "{id}");
}

/// Requests a change of email address.
async fn change(user: &Person, body: &Value) -> Response {
    user.put("/me/email", body).await
}

/// A group's principal whose emails bounce.
async fn bounced() -> World {
    let world = World::new().await;
    world
        .instance
        .inbox
        .set_outcome(RUTH, Some(DeliveryOutcome::Bounces));
    world.register("group", group_principal()).await;
    world.instance.settle().await.unwrap();
    world
}

#[tokio::test]
async fn a_bounce_is_shown_to_user_and_administrator_and_stops_email() {
    let world = bounced().await;
    let (ruth, session) = world.on("group").sign_in("ruth.okafor", PASSWORD).await;
    let me = ruth.get("/me").await;
    let users = ruth.get("/users").await;
    let user = ruth.get(&format!("/users/{}", me.text_at("/id"))).await;
    for (response, at) in [(&session, ""), (&me, ""), (&users, "/items/0"), (&user, "")] {
        let said = response.body.pointer(&format!("{at}/email_undeliverable"));
        assert_eq!(
            said,
            Some(&json!({ "kind": "bounced", "detected_at": "2026-11-23T15:00:00Z" })),
            "{}",
            response.text
        );
    }
    assert_eq!(invariants(&world).await.done("mark_undeliverable"), 1);

    // Even if email would arrive again, only the confirmation email is sent.
    world.instance.inbox.set_outcome(RUTH, None);
    let forgot = json!({ "username": "ruth.okafor" });
    world
        .on("group")
        .post("/password-resets", forgot)
        .await
        .expect(202);
    world.instance.settle().await.unwrap();
    world.instance.settle().await.unwrap();
    assert!(world.mails_to(RUTH).await.is_empty());
    let again = json!({ "email": RUTH, "password": PASSWORD });
    change(&ruth, &again).await.expect(202);
    let mails = world.mails_to(RUTH).await;
    assert_eq!(mails.len(), 1, "only the confirmation email");
    let token = json!({ "token": link_token(&mails[0]) });
    world
        .on("group")
        .post("/email-confirmations", token)
        .await
        .expect(204);
    let me = ruth.get("/me").await;
    assert_eq!(me.body.get("email_undeliverable"), None, "{}", me.text);
    let refused = change(&ruth, &again).await;
    assert_eq!(
        refused.status, 422,
        "an address that works needs no second confirmation"
    );
    world
        .on("group")
        .post("/password-resets", json!({ "username": "ruth.okafor" }))
        .await;
    world.instance.settle().await.unwrap();
    assert_eq!(world.mails_to(RUTH).await.len(), 2);
    invariants(&world).await;
}

#[tokio::test]
async fn bl_12_a_new_address_clears_the_undeliverable_mark() {
    let world = bounced().await;
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let body = json!({ "email": "ruth@new.example", "password": PASSWORD });
    change(&ruth, &body).await.expect(202);
    let token = link_token(&world.last_mail_to("ruth@new.example").await);
    world
        .on("group")
        .post("/email-confirmations", json!({ "token": token }))
        .await
        .expect(204);
    let me = ruth.get("/me").await;
    assert_eq!(
        (me.text_at("/email"), me.body.get("email_undeliverable")),
        ("ruth@new.example", None)
    );
    invariants(&world).await;
}

#[tokio::test]
async fn complaints_and_rejections_are_recorded_and_full_mailboxes_are_not() {
    for (outcome, kind, arrived) in [
        (DeliveryOutcome::Complained, Some("complained"), 1),
        (DeliveryOutcome::Rejected, Some("refused"), 0),
        (DeliveryOutcome::BouncesForNow, None, 0),
    ] {
        let world = World::new().await;
        world.instance.inbox.set_outcome(MARIA, Some(outcome));
        world.register("member", member()).await;
        assert_eq!(world.mails_to(MARIA).await.len(), arrived, "{outcome:?}");
        let maria = world.sign_in("member", "maria.alvarez").await;
        let me = maria.get("/me").await;
        let said = me
            .body
            .pointer("/email_undeliverable/kind")
            .and_then(Value::as_str);
        assert_eq!(said, kind, "{outcome:?}");
        // Only permanent bounces stop email.
        world.instance.inbox.set_outcome(MARIA, None);
        maria.post("/pin/letter", json!({})).await.expect(201);
        assert_eq!(
            world.mails_to(MARIA).await.len(),
            arrived + 1,
            "{outcome:?}"
        );
        invariants(&world).await;
    }
}

const GROUP: &str =
    "group_number,name,tax_id,group_codes\nGR20001,Blue Heron Manufacturing,001234567,BH01;BH02";

/// A principal whose emails have bounced, and the bounce report, which has not been processed.
async fn reported(faults: &FaultInjector) -> (World, Value) {
    let world = World::empty(Options {
        interceptors: vec![faults.interceptor()],
        ..options()
    })
    .await;
    world.import(RecordKind::Group, GROUP).await;
    world
        .instance
        .inbox
        .set_outcome(RUTH, Some(DeliveryOutcome::Bounces));
    world.register("group", group_principal()).await;
    world.instance.deliver_pending().await.unwrap();
    let report = world.instance.inbox.take_reports().remove(0);
    (world, report)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_and_concurrent_reports_are_recorded_once() {
    let (world, report) = reported(&FaultInjector::default()).await;
    let take = || {
        world
            .instance
            .mailer
            .take(Event::parse(report.clone()).unwrap())
    };
    for taken in join_all((0..5).map(|_| take())).await {
        taken.unwrap();
    }
    take().await.unwrap();
    assert_eq!(invariants(&world).await.done("mark_undeliverable"), 1);
}

#[tokio::test]
async fn a_report_is_recorded_once_whatever_fails() {
    for fault in Fault::ALL {
        for n in 0.. {
            let faults = FaultInjector::default();
            let (world, report) = reported(&faults).await;
            faults.arm(n, fault);
            let taken = world
                .instance
                .mailer
                .take(Event::parse(report.clone()).unwrap())
                .await;
            let (calls, suffered) = faults.disarm();
            invariants(&world).await;
            if taken.is_err() {
                // Lambda delivers the event again.
                world
                    .instance
                    .mailer
                    .take(Event::parse(report).unwrap())
                    .await
                    .unwrap();
            }
            let all = invariants(&world).await;
            assert_eq!(
                all.done("mark_undeliverable"),
                1,
                "{fault:?} of call {n}, {suffered:?}"
            );
            let account = all.accounts.values().next().unwrap();
            assert_eq!(text(account, "/email_undeliverable/kind"), "bounced");
            if n == calls {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_report_about_an_unknown_email_changes_nothing() {
    let (world, report) = reported(&FaultInjector::default()).await;
    for tags in [
        json!({}),
        json!({ "outbox": [] }),
        json!({ "outbox": ["x"] }),
        json!({ "outbox": ["00000000000000000000000000"] }),
    ] {
        let mut other = report.clone();
        other["detail"]["mail"]["tags"] = tags;
        world
            .instance
            .mailer
            .take(Event::parse(other).unwrap())
            .await
            .unwrap();
    }
    assert_eq!(invariants(&world).await.done("mark_undeliverable"), 0);
}

fn count_of(world: &World, address: &str, subject: &str) -> usize {
    let mails = world.instance.inbox.to(address);
    mails.iter().filter(|m| m.subject.contains(subject)).count()
}

#[tokio::test]
async fn se_06_strangers_cannot_fill_a_mailbox_or_hide_a_notice_in_it() {
    let world = World::new().await;
    world.group_principal().await;
    let anyone = world.on("group");
    let ask = async || {
        let body = json!({ "username": "ruth.okafor" });
        anyone.post("/password-resets", body).await.expect(202);
        // The request leaves the outbox first, then the email that it causes.
        world.instance.settle().await.unwrap();
        world.instance.settle().await.unwrap();
        world.pass(SignedDuration::from_mins(20));
    };
    for _ in 0..14 {
        ask().await;
    }
    // After ten, one is sent only when the link of the last one has expired, after 30 minutes (SE-05).
    assert_eq!(count_of(&world, RUTH, "Choose a new password"), 12);
    assert_eq!(world.refusals("send_email").await, ["recipient_limit"; 2]);
    assert_eq!(in_state(&world, "limited").await, 2);

    // The owner still learns what happens to the account.
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let changed = ruth
        .changes_password(PASSWORD, "Kelp-Orchard-47-Lantern")
        .await;
    changed.expect(200);
    world.mails_to(RUTH).await;
    assert_eq!(count_of(&world, RUTH, "Your password on"), 1);

    // The next day, links arrive again.
    world.pass(SignedDuration::from_hours(24));
    let before = world.instance.inbox.to(RUTH).len();
    ask().await;
    assert_eq!(world.instance.inbox.to(RUTH).len(), before + 1);
    assert_eq!(world.refusals("send_email").await.len(), 2);
    invariants(&world).await;
}

#[tokio::test]
async fn se_06_a_user_cannot_mail_strangers_through_address_confirmations() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let strangers: Vec<_> = (0..8).map(|n| format!("stranger{n}@example.com")).collect();
    for (n, stranger) in strangers.iter().enumerate() {
        let body = json!({ "email": stranger, "password": PASSWORD });
        let requested = ruth.put("/me/email", body).await;
        // Ruth learns of the limit, instead of waiting for an email.
        match n {
            0..5 => requested.expect(202),
            _ => requested.refused(429, "too-many-attempts"),
        };
        world.mails_to(stranger).await;
        world.pass(SignedDuration::from_mins(20));
    }
    let reached = strangers
        .iter()
        .filter(|s| !world.instance.inbox.to(s).is_empty());
    assert_eq!(reached.count(), 5);
    let refusals = world.refusals("request_email_change").await;
    assert_eq!(refusals, ["too_many_attempts"; 3]);
}

#[tokio::test]
async fn se_06_tags_and_other_portals_do_not_evade_the_limit_of_a_mailbox() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let cedar = json!({ "group_number": "GR20002", "tax_id_last4": "5678" });
    let lena = with(group_principal(), "/verification", cedar);
    let lena = with(
        with(lena, "/registration_type", "employer"),
        "/username",
        "lena.cedar",
    );
    world
        .register(
            "employer",
            with(lena, "/email", "lena@cedarandpine.example"),
        )
        .await;
    let lena = world.sign_in("employer", "lena.cedar").await;
    for n in 0..12 {
        let invited = json!({
            "first_name": "Sam", "last_name": "Rivera", "role": "user",
            "email": format!("victim+{n}@example.com"),
        });
        let by = if n % 2 == 0 { &ruth } else { &lena };
        by.post("/invitations", invited).await.expect(201);
    }
    world.instance.settle().await.unwrap();
    let reached = (0..12).filter(|n| {
        let mails = world.instance.inbox.to(&format!("victim+{n}@example.com"));
        !mails.is_empty()
    });
    assert_eq!(reached.count(), 10);
    assert_eq!(world.refusals("send_email").await, ["recipient_limit"; 2]);
}

/// Whoever requests more emails to one mailbox than a day allows gets no "200" for an email that is never sent.
#[tokio::test]
async fn se_06_an_administrator_who_resends_beyond_the_limit_learns_of_it() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let desk = world.help_desk().await;
    let sam = "sam@blueheron.example";
    let invited = ruth.invites("Sam", "user").await.expect(201);
    let path = format!("/invitations/{}/resend", invited.text_at("/id"));
    for _ in 0..9 {
        ruth.post(&path, json!({})).await.expect(200);
    }
    let refused = ruth.post(&path, json!({})).await;
    let seconds: u32 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((60..=24 * 60 * 60).contains(&seconds), "{seconds}");
    refused
        .refused(429, "too-many-attempts")
        .says("Check that the email address is correct");
    assert_eq!(
        world.refusals("resend_invitation").await,
        ["too_many_attempts"]
    );
    // The help desk neither, nor another invitation with a tag.
    let path_of_desk = format!("/accounts/group/{}/invitation", ruth.id().await);
    let body = json!({ "reason": "Sam lost the email", "email": sam });
    desk.agent
        .post(&path_of_desk, body)
        .await
        .refused(429, "too-many-attempts");
    let tagged =
        json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam+x@blueheron.example" });
    ruth.post("/invitations", &tagged)
        .await
        .refused(429, "too-many-attempts");

    // What was sent is still valid, and the next day there can be more.
    assert_eq!(world.mails_to(sam).await.len(), 10);
    world.pass(SignedDuration::from_hours(24));
    let ruth = world.sign_in("group", "ruth.okafor").await;
    ruth.post(&path, json!({})).await.expect(200);
    assert_eq!(world.mails_to(sam).await.len(), 11);
    invariants(&world).await;
}

#[tokio::test]
async fn bl_09_a_code_that_is_resent_beyond_the_limit_is_refused_and_the_last_one_works() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, _) = world.added_by(&helen, "Max").await;
    let path = format!("/users/{}/registration-code", helen.finds("max").await);
    for _ in 0..9 {
        helen.post(&path, json!({})).await.expect(202);
    }
    helen
        .post(&path, json!({}))
        .await
        .refused(429, "too-many-attempts");
    let code = code_in(&world.last_mail_to("max@lakeside.example").await);
    let body = redemption(&username, &code);
    let visitor = world.on("provider");
    let redeemed = visitor.post("/registration-codes/redemption", body);
    redeemed.await.expect(200);
}

#[tokio::test]
async fn ag_08_an_invalid_policy_delays_only_the_emails_of_its_portal() {
    let world = World::new().await;
    world.instance.settle().await.unwrap();
    let mailer = Mailer {
        portals: portals_with_invalid("member"),
        ..world.instance.mailer.clone()
    };
    world.register("member", member()).await;
    world.register("agent", agent()).await;
    at_work("deliver-mail", mailer.deliver_pending(100))
        .await
        .unwrap();
    let sent = |address: &str| world.instance.inbox.to(address).len();
    assert!(sent("dana@whitfield.example") > 0);
    assert_eq!(sent("maria@example.com"), 0);
    world.pass(SignedDuration::from_mins(2));
    world.instance.deliver_pending().await.unwrap();
    assert_eq!(sent("maria@example.com"), 1);
}
