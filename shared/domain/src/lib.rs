//! The business rules of Vestibule as pure functions. They have no AWS, HTTP or async dependencies;
//! time and randomness are in the [`Context`](rules::context::Context).
//!
//! A rule has the form `(state, command, context) -> Result<Decision, Refusal>`. The
//! store commits the [`Decision`] in one transaction. Differences between portals are fields of
//! [`policy::Policy`].
//!
//! Imports go one way: `values < policy < state < outbox < decision < rules`. `feed` parses plan
//! records; no other layer imports it. The test `system::imports` checks this.

pub mod decision;
pub mod feed;
pub mod outbox;
pub mod policy;
pub mod rules;
pub mod state;
pub mod values;

pub use decision::{Change, Decision};
