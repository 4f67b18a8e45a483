//! `[access_review]`: periodic reviews of who has access (EX-11).

use super::faults::Faults;
use super::fields::{Days, check_warnings};
use super::read::section;

section! {
    /// Periodic reviews of who has access (EX-11).
    pub struct AccessReviewPolicy {
        /// The days from one review to the next.
        pub interval_days: Days,
        /// How long managers have to complete a review.
        pub due_within_days: Days,
        /// The days before the deadline on which managers are reminded, in descending order.
        pub reminder_days: Vec<Days> = Vec::new(),
    }
}

impl AccessReviewPolicy {
    /// Checks that a review ends before the next one begins, and reminders come before its end.
    pub(super) fn check(&self, faults: &mut Faults) {
        if self.due_within_days >= self.interval_days {
            faults.add(
                "access_review.due_within_days",
                "must be less than interval_days",
            );
        }
        let (field, end) = ("access_review.reminder_days", self.due_within_days);
        check_warnings(field, &self.reminder_days, end, faults);
    }
}
