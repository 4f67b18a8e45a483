//! Single sign-on: an application is opened, gets tokens, and is notified when access ends (SO-01 to SO-05).

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{AccessCheck, EndingSession, LogoutNotice, Message};
use crate::policy::{Application, Policy};
use crate::rules::authorization_request::{
    AAL1, AAL2, AuthorizationRequest, ErrorCode, OAuthError, ReturnAddress,
};
use crate::rules::context::Context;
use crate::rules::next_step::{NextStep, next_step};
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::membership::Membership;
use crate::state::organization::Organization;
use crate::state::second_factor::Proof;
use crate::state::session::{Session, Token, TokenKind};
use crate::state::single_sign_on::{
    AccessToken, AuthorizationCode, Grant, OpenedApplication, OrganizationClaim, Scope,
};
use crate::values::ids::{AccountId, MessageId, OrganizationId};

/// How long a code can be exchanged (RFC 6749, 4.1.2).
pub const CODE_VALID: SignedDuration = SignedDuration::from_secs(60);

/// What a user has to do before an application opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStep {
    /// Sign in, or sign in again.
    SignIn,
    /// Complete a step of the portal.
    Step(NextStep),
}

/// A user whose session was loaded.
#[derive(Debug, Clone, Copy)]
pub struct User<'a> {
    pub account: &'a Account,
    pub session: &'a Session,
}

/// Returns what a user has to do before the application opens, or `None`. `started_at` is when the request started, if
/// it comes back after a sign-in (SO-04).
///
/// # Errors
/// The error that the application receives.
pub fn first_step(
    request: &AuthorizationRequest,
    user: Option<User<'_>>,
    started_at: Option<Timestamp>,
    (policy, now): (&Policy, Timestamp),
) -> Result<Option<FirstStep>, OAuthError> {
    let step = step(request, user, started_at, (policy, now))?;
    if !request.is_silent {
        return Ok(step);
    }
    match step {
        None => Ok(None),
        Some(FirstStep::SignIn) => {
            let description = "the user has to sign in";
            Err(OAuthError::new(ErrorCode::LoginRequired, description))
        }
        Some(FirstStep::Step(_)) => {
            let description = "the user has to complete a step first";
            Err(OAuthError::new(ErrorCode::InteractionRequired, description))
        }
    }
}

fn step(
    request: &AuthorizationRequest,
    user: Option<User<'_>>,
    started_at: Option<Timestamp>,
    (policy, now): (&Policy, Timestamp),
) -> Result<Option<FirstStep>, OAuthError> {
    let Some(User { account, session }) = user else {
        return Ok(Some(FirstStep::SignIn));
    };
    if request.is_too_old(session, started_at, now) {
        return Ok(Some(FirstStep::SignIn));
    }
    if let Some(step) = next_step(account, session, policy, now) {
        return Ok(Some(FirstStep::Step(step)));
    }
    if !request.requires_second_factor || session.gave_second_factor() {
        return Ok(None);
    }
    if policy.second_factor.is_none() {
        let description = "this portal has no second factors";
        let code = ErrorCode::UnmetAuthenticationRequirements;
        return Err(OAuthError::new(code, description));
    }
    Ok(Some(FirstStep::Step(
        match account.has_second_factor(policy) {
            true => NextStep::EnterSecondFactor,
            false => NextStep::SetUpSecondFactor,
        },
    )))
}

