//! Authenticates the caller. One read loads session and account, so that a change to either takes effect
//! with the next request (UX-04).

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use rand::rngs::StdRng;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::acting::ActingAdministrator;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::device;
use vestibule_domain::rules::next_step::{NextStep, next_step};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::state::membership::Membership;
use vestibule_domain::state::organization::Organization;
use vestibule_domain::state::session::{Session, Token, TokenKind};
use vestibule_store::CommitError;

use crate::pending_steps::Operation;
use crate::privileged::CallerSlot;
use crate::request::{Portal, RequestOrigin};
use crate::{App, Attempt, Problem};

/// The cookie that holds a session's token. With its prefix, browsers require `Secure`, the path `/` and
/// no domain (RFC 6265bis, 4.1.3.2).
pub const COOKIE: &str = "__Host-session";

/// The signed-in caller of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    pub policy: Arc<Policy>,
    pub account: Account,
    pub session: Session,
    /// The step that the caller must complete first.
    pub next_step: Option<NextStep>,
    /// The time and source of the request.
    pub origin: Origin,
    operation: Operation,
}

impl Caller {
    /// Returns the caller's membership in the current organization.
    pub fn membership(&self) -> Option<&Membership> {
        self.account.membership(self.session.organization.as_ref())
    }

    /// Loads the organization that the session works for; `None` for members.
    ///
    /// # Errors
    /// A problem when the store is unavailable.
    pub async fn organization(&self, app: &App) -> Result<Option<Organization>, Problem> {
        match &self.session.organization {
            Some(id) => Ok(app.store.organization(&self.policy.portal, id).await?),
            None => Ok(None),
        }
    }

    /// Returns the context in which rules decide on the caller's request.
    pub fn context<'a>(&'a self, rng: &'a mut StdRng) -> Context<'a> {
        Context::new(&self.policy, &self.origin, rng)
    }

    /// Returns the caller's account, and loads it again after a conflict.
    ///
    /// # Errors
    /// A problem when the password changed, because the request may depend on the old one, when the
    /// session is no longer valid for the account, or when a step is pending that doesn't allow the request.
    pub async fn latest(&self, app: &App, attempt: Attempt) -> Result<Account, Problem> {
        if attempt.is_first {
            return Ok(self.account.clone());
        }
        self.reload(app).await
    }

    /// Loads the caller's account again.
    ///
    /// # Errors
    /// Those of [`latest`](Self::latest).
    pub async fn reload(&self, app: &App) -> Result<Account, Problem> {
        let portal = &self.policy.portal;
        let found = app.store.account(portal, &self.account.id).await?;
        let account = found.ok_or_else(Problem::sign_in_first)?;
        if account.password.is_some() && account.password != self.account.password {
            return Err(Problem::conflict());
        }
        if !self.session.is_open(&account, &self.policy, self.origin.at) {
            return Err(Problem::sign_in_first());
        }
        self.confine(self.pending_step(&account))?;
        Ok(account)
    }

    /// Returns the step that is pending for an account in the current organization.
    fn pending_step(&self, account: &Account) -> Option<NextStep> {
        next_step(account, &self.session, &self.policy, self.origin.at)
    }

    /// Refuses the request if a step is pending that doesn't list it (SE-03).
    fn confine(&self, step: Option<NextStep>) -> Result<(), Problem> {
        match step {
            Some(step) if !self.operation.is_allowed_at(step) => {
                Err(Problem::next_step(step, &self.policy))
            }
            _ => Ok(()),
        }
    }

