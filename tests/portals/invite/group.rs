//! The group (employer) portal.

use serde_json::json;
use vestibule_domain::state::account::{Account, Status};
use vestibule_tests::client::Person;
use vestibule_tests::people::{PASSWORD, everyone, group_principal, with};
use vestibule_tests::white_box::shown;
use vestibule_tests::{World, link_token};

#[tokio::test]
async fn ag_01_staff_register_only_through_the_link_and_a_resent_link_replaces_the_older() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let old = world
        .invite(&ruth, "Sam", "sam@blueheron.example", "user")
        .await;

    // Staff can only join through an invitation; no registration type is open to them.
    let body = with(
        World::acceptance("vi.x.y", "Sam", "sam@blueheron.example", "sam.lind"),
        "/token",
        "vi.x.y",
    );
    world
        .on("group")
        .accepts(body)
        .await
        .refused(404, "invitation-not-found");
    let body = with(group_principal(), "/registration_type", "staff");
    world
        .on("group")
        .registers(body)
        .await
        .invalid("registration_type");

    // After resending, the old link is invalid and the new one works.
    let list = ruth.get("/invitations").await;
    let id = list.text_at("/items/0/id").to_owned();
    let resent = ruth
        .post(&format!("/invitations/{id}/resend"), json!({}))
        .await;
    assert_eq!(
        (resent.status, resent.body["sent"].as_u64()),
        (200, Some(2))
    );
    let new = link_token(&world.last_mail_to("sam@blueheron.example").await);
    assert_ne!(old, new);
    let with_old = World::acceptance(&old, "Sam", "sam@blueheron.example", "sam.lind");
    let refused = world
        .on("group")
        .accepts(with_old)
        .await
        .refused(404, "invitation-not-found");
    assert!(
        refused
            .text_at("/detail")
            .contains("a newer invitation may have been sent"),
        "{}",
        refused.text
    );
    let with_new = World::acceptance(&new, "Sam", "sam@blueheron.example", "sam.lind");
    world.on("group").accepts(with_new).await.expect(201);
    world
        .on("group")
        .signs_in("sam.lind", PASSWORD)
        .await
        .expect(201)
        .has("/next_step", "await_approval");
}

#[tokio::test]
async fn ag_08_an_invited_person_is_notified_registers_is_approved_and_has_exactly_what_was_assigned()
 {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let id = world.invited(&ruth, "Sam", "user").await;
    let mail = world.last_mail_to("ruth@blueheron.example").await;
    assert!(mail.text.contains("Sam Lind"), "{}", mail.text);

    let sam = world.sign_in("group", "sam.lind").await;
    sam.get("/entitlements")
        .await
        .expect(403)
        .has("/next_step", "await_approval");

    let body = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH02"] });
    ruth.post(&format!("/users/{id}/approval"), body)
        .await
        .expect(200);
    let entitlements = sam.get("/entitlements").await.expect(200);
    assert_eq!(
        entitlements.body["services"],
        json!(["enrollment", "reports"])
    );
    assert_eq!(entitlements.body["group_codes"], json!(["BH02"]));
}

#[tokio::test]
async fn ag_04_the_principal_is_asked_for_a_backup_until_one_is_approved() {
    let world = World::new().await;
    let registered = world.register("group", group_principal()).await;
    assert_eq!(registered.body["notices"], json!(["invite_backup"]));
    let mails = world.mails_to("ruth@blueheron.example").await;
    let subjects: Vec<_> = mails.iter().map(|m| m.subject.as_str()).collect();
    assert!(
        subjects.contains(&"Invite a backup administrator for Blue Heron Manufacturing"),
        "{subjects:?}"
    );
    let asked = mails.iter().find(|m| m.subject.contains("backup")).unwrap();
    insta::assert_snapshot!("mail_backup_wanted", shown(asked));

    let ruth = world.sign_in("group", "ruth.okafor").await;
    let notices = async || ruth.get("/me").await.body["notices"].clone();
    assert_eq!(notices().await, json!(["invite_backup"]), "alone");
    world.staff(&ruth, "Una", "user").await;
    assert_eq!(
        notices().await,
        json!(["invite_backup"]),
        "an ordinary user is no backup"
    );
    let token = world
        .invite(&ruth, "Ada", "ada@blueheron.example", "administrator")
        .await;
    assert_eq!(
        notices().await,
        json!(["invite_backup"]),
        "an invitation is no backup"
    );
    let body = World::acceptance(&token, "Ada", "ada@blueheron.example", "ada.lind");
    let accepted = world.on("group").accepts(body).await.expect(201);
    assert_eq!(
        notices().await,
        json!(["invite_backup"]),
        "a user who isn't approved doesn't count as a backup"
    );
    let path = format!("/users/{}/approval", accepted.text_at("/user_id"));
    ruth.post(&path, json!({ "services": [] }))
        .await
        .expect(200);
    assert_eq!(notices().await, json!([]), "there is a backup");

    // The backup has the same permissions, and is not asked to add a backup.
    let ada = world.sign_in("group", "ada.lind").await;
    assert_eq!(ada.get("/me").await.body["notices"], json!([]));
    for path in ["/users", "/invitations"] {
        assert_eq!(ada.get(path).await.status, 200, "{path}");
    }
    // A disabled or deleted backup no longer counts.
    let ada_id = ada.get("/me").await.text_at("/id").to_owned();
    world
        .alter("group", &ada_id, |a| a.status = Status::Disabled)
        .await;
    assert_eq!(
        notices().await,
        json!(["invite_backup"]),
        "the backup is disabled"
    );
}

