//! What every help desk action shares: the permission check, loading the account, the reason, and
//! the retry when the account changed at the same time.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::{Permission, Policy, ResetVerification};
use vestibule_domain::rules::actions::Refusal;
use vestibule_domain::rules::actions::authority::{Authority, Staff, Target};
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action as AuditAction, Origin};
use vestibule_domain::state::membership::{Membership, PendingStep};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::{AccountId, OrganizationId};
use vestibule_domain::values::text::{PostalAddress, Reason};
use vestibule_http::second_factor::Confirmation;
use vestibule_http::{
    App, Body, Caller, Entitled, FieldErrors, Problem, credentials, rate_limit, transact,
};
use vestibule_store::UserFilter;

use crate::AccountResponse;

/// A help desk action on an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HelpDeskActionRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    pub reason: String,
}

/// A help desk action on an account in one of its organizations.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationActionRequest {
    /// The reason for the action, 5 to 300 characters, for the audit trail. The account's owner
    /// can't see it.
    pub reason: String,
    /// The organization that the action applies to. Required if the account belongs to several.
    pub organization_id: Option<String>,
}

/// The account in the request path, by portal and id.
#[derive(Debug, Clone)]
pub(crate) struct AccountPath {
    portal: String,
    pub id: String,
}

impl FromRequestParts<App> for AccountPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, app)
            .await
            .map_err(|_| Problem::not_found("account"))?;
        let named = |name: &str| {
            let found = params.iter().find(|(k, _)| *k == name);
            found
                .map(|(_, v)| v.to_owned())
                .ok_or_else(|| Problem::not_found("account"))
        };
        Ok(Self {
            portal: named("account_portal")?,
            id: named("id")?,
        })
    }
}

impl AccountPath {
    /// Returns the policy of the account's portal. If there is no such portal, which is reported when the
    /// account is loaded, it is the help desk's own.
    fn policy<'a>(&self, app: &'a App, caller: &'a Caller) -> Result<&'a Policy, Problem> {
        Ok(app.portals.get(&self.portal)?.unwrap_or(&caller.policy))
    }
}

/// Checks the permission of the caller's role before anything is loaded. An action needs a recent second factor
/// of a caller who has one (MF-07).
pub(crate) fn require(caller: &Caller, permission: Permission) -> Result<(), Problem> {
    let acting = caller.acting()?;
    if acting.allowed(permission, &caller.policy).is_none() {
        return Err(Problem::not_allowed(&caller.policy));
    }
    match permission {
        Permission::ActOnAccounts => caller.require_confirmation(Confirmation::FactorIfAny),
        _ => Ok(()),
    }
}

/// The body of a request for an action.
pub(crate) trait ActionRequest: DeserializeOwned + Send {
    /// The fields besides the reason and the organization, parsed.
    type Fields: Send;

    fn reason(&self) -> &str;

    fn organization_id(&self) -> Option<&str> {
        None
    }

    /// Parses the fields besides the reason and the organization. `policy` is that of the account's
    /// portal.
    fn parse(self, policy: &Policy, errors: &mut FieldErrors) -> Option<Self::Fields>;
}

impl ActionRequest for HelpDeskActionRequest {
    type Fields = ();

    fn reason(&self) -> &str {
        &self.reason
    }

    fn parse(self, _: &Policy, _: &mut FieldErrors) -> Option<()> {
        Some(())
    }
}

impl ActionRequest for OrganizationActionRequest {
    type Fields = ();

    fn reason(&self) -> &str {
        &self.reason
    }

    fn organization_id(&self) -> Option<&str> {
        self.organization_id.as_deref()
    }

    fn parse(self, _: &Policy, _: &mut FieldErrors) -> Option<()> {
        Some(())
    }
}

/// Extracts a help desk action on an account: the caller has the permission, and all fields are valid.
pub(crate) struct Action<R: ActionRequest> {
    pub app: App,
    pub caller: Caller,
    path: AccountPath,
    reason: Reason,
    /// The organization that the request names.
    pub named: Option<OrganizationId>,
    pub fields: R::Fields,
}

impl<R: ActionRequest> FromRequest<App> for Action<R> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Entitled(caller) = Entitled::from_request_parts(&mut parts, app).await?;
        let path = AccountPath::from_request_parts(&mut parts, app).await?;
        let Body(request) = Body::<R>::from_request(Request::from_parts(parts, body), app).await?;
        require(&caller, Permission::ActOnAccounts)?;
        let mut errors = FieldErrors::default();
        let reason = Reason::parse(request.reason());
        let named = request
            .organization_id()
            .map(OrganizationId::parse)
            .transpose();
        let fields = request.parse(path.policy(app, &caller)?, &mut errors);
        let reason = errors.take("reason", reason);
        if named.is_err() {
            errors.push("organization_id", "must be the id of an organization");
        }
        let parsed = (|| Some((reason?, named.ok()?, fields?)))();
        let (reason, named, fields) = errors.into_result(parsed)?;
        Ok(Self {
            app: app.clone(),
            caller,
            path,
            reason,
            named,
            fields,
        })
    }
}

