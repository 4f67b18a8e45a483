//! The group (employer) portal.

use serde_json::json;
use vestibule_tests::people::{PASSWORD, group_principal, with};
use vestibule_tests::{World, token_in};

#[tokio::test]
async fn ag_01_staff_register_only_through_the_link_and_a_resent_link_replaces_the_older() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let old = world.invite(&ruth, "Sam", "sam@blueheron.example", "user").await;

    // Nothing but the link lets staff in: no way of registering is theirs.
    let body = with(World::acceptance("vi.x.y", "Sam", "sam@blueheron.example", "sam.lind"), "/token", "vi.x.y");
    let refused = world.on("group").post("/invitations/accept", body).await.unwrap();
    assert_eq!((refused.status, refused.problem()), (404, "invitation-unknown"));
    let body = with(group_principal(), "/way", "staff");
    let refused = world.on("group").post("/registrations", body).await.unwrap();
    assert_eq!((refused.status, refused.fields()), (422, vec!["way"]));

    // Sent again, the older link is dead and the newer one works.
    let list = ruth.get("/invitations").await.unwrap();
    let id = list.text_at("/items/0/id").to_owned();
    let resent = ruth.post(&format!("/invitations/{id}/resend"), json!({})).await.unwrap();
    assert_eq!((resent.status, resent.body["sent"].as_u64()), (200, Some(2)));
    let new = token_in(&world.last_mail_to("sam@blueheron.example").await);
    assert_ne!(old, new);
    let with_old = World::acceptance(&old, "Sam", "sam@blueheron.example", "sam.lind");
    let refused = world.on("group").post("/invitations/accept", with_old).await.unwrap();
    assert_eq!((refused.status, refused.problem()), (404, "invitation-unknown"));
    assert!(refused.text_at("/detail").contains("perhaps a newer one was sent"), "{}", refused.text);
    let with_new = World::acceptance(&new, "Sam", "sam@blueheron.example", "sam.lind");
    let accepted = world.on("group").post("/invitations/accept", with_new).await.unwrap();
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    let (_, signed_in) = world.on("group").sign_in("sam.lind", PASSWORD).await.unwrap();
    assert_eq!((signed_in.status, signed_in.text_at("/next_step")), (201, "await_approval"));
}

#[tokio::test]
async fn ag_08_the_invited_person_is_told_registers_is_approved_and_has_exactly_what_was_assigned() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let id = world.invited(&ruth, "Sam", "user").await;
    let told = world.last_mail_to("ruth@blueheron.example").await;
    assert!(told.text.contains("Sam Lind"), "{}", told.text);

    let sam = world.sign_in("group", "sam.lind").await;
    let refused = sam.get("/entitlements").await.unwrap();
    assert_eq!((refused.status, refused.text_at("/next_step")), (403, "await_approval"));

    let body = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH02"] });
    let approved = ruth.post(&format!("/users/{id}/approval"), body).await.unwrap();
    assert_eq!(approved.status, 200, "{}", approved.text);
    let entitlements = sam.get("/entitlements").await.unwrap();
    assert_eq!(entitlements.status, 200, "{}", entitlements.text);
    assert_eq!(entitlements.body["services"], json!(["enrollment", "reports"]));
    assert_eq!(entitlements.body["group_codes"], json!(["BH02"]));
}
