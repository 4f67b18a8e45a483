//! Bulk creation from a CSV file (UX-08): one result per row, and no message for an invalid one.

use futures::future::join;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use vestibule_tests::client::Person;
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, dental, hint};
use vestibule_tests::{World, code_in, link_token};

/// Sends a file. Returns the status and the response.
pub async fn send(by: &Person, path: &str, kind: &str, file: impl Into<Vec<u8>>) -> (u16, Value) {
    let request = by.request(Method::POST, path).header(CONTENT_TYPE, kind);
    let response = request.body(file.into()).send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap())
}

async fn invite(by: &Person, file: &str) -> Value {
    let (status, response) = send(by, "/invitations.csv", "text/csv", file).await;
    assert_eq!(status, 200, "{response}");
    response
}

/// Line, status and first error of every row.
fn rows(response: &Value) -> Vec<(u64, &str, &str)> {
    let rows = response["rows"].as_array().unwrap().iter();
    rows.map(|row| {
        let fault = row["errors"][0]["detail"].as_str();
        let detail = row["detail"].as_str().unwrap_or_default();
        (
            row["row"].as_u64().unwrap(),
            row["status"].as_str().unwrap(),
            fault.unwrap_or(detail),
        )
    })
    .collect()
}

fn counts(response: &Value) -> [u64; 4] {
    ["created", "already_exists", "rejected", "retry"].map(|c| response[c].as_u64().unwrap())
}

const PENDING: &str = "This email address already has a pending invitation. Resend that invitation, or revoke it first.";

#[tokio::test]
async fn ux_08_each_row_of_a_file_is_invited_or_reported_with_its_reason() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    world
        .invite(&ruth, "Old", "old@blueheron.example", "user")
        .await;
    // As a spreadsheet writes it: byte order mark, CRLF, quotes, an empty line.
    let file = "\u{feff}email,first_name,role,end_date,last_name\r\n\
sam@blueheron.example,Sam,,2026-12-31,\"Lind, Jr.\"\r\n\r\n\
tess@blueheron.example,Tess,administrator,,Lind\r\n\
nobody,Una,,,Lind\r\n\
old@blueheron.example,Old,,,Lind\r\n\
SAM@blueheron.example,Sam,,,Lind\r\n\
vic@blueheron.example,Vic,emperor,,Lind\r\n\
wim@blueheron.example,Wim,,2020-01-01,Lind\r\n\
xan@blueheron.example,Xan\r\n\
yul@blueheron.example,,,,Lind\r\n";
    let response = invite(&ruth, file).await;
    assert_eq!(
        rows(&response),
        [
            (2, "created", ""),
            (4, "created", ""),
            (
                5,
                "rejected",
                "must be an email address such as name@example.com, in plain ASCII letters"
            ),
            (6, "already_exists", PENDING),
            (7, "rejected", "is also the email address in row 2"),
            (
                8,
                "rejected",
                "must be a role, such as user or administrator"
            ),
            (9, "rejected", "must be today or later"),
            (
                10,
                "rejected",
                "must have 5 cells like the header, but has 2"
            ),
            (11, "rejected", "must not be empty"),
        ],
        "{response}"
    );
    assert_eq!(counts(&response), [2, 1, 6, 0]);
    let mail = world.last_mail_to("sam@blueheron.example").await;
    assert!(mail.text.contains("#token="), "{}", mail.text);
    for nothing in ["vic", "wim", "xan", "yul"] {
        let address = format!("{nothing}@blueheron.example");
        assert_eq!(world.mails_to(&address).await.len(), 0, "{nothing}");
    }
    let list = ruth.get("/invitations").await;
    let invited = list.items();
    let sam = invited.iter().find(|i| i["first_name"] == "Sam").unwrap();
    assert_eq!(
        (&sam["last_name"], &sam["end_date"]),
        (&json!("Lind, Jr."), &json!("2026-12-31"))
    );
    assert_eq!(invited.len(), 3);

    // Sent again after a correction: already invited rows are reported, the corrected row is
    // invited.
    let corrected = file.replace("nobody", "una@blueheron.example");
    let response = invite(&ruth, &corrected).await;
    assert_eq!(counts(&response), [1, 3, 5, 0], "{response}");
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 1);
    let token = link_token(&world.last_mail_to("una@blueheron.example").await);
    let body = World::acceptance(&token, "Una", "una@blueheron.example", "una.lind");
    world.on("group").accepts(body).await.expect(201);
    assert_eq!(counts(&invite(&ruth, &corrected).await), [0, 4, 5, 0]);
    assert_eq!(invariants(&world).await.done("invite"), 4);
}

