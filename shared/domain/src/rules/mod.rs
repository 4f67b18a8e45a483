//! The rules, one file per flow.

pub mod accept_invitation;
pub mod access_review;
pub mod acting;
pub mod activate;
pub mod campaign;
pub mod consequences;
pub mod context;
pub mod device;
pub mod help_desk;
pub mod invite;
pub mod manage_users;
pub mod next_step;
pub mod password;
pub mod profile;
pub mod record_changes;
pub mod recover;
pub mod register;
pub mod schedule;
pub mod secure_account;
pub mod security_questions;
pub mod sign_in;
