//! `[staff]`: how an administrator's people get their accounts.

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::fields::Days;
use super::read::{leaves, section};
use super::username::ChosenBy;

/// How administrators add users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Onboarding {
    /// By a link in an email, with which the users register (AG-08).
    Invitation,
    /// The administrator creates the account, and a code is sent by email (BL-08).
    RegistrationCode,
    /// The administrator creates the account with a password that must be changed at once (EX-09).
    InitialPassword,
}

section! {
    /// The users that administrators add.
    pub struct StaffPolicy {
        pub onboarding: Onboarding,
        /// Whether an administrator must approve them after they register (AG-08).
        pub approval: bool = false,
        /// Whether the approval must come from an administrator other than the one who added the user
        /// or chose their role, and a higher role must be approved too (UX-12).
        pub approval_by_another: bool = false,
        /// For how many days an invitation can be used.
        pub invitation_valid_days: Option<Days> = None,
        /// Whether the principal is asked to add a backup administrator (AG-04).
        pub requires_backup_administrator: bool = false,
    }
}

leaves!(Onboarding);

impl StaffPolicy {
    /// Checks that what people need to join is configured.
    pub(super) fn check(
        &self,
        has_registration_code: bool,
        chosen_by: Option<ChosenBy>,
        faults: &mut Faults,
    ) {
        let by_code = self.onboarding == Onboarding::RegistrationCode;
        if self.onboarding == Onboarding::Invitation && self.invitation_valid_days.is_none() {
            faults.add("staff.onboarding", "invitations need invitation_valid_days");
        }
        if self.onboarding != Onboarding::Invitation && self.invitation_valid_days.is_some() {
            faults.add("staff.invitation_valid_days", "goes with invitations only");
        }
        if by_code && !has_registration_code {
            faults.add("staff.onboarding", "needs a [registration_code] section");
        }
        if self.approval_by_another && !self.approval {
            faults.add("staff.approval_by_another", "goes with approval = true");
        }
        if by_code && self.approval {
            faults.add(
                "staff.approval",
                "goes with invitations and initial passwords: a registration code is the approval",
            );
        }
        if by_code && chosen_by == Some(ChosenBy::User) {
            faults.add(
                "staff.onboarding",
                "registration codes go with usernames made by the system",
            );
        }
    }
}
