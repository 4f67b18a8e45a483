//! A recovery request in the outbox: emails the owners of the accounts that match it.

use vestibule_domain::outbox::mail::{Forgotten, RecoveryRequest};
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::recover;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Origin;
use vestibule_store::outbox::Ending;
use vestibule_store::{CommitError, StoreError};

use crate::{MAX_ATTEMPTS, Mailer};

impl Mailer {
    /// Handles a recovery request: emails the owners of the matching accounts. `sender` is absent if the request
    /// was counted at an earlier attempt. Returns how the request ends.
    pub(crate) async fn recover(
        &self,
        request: &RecoveryRequest,
        sender: Option<&str>,
    ) -> Result<Ending, StoreError> {
        let portal = &request.origin.portal;
        let Some(policy) = self.portals.get(portal.as_str())? else {
            return Ok(Ending::Sent);
        };
        let mut ending = Ending::Sent;
        let accounts = match &request.forgotten {
            Forgotten::Password { username } => self
                .store
                .account_by_username(portal, username)
                .await?
                .into_iter()
                .collect(),
            Forgotten::Username { email } => self.store.accounts_by_email(portal, email).await?,
        };
        for account in accounts {
            let reason = self
                .exceeded_by_recovery(request, sender, &account, policy)
                .await?;
            match reason {
                Some(reason) => {
                    self.record_limited(portal, &request.id, reason).await?;
                    ending = Ending::Limited;
                }
                None => self.send_recovery(request, account, policy).await?,
            }
        }
        Ok(ending)
    }

    async fn send_recovery(
        &self,
        request: &RecoveryRequest,
        mut account: Account,
        policy: &Policy,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_ATTEMPTS {
            let mut rng = vestibule_http::app::rng();
            // Uses the current time: the request may have waited until the audit trail of its hour
            // was sealed.
            let origin = Origin {
                at: self.clock.now(),
                ..request.origin.clone()
            };
            let decision = match &request.forgotten {
                Forgotten::Password { .. } => {
                    recover::send_link(&account, Context::new(policy, &origin, &mut rng))
                }
                Forgotten::Username { .. } => {
                    recover::send_username(&account, Context::new(policy, &origin, &mut rng))
                }
            };
            let Some(decision) = decision else {
                return Ok(());
            };
            match self.commit(decision, &mut rng).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Store(cause)) => return Err(cause),
                // The account changed at the same time: read it again.
                Err(CommitError::Stale | CommitError::Taken(_)) => {}
            }
            match self.store.account(&account.portal, &account.id).await? {
                Some(now) => account = now,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}