impl<R: ActionRequest> Action<R> {
    /// Returns the agent who acts.
    pub fn staff(&self) -> Staff<'_> {
        Staff {
            account: &self.caller.account.id,
            reason: Some(&self.reason),
        }
    }

    /// Returns the authority of the help desk.
    pub fn authority(&self) -> Authority<'_> {
        Authority::HelpDesk(self.staff())
    }

    /// Loads the account.
    pub async fn load(&self) -> Result<AccountContext<'_>, Problem> {
        let (app, caller) = (&self.app, &self.caller);
        AccountContext::load(app, caller, Permission::ActOnAccounts, &self.path).await
    }

    /// Performs the action and describes the account afterwards.
    pub async fn perform<D: Into<Option<Decision>>>(
        &self,
        required: RequiredData,
        mut decide: impl FnMut(
            Target<'_>,
            &AccountContext<'_>,
            Context<'_>,
        ) -> Result<(Account, D), Refusal>,
    ) -> Result<Json<AccountResponse>, Problem> {
        let (found, (after, is_unlocked)) = transact(
            &self.app,
            |_| async move { self.load().await?.with(required).await },
            |found, rng| {
                let target = found.target(self.named.as_ref());
                let context = Context::new(found.policy, &found.origin, rng);
                let (after, decision) = decide(target, found, context)
                    .map_err(|refusal| problem(refusal, found.policy))?;
                let decision = decision.into();
                let is_unlocked = decision
                    .as_ref()
                    .is_some_and(|d: &Decision| d.audit.action == AuditAction::UnlockUser);
                let decision = decision
                    .map(|d| credentials::printable_letters(d, found.policy))
                    .transpose()?;
                Ok(((after, is_unlocked), decision))
            },
        )
        .await?;
        let now = AccountContext {
            account: after,
            locked: found.locked && !is_unlocked,
            ..found
        };
        Ok(Json(now.response()))
    }
}

/// The additional data that an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequiredData {
    /// Only the account and its organizations.
    Nothing,
    /// The addresses that letters would be sent to.
    Addresses,
    /// The addresses that the letter of a reset of second factors could be sent to.
    ResetAddresses,
    /// Whether its organizations have other users.
    Colleagues,
}

/// An account, with what is needed to decide on an action.
pub(crate) struct AccountContext<'a> {
    pub app: &'a App,
    /// The policy of the account's portal.
    pub policy: &'a Policy,
    pub account: Account,
    /// The organizations that the account belongs to.
    pub organizations: Vec<Organization>,
    /// The origin of the request, on the account's portal.
    pub origin: Origin,
    locked: bool,
    addresses: BTreeMap<Option<OrganizationId>, PostalAddress>,
    /// The organizations that also have other users.
    shared: BTreeSet<OrganizationId>,
}

impl<'a> AccountContext<'a> {
    /// Loads an account. Callers without the permission can't probe ids, and portals that this help
    /// desk doesn't support are not found.
    pub async fn load(
        app: &'a App,
        caller: &Caller,
        permission: Permission,
        path: &AccountPath,
    ) -> Result<Self, Problem> {
        require(caller, permission)?;
        let not_found = || Problem::not_found("account");
        let policy: &Policy = caller.served(app, &path.portal)?.ok_or_else(not_found)?;
        let id = AccountId::parse(&path.id).map_err(|_| not_found())?;
        let account = app
            .store
            .account(&policy.portal, &id)
            .await?
            .ok_or_else(not_found)?;
        let origin = caller.origin_on(policy);
        let counters = rate_limit::of_account(app, &account, policy, origin.at);
        let (limit, _) = rate_limit::limits(&policy.rate_limits.sign_in);
        let theirs = account
            .memberships
            .iter()
            .filter_map(|m| m.organization.as_ref());
        let (organizations, locked) = futures::future::try_join(
            app.store.organizations(&policy.portal, theirs),
            app.store.is_exhausted(&counters, limit),
        )
        .await?;
        Ok(Self {
            app,
            policy,
            account,
            organizations,
            origin,
            locked,
            addresses: BTreeMap::new(),
            shared: BTreeSet::new(),
        })
    }

    /// Loads the additional data that an action needs.
    async fn with(mut self, required: RequiredData) -> Result<Self, Problem> {
        let section = self.policy.second_factor.as_ref();
        let resets_by_letter =
            section.is_some_and(|s| s.reset_verification == ResetVerification::PinLetter);
        for membership in &self.account.memberships {
            let waits = matches!(
                membership.pending_step,
                PendingStep::Pin { .. } | PendingStep::PinLetterWithheld
            );
            let needs_address = match required {
                RequiredData::Addresses => waits,
                RequiredData::ResetAddresses => resets_by_letter,
                RequiredData::Nothing | RequiredData::Colleagues => false,
            };
            if needs_address {
                let address = self.app.letter_address(membership, self.policy).await?;
                self.addresses
                    .extend(address.map(|a| (membership.organization.clone(), a)));
            }
            if let Some(id) = membership
                .organization
                .as_ref()
                .filter(|_| required == RequiredData::Colleagues)
            {
                let page = self
                    .app
                    .store
                    .users(&self.policy.portal, id, &UserFilter::default(), None, 2)
                    .await?;
                if page.items.iter().any(|u| u.account != self.account.id) {
                    self.shared.insert(id.clone());
                }
            }
        }
        Ok(self)
    }

