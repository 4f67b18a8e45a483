//! The business rules of Vestibule as pure functions. They have no AWS, HTTP or async dependencies;
//! time and randomness are parameters.
//!
//! A rule has the form `(state, command, policy, origin, rng) -> Result<Decision, Refusal>`. The
//! store commits the [`Decision`] in one transaction. Differences between portals are fields of
//! [`policy::Policy`].
//!
//! Imports go one way: `values < policy < state < outbox < decision < rules`. `feed` parses plan
//! records; no other layer imports it. `tests/layers.rs` checks this.

pub mod decision;
pub mod feed;
pub mod outbox;
pub mod policy;
pub mod rules;
pub mod state;
pub mod values;

pub use decision::{Change, Decision};
pub use feed::sequence as feeds;
pub use outbox::letter;
pub use policy::portals;
pub use rules::{
    activate, device, help_desk, manage_users as manage, password, profile, record_changes,
    recover, register, sign_in,
};
pub use state::{audit, organization, session};
pub use values::{ids, text};

pub mod account {
    pub use crate::rules::next_step::{NextStep, next_step};
    pub use crate::state::account::*;
    pub use crate::state::membership::{
        Issue, LetterStatus, Membership, PendingStep, Registration,
    };
}

/// Campaigns, and the notices to people who have to act in one.
pub mod campaign {
    pub use crate::outbox::mail::Call;
    pub use crate::rules::campaign::*;
}

/// Scheduled actions and the administrator notices they produce.
pub mod schedule {
    pub use crate::rules::schedule::*;
    pub use crate::state::account::Notices;
    pub use crate::state::follow_up::{AdminNotice, FollowUp, FollowUpKind, Manager};
}

pub mod invite {
    pub use crate::rules::acting::ActingAdministrator;
    pub use crate::rules::invite::*;
    pub use crate::state::invitation::{Invitation, InvitationStatus, State};
}

pub mod message {
    pub use crate::outbox::mail::*;
    pub use crate::state::follow_up::AccountOutcome;
}

pub mod record {
    pub use crate::state::record::*;
    pub use crate::values::record_kind::{Fact, RecordKind};
}

/// Access reviews.
pub mod review {
    pub use crate::rules::access_review::*;
    pub use crate::state::membership::Confirmation;
    pub use crate::state::organization::{Removed, Review, next_due_on};
}
