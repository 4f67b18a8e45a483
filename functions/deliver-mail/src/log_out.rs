//! Notifies applications that a user's session has ended for them (OpenID Connect Back-Channel Logout 1.0; SO-03).

use jiff::Timestamp;
use serde_json::json;
use vestibule_domain::outbox::mail::{AccessCheck, LogoutNotice};
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::single_sign_on;
use vestibule_domain::state::audit::Origin;
use vestibule_store::outbox::Ending;
use vestibule_store::{CommitError, StoreError};

use crate::Mailer;

/// The type of logout tokens (OpenID Connect Back-Channel Logout 1.0, 2.4).
const LOGOUT_TOKEN: &str = "logout+jwt";

/// How long a logout token is valid, in seconds.
const VALID_SECONDS: i64 = 120;

/// The maximum number of decisions about the sessions of one account. Each closes several, or is repeated after a
/// conflict.
const MAX_DECISIONS: usize = 100;

impl Mailer {
    /// Finds the applications to which an account no longer has access, and queues a notice to each. Returns when to
    /// check again, if the check is about a session that has not ended.
    pub(crate) async fn end_access(
        &self,
        check: &AccessCheck,
    ) -> Result<Option<Timestamp>, StoreError> {
        let AccessCheck {
            portal,
            account,
            ending,
            ..
        } = check;
        let Some(policy) = self.portals.get(portal.as_str())? else {
            return Ok(None);
        };
        let mut rng = vestibule_http::app::rng();
        for _ in 0..MAX_DECISIONS {
            let mut sessions = self.store.sessions(portal, account).await?;
            sessions.retain(|session| !session.applications.is_empty());
            let account = self.store.account(portal, account).await?;
            let origin = Origin {
                portal: portal.clone(),
                at: self.clock.now(),
                source: None,
            };
            let context = Context::new(policy, &origin, &mut rng);
            let decision = single_sign_on::end_access(account.as_ref(), &sessions, context);
            let Some(decision) = decision else {
                let next = ending.as_ref().and_then(|ending| {
                    single_sign_on::next_check(&sessions, ending, (policy, origin.at))
                });
                return Ok(next);
            };
            match self.commit(decision, &mut rng).await {
                // Another application was opened or closed at the same time: read the sessions again.
                Ok(()) | Err(CommitError::Stale | CommitError::Taken(_)) => {}
                Err(CommitError::Store(cause)) => return Err(cause),
            }
        }
        Ok(None)
    }

    /// Sends a notice to an application. Returns whether the application took it; otherwise it is repeated later.
    pub(crate) async fn log_out(
        &self,
        notice: &LogoutNotice,
        (claimed_at, attempts, is_old): (Timestamp, u32, bool),
    ) -> Result<bool, StoreError> {
        let id = &notice.id;
        let sent = match self.portals.get(notice.portal.as_str()) {
            Ok(Some(policy)) => self.post(notice, policy, attempts).await,
            Ok(None) => Ok(false),
            Err(error) => Err(error.to_string()),
        };
        let failure = match sent {
            Ok(true) => {
                self.close_sent(id).await?;
                return Ok(true);
            }
            Ok(false) => {
                // The portal or the application was removed, or wants no notices any more.
                self.close(id, Ending::Refused).await?;
                return Ok(false);
            }
            Err(failure) => failure,
        };
        if is_old {
            tracing::error!(message = %id, application = notice.application, failure, "gave up on a logout notice");
            self.close(id, Ending::Failed).await?;
            return Ok(false);
        }
        tracing::warn!(message = %id, application = notice.application, attempts, failure, "logout notice delayed");
        self.postpone(id, (claimed_at, attempts)).await
    }

    /// Posts a signed logout token. Returns `false` if the application has no address for it.
    async fn post(
        &self,
        notice: &LogoutNotice,
        policy: &Policy,
        attempts: u32,
    ) -> Result<bool, String> {
        let application = policy.application(&notice.application);
        let uri = application.and_then(|a| a.backchannel_logout_uri.as_ref());
        let Some(uri) = uri else {
            return Ok(false);
        };
        let now = self.clock.now();
        let claims = json!({
            "iss": policy.issuer(),
            "sub": notice.account.as_str(),
            "aud": notice.application,
            "iat": now.as_second(),
            "exp": now.as_second() + VALID_SECONDS,
            "jti": format!("{}-{attempts}", notice.id),
            "sid": notice.session,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let token = self.signer.sign(LOGOUT_TOKEN, &claims, now).await;
        let token = token.map_err(|e| e.to_string())?;
        let form = [("logout_token", token.as_str())];
        let sent = self.outbound.post_form(uri, &form, now).await;
        sent.map(|()| true).map_err(|e| e.to_string())
    }
}
