//! Limits the emails of a day, per recipient and per sender, whatever causes them (SE-06).

use vestibule_domain::Decision;
use vestibule_domain::outbox::mail::{Mail, Volume};
use vestibule_domain::policy::Policy;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_store::attempts::{AttemptKind, Limit, Window};
use vestibule_store::outbox::Ending;
use vestibule_store::{CommitError, StoreError};

use crate::Mailer;

/// Returns a limit for one day.
const fn daily(tries: u32) -> Limit {
    Limit {
        tries,
        window: Window::Minutes(24 * 60),
    }
}

impl Mailer {
    /// Counts an email for its recipient and its sender. Returns the reason if a limit is exceeded.
    ///
    /// Recipients are counted by mailbox and across all portals, so that neither tags nor other
    /// portals evade the limit.
    pub(crate) async fn exceeded(
        &self,
        mail: &Mail,
        sender: Option<&str>,
        policy: &Policy,
    ) -> Result<Option<&'static str>, StoreError> {
        let limits = &policy.rate_limits.email;
        let volume = mail.text.volume();
        let is_over = async |kind, subject: &str, tries| {
            let now = self.clock.now();
            let counted = self.store.count_attempt(kind, subject, daily(tries), now);
            counted.await.map(|attempt| attempt.allowed.is_none())
        };
        if let Some(sender) = sender {
            let of_sender = limits.max_per_sender.get();
            let confirmations = limits.max_confirmations_per_sender.get();
            if is_over(AttemptKind::SentMail, sender, of_sender).await?
                || volume == Volume::Confirmation
                    && is_over(AttemptKind::ConfirmationMail, sender, confirmations).await?
            {
                return Ok(Some("sender_limit"));
            }
        }
        let (kind, tries) = match volume {
            Volume::Requested | Volume::Confirmation => (
                AttemptKind::RequestedMail,
                limits.max_requested_per_recipient.get(),
            ),
            Volume::Notice => (
                AttemptKind::NoticeMail,
                limits.max_notices_per_recipient.get(),
            ),
            Volume::Feedback => return Ok(None),
        };
        let is_over = is_over(kind, &mail.to.mailbox_key(), tries).await?;
        Ok(is_over.then_some("recipient_limit"))
    }

    /// Drops an email that exceeds a limit, with a trace on the audit trail (SE-10).
    pub(crate) async fn drop_limited(
        &self,
        mail: &Mail,
        reason: &'static str,
    ) -> Result<bool, StoreError> {
        tracing::warn!(message = %mail.id, portal = %mail.portal, reason, "email limit reached");
        // Closed first: a repeated attempt would not count the email again, and would send it.
        self.close(&mail.id, Ending::Limited).await?;
        let mut rng = vestibule_http::app::rng();
        let origin = Origin {
            portal: mail.portal.clone(),
            at: self.clock.now(),
            source: None,
        };
        let event =
            AuditEvent::refused(&origin, Actor::System, Action::SendEmail, reason, &mut rng)
                .on(mail.id.as_str());
        match self.commit(Decision::recording(event), &mut rng).await {
            Err(CommitError::Store(cause)) => Err(cause),
            Ok(()) | Err(CommitError::Stale | CommitError::Taken(_)) => Ok(false),
        }
    }
}