/// Opens an application: issues a code for it (SO-01). Returns the code and the decision.
///
/// # Errors
/// A decision that records the refusal, if the user doesn't have the application's service (SO-02).
pub fn open(
    request: &AuthorizationRequest,
    address: &ReturnAddress,
    application: &Application,
    User { account, session }: User<'_>,
    organization: Option<&Organization>,
    context: Context<'_>,
) -> Result<(Token, Decision), Box<Decision>> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let id = application.id.to_string();
    let (actor, action) = (
        Actor::Account(account.id.clone()),
        Action::AuthorizeApplication,
    );
    let working_for = session.organization.as_ref();
    let membership = account.membership(working_for);
    if !membership.is_some_and(|m| m.services.contains(application.service.as_str())) {
        let audit = AuditEvent::refused(origin, actor, action, "service_not_assigned", rng);
        let audit = audit.on(id).for_organization(working_for);
        return Err(Box::new(Decision::recording(audit)));
    }
    let audit = AuditEvent::done(origin, actor, action, rng)
        .on(id.clone())
        .for_organization(working_for);
    let code = Token::for_application(TokenKind::AuthorizationCode, session, rng);
    let stored = AuthorizationCode {
        id: code.digest(),
        grant: Grant {
            portal: account.portal.clone(),
            account: account.id.clone(),
            session: session.id.clone(),
            application: id.clone(),
            organization: organization.map(|o| OrganizationClaim {
                id: o.id.clone(),
                name: o.name.clone(),
                number: o.record.as_ref().map(|r| r.number.clone()),
            }),
            scopes: request.scopes.clone(),
        },
        redirect_uri: address.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
        expires_at: now + CODE_VALID,
        redeemed_for: None,
    };
    let opened = OpenedApplication {
        organization: session.organization.clone(),
        opened_at: now,
    };
    let mut decision = Decision::recording(audit)
        .change(Change::IssueCode(stored))
        .change(Change::OpenApplication {
            session: session.clone(),
            application: id,
            opened,
        });
    // Later applications of the session find this check already there.
    if session.applications.is_empty() && is_anyone_notified(policy) {
        decision = decision.send([Message::AccessCheck(AccessCheck {
            id: MessageId::random(rng),
            portal: account.portal.clone(),
            account: account.id.clone(),
            ending: Some(EndingSession {
                session: session.id.clone(),
                check_at: session.ends_at(policy),
            }),
        })]);
    }
    if !account.uses_applications {
        let after = Account {
            uses_applications: true,
            ..account.clone()
        };
        decision = decision.update(account, after);
    }
    Ok((code, decision))
}

/// Returns the claims that a grant gives access to now. `None` if there is no access any more (SO-02, SO-03, UX-04).
pub fn claims(
    grant: &Grant,
    user: User<'_>,
    (policy, now): (&Policy, Timestamp),
) -> Option<Claims> {
    let organization = grant.organization.as_ref().map(|o| &o.id);
    let membership = access(&grant.application, organization, user, (policy, now))?;
    Some(Claims::of(grant, membership, user))
}

/// Returns the membership through which an application has access now. `None` if the session is over, the application
/// was notified that its access ended, a step is pending, or the user no longer has the service.
fn access<'a>(
    application: &str,
    organization: Option<&OrganizationId>,
    User { account, session }: User<'a>,
    (policy, now): (&Policy, Timestamp),
) -> Option<&'a Membership> {
    let application = policy.application(application)?;
    let is_open = session.applications.contains_key(application.id.as_str());
    // The user may work for another organization in the portal now.
    let session = Session {
        organization: organization.cloned(),
        ..session.clone()
    };
    let may_use = is_open
        && session.is_open(account, policy, now)
        && next_step(account, &session, policy, now).is_none()
        && (!application.second_factor || session.gave_second_factor());
    account
        .membership(organization)
        .filter(|m| may_use && m.services.contains(application.service.as_str()))
}

/// What an application sends with a code.
#[derive(Debug, Clone, Copy)]
pub struct Redemption<'a> {
    pub application: &'a Application,
    pub redirect_uri: &'a str,
    pub verifier: &'a str,
}

