//! What the plan's help desk can and can't do for users of the portals (UX-12).

use futures::future::{join, join_all};
use serde_json::{Value, json};
use vestibule_local::first_staff::{self, FirstStaff};
use vestibule_local::standins::ses::DeliveryOutcome;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{
    HelpDesk, PASSWORD, dental, group_principal, hint, member, provider, with,
};
use vestibule_tests::{Item, World, code_in, fault, link_token, pin_in};

const WHY: &str = "The owner called, case 4711";

fn because() -> Value {
    json!({ "reason": WHY })
}

/// Returns the id of the only account found.
async fn find(staff: &Person, portal: &str, by: &str, what: &str) -> String {
    let found = search(staff, portal, by, what).await.expect(200);
    let items = found.items();
    assert_eq!(items.len(), 1, "{}", found.text);
    items[0]["id"].as_str().unwrap().to_owned()
}

async fn search(staff: &Person, portal: &str, by: &str, what: &str) -> Response {
    let body = with(json!({ "portal": portal }), &format!("/{by}"), what);
    staff.post("/accounts/search", body).await
}

/// The help desk actions whose body contains only a reason.
const ACTS: [&str; 6] = [
    "pin",
    "registration-code",
    "password-reset",
    "unlock",
    "reinstatement",
    "removal",
];

fn text<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// The events of an action, each as portal, kind and id of the actor, object, outcome and
/// justification.
async fn trail(world: &World, action: &str) -> Vec<[String; 6]> {
    let mut entries: Vec<_> = world
        .items(&world.instance.tables.audit)
        .await
        .into_iter()
        .filter(|e| text(e, "action") == Some(action))
        .collect();
    entries.sort_by_key(|e| text(e, "occurred_at").unwrap().to_owned());
    let of = |e: &Item, name: &str| text(e, name).unwrap_or_default().to_owned();
    entries
        .iter()
        .map(|e| {
            let actor = e["actor"].as_m().unwrap();
            [
                of(e, "portal"),
                of(actor, "kind"),
                of(actor, "id"),
                of(e, "object"),
                of(e, "outcome"),
                of(e, "justification"),
            ]
        })
        .collect()
}

/// Asserts that the help desk agent performed this action on an account once, with the reason, and
/// that it is on the trail of the account's portal.
async fn is_on_the_trail(world: &World, desk: &HelpDesk, action: &str, portal: &str, id: &str) {
    let agent = desk.agent.id().await;
    let by_desk: Vec<_> = trail(world, action)
        .await
        .into_iter()
        .filter(|e| e[1] == "help_desk")
        .collect();
    let expected = [portal, "help_desk", &agent, id, "done", WHY].map(str::to_owned);
    assert_eq!(by_desk, [expected], "{action}");
}

#[tokio::test]
async fn bl_06_a_lost_pin_letter_is_reissued_by_the_help_desk() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let username = world.register("provider", provider()).await;
    let username = username.text_at("/username");
    let helen = world.sign_in("provider", username).await;
    let lost = pin_in(&world.last_letter().await, 4);

    // The user's own request for a new PIN is refused and refers to the help desk.
    helen
        .post("/pin/letter", json!({}))
        .await
        .refused(403, "ask-help-desk");
    let id = find(&desk.agent, "provider", "username", username).await;
    let path = format!("/accounts/provider/{id}/pin");
    let done = desk
        .agent
        .post(&path, because())
        .await
        .expect(200)
        .has("/memberships/0/letter/status", "mailed")
        .has("/memberships/0/letter/arrives_by", "2026-12-01");

    let letters = world.letters().await;
    let fresh = pin_in(letters.iter().find(|l| !l.contains(&lost)).unwrap(), 4);
    assert!(
        !done.text.contains(&fresh),
        "only the user can read the PIN"
    );
    let reported = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(reported.subject, "Your new PIN is on its way");
    assert!(!reported.text.contains(WHY) && !reported.text.contains(&fresh));
    let enter = async |pin: &str| helen.enters_pin(pin).await;
    if fresh != lost {
        assert_eq!(enter(&lost).await.problem(), "pin-wrong");
    }
    enter(&fresh).await.expect(200);
    is_on_the_trail(&world, &desk, "reissue_pin", "provider", &id).await;

    // Once it is entered, there is nothing to reissue.
    desk.agent
        .post(&path, because())
        .await
        .refused(409, "approval-not-pending");
    invariants(&world).await;
}

#[tokio::test]
async fn bl_09_a_lost_registration_code_is_resent_by_the_help_desk() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let (helen, _) = world.provider().await;
    let (ivy, lost) = world.added_by(&helen, "Ivy").await;
    let id = find(&desk.agent, "provider", "email", "IVY@lakeside.example").await;
    let path = format!("/accounts/provider/{id}/registration-code");
    let done = desk.agent.post(&path, because()).await.expect(200);
    let until = done.text_at("/memberships/0/registration_code_expires_on");
    assert_eq!(until, "2026-12-23");
    let fresh = code_in(&world.last_mail_to("ivy@lakeside.example").await);
    assert!(!done.text.contains(&fresh));
    let redeem = async |code: &str| {
        let body = json!({ "username": ivy, "registration_code": code, "password": PASSWORD, "hint": hint() });
        let on = world.on("provider");
        on.post("/registration-codes/redemption", body).await
    };
    if fresh != lost {
        assert_eq!(redeem(&lost).await.status, 422, "the older one is dead");
    }
    redeem(&fresh).await.expect(200);
    let action = "reissue_registration_code";
    is_on_the_trail(&world, &desk, action, "provider", &id).await;
    invariants(&world).await;
}

