//! What an invitation is worth when it is accepted: the standing of its inviter and of its organization (SE-02),
//! and the addresses that earlier invitations and users leave behind (AG-10, EX-08).

use jiff::SignedDuration;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vestibule_domain::values::ids::InvitationId;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, group_principal, redemption, with};
use vestibule_tests::{World, code_in, link_token, options, portals_with};

const KIM: &str = "kim@blueheron.example";

/// An administrator of Blue Heron Manufacturing who invited Kim.
struct Invited {
    world: World,
    ruth: Person,
    ada: Person,
    ada_id: String,
    token: String,
}

async fn by_ada(role: &str) -> Invited {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let token = world.invite(&ada, "Kim", KIM, role).await;
    Invited {
        ada_id: ada.id().await,
        ruth,
        ada,
        token,
        world,
    }
}

impl Invited {
    async fn accepts(&self) -> Response {
        accepts(&self.world, "group", &self.token, KIM).await
    }

    /// Asserts that the link opens nothing: neither the page behind it nor an account.
    async fn is_worth_nothing(&self) {
        let anyone = self.world.on("group");
        let body = json!({ "token": self.token });
        for response in [
            anyone.post("/invitations/look-up", &body).await,
            self.accepts().await,
        ] {
            response
                .refused(410, "invitation-revoked")
                .says("Ask an administrator of the organization to send a new one.");
        }
        let users = self.ruth.searches_users("kim").await.expect(200);
        assert_eq!(users.items().len(), 0, "{}", users.text);
        assert!(self.world.mails_to(KIM).await.len() == 1, "no welcome");
        invariants(&self.world).await;
    }
}

async fn accepts(world: &World, portal: &str, token: &str, email: &str) -> Response {
    let name = email.split(['@', '+']).next().unwrap();
    let body = World::acceptance(token, "Kim", email, &format!("{name}.lind"));
    world.on(portal).accepts(body).await
}

async fn removes(administrator: &Person, id: &str) {
    administrator
        .delete(&format!("/users/{id}"))
        .await
        .expect(204);
}

#[tokio::test]
async fn se_02_an_invitation_of_a_removed_administrator_is_refused() {
    let at = by_ada("user").await;
    removes(&at.ruth, &at.ada_id).await;
    at.is_worth_nothing().await;
}

/// Returns the status of Kim's invitation, as the principal sees it in the list and by itself, and as the help
/// desk sees it.
async fn status_of(at: &Invited, desk: &Person) -> String {
    let list = at.ruth.get("/invitations").await.expect(200);
    let of_kim = list.items().iter().find(|i| i["email"] == KIM).unwrap();
    let status = of_kim["status"].as_str().unwrap().to_owned();
    let path = format!("/invitations/{}", of_kim["id"].as_str().unwrap());
    at.ruth.get(&path).await.expect(200).has("/status", &status);
    let path = format!("/accounts/group/{}/invitations", at.ruth.id().await);
    let seen = desk.get(&path).await.expect(200);
    let of_kim = seen.items().iter().find(|i| i["first_name"] == "Kim");
    assert_eq!(of_kim.unwrap()["status"], status.as_str());
    status
}

#[tokio::test]
async fn se_02_lists_show_an_invitation_that_can_no_longer_be_accepted_as_suspended() {
    let at = by_ada("user").await;
    let desk = at.world.help_desk().await.reader;
    let path = format!("/users/{}/status", at.ada_id);
    assert_eq!(status_of(&at, &desk).await, "pending");
    at.ruth
        .put(&path, json!({ "status": "disabled" }))
        .await
        .expect(200);
    assert_eq!(status_of(&at, &desk).await, "suspended");
    at.ruth
        .put(&path, json!({ "status": "active" }))
        .await
        .expect(200);
    assert_eq!(status_of(&at, &desk).await, "pending");
    removes(&at.ruth, &at.ada_id).await;
    assert_eq!(status_of(&at, &desk).await, "suspended");

    // An administrator with standing resends it, and it can be accepted.
    let list = at.ruth.get("/invitations").await.expect(200);
    let of_kim = list.items().iter().find(|i| i["email"] == KIM).unwrap();
    let path = format!("/invitations/{}/resend", of_kim["id"].as_str().unwrap());
    at.ruth
        .post(&path, json!({}))
        .await
        .expect(200)
        .has("/status", "pending");
    assert_eq!(status_of(&at, &desk).await, "pending");
    let token = link_token(&at.world.last_mail_to(KIM).await);
    accepts(&at.world, "group", &token, KIM).await.expect(201);
}

