//! Faults: every call to DynamoDB of every journey fails once in every way, SES is
//! down, events are repeated, senders and printers are interrupted. Nothing is lost or duplicated.

use std::pin::Pin;

use futures::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_deliver_mail::{StreamChange, StreamEvent, StreamKeys, StreamRecord, StreamText};
use vestibule_domain::values::ids::MessageId;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_store::outbox::{Ending, MailClaim};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector, Injected};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::people::{PASSWORD, group_principal, hint, member, provider};
use vestibule_tests::{Prepared, World, code_in, link_token, options, pin_in};

/// A request that is made, fails, and is made again.
struct Journey {
    by: Person,
    path: String,
    body: Value,
}

type Later<'w, T> = Pin<Box<dyn Future<Output = T> + 'w>>;

/// A system without records whose calls can be made to fail.
async fn watched(faults: &FaultInjector) -> World {
    World::empty(vestibule_local::Options {
        interceptors: vec![faults.interceptor()],
        ..options()
    })
    .await
}

/// Makes the journey with every fault in every call, once each, and then again without.
async fn whatever_fails(
    kind: RecordKind,
    record: &str,
    prepare: fn(&World) -> Later<'_, Journey>,
    finished: fn(&World, Response) -> Later<'_, ()>,
) {
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let world = watched(faults).await;
        world.import(kind, record).await;
        let journey = prepare(&world).await;
        (world, journey)
    });
    let run = async |journey: &Journey| journey.by.post(&journey.path, journey.body.clone()).await;
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |_, journey| run(journey).await,
            async |world, journey, injected, response| {
                let what = format!("{injected}: {} {}", response.status, response.text);
                let is_done = (200..300).contains(&response.status);
                if injected.failed() {
                    let refused = (response.status, response.problem());
                    assert_eq!(refused, (503, "unavailable"), "{what}");
                    assert!(response.headers.contains_key("retry-after"), "{what}");
                } else {
                    // Callers do not notice what the SDK or the store can retry.
                    assert!(is_done, "{what}");
                }
                invariants(world).await;
                let again = match injected.operation {
                    Some(_) => run(journey).await,
                    None => response,
                };
                assert!(
                    (200..300).contains(&again.status),
                    "again after {what}: {} {}",
                    again.status,
                    again.text
                );
                invariants(world).await;
                finished(world, again).await;
            },
        )
        .await;
}

/// Counts the emails by subject that an address has received.
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

async fn signs_in(world: &World, portal: &str, username: &str) -> Person {
    world.sign_in(portal, username).await
}