#[tokio::test]
async fn ux_07_a_code_from_the_help_desk_outlasts_no_access() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let (helen, _) = world.provider().await;
    let body = json!({ "first_name": "Kim", "last_name": "Lind", "email": "kim@lakeside.example", "end_date": "2026-11-24" });
    helen.post("/users", body).await.expect(201);
    let id = find(&desk.agent, "provider", "email", "kim@lakeside.example").await;
    let path = format!("/accounts/provider/{id}/registration-code");
    let done = desk.agent.post(&path, because()).await.expect(200);
    let until = done.text_at("/memberships/0/registration_code_expires_on");
    assert_eq!(until, "2026-11-24", "not the code's own thirty days");
    let mail = world.last_mail_to("kim@lakeside.example").await;
    assert!(mail.text.contains("November 24, 2026"), "{}", mail.text);

    world.wait_until("2026-11-25T06:00:00Z");
    let agent = world.sign_in("help-desk", "ada.lind").await;
    agent
        .post(&path, because())
        .await
        .refused(409, "access-expired");
    invariants(&world).await;
}

#[tokio::test]
async fn bl_13_before_activation_the_help_desk_changes_subscriptions() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let registered = world.register("provider", provider()).await;
    let username = registered.text_at("/username");
    let helen = world.sign_in("provider", username).await;
    let id = registered.text_at("/user_id");
    let path = format!("/accounts/provider/{id}/subscriptions");
    let required_action = |list: Value| json!({ "reason": WHY, "subscriptions": list });

    desk.agent
        .put(&path, required_action(json!(["gossip"])))
        .await
        .invalid("subscriptions");
    let done = desk
        .agent
        .put(&path, required_action(json!(["provider_news"])))
        .await
        .expect(200);
    assert_eq!(done.body["subscriptions"], json!(["provider_news"]));
    let mine = helen.get("/me").await;
    assert_eq!(mine.body["subscriptions"], json!(["provider_news"]));
    let reported = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        reported.subject,
        "Your e-news subscriptions on Harborlight for Providers have changed"
    );
    assert!(reported.text.contains("Provider News") && !reported.text.contains(WHY));
    is_on_the_trail(&world, &desk, "edit_subscriptions", "provider", id).await;

    // After activation, users choose them themselves.
    let pin = pin_in(&world.last_letter().await, 4);
    helen.enters_pin(&pin).await.expect(200);
    desk.agent
        .put(&path, required_action(json!([])))
        .await
        .refused(409, "already-activated");
    invariants(&world).await;
}

#[tokio::test]
async fn bl_14_the_help_desk_has_a_password_reset_by_a_link_to_the_stored_address() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let (helen, username) = world.provider().await;
    let id = helen.id().await;
    let path = format!("/accounts/provider/{id}/password-reset");
    let before = world.mails_to("helen@lakeside.example").await.len();
    let done = desk.agent.post(&path, because()).await.expect(200);
    let mails = world.mails_to("helen@lakeside.example").await;
    assert_eq!(mails.len(), before + 1);
    let reported = &mails[before];
    assert!(
        reported.text.contains("Provider Services started"),
        "{}",
        reported.text
    );
    assert!(!reported.text.contains(WHY));
    let token = link_token(reported);
    assert!(!done.text.contains(&token));

    // The link is sufficient, also for a user who has forgotten the hint answer. It works once.
    let on = world.on("provider");
    let asked = on
        .post("/password-resets/look-up", json!({ "token": token }))
        .await;
    assert_eq!(asked.body, json!({ "verification_methods": ["email"] }));
    let redeem = async || {
        let body = json!({ "token": token, "new_password": "Other-Brook-63!" });
        on.post("/password-resets/redemption", body).await
    };
    let redeemed = redeem().await.expect(200);
    // BL-15: it also shows the username.
    assert_eq!(redeemed.text_at("/username"), username);
    assert_eq!(redeem().await.problem(), "recovery-refused");
    helen.get("/me").await.expect(401);
    on.signs_in(&username, "Other-Brook-63!").await.expect(201);
    is_on_the_trail(&world, &desk, "request_password_reset", "provider", &id).await;
}

#[tokio::test]
async fn bl_14_a_link_of_the_help_desk_works_as_no_other_link_and_revives_no_deleted_account() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let path = format!("/accounts/member/{id}/password-reset");
    // On a portal with security questions, it works for users who have forgotten their answers too.
    desk.agent.post(&path, because()).await.expect(200);
    let token = link_token(&world.last_mail_to("maria@example.com").await);
    let redeem = async |token: &str| {
        let body = json!({ "token": token, "new_password": "Other-Brook-63!" });
        let on = world.on("member");
        on.post("/password-resets/redemption", body).await
    };
    let forged = format!("vr{}", token.strip_prefix("vh").unwrap());
    assert_eq!(
        redeem(&forged).await.status,
        422,
        "an own link needs the answers"
    );

    // If the account is disabled before the link is used, it is invalid, and no new one can be
    // sent.
    world
        .alter("member", &id, |a| {
            a.status = vestibule_domain::state::account::Status::Disabled
        })
        .await;
    assert_eq!(redeem(&token).await.problem(), "recovery-refused");
    desk.agent
        .post(&path, because())
        .await
        .refused(409, "account-disabled");
    // A deleted account can't be recovered.
    world.alter("member", &id, |a| a.delete()).await;
    desk.agent
        .post(&path, because())
        .await
        .refused(409, "account-deleted");
    assert_eq!(redeem(&token).await.problem(), "recovery-refused");
}