/// Why a code gives no tokens.
#[derive(Debug)]
pub enum NotRedeemed {
    /// The sentence is for the developer of the application.
    Invalid(&'static str),
    /// The code was used before. The decision revokes what it gave (SO-05).
    Reused(Box<Decision>),
}

/// Tokens for an application.
#[derive(Debug)]
pub struct Redeemed {
    pub token: Token,
    pub access_token: AccessToken,
    pub claims: Claims,
    pub decision: Decision,
}

/// Exchanges a code for an access token, once (SO-05). `user` is absent if the session no longer exists.
///
/// # Errors
/// [`NotRedeemed`]
pub fn redeem(
    code: &AuthorizationCode,
    redemption: Redemption<'_>,
    user: Option<User<'_>>,
    context: Context<'_>,
) -> Result<Redeemed, NotRedeemed> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let grant = &code.grant;
    let Redemption {
        application,
        redirect_uri,
        verifier,
    } = redemption;
    if grant.application != application.id.as_str() {
        return Err(NotRedeemed::Invalid(
            "the code was issued to another client",
        ));
    }
    let organization = grant.organization.as_ref().map(|o| &o.id);
    let actor = Actor::Account(grant.account.clone());
    if let Some(token) = &code.redeemed_for {
        let reason = "code_reused";
        let audit = AuditEvent::refused(origin, actor, Action::OpenApplication, reason, rng)
            .on(grant.application.clone())
            .for_organization(organization);
        let decision = Decision::recording(audit).change(revocation(grant, token));
        return Err(NotRedeemed::Reused(Box::new(decision)));
    }
    if now >= code.expires_at {
        return Err(NotRedeemed::Invalid("the code has expired"));
    }
    if code.redirect_uri != redirect_uri {
        return Err(NotRedeemed::Invalid(
            "redirect_uri is not that of the request",
        ));
    }
    let challenge = challenge_of(verifier);
    if !is_verifier(verifier)
        || !bool::from(challenge.as_bytes().ct_eq(code.code_challenge.as_bytes()))
    {
        return Err(NotRedeemed::Invalid("code_verifier does not match"));
    }
    let over = NotRedeemed::Invalid("the user's session or access has ended");
    let with_claims = user.and_then(|user| Some((user, claims(grant, user, (policy, now))?)));
    let Some((user, claims)) = with_claims else {
        return Err(over);
    };
    let token = Token::for_application(TokenKind::AccessToken, user.session, rng);
    let minutes = application.access_token_minutes.get();
    let ends = now + SignedDuration::from_mins(minutes.into());
    let access_token = AccessToken {
        id: token.digest(),
        grant: grant.clone(),
        issued_at: now,
        expires_at: ends.min(user.session.expires_at),
    };
    let audit = AuditEvent::done(origin, actor, Action::OpenApplication, rng)
        .on(grant.application.clone())
        .for_organization(organization);
    let decision = Decision::recording(audit).change(Change::RedeemCode {
        code: Box::new(code.clone()),
        token: access_token.clone(),
    });
    Ok(Redeemed {
        token,
        access_token,
        claims,
        decision,
    })
}

/// Revokes an access token for its application (RFC 7009).
pub fn revoke(token: &AccessToken, context: Context<'_>) -> Decision {
    let Context { origin, rng, .. } = context;
    let grant = &token.grant;
    let organization = grant.organization.as_ref().map(|o| &o.id);
    let actor = Actor::Account(grant.account.clone());
    let audit = AuditEvent::done(origin, actor, Action::RevokeToken, rng)
        .on(grant.application.clone())
        .for_organization(organization);
    Decision::recording(audit).change(revocation(grant, &token.id))
}

fn revocation(grant: &Grant, token: &str) -> Change {
    Change::RevokeToken {
        portal: grant.portal.clone(),
        account: grant.account.clone(),
        token: token.to_owned(),
    }
}

/// Returns whether a text can be a verifier (RFC 7636, 4.1).
fn is_verifier(text: &str) -> bool {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    (43..=128).contains(&text.len()) && text.bytes().all(unreserved)
}

/// Returns the challenge of a verifier (RFC 7636, 4.2).
fn challenge_of(verifier: &str) -> String {
    BASE64URL_NOPAD.encode(&Sha256::digest(verifier))
}

/// What an application learns about a user (OpenID Connect Core 1.0, 5.1; SO-02).
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    pub sub: AccountId,
    pub sid: String,
    pub auth_time: i64,
    pub acr: &'static str,
    pub amr: BTreeSet<&'static str>,
    pub organization: Option<OrganizationClaim>,
    pub roles: Vec<&'static str>,
    /// The ids of the services.
    pub entitlements: BTreeSet<String>,
    /// The group codes.
    pub groups: BTreeSet<String>,
    pub name: Option<String>,
    pub given_name: Option<String>,
    pub family_name: Option<String>,
    pub preferred_username: Option<String>,
    pub email: Option<String>,
}

