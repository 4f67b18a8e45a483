//! Sessions: how they start and end, and what changes while they are open.

use data_encoding::BASE64URL_NOPAD;
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::policy::Role;
use vestibule_domain::state::account::{Account, Status};
use vestibule_domain::state::membership::Membership;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, everyone, group_principal, with};
use vestibule_tests::{START, World};

/// The exact text of BA-05.
const LOGIN_FAILED: &str = "Login failed due to either an invalid user ID and/or password, or a connection cannot be established. Please try again.";

/// The exact text of BA-04.
const ACCOUNT_DISABLED: &str = "This user ID no longer has access to the system. Please contact your security administrator for more information.";

fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

/// Returns whether the session is open.
async fn open(client: &Person) -> bool {
    let response = client.get("/sessions/current").await;
    match response.status {
        200 => true,
        401 => {
            assert_eq!(response.problem(), "not-signed-in");
            false
        }
        other => panic!("{other}: {}", response.text),
    }
}

async fn sign_in(world: &World, portal: &str, username: &str, password: &str) -> Response {
    world.on(portal).sign_in(username, password).await.1
}

#[tokio::test]
async fn ag_14_a_session_ends_after_eight_hours_to_the_second_however_busy_it_is() {
    let world = World::new().await;
    for (portal, body) in everyone() {
        let registered = world.register(portal, body).await;
        let (client, begun) = world
            .on(portal)
            .sign_in(registered.text_at("/username"), PASSWORD)
            .await;
        let began: jiff::Timestamp = begun.text_at("/started_at").parse().unwrap();
        let ends: jiff::Timestamp = begun.text_at("/expires_at").parse().unwrap();
        assert_eq!(
            (began, ends),
            (world.now(), world.now() + minutes(8 * 60)),
            "{portal}"
        );
        // Used more often than any portal requires.
        for _ in 0..25 {
            world.pass(minutes(19));
            assert!(open(&client).await, "{portal}");
        }
        world.pass(minutes(5) - seconds(1));
        assert!(open(&client).await, "{portal}: a second before the end");
        world.pass(seconds(1));
        assert!(!open(&client).await, "{portal}: at the end");
        world.pass(-seconds(1));
        assert!(open(&client).await, "{portal}: until then nothing ended it");
    }
}

#[tokio::test]
async fn ag_14_a_session_left_alone_ends_after_the_portals_idle_limit_and_use_keeps_it_open() {
    let world = World::new().await;
    for (portal, body) in everyone() {
        let idle = minutes(if portal == "practice" { 20 } else { 30 });
        let username = world
            .register(portal, body)
            .await
            .text_at("/username")
            .to_owned();

        let client = world.sign_in(portal, &username).await;
        world.pass(idle);
        assert!(
            open(&client).await,
            "{portal}: idle for no longer than the limit"
        );
        world.pass(idle);
        assert!(open(&client).await, "{portal}: the use before kept it open");
        world.pass(idle + seconds(1));
        assert!(!open(&client).await, "{portal}: idle for longer");
        assert!(!open(&client).await, "{portal}: asking doesn't wake it");

        // Every kind of request counts as use, including refused ones.
        let client = world.sign_in(portal, &username).await;
        world.pass(idle - seconds(1));
        assert_ne!(client.get("/users").await.status, 401, "{portal}");
        world.pass(idle - seconds(1));
        assert!(open(&client).await, "{portal}");
        // Other users' requests don't.
        world.pass(idle - seconds(1));
        let other = world.sign_in(portal, &username).await;
        world.pass(seconds(2));
        assert!(open(&other).await && !open(&client).await, "{portal}");
    }
}

/// The cookie of a response as browsers read it: the pair and its attributes.
fn cookie_of(response: &Response) -> (String, Vec<String>) {
    // There is also the cookie that identifies the device.
    let mut cookies: Vec<_> = response.headers.get_all("set-cookie").iter().collect();
    cookies.retain(|c| !c.to_str().unwrap().starts_with("__Host-vestibule-device="));
    assert_eq!(cookies.len(), 1, "{:?}", response.headers);
    let mut parts = cookies[0].to_str().unwrap().split("; ").map(str::to_owned);
    let pair = parts.next().unwrap();
    let mut attributes: Vec<_> = parts.collect();
    attributes.sort();
    (pair, attributes)
}

