//! What Vestibule writes to people: emails, which go out through SES, and letters, which are
//! printed and posted.
//!
//! What a mail says is one file of `src/mails/`, what a letter says is one of `src/letters/`. Each
//! says it once, as blocks of content; the templates lay that out as text and as HTML, so that
//! the two parts of a mail can't come to differ.

mod content;
pub mod letters;
mod mails;
mod send;
mod words;

pub use mails::{RenderedMail, render};
pub use send::{Failure, SendError, TAG, send};
