//! `[rate_limits]`: how many attempts are allowed, and how many emails are sent.

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
    /// How many emails are sent in a day (SE-06).
    pub struct EmailLimits {
        /// Emails to one recipient that others can cause: links, codes, reminders and invitations.
        pub max_requested_per_recipient: Bounded<1, 1000> = EmailLimits::default().max_requested_per_recipient,
        /// Notices to one recipient.
        pub max_notices_per_recipient: Bounded<1, 10_000> = EmailLimits::default().max_notices_per_recipient,
        /// Emails that one account or source address causes.
        pub max_per_sender: Bounded<1, 100_000> = EmailLimits::default().max_per_sender,
        /// Confirmations of new email addresses that one account requests.
        pub max_confirmations_per_sender: Bounded<1, 1000> = EmailLimits::default().max_confirmations_per_sender,
    }
}

impl Default for EmailLimits {
    fn default() -> Self {
        Self {
            max_requested_per_recipient: Bounded(10),
            max_notices_per_recipient: Bounded(200),
            max_per_sender: Bounded(2000),
            max_confirmations_per_sender: Bounded(5),
        }
    }
}

section! {
    /// The limits on guessing secrets, and on emails.
    pub struct RateLimits {
        /// Limits sign-in, recovery and codes, by username.
        pub sign_in: RateLimit,
        /// Limits registration, by plan record.
        pub registration: RateLimit,
        /// Limits the emails that are sent.
        pub email: EmailLimits = EmailLimits::default(),
    }
}
