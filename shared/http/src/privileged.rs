//! Records every refused privileged action on the audit trail (SE-10). Whichever handler or rule refuses, its
//! problem marks the response, and the middleware [`record_refusals`] records it.

use std::sync::{Arc, OnceLock};

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin, Outcome};
use vestibule_domain::values::ids::{AccountId, OrganizationId};

use crate::{App, Caller, Problem};

/// What each operation that can be refused is on the audit trail: method, route and action. A test calls every
/// operation in every role and compares the refusals with the trail.
const ACTIONS: &[(&str, &str, Action)] = &[
    (
        "POST",
        "/{portal}/access-reviews",
        Action::StartAccessReview,
    ),
    (
        "GET",
        "/{portal}/access-reviews/current",
        Action::ViewAccessReview,
    ),
    (
        "PUT",
        "/{portal}/access-reviews/current/users/{id}",
        Action::ConfirmAccess,
    ),
    ("GET", "/{portal}/agents", Action::LookUpAgents),
    ("POST", "/{portal}/agents/search", Action::LookUpAgents),
    ("GET", "/{portal}/audit-events", Action::SearchAudit),
    (
        "POST",
        "/{portal}/audit-events/users/search",
        Action::ListUsers,
    ),
    ("GET", "/{portal}/audit-events.csv", Action::DownloadAudit),
    ("GET", "/{portal}/audit-events.jsonl", Action::DownloadAudit),
    ("GET", "/{portal}/entitlements", Action::OpenService),
    ("GET", "/{portal}/invitations", Action::ListInvitations),
    ("POST", "/{portal}/invitations", Action::Invite),
    ("POST", "/{portal}/invitations.csv", Action::Invite),
    ("GET", "/{portal}/invitations/{id}", Action::ListInvitations),
    (
        "DELETE",
        "/{portal}/invitations/{id}",
        Action::RevokeInvitation,
    ),
    (
        "POST",
        "/{portal}/invitations/{id}/resend",
        Action::ResendInvitation,
    ),
    ("PUT", "/{portal}/me/username", Action::ChooseUsername),
    ("POST", "/{portal}/pin/letter", Action::ReissuePin),
    ("GET", "/{portal}/users", Action::ListUsers),
    ("POST", "/{portal}/users/search", Action::ListUsers),
    ("POST", "/{portal}/users", Action::AddUser),
    ("GET", "/{portal}/users.csv", Action::DownloadUsers),
    ("POST", "/{portal}/users.csv", Action::AddUser),
    ("GET", "/{portal}/users/{id}", Action::ViewUser),
    ("DELETE", "/{portal}/users/{id}", Action::RemoveUser),
    ("PUT", "/{portal}/users/{id}/access", Action::AssignAccess),
    ("POST", "/{portal}/users/{id}/approval", Action::ApproveUser),
    (
        "POST",
        "/{portal}/users/{id}/password-reset",
        Action::RequestPasswordReset,
    ),
    (
        "POST",
        "/{portal}/users/{id}/registration-code",
        Action::ReissueRegistrationCode,
    ),
    (
        "POST",
        "/{portal}/users/{id}/second-factor-reset",
        Action::StartSecondFactorReset,
    ),
    // A reinstatement names its own action.
    ("PUT", "/{portal}/users/{id}/status", Action::DisableUser),
    (
        "POST",
        "/{portal}/users/{id}/username-reminder",
        Action::RecoverUsername,
    ),
    ("POST", "/{portal}/accounts/search", Action::ViewAccount),
    (
        "POST",
        "/{portal}/plan-records/unlock",
        Action::UnlockRecord,
    ),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/audit-events",
        Action::SearchAudit,
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/audit-events/users/search",
        Action::ViewAccount,
    ),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/audit-events.csv",
        Action::DownloadAudit,
    ),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/audit-events.jsonl",
        Action::DownloadAudit,
    ),
];

/// Everything else below an account is a view of it or an action on it.
const ACCOUNT: &str = "/{portal}/accounts/{account_portal}/{id}";

/// Returns the action of an operation, as the audit trail names it.
fn action_of(method: &str, route: &str) -> Option<Action> {
    let listed = ACTIONS.iter().find(|(m, r, _)| (*m, *r) == (method, route));
    let of_account = || {
        route.starts_with(ACCOUNT).then_some(match method {
            "GET" => Action::ViewAccount,
            _ => Action::ActOnAccount,
        })
    };
    listed.map(|(_, _, action)| *action).or_else(of_account)
}

/// Marks the response to a caller who may not do what was requested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    reason: &'static str,
    /// The action, if it is not that of the operation.
    action: Option<Action>,
}

impl Refused {
    /// Returns the mark of a type of problem, if it is a refusal of an action.
    pub(crate) fn of(kind: &str, action: Option<Action>) -> Option<Self> {
        let reason = match kind {
            "not-allowed" => "not_allowed",
            "another-must-approve" => "another_must_approve",
            "ask-help-desk" => "ask_help_desk",
            _ => return None,
        };
        Some(Self { reason, action })
    }
}

/// The caller of a request, set when the session is loaded.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallerSlot(Arc<OnceLock<Who>>);

#[derive(Debug)]
struct Who {
    origin: Origin,
    account: AccountId,
    organization: Option<OrganizationId>,
}

impl CallerSlot {
    pub(crate) fn set(&self, caller: &Caller) {
        // Set again only by an extractor that loads the same session.
        let _ = self.0.set(Who {
            origin: caller.origin.clone(),
            account: caller.account.id.clone(),
            organization: caller.session.organization.clone(),
        });
    }
}

/// Records a refused action before the response is sent. A refusal that can't be recorded becomes a problem
/// that says so.
pub(crate) async fn record_refusals(
    State(app): State<App>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let slot = CallerSlot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    let Some(Refused { reason, action }) = response.extensions().get().copied() else {
        return response;
    };
    let Some(who) = slot.0.get() else {
        return response;
    };
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let Some(action) = action.or_else(|| action_of(method.as_str(), route)) else {
        return Problem::internal("a refused operation has no action").into_response();
    };
    let object = params.ok().and_then(|params| {
        let (_, id) = params.iter().find(|(name, _)| *name == "id")?;
        // Ids of all kinds have the same form; any other text is not kept.
        AccountId::parse(id).ok()
    });
    let actor = Actor::Account(who.account.clone());
    let refused = AuditEvent {
        outcome: Outcome::Refused,
        reason: Some(reason.to_owned()),
        object: object.map(|id| id.to_string()),
        ..AuditEvent::done(&who.origin, actor, action, &mut app.rng())
            .for_organization(who.organization.as_ref())
    };
    match app.store.record(&refused).await {
        Ok(()) => response,
        Err(cause) => Problem::from(cause).into_response(),
    }
}