#[tokio::test]
async fn ux_08_a_file_that_cannot_be_parsed_is_refused_as_a_whole_with_instructions() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let good = "email,first_name,last_name\nsam@blueheron.example,Sam,Lind\n";
    for (kind, file, status, problem, words) in [
        (
            "application/json",
            good.as_bytes().to_vec(),
            415,
            "not-csv",
            "text/csv",
        ),
        (
            "text/csv",
            good.replace(',', ";").into_bytes(),
            400,
            "invalid-csv",
            "semicolons",
        ),
        (
            "text/csv",
            b"email,first_name,last_name\ns@x.example,Zo\xeb,L\n".to_vec(),
            400,
            "invalid-csv",
            "UTF-8",
        ),
        (
            "text/csv",
            b"email,first_name,last_name\n".to_vec(),
            400,
            "invalid-csv",
            "no rows",
        ),
        (
            "text/csv",
            vec![],
            422,
            "invalid-fields",
            "is a required column",
        ),
        (
            "text/csv",
            good.replace("first_name", "forename").into_bytes(),
            422,
            "invalid-fields",
            "is not a recognized column",
        ),
        (
            "text/csv",
            good.replace("first_name", "email").into_bytes(),
            422,
            "invalid-fields",
            "appears more than once",
        ),
        (
            "text/csv",
            vec![b'x'; 1024 * 1024 + 1],
            413,
            "too-large",
            "1048576 bytes",
        ),
        (
            "text/csv",
            format!(
                "email,first_name,last_name\n{}",
                "a@b.example,A,B\n".repeat(501)
            )
            .into_bytes(),
            413,
            "too-large",
            "500 rows",
        ),
    ] {
        let (got, response) = send(&ruth, "/invitations.csv", kind, file).await;
        let text = response.to_string();
        assert!(
            got == status && text.contains(&format!("problem:{problem}\"")) && text.contains(words),
            "{words}: {got} {text}"
        );
    }
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 0);
    // On portals that add users in another way, the file goes to the other route, or to none.
    let (helen, _) = world.provider().await;
    let (status, response) = send(&helen, "/invitations.csv", "text/csv", good).await;
    assert!(
        status == 409 && response.to_string().contains("no-invitations"),
        "{response}"
    );
    let (status, response) = send(&ruth, "/users.csv", "text/csv", good).await;
    assert!(
        status == 409 && response.to_string().contains("as invitations"),
        "{response}"
    );
    world.register("practice", dental()).await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let (status, response) = send(&omar, "/users.csv", "text/csv", good).await;
    assert!(
        status == 409 && response.to_string().contains("one at a time"),
        "{response}"
    );
}

#[tokio::test]
async fn ux_08_users_are_added_from_a_file_and_each_gets_a_code_once() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let file = "email,first_name,last_name,services,end_date\n\
        kim@lakeside.example,Kim,Lind,claims eligibility,2027-01-31\n\
        lou@lakeside.example,Lou,Lind,flying,\n\
        mae@lakeside.example,Mae,Lind,,\n";
    let (status, response) = send(&helen, "/users.csv", "text/csv", file).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(
        rows(&response),
        [
            (2, "created", ""),
            (3, "rejected", "\"flying\" is not available on this portal"),
            (4, "created", "")
        ]
    );
    let id = response["rows"][0]["id"].as_str().unwrap();
    let kim = helen.get(&format!("/users/{id}")).await;
    assert_eq!(
        (kim.text_at("/end_date"), &kim.body["services"]),
        ("2027-01-31", &json!(["claims", "eligibility"]))
    );
    let code = code_in(&world.last_mail_to("kim@lakeside.example").await);
    let body = json!({ "username": kim.text_at("/username"), "registration_code": code, "password": PASSWORD, "hint": hint() });
    let on = world.on("provider");
    on.post("/registration-codes/redemption", body)
        .await
        .expect(200);

    let (status, again) = send(&helen, "/users.csv", "text/csv", file).await;
    assert_eq!((status, counts(&again)), (200, [0, 2, 1, 0]), "{again}");
    assert_eq!(world.mails_to("mae@lakeside.example").await.len(), 1);
    // After removal, the same file can add them again.
    let mae = response["rows"][2]["id"].as_str().unwrap();
    helen.delete(&format!("/users/{mae}")).await.expect(204);
    let (_, once_more) = send(&helen, "/users.csv", "text/csv", file).await;
    assert_eq!(counts(&once_more), [1, 1, 1, 0], "{once_more}");
    invariants(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ux_08_a_file_that_is_sent_twice_at_once_invites_and_adds_nobody_twice() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let (helen, _) = world.provider().await;
    let file = (0..40).fold("email,first_name,last_name\n".to_owned(), |file, i| {
        format!("{file}p{i}@company.example,Pat,Lind\n")
    });
    for (by, path, action) in [
        (&ruth, "/invitations.csv", "invite"),
        (&helen, "/users.csv", "add_user"),
    ] {
        let ((_, one), (_, other)) = join(
            send(by, path, "text/csv", file.as_str()),
            send(by, path, "text/csv", file.as_str()),
        )
        .await;
        let [[done, already, refused, again], [d, a, r, t]] = [counts(&one), counts(&other)];
        assert_eq!((done + d, refused + r), (40, 0), "{path}: {one} {other}");
        assert_eq!(already + a + again + t, 40, "{path}");
        assert_eq!(invariants(&world).await.done(action), 40, "{path}");
    }
    assert_eq!(
        world.mails_to("p7@company.example").await.len(),
        2,
        "one a portal"
    );
}

