//! A local SES: `SendEmail` of the first SES API in the AWS Query protocol. Sent emails are kept in an [`Inbox`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An email that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedMail {
    /// The position in the inbox, from 0.
    pub at_index: usize,
    /// The sender, as in the request.
    pub from: String,
    /// The recipients, as in the request.
    pub to: Vec<String>,
    pub subject: String,
    /// The plain text; empty if there is none.
    pub text: String,
    pub html: Option<String>,
    /// The message tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The outcome of sending email to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// SES rejects it because the sending rate is too high.
    Throttled,
    /// SES rejects it permanently.
    Rejected,
    /// It bounces permanently, as for `bounce@simulator.amazonses.com` on AWS.
    Bounces,
    /// It bounces temporarily.
    BouncesForNow,
    /// It is delivered, and the recipient complains, as for `complaint@simulator.amazonses.com` on AWS.
    Complained,
}

/// All sent emails, oldest first. Clones share them.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    mails: Vec<ReceivedMail>,
    file: Option<File>,
    down: bool,
    fail_next: usize,
    outcomes: BTreeMap<String, DeliveryOutcome>,
    reports: Vec<Value>,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("mails", &self.len())
            .finish_non_exhaustive()
    }
}

impl Inbox {
    /// Creates an empty inbox in memory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens an inbox that is stored in a file with one JSON object per line. Lines that can't be read, such as the
    /// last one after a crash, are skipped.
    ///
    /// # Errors
    /// Fails if the file can't be read or opened for appending.
    pub fn with_file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        let kept = std::fs::read(path)?;
        let mut mails = Vec::new();
        for line in kept
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match serde_json::from_slice::<ReceivedMail>(line) {
                Ok(mail) => mails.push(ReceivedMail {
                    at_index: mails.len(),
                    ..mail
                }),
                Err(error) => tracing::warn!(%error, "a line of the inbox file can't be read"),
            }
        }
        if kept.last().is_some_and(|byte| *byte != b'\n') {
            file.write_all(b"\n")?;
        }
        let inner = Inner {
            mails,
            file: Some(file),
            ..Inner::default()
        };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Returns all emails.
    pub fn all(&self) -> Vec<ReceivedMail> {
        self.lock().mails.clone()
    }

    /// Returns the emails to an address, ignoring case and display name.
    pub fn to(&self, address: &str) -> Vec<ReceivedMail> {
        let is_it = |to: &String| bare(to).eq_ignore_ascii_case(bare(address));
        self.lock()
            .mails
            .iter()
            .filter(|mail| mail.to.iter().any(is_it))
            .cloned()
            .collect()
    }

    /// Sets an inbox in memory to these mails, with nothing left to report.
    pub fn set(&self, mails: &[ReceivedMail]) {
        let mut inner = self.lock();
        inner.mails = mails.to_vec();
        inner.reports.clear();
    }

    /// Returns the number of emails.
    pub fn len(&self) -> usize {
        self.lock().mails.len()
    }

    /// Returns whether there are no emails.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets whether SES responds to every request with 503.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// Makes SES respond to the next `n` requests with 503; retries count.
    pub fn set_fail_next(&self, n: usize) {
        self.lock().fail_next = n;
    }

    /// Sets the outcome of future emails to an address; none delivers them.
    pub fn set_outcome(&self, address: &str, outcome: Option<DeliveryOutcome>) {
        let address = address.to_ascii_lowercase();
        match outcome {
            Some(outcome) => self.lock().outcomes.insert(address, outcome),
            None => self.lock().outcomes.remove(&address),
        };
    }

    /// Returns the reports since the last call, in the format of EventBridge.
    pub fn take_reports(&self) -> Vec<Value> {
        std::mem::take(&mut self.lock().reports)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores an email, first in the file, and returns its position.
    fn receive(&self, mail: ReceivedMail) -> Result<usize, Refused> {
        let mut inner = self.lock();
        if inner.down || inner.fail_next > 0 {
            inner.fail_next = inner.fail_next.saturating_sub(1);
            return Err(Refused::unavailable());
        }
        let at_index = inner.mails.len();
        let mail = ReceivedMail { at_index, ..mail };
        match inner.outcome(&mail) {
            Some(DeliveryOutcome::Throttled) => {
                return Err(Refused::invalid(
                    "Throttling",
                    "Maximum sending rate exceeded.",
                ));
            }
            Some(DeliveryOutcome::Rejected) => {
                return Err(Refused::invalid(
                    "MessageRejected",
                    "The message is rejected.",
                ));
            }
            Some(outcome @ (DeliveryOutcome::Bounces | DeliveryOutcome::BouncesForNow)) => {
                inner.reports.push(report(&mail, outcome));
                return Ok(at_index);
            }
            Some(DeliveryOutcome::Complained) => inner
                .reports
                .push(report(&mail, DeliveryOutcome::Complained)),
            None => {}
        }
        if let Some(file) = &mut inner.file {
            let keep = serde_json::to_string(&mail)
                .map_err(io::Error::from)
                .and_then(|line| file.write_all(format!("{line}\n").as_bytes()))
                .and_then(|()| file.flush());
            keep.map_err(|error| Refused {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: "InternalFailure",
                message: format!("the inbox file can't be written: {error}"),
            })?;
        }
        inner.mails.push(mail);
        Ok(at_index)
    }
}

