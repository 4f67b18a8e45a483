//! What administrators do to the users of their organization: list, add, approve, assign access,
//! disable, reinstate, remove.

mod access;
mod add_many;
mod add_user;
mod agents;
mod approve;
mod list;
mod reissue_code;
mod remove;
mod review_answer;
mod review_show;
mod review_start;
mod send_reset_link;
mod send_username;
mod show;
mod status;

use axum::http::StatusCode;
use rand::rngs::StdRng;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::account::Account;
use vestibule_domain::ids::AccountId;
use vestibule_domain::invite::Acting;
use vestibule_domain::manage::Refusal;
use vestibule_domain::organization::Organization;
use vestibule_domain::policy::{Permission, Policy, Role};
use vestibule_http::{App, Caller, Problem, answer, credentials};
use vestibule_store::UserRow;

vestibule_http::routes! {
    list::list,
    add_user::add_user,
    agents::agents,
    list::download,
    add_many::add_many,
    show::show,
    remove::remove,
    approve::approve,
    access::access,
    status::status,
    reissue_code::reissue_code,
    send_reset_link::send_reset_link,
    send_username::send_username,
    review_start::start,
    review_show::show,
    review_answer::answer,
}

/// A user, as administrators see one.
#[derive(Debug, Serialize, ToSchema)]
struct UserAnswer {
    id: String,
    username: String,
    first_name: String,
    last_name: String,
    email: String,
    /// That mails don't reach the address, where it is known; until it is changed or confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_undeliverable: Option<answer::EmailUndeliverable>,
    role: String,
    /// `pending`, `awaiting_approval`, `registered` (BL-02), or `record_ended` while the plan's records
    /// no longer have the organization.
    registration: &'static str,
    /// `active`, `disabled` or `deleted`.
    status: &'static str,
    services: Vec<String>,
    group_codes: Vec<String>,
    /// Since when they are in the organization.
    since: String,
    /// The last day of their access, `YYYY-MM-DD`; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_on: Option<String>,
    /// When they last signed in; shown to roles that may see it (BA-07).
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sign_in_at: Option<String>,
    /// When their account was last found in use from several places at once; shown to roles that may
    /// see the audit trail (EX-01).
    #[serde(skip_serializing_if = "Option::is_none")]
    used_from_several_places_at: Option<String>,
}

impl UserAnswer {
    /// The user as they are after a change.
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

    /// What somebody in `viewer`'s role sees of a user.
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
            role: row.role.as_str().to_owned(),
            registration: row.registration.as_str(),
            status: row.status.as_str(),
            services: row.services,
            group_codes: row.group_codes,
            since: answer::moment(row.since),
            ends_on: row.ends_on.map(|d| d.to_string()),
            last_sign_in_at: last.map(answer::moment),
            used_from_several_places_at: row
                .used_from_several_places_at
                .filter(|_| policy.allows(viewer, Permission::SeeAudit))
                .map(answer::moment),
        }
    }
}

/// The user whom a request is about, and the caller's organization.
struct Target {
    organization: Organization,
    user: Account,
}

impl Target {
    /// Fetches both for who has the permission; who hasn't learns nothing from ids (BL-17). Whether
    /// the user belongs to the organization is for the rules.
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
        Ok(Self {
            organization,
            user: user.ok_or_else(unknown)?,
        })
    }
}

/// Does something to the user of an id, of which no more is told than that it is done.
async fn act(
    app: &App,
    caller: &Caller,
    permission: Permission,
    id: &str,
    decide: impl FnOnce(Acting<'_>, &Target, &Policy, &mut StdRng) -> Result<Decision, Refusal>,
) -> Result<(), Problem> {
    let target = Target::find(app, caller, permission, id).await?;
    let policy = &caller.policy;
    let mut rng = app.rng();
    let decision = decide(caller.acting()?, &target, policy, &mut rng)
        .map_err(|refusal| problem(refusal, policy))?;
    app.store.commit(decision, &mut rng).await?;
    Ok(())
}

/// A refusal, in words.
fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let conflict = |kind, title, detail| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    match refusal {
        Refusal::NotAllowed => Problem::not_allowed(policy),
        Refusal::Unknown => Problem::not_found("user"),
        Refusal::NotThisPortal => conflict(
            "not-this-portal",
            "Not on this portal",
            "People come in by invitation on this portal; invite them instead.",
        ),
        Refusal::NotAwaited => conflict(
            "not-awaited",
            "Nothing to approve",
            "This user does not wait for approval; perhaps another administrator has approved them.",
        ),
        Refusal::NoCodeAwaited => conflict(
            "no-code-awaited",
            "No code is waited for",
            "This user does not wait for a registration code; perhaps it has been entered.",
        ),
        Refusal::NotRecoverable => conflict(
            "not-recoverable",
            "Nothing to bring back",
            "This user cannot sign in at present: the registration is not complete, or the access is disabled or over.",
        ),
        Refusal::AskHelpDesk => Problem::new(
            StatusCode::FORBIDDEN,
            "ask-help-desk",
            "Ask the help desk",
            format!(
                "On this portal {} does this: {} ({}).",
                policy.help_desk.name, policy.help_desk.phone, policy.help_desk.hours
            ),
        )
        .with_help(policy),
        Refusal::NotInReview => conflict(
            "not-in-review",
            "Not in the review",
            "This account is not in the review: it came later, or belongs to who answers for the organization.",
        ),
        Refusal::Yourself => conflict(
            "yourself",
            "Not to yourself",
            "You cannot do this to yourself. Another administrator can.",
        ),
        Refusal::EndsInPast => Problem::invalid_field("ends_on", credentials::ENDS_IN_PAST),
        Refusal::PrincipalsStay => Problem::invalid_field("ends_on", credentials::PRINCIPALS_STAY),
        Refusal::LastPrincipal => conflict(
            "last-principal",
            "The last principal",
            "The organization would have no principal left. Make somebody else a principal first.",
        )
        .with_help(policy),
        Refusal::SeveralOrganizations => conflict(
            "several-organizations",
            "Works for several organizations",
            "This user works for other organizations too and cannot be disabled here. Remove them from your organization instead.",
        ),
        Refusal::NoSuchService(name) => Problem::invalid_field(
            "services",
            &format!("{} is not on offer here", shown(&name)),
        ),
        Refusal::NoSuchGroupCode(code) => Problem::invalid_field(
            "group_codes",
            &format!("{} is not one of the organization's", shown(&code)),
        ),
    }
}

/// What somebody sent, short enough to be shown back.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}
