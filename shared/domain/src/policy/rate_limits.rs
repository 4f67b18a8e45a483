//! `[rate_limits.sign_in]` and `[rate_limits.registration]`: how many attempts are allowed.

use super::fields::{AttemptLimit, Bounded};
use super::read::section;

section! {
    /// How many attempts are allowed within a window.
    pub struct RateLimit {
        /// Attempts per username or plan record.
        pub max_attempts: AttemptLimit,
        /// Attempts per source address.
        pub max_attempts_per_source: Bounded<1, 100_000>,
        pub window_minutes: Bounded<1, 1440>,
    }
}

section! {
    /// The limits on guessing secrets.
    pub struct RateLimits {
        /// Limits sign-in, recovery and codes, by username.
        pub sign_in: RateLimit,
        /// Limits registration, by plan record.
        pub registration: RateLimit,
    }
}