    /// Returns the caller as a member of the current organization who may act on others.
    ///
    /// # Errors
    /// A problem for members, who belong to no organization.
    pub fn acting(&self) -> Result<ActingAdministrator<'_>, Problem> {
        self.membership()
            .filter(|m| m.organization.is_some())
            .map(|membership| ActingAdministrator {
                account: &self.account,
                membership,
            })
            .ok_or_else(|| Problem::not_allowed(&self.policy))
    }

    /// Records that the caller reads protected information (EX-02); call it before returning the
    /// information.
    ///
    /// # Errors
    /// A problem when the entry can't be written; the information must then not be returned.
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

    /// Returns the policy of a portal if the caller's help desk serves it (UX-12).
    ///
    /// # Errors
    /// A problem when the policy is invalid.
    pub fn served<'a>(
        &self,
        app: &'a App,
        portal: &str,
    ) -> Result<Option<&'a Arc<Policy>>, Problem> {
        let policy = app.portals.get(portal)?;
        Ok(policy.filter(|policy| self.policy.serves(policy)))
    }

    /// Returns the origin of a help desk action on a portal that it serves.
    pub fn origin_on(&self, served: &Policy) -> Origin {
        Origin {
            portal: served.portal.clone(),
            ..self.origin.clone()
        }
    }

    /// Creates an audit event for an action of the caller.
    pub fn audit(&self, action: Action, app: &App) -> AuditEvent {
        let actor = Actor::Account(self.account.id.clone());
        AuditEvent::done(&self.origin, actor, action, &mut app.rng())
            .for_organization(self.session.organization.as_ref())
    }
}

/// Extracts a caller who is signed in. If a step is pending, only the operations that the step lists are
/// reachable (SE-03).
#[derive(Debug, Clone)]
pub struct SignedIn(pub Caller);

/// Extracts a caller without a pending step. Every endpoint with protected information uses it, and no step
/// lists such an endpoint.
#[derive(Debug, Clone)]
pub struct Entitled(pub Caller);

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = load(parts, app).await?.ok_or_else(Problem::sign_in_first)?;
        caller.confine(caller.next_step)?;
        Ok(Self(caller))
    }
}

/// Loads the caller of a request, whatever step is pending; `None` without an open session.
async fn load(parts: &mut Parts, app: &App) -> Result<Option<Caller>, Problem> {
    let Portal(policy) = Portal::from_request_parts(parts, app).await?;
    let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
    let Some(token) = token(&parts.headers) else {
        return Ok(None);
    };
    let found = app.store.session(&policy.portal, &token).await?;
    let Some((session, account)) =
        found.filter(|(session, account)| session.is_open(account, &policy, origin.at))
    else {
        return Ok(None);
    };
    if session.wants_touch(&policy, origin.at) {
        app.store.touch_session(&session, origin.at).await?;
    }
    let account = notice_concurrent_use(app, account, &session, &policy, &origin).await?;
    let mut caller = Caller {
        policy,
        account,
        session,
        next_step: None,
        origin,
        operation: Operation::of(parts),
    };
    if let Some(slot) = parts.extensions.get::<CallerSlot>() {
        slot.set(&caller);
    }
    caller.next_step = caller.pending_step(&caller.account);
    Ok(Some(caller))
}

/// Extracts a caller who may be signed in and may have a pending step, which the handler must check. Only for the
/// authorization request of an application, which leads through sign-in and steps.
#[derive(Debug, Clone)]
pub struct Visitor(pub Option<Caller>);

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        load(parts, app).await.map(Self)
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

/// Detects concurrent use of an account from several places (EX-01) and returns the updated account.
async fn notice_concurrent_use(
    app: &App,
    account: Account,
    session: &Session,
    policy: &Policy,
    origin: &Origin,
) -> Result<Account, Problem> {
    let mut rng = app.rng();
    let noticed =
        device::notice_concurrent_use(&account, session, Context::new(policy, origin, &mut rng));
    let Some((after, decision)) = noticed else {
        return Ok(account);
    };
    match app.commit(decision, &mut rng).await {
        Ok(()) => Ok(after),
        // Another request was first, or the account changed. The next request detects it.
        Err(CommitError::Stale | CommitError::Taken(_)) => Ok(account),
        Err(CommitError::Store(cause)) => Err(cause.into()),
    }
}

/// Reads the session token: `Authorization: Bearer` from programs, the cookie from browsers.
fn token(headers: &HeaderMap) -> Option<Token> {
    let text = bearer(headers).or_else(|| cookie(headers, COOKIE))?;
    Token::parse(TokenKind::Session, text)
}

/// Returns the token of `Authorization: Bearer` (RFC 6750, 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    // The scheme is not case-sensitive (RFC 9110, 11.1).
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}
