//! Recovery ends every other way in (SE-01): what someone who knew the password started before it opens nothing
//! after it.

use futures::future::join;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_tests::client::Person;
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{HelpDesk, PASSWORD, security_answers, with};
use vestibule_tests::{World, link_token};

const SAM: &str = "sam@blueheron.example";
const INTRUDER: &str = "intruder@elsewhere.example";
const NEW_PASSWORD: &str = "Amber-Kettle-73!";

/// Sam of Blue Heron Manufacturing, whose password someone else knows and has used.
struct Intrusion {
    world: World,
    ruth: Person,
    desk: HelpDesk,
    sam: Person,
    sam_id: String,
    /// The intruder's session.
    intruder: Person,
    /// The link that was sent to the intruder's address.
    confirmation: String,
    /// The link that was sent to Sam with the notice.
    cancellation: String,
    /// A password reset link that was requested before the recovery.
    reset: String,
}

impl Intrusion {
    async fn new() -> Self {
        let world = World::new().await;
        let desk = world.help_desk().await;
        let ruth = world.group_principal().await;
        let sam = world.staff(&ruth, "Sam", "user").await;
        let intruder = world.sign_in("group", "sam.lind").await;
        asks_for(&intruder, INTRUDER).await;
        let confirmation = link_token(&world.last_mail_to(INTRUDER).await);
        let cancellation = link_token(&world.last_mail_to(SAM).await);
        let reset = forgotten(&world).await;
        Self {
            sam_id: sam.id().await,
            ruth,
            desk,
            sam,
            intruder,
            confirmation,
            cancellation,
            reset,
            world,
        }
    }

    /// The path of a help desk action on Sam's account.
    fn at_the_desk(&self, action: &str) -> String {
        format!("/accounts/group/{}/{action}", self.sam_id)
    }

    /// Asserts that nothing of what was started before opens the account.
    async fn is_over(&self, recovery: &str) {
        let anyone = self.world.on("group");
        let me = self.intruder.get("/me").await;
        assert_eq!(me.status, 401, "{recovery}: the session is open");
        let unusable = [
            ("/email-confirmations", &self.confirmation),
            ("/email-change-cancellations", &self.cancellation),
        ];
        for (path, token) in unusable {
            let response = anyone.post(path, json!({ "token": token })).await;
            let found = (response.status, response.problem());
            assert_eq!(found, (410, "email-link-unusable"), "{recovery}: {path}");
        }
        let found = self
            .ruth
            .get(&format!("/users/{}", self.sam_id))
            .await
            .expect(200);
        assert_eq!(found.text_at("/email"), SAM, "{recovery}");
        let seen = self
            .desk
            .agent
            .get(&format!("/accounts/group/{}", self.sam_id))
            .await
            .expect(200);
        assert_eq!(
            seen.body["has_pending_email_change"],
            json!(false),
            "{recovery}"
        );
        let response = redeems(&self.world, &self.reset, "Slate-Garden-19!").await;
        let found = (response.status, response.problem());
        assert_eq!(
            found,
            (403, "recovery-refused"),
            "{recovery}: the earlier link"
        );
    }

    /// Asserts that the change to the intruder's address is still pending.
    async fn has_pending_change(&self) {
        let me = self.sam.get("/me").await.expect(200);
        me.has("/unconfirmed_email", INTRUDER);
    }
}

fn because() -> Value {
    json!({ "reason": "Sam called: someone else uses the account" })
}

async fn asks_for(person: &Person, email: &str) {
    let body = json!({ "email": email, "password": PASSWORD });
    person.put("/me/email", body).await.expect(202);
}

/// Requests a password reset as anyone can, and returns the token in Sam's link.
async fn forgotten(world: &World) -> String {
    let body = json!({ "username": "sam.lind" });
    world
        .on("group")
        .post("/password-resets", body)
        .await
        .expect(202);
    world.instance.settle().await.unwrap();
    link_token(&world.last_mail_to(SAM).await)
}

async fn redeems(world: &World, token: &str, password: &str) -> vestibule_tests::client::Response {
    let body = json!({ "token": token, "new_password": password });
    let anyone = world.on("group");
    anyone.post("/password-resets/redemption", body).await
}

#[tokio::test]
async fn se_01_a_changed_password_ends_every_other_way_in() {
    let at = Intrusion::new().await;
    at.sam
        .changes_password(PASSWORD, NEW_PASSWORD)
        .await
        .expect(200);
    at.is_over("a changed password").await;
    at.sam.get("/me").await.expect(200);
    invariants(&at.world).await;
}

#[tokio::test]
async fn se_01_a_password_reset_ends_every_other_way_in() {
    let at = Intrusion::new().await;
    redeems(&at.world, &at.reset, NEW_PASSWORD)
        .await
        .expect(200);
    at.is_over("a reset").await;
    invariants(&at.world).await;
}

