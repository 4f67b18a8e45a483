//! `[messages]`: what the portal says in its own words.

use super::fields::Line;
use super::read::section;

section! {
    /// The messages that a portal can word itself.
    pub struct Messages {
        /// Shown to a user who signs in with a wrong username or password (BA-05).
        pub login_failed: Line = login_failed(),
        /// Shown to a user whose password is correct but whose account is disabled (BA-04).
        pub account_disabled: Line = account_disabled(),
        /// Shown to a person whose entries don't match the plan records (AG-06).
        pub registration_refused: Line = registration_refused(),
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            login_failed: login_failed(),
            account_disabled: account_disabled(),
            registration_refused: registration_refused(),
        }
    }
}

fn login_failed() -> Line {
    Line("Login failed due to either an invalid user ID and/or password, or a connection cannot be established. Please try again.".into())
}

fn account_disabled() -> Line {
    Line("This user ID no longer has access to the system. Please contact your security administrator for more information.".into())
}

fn registration_refused() -> Line {
    Line("We could not register you with what you entered. Please compare it with your plan documents. If you or your organization may already be registered, sign in or ask your administrator.".into())
}
