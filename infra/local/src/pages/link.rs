//! The pages that links in emails and letters lead to. A portal's frontend provides these pages; here, each
//! shows the requests that the frontend would send.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use vestibule_domain::policy::{Policy, RecoveryMeans};

use super::commands::{BEARER, Example, credentials, data, security_answers, sign_in};
use super::site::{Site, missing, page as respond};
use crate::personas::PASSWORD;

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage<'a> {
    here: &'static str,
    mails: usize,
    letters: usize,
    portal: &'a str,
    title: &'a str,
    content: Content,
}

/// What a page explains.
struct Content {
    heading: &'static str,
    lead: &'static str,
    /// Whether the link carries a token, which the page's script writes into the commands.
    has_token: bool,
    /// Where the script looks up the person whom the link is for.
    look_up: Option<String>,
    examples: Vec<Example>,
}

pub(super) async fn page(
    State(site): State<Site>,
    Path((portal, path)): Path<(String, String)>,
) -> Response {
    let (mails, letters) = (site.instance.inbox.len(), site.instance.letters().len());
    let Some(policy) = site.instance.policy(&portal) else {
        return missing("portal", "/", mails, letters);
    };
    let page = LinkPage {
        here: "/inbox",
        mails,
        letters,
        portal: policy.portal.as_str(),
        title: policy.title.as_str(),
        content: content(&path, policy, &format!("{}/{portal}", site.base)),
    };
    respond(StatusCode::OK, &page)
}

fn content(path: &str, policy: &Policy, api: &str) -> Content {
    let command = |title, path: &str, body: &Value| Example {
        title,
        command: format!("curl -s {api}{path} {}", data(body)),
    };
    let signed_in = |title, rest: String| {
        let (base, portal) = api.rsplit_once('/').unwrap_or_default();
        let sign_in = sign_in(base, portal, "YOUR_USERNAME", PASSWORD);
        Example {
            title,
            command: format!("{sign_in}\n{rest}"),
        }
    };
    let by_token = |path: &str| (format!("{path}/look-up"), json!({ "token": "{token}" }));
    match path {
        "invitations/accept" => {
            let (look_up, token) = by_token("/invitations");
            let mut body = json!({
                "token": "{token}", "first_name": "{first_name}", "last_name": "{last_name}", "email": "{email}",
            });
            add(&mut body, credentials(policy));
            Content {
                heading: "Accept an invitation",
                lead: "This is where an invited person registers.",
                has_token: true,
                look_up: Some(format!("/{}{look_up}", policy.portal)),
                examples: vec![
                    command("Show the invitation", &look_up, &token),
                    command("Register and accept it", "/invitations/accept", &body),
                ],
            }
        }
        "password-reset" => {
            let (look_up, token) = by_token("/password-resets");
            let mut body = json!({ "token": "{token}", "new_password": "Calm-Meadow-73!" });
            let means = &policy.recovery.forgot_password;
            let mut more = Map::new();
            if means.contains(&RecoveryMeans::HintQuestion) {
                more.insert("hint_answer".to_owned(), "A green Beetle".into());
            }
            if means.contains(&RecoveryMeans::SecurityAnswers) {
                more.insert("security_answers".to_owned(), security_answers(policy));
            }
            add(&mut body, more);
            Content {
                heading: "Reset a password",
                lead: "This is where a user who forgot the password sets a new one.",
                has_token: true,
                look_up: None,
                examples: vec![
                    command("Show what is required", &look_up, &token),
                    command("Set a new password", "/password-resets/redemption", &body),
                ],
            }
        }
        "email-confirmation" => {
            let token = json!({ "token": "{token}" });
            let examples = vec![command(
                "Confirm the address",
                "/email-confirmations",
                &token,
            )];
            Content {
                heading: "Confirm an email address",
                lead: "This is where a user confirms a new email address.",
                has_token: true,
                look_up: None,
                examples,
            }
        }
        "email-change-cancellation" => {
            let token = json!({ "token": "{token}" });
            let examples = vec![command(
                "Cancel the change",
                "/email-change-cancellations",
                &token,
            )];
            Content {
                heading: "Cancel a change of email address",
                lead: "This is where a user cancels a change of email address that someone else requested.",
                has_token: true,
                look_up: None,
                examples,
            }
        }
        "registration-code" => {
            let mut body = json!({ "registration_code": "THE_CODE_IN_THE_EMAIL" });
            add(&mut body, credentials(policy));
            add(
                &mut body,
                [("username".to_owned(), "THE_USERNAME_IN_THE_EMAIL".into())],
            );
            let path = "/registration-codes/redemption";
            Content {
                heading: "Enter a registration code",
                lead: "This is where a new user completes the registration.",
                has_token: false,
                look_up: None,
                examples: vec![command("Complete the registration", path, &body)],
            }
        }
        "pin" => {
            let pin = data(&json!({ "pin": "THE_PIN_IN_THE_LETTER" }));
            let rest = format!("curl -s {api}/pin/activation {BEARER} {pin}");
            Content {
                heading: "Enter a PIN",
                lead: "This is where a user activates the account with the PIN from the letter.",
                has_token: false,
                look_up: None,
                examples: vec![signed_in("Sign in and enter the PIN", rest)],
            }
        }
        "access-review" => Content {
            heading: "Review access",
            lead: "This is where an administrator reviews who still needs access.",
            has_token: false,
            look_up: None,
            examples: vec![signed_in(
                "Sign in and list the accounts to review",
                format!("curl -s {api}/access-reviews/current {BEARER}"),
            )],
        },
        "sign-in" => Content {
            heading: "Sign in",
            lead: "This is where users sign in.",
            has_token: false,
            look_up: None,
            examples: vec![signed_in(
                "Sign in and show your profile",
                format!("curl -s {api}/me {BEARER}"),
            )],
        },
        "register" => Content {
            heading: "Register",
            lead: "This is where people register against the plan's records. The first page lists sample records to \
                   register with.",
            has_token: false,
            look_up: None,
            examples: vec![Example {
                title: "Show what registration requires",
                command: format!("curl -s {api}"),
            }],
        },
        _ => Content {
            heading: "A page of the portal's frontend",
            lead: "The frontend or the plan's website provides this page. There is no request to send.",
            has_token: false,
            look_up: None,
            examples: Vec::new(),
        },
    }
}

/// Adds fields to a JSON object.
fn add(body: &mut Value, fields: impl IntoIterator<Item = (String, Value)>) {
    if let Some(object) = body.as_object_mut() {
        object.extend(fields);
    }
}