#[tokio::test]
async fn ux_08_an_open_quote_affects_only_its_own_row() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let file = "email,first_name,last_name\n\
        sam@blueheron.example,Sam,Lind\n\
        tess@blueheron.example,\"Tess,Lind\n\
        una@blueheron.example,Una,Lind\n\
        vic@blueheron.example,Vic \"Vee\",Lind\n\
        wim@blueheron.example,\"Wim\"x,Lind\n\
        xan@blueheron.example,\"Xan \"\"X\"\"\",Lind\n";
    let response = invite(&ruth, file).await;
    assert_eq!(
        rows(&response),
        [
            (2, "created", ""),
            (
                3,
                "rejected",
                "has an opening quote without a closing quote"
            ),
            (4, "created", ""),
            (5, "rejected", "has a quote inside an unquoted field"),
            (6, "rejected", "has text after a closing quote"),
            (7, "created", ""),
        ]
    );
    for invited in ["sam", "una", "xan"] {
        let address = format!("{invited}@blueheron.example");
        assert_eq!(world.mails_to(&address).await.len(), 1, "{invited}");
    }

    let (helen, _) = world.provider().await;
    let file = "email,first_name,last_name\n\
        kim@lakeside.example,\"Kim,Lind\n\
        lou@lakeside.example,Lou,Lind\n";
    let (status, response) = send(&helen, "/users.csv", "text/csv", file).await;
    assert_eq!(
        (status, counts(&response)),
        (200, [1, 0, 1, 0]),
        "{response}"
    );
}

#[tokio::test]
async fn se_06_a_name_in_a_file_cannot_carry_a_link() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let file = "email,first_name,last_name\n\
        sam@blueheron.example,Claim at evil.example,Lind\n\
        tess@blueheron.example,Tess,Lind\n";
    let response = invite(&ruth, file).await;
    assert_eq!(counts(&response), [1, 0, 1, 0], "{response}");
    assert_eq!(world.mails_to("sam@blueheron.example").await.len(), 0);
}

/// Whichever way an administrator or a user tries what the role does not allow.
#[tokio::test]
async fn se_10_what_a_user_of_an_organization_may_not_do_leaves_a_trace() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let sam = world.staff(&ruth, "Sam", "user").await;
    let ada = world.staff(&ruth, "Ada", "administrator").await;
    sam.get("/users").await.refused(403, "not-allowed");
    let path = format!("/users/{}/status", ada.id().await);
    for status in ["active", "disabled"] {
        sam.put(&path, json!({ "status": status }))
            .await
            .refused(403, "not-allowed");
    }
    // A file leaves one entry, however many rows are refused.
    let file = "email,first_name,last_name,role\n\
one@blueheron.example,Kim,Lind,principal\n\
two@blueheron.example,Pat,Lind,principal\n\
three@blueheron.example,Lee,Lind,user\n";
    let response = invite(&ada, file).await;
    assert_eq!(counts(&response), [1, 0, 2, 0]);

    for action in ["list_users", "reinstate_user", "disable_user", "invite"] {
        assert_eq!(world.refusals(action).await, ["not_allowed"], "{action}");
    }
    // The principal sees who tried, and on whom.
    let trail = ruth
        .get("/audit-events?outcome=refused&action=disable_user")
        .await
        .expect(200);
    assert_eq!(trail.items().len(), 1);
    trail
        .has("/items/0/object", &ada.id().await)
        .has("/items/0/actor_username", "sam.lind");
    invariants(&world).await;
}
