//! `[session]` and `[concurrent_use]`: how long sessions last, and when concurrent use is detected.

use super::fields::Bounded;
use super::read::section;

section! {
    /// How long sessions last (AG-14).
    pub struct SessionPolicy {
        /// After how many hours a session expires, whatever its user does.
        pub max_hours: Bounded<1, 24>,
        /// After how many minutes without a request it expires; absent: no idle timeout.
        pub idle_minutes: Option<Bounded<1, 480>> = None,
    }
}

section! {
    /// Detection of an account in use from several places at once (EX-01).
    pub struct ConcurrentUsePolicy {
        /// For how many minutes after a sign-in the use of an older session from elsewhere counts as
        /// concurrent.
        pub within_minutes: Bounded<1, 480>,
    }
}