impl Claims {
    /// Returns the claims for an application that has access through a membership.
    fn of(grant: &Grant, membership: &Membership, User { account, session }: User<'_>) -> Self {
        let profile = grant.scopes.contains(&Scope::Profile).then_some(account);
        let email = grant.scopes.contains(&Scope::Email).then_some(account);
        Self {
            sub: account.id.clone(),
            sid: session.id.clone(),
            auth_time: session.authenticated_at().as_second(),
            acr: match session.gave_second_factor() {
                true => AAL2,
                false => AAL1,
            },
            amr: methods(session),
            organization: grant.organization.clone(),
            roles: vec![membership.role.into_str()],
            entitlements: membership.services.clone(),
            groups: membership.group_codes.clone(),
            name: profile.map(|a| a.name.full()),
            given_name: profile.map(|a| a.name.first.to_string()),
            family_name: profile.map(|a| a.name.last.to_string()),
            preferred_username: profile.map(|a| a.username.as_str().to_owned()),
            email: email.map(|a| a.email.as_str().to_owned()),
        }
    }
}

/// Returns the authentication methods of a session (RFC 8176).
fn methods(session: &Session) -> BTreeSet<&'static str> {
    let of = |proof: &Proof| -> &[&'static str] {
        match proof {
            Proof::Password => &["pwd"],
            Proof::Passkey => &["pop", "user", "mfa"],
            Proof::SecurityKey => &["pop", "mfa"],
            Proof::AuthenticatorApp | Proof::RecoveryCode => &["otp", "mfa"],
            Proof::TrustedDevice => &[],
        }
    };
    session.proofs.keys().flat_map(of).copied().collect()
}

/// The maximum number of sessions that one decision closes, which limits its transaction.
const MAX_CLOSED: usize = 10;

/// The maximum number of applications of a session that one decision closes.
const MAX_NOTICES: usize = 8;

/// Closes the applications to which an account no longer has access, and notifies them (SO-03). Returns `None` if
/// there is nothing to close. `account` is absent if it no longer exists.
pub fn end_access(
    account: Option<&Account>,
    sessions: &[Session],
    context: Context<'_>,
) -> Option<Decision> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let now = origin.at;
    let has_access = |session: &Session, application: &str, opened: &OpenedApplication| {
        let organization = opened.organization.as_ref();
        account.is_some_and(|account| {
            let user = User { account, session };
            access(application, organization, user, (policy, now)).is_some()
        })
    };
    let mut changes = Vec::new();
    let mut messages = Vec::new();
    for session in sessions {
        let mut kept = session.applications.clone();
        let mut ended: Vec<_> = (session.applications.iter())
            .filter(|(id, opened)| !has_access(session, id, opened))
            .map(|(id, _)| id)
            .collect();
        ended.truncate(MAX_NOTICES);
        if ended.is_empty() {
            continue;
        }
        for id in ended {
            kept.remove(id);
            messages.extend(notice(session, id, policy, MessageId::random(rng)));
        }
        changes.push(Change::CloseApplications {
            session: session.clone(),
            kept,
        });
        if changes.len() == MAX_CLOSED {
            break;
        }
    }
    let object = sessions.first().map(|s| s.account.to_string())?;
    if changes.is_empty() {
        return None;
    }
    let audit = AuditEvent::done(origin, Actor::System, Action::EndApplicationAccess, rng);
    let mut decision = Decision::recording(audit.on(object)).send(messages);
    decision.changes = changes;
    Some(decision)
}

/// Returns when to check a session again, whose applications are to be notified when it ends by itself. `None` if it
/// has ended.
pub fn next_check(
    sessions: &[Session],
    ending: &EndingSession,
    (policy, now): (&Policy, Timestamp),
) -> Option<Timestamp> {
    let mut sessions = sessions.iter();
    let session = sessions.find(|session| session.id == ending.session)?;
    let ends_at = session.ends_at(policy);
    (now < ends_at).then_some(ends_at)
}

/// Returns whether any application of a portal is notified when access ends.
pub(crate) fn is_anyone_notified(policy: &Policy) -> bool {
    let mut applications = policy.applications.iter();
    applications.any(|application| application.backchannel_logout_uri.is_some())
}

/// Returns the notice that a session has ended for an application, if the application wants one.
pub(crate) fn notice(
    session: &Session,
    application: &str,
    policy: &Policy,
    id: MessageId,
) -> Option<Message> {
    let wants = policy.application(application);
    wants?.backchannel_logout_uri.as_ref()?;
    Some(Message::Logout(LogoutNotice {
        id,
        portal: session.portal.clone(),
        application: application.to_owned(),
        account: session.account.clone(),
        session: session.id.clone(),
    }))
}
