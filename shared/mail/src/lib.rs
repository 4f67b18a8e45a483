//! The content of emails and letters, and how they leave: emails through SES, letters as PDFs for
//! the print shop.
//!
//! Each email is one file of `src/mails/`, each letter one of `src/letters/`. Its content is
//! written once, as blocks, and rendered as text and as HTML, so that the two parts cannot differ.

mod content;
pub mod letters;
mod mails;
mod send;
mod words;

pub use mails::{RenderedMail, render};
pub use send::{Failure, SendError, TAG, send};