#[tokio::test]
async fn ba_06_the_help_desk_reinstates_a_disabled_account_and_no_deleted_one() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = sam.id().await;
    let status = format!("/users/{id}/status");
    ruth.put(&status, json!({ "status": "disabled" }))
        .await
        .expect(200);
    let path = format!("/accounts/group/{id}/reinstatement");
    desk.agent
        .post(&path, because())
        .await
        .expect(200)
        .has("/status", "active");
    let reported = world.last_mail_to("sam@blueheron.example").await;
    assert_eq!(
        reported.subject,
        "Your access to Harborlight for Groups has been restored"
    );
    assert!(!reported.text.contains(WHY));
    world.sign_in("group", "sam.lind").await;
    is_on_the_trail(&world, &desk, "reinstate_user", "group", &id).await;

    ruth.delete(&format!("/users/{id}")).await.expect(204);
    let refused = desk
        .agent
        .post(&path, because())
        .await
        .refused(409, "account-deleted");
    let words =
        "can't be reinstated. The person must register or be added again with a new user ID";
    refused.says(words);
    let shown = desk
        .agent
        .get(&format!("/accounts/group/{id}"))
        .await
        .expect(200)
        .has("/status", "deleted");
    assert!(shown.body.get("email").is_none(), "{}", shown.text);
    invariants(&world).await;
}

#[tokio::test]
async fn bl_03_the_help_desk_corrects_a_designated_address_and_mails_the_letter_there() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let registered = world.register("provider", provider()).await;
    let username = registered.text_at("/username").to_owned();
    let helen = world.sign_in("provider", &username).await;
    let lost = pin_in(&world.last_letter().await, 4);
    let id = helen.id().await;
    let path = format!("/accounts/provider/{id}/postal-address");
    let corrected = json!({
        "lines": ["77 Corrected Way", "Suite 4"], "city": "Evanston", "region": "IL",
        "postal_code": "60201", "country": "US",
    });
    let body = json!({ "reason": WHY, "postal_address": corrected });
    desk.reader
        .put(&path, &body)
        .await
        .refused(403, "not-allowed");
    let incomplete = with(body.clone(), "/postal_address/lines", json!([]));
    desk.agent
        .put(&path, incomplete)
        .await
        .invalid("postal_address.lines");
    let done = desk.agent.put(&path, &body).await.expect(200);
    assert!(!done.text.contains("Corrected Way"), "{}", done.text);

    // The new letter goes there, to the same addressee, and the old PIN is invalid.
    let letters = world.letters().await;
    let letter = letters.iter().find(|l| l.contains("77 Corrected Way"));
    let letter = letter.expect("a letter to the corrected address");
    assert!(letter.contains("Helen"), "{letter}");
    let fresh = pin_in(letter, 4);
    let reported = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        reported.subject,
        "Your mailing address on Harborlight for Providers has changed"
    );
    assert!(!reported.text.contains(WHY) && !reported.text.contains("Corrected Way"));
    is_on_the_trail(&world, &desk, "correct_postal_address", "provider", &id).await;
    if fresh != lost {
        helen.enters_pin(&lost).await.expect(422);
    }

    // The same address again mails no letter. A lost letter goes to the corrected address.
    let before = world.letters().await.len();
    desk.agent.put(&path, &body).await.expect(200);
    assert_eq!(world.letters().await.len(), before);
    let pin = format!("/accounts/provider/{id}/pin");
    desk.agent.post(&pin, because()).await.expect(200);
    let last = world.last_letter().await;
    assert!(last.contains("77 Corrected Way"), "{last}");
    helen.enters_pin(&pin_in(&last, 4)).await.expect(200);

    // Once the account is active, no letter is due.
    let moved = with(body.clone(), "/postal_address/city", "Skokie");
    let before = world.letters().await.len();
    desk.agent.put(&path, moved).await.expect(200);
    assert_eq!(world.letters().await.len(), before);

    // On a portal that mails to the address in the plan's records, those have to be corrected.
    let maria = world.member().await.id().await;
    desk.agent
        .put(&format!("/accounts/member/{maria}/postal-address"), &body)
        .await
        .refused(409, "unsupported-on-portal");
    invariants(&world).await;
}

#[tokio::test]
async fn me_09_only_the_help_desk_changes_a_members_username() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let path = format!("/accounts/member/{id}/username");
    let required_action = |name: &str| json!({ "reason": WHY, "username": name });
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let own = json!({ "username": "maria.ruiz" });
    let refused = maria.patch("/me", &own).await;
    assert_eq!(
        fault(&refused),
        (422, "username", "is not a field of this request")
    );

    let verification = json!({ "enrollee_id": "100200301", "subscriber_last_name": "Alvarez", "date_of_birth": "2006-09-30" });
    let diego = with(
        with(member(), "/verification", verification),
        "/username",
        "diego.alvarez",
    );
    world.register("member", diego).await;
    desk.agent
        .put(&path, required_action("maria"))
        .await
        .invalid("username");
    desk.agent
        .put(&path, required_action("Diego.Alvarez"))
        .await
        .refused(409, "already-taken");

    desk.agent
        .put(&path, required_action("Maria.Ruiz"))
        .await
        .expect(200)
        .has("/username", "Maria.Ruiz");
    let reported = world.last_mail_to("maria@example.com").await;
    assert_eq!(
        reported.subject,
        "Your username on Harborlight for Members has changed"
    );
    assert!(reported.text.contains("Maria.Ruiz") && !reported.text.contains(WHY));
    world.sign_in("member", "maria.ruiz").await;
    world
        .on("member")
        .signs_in("maria.alvarez", PASSWORD)
        .await
        .refused(401, "sign-in-failed");
    assert_eq!(
        find(&desk.reader, "member", "username", "maria.ruiz").await,
        id
    );
    is_on_the_trail(&world, &desk, "rename_user", "member", &id).await;

    // BL-16: generated usernames can't be changed.
    let (helen, _) = world.provider().await;
    let path = format!("/accounts/provider/{}/username", helen.id().await);
    desk.agent
        .put(&path, required_action("helen.brandt"))
        .await
        .refused(409, "username-immutable");
    invariants(&world).await;
}

