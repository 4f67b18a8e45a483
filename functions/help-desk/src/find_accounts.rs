//! `POST /{portal}/accounts/search`: finds accounts on a portal that the help desk supports.
//!
//! The search terms are in the request body to keep them out of URL logs.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::{Permission, Policy};
use vestibule_domain::rules::actions::authority::Staff;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, AuditEvent};
use vestibule_domain::state::record::RecordKey;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_domain::values::text::{Email, Username};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, HelpDeskParams};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem};

use crate::account_context::require;
use crate::masked_email;

/// The maximum number of accounts in a result.
const MAX_RESULTS: usize = 25;

/// The portal and exactly one search term.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountSearchRequest {
    /// The portal that the account belongs to.
    portal: String,
    /// The username, not case-sensitive.
    username: Option<String>,
    /// The complete email address, not case-sensitive.
    email: Option<String>,
    /// The number of the plan record used to register: an enrollee id, agent id, group number or
    /// provider id, depending on the portal.
    number: Option<String>,
}

/// The accounts that match the search.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountSearchResponse {
    /// The matching accounts, at most 25.
    items: Vec<AccountSummary>,
}

/// An account that matches the search.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountSummary {
    portal: String,
    id: String,
    username: String,
    first_name: String,
    last_name: String,
    /// The email address, masked except for its first character and its domain. Absent if the
    /// account is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The account status: `active`, `disabled` or `deleted`.
    status: &'static str,
}

enum By {
    Username(Username),
    Email(Email),
    Number(Vec<(RecordKind, String)>),
}

/// Find accounts
///
/// Finds accounts by exact username, email address or record number. Each account found is recorded
/// on the audit trail.
#[utoipa::path(
    post, path = "/{portal}/accounts/search", tag = "help desk",
    operation_id = "find_accounts",
    params(HelpDeskParams),
    request_body = AccountSearchRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountSearchResponse, description = "The matching accounts, which may be none"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn find_accounts(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Body(request): Body<AccountSearchRequest>,
) -> Result<Json<AccountSearchResponse>, Problem> {
    require(&caller, Permission::FindAccounts)?;
    let mut fields = FieldErrors::default();
    let policy = caller.served(&app, &request.portal)?;
    if policy.is_none() {
        fields.push("portal", "must be a portal that this help desk supports");
    }
    let by = policy.and_then(|policy| by(&request, policy, &mut fields));
    let (policy, by) = fields.into_result(policy.zip(by))?;

    let accounts = look_up(&app, policy, &by).await?;
    let staff = Staff {
        account: &caller.account.id,
        reason: None,
    };
    let origin = caller.origin_on(policy);
    let mut rng = app.rng();
    let nothing = accounts.is_empty().then(|| AuditEvent {
        organization: None,
        ..AuditEvent::refused(
            &origin,
            vestibule_domain::state::audit::Actor::HelpDesk(caller.account.id.clone()),
            Action::ViewAccount,
            "not_found",
            &mut rng,
        )
    });
    let looks: Vec<_> = accounts
        .iter()
        .map(|a| staff.about(a, &origin, Action::ViewAccount, &mut rng))
        .chain(nothing)
        .collect();
    // Recorded before anything is shown.
    futures::future::try_join_all(
        looks
            .into_iter()
            .map(async |look| app.commit(Decision::recording(look), &mut app.rng()).await),
    )
    .await?;
    let found = |account: &Account| AccountSummary {
        portal: account.portal.to_string(),
        id: account.id.to_string(),
        username: account.username.to_string(),
        first_name: account.name.first.to_string(),
        last_name: account.name.last.to_string(),
        email: masked_email(account),
        status: account.status.into_str(),
    };
    Ok(Json(AccountSearchResponse {
        items: accounts.iter().map(found).collect(),
    }))
}

/// Parses the search term, of which there must be exactly one.
fn by(request: &AccountSearchRequest, policy: &Policy, fields: &mut FieldErrors) -> Option<By> {
    match (&request.username, &request.email, &request.number) {
        (Some(name), None, None) => fields
            .take("username", Username::parse(name.trim(), 1))
            .map(By::Username),
        (None, Some(email), None) => fields.take("email", Email::parse(email)).map(By::Email),
        (None, None, Some(number)) => Some(By::Number(numbers(number, policy, fields))),
        _ => {
            fields.push(
                "username",
                "enter exactly one of username, email address and record number",
            );
            None
        }
    }
}

/// Parses the number of a plan record as each type of record that the portal registers.
pub(crate) fn numbers(
    number: &str,
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Vec<(RecordKind, String)> {
    let kinds: BTreeSet<_> = policy
        .registration_types
        .iter()
        .map(|w| w.record_type)
        .collect();
    kinds
        .into_iter()
        .filter_map(|kind| Some((kind, fields.take("number", kind.parse_number(number))?)))
        .collect()
}

/// Returns the keys of the plan records with these numbers.
pub(crate) fn keys_of(numbers: &[(RecordKind, String)], policy: &Policy) -> Vec<RecordKey> {
    let key = |(kind, number): &(RecordKind, String)| RecordKey {
        plan: policy.plan.id.to_string(),
        kind: *kind,
        number: number.clone(),
        person: 0,
    };
    numbers.iter().map(key).collect()
}

async fn look_up(app: &App, policy: &Policy, by: &By) -> Result<Vec<Account>, Problem> {
    let portal = &policy.portal;
    match by {
        By::Username(name) => {
            let found = app.store.account_by_username(portal, &name.key()).await?;
            Ok(found.into_iter().collect())
        }
        By::Email(email) => Ok(app.store.accounts_by_email(portal, email).await?),
        By::Number(numbers) => {
            let mut ids = BTreeSet::new();
            for key in keys_of(numbers, policy) {
                let records = app.store.plan_records(&key).await?;
                let claims = records.iter().filter_map(|r| r.claims.get(portal));
                ids.extend(claims.flat_map(|c| c.by.values().cloned()));
            }
            let accounts = ids
                .iter()
                .take(MAX_RESULTS)
                .map(|id| app.store.account(portal, id));
            let accounts = futures::future::try_join_all(accounts).await?;
            Ok(accounts.into_iter().flatten().collect())
        }
    }
}
