//! Emails and letters, as data.

pub mod letter;
pub mod mail;