#[tokio::test]
async fn se_01_a_reset_that_an_administrator_starts_ends_every_other_way_in_at_once() {
    let at = Intrusion::new().await;
    let path = format!("/users/{}/password-reset", at.sam_id);
    at.ruth.send(Method::POST, &path, None).await.expect(202);
    let link = link_token(&at.world.last_mail_to(SAM).await);
    at.is_over("a reset that an administrator started").await;
    redeems(&at.world, &link, NEW_PASSWORD).await.expect(200);
    invariants(&at.world).await;
}

#[tokio::test]
async fn se_01_a_reset_that_the_help_desk_starts_ends_every_other_way_in_at_once() {
    let at = Intrusion::new().await;
    let path = at.at_the_desk("password-reset");
    at.desk.agent.post(&path, because()).await.expect(200);
    let link = link_token(&at.world.last_mail_to(SAM).await);
    at.is_over("a reset that the help desk started").await;
    redeems(&at.world, &link, NEW_PASSWORD).await.expect(200);
    invariants(&at.world).await;
}

#[tokio::test]
async fn se_01_a_disabled_account_comes_back_without_what_was_started_before() {
    let at = Intrusion::new().await;
    let path = format!("/users/{}/status", at.sam_id);
    for status in ["disabled", "active"] {
        let body = json!({ "status": status });
        at.ruth.put(&path, body).await.expect(200);
    }
    at.is_over("disabled and reinstated").await;
    invariants(&at.world).await;
}

/// Anyone can type a username. If that ended sessions, strangers could sign users out.
#[tokio::test]
async fn se_01_a_reset_that_anyone_requests_ends_nothing() {
    let at = Intrusion::new().await;
    at.has_pending_change().await;
    forgotten(&at.world).await;
    at.has_pending_change().await;
}

#[tokio::test]
async fn se_01_the_owner_cancels_a_change_of_email_address_while_signed_in() {
    let at = Intrusion::new().await;
    at.has_pending_change().await;
    at.sam.delete("/me/email").await.expect(204);
    let me = at.sam.get("/me").await.expect(200);
    me.has("/unconfirmed_email", "").has("/email", SAM);
    at.world
        .on("group")
        .post("/email-confirmations", json!({ "token": at.confirmation }))
        .await
        .refused(410, "email-link-unusable");
    // Again, it does nothing.
    at.sam.delete("/me/email").await.expect(204);
    at.world.on("group").delete("/me/email").await.expect(401);
    let all = invariants(&at.world).await;
    assert_eq!(all.done("cancel_email_change"), 1);
}

#[tokio::test]
async fn se_01_the_link_in_the_notice_to_the_old_address_cancels_without_signing_in() {
    let at = Intrusion::new().await;
    let notice = at
        .world
        .mails_to(SAM)
        .await
        .into_iter()
        .find(|m| {
            m.subject
                .starts_with("Request to change your email address")
        })
        .unwrap();
    assert!(
        notice.text.contains("/email-change-cancellation#token=vc."),
        "{}",
        notice.text
    );
    let cancels = async |token: &str| {
        let anyone = at.world.on("group");
        let body = json!({ "token": token });
        anyone.post("/email-change-cancellations", body).await
    };
    // A link for another purpose cancels nothing, and this one confirms nothing.
    for other in [&at.confirmation, &at.reset] {
        cancels(other).await.refused(410, "email-link-unusable");
    }
    at.world
        .on("group")
        .post("/email-confirmations", json!({ "token": at.cancellation }))
        .await
        .refused(410, "email-link-unusable");
    // Only the notice of the latest request has the link that works.
    asks_for(&at.intruder, "second@elsewhere.example").await;
    let newer = link_token(&at.world.last_mail_to(SAM).await);
    cancels(&at.cancellation)
        .await
        .refused(410, "email-link-unusable");

    cancels(&newer).await.expect(204);
    at.is_over("canceled by link").await;
    let used = cancels(&newer).await;
    used.refused(410, "email-link-unusable");
    // The password still works, as its owner has to choose a new one.
    let sam = at.world.sign_in("group", "sam.lind").await;
    sam.get("/me")
        .await
        .expect(200)
        .has("/unconfirmed_email", "");

    // It works as long as the change can be confirmed.
    asks_for(&sam, INTRUDER).await;
    let late = link_token(&at.world.last_mail_to(SAM).await);
    at.world.pass_days(4);
    cancels(&late).await.refused(410, "email-link-unusable");
    let all = invariants(&at.world).await;
    assert_eq!(all.done("cancel_email_change"), 1);
}

