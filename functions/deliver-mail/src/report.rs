//! A report from SES: marks the accounts of an address that bounced or whose owner complained.

use std::collections::BTreeMap;

use serde::Deserialize;
use vestibule_domain::rules::profile;
use vestibule_domain::state::account::UndeliverableKind;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::ids::{MessageId, PortalId};
use vestibule_domain::values::text::Email;
use vestibule_mail::TAG;
use vestibule_store::{CommitError, StoreError};

use crate::{MAX_ATTEMPTS, Mailer};

/// An SES event (event publishing, "Email Bounced" and "Email Complaint Received"), reduced to what
/// is used here.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// `Bounce` or `Complaint`; other types are ignored.
    #[serde(rename = "eventType")]
    pub event_type: String,
    pub mail: ReportedMail,
    /// Present for bounces.
    pub bounce: Option<Bounce>,
}

/// The email that an SES event is about.
#[derive(Debug, Deserialize)]
pub struct ReportedMail {
    /// The recipients.
    pub destination: Vec<String>,
    /// The tags that were set when the email was sent.
    #[serde(default)]
    pub tags: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub struct Bounce {
    /// `Permanent`, `Transient` or `Undetermined`.
    #[serde(rename = "bounceType")]
    pub bounce_type: String,
}

impl Mailer {
    /// Marks the accounts of an address after a permanent bounce or a complaint. Returns how many
    /// were marked; a repeated event marks none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_report(&self, report: &Report) -> Result<usize, StoreError> {
        let bounced = report.bounce.as_ref().map(|b| b.bounce_type.as_str());
        let kind = match (report.event_type.as_str(), bounced) {
            ("Bounce", Some("Permanent")) => UndeliverableKind::Bounced,
            ("Complaint", _) => UndeliverableKind::Complained,
            // A mailbox that is full today may not be tomorrow.
            _ => return Ok(0),
        };
        let tagged = report.mail.tags.get(TAG).and_then(|ids| ids.first());
        let Some(id) = tagged.and_then(|id| MessageId::parse(id).ok()) else {
            tracing::warn!("SES event for an email that Vestibule did not send");
            return Ok(0);
        };
        let Some(portal) = self.store.portal_of_message(&id).await? else {
            tracing::warn!(message = %id, "SES event for an unknown email");
            return Ok(0);
        };
        let mut marked = 0;
        for address in &report.mail.destination {
            if let Ok(address) = Email::parse(address) {
                marked += self.mark(&portal, &address, kind).await?;
            }
        }
        Ok(marked)
    }

    /// Marks the accounts of an address and returns how many were marked.
    pub(crate) async fn mark(
        &self,
        portal: &PortalId,
        address: &Email,
        kind: UndeliverableKind,
    ) -> Result<usize, StoreError> {
        let origin = Origin {
            portal: portal.clone(),
            at: self.clock.now(),
            source: None,
        };
        let mut marked = 0;
        for _ in 0..MAX_ATTEMPTS {
            let mut rng = vestibule_http::app::rng();
            let mut again = false;
            for account in self.store.accounts_by_email(portal, address).await? {
                let Some(decision) = profile::mark_undeliverable(&account, kind, &origin, &mut rng)
                else {
                    continue;
                };
                match self.commit(decision, &mut rng).await {
                    Ok(()) => marked += 1,
                    Err(CommitError::Store(cause)) => return Err(cause),
                    // The account changed at the same time: read it again.
                    Err(CommitError::Stale | CommitError::Taken(_)) => again = true,
                }
            }
            if !again {
                break;
            }
        }
        Ok(marked)
    }
}