#[tokio::test]
async fn ex_12_the_help_desk_deletes_a_manager_whom_nobody_of_the_practice_can() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    world.register("practice", dental()).await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let body = json!({
        "first_name": "Max", "last_name": "Lind", "email": "max@riverbend.example",
        "username": "max.lind", "initial_password": "First-Lantern-17", "role": "administrator",
    });
    let added = omar.post("/users", body).await;
    let id = added.text_at("/id").to_owned();
    let (max, _) = world
        .on("practice")
        .sign_in("max.lind", "First-Lantern-17")
        .await;
    let own = omar.delete(&format!("/users/{id}")).await;
    assert_eq!(own.status, 403, "the provider can't");

    let path = format!("/accounts/practice/{id}/removal");
    desk.agent
        .post(&path, because())
        .await
        .expect(200)
        .has("/status", "deleted");
    assert_eq!(max.get("/me").await.status, 401, "at once");
    let reported = world.last_mail_to("max@riverbend.example").await;
    assert_eq!(
        reported.subject,
        "Your access to Harborlight Practice Desk has ended"
    );
    assert!(reported.text.contains("Riverbend Dental") && !reported.text.contains(WHY));
    is_on_the_trail(&world, &desk, "remove_user", "practice", &id).await;
    desk.agent
        .post(&path, because())
        .await
        .refused(409, "account-deleted");

    // An organization must keep a principal.
    let path = format!("/accounts/practice/{}/removal", omar.id().await);
    desk.agent
        .post(&path, because())
        .await
        .refused(409, "last-principal");
    omar.get("/entitlements").await.expect(200);
    invariants(&world).await;
}

#[tokio::test]
async fn ag_01_the_help_desk_sends_a_lost_invitation_again() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ruth = world.group_principal().await;
    let lost = world
        .invite(&ruth, "Kim", "kim@blueheron.example", "user")
        .await;
    let path = format!("/accounts/group/{}/invitation", ruth.id().await);
    let to = |email: &str| json!({ "reason": WHY, "email": email });
    desk.agent
        .post(&path, to("lou@blueheron.example"))
        .await
        .refused(404, "not-found");
    let done = desk
        .agent
        .post(&path, to("kim@blueheron.example"))
        .await
        .expect(200);
    let fresh = link_token(&world.last_mail_to("kim@blueheron.example").await);
    let accept = async |token: &str| {
        let body = World::acceptance(token, "Kim", "kim@blueheron.example", "kim.lind");
        let on = world.on("group");
        on.accepts(body).await.status
    };
    assert_eq!((accept(&lost).await, accept(&fresh).await), (404, 201));
    desk.agent
        .post(&path, to("kim@blueheron.example"))
        .await
        .refused(409, "invitation-used");
    let id = done.text_at("/id");
    is_on_the_trail(&world, &desk, "resend_invitation", "group", id).await;
}

#[tokio::test]
async fn ux_01_the_help_desk_sees_the_pending_invitations_of_an_organization() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ruth = world.group_principal().await;
    let id = ruth.id().await;
    let path = format!("/accounts/group/{id}/invitations");
    let list = async || {
        let response = desk.reader.get(&path).await.expect(200);
        let items = response.items().clone();
        (items, response)
    };
    assert_eq!(list().await.0, [] as [Value; 0]);
    world.staff(&ruth, "Sam", "user").await;
    world
        .invite(&ruth, "Old", "old@blueheron.example", "user")
        .await;
    world.pass_days(30);
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let staff = world.sign_in("help-desk", "rob.lind").await;
    world
        .invite(&ruth, "Tess", "tess@blueheron.example", "administrator")
        .await;
    let revoked = world
        .invite(&ruth, "Una", "una@blueheron.example", "user")
        .await;
    assert!(!revoked.is_empty());
    let invitations = ruth.get("/invitations").await;
    let all = invitations.items();
    let una = all.iter().find(|i| i["first_name"] == "Una").unwrap();
    let path = format!("/invitations/{}", una["id"].as_str().unwrap());
    ruth.delete(&path).await.expect(204);

    // Neither accepted nor revoked invitations are listed, and addresses are masked.
    let desk = HelpDesk {
        reader: staff,
        ..desk
    };
    let path = format!("/accounts/group/{id}/invitations");
    let response = desk.reader.get(&path).await.expect(200);
    let items = response.items();
    let mut waiting: Vec<_> = items
        .iter()
        .map(|i| ["first_name", "email", "role", "status"].map(|n| i[n].as_str().unwrap()))
        .collect();
    waiting.sort_unstable();
    assert_eq!(
        waiting,
        [
            ["Old", "o…@blueheron.example", "user", "expired"],
            ["Tess", "t…@blueheron.example", "administrator", "pending"],
        ]
    );
    assert!(!response.text.contains("tess@"), "{}", response.text);
    // The access is on the organization's trail.
    let seen = trail(&world, "list_invitations").await;
    let by_desk: Vec<_> = seen.iter().filter(|e| e[1] == "help_desk").collect();
    assert_eq!(by_desk.len(), 2, "{seen:?}");
    assert!(by_desk.iter().all(|e| e[0] == "group" && e[3] == id));

    // Members can't invite. For a user of several organizations, one must be named.
    let maria = world.member().await.id().await;
    let path = format!("/accounts/member/{maria}/invitations");
    desk.reader.get(&path).await.invalid("organization_id");
    let path = format!(
        "/accounts/group/{id}/invitations?organization_id={}",
        "0".repeat(26)
    );
    desk.reader.get(&path).await.invalid("organization_id");
    let refused = desk.supervisor.get(&path).await;
    assert!(matches!(refused.status, 401 | 403), "{}", refused.text);
}