impl Inner {
    fn outcome(&self, mail: &ReceivedMail) -> Option<DeliveryOutcome> {
        let address = bare(mail.to.first()?).to_ascii_lowercase();
        let simulated = address.strip_suffix("@simulator.amazonses.com");
        // The SES simulator also accepts labels: bounce+label@.
        match simulated.map(|name| name.split('+').next().unwrap_or(name)) {
            Some("bounce") => Some(DeliveryOutcome::Bounces),
            Some("complaint") => Some(DeliveryOutcome::Complained),
            _ => self.outcomes.get(&address).copied(),
        }
    }
}

/// Returns the event that reports on an email.
fn report(mail: &ReceivedMail, outcome: DeliveryOutcome) -> Value {
    let tags: BTreeMap<_, _> = mail.tags.iter().map(|(k, v)| (k, [v])).collect();
    let reported = json!({ "messageId": "local", "destination": mail.to, "tags": tags });
    let (kind, detail) = match outcome {
        DeliveryOutcome::Complained => (
            "Email Complaint Received",
            json!({ "eventType": "Complaint", "mail": reported, "complaint": {} }),
        ),
        _ => {
            let lasting = if outcome == DeliveryOutcome::Bounces {
                "Permanent"
            } else {
                "Transient"
            };
            (
                "Email Bounced",
                json!({ "eventType": "Bounce", "mail": reported, "bounce": { "bounceType": lasting } }),
            )
        }
    };
    json!({ "source": "aws.ses", "detail-type": kind, "detail": detail })
}

/// Returns the address without its display name: `a@b` of `Name <a@b>`.
fn bare(address: &str) -> &str {
    let white_box = address
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    white_box.map_or(address, |(address, _)| address).trim()
}

/// Serves SES at `/`; emails go to the inbox.
pub fn router(inbox: Inbox) -> Router {
    Router::new().route("/", post(answer)).with_state(inbox)
}

async fn answer(
    State(inbox): State<Inbox>,
    Form(fields): Form<BTreeMap<String, String>>,
) -> Response {
    let (status, xml) = match read(fields).and_then(|mail| inbox.receive(mail)) {
        Ok(at_index) => (
            StatusCode::OK,
            format!(
                "<SendEmailResponse xmlns=\"{NAMESPACE}\"><SendEmailResult><MessageId>local-{at_index:06}</MessageId></SendEmailResult>\
                 <ResponseMetadata><RequestId>local</RequestId></ResponseMetadata></SendEmailResponse>"
            ),
        ),
        Err(refused) => (refused.status, refused.xml()),
    };
    (status, [(header::CONTENT_TYPE, "text/xml")], xml).into_response()
}

const NAMESPACE: &str = "http://ses.amazonaws.com/doc/2010-12-01/";

/// The maximum number of recipients of one email (SES quotas).
const MAX_RECIPIENTS: usize = 50;

/// An error of SES.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }

    fn unavailable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "ServiceUnavailable",
            message: "the service is temporarily unavailable; try again later".to_owned(),
        }
    }

    fn xml(&self) -> String {
        let at_fault = if self.status.is_server_error() {
            "Receiver"
        } else {
            "Sender"
        };
        let message = self
            .message
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{at_fault}</Type><Code>{}</Code><Message>{message}</Message></Error>\
             <RequestId>local</RequestId></ErrorResponse>",
            self.code
        )
    }
}