#[tokio::test]
async fn ag_14_the_cookie_is_gone_with_the_browser_out_of_reach_of_scripts_and_works_like_the_bearer_token()
 {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    let caller = world.on("group");
    let body = json!({ "username": "ruth.okafor", "password": PASSWORD });
    for body in [body.clone(), with(body, "/token_delivery", "cookie")] {
        let begun = caller.post("/sessions", body).await.expect(201);
        assert_eq!(begun.headers["location"], "/group/sessions/current");
        assert_eq!(begun.headers["cache-control"], "no-store");
        let (pair, attributes) = cookie_of(&begun);
        assert_eq!(
            attributes,
            ["HttpOnly", "Path=/", "SameSite=Strict", "Secure"],
            "and neither Max-Age nor Expires nor Domain"
        );
        let token = pair
            .strip_prefix("__Host-session=")
            .expect("the cookie's name");
        assert!(
            token.len() > 43,
            "256 random bits and where to look: {}",
            token.len()
        );
        assert!(
            !begun.text.contains(token) && begun.body.get("token").is_none(),
            "scripts don't see the token"
        );

        let with_cookie = async |cookie: &str| {
            Response::to(caller.request(Method::GET, "/me").header("cookie", cookie)).await
        };
        let by_bearer = caller
            .with_token(token)
            .get("/me")
            .await
            .expect(200)
            .has("/username", "ruth.okafor");
        for cookie in [
            pair.clone(),
            format!("theme=dark; {pair}; lang=en"),
            format!("session=x;{pair}"),
        ] {
            assert_eq!(with_cookie(&cookie).await.text, by_bearer.text, "{cookie}");
        }
        let other_name = pair.replace("__Host-session", "session");
        let cut = &pair[..pair.len() - 2];
        for cookie in [
            other_name.as_str(),
            cut,
            "__Host-session=",
            "__Host-session",
            "",
        ] {
            assert_eq!(with_cookie(cookie).await.status, 401, "{cookie}");
        }
        // A token is valid on its portal only.
        world
            .on("employer")
            .with_token(token)
            .get("/me")
            .await
            .expect(401);

        // Signing out with the cookie ends the session and deletes the cookie.
        let ended = Response::to(
            caller
                .request(Method::DELETE, "/sessions/current")
                .header("origin", "https://groups.harborlight.example")
                .header("cookie", &pair),
        )
        .await;
        assert_eq!(ended.status, 204);
        let (cleared, attributes) = cookie_of(&ended);
        assert_eq!(cleared, "__Host-session=");
        assert_eq!(
            attributes,
            [
                "HttpOnly",
                "Max-Age=0",
                "Path=/",
                "SameSite=Strict",
                "Secure"
            ]
        );
        with_cookie(&pair).await.expect(401);
        caller.with_token(token).get("/me").await.expect(401);
    }
    // A program gets the token in the body, and no cookie.
    let begun = sign_in(&world, "group", "ruth.okafor", PASSWORD).await;
    assert!(begun.headers.get("set-cookie").is_none());
    assert!(begun.text_at("/token").starts_with("vs."));
    assert_eq!(begun.text_at("/started_at"), START);
}

/// A registered user: portal, username and id.
async fn registered(world: &World, portal: &'static str, body: Value) -> (String, String) {
    let response = world.register(portal, body).await;
    (
        response.text_at("/username").to_owned(),
        response.text_at("/user_id").to_owned(),
    )
}

#[tokio::test]
async fn ba_05_unknown_deleted_and_unredeemed_accounts_and_wrong_passwords_get_the_same_response() {
    let world = World::new().await;
    for (portal, body) in everyone() {
        let (username, id) = registered(&world, portal, body).await;
        let unknown = sign_in(&world, portal, "nobody.at.all", PASSWORD).await;
        assert_eq!(
            (
                unknown.status,
                unknown.problem(),
                unknown.text_at("/detail")
            ),
            (401, "sign-in-failed", LOGIN_FAILED)
        );
        let wrong = sign_in(&world, portal, &username, "Wrong-River-58!").await;
        assert_eq!(
            (wrong.status, &wrong.text),
            (401, &unknown.text),
            "{portal}: a wrong password"
        );
        let right = sign_in(&world, portal, &username.to_uppercase(), PASSWORD).await;
        assert_eq!(
            right.status, 201,
            "{portal}: case doesn't matter: {}",
            right.text
        );
        world.alter(portal, &id, Account::delete).await;
        for password in [PASSWORD, "Wrong-River-58!"] {
            let deleted = sign_in(&world, portal, &username, password).await;
            assert_eq!(
                (deleted.status, &deleted.text),
                (401, &unknown.text),
                "{portal}: a deleted account"
            );
            assert!(deleted.headers.get("set-cookie").is_none());
        }
    }

    // A user who has not redeemed the registration code has no password yet.
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (username, _code) = world.added_by(&helen, "Nils").await;
    let unknown = sign_in(&world, "provider", "nobody.at.all", PASSWORD).await;
    for password in [PASSWORD, "RC123456", " "] {
        let pending = sign_in(&world, "provider", &username, password).await;
        assert_eq!(
            (pending.status, &pending.text),
            (401, &unknown.text),
            "the code isn't redeemed"
        );
    }
}