/// The id of an invitation is in its link, so a stranger who could compute it could forge links.
#[tokio::test]
async fn ux_09_the_id_of_an_invitation_cannot_be_computed() {
    let at = by_ada("user").await;
    let list = at.ruth.get("/invitations").await.expect(200);
    let id = list.items()[0]["id"].as_str().unwrap();
    let organization = at.ruth.get("/sessions/current").await.expect(200);
    let organization = organization.text_at("/organization_id");
    assert_eq!(organization.len(), 26);
    for name in [
        format!("invitation/{organization}/{KIM}"),
        format!("invitation/group/{organization}/{KIM}"),
        format!("{organization}/{KIM}"),
    ] {
        let digest = Sha256::digest(name);
        let computed = InvitationId::from_bytes(digest[..16].try_into().unwrap());
        assert_ne!(id, computed.as_str());
    }
    // An address still has one invitation, however it is written.
    let again = json!({ "first_name": "Kim", "last_name": "Lind", "email": KIM.to_uppercase() });
    at.ada
        .post("/invitations", again)
        .await
        .refused(409, "already-invited");
}

#[tokio::test]
async fn se_02_an_invitation_of_a_disabled_administrator_is_refused_until_they_are_reinstated() {
    let at = by_ada("user").await;
    let path = format!("/users/{}/status", at.ada_id);
    at.ruth
        .put(&path, json!({ "status": "disabled" }))
        .await
        .expect(200);
    at.is_worth_nothing().await;
    at.ruth
        .put(&path, json!({ "status": "active" }))
        .await
        .expect(200);
    at.accepts().await.expect(201);
}

#[tokio::test]
async fn se_02_an_invitation_of_a_demoted_administrator_is_refused() {
    let at = by_ada("user").await;
    let body = json!({ "role": "user", "services": [] });
    let path = format!("/users/{}/access", at.ada_id);
    at.ruth.put(&path, body).await.expect(200);
    at.is_worth_nothing().await;
}

#[tokio::test]
async fn se_02_an_invitation_of_an_administrator_whose_access_has_ended_is_refused() {
    let at = by_ada("user").await;
    let today = at.world.now().strftime("%Y-%m-%d").to_string();
    let body = json!({ "role": "administrator", "services": [], "end_date": today });
    let path = format!("/users/{}/access", at.ada_id);
    at.ruth.put(&path, body).await.expect(200);
    at.world.pass(SignedDuration::from_hours(24));
    let ruth = at.world.sign_in("group", "ruth.okafor").await;
    Invited { ruth, ..at }.is_worth_nothing().await;
}

/// The supervisor of the help desk whom another one removed leaves no supervisor behind.
#[tokio::test]
async fn se_02_a_removed_supervisor_of_the_help_desk_leaves_no_second_one_behind() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let bea = world.desk_staff(&desk.supervisor, "Bea", "principal").await;
    let private = "kim@private.example";
    let token = world.invite(&bea, "Kim", private, "principal").await;
    removes(&desk.supervisor, &bea.id().await).await;
    accepts(&world, "help-desk", &token, private)
        .await
        .refused(410, "invitation-revoked");
    invariants(&world).await;
}

/// The organization ended because its registration was matched with the wrong record.
#[tokio::test]
async fn se_02_an_invitation_of_an_ended_organization_is_refused() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let ruth = world.group_principal().await;
    let token = world.invite(&ruth, "Kim", KIM, "administrator").await;
    let id = ruth.id().await;
    let because = json!({ "reason": "Matched with the wrong record" });
    let path = format!("/accounts/group/{id}/record-detachment");
    desk.agent.post(&path, because).await.expect(200);
    accepts(&world, "group", &token, KIM)
        .await
        .refused(410, "invitation-revoked");
    invariants(&world).await;
}

#[tokio::test]
async fn se_02_an_existing_user_cannot_accept_the_invitation_of_a_removed_administrator_either() {
    let at = by_ada("user").await;
    let cedar = json!({ "group_number": "GR20002", "tax_id_last4": "5678" });
    let kim = with(group_principal(), "/verification", cedar);
    let kim = with(with(kim, "/email", KIM), "/username", "kim.cedar");
    at.world.register("group", kim).await;
    let kim = at.world.sign_in("group", "kim.cedar").await;
    removes(&at.ruth, &at.ada_id).await;
    kim.post("/me/invitations", json!({ "token": at.token }))
        .await
        .refused(410, "invitation-revoked");
    let me = kim.get("/me").await.expect(200);
    assert_eq!(me.body["organizations"].as_array().map(Vec::len), Some(1));
}

/// A person who resends an invitation needs the rights to send it.
#[tokio::test]
async fn se_02_an_administrator_who_resends_an_invitation_becomes_its_inviter() {
    let at = by_ada("user").await;
    let list = at.ruth.get("/invitations").await.expect(200);
    let of_kim = list.items().iter().find(|i| i["email"] == KIM).unwrap();
    let id = of_kim["id"].as_str().unwrap();
    at.ruth
        .post(&format!("/invitations/{id}/resend"), json!({}))
        .await
        .expect(200);
    let mail = at.world.last_mail_to(KIM).await;
    assert!(mail.text.contains("Ruth Okafor"), "{}", mail.text);
    removes(&at.ruth, &at.ada_id).await;
    accepts(&at.world, "group", &link_token(&mail), KIM)
        .await
        .expect(201);
}