#[tokio::test]
async fn ux_12_the_help_desk_sees_that_mails_do_not_reach_an_address() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let path = format!("/accounts/member/{}", maria.id().await);
    let shown = desk.reader.get(&path).await;
    assert_eq!(shown.body.get("email_undeliverable"), None);
    let inbox = &world.instance.inbox;
    inbox.set_outcome("maria@example.com", Some(DeliveryOutcome::Bounces));
    world.instance.settle().await.unwrap();
    let shown = desk
        .reader
        .get(&path)
        .await
        .has("/email_undeliverable/kind", "bounced");
    assert_eq!(
        shown.text_at("/email_undeliverable/detected_at"),
        world.now().to_string()
    );
    assert_eq!(
        shown.text_at("/email"),
        "m…@example.com",
        "masked as before"
    );
}

#[tokio::test]
async fn ux_12_a_locked_out_user_can_try_again_after_the_help_desk_unlocks_them() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let guess = async |password: &str| {
        let from = world.on("member").from_source("198.51.100.7");
        from.sign_in("maria.alvarez", password).await.1.status
    };
    let guesses = (0..20).map(|_| guess("Wrong-River-58!"));
    let refused = join_all(guesses).await;
    assert!(refused.contains(&429), "{refused:?}");
    assert_eq!(guess(PASSWORD).await, 429);
    let at = format!("/accounts/member/{id}");
    let locked = async |staff: &Person| staff.get(&at).await.body["is_locked"].clone();
    assert_eq!(locked(&desk.reader).await, true);

    let done = desk.agent.post(&format!("{at}/unlock"), because()).await;
    assert_eq!((done.status, &done.body["is_locked"]), (200, &json!(false)));
    assert_eq!(locked(&desk.reader).await, false);
    assert_eq!(guess(PASSWORD).await, 201);
    let reported = world.last_mail_to("maria@example.com").await;
    assert_eq!(
        reported.subject,
        "Your account on Harborlight for Members was unlocked"
    );
    is_on_the_trail(&world, &desk, "unlock_user", "member", &id).await;
}

#[tokio::test]
async fn ux_12_a_reader_views_and_does_nothing_else_and_every_view_is_recorded() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    for (by, what) in [
        ("username", "MARIA.alvarez"),
        ("email", "Maria@Example.com"),
        ("number", "100200301"),
    ] {
        assert_eq!(find(&desk.reader, "member", by, what).await, id, "{by}");
    }
    let shown = desk
        .reader
        .get(&format!("/accounts/member/{id}"))
        .await
        .expect(200)
        .has("/email", "m…@example.com")
        .has("/memberships/0/letter/status", "mailed");
    let pin = pin_in(&world.last_letter().await, 6);
    for secret in ["maria@", "Maple", "Biscuit", "Heronmere", "1979", &pin] {
        assert!(!shown.text.contains(secret), "{secret}: {}", shown.text);
    }
    let nobody = search(&desk.reader, "member", "username", "nobody.here").await;
    assert_eq!(nobody.body, json!({ "items": [] }));
    let reader = desk.reader.id().await;
    let look = |object: &str, outcome: &str| {
        ["member", "help_desk", &reader, object, outcome, ""].map(str::to_owned)
    };
    let mut looks = trail(&world, "view_account").await;
    looks.sort();
    let mut expected = vec![look("", "refused")];
    expected.extend((0..4).map(|_| look(&id, "done")));
    assert_eq!(looks, expected);

    let before = world.items(&world.instance.tables.main).await.len();
    let at = format!("/accounts/member/{id}");
    for act in ACTS {
        let refused = desk.reader.post(&format!("{at}/{act}"), because()).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (403, "not-allowed"),
            "{act}"
        );
    }
    for (act, body) in [
        (
            "username",
            json!({ "reason": WHY, "username": "maria.ruiz" }),
        ),
        (
            "subscriptions",
            json!({ "reason": WHY, "subscriptions": [] }),
        ),
    ] {
        let refused = desk.reader.put(&format!("{at}/{act}"), body).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (403, "not-allowed"),
            "{act}"
        );
    }
    world.instance.settle().await.unwrap();
    assert_eq!(world.items(&world.instance.tables.main).await.len(), before);
    maria.get("/me").await.expect(200);
}

#[tokio::test]
async fn ux_12_every_action_requires_a_reason() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let id = world.member().await.id().await;
    let entries = world.items(&world.instance.tables.audit).await.len();
    for act in ACTS {
        let path = format!("/accounts/member/{id}/{act}");
        for (body, detail) in [
            (json!({}), "is required"),
            (json!({ "reason": "" }), "must not be empty"),
            (
                json!({ "reason": " asap " }),
                "must be at least 5 characters long",
            ),
            (
                json!({ "reason": "x".repeat(301) }),
                "must be at most 300 characters long",
            ),
            (
                json!({ "reason": "two\nlines" }),
                "must not contain control or invisible characters",
            ),
        ] {
            let refused = desk.agent.post(&path, body).await;
            assert_eq!(fault(&refused), (422, "reason", detail), "{act}");
        }
    }
    assert_eq!(
        world.items(&world.instance.tables.audit).await.len(),
        entries
    );
}

