//! `GET /{portal}/me`: shows the caller's profile, with the administrators of their organization
//! (AG-15).

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::rules::register::requires_backup_administrator;
use vestibule_domain::state::organization::Organization;
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::{App, Caller, Problem, SignedIn, responses};

/// The caller's profile.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProfileResponse {
    id: String,
    username: String,
    first_name: String,
    last_name: String,
    email: String,
    /// Why emails can't be delivered to the address, if that is known. Cleared when the address is
    /// changed or confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    email_undeliverable: Option<responses::EmailDeliveryProblem>,
    /// The step that the caller must complete before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The organization that this session acts for. Absent for members.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<OrganizationResponse>,
    /// What the caller's role allows in the current organization, such as `list_users`.
    permissions: Vec<&'static str>,
    /// The roles that the caller can give to users.
    grantable_roles: Vec<&'static str>,
    /// All organizations that the caller belongs to. Switch between them with `PUT
    /// /{portal}/sessions/current/organization`.
    organizations: Vec<OrganizationMembership>,
    /// An agreement that the caller must sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    agreement: Option<AgreementResponse>,
    /// Actions that the portal requests from the caller now: `invite_backup` (AG-04) or
    /// `register_again` (AG-13).
    notices: Vec<&'static str>,
    /// The registration campaign, if the caller must register again, with its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    register_again: Option<responses::ReregistrationDeadlines>,
    /// The links of the profile.
    links: Vec<LinkResponse>,
    /// The publications that the caller subscribes to.
    subscriptions: Vec<String>,
    /// The caller's hint question.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<responses::HintResponse>,
    /// A new email address that has not been confirmed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    unconfirmed_email: Option<String>,
    /// When the password expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    password_expires_at: Option<String>,
}

/// An organization that the caller belongs to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationMembership {
    id: String,
    name: String,
    /// The kind of organization, such as `agency` or `practice`.
    kind: String,
    /// The caller's role in the organization.
    role: String,
    /// The portal's title for the role.
    role_title: String,
    /// The registration status: `registered`, `pending` (a PIN or registration code must be
    /// entered) or `awaiting_approval`.
    registration: &'static str,
    /// Whether this session acts for this organization.
    is_current: bool,
}

/// The organization that this session acts for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationResponse {
    id: String,
    name: String,
    /// The kind of organization, such as `agency` or `practice`.
    kind: String,
    /// The caller's role in the organization.
    role: String,
    /// The portal's title for the role.
    role_title: String,
    /// The last day of the caller's access, as `YYYY-MM-DD`. Absent if access has no end date.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
    /// The administrators who manage the organization's users.
    administrators: Vec<AdministratorResponse>,
}

/// An administrator of the caller's organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdministratorResponse {
    /// The user's id, as in an access review.
    id: String,
    first_name: String,
    last_name: String,
    email: String,
    role: String,
}

/// A link of the profile.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LinkResponse {
    /// The title that the user gave the link.
    pub title: String,
    /// The URL of the link.
    pub url: String,
}

/// An agreement to sign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgreementResponse {
    id: String,
    title: String,
    revision: String,
    /// The URL of the agreement's form.
    form_url: String,
}

/// Show your profile
///
/// Returns the caller's profile, organizations and notices.
#[utoipa::path(
    get, path = "/{portal}/me", tag = "profile",
    operation_id = "show_profile",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = ProfileResponse, description = "The profile"),
        SignedInProblems,
    )
)]
pub(crate) async fn show_profile(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
) -> Result<Json<ProfileResponse>, Problem> {
    show(&app, &caller).await.map(Json)
}

