//! Sends one message of the outbox.

use jiff::{SignedDuration, Timestamp};
use vestibule_domain::outbox::mail::{MailText, Message};
use vestibule_domain::state::account::UndeliverableKind;
use vestibule_domain::values::ids::MessageId;
use vestibule_mail::{render, send};
use vestibule_store::StoreError;
use vestibule_store::outbox::{Ending, MailClaim, TakenMail};

use crate::{MAX_ATTEMPTS, Mailer};

/// How long sending an email is retried.
pub const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Returns the delay after a number of attempts: one minute, doubling up to four hours.
pub fn wait_after(attempts: u32) -> SignedDuration {
    SignedDuration::from_mins((1 << attempts.saturating_sub(1).min(8)).min(240))
}

impl Mailer {
    /// Sends one message, unless it is a letter, is closed, is being sent elsewhere, or is
    /// postponed. Returns whether it was sent.
    ///
    /// # Errors
    /// [`StoreError`] when the store is unavailable.
    pub async fn deliver(&self, id: &MessageId) -> Result<bool, StoreError> {
        let claimed_at = self.clock.now();
        let TakenMail {
            message,
            sender,
            attempts,
            created_at,
        } = match self.store.claim_mail(id, claimed_at).await? {
            MailClaim::Taken(taken) => *taken,
            MailClaim::Unreadable => {
                tracing::error!(message = %id, "dropped an unreadable email");
                self.close(id, Ending::Failed).await?;
                return Ok(false);
            }
            MailClaim::Gone => return Ok(false),
        };
        // Also checked before sending: if the function crashes on every attempt, it never reaches
        // the check after.
        let old = |at: Timestamp| at.duration_since(created_at) >= GIVE_UP_AFTER;
        if old(claimed_at) && attempts > 1 {
            return self.give_up(id, attempts).await;
        }
        let mail = match message {
            Message::Mail(mail) => mail,
            Message::Recovery(request) => {
                let sender = sender.as_deref().filter(|_| attempts == 1);
                let ending = self.recover(&request, sender).await?;
                self.close(id, ending).await?;
                return Ok(true);
            }
            Message::AccessCheck(check) => {
                let Some(next) = self.end_access(&check).await? else {
                    self.close(id, Ending::Sent).await?;
                    return Ok(true);
                };
                self.store.postpone_mail(id, claimed_at, next).await?;
                return Ok(false);
            }
            Message::Logout(notice) => {
                return self
                    .log_out(&notice, (claimed_at, attempts, old(claimed_at)))
                    .await;
            }
            Message::Letter(_) => return Ok(false),
        };
        let policy = match self.portals.get(mail.portal.as_str()) {
            Ok(policy) => policy,
            Err(error) if old(claimed_at) => {
                tracing::error!(message = %id, %error, "the policy of the portal is invalid");
                return self.give_up(id, attempts).await;
            }
            Err(error) => {
                // Only the emails of this portal wait.
                tracing::error!(message = %id, portal = %mail.portal, %error, "an email waits until the policy is valid");
                return self.postpone(id, (claimed_at, attempts)).await;
            }
        };
        let Some(policy) = policy else {
            // The portal was removed, so nothing can be sent on its behalf.
            tracing::error!(message = %id, portal = %mail.portal, "dropped an email of an unknown portal");
            self.close(id, Ending::Refused).await?;
            return Ok(false);
        };
        let asks = matches!(mail.text, MailText::ConfirmEmail { .. });
        if !asks && self.store.bounces(&mail.portal, &mail.to).await? {
            tracing::info!(message = %id, "did not send an email to an address that bounced");
            self.close(id, Ending::Refused).await?;
            return Ok(false);
        }
        // Counted once, even if sending is repeated.
        if attempts == 1
            && let Some(reason) = self.exceeded(&mail, sender.as_deref(), policy).await?
        {
            return self.drop_limited(&mail, reason).await;
        }
        let rendered = render(&mail, policy);
        let set = self.configuration_set.as_deref();
        match send(&self.ses, policy, id, &mail.to, &rendered, set).await {
            Ok(_) => {
                self.close_sent(id).await?;
                Ok(true)
            }
            Err(error) if error.is_temporary() => {
                if old(self.clock.now()) {
                    return self.give_up(id, attempts).await;
                }
                tracing::warn!(message = %id, attempts, %error, "email delayed");
                self.postpone(id, (claimed_at, attempts)).await
            }
            Err(error) => {
                tracing::error!(message = %id, %error, "SES rejected an email permanently");
                self.mark(&mail.portal, &mail.to, UndeliverableKind::Refused)
                    .await?;
                self.close(id, Ending::Refused).await?;
                Ok(false)
            }
        }
    }

    /// Marks an email that SES accepted, or a notice that an application took. If that fails, it is sent again
    /// later, so it is tried more than once.
    pub(crate) async fn close_sent(&self, id: &MessageId) -> Result<(), StoreError> {
        for _ in 1..MAX_ATTEMPTS {
            match self.close(id, Ending::Sent).await {
                Ok(()) => return Ok(()),
                Err(cause) => {
                    tracing::warn!(message = %id, %cause, "a message was sent and not marked")
                }
            }
        }
        self.close(id, Ending::Sent).await
    }

    pub(crate) async fn close(&self, id: &MessageId, ending: Ending) -> Result<(), StoreError> {
        self.store.close_message(id, ending, self.clock.now()).await
    }

    /// Leaves a message that was claimed for a later attempt.
    pub(crate) async fn postpone(
        &self,
        id: &MessageId,
        (claimed_at, attempts): (Timestamp, u32),
    ) -> Result<bool, StoreError> {
        let next = self.clock.now() + wait_after(attempts);
        self.store.postpone_mail(id, claimed_at, next).await?;
        Ok(false)
    }

    async fn give_up(&self, id: &MessageId, attempts: u32) -> Result<bool, StoreError> {
        tracing::error!(message = %id, attempts, "gave up on an email that could not be sent");
        self.close(id, Ending::Failed).await?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_minute_to_four_hours() {
        let minutes: Vec<_> = [1, 2, 3, 4, 8, 9, 10, u32::MAX]
            .map(|n| wait_after(n).as_mins())
            .into();
        assert_eq!(minutes, [1, 2, 4, 8, 128, 240, 240, 240]);
    }
}