#[tokio::test]
async fn ux_12_nobody_of_the_help_desk_raises_their_own_rights() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ids = [
        desk.supervisor.id().await,
        desk.agent.id().await,
        desk.reader.id().await,
    ];
    let invitation = json!({ "first_name": "Eve", "last_name": "Lind", "email": "eve@harborlight.example", "role": "help_desk_agent" });
    for staff in [&desk.agent, &desk.reader] {
        // The agent tiers manage nobody, including themselves.
        for id in &ids {
            for role in ["principal", "help_desk_agent", "help_desk_reader"] {
                let body = json!({ "role": role, "services": [] });
                staff
                    .put(&format!("/users/{id}/access"), body)
                    .await
                    .refused(403, "not-allowed");
            }
        }
        for path in ["/invitations", "/users"] {
            let refused = staff.post(path, &invitation).await;
            assert!(
                refused.status == 403 || refused.status == 422,
                "{path}: {}",
                refused.text
            );
        }
        // Nor can they act on their colleagues' accounts.
        for id in &ids {
            let path = format!("/accounts/help-desk/{id}");
            staff.get(&path).await.expect(404);
        }
        search(staff, "help-desk", "username", "olive.grant")
            .await
            .invalid("portal");
    }
    // The supervisor manages agents, can't act on accounts, and can't change their own role.
    let own = format!("/users/{}/access", ids[0]);
    for role in ["help_desk_agent", "help_desk_reader", "principal"] {
        let refused = desk
            .supervisor
            .put(&own, json!({ "role": role, "services": [] }))
            .await;
        assert_eq!(
            (refused.status, refused.problem()),
            (409, "self-action-forbidden"),
            "{role}"
        );
    }
    let maria = world.member().await.id().await;
    desk.supervisor
        .get(&format!("/accounts/member/{maria}"))
        .await
        .refused(403, "not-allowed");
    search(&desk.supervisor, "member", "username", "maria.alvarez")
        .await
        .refused(403, "not-allowed");
    let act = format!("/accounts/member/{maria}/unlock");
    desk.supervisor
        .post(&act, because())
        .await
        .refused(403, "not-allowed");

    // A granted role applies from the next request on.
    let path = format!("/accounts/member/{maria}/unlock");
    let raised = json!({ "role": "help_desk_agent", "services": [] });
    let access = format!("/users/{}/access", ids[2]);
    desk.reader.post(&path, because()).await.expect(403);
    desk.supervisor.put(&access, raised).await.expect(200);
    desk.reader
        .post(&path, because())
        .await
        .refused(403, "next-step-required");
    world.approve_staff(&ids[2]).await;
    desk.reader.post(&path, because()).await.expect(200);
    let gone = format!("/users/{}", ids[1]);
    desk.supervisor.delete(&gone).await.expect(204);
    desk.agent.post(&path, because()).await.expect(401);
    invariants(&world).await;
}

#[tokio::test]
async fn ux_12_a_supervisor_gives_nobody_a_higher_role_alone_not_even_a_second_account() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let olive = &desk.supervisor;
    for role in ["help_desk_reader", "help_desk_agent", "principal"] {
        let first = format!("Olive{}", role.len());
        let email = format!("olive+{role}@harborlight.example");
        let token = world.invite(olive, &first, &email, role).await;
        let username = format!("{}.lind", first.to_lowercase());
        let body = World::acceptance(&token, &first, &email, &username);
        let accepted = world.on("help-desk").accepts(body).await.expect(201);
        let path = format!("/users/{}/approval", accepted.text_at("/user_id"));
        let nothing = json!({ "services": [] });
        let own = world.sign_in("help-desk", &username).await;
        // The second account can do nothing, and its owner can't approve it.
        own.get("/users").await.refused(403, "next-step-required");
        search(&own, "member", "username", "maria.alvarez")
            .await
            .refused(403, "next-step-required");
        own.post(&path, &nothing).await.expect(403);
        olive
            .post(&path, &nothing)
            .await
            .refused(403, "another-must-approve");
        own.get("/users").await.refused(403, "next-step-required");
        // Another supervisor does, and all supervisors read of it.
        world.approve_staff(accepted.text_at("/user_id")).await;
        for address in ["olive@harborlight.example", "oscar@harborlight.example"] {
            let notice = world.last_mail_to(address).await;
            assert_eq!(
                notice.subject,
                "A new user of Harborlight Help Desk was approved"
            );
            assert!(notice.text.contains("Oscar Green approved"));
            assert!(notice.text.contains(&username), "{}", notice.text);
        }
    }

    // That another supervisor resends the invitation approves nothing.
    let email = "olive+resent@harborlight.example";
    let invitation = json!({
        "first_name": "Otis", "last_name": "Lind", "email": email, "role": "help_desk_agent",
    });
    let invited = olive.post("/invitations", invitation).await.expect(201);
    let resend = format!("/invitations/{}/resend", invited.text_at("/id"));
    desk.second_supervisor
        .post(&resend, json!({}))
        .await
        .expect(200);
    let token = link_token(&world.last_mail_to(email).await);
    let body = World::acceptance(&token, "Otis", email, "otis.lind");
    let accepted = world.on("help-desk").accepts(body).await.expect(201);
    let path = format!("/users/{}/approval", accepted.text_at("/user_id"));
    olive
        .post(&path, json!({ "services": [] }))
        .await
        .refused(403, "another-must-approve");
    world.approve_staff(accepted.text_at("/user_id")).await;

    // A higher role for a second account that exists is approved as well, a lower one applies at once.
    let id = desk.reader.id().await;
    let access = format!("/users/{id}/access");
    let role = |role: &str| json!({ "role": role, "services": [] });
    olive
        .put(&access, role("help_desk_agent"))
        .await
        .expect(200)
        .has("/registration", "awaiting_approval");
    let approval = format!("/users/{id}/approval");
    olive
        .post(&approval, json!({ "services": [] }))
        .await
        .refused(403, "another-must-approve");
    desk.reader
        .get("/users")
        .await
        .refused(403, "next-step-required");
    let notice = world.last_mail_to("oscar@harborlight.example").await;
    assert_eq!(
        notice.subject,
        "A new role in Harborlight Help Desk needs approval"
    );
    world.approve_staff(&id).await;
    olive
        .put(&access, role("help_desk_reader"))
        .await
        .expect(200)
        .has("/registration", "registered");
    invariants(&world).await;
}

