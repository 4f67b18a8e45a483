//! The rules of Vestibule, pure: no AWS, no async, no clock or randomness of its own, no HTTP.
//!
//! A verb is a function `(state, command, policy, now, random) -> Result<Decision, Refusal>`; the
//! store commits a [`Decision`] in one transaction. What differs between portals is a field of
//! [`policy::Policy`].

pub mod account;
pub mod activate;
pub mod audit;
pub mod campaign;
pub mod clockwork;
mod countries;
pub mod decision;
pub mod device;
pub mod feed;
pub mod feeds;
pub mod follow;
pub mod help_desk;
pub mod ids;
pub mod invite;
pub mod letter;
pub mod manage;
pub mod message;
pub mod organization;
pub mod password;
pub mod policy;
pub mod portals;
pub mod profile;
pub mod record;
pub mod recover;
pub mod register;
pub mod review;
pub mod session;
pub mod sign_in;
pub mod text;

pub use decision::{Change, Decision};
