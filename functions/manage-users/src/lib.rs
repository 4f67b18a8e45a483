//! What administrators do with the users of their organization: list, add, approve, assign access,
//! disable, reinstate and remove them, and review their access.

mod add_many;
mod add_user;
mod approve;
mod assign_access;
mod list;
mod list_agents;
mod reissue_code;
mod remove;
mod reset_second_factors;
mod review_decision;
mod review_show;
mod review_start;
mod send_reset_link;
mod send_username;
mod set_status;
mod show;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::{Permission, Policy, Role};
use vestibule_domain::rules::access_terms::InvalidTerms;
use vestibule_domain::rules::actions::Refusal;
use vestibule_domain::rules::actions::authority::{Authority, Target};
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::follow_up::Manager;
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::AccountId;
use vestibule_http::{App, Caller, Problem, credentials, responses, transact};
use vestibule_store::UserRow;

vestibule_http::routes! {
    list::list,
    list::search,
    add_user::add_user,
    list_agents::list_agents,
    list_agents::search_agents,
    list::download,
    add_many::add_many,
    show::show,
    remove::remove,
    approve::approve,
    assign_access::assign_access,
    set_status::set_status,
    reissue_code::reissue_code,
    send_reset_link::send_reset_link,
    send_username::send_username,
    reset_second_factors::start_reset,
    review_start::start,
    review_show::show,
    review_decision::decide,
}

/// A user, as shown to administrators.
#[derive(Debug, Serialize, ToSchema)]
struct UserResponse {
    id: String,
    username: String,
    first_name: String,
    last_name: String,
    email: String,
    /// Why emails can't be delivered to the address, if that is known. Cleared when the address is
    /// changed or confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_undeliverable: Option<responses::EmailDeliveryProblem>,
    role: String,
    /// The registration status: `pending`, `awaiting_approval`, `registered` (BL-02), or
    /// `record_ended` if the plan no longer lists the organization in its records.
    registration: &'static str,
    /// The account status: `active`, `disabled` or `deleted`.
    status: &'static str,
    services: Vec<String>,
    group_codes: Vec<String>,
    /// When the user joined the organization.
    joined_at: String,
    /// The last day of the user's access, as `YYYY-MM-DD`. Absent if access has no end date.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    /// When the user last signed in. Shown only to roles that may see it (BA-07).
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sign_in_at: Option<String>,
    /// When the account was last found in use from several places at the same time. Shown only to
    /// roles that may see the audit trail (EX-01).
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrent_use_detected_at: Option<String>,
}

impl UserResponse {
    /// Describes the user after a change.
    fn after(
        user: &Account,
        organization: &Organization,
        caller: &Caller,
    ) -> Result<Self, Problem> {
        let row = UserRow::of(user, &organization.id).ok_or_else(Problem::conflict)?;
        Ok(Self::of(
            row,
            caller.acting()?.membership.role,
            &caller.policy,
        ))
    }

    /// Describes a user as someone in the role `viewer` may see them.
    fn of(row: UserRow, viewer: Role, policy: &Policy) -> Self {
        let last = row
            .last_sign_in_at
            .filter(|_| policy.allows(viewer, Permission::SeeLastSignIn));
        Self {
            id: row.account.to_string(),
            username: row.username,
            first_name: row.name.first.to_string(),
            last_name: row.name.last.to_string(),
            email: row.email,
            email_undeliverable: row.email_undeliverable.map(Into::into),
            role: row.role.into_str().to_owned(),
            registration: row.registration.into_str(),
            status: row.status.into_str(),
            services: row.services,
            group_codes: row.group_codes,
            joined_at: responses::moment(row.joined_at),
            end_date: row.end_date.map(|d| d.to_string()),
            last_sign_in_at: last.map(responses::moment),
            concurrent_use_detected_at: row
                .concurrent_use_detected_at
                .filter(|_| policy.allows(viewer, Permission::SeeAudit))
                .map(responses::moment),
        }
    }
}

/// The user that a request is about, and the caller's organization.
struct LoadedUser {
    organization: Organization,
    user: Account,
    /// The administrators of the organization who can act, if the user is one of them or they are
    /// notified.
    managers: Vec<Manager>,
}

impl LoadedUser {
    /// Returns the user as the target of an action.
    fn target(&self) -> Target<'_> {
        Target::user_of(&self.organization, &self.user, &self.managers)
    }

    /// Loads both if the caller has the permission, so that other callers can't probe ids (BL-17).
    /// The rules check whether the user belongs to the organization.
    async fn find(
        app: &App,
        caller: &Caller,
        permission: Permission,
        id: &str,
    ) -> Result<Self, Problem> {
        let policy = &caller.policy;
        let organization = caller
            .acting()?
            .allowed(permission, policy)
            .ok_or_else(|| Problem::not_allowed(policy))?;
        let unknown = || problem(Refusal::Unknown, policy);
        let id = AccountId::parse(id).map_err(|_| unknown())?;
        let (organization, user) = app
            .store
            .organization_with_account(&policy.portal, organization, &id)
            .await?;
        let organization =
            organization.ok_or_else(|| Problem::internal("an organization is missing"))?;
        let user = user.ok_or_else(unknown)?;
        let is_administrator = user
            .membership(Some(&organization.id))
            .is_some_and(|m| m.role.is_administrator());
        let managers = if is_administrator || policy.approval_by_another() {
            let today = policy.today(caller.origin.at);
            app.store
                .managers(&policy.portal, &organization.id, today)
                .await?
        } else {
            Vec::new()
        };
        Ok(Self {
            organization,
            user,
            managers,
        })
    }
}