#[tokio::test]
async fn se_02_the_help_desk_does_not_resend_what_its_inviter_can_no_longer_send() {
    let at = by_ada("user").await;
    let desk = at.world.help_desk().await;
    let path = format!("/accounts/group/{}/invitation", at.ruth.id().await);
    let body = json!({ "reason": "Kim lost the email", "email": KIM });
    desk.agent.post(&path, &body).await.expect(200);
    removes(&at.ruth, &at.ada_id).await;
    desk.agent
        .post(&path, &body)
        .await
        .refused(409, "invitation-revoked");
    assert_eq!(at.world.mails_to(KIM).await.len(), 2);
}

/// The emails about a new user that an address received, without their line breaks.
async fn notices_to(world: &World, address: &str) -> Vec<String> {
    let mails = world.mails_to(address).await;
    let about = mails.into_iter().filter(|m| {
        m.subject
            .starts_with("A new user of Blue Heron Manufacturing")
    });
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    about.map(|m| words(m.text)).collect()
}

#[tokio::test]
async fn se_02_the_current_administrators_are_notified_at_their_current_addresses() {
    let at = by_ada("user").await;
    // One who joined after the invitation, one who manages nobody, and one who left.
    at.world.staff(&at.ruth, "Bea", "administrator").await;
    at.world.staff(&at.ruth, "Sam", "user").await;
    let cal = at.world.staff(&at.ruth, "Cal", "administrator").await;
    removes(&at.ruth, &cal.id().await).await;
    // The inviter has another address now.
    let new = "ada@new.example";
    at.ada
        .put("/me/email", json!({ "email": new, "password": PASSWORD }))
        .await
        .expect(202);
    let confirmation = link_token(&at.world.last_mail_to(new).await);
    at.world
        .on("group")
        .post("/email-confirmations", json!({ "token": confirmation }))
        .await
        .expect(204);
    let before = notices_to(&at.world, "ruth@blueheron.example").await.len();

    at.accepts().await.expect(201);
    let to_ada = notices_to(&at.world, new).await;
    assert_eq!(to_ada.len(), 1);
    assert!(to_ada[0].contains("whom you invited"), "{}", to_ada[0]);
    for address in ["ruth@blueheron.example", "bea@blueheron.example"] {
        let all = notices_to(&at.world, address).await;
        let before = if address.starts_with("ruth") {
            before
        } else {
            0
        };
        assert!(
            all.len() > before && all[all.len() - 1].contains("Ada Lind invited this person"),
            "{address}: {all:?}"
        );
    }
    for address in ["ada@blueheron.example", "sam@blueheron.example"] {
        let all = notices_to(&at.world, address).await;
        assert!(
            !all.iter().any(|text| text.contains("kim.lind")),
            "{address}: {all:?}"
        );
    }
    assert!(
        !notices_to(&at.world, "cal@blueheron.example")
            .await
            .iter()
            .any(|text| text.contains("kim.lind"))
    );
}

/// Where nobody has to approve, all administrators are notified as well.
#[tokio::test]
async fn se_02_every_acceptance_is_reported_where_no_approval_is_required() {
    let folder = portals_with("group", &[("approval = true\n", "")], "");
    let world = World::with(vestibule_local::Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    let ruth = world.group_principal().await;
    world.invited(&ruth, "Ada", "administrator").await;
    let ada = world.sign_in("group", "ada.lind").await;
    world.invited(&ada, "Kim", "user").await;
    for address in ["ruth@blueheron.example", "ada@blueheron.example"] {
        let all = notices_to(&world, address).await;
        let last = all.last().unwrap();
        assert!(
            last.contains("kim.lind") && last.contains("This user now has access."),
            "{address}: {last}"
        );
    }
}

/// A registration code gives an account as an invitation does (BL-08).
#[tokio::test]
async fn se_02_a_registration_code_of_a_removed_administrator_is_refused_until_another_sends_one() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let (helen, _) = world.provider().await;
    let kim = json!({
        "first_name": "Kim", "last_name": "Lind", "email": "kim@lakeside.example",
        "role": "administrator", "services": ["claims"],
    });
    let added = helen.post("/users", kim).await.expect(201);
    let (kim_id, kim) = (added.text_at("/id"), added.text_at("/username"));
    let code = code_in(&world.last_mail_to("kim@lakeside.example").await);
    let redeems = async |username: &str, code: &str| {
        let anyone = world.on("provider");
        let path = "/registration-codes/redemption";
        anyone.post(path, redemption(username, code)).await
    };
    redeems(kim, &code).await.expect(200);
    let kim = world.sign_in("provider", kim).await;
    let (pia, code) = world.added_by(&kim, "Pia").await;
    removes(&helen, kim_id).await;

    let refused = redeems(&pia, &code).await.refused(410, "code-expired");
    refused.says("This code is no longer valid.");
    // The help desk can replace a lost code, but not vouch for the person.
    let pia_id = helen.finds("pia").await;
    let path = format!("/accounts/provider/{pia_id}/registration-code");
    let because = json!({ "reason": "Pia lost the email" });
    desk.agent.post(&path, because).await.expect(200);
    let code = code_in(&world.last_mail_to("pia@lakeside.example").await);
    redeems(&pia, &code).await.refused(410, "code-expired");

    let path = format!("/users/{pia_id}/registration-code");
    helen.post(&path, json!({})).await.expect(202);
    let code = code_in(&world.last_mail_to("pia@lakeside.example").await);
    redeems(&pia, &code).await.expect(200);
    invariants(&world).await;
}

