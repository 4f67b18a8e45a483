//! Sending, against a server that responds like SES.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use aws_sdk_ses::Client;
use aws_sdk_ses::config::retry::RetryConfig;
use aws_sdk_ses::config::{BehaviorVersion, Config, Credentials, Region};
use vestibule_domain::values::ids::MessageId;
use vestibule_domain::values::text::Email;
use vestibule_mail::{RenderedMail, SendError, send};

const SENT: &str = "<SendEmailResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\"><SendEmailResult><MessageId>0100-42</MessageId></SendEmailResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></SendEmailResponse>";

fn refusal(code: &str) -> String {
    format!(
        "<ErrorResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>Bad: grace@example.com</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
    )
}

/// Responds to one request and returns it.
fn answer(status: u16, body: String) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            request.extend_from_slice(&buffer[..read]);
            let text = String::from_utf8_lossy(&request).to_lowercase();
            let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                let length = head
                    .lines()
                    .find_map(|l| l.strip_prefix("content-length: "));
                length.is_none_or(|l| body.len() >= l.parse().unwrap())
            });
            if whole || read == 0 {
                break;
            }
        }
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nx-amzn-requestid: r-1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        String::from_utf8(request).unwrap()
    });
    (endpoint, server)
}

async fn send_to(endpoint: &str) -> Result<String, SendError> {
    let credentials = Credentials::builder()
        .access_key_id("test")
        .secret_access_key("test")
        .provider_name("test")
        .build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .build();
    let mail = RenderedMail {
        subject: "Grüße".into(),
        text: "text & more".into(),
        html: "<p>html</p>".into(),
    };
    let to = Email::parse("grace+work@example.com").unwrap();
    send(
        &Client::from_conf(config),
        &common::policy("agent"),
        &MessageId::from_bytes([7; 16]),
        &to,
        &mail,
        Some("portals"),
    )
    .await
}

#[tokio::test]
async fn an_email_is_sent_in_the_name_of_the_portal() {
    let (endpoint, server) = answer(200, SENT.into());
    assert_eq!(send_to(&endpoint).await, Ok("0100-42".into()));
    let request = server.join().unwrap();
    for part in [
        "Action=SendEmail",
        "Source=%22Harborlight%20for%20Agents%22%20%3Cagents%40harborlight.example%3E",
        "Destination.ToAddresses.member.1=grace%2Bwork%40example.com",
        "Message.Subject.Data=Gr%C3%BC%C3%9Fe",
        "Message.Subject.Charset=UTF-8",
        "Message.Body.Text.Data=text%20%26%20more",
        "Message.Body.Html.Data=%3Cp%3Ehtml%3C%2Fp%3E",
        "ConfigurationSetName=portals",
        "Tags.member.1.Name=outbox",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
}

#[tokio::test]
async fn a_failure_says_whether_to_try_again_and_names_nobody() {
    for (status, code, temporary) in [
        (400, "Throttling", true),
        (400, "AccountSendingPausedException", true),
        (400, "ConfigurationSetDoesNotExist", true),
        (400, "MailFromDomainNotVerifiedException", true),
        (403, "AccessDenied", true),
        (500, "InternalFailure", true),
        (503, "MessageRejected", true),
        (400, "MessageRejected", false),
        (400, "InvalidParameterValue", false),
    ] {
        let (endpoint, server) = answer(status, refusal(code));
        let error = send_to(&endpoint).await.unwrap_err();
        server.join().unwrap();
        assert_eq!(error.is_temporary(), temporary, "{status} {code}");
        let said = format!("{error} {error:?}");
        assert!(
            said.contains(code) && said.contains("r-1") && !said.contains('@'),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_network_that_fails_is_temporary() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = send_to(&endpoint).await.unwrap_err();
    assert!(error.is_temporary());
    assert_eq!(
        error.to_string(),
        "SES cannot accept the email now: no connection (request unknown)"
    );
}