#[tokio::test]
async fn ag_04_only_portals_that_require_a_backup_request_one() {
    let world = World::new().await;
    for (portal, body) in everyone() {
        let wants = matches!(portal, "agent" | "group");
        let email = body["email"].as_str().unwrap().to_owned();
        let before = world.mails_to(&email).await.len();
        let registered = world.register(portal, body).await;
        assert_eq!(
            registered.body.get("notices").is_some(),
            wants,
            "{portal}: {}",
            registered.text
        );
        let mails = world.mails_to(&email).await.split_off(before);
        let asked = mails
            .iter()
            .filter(|m| m.subject.contains("backup"))
            .count();
        assert_eq!(asked, usize::from(wants), "{portal}");
    }
}

#[tokio::test]
async fn ag_08_the_mails_say_who_invites_what_to_do_and_what_was_assigned() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let id = world.invited(&ruth, "Sam", "user").await;
    let body = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH02"] });
    ruth.post(&format!("/users/{id}/approval"), body)
        .await
        .expect(200);
    let to_sam = world.mails_to("sam@blueheron.example").await;
    assert_eq!(to_sam.len(), 3, "{to_sam:#?}");
    for (mail, name) in to_sam.iter().zip([
        "mail_invitation",
        "mail_invited_person_welcome",
        "mail_approved",
    ]) {
        insta::assert_snapshot!(name, shown(mail));
    }
    let reported = world.last_mail_to("ruth@blueheron.example").await;
    insta::assert_snapshot!("mail_invited_person_registered", shown(&reported));
}

#[tokio::test]
async fn ag_08_the_administrators_are_notified_and_any_of_them_approves() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let before = world.mails_to("ruth@blueheron.example").await.len();
    let id = world.invited(&ada, "Sam", "user").await;
    let reported = world.last_mail_to("ada@blueheron.example").await;
    assert_eq!(
        reported.subject,
        "A new user of Blue Heron Manufacturing needs your approval"
    );
    assert!(
        reported.text.contains("Sam Lind") && reported.text.contains("sam.lind"),
        "{}",
        reported.text
    );
    // SE-02: everyone who may approve is notified, at the address that is on record now.
    let to_ruth = world.mails_to("ruth@blueheron.example").await;
    assert_eq!(to_ruth.len(), before + 1);
    assert_eq!(to_ruth[before].subject, reported.subject);
    let words: Vec<_> = to_ruth[before].text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("Ada Lind invited this person"), "{text}");

    let path = format!("/users/{id}/approval");
    let nothing = json!({ "services": [], "group_codes": [] });
    ruth.post(&path, &nothing)
        .await
        .expect(200)
        .has("/registration", "registered");
    ada.post(&path, nothing)
        .await
        .refused(409, "approval-not-pending");
    let sam = world.sign_in("group", "sam.lind").await;
    let entitlements = sam.get("/entitlements").await.expect(200);
    assert_eq!(
        (
            &entitlements.body["services"],
            &entitlements.body["group_codes"]
        ),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn ag_08_before_approval_there_is_no_access_and_nobody_approves_themselves() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for role in ["user", "administrator"] {
        let first = if role == "user" { "Una" } else { "Ada" };
        let id = world.invited(&ruth, first, role).await;
        let waiting = world
            .sign_in("group", &format!("{}.lind", first.to_lowercase()))
            .await;
        let approval = json!({ "services": ["enrollment"], "group_codes": ["BH01"] });
        let person =
            json!({ "first_name": "Kim", "last_name": "Lind", "email": "kim@blueheron.example" });
        let invitation = ruth
            .get("/invitations")
            .await
            .text_at("/items/0/id")
            .to_owned();
        let tried = [
            waiting.get("/entitlements").await,
            waiting.get("/users").await,
            waiting.get(&format!("/users/{id}")).await,
            waiting
                .post("/users", with(person.clone(), "/username", "kim.lind"))
                .await,
            waiting
                .post(&format!("/users/{id}/approval"), approval)
                .await,
            waiting.get("/invitations").await,
            waiting.post("/invitations", person).await,
            waiting
                .post(&format!("/invitations/{invitation}/resend"), json!({}))
                .await,
            waiting.delete(&format!("/invitations/{invitation}")).await,
        ];
        for (i, response) in tried.into_iter().enumerate() {
            let response = response;
            assert_eq!(
                (response.status, response.text_at("/next_step")),
                (403, "await_approval"),
                "{role}, {i}: {}",
                response.text
            );
        }
        let listed = ruth.get(&format!("/users/{id}")).await;
        assert_eq!(
            (listed.text_at("/registration"), &listed.body["services"]),
            ("awaiting_approval", &json!([]))
        );
    }
}

