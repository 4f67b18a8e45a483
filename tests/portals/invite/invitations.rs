//! Invitations on both sides: the administrator's list and the invited person's link.

use jiff::Timestamp;
use serde_json::{Value, json};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, group_principal, with};
use vestibule_tests::{World, link_token};

/// When an invitation sent at the start of a test expires: after fourteen days, at midnight in
/// Chicago.
const OVER: &str = "2026-12-08T06:00:00Z";

fn sam() -> Value {
    json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "user" })
}

async fn look_up(world: &World, token: &str) -> Response {
    world
        .on("group")
        .post("/invitations/look-up", json!({ "token": token }))
        .await
}

async fn accept(world: &World, token: &str, email: &str, username: &str) -> Response {
    let body = World::acceptance(token, "Sam", email, username);
    world.on("group").accepts(body).await
}

/// The administrator's list: address, status and how often it was sent.
async fn listed(administrator: &Person) -> Value {
    let list = administrator.get("/invitations").await.expect(200);
    let mut items = list.items().clone();
    items.sort_by_key(|i| i["email"].as_str().map(str::to_owned));
    items
        .iter()
        .map(|i| json!([i["email"], i["status"], i["sent"]]))
        .collect()
}

async fn invitation_id(administrator: &Person) -> String {
    administrator
        .get("/invitations")
        .await
        .text_at("/items/0/id")
        .to_owned()
}

/// Waits for a time at which every session has ended, and signs in again.
async fn ruth_at(world: &World, moment: &str) -> Person {
    let moment: Timestamp = moment.parse().unwrap();
    world.pass(moment.duration_since(world.now()));
    world.sign_in("group", "ruth.okafor").await
}

fn dead(response: &Response) -> (u16, &str) {
    (response.status, response.problem())
}

#[tokio::test]
async fn ux_01_the_pending_list_and_the_page_of_the_link_show_who_is_invited_to_what() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    assert_eq!(listed(&ruth).await, json!([]));
    let invited = ruth.post("/invitations", sam()).await.expect(201);
    let token = link_token(&world.last_mail_to("sam@blueheron.example").await);
    world
        .invite(&ruth, "Ada", "ada@blueheron.example", "administrator")
        .await;
    assert_eq!(
        listed(&ruth).await,
        json!([
            ["ada@blueheron.example", "pending", 1],
            ["sam@blueheron.example", "pending", 1]
        ])
    );

    let id = invited.text_at("/id");
    assert_eq!(
        invited.headers["location"],
        format!("/group/invitations/{id}")
    );
    let expected = json!({
        "id": id, "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "user",
        "status": "pending", "sent_at": "2026-11-23T15:00:00Z", "sent": 1, "expires_at": OVER,
    });
    assert_eq!(invited.body, expected);
    let list = ruth.get("/invitations").await;
    assert!(list.items().contains(&expected), "{}", list.text);

    let shown = look_up(&world, &token).await.expect(200);
    let expected = json!({
        "organization": "Blue Heron Manufacturing", "inviter": "Ruth Okafor", "role": "Staff",
        "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "expires_at": OVER,
    });
    assert_eq!(shown.body, expected);
    assert_eq!(
        look_up(&world, &token).await.text,
        shown.text,
        "looking uses nothing up"
    );
}

