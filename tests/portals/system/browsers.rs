//! What a browser may be made to do by another website, and the headers that every client relies on.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{PASSWORD, group_principal, member, with};
use vestibule_tests::{World, options};

use super::openapi::{is_for_applications, operations};

const ELSEWHERE: &str = "https://evil.example";
const PORTAL: &str = "https://groups.harborlight.example";

/// A path of a route, with a value in each place.
fn filled(route: &str) -> String {
    let path = route.trim_start_matches("/{portal}");
    path.replace("{account_portal}", "member")
        .replace("{id}", "00000000000000000000000000")
}

/// Every operation that changes something: method, path after the portal, and whether it has a JSON body.
fn changes() -> Vec<(Method, String, bool)> {
    operations()
        .into_iter()
        .filter(|(method, ..)| method != "GET")
        // Applications use no cookie; only the page that leads to them does.
        .filter(|(_, _, o)| !is_for_applications(o) || o["operationId"] == "authorize")
        .map(|(method, route, operation)| {
            let has_json = operation["requestBody"]["content"]["application/json"].is_object();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            (method, filled(&route), has_json)
        })
        .collect()
}

/// Sends a request with headers and, if it is given, a body.
async fn send(
    client: &Person,
    (method, path): (&Method, &str),
    headers: &[(&str, &str)],
    body: Option<&'static str>,
) -> Response {
    let mut request = client.request(method.clone(), path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    Response::to(request).await
}

#[tokio::test]
async fn another_website_cannot_change_anything_on_any_route() {
    let world = World::new().await;
    let caller = world.on("group");
    let changes = changes();
    assert!(changes.len() > 40, "{}", changes.len());
    for (method, path, _) in &changes {
        let to = (method, path.as_str());
        let what = format!("{method} {path}");
        let cookie = ("cookie", "__Host-session=vs.x.y");
        let refused = async |headers: &[(&str, &str)], body| {
            let response = send(&caller, to, headers, body).await;
            assert_eq!(
                (response.status, response.problem()),
                (403, "cross-origin"),
                "{what} with {headers:?}"
            );
        };
        // A page of another website, or of another host of the same site.
        for site in ["cross-site", "same-site"] {
            refused(&[cookie, ("sec-fetch-site", site)], None).await;
            refused(
                &[cookie, ("sec-fetch-site", site), ("origin", ELSEWHERE)],
                Some("{}"),
            )
            .await;
        }
        for origin in [
            ELSEWHERE,
            "null",
            "http://groups.harborlight.example",
            "https://groups.harborlight.example.evil.example",
            "https://members.harborlight.example",
            "http://localhost:8600",
        ] {
            refused(&[cookie, ("origin", origin)], None).await;
            refused(
                &[("origin", origin), ("content-type", "application/json")],
                Some("{}"),
            )
            .await;
        }
        // A browser that sends the cookie of a session says where the request comes from.
        refused(&[cookie], None).await;

        // What a form can send, with and without a body, even from the portal's own pages.
        if path.ends_with(".csv") {
            continue;
        }
        for kind in [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "text/plain; charset=application/json",
        ] {
            for body in [None, Some("a=b")] {
                let headers = [("content-type", kind), ("origin", PORTAL)];
                let response = send(&caller, to, &headers, body).await;
                assert_eq!(
                    (response.status, response.problem()),
                    (415, "not-json"),
                    "{what} with {kind}"
                );
            }
        }
        send(&caller, to, &[], Some("{}"))
            .await
            .refused(415, "not-json");
    }
}

#[tokio::test]
async fn pages_of_the_portal_and_programs_can_change_what_they_may() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    let ruth = world.sign_in("group", "ruth.okafor").await;
    for (method, path, has_json) in &changes() {
        for headers in [
            &[][..],
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
            &[("sec-fetch-site", "cross-site"), ("origin", PORTAL)],
            &[("origin", PORTAL)],
        ] {
            let mut headers = headers.to_vec();
            if *has_json {
                headers.push(("content-type", "application/json"));
            }
            // The body is not JSON, so nothing happens where one is read; where none is read, the object is
            // unknown or a step is missing.
            let client = world.on("group");
            let response = send(&client, (method, path), &headers, has_json.then_some("-")).await;
            let problem = response.problem();
            assert!(
                problem != "cross-origin" && problem != "not-json",
                "{method} {path} with {headers:?}: {problem}"
            );
        }
    }
    // With a session, too: by the cookie from a page, and by the token from a program.
    let begun = world
        .on("group")
        .post(
            "/sessions",
            json!({ "username": "ruth.okafor", "password": PASSWORD }),
        )
        .await
        .expect(201);
    let cookies = begun.headers.get_all("set-cookie").iter();
    let cookie = cookies
        .filter_map(|c| c.to_str().ok()?.split(';').next())
        .find(|c| c.starts_with("__Host-session="))
        .unwrap();
    let invitation =
        json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example" });
    let invited = ruth.post("/invitations", &invitation).await.expect(201);
    let path = format!("/invitations/{}/resend", invited.text_at("/id"));
    let page = [("cookie", cookie), ("origin", PORTAL)];
    let client = world.on("group");
    send(&client, (&Method::POST, &path), &page, None)
        .await
        .expect(200);
    ruth.send(Method::POST, &path, None).await.expect(200);

    // A form on another website sends neither the invitation nor a letter.
    let form = [
        ("cookie", cookie),
        ("origin", ELSEWHERE),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    send(&client, (&Method::POST, &path), &form, None)
        .await
        .refused(403, "cross-origin");
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 3);
}