fn invitation(email: &str) -> Value {
    json!({ "first_name": "Kim", "last_name": "Lind", "email": email, "role": "user" })
}

/// Moves the account of a signed-in user to another address.
async fn moves_to(world: &World, person: &Person, email: &str) {
    let body = json!({ "email": email, "password": PASSWORD });
    person.put("/me/email", body).await.expect(202);
    let token = link_token(&world.last_mail_to(email).await);
    world
        .on("group")
        .post("/email-confirmations", json!({ "token": token }))
        .await
        .expect(204);
}

#[tokio::test]
async fn ux_01_an_address_that_a_user_gave_up_can_be_invited_again() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let kim = world.staff(&ruth, "Kim", "user").await;
    ada.post("/invitations", invitation(KIM))
        .await
        .refused(409, "invitation-used");
    moves_to(&world, &kim, "kim@home.example").await;
    ada.post("/invitations", invitation(KIM)).await.expect(201);
    let token = link_token(&world.last_mail_to(KIM).await);
    let body = World::acceptance(&token, "Kim", KIM, "kim.second");
    world.on("group").accepts(body).await.expect(201);
    invariants(&world).await;
}

/// AG-10: every address by which the removed person is known is reserved for the principal.
#[tokio::test]
async fn ag_10_only_the_principal_invites_a_removed_person_at_any_address_they_had() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let kim = world.staff(&ruth, "Kim", "user").await;
    let id = kim.id().await;
    moves_to(&world, &kim, "kim@home.example").await;
    removes(&ruth, &id).await;
    for address in [
        KIM,
        "kim@home.example",
        // Another spelling of the same mailbox.
        "kim+again@home.example",
        "KIM+Again@Home.example",
    ] {
        ada.post("/invitations", invitation(address))
            .await
            .refused(409, "previously-removed");
    }
    // Another person at the same place is not the same person.
    ada.post("/invitations", invitation("kimberly@home.example"))
        .await
        .expect(201);
    for address in [KIM, "kim@home.example", "kim+again@home.example"] {
        ruth.post("/invitations", invitation(address))
            .await
            .expect(201);
    }
    // An administrator can't send the principal's invitation in their own name.
    let list = ada.get("/invitations").await.expect(200);
    let principals = list
        .items()
        .iter()
        .find(|i| i["email"] == "kim@home.example")
        .unwrap();
    let id = principals["id"].as_str().unwrap();
    ada.post(&format!("/invitations/{id}/resend"), json!({}))
        .await
        .refused(409, "previously-removed");
    let token = link_token(&world.last_mail_to("kim@home.example").await);
    let body = World::acceptance(&token, "Kim", "kim@home.example", "kim.second");
    world.on("group").accepts(body).await.expect(201);
    invariants(&world).await;
}

/// An invitation that an administrator sent before the person was removed doesn't bring them back.
#[tokio::test]
async fn ag_10_a_removed_person_does_not_return_with_an_earlier_invitation() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    let kim = world.staff(&ruth, "Kim", "user").await;
    let other = "kim+second@blueheron.example";
    let token = world.invite(&ada, "Kim", other, "user").await;
    removes(&ruth, &kim.id().await).await;
    let body = World::acceptance(&token, "Kim", other, "kim.second");
    world
        .on("group")
        .accepts(body)
        .await
        .refused(410, "invitation-revoked");
    invariants(&world).await;
}

/// EX-08: the tag still makes a different address, also for people who were never removed.
#[tokio::test]
async fn ex_08_a_tag_makes_another_address_for_everyone_who_was_not_removed() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    world.staff(&ruth, "Kim", "user").await;
    for address in ["kim+one@blueheron.example", "kim+two@blueheron.example"] {
        ada.post("/invitations", invitation(address))
            .await
            .expect(201);
    }
}