#[tokio::test]
async fn ux_12_staff_have_no_access_on_other_portals_and_others_have_none_here() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ruth = world.group_principal().await;
    let id = ruth.id().await;
    // A help desk session is invalid on other portals, and the reverse.
    let staff = world.on("help-desk").signs_in("ada.lind", PASSWORD).await;
    let elsewhere = world.on("group").with_token(staff.text_at("/token"));
    for path in ["/me", "/users", "/entitlements"] {
        assert_eq!(elsewhere.get(path).await.status, 401, "{path}");
    }
    let theirs = world.on("group").signs_in("ruth.okafor", PASSWORD).await;
    let here = world.on("help-desk").with_token(theirs.text_at("/token"));
    here.get(&format!("/accounts/group/{id}")).await.expect(401);
    // On their own portal, even the highest role can't use these routes.
    ruth.get(&format!("/accounts/group/{id}"))
        .await
        .refused(403, "not-allowed");
    search(&ruth, "group", "username", "ruth.okafor")
        .await
        .refused(403, "not-allowed");
    // An id of another portal is unknown on this one.
    let wrong = desk.agent.get(&format!("/accounts/member/{id}")).await;
    let never = desk
        .agent
        .get(&format!("/accounts/member/{}", "0".repeat(26)))
        .await;
    assert_eq!((wrong.status, &wrong.text), (404, &never.text));
    // Registration is not possible.
    let body = with(group_principal(), "/registration_type", "group");
    world.on("help-desk").registers(body).await.expect(422);
}

#[tokio::test]
async fn ux_12_the_first_staff_account_is_made_once_with_a_password_for_one_sign_in() {
    let world = World::new().await;
    let first = |email: &str, name: &str| FirstStaff {
        portal: None,
        name: name.into(),
        email: email.into(),
        username: None,
    };
    let app = &world.instance.app;
    let two = join(
        first_staff::make(app, first("olive@harborlight.example", "Olive Grant")),
        first_staff::make(app, first("oscar@harborlight.example", "Oscar Green")),
    )
    .await;
    let (made, refused) = match two {
        (Ok(made), Err(refused)) | (Err(refused), Ok(made)) => (made, refused),
        other => panic!("one of two is made: {other:?}"),
    };
    assert!(
        refused.to_string().contains("already has a supervisor"),
        "{refused}"
    );
    let name = &made.username;
    let (staff, response) = world
        .on("help-desk")
        .sign_in(name, made.password.expose())
        .await;
    response.has("/next_step", "change_password");
    assert_eq!(staff.get("/users").await.problem(), "next-step-required");
    let all = world.dump().await.join("\n");
    assert!(!all.contains(made.password.expose()), "it is kept nowhere");
    let entries = trail(&world, "add_user").await;
    let [portal, kind, ..] = &entries[0];
    assert_eq!(
        (entries.len(), portal.as_str(), kind.as_str()),
        (1, "help-desk", "system")
    );
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_pin_reissues_leave_one_valid_letter() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let bea = world
        .desk_staff(&desk.supervisor, "Bea", "help_desk_agent")
        .await;
    let maria = world.member().await;
    let id = maria.id().await;
    let path = format!("/accounts/member/{id}/pin");
    let (one, two) = join(
        desk.agent.post(&path, because()),
        bea.post(&path, because()),
    )
    .await;
    assert_eq!((one.status, two.status), (200, 200));
    let letters = world.letters().await;
    assert_eq!(letters.len(), 1, "those before the last are withdrawn");
    let pin = pin_in(&letters[0], 6);
    maria.enters_pin(&pin).await.expect(200);
    assert_eq!(trail(&world, "reissue_pin").await.len(), 2);
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_during_a_rename_is_consistent() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let path = format!("/accounts/member/{id}/username");
    for round in 0..5 {
        let name = format!("maria.number{round}");
        let before = maria.get("/me").await.text_at("/username").to_owned();
        let on = world
            .on("member")
            .from_source(&format!("198.51.100.{round}"));
        let (renamed, signed_in) = join(
            desk.agent
                .put(&path, json!({ "reason": WHY, "username": name })),
            on.sign_in(&before, PASSWORD),
        )
        .await;
        assert_eq!(renamed.status, 200, "{}", renamed.text);
        let (session, response) = signed_in;
        assert!([201, 401].contains(&response.status), "{}", response.text);
        if response.status == 201 {
            assert_eq!(session.get("/me").await.text_at("/username"), name);
        }
        world.sign_in("member", &name).await;
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_concurrent_renames_to_one_username_one_succeeds() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await.id().await;
    let verification = json!({ "enrollee_id": "100200301", "subscriber_last_name": "Alvarez", "date_of_birth": "2006-09-30" });
    let diego = with(
        with(member(), "/verification", verification),
        "/username",
        "diego.alvarez",
    );
    let diego = world.register("member", diego).await;
    let required_action = json!({ "reason": WHY, "username": "the.alvarez" });
    let paths = [maria.as_str(), diego.text_at("/user_id")]
        .map(|id| format!("/accounts/member/{id}/username"));
    let (one, two) = join(
        desk.agent.put(&paths[0], required_action.clone()),
        desk.agent.put(&paths[1], required_action),
    )
    .await;
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text, two.text);
    invariants(&world).await;
}

/// The billing agency, whose PIN letter is waiting for its agreement: its client and id.
async fn billing_agency(world: &World) -> (Person, String) {
    let verification = json!({ "provider_id": "PV30005", "tax_id": "007890123" });
    let body = with(
        with(provider(), "/registration_type", "billing_agency"),
        "/verification",
        verification,
    );
    let registered = world.register("provider", body).await;
    let client = world
        .sign_in("provider", registered.text_at("/username"))
        .await;
    (client, registered.text_at("/user_id").to_owned())
}

