//! Access end dates (UX-07): setting, changing and clearing them. Access ends as soon as the last
//! day has passed in the portal's time zone, at the next request.

use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, dental, hint};
use vestibule_tests::{World, code_in, fault, link_token};

/// Sets or removes a user's end date.
async fn end(by: &Person, id: &str, day: Option<&str>) -> Response {
    let body =
        json!({ "role": "user", "services": ["enrollment"], "group_codes": [], "end_date": day });
    by.put(&format!("/users/{id}/access"), body).await
}

async fn signs_in(world: &World, portal: &str, username: &str) -> (Person, Response) {
    world.on(portal).sign_in(username, PASSWORD).await
}

/// Waits for a time without holding a session, which would end after eight hours.
async fn at(world: &World, portal: &str, username: &str, moment: &str) -> (u16, String) {
    world.wait_until(moment);
    let (client, response) = signs_in(world, portal, username).await;
    let opened = client.get("/entitlements").await;
    (opened.status, response.problem().to_owned())
}

#[tokio::test]
async fn ux_07_an_access_is_gone_when_its_last_day_is_over_on_the_portals_clock() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = sam.id().await;
    end(&ruth, &id, Some("2026-11-25"))
        .await
        .expect(200)
        .has("/end_date", "2026-11-25");
    let reported = world.last_mail_to("sam@blueheron.example").await;
    assert!(
        reported
            .text
            .contains("Your access ends after Wednesday, November 25, 2026."),
        "{}",
        reported.text
    );

    // Chicago is six hours behind UTC, so the day ends at 06:00 UTC on the next.
    world.wait_until("2026-11-26T05:20:00Z");
    let sam = world.sign_in("group", "sam.lind").await;
    sam.get("/me")
        .await
        .has("/organization/end_date", "2026-11-25");
    world.pass(SignedDuration::from_mins(25));
    sam.get("/entitlements").await.expect(200);
    world.wait_until("2026-11-26T05:59:59.999Z");
    assert_eq!(
        sam.get("/entitlements").await.status,
        200,
        "its last millisecond"
    );
    world.pass(SignedDuration::from_millis(1));
    for path in ["/entitlements", "/me", "/sessions"] {
        assert_eq!(sam.get(path).await.status, 401, "{path}: midnight");
    }
    // The response is that for a username that doesn't exist.
    let (_, refused) = signs_in(&world, "group", "sam.lind").await;
    let (_, never) = signs_in(&world, "group", "nobody.lind").await;
    assert_eq!(
        (refused.status, refused.problem(), &refused.text),
        (401, "sign-in-failed", &never.text)
    );
    let before = world.mails_to("sam@blueheron.example").await.len();
    let forgot = json!({ "username": "sam.lind" });
    world
        .on("group")
        .post("/password-resets", forgot)
        .await
        .expect(202);
    // The first delivery processes the request, the second would send its email.
    world.mails_to("sam@blueheron.example").await;
    assert_eq!(
        world.mails_to("sam@blueheron.example").await.len(),
        before,
        "a reset doesn't restore access"
    );

    // Until the scheduler removes the access, an administrator can change or clear the end date.
    let ruth = world.sign_in("group", "ruth.okafor").await;
    end(&ruth, &id, Some("2026-11-26")).await.expect(200);
    assert_eq!(signs_in(&world, "group", "sam.lind").await.1.status, 201);
    let cleared = end(&ruth, &id, None).await;
    assert_eq!(
        (cleared.status, cleared.body.get("end_date")),
        (200, None),
        "{}",
        cleared.text
    );
    world.pass_days(60);
    assert_eq!(signs_in(&world, "group", "sam.lind").await.1.status, 201);
}

