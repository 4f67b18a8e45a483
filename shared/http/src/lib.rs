//! What every API function shares: strict parsing of requests, authentication of the caller, problem
//! responses (RFC 9457), and the settings and wiring of a function.

pub mod app;
pub mod browser;
pub mod bulk;
pub mod caller;
pub mod credentials;
pub mod csv;
pub mod enrollment;
pub mod fields;
pub mod idempotency;
mod mail_limit;
pub mod oauth;
pub mod openapi;
pub mod outbound;
pub mod parts;
mod passkeys;
mod pending_steps;
pub mod portals;
mod privileged;
pub mod problem;
pub mod rate_limit;
pub mod request;
pub mod request_limit;
pub mod responses;
pub mod router;
pub mod schedule;
pub mod second_factor;
pub mod secret_check;
pub mod sessions;
pub mod settings;
pub mod transact;
mod usernames;
pub mod verification;

pub use app::{App, Clock};
pub use caller::{Caller, Entitled, SignedIn, Visitor};
pub use fields::FieldErrors;
pub use problem::{Problem, ProblemBody};
pub use request::{Body, Portal, Source};
pub use router::{Routes, serve};
pub use transact::{Attempt, transact};
pub use vestibule_secrets::signing::Signer;
