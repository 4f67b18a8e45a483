//! The rules, one file per flow.

pub mod accept_invitation;
pub mod access_review;
pub mod access_terms;
pub mod acting;
pub mod actions;
pub mod activate;
pub mod authorization_request;
pub mod campaign;
pub mod consequences;
pub mod context;
pub(crate) mod departure;
pub mod device;
pub(crate) mod follow_up;
pub mod help_desk;
pub mod invite;
pub mod next_step;
pub mod password;
pub mod profile;
pub mod record_changes;
pub mod recover;
pub mod register;
pub mod schedule;
pub mod second_factor;
pub mod security_questions;
pub mod sign_in;
pub mod single_sign_on;