#[tokio::test]
async fn ux_07_the_last_day_is_as_long_as_daylight_saving_makes_it() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = sam.id().await;
    // Clocks go forward on March 14, 2027 and back on November 7: days of 23 and 25 hours.
    for (day, last, over) in [
        ("2027-03-13", "2027-03-14T05:59:59Z", "2027-03-14T06:00:00Z"),
        ("2027-03-14", "2027-03-15T04:59:59Z", "2027-03-15T05:00:00Z"),
        ("2027-11-06", "2027-11-07T04:59:59Z", "2027-11-07T05:00:00Z"),
        ("2027-11-07", "2027-11-08T05:59:59Z", "2027-11-08T06:00:00Z"),
    ] {
        // Passwords of this portal expire, which is not part of this test.
        world
            .alter("group", &id, |account| {
                account.memberships[0].end_date = Some(day.parse().unwrap());
                account.password.as_mut().unwrap().changed_at = last.parse().unwrap();
            })
            .await;
        assert_eq!(
            at(&world, "group", "sam.lind", last).await.0,
            200,
            "{day}: a second before"
        );
        assert_eq!(
            at(&world, "group", "sam.lind", over).await,
            (401, "sign-in-failed".to_owned()),
            "{day}: over"
        );
    }
}

#[tokio::test]
async fn ux_07_a_last_day_is_set_when_inviting_and_kept_changed_or_cleared_when_approving() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    for (first, given, expected) in [
        ("Sam", json!({ "services": [] }), Some("2026-12-31")),
        (
            "Tess",
            json!({ "services": [], "end_date": "2026-12-01" }),
            Some("2026-12-01"),
        ),
        ("Uma", json!({ "services": [], "end_date": null }), None),
    ] {
        let email = format!("{}@blueheron.example", first.to_lowercase());
        let username = format!("{}.lind", first.to_lowercase());
        let body = json!({ "first_name": first, "last_name": "Lind", "email": email, "end_date": "2026-12-31" });
        ruth.post("/invitations", body)
            .await
            .expect(201)
            .has("/end_date", "2026-12-31");
        let token = link_token(&world.last_mail_to(&email).await);
        let body = World::acceptance(&token, first, &email, &username);
        let accepted = world.on("group").accepts(body).await;
        let accepted = accepted;
        let accepted = accepted.expect(201);
        let id = accepted.text_at("/user_id");
        ruth.get(&format!("/users/{id}"))
            .await
            .has("/end_date", "2026-12-31");
        let approved = ruth.post(&format!("/users/{id}/approval"), given).await;
        let approved = approved;
        assert_eq!(
            (
                approved.status,
                approved.body.get("end_date").and_then(Value::as_str)
            ),
            (200, expected),
            "{}",
            approved.text
        );
        let reported = world.last_mail_to(&email).await.text;
        assert_eq!(
            reported.contains("Your access ends after"),
            expected.is_some()
        );
    }
    ruth.searches_users("tess")
        .await
        .has("/items/0/end_date", "2026-12-01");
}

#[tokio::test]
async fn ux_07_an_invitation_is_of_no_use_when_the_access_it_gives_is_over() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let body = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "end_date": "2026-11-24" });
    let invited = ruth
        .post("/invitations", body)
        .await
        .has("/expires_at", "2026-11-25T06:00:00Z");
    let mail = world.last_mail_to("sam@blueheron.example").await;
    assert!(mail.text.contains("November 24, 2026"), "{}", mail.text);
    let body = World::acceptance(
        &link_token(&mail),
        "Sam",
        "sam@blueheron.example",
        "sam.lind",
    );
    world.wait_until("2026-11-25T06:00:00Z");
    let late = world.on("group").accepts(body).await;
    let late = late;
    late.refused(410, "invitation-expired");
    // Resending wouldn't help either; the person is invited again with another end date.
    let ruth = world.sign_in("group", "ruth.okafor").await;
    let id = invited.text_at("/id");
    let again = ruth
        .post(&format!("/invitations/{id}/resend"), json!({}))
        .await;
    assert_eq!(fault(&again), (422, "end_date", "must be today or later"));
    let body = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "end_date": "2026-12-24" });
    ruth.post("/invitations", body).await.expect(201);
}

