//! What is done to an account by someone else: an administrator of its organization, or the plan's help
//! desk (UX-12). One file per action. Where both can perform it, the [`authority`] is a parameter.
//!
//! The user is notified of every action, but not of the help desk's reason for it.

pub mod add_user;
mod administrators;
pub mod approve;
pub mod assign;
pub mod authority;
pub mod correct_address;
pub mod detach_record;
pub mod record_agreement;
mod refusal;
pub mod reissue_code;
pub mod reissue_pin;
pub mod remove;
pub mod rename;
pub mod resend_invitation;
pub mod reset_second_factors;
pub mod secure;
pub mod send_reset_link;
pub mod send_username;
pub mod set_status;
pub mod set_subscriptions;
pub mod unlock;

pub use refusal::Refusal;