#[tokio::test]
async fn bl_10_the_help_desk_records_the_signed_agreement_and_the_letter_is_mailed() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let (billing, id) = billing_agency(&world).await;
    assert_eq!(world.letters().await, Vec::<String>::new());
    let path = format!("/accounts/provider/{id}/agreements");
    let signed = |agreement: &str, revision: &str| json!({ "reason": WHY, "agreement": agreement, "revision": revision });
    let record = async |agreement: &str, revision: &str| {
        desk.agent.post(&path, signed(agreement, revision)).await
    };
    record("producer_agreement", "2026-01")
        .await
        .invalid("agreement");
    record("signatory_agreement", "2025-01")
        .await
        .invalid("revision");
    record("signatory_agreement", "2026-01")
        .await
        .expect(200)
        .has("/memberships/0/letter/status", "mailed");
    let reported = world.last_mail_to("helen@lakeside.example").await;
    assert_eq!(
        reported.subject,
        "Your signed agreement for Harborlight for Providers is on file"
    );
    assert!(reported.text.contains("Signatory Agreement") && !reported.text.contains(WHY));
    is_on_the_trail(&world, &desk, "record_agreement", "provider", &id).await;
    record("signatory_agreement", "2026-01")
        .await
        .refused(409, "approval-not-pending");

    let pin = pin_in(&world.last_letter().await, 4);
    billing.enters_pin(&pin).await.expect(200);
    // The nightly feed, which doesn't contain it yet, removes nothing.
    let feed = vestibule_local::sample_records::committed(
        vestibule_domain::values::record_kind::RecordKind::Provider,
    );
    let row = feed.lines().find(|l| l.starts_with("PV30005,")).unwrap();
    let feed = format!("{}\n{row}\n", feed.lines().next().unwrap());
    world
        .import(
            vestibule_domain::values::record_kind::RecordKind::Provider,
            &feed,
        )
        .await;
    billing.get("/entitlements").await.expect(200);
    invariants(&world).await;
}

#[tokio::test]
async fn a_registration_matched_by_mistake_is_reversed_and_the_record_released() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let path = format!("/accounts/member/{id}/record-detachment");
    desk.agent
        .post(&path, because())
        .await
        .expect(200)
        .has("/status", "deleted");
    maria.get("/me").await.expect(401);
    let reported = world.last_mail_to("maria@example.com").await;
    assert_eq!(
        reported.subject,
        "Your registration on Harborlight for Members was canceled"
    );
    assert!(reported.text.contains("(312) 555-01") && !reported.text.contains(WHY));
    assert_eq!(
        world.letters().await,
        Vec::<String>::new(),
        "the letter is withdrawn"
    );
    is_on_the_trail(&world, &desk, "detach_record", "member", &id).await;
    let again = world.register("member", member()).await;
    assert_ne!(again.text_at("/user_id"), id);

    // An organization ends only together with its only user.
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let detach = format!("/accounts/group/{}/record-detachment", ruth.id().await);
    desk.agent
        .post(&detach, because())
        .await
        .refused(409, "organization-not-empty");
    let none = format!("/accounts/group/{}/record-detachment", sam.id().await);
    desk.agent
        .post(&none, because())
        .await
        .refused(409, "no-record");
    let removal = format!("/accounts/group/{}/removal", sam.id().await);
    desk.agent.post(&removal, because()).await.expect(200);
    desk.agent.post(&detach, because()).await.expect(200);
    world.register("group", group_principal()).await;
    world.sign_in("group", "ruth.okafor").await;
    invariants(&world).await;
}

#[tokio::test]
async fn ex_12_a_registration_type_is_available_again_once_its_manager_is_deleted() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let manager = json!({
        "registration_type": "office_manager", "verification": { "provider_id": "PV30001", "tax_id": "003456789" },
        "first_name": "Pat", "last_name": "Novak", "email": "pat@lakeside.example",
        "username": "pat.novak", "password": PASSWORD,
    });
    let id = world.register("practice", manager.clone()).await;
    let path = format!("/accounts/practice/{}/removal", id.text_at("/user_id"));
    desk.agent.post(&path, because()).await.expect(200);
    let next = with(
        with(manager, "/email", "lee@lakeside.example"),
        "/username",
        "lee.novak",
    );
    world.register("practice", next).await;
    invariants(&world).await;
}

#[tokio::test]
async fn ux_12_a_reason_says_something() {
    let world = World::new().await;
    world.member().await;
    let desk = world.help_desk().await;
    let id = find(&desk.agent, "member", "username", "maria.alvarez").await;
    let path = format!("/accounts/member/{id}/unlock");
    for reason in [".....", "-----", "aaaaa", "x . . .", "1111111"] {
        let body = json!({ "reason": reason });
        desk.agent.post(&path, body).await.invalid("reason");
    }
    desk.agent.post(&path, because()).await.expect(200);
}

#[tokio::test]
async fn se_10_a_refused_help_desk_action_leaves_a_trace() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let id = maria.id().await;
    let at = format!("/accounts/member/{id}");

    // A reader may not act, and a supervisor may not even look.
    let unlock = desk.reader.post(&format!("{at}/unlock"), because()).await;
    unlock.refused(403, "not-allowed");
    desk.supervisor.get(&at).await.refused(403, "not-allowed");
    let search = json!({ "portal": "member", "email": "maria@example.com" });
    let searched = desk.supervisor.post("/accounts/search", search).await;
    searched.refused(403, "not-allowed");
    assert_eq!(world.refusals("act_on_account").await, ["not_allowed"]);
    assert_eq!(world.refusals("view_account").await, ["not_allowed"; 2]);
}