#[tokio::test]
async fn ux_01_an_invited_address_is_not_invited_twice_and_is_sent_the_invitation_again() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let old = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let before = listed(&ruth).await;
    for (who, body) in [
        (&ruth, sam()),
        (&ada, with(sam(), "/email", "SAM@BlueHeron.example")),
        (&ruth, with(sam(), "/role", "administrator")),
    ] {
        let refused = who.post("/invitations", body).await;
        assert_eq!(dead(&refused), (409, "already-invited"), "{}", refused.text);
    }
    assert_eq!(
        world.mails_to("sam@blueheron.example").await.len(),
        1,
        "no second mail"
    );
    assert_eq!(listed(&ruth).await, before);
    // A tag makes it a different address, and so a separate invitation.
    ruth.post(
        "/invitations",
        with(sam(), "/email", "sam+work@blueheron.example"),
    )
    .await
    .expect(201);

    // Any administrator can resend it: the same invitation with a new link and expiration date.
    world.pass_days(1);
    let ada = world.sign_in("group", "ada.lind").await;
    let list = ada.get("/invitations").await;
    let mine = list
        .items()
        .iter()
        .find(|i| i["email"] == "sam@blueheron.example")
        .unwrap()
        .clone();
    let resent = ada
        .post(
            &format!("/invitations/{}/resend", mine["id"].as_str().unwrap()),
            json!({}),
        )
        .await;
    assert_eq!(
        (resent.status, &resent.body["sent"]),
        (200, &json!(2)),
        "{}",
        resent.text
    );
    let resent = resent.has("/sent_at", "2026-11-24T15:00:00Z");
    resent.has("/expires_at", "2026-12-09T06:00:00Z");
    let mails = world.mails_to("sam@blueheron.example").await;
    assert_eq!(mails.len(), 2);
    let new = link_token(&mails[1]);
    assert_eq!(
        dead(&look_up(&world, &old).await),
        (404, "invitation-not-found")
    );
    look_up(&world, &new).await.expect(200);
    let items = list.items().len();
    assert_eq!(
        ada.get("/invitations").await.items().len(),
        items,
        "no duplicate"
    );
}

#[tokio::test]
async fn ux_01_an_invitation_expires_to_the_second_says_so_and_can_be_sent_again() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let mail = world.last_mail_to("sam@blueheron.example").await;
    assert!(
        mail.text.contains("Monday, December 7, 2026"),
        "the mail names the last day: {}",
        mail.text
    );

    let ruth = ruth_at(&world, "2026-12-08T05:59:59Z").await;
    look_up(&world, &token).await.expect(200);
    assert_eq!(listed(&ruth).await[0][1], "pending");
    let refused = ruth.post("/invitations", sam()).await;
    assert_eq!(dead(&refused), (409, "already-invited"));

    let ruth = ruth_at(&world, OVER).await;
    for refused in [
        look_up(&world, &token).await,
        accept(&world, &token, "sam@blueheron.example", "sam.lind").await,
    ] {
        assert_eq!(
            dead(&refused),
            (410, "invitation-expired"),
            "{}",
            refused.text
        );
        assert_eq!(
            refused.text_at("/detail"),
            "This invitation has expired. Ask the administrator who invited you to send a new invitation."
        );
    }
    assert_eq!(
        listed(&ruth).await,
        json!([["sam@blueheron.example", "expired", 1]])
    );

    // After resending it is valid; the expired link stays invalid.
    ruth.post(
        &format!("/invitations/{}/resend", invitation_id(&ruth).await),
        json!({}),
    )
    .await
    .expect(200)
    .has("/status", "pending");
    assert_eq!(
        listed(&ruth).await,
        json!([["sam@blueheron.example", "pending", 2]])
    );
    assert_eq!(
        dead(&look_up(&world, &token).await),
        (404, "invitation-not-found")
    );
    let new = link_token(&world.last_mail_to("sam@blueheron.example").await);

    // After it expires again, a new invitation replaces it.
    let ruth = ruth_at(&world, "2026-12-23T06:00:00Z").await;
    assert_eq!(
        dead(&look_up(&world, &new).await),
        (410, "invitation-expired")
    );
    ruth.post("/invitations", with(sam(), "/role", "administrator"))
        .await
        .expect(201);
    assert_eq!(
        listed(&ruth).await,
        json!([["sam@blueheron.example", "pending", 1]])
    );
    let newest = link_token(&world.last_mail_to("sam@blueheron.example").await);
    assert_eq!(
        look_up(&world, &newest).await.text_at("/role"),
        "Administrator"
    );
    accept(&world, &newest, "sam@blueheron.example", "sam.lind")
        .await
        .expect(201);
}

#[tokio::test]
async fn ux_01_the_last_second_of_an_invitation_still_lets_its_person_in() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    ruth_at(&world, "2026-12-08T05:59:59Z").await;
    accept(&world, &token, "sam@blueheron.example", "sam.lind")
        .await
        .expect(201)
        .has("/next_step", "await_approval");
}