#[tokio::test]
async fn ba_04_only_the_right_password_reveals_that_the_account_is_disabled() {
    let world = World::new().await;
    for (portal, body) in everyone() {
        let (username, id) = registered(&world, portal, body).await;
        world
            .alter(portal, &id, |a| a.status = Status::Disabled)
            .await;
        let unknown = sign_in(&world, portal, "nobody.at.all", PASSWORD).await;
        let right = sign_in(&world, portal, &username, PASSWORD).await;
        assert_eq!(
            (right.status, right.problem(), right.text_at("/detail")),
            (403, "account-disabled", ACCOUNT_DISABLED),
            "{portal}"
        );
        assert!(right.headers.get("set-cookie").is_none() && right.body.get("token").is_none());
        let wrong = sign_in(&world, portal, &username, "Wrong-River-58!").await;
        assert_eq!(
            (wrong.status, &wrong.text),
            (401, &unknown.text),
            "{portal}"
        );
        world
            .alter(portal, &id, |a| a.status = Status::Active)
            .await;
        assert_eq!(
            sign_in(&world, portal, &username, PASSWORD).await.status,
            201,
            "{portal}: reinstated"
        );
    }
}

type Change = fn(&mut Account);

fn membership(account: &mut Account) -> &mut Membership {
    &mut account.memberships[0]
}

#[tokio::test]
async fn ux_04_a_decision_about_an_account_applies_at_the_next_request_of_its_open_sessions() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let cases: [(&str, &str, Change, u16, &str); 6] = [
        (
            "Dora",
            "disabled",
            |a| a.status = Status::Disabled,
            401,
            "not-signed-in",
        ),
        ("Dell", "deleted", Account::delete, 401, "not-signed-in"),
        (
            "Sess",
            "its sessions ended",
            Account::end_sessions,
            401,
            "not-signed-in",
        ),
        (
            "Left",
            "taken out of the organization",
            |a| a.memberships.clear(),
            403,
            "next-step-required",
        ),
        (
            "Demi",
            "no administrator any more",
            |a| membership(a).role = Role::User,
            403,
            "not-allowed",
        ),
        ("Keep", "unchanged", |_| {}, 200, ""),
    ];
    for (first, what, change, status, problem) in cases {
        let ada = world.staff(&ruth, first, "administrator").await;
        let second = world
            .sign_in("group", &format!("{}.lind", first.to_lowercase()))
            .await;
        let id = ada.get("/me").await.text_at("/id").to_owned();
        for session in [&ada, &second] {
            assert_eq!(session.get("/users").await.status, 200, "{what}");
        }
        world.alter("group", &id, change).await;
        let person = json!({ "first_name": "Kim", "last_name": "Lind", "email": format!("{first}s.friend@blueheron.example") });
        for session in [&ada, &second] {
            let listed = session.get("/users").await;
            assert_eq!(
                (listed.status, listed.problem()),
                (status, problem),
                "{what}: {}",
                listed.text
            );
        }
        let invited = ada.post("/invitations", person).await;
        let expected = if status == 200 { 201 } else { status };
        assert_eq!(
            (invited.status, invited.problem()),
            (expected, problem),
            "{what}: {}",
            invited.text
        );
        let me = ada.get("/me").await;
        assert_eq!(me.status == 200, status != 401, "{what}: {}", me.text);
    }
    assert_eq!(
        ruth.get("/users").await.status,
        200,
        "the others notice nothing"
    );
}

