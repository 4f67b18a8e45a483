//! Letters that are printed and posted.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::values::ids::{MessageId, PortalId};
use crate::values::text::{PostalAddress, Sensitive};

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Its identifier.
    pub id: MessageId,
    /// The portal in whose name it is written.
    pub portal: PortalId,
    /// Where it goes.
    pub to: PostalAddress,
    /// The day on it.
    pub dated: Date,
    /// What it says.
    pub says: LetterText,
}

/// What a letter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterText {
    /// The PIN that opens an account (ME-06, BL-03).
    Pin {
        /// How the person is called.
        greeting: String,
        /// The organization, where it is for one.
        organization: Option<String>,
        /// The PIN. It is in the outbox, sealed, until the letter is printed, and then nowhere.
        pin: Sensitive,
        /// The last day on which it can be entered.
        expires_on: Date,
    },
    /// With what a provider can register now (EX-05, EX-06).
    Notification {
        /// Who can register.
        organization: String,
        /// The title of the way to register.
        registration_type: String,
        /// The provider id. The tax id, which its owner knows, isn't put beside it.
        provider_id: String,
    },
}
