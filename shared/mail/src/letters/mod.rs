//! Letters as they are printed.

mod address;
mod notification;
mod pin;

use std::fmt;

use askama::Template;
use vestibule_domain::letter::{Letter, LetterText};
use vestibule_domain::policy::{Line, Policy};

use crate::content::{Block, Content};
use crate::words::{day, one_line, wrapped};

/// A letter as it is printed. It holds what nobody but its reader may see: it is to be printed,
/// and neither logged nor stored in clear.
#[derive(Clone, PartialEq, Eq)]
pub struct RenderedLetter {
    /// For a printer of plain text.
    pub text: String,
    /// One page of US Letter or A4, as is usual where it is posted. The address shows in the
    /// window of a US No. 10 envelope or of a DL or C6/5 one.
    pub html: String,
}

impl fmt::Debug for RenderedLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RenderedLetter(***)")
    }
}

/// Writes a letter in the name of its portal.
pub fn render(letter: &Letter, policy: &Policy) -> RenderedLetter {
    let (greeting, content) = match &letter.says {
        LetterText::Pin {
            greeting,
            organisation,
            pin,
            usable_until,
        } => (
            greeting,
            pin::content(organisation.as_deref(), pin, *usable_until, policy),
        ),
        LetterText::Notification {
            organisation,
            way,
            provider_id,
        } => (
            organisation,
            notification::content(organisation, way, provider_id, policy),
        ),
    };
    let greeting = match one_line(greeting) {
        name if name.is_empty() => "Hello,".to_owned(),
        name => format!("Dear {name},"),
    };
    let home = policy.pin.as_ref().map(|p| &p.home_country.0);
    let to = address::lines(&letter.to, home);
    let mut from: Vec<_> = policy
        .plan
        .return_address
        .iter()
        .map(Line::as_str)
        .collect();
    if from.is_empty() {
        from.push(policy.plan.name.as_str());
    }
    let dated = day(letter.dated);
    let html = Html {
        paper: home.map_or(&A4, |c| Paper::usual_in(c.as_str())),
        small: to.len() > 5 || to.iter().any(|l| l.chars().count() > 40),
        from: &from,
        dated: &dated,
        to: &to,
        greeting: &greeting,
        content: &content,
        policy,
    }
    .to_string();
    let text = Text {
        from: &from,
        dated: &dated,
        to: &to,
        subject: wrapped("", &content.subject),
        greeting: wrapped("", &greeting),
        blocks: content.blocks.iter().map(Block::as_text).collect(),
        because: wrapped(
            "",
            &format!("You get this letter because {}.", content.because),
        ),
        policy,
    }
    .to_string();
    RenderedLetter { text, html }
}

/// A paper and where things stand on it, in CSS.
struct Paper {
    name: &'static str,
    width: &'static str,
    height: &'static str,
    /// From the top to the first line of the address.
    address_top: &'static str,
    /// From the left to the address and to everything else.
    left: &'static str,
    /// From the top to the subject, below the window and the first fold.
    body_top: &'static str,
    /// Whether the window shows the sender, in small type above the address (DIN 5008).
    sender_in_window: bool,
}

static US_LETTER: Paper = Paper {
    name: "letter",
    width: "8.5in",
    height: "11in",
    address_top: "2.2in",
    left: "1in",
    body_top: "3.9in",
    sender_in_window: false,
};

static A4: Paper = Paper {
    name: "A4",
    width: "210mm",
    height: "297mm",
    address_top: "60mm",
    left: "25mm",
    body_top: "108mm",
    sender_in_window: true,
};

impl Paper {
    fn usual_in(country: &str) -> &'static Self {
        match country {
            "US" | "CA" | "MX" | "PR" | "GU" | "VI" | "AS" | "MP" | "PH" | "CO" | "CL" | "CR"
            | "DO" | "GT" | "NI" | "PA" | "SV" | "VE" => &US_LETTER,
            _ => &A4,
        }
    }
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    paper: &'a Paper,
    small: bool,
    from: &'a [&'a str],
    dated: &'a str,
    to: &'a [String],
    greeting: &'a str,
    content: &'a Content,
    policy: &'a Policy,
}

#[derive(Template)]
#[template(path = "letter.txt")]
struct Text<'a> {
    from: &'a [&'a str],
    dated: &'a str,
    to: &'a [String],
    subject: String,
    greeting: String,
    blocks: Vec<String>,
    because: String,
    policy: &'a Policy,
}
