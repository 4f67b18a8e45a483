//! `[inactivity]`: when idle accounts are disabled and deleted (BA-01 to BA-03).

use std::collections::BTreeSet;

use super::faults::Faults;
use super::fields::{Days, check_warnings};
use super::read::section;
use super::roles::Role;

section! {
    /// Idle accounts (BA-01 to BA-03).
    pub struct InactivityPolicy {
        /// An account is disabled after more than this many days without a sign-in.
        pub disable_after_days: Days,
        /// An account is deleted after more than this many days without a sign-in.
        pub delete_after_days: Days,
        /// The roles whose accounts are neither disabled nor deleted.
        pub exempt_roles: BTreeSet<Role> = BTreeSet::new(),
        /// The days before either on which the owner is warned, in descending order.
        pub warning_days: Vec<Days> = Vec::new(),
        /// How many days the owner of a reinstated account has to sign in (UX-02).
        pub grace_days: Days,
    }
}

impl InactivityPolicy {
    /// Checks the order of warning, disabling and deletion.
    pub(super) fn check(&self, faults: &mut Faults) {
        if self.delete_after_days <= self.disable_after_days {
            faults.add(
                "inactivity.delete_after_days",
                "must be more than disable_after_days",
            );
        }
        let (field, end) = ("inactivity.warning_days", self.disable_after_days);
        check_warnings(field, &self.warning_days, end, faults);
    }
}
