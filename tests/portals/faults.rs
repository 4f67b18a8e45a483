//! What breaks on the way: every call to DynamoDB of every journey fails once in every way, SES is
//! down, events come twice, couriers and printers die. Nothing is lost, nothing doubled.

use std::pin::Pin;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_deliver_mail::{StreamChange, StreamEvent, StreamKeys, StreamRecord, StreamText};
use vestibule_domain::ids::MessageId;
use vestibule_domain::record::RecordKind;
use vestibule_local::client::{Answer, Client};
use vestibule_store::outbox::{Ending, MailClaim};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::meddle::{Fault, Meddler};
use vestibule_tests::people::{PASSWORD, group_principal, hint, member, provider};
use vestibule_tests::{World, options, pin_in, token_in};

/// A request that is made, fails, and is made again.
struct Journey {
    by: Client,
    path: &'static str,
    body: Value,
}

type Later<'w, T> = Pin<Box<dyn Future<Output = T> + 'w>>;

/// Makes the journey with every fault in every call, once each, and then again without.
async fn whatever_fails(
    kind: RecordKind,
    record: &str,
    prepare: fn(&World) -> Later<'_, Journey>,
    finished: fn(&World, Answer) -> Later<'_, ()>,
) {
    let runs = Fault::ALL.map(|fault| async move {
        for n in 0.. {
            let meddler = Meddler::default();
            let world = World::empty(vestibule_local::Options {
                interceptors: vec![meddler.interceptor()],
                ..options()
            })
            .await;
            world.import(kind, record).await;
            let journey = prepare(&world).await;
            let run = async || {
                journey
                    .by
                    .post(journey.path, journey.body.clone())
                    .await
                    .unwrap()
            };

            meddler.arm(n, fault);
            let answer = run().await;
            let (calls, suffered) = meddler.disarm();
            let what = format!(
                "{fault:?} of call {n}, {suffered:?}: {} {}",
                answer.status, answer.text
            );
            let done = (200..300).contains(&answer.status);
            match (fault, suffered) {
                (Fault::Unsent | Fault::AnswerLost, Some(_)) => {
                    assert_eq!(
                        (answer.status, answer.problem()),
                        (503, "unavailable"),
                        "{what}"
                    );
                    assert!(answer.headers.contains_key("retry-after"), "{what}");
                }
                // What the SDK or the store can put right by itself, nobody notices.
                (Fault::Repeated | Fault::Collides, _) | (_, None) => assert!(done, "{what}"),
            }
            invariants(&world).await;
            let again = if suffered.is_some() {
                run().await
            } else {
                answer
            };
            assert!(
                (200..300).contains(&again.status),
                "again after {what}: {} {}",
                again.status,
                again.text
            );
            invariants(&world).await;
            finished(&world, again).await;
            // When nothing was left to suffer, every call has had its turn.
            if suffered.is_none() {
                assert_eq!(n, calls);
                return;
            }
        }
    });
    join_all(runs).await;
}

/// How many mails with each subject an address has, once all has settled.
async fn subjects(world: &World, address: &str) -> Vec<String> {
    let mut subjects: Vec<_> = world
        .mails_to(address)
        .await
        .into_iter()
        .map(|m| m.subject)
        .collect();
    subjects.sort();
    subjects
}

async fn signs_in(world: &World, portal: &str, user_name: &str) -> Client {
    let (client, answer) = world.on(portal).sign_in(user_name, PASSWORD).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text);
    client
}

const GROUP: &str =
    "group_number,name,tax_id,group_codes\nGR20001,Blue Heron Manufacturing,001234567,BH01;BH02";
const MEMBER: &str = "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,city,region,postal_code,country
100200301,0,Maria,Alvarez,Alvarez,1979-04-12,418 Heronmere Lane,Springfield,IL,62704,US";
const PROVIDER: &str = "provider_id,name,tax_id,category,participating,agreements,address_line1,city,region,postal_code,country
PV30001,Lakeside Family Medicine,003456789,medical_group,yes,,77 Willowmere Drive,Evanston,IL,60201,US";

