//! Letters for print: each is laid out on one page, and the pages become one PDF.
//!
//! Layout happens before printing. A letter that cannot be printed is reported then, and never
//! leaves with missing glyphs or cut-off text.

mod address;
mod font;
mod notification;
mod page;
mod pin;

use vestibule_domain::outbox::letter::{Letter, LetterText};
use vestibule_domain::policy::{Line, Policy};

pub use page::{Page, PdfError, Unprintable, pdf};

use crate::words::{day, one_line};

/// Returns the kind of a letter for the lists that accompany printed letters.
pub const fn kind(letter: &Letter) -> &'static str {
    match letter.says {
        LetterText::Pin { .. } => "pin",
        LetterText::Notification { .. } => "notification",
    }
}

/// Lays out a letter for its portal on one page: US Letter for a plan in the United States, A4 where
/// that is the usual size.
///
/// # Errors
/// [`Unprintable`] if the page would not show the whole letter.
pub fn lay_out(letter: &Letter, policy: &Policy) -> Result<Page, Unprintable> {
    let (greeting, content) = match &letter.says {
        LetterText::Pin {
            greeting,
            organization,
            pin,
            expires_on,
        } => (
            greeting,
            pin::content(organization.as_deref(), pin, *expires_on, policy),
        ),
        LetterText::Notification {
            organization,
            registration_type,
            provider_id,
        } => (
            organization,
            notification::content(organization, registration_type, provider_id, policy),
        ),
    };
    let greeting = match one_line(greeting) {
        name if name.is_empty() => "Hello,".to_owned(),
        name => format!("Dear {name},"),
    };
    let home = &policy.plan.home_country.0;
    let mut from: Vec<_> = policy
        .plan
        .return_address
        .iter()
        .map(Line::as_str)
        .collect();
    if from.is_empty() {
        from.push(policy.plan.name.as_str());
    }
    let desk = &policy.help_desk;
    let mut questions = format!("{}: {}. {}.", desk.name, desk.phone, desk.hours);
    if let Some(email) = &desk.email {
        questions.push(' ');
        questions.push_str(email.0.as_str());
    }
    page::Layout {
        paper: page::Paper::usual_in(home),
        from,
        dated: day(letter.dated),
        to: address::lines(&letter.to, home),
        greeting,
        closing: ["Sincerely,", desk.name.as_str(), policy.plan.name.as_str()],
        footer: [
            "Questions? We are here to help.".to_owned(),
            questions,
            format!("You are receiving this letter because {}.", content.because),
        ],
        content: &content,
    }
    .page()
}
