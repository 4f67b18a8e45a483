//! `[pin]`: PINs that are sent by letter.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::fields::{Bounded, BusinessDays, Days};
use super::read::{leaves, section};

/// The address that a PIN letter is mailed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterAddress {
    /// The address in the plan records (ME-06).
    PlanRecords,
    /// The address that the person enters when registering (BL-03).
    Designated,
}

/// Who can have a PIN or code reissued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reissuer {
    /// The person it was issued to.
    User,
    /// An administrator of the organization.
    Administrator,
    /// The plan's help desk.
    HelpDesk,
}

section! {
    /// PINs that are sent by letter.
    pub struct PinPolicy {
        pub digits: Bounded<4, 12>,
        /// After how many wrong attempts the PIN is locked.
        pub max_attempts: Bounded<1, 20>,
        /// For how many days it can be entered, counted from its issue.
        pub valid_days: Days,
        pub address: LetterAddress,
        /// Who can have it reissued (ME-07, BL-06).
        pub reissued_by: BTreeSet<Reissuer>,
        /// The delivery time within the home country (ME-08).
        pub delivery_days: BusinessDays,
        /// The delivery time to other countries.
        pub international_delivery_days: BusinessDays,
        /// Days besides Saturday and Sunday on which no mail is delivered.
        pub holidays: BTreeSet<Date> = BTreeSet::new(),
    }
}

leaves!(LetterAddress, Reissuer);