#[tokio::test]
async fn a_group_registers_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                Journey {
                    by: world.on("group"),
                    path: "/registrations",
                    body: group_principal(),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                signs_in(world, "group", "ruth.okafor").await;
                let mails = subjects(world, "ruth@blueheron.example").await;
                assert_eq!(mails.len(), 2, "{mails:?}");
                assert_ne!(mails[0], mails[1]);
                let all = Contents::of(world).await;
                assert_eq!(
                    (
                        all.accounts.len(),
                        all.organisations.len(),
                        all.done("register")
                    ),
                    (1, 1, 1)
                );
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_member_registers_whatever_fails() {
    whatever_fails(
        RecordKind::Member,
        MEMBER,
        |world| {
            Box::pin(async {
                Journey {
                    by: world.on("member"),
                    path: "/registrations",
                    body: member(),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                let maria = signs_in(world, "member", "maria.alvarez").await;
                assert_eq!(subjects(world, "maria@example.com").await.len(), 1);
                let letters = world.letters().await;
                assert_eq!(letters.len(), 1);
                let opened = maria
                    .post("/pin/activation", json!({ "pin": pin_in(&letters[0], 6) }))
                    .await
                    .unwrap();
                assert_eq!(opened.status, 200, "{}", opened.text);
                let all = invariants(world).await;
                assert_eq!(
                    (
                        all.accounts.len(),
                        all.done("register"),
                        all.done("activate_pin")
                    ),
                    (1, 1, 1)
                );
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_provider_registers_whatever_fails() {
    whatever_fails(
        RecordKind::Provider,
        PROVIDER,
        |world| {
            Box::pin(async {
                Journey {
                    by: world.on("provider"),
                    path: "/registrations",
                    body: provider(),
                }
            })
        },
        |world, answer| {
            Box::pin(async move {
                // The user name was made by the system: the second answer tells the first one's.
                signs_in(world, "provider", answer.text_at("/user_name")).await;
                assert_eq!(subjects(world, "helen@lakeside.example").await.len(), 1);
                assert_eq!(world.letters().await.len(), 1);
                let all = Contents::of(world).await;
                assert_eq!(
                    (
                        all.accounts.len(),
                        all.user_names.len(),
                        all.done("register")
                    ),
                    (1, 1, 1)
                );
            })
        },
    )
    .await;
}

/// Two providers.
const PROVIDERS: &str = "provider_id,name,tax_id,category,participating,agreements,address_line1,city,region,postal_code,country
PV30001,Lakeside Family Medicine,003456789,medical_group,yes,,77 Willowmere Drive,Evanston,IL,60201,US
PV30002,Riverbend Dental,004567890,dental,yes,,310 Ferrystone Street,Joliet,IL,60432,US";

#[tokio::test]
async fn a_further_organisation_is_registered_whatever_fails() {
    whatever_fails(
        RecordKind::Provider,
        PROVIDERS,
        |world| {
            Box::pin(async {
                let registered = world.register("provider", provider()).await;
                let user_name = registered.text_at("/user_name");
                let mut body = json!({ "way": "practice", "may_sign": true });
                body["proof"] = json!({ "provider_id": "PV30002", "tax_id": "004567890" });
                body["postal_address"] = provider()["postal_address"].clone();
                Journey {
                    by: signs_in(world, "provider", user_name).await,
                    path: "/me/organisations",
                    body,
                }
            })
        },
        |world, answer| {
            Box::pin(async move {
                assert_eq!(answer.text_at("/next_step"), "enter_pin");
                // The welcome, and the news; a letter for each organisation.
                assert_eq!(subjects(world, "helen@lakeside.example").await.len(), 2);
                assert_eq!(world.letters().await.len(), 2);
                let all = Contents::of(world).await;
                assert_eq!(
                    (
                        all.accounts.len(),
                        all.organisations.len(),
                        all.done("register_further")
                    ),
                    (1, 2, 1)
                );
            })
        },
    )
    .await;
}

#[tokio::test]
async fn an_invitation_is_accepted_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                let ruth = world.group_principal().await;
                let token = world
                    .invite(&ruth, "Sam", "sam@blueheron.example", "user")
                    .await;
                let body = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
                Journey {
                    by: world.on("group"),
                    path: "/invitations/accept",
                    body,
                }
            })
        },
        |world, _| {
            Box::pin(async {
                signs_in(world, "group", "sam.lind").await;
                // The invitation and the welcome; the inviter's welcome, the wish for a backup, and the news.
                assert_eq!(subjects(world, "sam@blueheron.example").await.len(), 2);
                assert_eq!(subjects(world, "ruth@blueheron.example").await.len(), 3);
                let all = Contents::of(world).await;
                assert_eq!((all.accounts.len(), all.done("accept_invitation")), (2, 1));
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_pin_is_entered_whatever_fails() {
    whatever_fails(
        RecordKind::Member,
        MEMBER,
        |world| {
            Box::pin(async {
                let by = world.member().await;
                let pin = pin_in(&world.last_letter().await, 6);
                Journey {
                    by,
                    path: "/pin/activation",
                    body: json!({ "pin": pin }),
                }
            })
        },
        |world, answer| {
            Box::pin(async move {
                assert!(answer.body.get("entitlements").is_some(), "{}", answer.text);
                let maria = signs_in(world, "member", "maria.alvarez").await;
                assert_eq!(maria.get("/entitlements").await.unwrap().status, 200);
                assert_eq!(world.letters().await.len(), 1);
                assert_eq!(Contents::of(world).await.done("activate_pin"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_pin_is_issued_anew_whatever_fails() {
    whatever_fails(
        RecordKind::Member,
        MEMBER,
        |world| {
            Box::pin(async {
                let by = world.member().await;
                world.letters().await;
                Journey {
                    by,
                    path: "/pin/letter",
                    body: json!({}),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                // Asked for twice, it may come twice; only the last letter's PIN opens, and one does.
                let maria = signs_in(world, "member", "maria.alvarez").await;
                let mut opened = 0;
                for letter in world.letters().await {
                    opened += usize::from(
                        maria
                            .post("/pin/activation", json!({ "pin": pin_in(&letter, 6) }))
                            .await
                            .unwrap()
                            .status
                            == 200,
                    );
                    if opened > 0 {
                        break;
                    }
                }
                assert_eq!(opened, 1);
                let all = invariants(world).await;
                assert!(
                    (1..=2).contains(&all.done("reissue_pin")),
                    "{}",
                    all.done("reissue_pin")
                );
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_registration_code_is_redeemed_whatever_fails() {
    whatever_fails(
        RecordKind::Provider,
        PROVIDER,
        |world| {
            Box::pin(async {
                let (helen, _) = world.provider().await;
                let (user_name, code) = world.added_by(&helen, "Sam").await;
                let body = json!({ "user_name": user_name, "registration_code": code, "password": PASSWORD, "hint": hint() });
                Journey { by: world.on("provider"), path: "/registration-codes/redemption", body }
            })
        },
        |world, answer| {
            Box::pin(async move {
                let sam = signs_in(world, "provider", answer.text_at("/user_name")).await;
                assert_eq!(sam.get("/entitlements").await.unwrap().status, 200);
                assert_eq!(subjects(world, "sam@lakeside.example").await.len(), 1);
                assert_eq!(Contents::of(world).await.done("redeem_registration_code"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn somebody_signs_in_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                world.register("group", group_principal()).await;
                let body =
                    json!({ "user_name": "ruth.okafor", "password": PASSWORD, "token_in": "body" });
                Journey {
                    by: world.on("group"),
                    path: "/sessions",
                    body,
                }
            })
        },
        |world, answer| {
            Box::pin(async move {
                let ruth = world.on("group").with_token(answer.text_at("/token"));
                assert_eq!(ruth.get("/entitlements").await.unwrap().status, 200);
                let all = Contents::of(world).await;
                assert_eq!(all.done("sign_in"), all.sessions.len());
            })
        },
    )
    .await;
}

#[tokio::test]
async fn somebody_is_invited_whatever_fails() {
    for fault in [
        Fault::Unsent,
        Fault::Repeated,
        Fault::Collides,
        Fault::AnswerLost,
    ] {
        for n in 0.. {
            let meddler = Meddler::default();
            let world = World::empty(vestibule_local::Options {
                interceptors: vec![meddler.interceptor()],
                ..options()
            })
            .await;
            world.import(RecordKind::Group, GROUP).await;
            let ruth = world.group_principal().await;
            let body = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "user" });
            meddler.arm(n, fault);
            let first = ruth.post("/invitations", body.clone()).await.unwrap();
            let (calls, _) = meddler.disarm();
            if first.status != 201 {
                assert_eq!(first.status, 503, "{}", first.text);
                let again = ruth.post("/invitations", body).await.unwrap();
                // Where only the answer was lost, the invitation is on its way already.
                assert!(
                    again.status == 201 || again.problem() == "already-invited",
                    "{}",
                    again.text
                );
            }
            let mails = world.mails_to("sam@blueheron.example").await;
            assert_eq!(mails.len(), 1, "{fault:?} of call {n}");
            let accepted = World::acceptance(
                &token_in(&mails[0]),
                "Sam",
                "sam@blueheron.example",
                "sam.lind",
            );
            assert_eq!(
                world
                    .on("group")
                    .post("/invitations/accept", accepted)
                    .await
                    .unwrap()
                    .status,
                201
            );
            invariants(&world).await;
            if n == calls {
                break;
            }
        }
    }
}

/// One registered member, whose welcome and letter still wait.
async fn with_waiting_mail(meddler: &Meddler) -> World {
    let world = World::empty(vestibule_local::Options {
        interceptors: vec![meddler.interceptor()],
        ..options()
    })
    .await;
    world.import(RecordKind::Member, MEMBER).await;
    world.register("member", member()).await;
    world
}

#[tokio::test]
async fn a_mail_leaves_once_whatever_fails_on_its_way() {
    for fault in Fault::ALL {
        for n in 0.. {
            let meddler = Meddler::default();
            let world = with_waiting_mail(&meddler).await;
            let event = event_of(&world, "mail").await;
            meddler.arm(n, fault);
            world.instance.courier.handle(event).await;
            let (calls, suffered) = meddler.disarm();
            invariants(&world).await;
            // A minute later, the clockwork finds what is stuck.
            world.pass(SignedDuration::from_secs(60));
            world.instance.deliver_pending().await.unwrap();
            world.instance.settle().await.unwrap();
            let mails = world.instance.inbox.to("maria@example.com").len();
            // Only what falls between SES's answer and the mark sends twice; nothing sends never.
            let unmarked = suffered.is_some() && n == 2 && fault == Fault::Unsent;
            assert_eq!(
                mails,
                if unmarked { 2 } else { 1 },
                "{fault:?} of call {n}, {suffered:?}"
            );
            let all = invariants(&world).await;
            assert_eq!((all.pending("mail"), all.pending("letter")), (0, 0));
            if n == calls {
                break;
            }
        }
    }
}

/// The event that the table's stream would bring for what waits in a channel.
async fn event_of(world: &World, channel: &str) -> StreamEvent {
    let records = waiting(world, channel)
        .await
        .into_iter()
        .enumerate()
        .map(|(i, id)| StreamRecord {
            event_name: "INSERT".into(),
            dynamodb: StreamChange {
                keys: StreamKeys {
                    pk: StreamText {
                        s: format!("X#{id}"),
                    },
                },
                sequence_number: i.to_string(),
            },
        });
    StreamEvent {
        records: records.collect(),
    }
}

/// The ids of what waits in a channel.
async fn waiting(world: &World, channel: &str) -> Vec<MessageId> {
    let all = Contents::of(world).await;
    let of_channel = all
        .messages
        .iter()
        .filter(|(_, m)| text(m, "/channel") == channel && text(m, "/state") == "pending");
    of_channel
        .map(|(pk, _)| MessageId::parse(pk.trim_start_matches("X#")).unwrap())
        .collect()
}

#[tokio::test]
async fn with_ses_down_registration_goes_on_and_every_mail_leaves_once_afterwards() {
    let world = World::new().await;
    world.instance.inbox.set_down(true);
    let (body, proof) = (group_principal(), member());
    world.register("group", body).await;
    world.register("member", proof).await;
    world.instance.settle().await.unwrap();
    world.instance.deliver_pending().await.unwrap();
    assert!(world.instance.inbox.is_empty());
    assert_eq!(
        invariants(&world).await.pending("mail"),
        3,
        "nothing is lost"
    );

    // They wait a minute for their second try.
    world.instance.inbox.set_down(false);
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
    world.pass(SignedDuration::from_secs(60));
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 3);
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
    world.instance.settle().await.unwrap();
    assert_eq!(world.instance.inbox.to("ruth@blueheron.example").len(), 2);
    assert_eq!(world.instance.inbox.to("maria@example.com").len(), 1);
    assert_eq!(invariants(&world).await.pending("mail"), 0);
}

#[tokio::test]
async fn ses_that_fails_now_and_then_loses_and_doubles_nothing() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    world.register("member", member()).await;
    // More failures than the SDK tries by itself: one mail is delayed, and the others go on.
    world.instance.inbox.set_fail_next(3);
    let event = event_of(&world, "mail").await;
    assert_eq!(world.instance.courier.handle(event).await.failures, []);
    assert_eq!(world.instance.inbox.len(), 2);
    world.pass(SignedDuration::from_secs(60));
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 1);
    assert_eq!(world.instance.inbox.len(), 3);
    assert_eq!(invariants(&world).await.pending("mail"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice_or_at_once_sends_once() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    world.register("member", member()).await;
    let mut events = Vec::new();
    for _ in 0..10 {
        events.push(event_of(&world, "mail").await);
    }
    let repeated = event_of(&world, "mail").await;
    join_all(events.into_iter().map(|e| world.instance.courier.handle(e))).await;
    world.instance.courier.handle(repeated).await;
    world.instance.deliver_pending().await.unwrap();
    world.instance.settle().await.unwrap();
    assert_eq!(world.instance.inbox.to("ruth@blueheron.example").len(), 2);
    assert_eq!(world.instance.inbox.to("maria@example.com").len(), 1);
    invariants(&world).await;
}

#[tokio::test]
async fn the_claim_of_a_dead_courier_lapses_after_a_minute() {
    let world = with_waiting_mail(&Meddler::default()).await;
    let store = &world.instance.app.store;
    let id = waiting(&world, "mail").await.remove(0);
    assert!(matches!(
        store.claim_mail(&id, world.now()).await.unwrap(),
        MailClaim::Taken(_)
    ));

    // It died. For a minute nobody else takes the mail …
    world.pass(SignedDuration::from_secs(59));
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
    assert_eq!(
        store.claim_mail(&id, world.now()).await.unwrap(),
        MailClaim::Gone
    );
    // … then the next to come does.
    world.pass(SignedDuration::from_secs(1));
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 1);
    assert_eq!(world.instance.inbox.to("maria@example.com").len(), 1);
    world.pass_days(1);
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
    assert_eq!(
        store.claim_mail(&id, world.now()).await.unwrap(),
        MailClaim::Gone
    );
}

#[tokio::test]
async fn a_courier_that_comes_back_too_late_does_not_give_away_the_claim_of_another() {
    let world = with_waiting_mail(&Meddler::default()).await;
    let store = &world.instance.app.store;
    let id = waiting(&world, "mail").await.remove(0);
    let slow = world.now();
    assert!(matches!(
        store.claim_mail(&id, slow).await.unwrap(),
        MailClaim::Taken(_)
    ));
    world.pass(SignedDuration::from_secs(61));
    assert!(matches!(
        store.claim_mail(&id, world.now()).await.unwrap(),
        MailClaim::Taken(_)
    ));
    // The first one's SES call fails only now; the second is still sending.
    store.postpone_mail(&id, slow, slow).await.unwrap();
    assert_eq!(
        store.claim_mail(&id, world.now()).await.unwrap(),
        MailClaim::Gone,
        "a third would send it twice"
    );
}

#[tokio::test]
async fn a_mail_that_was_refused_for_good_is_not_tried_again() {
    let world = with_waiting_mail(&Meddler::default()).await;
    let id = waiting(&world, "mail").await.remove(0);
    world
        .instance
        .app
        .store
        .close_message(&id, Ending::Refused, world.now())
        .await
        .unwrap();
    world.instance.settle().await.unwrap();
    world.pass_days(1);
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
    assert!(world.instance.inbox.is_empty());
    invariants(&world).await;
}