    /// Returns the account as the target of an action.
    pub fn target<'t>(&'t self, named: Option<&'t OrganizationId>) -> Target<'t> {
        Target {
            account: &self.account,
            named,
            organizations: &self.organizations,
            managers: &[],
        }
    }

    /// Whether the account is the organization's only user.
    pub fn alone(&self, organization: &OrganizationId) -> bool {
        !self.shared.contains(organization)
    }

    /// Returns the address that a pending letter of a membership would be sent to.
    pub fn address(&self, membership: &Membership) -> Option<PostalAddress> {
        self.addresses.get(&membership.organization).cloned()
    }

    pub fn response(&self) -> AccountResponse {
        AccountResponse::of(
            &self.account,
            &self.organizations,
            self.locked,
            self.policy,
            self.origin.at,
        )
    }
}

/// Converts a refusal to the problem that the help desk sees. `policy` is that of the account's
/// portal.
pub(crate) fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let conflict =
        |kind, title, detail: &str| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    match refusal {
        Refusal::Deleted => conflict(
            "account-deleted",
            "Account deleted",
            "This account was deleted and can't be reinstated. The person must register or be added again with a new user ID.",
        ),
        Refusal::Disabled => conflict(
            "account-disabled",
            "Account disabled",
            "This account is disabled. Reinstate it first if the owner should have access.",
        ),
        Refusal::NotInOrganization => Problem::invalid_field(
            "organization_id",
            "is not one of this account's organizations",
        ),
        Refusal::WhichOrganization => Problem::invalid_field(
            "organization_id",
            "is required because this account belongs to several organizations",
        ),
        Refusal::NothingPending => conflict(
            "approval-not-pending",
            "Nothing pending",
            "This account has no such step pending. The owner may have already completed it.",
        ),
        Refusal::UnsupportedOnPortal | Refusal::NotReissuer => Problem::unsupported_on_portal(
            policy,
            "The help desk can't do this for accounts on this portal.",
        ),
        Refusal::NoAddress => conflict(
            "no-address",
            "No address on record",
            "There is no mailing address on record to send a letter to. Have the plan's records updated first.",
        ),
        Refusal::AccessOver => conflict(
            "access-expired",
            "Access has ended",
            "This person's access has ended, so a code would not work. An administrator of the organization must extend the access first.",
        ),
        Refusal::NotRecoverable => conflict(
            "no-password",
            "No password yet",
            "This account has no password yet, or its access has ended. Send a new registration code, or have an administrator of the organization extend the access.",
        ),
        Refusal::NoSecondFactor => conflict(
            "no-second-factor",
            "No second factor",
            "This account has no second factor to reset. The owner can sign in with the password.",
        ),
        Refusal::PinLetterRequired => Problem::unsupported_on_portal(
            policy,
            "On this portal, second factors are removed only after a letter with a PIN. Secure the account without this option, then start a reset of the second factors.",
        ),
        Refusal::UsernameImmutable => conflict(
            "username-immutable",
            "Username can't be changed",
            "Usernames on this portal are generated and can't be changed.",
        ),
        Refusal::AlreadyActivated => conflict(
            "already-activated",
            "Already activated",
            "This account is already activated. The owner can change subscriptions in their profile.",
        ),
        Refusal::NoSuchPublication => {
            let offered: Vec<_> = policy.publications.iter().map(|p| p.id.as_str()).collect();
            let detail = format!(
                "can only contain publications of the account's portal: {}",
                offered.join(", ")
            );
            Problem::invalid_field("subscriptions", &detail)
        }
        Refusal::NoRecord => conflict(
            "no-record",
            "No plan record",
            "This account wasn't registered with a plan record, so there is nothing to detach.",
        ),
        Refusal::NoSuchAgreement => Problem::invalid_field(
            "agreement",
            "must be an agreement that the plan keeps on file",
        ),
        Refusal::OtherRevision => Problem::invalid_field(
            "revision",
            "must be the current revision; if an older one was signed, the person must sign again",
        ),
        Refusal::OrganizationNotEmpty => conflict(
            "organization-not-empty",
            "Organization has other users",
            "Other users joined the organization after this registration. Remove them first.",
        ),
        Refusal::LastPrincipal => conflict(
            "last-principal",
            "Last principal",
            "This is the organization's last principal. Make someone else a principal first, or undo the registration if the organization should not exist.",
        ),
        // These are refused only to administrators, or by actions that the help desk doesn't have.
        Refusal::NotAllowed
        | Refusal::Unknown
        | Refusal::SelfActionForbidden
        | Refusal::AskHelpDesk
        | Refusal::AnotherMustApprove
        | Refusal::ApprovalNotPending
        | Refusal::NotInReview
        | Refusal::LastAdministrator
        | Refusal::Terms(_)
        | Refusal::SeveralOrganizations => Problem::not_allowed(policy),
    }
}