#[tokio::test]
async fn ag_08_only_services_on_offer_and_the_organizations_own_group_codes_are_assigned() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let id = world.invited(&ruth, "Sam", "user").await;
    let path = format!("/users/{id}/approval");
    for (services, codes, field) in [
        (json!(["commissions"]), json!([]), "services"),
        (
            json!(["enrollment", "Enrollment"]),
            json!(["BH01"]),
            "services",
        ),
        (json!(["enrollment"]), json!(["CP01"]), "group_codes"),
        (
            json!(["enrollment"]),
            json!(["BH01", "bh02"]),
            "group_codes",
        ),
        (json!("enrollment"), json!([]), "services"),
    ] {
        let body = json!({ "services": services, "group_codes": codes });
        ruth.post(&path, body).await.invalid(field);
    }
    ruth.post(&path, json!({ "group_codes": ["BH01"] }))
        .await
        .invalid("services");
    // None of this approved anyone or notified them.
    let sam = world.sign_in("group", "sam.lind").await;
    assert_eq!(
        sam.get("/entitlements").await.text_at("/next_step"),
        "await_approval"
    );
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 2);
}

#[tokio::test]
async fn ag_15_the_profile_lists_the_administrators_of_the_organization() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let una = world.staff(&ruth, "Una", "user").await;
    // Another organization on the portal, whose administrators must not be visible here.
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

    let listed = async |client: &Person| {
        let me = client
            .get("/me")
            .await
            .has("/organization/name", "Blue Heron Manufacturing");
        let mut listed = me.body["organization"]["administrators"]
            .as_array()
            .unwrap()
            .clone();
        listed.sort_by_key(|a| a["email"].as_str().map(str::to_owned));
        for one in &mut listed {
            let id = one.as_object_mut().unwrap().remove("id");
            assert!(id.is_some_and(|id| id.is_string()), "{one}");
        }
        json!(listed)
    };
    let administrator = |first: &str, last: &str, email: &str, role: &str| json!({ "first_name": first, "last_name": last, "email": email, "role": role });
    let okafor = administrator("Ruth", "Okafor", "ruth@blueheron.example", "principal");
    let lind = administrator("Ada", "Lind", "ada@blueheron.example", "administrator");

    let id = world.invited(&ruth, "Ada", "administrator").await;
    for client in [&ruth, &una] {
        assert_eq!(
            listed(client).await,
            json!([okafor]),
            "a user who isn't approved has no permissions"
        );
    }
    ruth.post(&format!("/users/{id}/approval"), json!({ "services": [] }))
        .await
        .expect(200);
    let ada = world.sign_in("group", "ada.lind").await;
    for client in [&ruth, &una, &ada] {
        assert_eq!(listed(client).await, json!([lind, okafor]));
    }
    world.alter("group", &id, Account::delete).await;
    for client in [&ruth, &una] {
        assert_eq!(
            listed(client).await,
            json!([okafor]),
            "a deleted user has no permissions"
        );
    }
}