/// Whichever is first decides; the other finds the change completed or gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_01_a_confirmation_and_a_cancellation_at_once_have_one_outcome() {
    let at = Intrusion::new().await;
    let anyone = at.world.on("group");
    let (confirmed, canceled) = join(
        anyone.post("/email-confirmations", json!({ "token": at.confirmation })),
        anyone.post(
            "/email-change-cancellations",
            json!({ "token": at.cancellation }),
        ),
    )
    .await;
    let mut statuses = [confirmed.status, canceled.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 410], "{} {}", confirmed.text, canceled.text);
    let user = at.ruth.get(&format!("/users/{}", at.sam_id)).await;
    let expected = if confirmed.status == 204 {
        INTRUDER
    } else {
        SAM
    };
    assert_eq!(user.text_at("/email"), expected);
    invariants(&at.world).await;
}

#[tokio::test]
async fn se_01_the_help_desk_secures_an_account() {
    let at = Intrusion::new().await;
    let secure = at.at_the_desk("secure");
    at.desk.reader.post(&secure, because()).await.expect(403);
    at.desk.agent.post(&secure, json!({})).await.expect(422);
    let secured = at.desk.agent.post(&secure, because()).await.expect(200);
    assert_eq!(secured.body["has_pending_email_change"], json!(false));
    at.is_over("secured").await;
    // The password that the intruder knows opens nothing, for sign-in and for everything else.
    let anyone = at.world.on("group");
    anyone
        .signs_in("sam.lind", PASSWORD)
        .await
        .refused(401, "sign-in-failed");
    let notice = at.world.last_mail_to(SAM).await;
    assert_eq!(
        notice.subject,
        "Your account on Harborlight for Groups was secured"
    );
    assert!(!notice.text.contains("someone else uses the account"));

    // The owner returns with a link from the help desk, and not with the old password.
    let path = at.at_the_desk("password-reset");
    at.desk.agent.post(&path, because()).await.expect(200);
    let link = link_token(&at.world.last_mail_to(SAM).await);
    redeems(&at.world, &link, PASSWORD)
        .await
        .invalid("new_password");
    redeems(&at.world, &link, NEW_PASSWORD).await.expect(200);
    anyone.signs_in("sam.lind", NEW_PASSWORD).await.expect(201);
    let all = invariants(&at.world).await;
    assert_eq!(all.done("secure_user"), 1);
}

/// Security answers that an intruder set survive a changed password, so the help desk clears them (ME-05).
#[tokio::test]
async fn se_01_the_help_desk_clears_security_answers_only_when_it_says_so() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let maria = world.member().await;
    let pin = vestibule_tests::pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let id = maria.id().await;
    let mut theirs = security_answers();
    theirs[0]["answer"] = json!("the intruder's");
    let set = json!({ "security_answers": theirs, "password": PASSWORD });
    maria.patch("/me", set).await.expect(200);

    let recovers = async |answers: &Value, password: &str| {
        let body = json!({ "username": "maria.alvarez", "security_answers": answers, "new_password": password });
        let anyone = world.on("member").from_source("198.51.100.7");
        anyone.post("/password-resets/redemption", body).await
    };
    let secure = format!("/accounts/member/{id}/secure");
    desk.agent.post(&secure, because()).await.expect(200);
    // Without the order to clear them, the answers still count.
    recovers(&theirs, NEW_PASSWORD).await.expect(200);

    let body = with(because(), "/clear_security_answers", true);
    desk.agent.post(&secure, body).await.expect(200);
    let notice = world.last_mail_to("maria@example.com").await;
    assert!(
        notice.text.contains("choose new ones in your profile"),
        "{}",
        notice.text
    );
    for answers in [&theirs, &security_answers()] {
        recovers(answers, "Calm-Harbor-71!")
            .await
            .refused(403, "recovery-refused");
    }
    // Nobody learns from the questions that none are set (UX-09).
    let asked = world
        .on("member")
        .post("/password-resets", json!({ "username": "maria.alvarez" }))
        .await
        .expect(202);
    let questions = asked.body["questions"].as_array().unwrap();
    let portal = world.on("member").get("").await.expect(200);
    let offered = portal.body["security_questions"].as_array().unwrap();
    let required = portal.body["security_questions_required"].as_u64();
    assert_eq!(Some(questions.len() as u64), required);
    assert!(
        questions.iter().all(|q| offered.contains(q)),
        "{}",
        asked.text
    );

    // With the help desk's link, she returns and chooses her answers again.
    let path = format!("/accounts/member/{id}/password-reset");
    desk.agent.post(&path, because()).await.expect(200);
    let link = link_token(&world.last_mail_to("maria@example.com").await);
    let body = json!({ "token": link, "new_password": "Calm-Harbor-71!" });
    world
        .on("member")
        .post("/password-resets/redemption", body)
        .await
        .expect(200);
    let (maria, session) = world
        .on("member")
        .sign_in("maria.alvarez", "Calm-Harbor-71!")
        .await;
    session.expect(201);
    let set = json!({ "security_answers": security_answers(), "password": "Calm-Harbor-71!" });
    maria.patch("/me", set).await.expect(200);
    invariants(&world).await;
}