#[tokio::test]
async fn ux_01_a_revoked_invitation_is_refused() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let path = format!("/invitations/{}", invitation_id(&ruth).await);
    for _ in 0..2 {
        let revoked = ruth.delete(&path).await;
        assert_eq!(
            revoked.status, 204,
            "revoking twice is revoking: {}",
            revoked.text
        );
    }
    assert_eq!(
        listed(&ruth).await,
        json!([["sam@blueheron.example", "revoked", 1]])
    );
    for refused in [
        look_up(&world, &token).await,
        accept(&world, &token, "sam@blueheron.example", "sam.lind").await,
    ] {
        assert_eq!(
            dead(&refused),
            (410, "invitation-revoked"),
            "{}",
            refused.text
        );
        assert_eq!(
            refused.text_at("/detail"),
            "This invitation was withdrawn. Contact the administrator who invited you."
        );
    }
    let resent = ruth.post(&format!("{path}/resend"), json!({})).await;
    assert_eq!(
        dead(&resent),
        (409, "invitation-revoked"),
        "a lost mail can't undo it"
    );

    // Inviting again is a new decision, with a new link.
    let renewed = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    assert_eq!(
        dead(&look_up(&world, &token).await),
        (404, "invitation-not-found")
    );
    accept(&world, &renewed, "sam@blueheron.example", "sam.lind")
        .await
        .expect(201);
}

#[tokio::test]
async fn ux_01_an_invitation_is_usable_only_by_the_invited_address() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    for other in [
        "kim@blueheron.example",
        "sam+1@blueheron.example",
        "sam@blueheron.example.com",
        "sam@blueheron.exampl",
    ] {
        let refused = accept(&world, &token, other, "sam.lind").await;
        assert_eq!(
            (refused.status, refused.fields()),
            (422, vec!["email"]),
            "{other}: {}",
            refused.text
        );
        assert_eq!(
            refused.body["errors"][0]["detail"],
            "must be the email address that the invitation was sent to"
        );
        assert!(
            !refused.text.contains("sam@"),
            "the response doesn't reveal the address: {}",
            refused.text
        );
    }
    // Nor on another portal that accepts invitations.
    for portal in ["agent", "employer", "member"] {
        let elsewhere = world
            .on(portal)
            .post("/invitations/look-up", json!({ "token": token }))
            .await;
        assert_eq!(dead(&elsewhere), (404, "invitation-not-found"), "{portal}");
    }
    // None of this used it up, and case doesn't matter in the address.
    assert_eq!(
        listed(&ruth).await,
        json!([["sam@blueheron.example", "pending", 1]])
    );
    accept(&world, &token, "Sam@BlueHeron.example", "sam.lind")
        .await
        .expect(201);
}

#[tokio::test]
async fn ux_01_an_invitation_is_usable_once() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let names = ["sam.lind1", "sam.lind2", "sam.lind3", "sam.lind4"];
    let answers = futures::future::join_all(
        names.map(|name| accept(&world, &token, "sam@blueheron.example", name)),
    )
    .await;
    let let_in: Vec<_> = names
        .iter()
        .zip(&answers)
        .filter(|(_, a)| a.status == 201)
        .map(|(n, _)| *n)
        .collect();
    assert_eq!(let_in.len(), 1, "{answers:#?}");
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert!(
            matches!(
                dead(refused),
                (404, "invitation-not-found") | (410, "invitation-used")
            ),
            "{}",
            refused.text
        );
    }
    let users = ruth.get("/users").await;
    assert_eq!(users.items().len(), 2, "{}", users.text);
    assert_eq!(
        world.mails_to("sam@blueheron.example").await.len(),
        2,
        "the invitation and one welcome"
    );
    assert_eq!(
        listed(&ruth).await,
        json!([["sam@blueheron.example", "accepted", 1]])
    );

    // Once used, it is invalid for everyone. The person who lost the response gets it again.
    assert_eq!(
        dead(&look_up(&world, &token).await),
        (410, "invitation-used")
    );
    let again = accept(&world, &token, "sam@blueheron.example", let_in[0]).await;
    let first = answers.iter().find(|a| a.status == 201).unwrap();
    assert_eq!((again.status, &again.text), (201, &first.text));
    let other = accept(&world, &token, "sam@blueheron.example", "sam.lind9").await;
    assert_eq!(dead(&other), (410, "invitation-used"));
    other.has(
        "/detail",
        "This invitation has already been used. Sign in with the username you chose.",
    );
    let path = format!("/invitations/{}", invitation_id(&ruth).await);
    let resent = ruth.post(&format!("{path}/resend"), json!({})).await;
    assert_eq!(dead(&resent), (409, "invitation-used"));
    let revoked = ruth.delete(&path).await;
    assert_eq!(
        dead(&revoked),
        (409, "invitation-used"),
        "revoking doesn't remove a user who has joined"
    );
}

