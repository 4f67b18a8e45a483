//! Limits the emails of a day, per recipient and per sender, whatever causes them (SE-06).

use vestibule_domain::Decision;
use vestibule_domain::outbox::mail::{Mail, RecoveryRequest, Volume};
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::recover;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::values::ids::{MessageId, PortalId};
use vestibule_store::attempts::{AttemptKind, Limit};
use vestibule_store::outbox::Ending;
use vestibule_store::{CommitError, StoreError};

use crate::Mailer;

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
        // A recovery was counted for its sender as a request.
        if let Some(sender) = sender.filter(|_| volume != Volume::Recovery) {
            let of_sender = limits.max_per_sender.get();
            let confirmations = limits.max_confirmations_per_sender.get();
            if self
                .is_over(AttemptKind::SentMail, sender, of_sender)
                .await?
                || volume == Volume::Confirmation
                    && self
                        .is_over(AttemptKind::ConfirmationMail, sender, confirmations)
                        .await?
            {
                return Ok(Some("sender_limit"));
            }
        }
        let (kind, max_attempts) = match volume {
            Volume::Requested | Volume::Confirmation => (
                AttemptKind::RequestedMail,
                limits.max_requested_per_recipient.get(),
            ),
            Volume::Notice => (
                AttemptKind::NoticeMail,
                limits.max_notices_per_recipient.get(),
            ),
            Volume::Feedback | Volume::Recovery => return Ok(None),
        };
        let mailbox = mail.to.mailbox_key();
        let is_over = self.is_over(kind, &mailbox, max_attempts).await?;
        Ok(is_over.then_some("recipient_limit"))
    }

    /// Counts a recovery request for its sender and for the mailbox of an account that it matches. Returns the
    /// reason if it exceeds a limit and nothing is sent.
    ///
    /// It is counted before a new link replaces the one that was sent before. A request over the limit of the
    /// mailbox is dropped only while the owner has what it requests, so that strangers can't use up the
    /// owner's requests (SE-05).
    pub(crate) async fn exceeded_by_recovery(
        &self,
        request: &RecoveryRequest,
        sender: Option<&str>,
        account: &Account,
        policy: &Policy,
    ) -> Result<Option<&'static str>, StoreError> {
        let limits = &policy.rate_limits.email;
        let Some(sender) = sender else {
            return Ok(None);
        };
        let most = limits.max_per_sender.get();
        if self.is_over(AttemptKind::SentMail, sender, most).await? {
            return Ok(Some("sender_limit"));
        }
        let (mailbox, most) = (
            account.email.mailbox_key(),
            limits.max_requested_per_recipient.get(),
        );
        let is_over = self.is_over(AttemptKind::RecoveryMail, &mailbox, most);
        let origin = Origin {
            at: self.clock.now(),
            ..request.origin.clone()
        };
        let is_answered = recover::is_answered(account, &request.forgotten, &origin);
        Ok((is_over.await? && is_answered).then_some("recipient_limit"))
    }

    /// Counts an email and returns whether the daily limit is exceeded.
    async fn is_over(
        &self,
        kind: AttemptKind,
        subject: &str,
        max_attempts: u32,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let counted = self
            .store
            .count_attempt(kind, subject, Limit::daily(max_attempts), now);
        counted.await.map(|attempt| attempt.allowed.is_none())
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
        self.record_limited(&mail.portal, &mail.id, reason).await?;
        Ok(false)
    }

    /// Records an email that was not sent because of a limit (SE-10).
    pub(crate) async fn record_limited(
        &self,
        portal: &PortalId,
        message: &MessageId,
        reason: &'static str,
    ) -> Result<(), StoreError> {
        let mut rng = vestibule_http::app::rng();
        let origin = Origin {
            portal: portal.clone(),
            at: self.clock.now(),
            source: None,
        };
        let event =
            AuditEvent::refused(&origin, Actor::System, Action::SendEmail, reason, &mut rng)
                .on(message.as_str());
        match self.commit(Decision::recording(event), &mut rng).await {
            Err(CommitError::Store(cause)) => Err(cause),
            Ok(()) | Err(CommitError::Stale | CommitError::Taken(_)) => Ok(()),
        }
    }
}