#[tokio::test]
async fn me_07_a_form_on_another_website_cannot_issue_a_new_pin() {
    let world = World::new().await;
    let maria = world.member().await;
    let before = world.letters().await.len();
    for headers in [
        [
            ("origin", ELSEWHERE),
            ("content-type", "application/x-www-form-urlencoded"),
        ],
        [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
        ],
    ] {
        let response = send(&maria, (&Method::POST, "/pin/letter"), &headers, None).await;
        response.refused(403, "cross-origin");
    }
    assert_eq!(world.letters().await.len(), before);
    maria
        .send(Method::POST, "/pin/letter", None)
        .await
        .expect(201);
    assert_eq!(world.letters().await.len(), before + 1);
}

/// RFC 9110, 15.5.2 and 11.6.1; RFC 6750, 3.
#[tokio::test]
async fn every_401_says_how_to_authenticate() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    let caller = world.on("group");
    let stranger = caller.with_token("vs.x.y");
    for (method, route, operation) in operations() {
        let has_session = operation["security"]
            .as_array()
            .is_some_and(|s| !s.is_empty());
        if !has_session || is_for_applications(&operation) {
            continue;
        }
        let (method, path) = (
            Method::from_bytes(method.as_bytes()).unwrap(),
            filled(&route),
        );
        let body = json!({});
        let body = operation["requestBody"]["content"]["application/json"]
            .is_object()
            .then_some(&body);
        let without = caller.send(method.clone(), &path, body).await;
        let without = without.refused(401, "not-signed-in");
        assert_eq!(
            without.headers["www-authenticate"], "Bearer realm=\"group\"",
            "{path}"
        );
        let invalid = stranger
            .send(method, &path, body)
            .await
            .refused(401, "not-signed-in");
        assert_eq!(
            invalid.headers["www-authenticate"], "Bearer realm=\"group\", error=\"invalid_token\"",
            "{path}"
        );
    }
    let wrong = caller
        .signs_in("ruth.okafor", "Wrong-Brook-63!")
        .await
        .expect(401);
    assert_eq!(wrong.headers["www-authenticate"], "Bearer realm=\"group\"");
}

fn seconds(headers: &HeaderMap) -> Option<u32> {
    headers.get("retry-after")?.to_str().ok()?.parse().ok()
}

/// RFC 6585, 4; RFC 9110, 10.2.3.
#[tokio::test]
async fn every_429_says_when_to_try_again() {
    let world = World::new().await;
    let maria = world.member().await;
    let ruth = world.group_principal().await;
    let caller = world.on("member");
    let limit = |path: &str| match path {
        "/pin/letter" | "/feedback" => 24 * 60 * 60,
        "/registrations" | "/username-recoveries" => 60 * 60,
        _ => 15 * 60,
    };
    let wrong = with(member(), "/verification/date_of_birth", "1911-11-11");
    let recovery = json!({
        "registration_type": "member", "verification": wrong["verification"], "first_name": "Maria",
    });
    for (client, path, body) in [
        (
            &caller,
            "/sessions",
            json!({ "username": "nobody.here", "password": "Wrong-Brook-63!" }),
        ),
        (&caller, "/registrations", wrong),
        (&caller, "/username-recoveries", recovery),
        (
            &caller,
            "/password-resets",
            json!({ "username": "nobody.there" }),
        ),
        (&maria, "/pin/letter", json!({})),
        (
            &ruth,
            "/feedback",
            json!({ "message": "Thank you for the new site." }),
        ),
    ] {
        let mut last = client.post(path, &body).await;
        for _ in 0..120 {
            if last.status == 429 {
                break;
            }
            assert_eq!(seconds(&last.headers), None, "{path} {}", last.text);
            last = client.post(path, &body).await;
        }
        let last = last.refused(429, "too-many-attempts");
        assert_eq!(seconds(&last.headers), Some(limit(path)), "{path}");
    }
}

/// RFC 6797.
#[tokio::test]
async fn every_response_keeps_browsers_on_https() {
    let world = World::with(options()).await;
    let caller = world.on("member");
    for response in [
        caller.get("").await.expect(200),
        caller.get("/me").await.expect(401),
        caller.get("/nothing").await.expect(404),
        caller.send(Method::DELETE, "", None).await.expect(405),
        world.on("nowhere").get("/me").await.expect(404),
    ] {
        let policy = &response.headers["strict-transport-security"];
        assert_eq!(policy, "max-age=63072000; includeSubDomains");
    }
}

#[tokio::test]
async fn a_browser_repeats_preflights_only_every_two_hours() {
    let world = World::new().await;
    let asked = [
        ("origin", PORTAL),
        ("access-control-request-method", "POST"),
    ];
    let to = (&Method::OPTIONS, "/sessions");
    let response = send(&world.on("group"), to, &asked, None).await;
    let header = |name: &str| response.headers[name].to_str().unwrap();
    assert_eq!(header("access-control-allow-origin"), PORTAL);
    assert_eq!(header("access-control-max-age"), "7200");
}