/// Parses a `SendEmail` request.
fn read(mut fields: BTreeMap<String, String>) -> Result<ReceivedMail, Refused> {
    let action = fields.remove("Action").unwrap_or_default();
    if action != "SendEmail" {
        return Err(Refused::invalid(
            "InvalidAction",
            format!("{action:?} is not supported by the local SES"),
        ));
    }
    let others = ["Destination.CcAddresses.", "Destination.BccAddresses."];
    if fields
        .keys()
        .any(|name| others.iter().any(|other| name.starts_with(other)))
    {
        return Err(Refused::invalid(
            "InvalidParameterValue",
            "recipients other than To are not supported by the local SES",
        ));
    }
    let to: Vec<_> = (1..=MAX_RECIPIENTS)
        .map_while(|n| fields.remove(&format!("Destination.ToAddresses.member.{n}")))
        .collect();
    if to.is_empty() || fields.keys().any(|name| name.starts_with("Destination.")) {
        return Err(Refused::invalid(
            "MessageRejected",
            format!("an email has 1 to {MAX_RECIPIENTS} recipients"),
        ));
    }
    if let Some(wrong) = to.iter().find(|to| !bare(to).contains('@')) {
        return Err(Refused::invalid(
            "InvalidParameterValue",
            format!("{wrong:?} is not an email address"),
        ));
    }
    let mut tags = BTreeMap::new();
    for n in 1.. {
        let part = |what: &str| format!("Tags.member.{n}.{what}");
        let (Some(name), Some(value)) =
            (fields.remove(&part("Name")), fields.remove(&part("Value")))
        else {
            break;
        };
        tags.insert(name, value);
    }
    let mut required = |name: &str| {
        let missing = || Refused::invalid("ValidationError", format!("{name} is missing"));
        fields
            .remove(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(missing)
    };
    let (from, subject) = (required("Source")?, required("Message.Subject.Data")?);
    let text = fields.remove("Message.Body.Text.Data");
    let html = fields.remove("Message.Body.Html.Data");
    if text.is_none() && html.is_none() {
        return Err(Refused::invalid(
            "ValidationError",
            "Message.Body is missing",
        ));
    }
    Ok(ReceivedMail {
        at_index: 0,
        from,
        to,
        subject,
        text: text.unwrap_or_default(),
        html,
        tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ses::Client;
    use aws_sdk_ses::config::retry::RetryConfig;
    use aws_sdk_ses::config::{BehaviorVersion, Credentials, Region};
    use aws_sdk_ses::error::{ProvideErrorMetadata, SdkError};
    use aws_sdk_ses::operation::send_email::SendEmailError;
    use aws_sdk_ses::primitives::Blob;
    use aws_sdk_ses::types::{Body, Content, Destination, Message, RawMessage};
    use std::time::Duration;

    async fn client(inbox: &Inbox, retry: RetryConfig) -> Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = router(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_ses::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .retry_config(retry)
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .build();
        Client::from_conf(config)
    }

    fn content(text: &str) -> Content {
        Content::builder()
            .data(text)
            .charset("UTF-8")
            .build()
            .unwrap()
    }

    fn message(subject: &str, text: &str, html: Option<&str>) -> Message {
        let body = Body::builder()
            .text(content(text))
            .set_html(html.map(content))
            .build();
        Message::builder()
            .subject(content(subject))
            .body(body)
            .build()
    }

    async fn send(
        client: &Client,
        to: &[&str],
        message: Message,
    ) -> Result<String, SdkError<SendEmailError>> {
        let to = to.iter().map(|to| (*to).to_owned()).collect();
        let sent = client
            .send_email()
            .source("Portal <no-reply@plan.example>")
            .destination(Destination::builder().set_to_addresses(Some(to)).build())
            .message(message)
            .send()
            .await?;
        Ok(sent.message_id)
    }

    #[tokio::test]
    async fn a_mail_arrives_as_it_was_sent() {
        let inbox = Inbox::new();
        let client = client(&inbox, RetryConfig::disabled()).await;
        assert!(inbox.is_empty());
        let text = "Grüße & <b>50 % + 1 = ?</b>\r\n\tende 😀";
        let first = send(
            &client,
            &["Zoë <zoe+tag@example.com>", "b@example.com"],
            message("Ihr Konto", text, Some("<p>&amp;</p>")),
        )
        .await;
        let second = send(&client, &["b@example.com"], message("2", "zwei", None)).await;
        assert_ne!(first.unwrap(), second.unwrap());
        assert_eq!(
            inbox.all()[0],
            ReceivedMail {
                at_index: 0,
                from: "Portal <no-reply@plan.example>".into(),
                to: vec!["Zoë <zoe+tag@example.com>".into(), "b@example.com".into()],
                subject: "Ihr Konto".into(),
                text: text.into(),
                html: Some("<p>&amp;</p>".into()),
                tags: BTreeMap::new(),
            }
        );
        assert_eq!(inbox.len(), 2);
        assert_eq!(inbox.to("ZOE+tag@example.com").len(), 1);
        assert_eq!(
            inbox
                .to("B@example.com")
                .iter()
                .map(|mail| mail.at_index)
                .collect::<Vec<_>>(),
            [0, 1]
        );
        assert!(inbox.to("zoe@example.com").is_empty());
        assert_eq!(inbox.all()[1].html, None);
        assert_eq!(format!("{inbox:?}"), "Inbox { mails: 2, .. }");
    }

    #[tokio::test]
    async fn when_it_is_down_it_says_so_and_takes_nothing() {
        let inbox = Inbox::new();
        let client = client(&inbox, RetryConfig::disabled()).await;
        inbox.set_down(true);
        for _ in 0..3 {
            let error = send(&client, &["a@example.com"], message("s", "t", None))
                .await
                .unwrap_err();
            assert_eq!(error.raw_response().unwrap().status().as_u16(), 503);
            assert_eq!(error.code(), Some("ServiceUnavailable"));
        }
        assert!(inbox.is_empty());
        inbox.set_down(false);
        send(&client, &["a@example.com"], message("s", "t", None))
            .await
            .unwrap();
        assert_eq!(inbox.len(), 1);
    }

    #[tokio::test]
    async fn so_many_requests_fail_and_a_client_that_tries_again_gets_through() {
        let inbox = Inbox::new();
        let once = client(&inbox, RetryConfig::disabled()).await;
        inbox.set_fail_next(1);
        assert!(
            send(&once, &["a@example.com"], message("s", "t", None))
                .await
                .is_err()
        );
        assert!(
            send(&once, &["a@example.com"], message("s", "t", None))
                .await
                .is_ok()
        );

        let again = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        let patient = client(&inbox, again).await;
        inbox.set_fail_next(2);
        assert!(
            send(&patient, &["a@example.com"], message("s", "t", None))
                .await
                .is_ok()
        );
        inbox.set_fail_next(3);
        assert!(
            send(&patient, &["a@example.com"], message("s", "t", None))
                .await
                .is_err()
        );
        assert_eq!(inbox.len(), 2);
    }

    #[tokio::test]
    async fn mails_in_a_file_survive() {
        let folder = std::env::temp_dir().join(format!("vestibule-inbox-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let path = folder.join("state/inbox.jsonl");
        {
            let inbox = Inbox::with_file(&path).unwrap();
            let client = client(&inbox, RetryConfig::disabled()).await;
            send(
                &client,
                &["a@example.com"],
                message("1", "line\nline", Some("h")),
            )
            .await
            .unwrap();
            send(&client, &["b@example.com"], message("2", "t", None))
                .await
                .unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|byte| **byte == b'\n').count(), 2);
        let inbox = Inbox::with_file(&path).unwrap();
        assert_eq!(
            (inbox.len(), inbox.all()[0].text.as_str()),
            (2, "line\nline")
        );

        // A crash during a write loses only that email, which was never acknowledged.
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let inbox = Inbox::with_file(&path).unwrap();
        assert_eq!(inbox.len(), 1);
        let client = client(&inbox, RetryConfig::disabled()).await;
        send(&client, &["c@example.com"], message("3", "t", None))
            .await
            .unwrap();
        let again = Inbox::with_file(&path).unwrap();
        assert_eq!(again.all(), inbox.all());
        assert_eq!(
            again
                .all()
                .iter()
                .map(|mail| (mail.at_index, mail.subject.as_str()))
                .collect::<Vec<_>>(),
            [(0, "1"), (1, "3")]
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn what_it_does_not_know_it_refuses() {
        let inbox = Inbox::new();
        let client = client(&inbox, RetryConfig::disabled()).await;
        let raw = RawMessage::builder().data(Blob::new("x")).build().unwrap();
        let error = client
            .send_raw_email()
            .raw_message(raw)
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some("InvalidAction"));
        assert_eq!(
            error.message(),
            Some("\"SendRawEmail\" is not supported by the local SES")
        );

        let with_copy = Destination::builder()
            .to_addresses("a@example.com")
            .cc_addresses("b@example.com")
            .build();
        let copied = client
            .send_email()
            .source("s@example.com")
            .destination(with_copy)
            .message(message("s", "t", None));
        assert_eq!(
            copied.send().await.unwrap_err().code(),
            Some("InvalidParameterValue")
        );

        for (to, code) in [
            (&[][..], "MessageRejected"),
            (&["a@example.com"; 51], "MessageRejected"),
            (&["<nobody>"], "InvalidParameterValue"),
        ] {
            let error = send(&client, to, message("s", "t", None))
                .await
                .unwrap_err();
            assert_eq!(error.code(), Some(code), "{to:?}");
        }
        let no_body = Message::builder()
            .subject(content("s"))
            .body(Body::builder().build())
            .build();
        assert_eq!(
            send(&client, &["a@example.com"], no_body)
                .await
                .unwrap_err()
                .code(),
            Some("ValidationError")
        );
        assert_eq!(
            send(&client, &["a@example.com"], message("", "t", None))
                .await
                .unwrap_err()
                .code(),
            Some("ValidationError")
        );
        assert!(inbox.is_empty());
    }
}
