//! Letters for print: each is laid out on one page, and the pages become one PDF.
//!
//! Layout happens before printing. A letter that cannot be printed is reported then, and never
//! leaves with missing glyphs or cut-off text.

mod address;
mod factor_reset;
mod font;
mod notification;
mod page;
mod pin;

use vestibule_domain::outbox::letter::{Letter, LetterText};
use vestibule_domain::policy::{Line, Policy};

use vestibule_domain::values::folding;
use vestibule_domain::values::text::PostalAddress;

pub use page::{Page, PdfError, Unprintable, pdf};

use crate::words::{day, one_line};
use font::Weight;

/// Returns the kind of a letter for the lists that accompany printed letters.
pub const fn kind(letter: &Letter) -> &'static str {
    match letter.text {
        LetterText::Pin { .. } => "pin",
        LetterText::FactorReset { .. } => "second_factor_reset",
        LetterText::Notification { .. } => "notification",
    }
}

/// Lays out a letter for its portal on one page: US Letter for a plan in the United States, A4 where
/// that is the usual size.
///
/// # Errors
/// [`Unprintable`] if the page would not show the whole letter.
pub fn lay_out(letter: &Letter, policy: &Policy) -> Result<Page, Unprintable> {
    let (greeting, content) = match &letter.text {
        LetterText::Pin {
            greeting,
            organization,
            pin,
            expires_on,
            account: _,
        } => {
            let organization = organization.as_deref().map(printable);
            (
                greeting,
                pin::content(organization.as_deref(), pin, *expires_on, policy),
            )
        }
        LetterText::FactorReset {
            greeting,
            pin,
            expires_on,
            account: _,
        } => (greeting, factor_reset::content(pin, *expires_on, policy)),
        LetterText::Notification {
            organization,
            registration_type,
            provider_id,
        } => (
            organization,
            notification::content(
                &printable(organization),
                registration_type,
                provider_id,
                policy,
            ),
        ),
    };
    let greeting = match one_line(&printable(greeting)) {
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
        to: to_lines(&letter.to, policy),
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

/// Checks that an address fits in the window of the envelope and that all of its characters can be
/// printed, before it is saved.
///
/// # Errors
/// [`Unprintable`] if a letter could not be printed.
pub fn check_address(address: &PostalAddress, policy: &Policy) -> Result<(), Unprintable> {
    let paper = page::Paper::usual_in(&policy.plan.home_country.0);
    page::check_address(&to_lines(address, policy), paper)
}

/// Returns the lines of an address as they are printed.
fn to_lines(address: &PostalAddress, policy: &Policy) -> Vec<String> {
    let lines = address::lines(address, &policy.plan.home_country.0);
    lines
        .iter()
        .map(|line| one_line(&printable(line)))
        .collect()
}

/// Transliterates the letters that the font does not have, such as those of Chinese and Arabic names.
fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    for c in text.chars() {
        let is_printable = Weight::Regular.has(c) && Weight::Bold.has(c);
        let starts_word =
            printed.ends_with(|last: char| !last.is_alphanumeric()) || printed.is_empty();
        match folding::in_ascii(c, starts_word).filter(|_| !is_printable) {
            Some(ascii) => printed.push_str(&ascii),
            None => printed.push(c),
        }
    }
    printed
}
