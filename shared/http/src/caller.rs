//! Knowing the caller: one read fetches session and account, so that what was decided about either
//! counts from the next request on (UX-04).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use vestibule_domain::account::{Account, Membership, NextStep};
use vestibule_domain::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::device;
use vestibule_domain::invite::Acting;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::next_step::next_step;
use vestibule_domain::session::{Session, Token, TokenKind};
use vestibule_store::CommitError;

use crate::request::{From, Portal};
use crate::{App, Problem};

/// The cookie that holds a session's token. Its prefix makes browsers insist on `Secure`, on the
/// path `/` and on no domain (RFC 6265bis, 4.1.3.2).
pub const COOKIE: &str = "__Host-session";

/// Who calls, with what session, and what has to be done first.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The portal's policy.
    pub policy: Arc<Policy>,
    /// The account.
    pub account: Account,
    /// The session.
    pub session: Session,
    /// What has to be done before anything else.
    pub next_step: Option<NextStep>,
    /// When and from where the request was made.
    pub origin: Origin,
}

impl Caller {
    /// What the caller is in the organization they work for.
    pub fn membership(&self) -> Option<&Membership> {
        self.account.membership(self.session.organization.as_ref())
    }

    /// The caller as an administrator, if they work for an organization.
    ///
    /// # Errors
    /// A problem for members, who belong to none.
    pub fn acting(&self) -> Result<Acting<'_>, Problem> {
        self.membership()
            .filter(|m| m.organization.is_some())
            .map(|membership| Acting {
                account: &self.account,
                membership,
            })
            .ok_or_else(|| Problem::not_allowed(&self.policy))
    }

    /// Records that the caller reads something protected (EX-02). Only then it may be shown.
    ///
    /// # Errors
    /// A problem when it can't be recorded.
    pub async fn record_reading(
        &self,
        app: &App,
        action: Action,
        object: Option<&str>,
    ) -> Result<(), Problem> {
        let mut event = self.audit(action, app);
        event.object = object.map(str::to_owned);
        Ok(app.store.record(&event).await?)
    }

    /// The policy of a portal that the caller's help desk serves (UX-12).
    ///
    /// # Errors
    /// A problem when it is wrong.
    pub fn served<'a>(
        &self,
        app: &'a App,
        portal: &str,
    ) -> Result<Option<&'a Arc<Policy>>, Problem> {
        let policy = app.portals.get(portal)?;
        Ok(policy.filter(|policy| self.policy.serves(policy)))
    }

    /// The origin of what the help desk does on a portal that it serves.
    pub fn origin_on(&self, served: &Policy) -> Origin {
        Origin {
            portal: served.portal.clone(),
            ..self.origin.clone()
        }
    }

    /// An entry about something that the caller does.
    pub fn audit(&self, action: Action, app: &App) -> AuditEvent {
        let actor = Actor::Account(self.account.id.clone());
        AuditEvent::done(&self.origin, actor, action, &mut app.rng())
            .for_organization(self.session.organization.as_ref())
    }
}

/// A caller who is signed in, whatever they have to do first.
#[derive(Debug, Clone)]
pub struct SignedIn(pub Caller);

/// A caller with nothing left to do first. Every endpoint with something protected asks for this.
#[derive(Debug, Clone)]
pub struct Entitled(pub Caller);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Portal(policy) = Portal::from_request_parts(parts, app).await?;
        let From(origin) = From::from_request_parts(parts, app).await?;
        let token = token(&parts.headers).ok_or_else(Problem::sign_in_first)?;
        let found = app.store.session(&policy.portal, &token).await?;
        let (session, account) = found
            .filter(|(session, account)| session.is_open(account, &policy, origin.at))
            .ok_or_else(Problem::sign_in_first)?;
        if session.wants_touch(&policy, origin.at) {
            app.store.touch_session(&session, origin.at).await?;
        }
        let account = notice_shared_use(app, account, &session, &policy, &origin).await?;
        let membership = account.membership(session.organization.as_ref());
        let next_step = next_step(&account, membership, &policy, origin.at);
        Ok(Self(Caller {
            policy,
            account,
            session,
            next_step,
            origin,
        }))
    }
}

impl FromRequestParts<App> for Entitled {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let SignedIn(caller) = SignedIn::from_request_parts(parts, app).await?;
        match caller.next_step {
            Some(step) => Err(Problem::next_step(step, &caller.policy)),
            None => Ok(Self(caller)),
        }
    }
}

/// Notices that an account is in use from several places at once (EX-01); the account as it then is.
async fn notice_shared_use(
    app: &App,
    account: Account,
    session: &Session,
    policy: &Policy,
    origin: &Origin,
) -> Result<Account, Problem> {
    let mut rng = app.rng();
    let noticed = device::notice_shared_use(&account, session, policy, origin, &mut rng);
    let Some((after, decision)) = noticed else {
        return Ok(account);
    };
    match app.store.commit(decision, &mut rng).await {
        Ok(()) => Ok(after),
        // Another request was quicker, or the account has changed: the next one notices.
        Err(CommitError::Stale | CommitError::Taken(_)) => Ok(account),
        Err(CommitError::Unavailable(cause)) => Err(cause.into()),
    }
}

/// The token of a request: `Authorization: Bearer` from programs, the cookie from browsers.
fn token(headers: &HeaderMap) -> Option<Token> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split_once(' '))
        // Schemes ignore case (RFC 9110, 11.1).
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token);
    Token::parse(
        TokenKind::Session,
        bearer.or_else(|| cookie(headers, COOKIE))?,
    )
}

/// The cookie with this name.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}
