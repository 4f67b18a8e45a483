//! Letters that are printed and mailed.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::values::ids::{AccountId, MessageId, PortalId};
use crate::values::text::{PostalAddress, Sensitive};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub id: MessageId,
    pub portal: PortalId,
    pub to: PostalAddress,
    /// The date printed on the letter.
    pub dated: Date,
    pub text: LetterText,
}

/// The kind of letter, with its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterText {
    /// The PIN that activates an account (ME-06, BL-03).
    Pin {
        /// The account that the PIN activates. It is not printed.
        account: AccountId,
        /// The name in the salutation.
        greeting: String,
        /// The organization that the PIN is for, if any.
        organization: Option<String>,
        /// The PIN. It is stored only in the outbox, encrypted, until the letter is printed.
        pin: Sensitive,
        /// The last day on which it can be entered.
        expires_on: Date,
    },
    /// The PIN that proves the postal address before second factors are removed (MF-06).
    FactorReset {
        /// The account whose second factors are reset. It is not printed.
        account: AccountId,
        /// The name in the salutation.
        greeting: String,
        /// The PIN. It is stored only in the outbox, encrypted, until the letter is printed.
        pin: Sensitive,
        /// The last day on which it can be entered.
        expires_on: Date,
    },
    /// Informs a provider that it can register (EX-05, EX-06).
    Notification {
        /// The provider that can register.
        organization: String,
        /// The title of the registration type.
        registration_type: String,
        /// The provider ID. The letter omits the tax ID, so that it alone is not enough to
        /// register.
        provider_id: String,
    },
}