pub(crate) const GROUP: &str =
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
                    path: "/registrations".into(),
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
                        all.organizations.len(),
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
                    path: "/registrations".into(),
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
                maria.enters_pin(&pin_in(&letters[0], 6)).await.expect(200);
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
                    path: "/registrations".into(),
                    body: provider(),
                }
            })
        },
        |world, response| {
            Box::pin(async move {
                // The system generated the username, and the second response contains that of the first.
                signs_in(world, "provider", response.text_at("/username")).await;
                assert_eq!(subjects(world, "helen@lakeside.example").await.len(), 1);
                assert_eq!(world.letters().await.len(), 1);
                let all = Contents::of(world).await;
                assert_eq!(
                    (
                        all.accounts.len(),
                        all.usernames.len(),
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
async fn an_additional_organization_is_registered_whatever_fails() {
    whatever_fails(
        RecordKind::Provider,
        PROVIDERS,
        |world| {
            Box::pin(async {
                let registered = world.register("provider", provider()).await;
                let username = registered.text_at("/username");
                let mut body =
                    json!({ "registration_type": "practice", "attests_signing_authority": true });
                body["verification"] = json!({ "provider_id": "PV30002", "tax_id": "004567890" });
                body["postal_address"] = provider()["postal_address"].clone();
                Journey {
                    by: signs_in(world, "provider", username).await,
                    path: "/me/organizations".into(),
                    body,
                }
            })
        },
        |world, response| {
            Box::pin(async move {
                assert_eq!(response.text_at("/next_step"), "enter_pin");
                // The welcome, and the news; a letter for each organization.
                assert_eq!(subjects(world, "helen@lakeside.example").await.len(), 2);
                assert_eq!(world.letters().await.len(), 2);
                let all = Contents::of(world).await;
                assert_eq!(
                    (
                        all.accounts.len(),
                        all.organizations.len(),
                        all.done("register_additional_organization")
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
                    path: "/invitations/accept".into(),
                    body,
                }
            })
        },
        |world, _| {
            Box::pin(async {
                signs_in(world, "group", "sam.lind").await;
                // The invitation and the welcome; the inviter's welcome, the request for a backup, and the notice.
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
                    path: "/pin/activation".into(),
                    body: json!({ "pin": pin }),
                }
            })
        },
        |world, response| {
            Box::pin(async move {
                assert!(
                    response.body.get("entitlements").is_some(),
                    "{}",
                    response.text
                );
                let maria = signs_in(world, "member", "maria.alvarez").await;
                maria.get("/entitlements").await.expect(200);
                assert_eq!(world.letters().await.len(), 1);
                assert_eq!(Contents::of(world).await.done("activate_pin"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_pin_is_reissued_whatever_fails() {
    whatever_fails(
        RecordKind::Member,
        MEMBER,
        |world| {
            Box::pin(async {
                let by = world.member().await;
                world.letters().await;
                Journey {
                    by,
                    path: "/pin/letter".into(),
                    body: json!({}),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                // A letter requested twice may come twice; only the PIN of the last one works.
                let maria = signs_in(world, "member", "maria.alvarez").await;
                let mut opened = 0;
                for letter in world.letters().await {
                    opened +=
                        usize::from(maria.enters_pin(&pin_in(&letter, 6)).await.status == 200);
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
                let (username, code) = world.added_by(&helen, "Sam").await;
                let body = json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
                Journey { by: world.on("provider"), path: "/registration-codes/redemption".into(), body }
            })
        },
        |world, response| {
            Box::pin(async move {
                let sam = signs_in(world, "provider", response.text_at("/username")).await;
                sam.get("/entitlements").await.expect(200);
                assert_eq!(subjects(world, "sam@lakeside.example").await.len(), 1);
                assert_eq!(Contents::of(world).await.done("redeem_registration_code"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_user_signs_in_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                world.register("group", group_principal()).await;
                let body =
                    json!({ "username": "ruth.okafor", "password": PASSWORD, "token_delivery": "body" });
                Journey {
                    by: world.on("group"),
                    path: "/sessions".into(),
                    body,
                }
            })
        },
        |world, response| {
            Box::pin(async move {
                let ruth = world.on("group").with_token(response.text_at("/token"));
                ruth.get("/entitlements").await.expect(200);
                let all = Contents::of(world).await;
                assert_eq!(all.done("sign_in"), all.sessions.len());
            })
        },
    )
    .await;
}

#[tokio::test]
async fn a_person_is_invited_whatever_fails() {
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let world = watched(faults).await;
        world.import(RecordKind::Group, GROUP).await;
        let ruth = world.group_principal().await;
        (world, ruth)
    });
    let body = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "user" });
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |_, ruth| ruth.post("/invitations", &body).await,
            async |world, ruth, injected, first| {
                if first.status != 201 {
                    assert_eq!(first.status, 503, "{}", first.text);
                    let again = ruth.post("/invitations", &body).await;
                    // If only the response was lost, the invitation was sent.
                    assert!(
                        again.status == 201 || again.problem() == "already-invited",
                        "{}",
                        again.text
                    );
                }
                accepts_the_only_invitation(world, injected).await;
            },
        )
        .await;
}

/// Accepts Sam's invitation, which was sent once.
pub(super) async fn accepts_the_only_invitation(world: &World, injected: Injected) {
    let mails = world.mails_to("sam@blueheron.example").await;
    assert_eq!(mails.len(), 1, "{injected}");
    let token = link_token(&mails[0]);
    let accepted = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
    world.on("group").accepts(accepted).await.expect(201);
    invariants(world).await;
}

/// The path of an administrator's act on a user found by the beginning of a name.
async fn of_user(by: &Person, name: &str, act: &str) -> String {
    let list = by.searches_users(name).await;
    format!("/users/{}/{act}", list.text_at("/items/0/id"))
}

/// Returns the path of a help desk action on an account.
async fn of_account(owner: &Person, portal: &str, act: &str) -> String {
    let me = owner.get("/me").await;
    format!("/accounts/{portal}/{}/{act}", me.text_at("/id"))
}

/// What an act of the help desk sends.
fn because() -> Value {
    json!({ "reason": "The owner called" })
}

/// Redeems the codes that somebody of Lakeside Family Medicine was mailed, the latest last: only that
/// one works.
async fn only_the_last_code_works(world: &World, address: &str) {
    let mails = world.mails_to(address).await;
    let mut codes: Vec<_> = mails.iter().map(code_in).collect();
    assert!((2..=3).contains(&codes.len()), "{codes:?}");
    let all = Contents::of(world).await;
    let account = all.accounts.values().find(|a| text(a, "/email") == address);
    let username = text(account.unwrap(), "/username").to_owned();
    let redeem = async |code: &str| {
        let body = json!({ "username": username, "registration_code": code, "password": PASSWORD, "hint": hint() });
        let on = world.on("provider");
        let response = on.post("/registration-codes/redemption", body).await;
        response.status
    };
    let last = codes.pop().unwrap();
    for dead in codes {
        assert_eq!(redeem(&dead).await, 422);
    }
    assert_eq!(redeem(&last).await, 200);
    let all = invariants(world).await;
    let sent = all.done("reissue_registration_code");
    assert!((1..=2).contains(&sent), "{sent}");
}

#[tokio::test]
async fn a_registration_code_is_resent_whatever_fails() {
    whatever_fails(
        RecordKind::Provider,
        PROVIDER,
        |world| {
            Box::pin(async {
                let (helen, _) = world.provider().await;
                let (kim, _) = world.added_by(&helen, "Kim").await;
                Journey {
                    path: of_user(&helen, &kim, "registration-code").await,
                    by: helen,
                    body: json!({}),
                }
            })
        },
        |world, _| Box::pin(only_the_last_code_works(world, "kim@lakeside.example")),
    )
    .await;
}

#[tokio::test]
async fn a_registration_code_is_resent_by_the_help_desk_whatever_fails() {
    whatever_fails(
        RecordKind::Provider,
        PROVIDER,
        |world| {
            Box::pin(async {
                let (helen, _) = world.provider().await;
                let (kim, _) = world.added_by(&helen, "Kim").await;
                let at = of_user(&helen, &kim, "registration-code").await;
                Journey {
                    path: at.replacen("/users", "/accounts/provider", 1),
                    by: world.help_desk().await.agent,
                    body: because(),
                }
            })
        },
        |world, _| Box::pin(only_the_last_code_works(world, "kim@lakeside.example")),
    )
    .await;
}

#[tokio::test]
async fn a_pin_is_reissued_by_the_help_desk_whatever_fails() {
    whatever_fails(
        RecordKind::Member,
        MEMBER,
        |world| {
            Box::pin(async {
                let maria = world.member().await;
                world.letters().await;
                Journey {
                    path: of_account(&maria, "member", "pin").await,
                    by: world.help_desk().await.agent,
                    body: because(),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                let maria = signs_in(world, "member", "maria.alvarez").await;
                let mut pins: Vec<_> = world.letters().await.iter().map(|l| pin_in(l, 6)).collect();
                assert_eq!(pins.len(), 2, "one in between is taken back");
                let enter = async |pin: String| {
                    let entered = maria.enters_pin(&pin).await;
                    entered.status
                };
                // The latest PIN works; the first, mailed before, doesn't.
                let opened = [enter(pins.remove(0)).await, enter(pins.remove(0)).await];
                let once = opened.iter().filter(|s| **s == 200).count();
                assert!(once >= 1, "{opened:?}");
                let all = invariants(world).await;
                assert_eq!(all.done("activate_pin"), 1);
                let sent = all.done("reissue_pin");
                assert!((1..=2).contains(&sent), "{sent}");
            })
        },
    )
    .await;
}

/// The tokens of the links that an address was mailed, the latest last.
async fn links(world: &World, address: &str) -> Vec<String> {
    let mails = world.mails_to(address).await;
    let with_link = mails.iter().filter(|m| m.text.contains("#token="));
    with_link.map(link_token).collect()
}

#[tokio::test]
async fn a_reset_link_is_sent_to_a_user_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                let ruth = world.group_principal().await;
                world.staff(&ruth, "Sam", "user").await;
                Journey {
                    path: of_user(&ruth, "sam", "password-reset").await,
                    by: ruth,
                    body: json!({}),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                // The invitation's link is none of them.
                let mut tokens = links(world, "sam@blueheron.example").await.split_off(1);
                assert!((1..=2).contains(&tokens.len()), "{}", tokens.len());
                let last = tokens.pop().unwrap();
                let reset = async |token: &str| {
                    let body = json!({ "token": token, "new_password": "Fresh-Kettle-91!" });
                    let on = world.on("group");
                    let response = on.post("/password-resets/redemption", body).await;
                    response.status
                };
                for dead in tokens {
                    assert_eq!(reset(&dead).await, 403);
                }
                assert_eq!(reset(&last).await, 200);
                assert_eq!(invariants(world).await.done("reset_password"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn mf_06_a_reset_of_second_factors_is_started_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                let ruth = world.group_principal().await;
                let sam = world.staff(&ruth, "Sam", "user").await;
                sam.adds_app(world, "Phone").await;
                Journey {
                    path: of_user(&ruth, "sam", "second-factor-reset").await,
                    by: ruth,
                    body: json!({}),
                }
            })
        },
        |world, _| {
            Box::pin(async {
                let mut tokens = links(world, "sam@blueheron.example").await.split_off(1);
                assert!((1..=2).contains(&tokens.len()), "{}", tokens.len());
                let last = tokens.pop().unwrap();
                let sam = signs_in(world, "group", "sam.lind").await;
                let reset = async |token: &str| {
                    let body = json!({ "token": token });
                    let path = "/sessions/current/second-factor-reset";
                    sam.post(path, body).await.status
                };
                for dead in tokens {
                    assert_eq!(reset(&dead).await, 410);
                }
                assert_eq!(reset(&last).await, 200);
                assert_eq!(invariants(world).await.done("reset_second_factors"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn mf_06_a_reset_of_second_factors_is_completed_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                let ruth = world.group_principal().await;
                let sam = world.staff(&ruth, "Sam", "user").await;
                sam.adds_app(world, "Phone").await;
                let start = of_user(&ruth, "sam", "second-factor-reset").await;
                ruth.post(&start, json!({})).await.expect(202);
                let link = link_token(&world.last_mail_to("sam@blueheron.example").await);
                Journey {
                    by: signs_in(world, "group", "sam.lind").await,
                    path: "/sessions/current/second-factor-reset".into(),
                    body: json!({ "token": link }),
                }
            })
        },
        |world, response| {
            Box::pin(async move {
                assert_eq!(response.body.get("next_step"), None, "{}", response.text);
                let (_, session) = world.on("group").sign_in("sam.lind", PASSWORD).await;
                assert_eq!(session.body.get("next_step"), None, "{}", session.text);
                let all = Contents::of(world).await;
                assert_eq!(all.done("reset_second_factors"), 1);
            })
        },
    )
    .await;
}

#[tokio::test]
async fn an_invitation_is_resent_by_the_help_desk_whatever_fails() {
    whatever_fails(
        RecordKind::Group,
        GROUP,
        |world| {
            Box::pin(async {
                let ruth = world.group_principal().await;
                world
                    .invite(&ruth, "Sam", "sam@blueheron.example", "user")
                    .await;
                let mut body = because();
                body["email"] = "sam@blueheron.example".into();
                Journey {
                    path: of_account(&ruth, "group", "invitation").await,
                    by: world.help_desk().await.agent,
                    body,
                }
            })
        },
        |world, _| {
            Box::pin(async {
                let mut tokens = links(world, "sam@blueheron.example").await;
                assert!((2..=3).contains(&tokens.len()), "{}", tokens.len());
                let last = tokens.pop().unwrap();
                let accept = async |token: &str| {
                    let body = World::acceptance(token, "Sam", "sam@blueheron.example", "sam.lind");
                    let on = world.on("group");
                    on.accepts(body).await.status
                };
                for dead in tokens {
                    assert_eq!(accept(&dead).await, 404);
                }
                assert_eq!(accept(&last).await, 201);
                invariants(world).await;
            })
        },
    )
    .await;
}

/// Sends a file whose rows are all right, with every fault in every call, and again without: each row
/// is done once, and nobody gets two mails.
async fn a_file_whatever_fails(
    kind: RecordKind,
    record: &str,
    path: &str,
    action: &str,
    administrator: fn(&World) -> Later<'_, Person>,
) {
    let file = "email,first_name,last_name\na@company.example,Ann,Lind\nb@company.example,Bo,Lind\nc@company.example,Cy,Lind\n";
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let world = watched(faults).await;
        world.import(kind, record).await;
        let by = administrator(&world).await;
        (world, by)
    });
    let send = async |by: &Person| {
        let request = by.request(reqwest::Method::POST, path);
        let request = request.header("content-type", "text/csv").body(file);
        Response::to(request).await
    };
    let counts = |response: &Response| {
        ["created", "already_exists", "rejected", "retry"].map(|c| response.body[c].as_u64())
    };
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |_, by| send(by).await,
            async |world, by, injected, first| {
                let what = format!("{injected}: {}", first.text);
                let failed = match first.status {
                    // The session or data that every row needs could not be read, so no row was processed.
                    503 => 3,
                    200 => first.body["retry"].as_u64().unwrap(),
                    _ => panic!("{what}"),
                };
                if injected.failed() {
                    assert!(matches!(failed, 1 | 3), "{what}");
                } else {
                    assert_eq!(failed, 0, "{what}");
                }
                let all = invariants(world).await;
                let done = all.done(action) as u64;
                // If the response to a row's write was lost, the row counts as failed although it was processed.
                assert!(
                    done + failed == 3 || (injected.fault == Fault::ResponseLost && done == 3),
                    "{what}"
                );
                let again = send(by).await;
                let expected = [Some(3 - done), Some(done), Some(0), Some(0)];
                assert_eq!(
                    counts(&again),
                    expected,
                    "again after {what}: {}",
                    again.text
                );
                let all = invariants(world).await;
                assert_eq!(all.done(action), 3, "{what}");
                for name in ["a", "b", "c"] {
                    let mails = world.mails_to(&format!("{name}@company.example")).await;
                    assert_eq!(mails.len(), 1, "{what}");
                }
            },
        )
        .await;
}

#[tokio::test]
async fn ux_08_each_row_of_a_file_of_invitations_is_processed_once_whatever_fails() {
    a_file_whatever_fails(
        RecordKind::Group,
        GROUP,
        "/invitations.csv",
        "invite",
        |world| Box::pin(world.group_principal()),
    )
    .await;
}

#[tokio::test]
async fn ux_08_each_row_of_a_file_of_users_is_processed_once_whatever_fails() {
    a_file_whatever_fails(
        RecordKind::Provider,
        PROVIDER,
        "/users.csv",
        "add_user",
        |world| Box::pin(async { world.provider().await.0 }),
    )
    .await;
}

/// One registered member, whose welcome and letter still wait.
async fn with_waiting_mail(faults: &FaultInjector) -> World {
    let world = watched(faults).await;
    world.import(RecordKind::Member, MEMBER).await;
    world.register("member", member()).await;
    world
}

#[tokio::test]
async fn an_email_is_sent_once_whatever_fails() {
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || (with_waiting_mail(faults).await, ()));
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |world, ()| {
                let event = event_of(world, "mail").await;
                world.instance.mailer.handle(event).await
            },
            async |world, (), injected, _| {
                invariants(world).await;
                // A minute later, the scheduled run finds the stuck message.
                world.pass(SignedDuration::from_secs(60));
                world.instance.deliver_pending().await.unwrap();
                world.instance.settle().await.unwrap();
                let mails = world.instance.inbox.to("maria@example.com").len();
                // A mark that fails is retried. Only an interruption between the response of SES and the mark can
                // send an email twice.
                assert_eq!(mails, 1, "{injected}");
                let all = invariants(world).await;
                assert_eq!((all.pending("mail"), all.pending("letter")), (0, 0));
            },
        )
        .await;
}

/// The event that the table's stream would bring for what waits in a channel.
pub(crate) async fn event_of(world: &World, channel: &str) -> StreamEvent {
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
async fn registration_works_while_ses_is_down_and_every_email_is_sent_once_afterward() {
    let world = World::new().await;
    world.instance.inbox.set_down(true);
    let (body, verification) = (group_principal(), member());
    world.register("group", body).await;
    world.register("member", verification).await;
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
async fn occasional_failures_of_ses_lose_and_duplicate_nothing() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    world.register("member", member()).await;
    // After more failures than the SDK retries, one email is delayed and the others are sent.
    world.instance.inbox.set_fail_next(3);
    let event = event_of(&world, "mail").await;
    assert_eq!(world.instance.mailer.handle(event).await.failures, []);
    assert_eq!(world.instance.inbox.len(), 2);
    world.pass(SignedDuration::from_secs(60));
    assert_eq!(world.instance.deliver_pending().await.unwrap(), 1);
    assert_eq!(world.instance.inbox.len(), 3);
    assert_eq!(invariants(&world).await.pending("mail"), 0);
}

/// Delivers the event of the waiting emails ten times at once, and once more.
pub(crate) async fn handle_repeatedly(world: &World) {
    let mut events = Vec::new();
    for _ in 0..10 {
        events.push(event_of(world, "mail").await);
    }
    let repeated = event_of(world, "mail").await;
    join_all(events.into_iter().map(|e| world.instance.mailer.handle(e))).await;
    world.instance.mailer.handle(repeated).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_twice_or_at_once_sends_once() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    world.register("member", member()).await;
    handle_repeatedly(&world).await;
    world.instance.deliver_pending().await.unwrap();
    world.instance.settle().await.unwrap();
    assert_eq!(world.instance.inbox.to("ruth@blueheron.example").len(), 2);
    assert_eq!(world.instance.inbox.to("maria@example.com").len(), 1);
    invariants(&world).await;
}

#[tokio::test]
async fn the_claim_of_an_interrupted_sender_expires_after_a_minute() {
    let world = with_waiting_mail(&FaultInjector::default()).await;
    let store = &world.instance.app.store;
    let id = waiting(&world, "mail").await.remove(0);
    assert!(matches!(
        store.claim_mail(&id, world.now()).await.unwrap(),
        MailClaim::Taken(_)
    ));

    // The sender died. For a minute no one else takes the email …
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
async fn a_sender_that_resumes_too_late_does_not_release_the_claim_of_another() {
    let world = with_waiting_mail(&FaultInjector::default()).await;
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
async fn a_permanently_rejected_email_is_not_retried() {
    let world = with_waiting_mail(&FaultInjector::default()).await;
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