/// Performs an action on a user. Returns the user and organization as loaded, and the outcome.
async fn act<T, D: Into<Option<Decision>>>(
    app: &App,
    caller: &Caller,
    permission: Permission,
    id: &str,
    mut decide: impl FnMut(Authority<'_>, &LoadedUser, Context<'_>) -> Result<(T, D), Refusal>,
) -> Result<(LoadedUser, T), Problem> {
    let authority = Authority::Administrator(caller.acting()?);
    transact(
        app,
        |_| LoadedUser::find(app, caller, permission, id),
        |loaded, rng| {
            decide(authority, loaded, caller.context(rng))
                .map_err(|refusal| problem(refusal, &caller.policy))
        },
    )
    .await
}

/// Performs an action whose effect is an email that helps a user to sign in.
async fn email_user(
    app: &App,
    caller: &Caller,
    id: &str,
    mut decide: impl FnMut(
        Authority<'_>,
        Target<'_>,
        Context<'_>,
    ) -> Result<(Account, Decision), Refusal>,
) -> Result<StatusCode, Problem> {
    act(
        app,
        caller,
        Permission::ReissueCodes,
        id,
        |authority, loaded, context| decide(authority, loaded.target(), context),
    )
    .await?;
    Ok(StatusCode::ACCEPTED)
}

/// Converts a refusal to the problem that the caller sees.
fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let conflict = |kind, title, detail| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    match refusal {
        Refusal::NotAllowed => Problem::not_allowed(policy),
        Refusal::Unknown | Refusal::NotInOrganization => Problem::not_found("user"),
        Refusal::UnsupportedOnPortal => Problem::unsupported_on_portal(
            policy,
            "Users join by invitation on this portal. Invite this person instead.",
        ),
        Refusal::AnotherMustApprove => Problem::new(
            StatusCode::FORBIDDEN,
            "another-must-approve",
            "Another person must approve",
            "You invited this person or chose their role. Ask another person who manages users to approve it.",
        ),
        Refusal::ApprovalNotPending => conflict(
            "approval-not-pending",
            "Approval not pending",
            "This user isn't waiting for approval. Another administrator may have already approved them.",
        ),
        Refusal::NothingPending => conflict(
            "no-pending-code",
            "No registration code pending",
            "This user isn't waiting for a registration code. They may have already entered it.",
        ),
        Refusal::NotRecoverable => conflict(
            "not-recoverable",
            "User can't sign in",
            "This user can't sign in because registration isn't complete, or because access is disabled or has ended. Resolve that first.",
        ),
        Refusal::AskHelpDesk | Refusal::NotReissuer => Problem::new(
            StatusCode::FORBIDDEN,
            "ask-help-desk",
            "Contact the help desk",
            format!(
                "Only {} can do this on this portal. Call {} ({}).",
                policy.help_desk.name, policy.help_desk.phone, policy.help_desk.hours
            ),
        )
        .with_help(policy),
        Refusal::NoSecondFactor => conflict(
            "no-second-factor",
            "No second factor",
            "This user has no second factor to reset. They can sign in with the password.",
        ),
        Refusal::NoAddress => conflict(
            "no-address",
            "No address on record",
            "There is no mailing address on record to send a letter with a PIN to. Remove this user and invite or add them again.",
        )
        .with_help(policy),
        Refusal::NotInReview => conflict(
            "not-in-review",
            "Not in this review",
            "This account isn't part of the review. It was added after the review started, or it belongs to someone who is responsible for the organization.",
        ),
        Refusal::SelfActionForbidden => conflict(
            "self-action-forbidden",
            "Not allowed on your own account",
            "You can't do this to your own account. Ask another administrator to do it.",
        ),
        Refusal::AccessOver | Refusal::Terms(InvalidTerms::EndsInPast) => {
            Problem::invalid_field("end_date", credentials::ENDS_IN_PAST)
        }
        Refusal::Terms(InvalidTerms::PrincipalsStay) => {
            Problem::invalid_field("end_date", credentials::PRINCIPALS_STAY)
        }
        Refusal::LastPrincipal => conflict(
            "last-principal",
            "Last principal",
            "This is your organization's last principal. Make someone else a principal first.",
        )
        .with_help(policy),
        Refusal::LastAdministrator => conflict(
            "last-administrator",
            "Last administrator",
            "This is your organization's last administrator whose access has no end date. Make someone else an administrator first.",
        )
        .with_help(policy),
        Refusal::SeveralOrganizations => conflict(
            "several-organizations",
            "User of several organizations",
            "This user also belongs to other organizations and can't be disabled here. Remove them from your organization instead.",
        ),
        Refusal::Terms(InvalidTerms::NoSuchService(name)) => Problem::invalid_field(
            "services",
            &format!("{} is not available on this portal", shown(&name)),
        ),
        Refusal::Terms(InvalidTerms::NoSuchGroupCode(code)) => Problem::invalid_field(
            "group_codes",
            &format!(
                "{} is not one of your organization's group codes",
                shown(&code)
            ),
        ),
        // These are refused only to the help desk.
        Refusal::Deleted
        | Refusal::Disabled
        | Refusal::WhichOrganization
        | Refusal::PinLetterRequired
        | Refusal::OrganizationNotEmpty
        | Refusal::UsernameImmutable
        | Refusal::AlreadyActivated
        | Refusal::NoSuchPublication
        | Refusal::NoRecord
        | Refusal::NoSuchAgreement
        | Refusal::OtherRevision => Problem::not_allowed(policy),
    }
}

/// Quotes a value from the request, shortened to 40 characters.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}