#[tokio::test]
async fn ux_07_a_user_is_added_with_a_last_day_by_code_and_by_initial_password() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let body = json!({ "first_name": "Kim", "last_name": "Lind", "email": "kim@lakeside.example", "end_date": "2026-11-23" });
    let added = helen
        .post("/users", body)
        .await
        .expect(201)
        .has("/end_date", "2026-11-23");
    let mail = world.last_mail_to("kim@lakeside.example").await;
    assert!(mail.text.contains("November 23, 2026"), "{}", mail.text);
    let redemption = json!({ "username": added.text_at("/username"), "registration_code": code_in(&mail), "password": PASSWORD, "hint": hint() });
    world.wait_until("2026-11-24T06:00:00Z");
    let late = world
        .on("provider")
        .post("/registration-codes/redemption", redemption)
        .await;
    assert_eq!(
        (late.status, late.problem()),
        (422, "code-wrong"),
        "as for an unknown name: {}",
        late.text
    );

    world.register("practice", dental()).await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let body = json!({ "first_name": "Ann", "last_name": "Lee", "email": "ann@riverbend.example", "username": "ann.lee", "initial_password": PASSWORD, "end_date": "2026-11-24" });
    omar.post("/users", body).await.expect(201);
    let (_, last) = signs_in(&world, "practice", "ann.lee").await;
    last.has("/next_step", "change_password");
    let (status, problem) = at(&world, "practice", "ann.lee", "2026-11-25T06:00:00Z").await;
    assert_eq!((status, problem.as_str()), (401, "sign-in-failed"));
}

#[tokio::test]
async fn ux_07_a_last_day_that_is_over_or_none_is_refused_and_so_is_a_principals() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = sam.id().await;
    for (given, why) in [
        ("2026-11-22", "must be today or later"),
        ("2026-02-30", "must be a date such as 2027-01-31"),
        ("tomorrow", "must be a date such as 2027-01-31"),
        ("2027-01-31T00:00:00Z", "must be a date such as 2027-01-31"),
        ("-002027-01-31", "must be a date such as 2027-01-31"),
        ("", "must be a date such as 2027-01-31"),
    ] {
        let refused = end(&ruth, &id, Some(given)).await;
        assert_eq!(fault(&refused), (422, "end_date", why), "{given}");
        let body = json!({ "first_name": "Tess", "last_name": "Lind", "email": "tess@blueheron.example", "end_date": given });
        let refused = ruth.post("/invitations", body).await;
        assert_eq!(fault(&refused), (422, "end_date", why), "{given}");
    }
    // Late in the evening in Chicago it is already tomorrow in UTC, but today is still a valid last
    // day.
    world.wait_until("2026-11-24T05:30:00Z");
    let ruth = world.sign_in("group", "ruth.okafor").await;
    end(&ruth, &id, Some("2026-11-23")).await.expect(200);

    let body =
        json!({ "role": "principal", "services": [], "group_codes": [], "end_date": "2027-01-31" });
    let refused = ruth.put(&format!("/users/{id}/access"), body).await;
    assert!(
        refused.status == 403
            || fault(&refused)
                == (
                    422,
                    "end_date",
                    "cannot be set for a principal, whose access does not expire"
                ),
        "{}",
        refused.text
    );
}

#[tokio::test]
async fn ux_07_an_administrator_whose_access_is_over_is_named_to_nobody() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let tess = world.staff(&ruth, "Tess", "administrator").await;
    let body = json!({ "role": "administrator", "services": [], "group_codes": [], "end_date": "2026-11-23" });
    let id = tess.id().await;
    ruth.put(&format!("/users/{id}/access"), body)
        .await
        .expect(200);
    let named = async |client: &Person| {
        let me = client.get("/me").await;
        me.body["organization"]["administrators"]
            .as_array()
            .map(Vec::len)
    };
    assert_eq!(named(&ruth).await, Some(2));
    world.wait_until("2026-11-24T06:00:00Z");
    let ruth = world.sign_in("group", "ruth.okafor").await;
    assert_eq!(named(&ruth).await, Some(1));
    world.on("group").get("/users.csv").await.expect(401);
}