#[tokio::test]
async fn ux_01_a_used_link_allows_no_more_guesses_at_the_password_than_sign_in() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let token = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    accept(&world, &token, "sam@blueheron.example", "sam.lind")
        .await
        .expect(201);
    let mut statuses = Vec::new();
    for n in 0..12 {
        let body = World::acceptance(&token, "Sam", "sam@blueheron.example", "sam.lind");
        let body = with(body, "/password", format!("Guess-River-{n}!"));
        let caller = world.on("group").from_source(&format!("192.0.2.{n}"));
        statuses.push(caller.accepts(body).await.status);
    }
    assert_eq!(statuses, [[410; 10].as_slice(), &[429; 2]].concat());
    let right = accept(&world, &token, "sam@blueheron.example", "sam.lind").await;
    assert_eq!(
        dead(&right),
        (429, "too-many-attempts"),
        "the right one is not looked at either"
    );
    let signed_in = world.on("group").signs_in("sam.lind", PASSWORD).await;
    assert_eq!(signed_in.status, 429, "they are the same guesses");
}

#[tokio::test]
async fn ux_01_invitations_of_an_organization_are_its_administrators_alone() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let una = world.staff(&ruth, "Una", "user").await;
    world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;
    let list = ruth.get("/invitations").await;
    let items = list.items();
    let id = items
        .iter()
        .find(|i| i["email"] == "sam@blueheron.example")
        .unwrap()["id"]
        .as_str()
        .unwrap();
    let cedar = with(
        group_principal(),
        "/verification",
        json!({ "group_number": "GR20002", "tax_id_last4": "5678" }),
    );
    let cedar = with(
        with(cedar, "/username", "cedar.baker"),
        "/email",
        "baker@cedarpine.example",
    );
    world.register("group", cedar).await;
    let baker = world.sign_in("group", "cedar.baker").await;
    assert_eq!(listed(&baker).await, json!([]));

    for (client, status, problem) in [(&una, 403, "not-allowed"), (&baker, 404, "not-found")] {
        let resent = client
            .post(&format!("/invitations/{id}/resend"), json!({}))
            .await;
        assert_eq!(dead(&resent), (status, problem), "{}", resent.text);
        let revoked = client.delete(&format!("/invitations/{id}")).await;
        assert_eq!(dead(&revoked), (status, problem), "{}", revoked.text);
    }
    una.get("/invitations").await.expect(403);
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 1);
    // Organizations are independent: each can invite the same address once.
    baker.post("/invitations", sam()).await.expect(201);
}

#[tokio::test]
async fn se_05_an_invitation_link_does_not_reveal_usernames_and_hashes_nothing_for_other_accounts()
{
    let world = World::new().await;
    let ruth = world.group_principal().await;
    ruth.post("/invitations", sam()).await.expect(201);
    let token = link_token(&world.last_mail_to("sam@blueheron.example").await);

    // Another address is refused before a password is hashed.
    let hashed = || world.instance.app.hasher.runs();
    let before = hashed();
    let other = accept(&world, &token, "other@example.com", "sam.lind").await;
    other.invalid("email");
    assert_eq!(hashed(), before);

    // Ten names can be tried in 15 minutes, from all sources together.
    for n in 0..10 {
        let stranger = world.on("group").from_source(&format!("198.51.100.{n}"));
        let body = World::acceptance(&token, "Sam", "sam@blueheron.example", "ruth.okafor");
        let taken = stranger.accepts(body).await;
        taken.refused(409, "already-taken");
    }
    let limited = accept(&world, &token, "sam@blueheron.example", "sam.lind").await;
    limited.refused(429, "too-many-attempts");
    let reasons = world.refusals("accept_invitation").await;
    assert!(
        reasons.contains(&"too_many_attempts".to_owned()),
        "{reasons:?}"
    );

    // The invited person can still accept afterward.
    world.pass(jiff::SignedDuration::from_mins(15));
    let accepted = accept(&world, &token, "sam@blueheron.example", "sam.lind").await;
    accepted.expect(201);
}
