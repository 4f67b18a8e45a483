//! The state in the store: accounts, organizations, invitations, sessions, plan records, audit
//! events.

pub mod account;
pub mod audit;
pub mod follow_up;
pub mod invitation;
pub mod membership;
pub mod organization;
pub mod record;
pub mod second_factor;
pub mod session;
pub mod single_sign_on;
