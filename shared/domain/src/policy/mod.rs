//! The policy of a portal: everything in which one portal differs from another, as data.
//!
//! A policy is a TOML file read at run time; `docs/portals.md` explains every field. Each section of
//! the file is read and checked in a file of its own. Reading reports every fault with file, line and
//! field.

mod access_review;
mod agreement;
mod application;
mod brand;
pub mod calendar;
mod campaign;
mod document;
mod email;
mod faults;
mod fields;
mod inactivity;
mod messages;
mod offers;
mod password;
mod pin;
mod plan;
pub mod portals;
mod rate_limits;
mod read;
mod records;
mod recovery;
mod registration;
mod registration_code;
mod roles;
mod second_factor;
mod security_questions;
mod session;
mod staff;
mod username;

pub use access_review::AccessReviewPolicy;
pub use agreement::{Agreement, Blocks, RecordedBy};
pub use application::{
    AccessTokenFormat, Application, ApplicationKey, ApplicationUri, ClientAuthentication, KeyType,
    SingleSignOnPolicy,
};
pub use brand::{BrandPolicy, Color, Image};
pub use calendar::days_after;
pub use campaign::Campaign;
pub use document::Policy;
pub use email::EmailPolicy;
pub use faults::{PolicyError, PolicyFault};
pub use fields::{
    AttemptLimit, Bounded, BusinessDays, CountryField, Days, EmailField, Line, Slug, WebAddress,
    Zone,
};
pub use inactivity::InactivityPolicy;
pub use messages::Messages;
pub use offers::{GroupCodePolicy, Offered};
pub use password::{CharacterKind, PasswordPolicy};
pub use pin::{LetterAddress, PinPolicy, Reissuer};
pub use plan::{HelpDesk, HelpDeskFor, Plan};
pub use rate_limits::{EmailLimits, RateLimit};
pub use records::{OnTermination, RecordsPolicy};
pub use recovery::{RecoveryMeans, RecoveryPolicy};
pub use registration::{RecordCondition, RegistrationType};
pub use registration_code::RegistrationCodePolicy;
pub use roles::{Permission, Role, RolePolicy};
pub use second_factor::{FactorMethod, FactorResetter, ResetVerification, SecondFactorPolicy};
pub use security_questions::SecurityQuestionPolicy;
pub use session::{ConcurrentUsePolicy, SessionPolicy};
pub use staff::{Onboarding, StaffPolicy};
pub use username::{ChosenBy, UsernamePolicy};
