//! `[registration_code]`: codes that are sent by email (BL-08).

use std::collections::BTreeSet;

use super::fields::{Bounded, Days, Line};
use super::pin::Reissuer;
use super::read::section;

section! {
    /// Registration codes that are sent by email (BL-08).
    pub struct RegistrationCodePolicy {
        /// The prefix of every code.
        pub prefix: Line,
        /// How many digits follow the prefix.
        pub digits: Bounded<6, 12>,
        /// After how many wrong attempts the code is locked.
        pub max_attempts: Bounded<1, 20>,
        /// For how many days it can be entered.
        pub valid_days: Days,
        /// Who can have it reissued (BL-09).
        pub reissued_by: BTreeSet<Reissuer>,
    }
}