#[tokio::test]
async fn ux_04_a_changed_assignment_applies_at_the_next_request_of_an_open_session() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let id = sam.get("/me").await.text_at("/id").to_owned();
    let entitlements = async || {
        let response = sam.get("/entitlements").await.expect(200);
        json!([
            response.body["role"],
            response.body["services"],
            response.body["group_codes"]
        ])
    };
    assert_eq!(
        entitlements().await,
        json!(["user", ["enrollment"], ["BH01"]])
    );
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    world
        .alter("group", &id, |a| {
            membership(a).services = set(&["billing", "reports"])
        })
        .await;
    assert_eq!(
        entitlements().await,
        json!(["user", ["billing", "reports"], ["BH01"]])
    );
    world
        .alter("group", &id, |a| membership(a).group_codes = set(&["BH03"]))
        .await;
    assert_eq!(
        entitlements().await,
        json!(["user", ["billing", "reports"], ["BH03"]])
    );
    sam.get("/users").await.expect(403);
    world
        .alter("group", &id, |a| membership(a).role = Role::Administrator)
        .await;
    assert_eq!(
        entitlements().await,
        json!(["administrator", ["billing", "reports"], ["BH03"]])
    );
    assert_eq!(
        sam.get("/users").await.status,
        200,
        "the new role's doors open"
    );
    world
        .alter("group", &id, |a| {
            (membership(a).services, membership(a).group_codes) = (set(&[]), set(&[]))
        })
        .await;
    assert_eq!(entitlements().await, json!(["administrator", [], []]));
}

#[tokio::test]
async fn ux_04_a_move_to_another_organization_shows_nothing_of_either_until_it_is_chosen() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "administrator").await;
    let id = sam.get("/me").await.text_at("/id").to_owned();
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
    let other = baker
        .get("/me")
        .await
        .text_at("/organization/id")
        .to_owned();
    let other = vestibule_domain::values::ids::OrganizationId::parse(&other).unwrap();
    world
        .alter("group", &id, |a| membership(a).organization = Some(other))
        .await;
    for path in ["/users", "/entitlements", "/invitations"] {
        sam.get(path)
            .await
            .expect(403)
            .has("/next_step", "choose_organization");
    }
    // The lists follow: one organization no longer shows the user, the other does.
    let shows = async |client: &Person| client.get("/users").await.text.contains(&id);
    assert!(!shows(&ruth).await && shows(&baker).await);
    ruth.get(&format!("/users/{id}")).await.expect(404);
    let again = world.sign_in("group", "sam.lind").await;
    assert!(
        shows(&again).await,
        "a new session works for the new organization"
    );
}

const WRONG: &str = "Wrong-River-58!";

/// Signs Ruth in on a device, or on one that has no cookie.
async fn sign_in_from(world: &World, password: &str, device: Option<&str>) -> Response {
    let mut body =
        json!({ "username": "ruth.okafor", "password": password, "token_delivery": "body" });
    if let Some(device) = device {
        body["device"] = device.into();
    }
    world.on("group").post("/sessions", body).await
}

#[tokio::test]
async fn se_05_strangers_cannot_lock_out_an_owner_on_a_known_device() {
    let world = World::new().await;
    world.group_principal().await;
    let first = sign_in_from(&world, PASSWORD, None).await.expect(201);
    let own = first.text_at("/device").to_owned();

    // A stranger uses up the attempts at the username.
    for _ in 0..10 {
        sign_in_from(&world, WRONG, None).await.expect(401);
    }
    sign_in_from(&world, PASSWORD, None).await.expect(429);

    // The owner still signs in on the device that the account knows, also after mistakes.
    sign_in_from(&world, PASSWORD, Some(&own)).await.expect(201);
    sign_in_from(&world, WRONG, Some(&own)).await.expect(401);
    sign_in_from(&world, PASSWORD, Some(&own)).await.expect(201);
}

#[tokio::test]
async fn se_05_guesses_from_a_device_are_limited_whether_the_account_knows_it_or_not() {
    let world = World::new().await;
    world.group_principal().await;
    let first = sign_in_from(&world, PASSWORD, None).await.expect(201);
    let own = first.text_at("/device").to_owned();

    // A thief of the device has ten attempts.
    for _ in 0..10 {
        sign_in_from(&world, WRONG, Some(&own)).await.expect(401);
    }
    sign_in_from(&world, PASSWORD, Some(&own)).await.expect(429);

    // A stranger gains nothing by inventing a device for each guess.
    world.pass(SignedDuration::from_mins(15));
    for n in 0..10 {
        let invented = BASE64URL_NOPAD.encode(&[n; 32]);
        sign_in_from(&world, WRONG, Some(&invented))
            .await
            .expect(401);
    }
    let invented = BASE64URL_NOPAD.encode(&[99; 32]);
    sign_in_from(&world, PASSWORD, Some(&invented))
        .await
        .expect(429);
    sign_in_from(&world, PASSWORD, None).await.expect(429);
    sign_in_from(&world, PASSWORD, Some(&own)).await.expect(201);
}
