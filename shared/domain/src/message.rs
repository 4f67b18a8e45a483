//! Mails and letters that a decision sends. They are written in the decision's own transaction and
//! leave later, so that none is lost and none tells of something that didn't happen.

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::ids::{MessageId, PortalId};
use crate::letter::Letter;
use crate::text::{Email, Sensitive};

/// What leaves the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// By e-mail.
    Mail(Mail),
    /// By post.
    Letter(Letter),
}

impl Message {
    /// Its identifier.
    pub const fn id(&self) -> &MessageId {
        match self {
            Self::Mail(m) => &m.id,
            Self::Letter(l) => &l.id,
        }
    }
}

/// An e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its identifier.
    pub id: MessageId,
    /// The portal in whose name it is written.
    pub portal: PortalId,
    /// Where it goes.
    pub to: Email,
    /// How the person is called.
    pub greeting: String,
    /// When it was decided on.
    pub at: Timestamp,
    /// What it says.
    pub says: MailText,
}

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailText {
    /// To who has registered.
    Registered {
        /// Their user name.
        user_name: String,
        /// By when the letter with the PIN should arrive, where one is posted.
        pin_letter_by: Option<Date>,
        /// Title and form of an agreement that has to be signed first.
        agreement: Option<(String, String)>,
    },
    /// To a principal without a backup (AG-04).
    BackupWanted {
        /// The organisation.
        organisation: String,
    },
    /// To who is invited (AG-08).
    Invitation {
        /// The organisation.
        organisation: String,
        /// Who invites.
        inviter: String,
        /// What the person will be.
        role: String,
        /// The token that the link carries.
        token: Sensitive,
        /// The last day on which it can be used.
        usable_until: Date,
    },
    /// To the administrator who invited somebody that has now registered (AG-08).
    InvitedPersonRegistered {
        /// The organisation.
        organisation: String,
        /// Who registered.
        person: String,
        /// Their user name.
        user_name: String,
        /// Whether they wait for approval.
        awaits_approval: bool,
    },
    /// To who has been approved (AG-08).
    Approved {
        /// The organisation.
        organisation: String,
        /// The titles of the services assigned.
        services: Vec<String>,
    },
    /// To a user whom an administrator added (BL-08).
    RegistrationCode {
        /// The organisation.
        organisation: String,
        /// The user name that was made for them.
        user_name: String,
        /// The code.
        code: Sensitive,
        /// The last day on which it can be used.
        usable_until: Date,
    },
    /// To a user whom an administrator added with an initial password (EX-09).
    AccountMade {
        /// The organisation.
        organisation: String,
        /// The user name.
        user_name: String,
    },
    /// To who had a new PIN issued (ME-07).
    PinReissued {
        /// By when the letter should arrive.
        arrives_by: Date,
    },
    /// To who has a new password (UX-06).
    PasswordChanged,
}
