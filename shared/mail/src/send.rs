//! Sends an email through SES.

use aws_sdk_ses::Client;
use aws_sdk_ses::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ses::operation::RequestId;
use aws_sdk_ses::operation::send_email::SendEmailError;
use aws_sdk_ses::types::{Body, Content, Destination, Message, MessageTag};
use data_encoding::BASE64;
use vestibule_domain::policy::Policy;
use vestibule_domain::values::ids::MessageId;
use vestibule_domain::values::text::Email;

use crate::mails::RenderedMail;

/// The reason why SES did not accept an email.
///
/// It contains only the kind of failure and its SES error code. It omits the error message, which may
/// quote an email address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A retry may succeed: throttling, an SES or network error, or a setting that an operator can
    /// correct.
    #[error("SES cannot accept the email now: {0}")]
    Temporary(Failure),
    /// A retry cannot succeed: the address or the message is invalid.
    #[error("SES rejected the email: {0}")]
    Permanent(Failure),
}

/// An SES error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} (request {})", request_id.as_deref().unwrap_or("unknown"))]
pub struct Failure {
    /// The error code, such as `Throttling`.
    pub code: String,
    /// The request ID, if SES responded.
    pub request_id: Option<String>,
}

impl SendError {
    /// Returns whether a retry may succeed.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }
}

/// The tag with the outbox message ID, which SES includes in its reports on an email.
pub const TAG: &str = "outbox";

/// Sends an email for a portal and returns its SES message ID.
///
/// Besides the email itself, SES receives only the message ID of the outbox.
///
/// # Errors
/// [`SendError`], which says whether a retry may succeed.
pub async fn send(
    client: &Client,
    policy: &Policy,
    id: &MessageId,
    to: &Email,
    mail: &RenderedMail,
    configuration_set: Option<&str>,
) -> Result<String, SendError> {
    let message = Message::builder()
        .subject(utf8(&mail.subject)?)
        .body(
            Body::builder()
                .text(utf8(&mail.text)?)
                .html(utf8(&mail.html)?)
                .build(),
        )
        .build();
    let tag = MessageTag::builder().name(TAG).value(id.as_str()).build();
    let tag = tag.map_err(|_| SendError::Permanent(unsendable()))?;
    let sent = client
        .send_email()
        .source(source(policy.title.as_str(), policy.email.from.0.as_str()))
        .destination(Destination::builder().to_addresses(to.as_str()).build())
        .message(message)
        .tags(tag)
        .set_configuration_set_name(configuration_set.map(str::to_owned))
        .send()
        .await
        .map_err(|e| failed(&e))?;
    Ok(sent.message_id)
}

fn utf8(data: &str) -> Result<Content, SendError> {
    let content = Content::builder().charset("UTF-8").data(data).build();
    content.map_err(|_| SendError::Permanent(unsendable()))
}

fn unsendable() -> Failure {
    Failure {
        code: "no content".to_owned(),
        request_id: None,
    }
}

fn failed(error: &SdkError<SendEmailError>) -> SendError {
    let unanswered = |what: &str| Failure {
        code: what.to_owned(),
        request_id: None,
    };
    match error {
        SdkError::ConstructionFailure(_) => SendError::Permanent(unanswered("no request")),
        SdkError::TimeoutError(_) => SendError::Temporary(unanswered("timeout")),
        SdkError::DispatchFailure(_) => SendError::Temporary(unanswered("no connection")),
        SdkError::ServiceError(answer) => {
            let failure = Failure {
                code: answer.err().code().unwrap_or("unnamed").to_owned(),
                request_id: answer.err().meta().request_id().map(str::to_owned),
            };
            let its_own_fault = answer.raw().status().as_u16() >= 500;
            if !its_own_fault && blames_the_mail(&failure.code) {
                SendError::Permanent(failure)
            } else {
                SendError::Temporary(failure)
            }
        }
        _ => SendError::Temporary(unanswered("unreadable response")),
    }
}

/// Returns whether SES rejected the email itself, as opposed to the account, its settings or its quota.
fn blames_the_mail(code: &str) -> bool {
    matches!(
        code,
        "MessageRejected"
            | "InvalidParameterValue"
            | "InvalidParameterCombination"
            | "MissingParameter"
            | "ValidationError"
    )
}

/// The maximum length of a sender that every mail system accepts: local part, `@` and domain (RFC 5321).
const MAX_SOURCE_LENGTH: usize = 320;

/// Returns the sender with the portal's title as its display name, truncated if too long.
fn source(title: &str, from: &str) -> String {
    let ends = title.char_indices().map(|(i, c)| i + c.len_utf8()).rev();
    ends.map(|end| format!("{} <{from}>", display_name(&title[..end])))
        .find(|source| source.len() <= MAX_SOURCE_LENGTH)
        .unwrap_or_else(|| from.to_owned())
}

/// Encodes a display name as a quoted string (RFC 5322), or as encoded words (RFC 2047) if it is not
/// printable ASCII.
fn display_name(name: &str) -> String {
    if name.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    }
    // An encoded word has at most 75 characters: 45 bytes in Base64 plus the delimiters.
    let mut words = vec![String::new()];
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= 45 => word.push(c),
            _ => words.push(c.into()),
        }
    }
    let words: Vec<_> = words
        .iter()
        .map(|w| format!("=?UTF-8?B?{}?=", BASE64.encode(w.as_bytes())))
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_cannot_break_out() {
        for (title, expected) in [
            ("Agents", "\"Agents\" <a@example.com>"),
            (
                "A \"B\" \\ C, <x@y.z>",
                "\"A \\\"B\\\" \\\\ C, <x@y.z>\" <a@example.com>",
            ),
            ("Café", "=?UTF-8?B?Q2Fmw6k=?= <a@example.com>"),
            ("A\r\nBcc: x", "=?UTF-8?B?QQ0KQmNjOiB4?= <a@example.com>"),
            ("", "a@example.com"),
        ] {
            assert_eq!(source(title, "a@example.com"), expected);
        }
    }

    #[test]
    fn long_titles_are_encoded_in_words_and_cut() {
        let name = display_name(&"é".repeat(60));
        assert_eq!(name.split(' ').count(), 3);
        assert!(name.split(' ').all(|word| word.len() <= 75), "{name}");
        for title in ["x".repeat(500), "é".repeat(500), "\"".repeat(500)] {
            let source = source(&title, "a@example.com");
            assert!(
                (250..=MAX_SOURCE_LENGTH).contains(&source.len()),
                "{}",
                source.len()
            );
            assert!(source.is_ascii() && source.ends_with(" <a@example.com>"));
        }
    }
}