pub(crate) async fn show(app: &App, caller: &Caller) -> Result<ProfileResponse, Problem> {
    let (policy, account) = (&caller.policy, &caller.account);
    let mut notices = Vec::new();
    let mut organization = None;
    let current = caller.session.organization.as_ref();
    let others = account
        .running_memberships(policy.today(caller.origin.at))
        .filter_map(|m| m.organization.as_ref())
        .filter(|o| Some(*o) != current);
    let mut belongs = app.store.organizations(&policy.portal, others).await?;
    if let Some((membership, id)) = caller
        .membership()
        .and_then(|m| Some((m, m.organization.as_ref()?)))
    {
        let (found, administrators) = app
            .store
            .organization_with_administrators(&policy.portal, id, policy.today(caller.origin.at))
            .await?;
        let found = found.ok_or_else(|| Problem::internal("an organization is missing"))?;
        belongs.push(found.clone());
        if requires_backup_administrator(membership.role, policy) && administrators.len() < 2 {
            notices.push("invite_backup");
        }
        organization = Some(OrganizationResponse {
            id: found.id.to_string(),
            name: found.name,
            kind: found.kind,
            role: membership.role.into_str().to_owned(),
            role_title: policy.role_title(membership.role).to_owned(),
            end_date: membership.end_date.map(|d| d.to_string()),
            administrators: administrators
                .into_iter()
                .map(|a| AdministratorResponse {
                    id: a.account.to_string(),
                    first_name: a.name.first.to_string(),
                    last_name: a.name.last.to_string(),
                    email: a.email,
                    role: a.role.into_str().to_owned(),
                })
                .collect(),
        });
    }
    let agreement = caller
        .membership()
        .and_then(|m| m.missing_agreement(policy));
    let again = responses::register_again(caller.membership(), policy, caller.origin.at);
    if again.is_some() {
        notices.push("register_again");
    }
    let role = caller.membership().and_then(|m| policy.roles.get(&m.role));
    let expires = account
        .password
        .as_ref()
        .and_then(|p| policy.password_expires_at(p.changed_at));
    Ok(ProfileResponse {
        id: account.id.to_string(),
        username: account.username.to_string(),
        first_name: account.name.first.to_string(),
        last_name: account.name.last.to_string(),
        email: account.email.to_string(),
        email_undeliverable: account.email_undeliverable.map(Into::into),
        next_step: responses::step(caller.next_step),
        reason: responses::reason(caller.next_step),
        permissions: role.map_or_else(Vec::new, |r| names(&r.permissions, |p| p.into_str())),
        grantable_roles: role.map_or_else(Vec::new, |r| names(&r.can_grant, |r| r.into_str())),
        organization,
        organizations: organizations(&belongs, caller),
        agreement: agreement.map(|a| AgreementResponse {
            id: a.id.to_string(),
            title: a.title.to_string(),
            revision: a.revision.to_string(),
            form_url: a.form_url.to_string(),
        }),
        notices,
        register_again: again,
        links: account
            .bookmarks
            .iter()
            .map(|b| LinkResponse {
                title: b.title.clone(),
                url: b.url.clone(),
            })
            .collect(),
        subscriptions: account.subscriptions.iter().cloned().collect(),
        hint: account.hint.as_ref().map(|h| responses::HintResponse {
            question: h.question.clone(),
        }),
        unconfirmed_email: account.pending_email.as_ref().map(|p| p.email.to_string()),
        password_expires_at: expires.map(responses::moment),
    })
}

/// Returns the names of what a set contains.
fn names<T: Copy>(set: &BTreeSet<T>, name: fn(T) -> &'static str) -> Vec<&'static str> {
    set.iter().copied().map(name).collect()
}

/// Lists the caller's organizations by name, with the caller's role in each.
fn organizations(found: &[Organization], caller: &Caller) -> Vec<OrganizationMembership> {
    let mut belongs: Vec<_> = found
        .iter()
        .filter_map(|o| {
            let membership = caller.account.membership(Some(&o.id))?;
            Some(OrganizationMembership {
                id: o.id.to_string(),
                name: o.name.clone(),
                kind: o.kind.clone(),
                role: membership.role.into_str().to_owned(),
                role_title: caller.policy.role_title(membership.role).to_owned(),
                registration: membership.registration().into_str(),
                is_current: caller.session.organization.as_ref() == Some(&o.id),
            })
        })
        .collect();
    belongs.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    belongs
}
