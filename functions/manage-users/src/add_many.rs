//! `POST /{portal}/users.csv`: adds many users from a CSV file; each receives a registration code
//! by email (BL-08, UX-08).

use axum::extract::{Request, State};
use futures::{StreamExt, stream};
use vestibule_domain::policy::{Onboarding, Permission};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::organization::Organization;
use vestibule_http::bulk::{self, BulkResponse, CONCURRENCY, Columns, Row, RowResponse};
use vestibule_http::openapi::{EntitledProblems, FileProblems, PortalParams};
use vestibule_http::{App, Caller, Entitled, Problem, credentials};
use vestibule_store::Unique;

use crate::add_user::{
    ALREADY_ADDED, Addition, add, already_added, own_organization, require_new, username_of,
    works_for,
};

/// The columns of the file. Services and group codes in a cell are separated by spaces.
const COLUMNS: Columns = Columns {
    required: &["email", "first_name", "last_name"],
    optional: &["role", "services", "group_codes", "end_date"],
};

/// Add users from a CSV file
///
/// Adds each person in a CSV file of at most 500 rows and 1 MiB. The columns `email`, `first_name`
/// and `last_name` are required; `role`, `services`, `group_codes` and `end_date` are optional.
/// Each row has its own result, and sending the same file again adds nobody twice.
#[utoipa::path(
    post, path = "/{portal}/users.csv", tag = "users",
    operation_id = "add_users",
    params(PortalParams),
    request_body(content = String, content_type = "text/csv", description = "The file, in UTF-8, with commas and a header"),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = BulkResponse, description = "The result of each row"),
        (status = 409, description = "`unsupported-on-portal`: users join by invitation or get an initial password"),
        EntitledProblems, FileProblems,
    )
)]
pub(crate) async fn add_many(
    State(app): State<App>,
    Entitled(caller): Entitled,
    request: Request,
) -> Result<BulkResponse, Problem> {
    let policy = &caller.policy;
    caller
        .acting()?
        .allowed(Permission::AddUsers, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let detail = match policy.staff.as_ref().map(|s| s.onboarding) {
        Some(Onboarding::RegistrationCode) => None,
        Some(Onboarding::InitialPassword) => Some(
            "Bulk upload isn't available here because every user needs an initial password. Add users one at a time.",
        ),
        Some(Onboarding::Invitation) | None => {
            Some("Users join by invitation on this portal. Upload the file as invitations instead.")
        }
    };
    if let Some(detail) = detail {
        return Err(Problem::unsupported_on_portal(policy, detail));
    }
    let (rows, doubles) = bulk::without_doubles(bulk::read(request, COLUMNS).await?);
    let organization = own_organization(&app, &caller).await?;
    let answers = stream::iter(rows)
        .map(|row| one(&app, &caller, &organization, row))
        .buffer_unordered(CONCURRENCY)
        .collect::<Vec<_>>()
        .await;
    Ok(BulkResponse::of([answers, doubles].concat()))
}

async fn one(app: &App, caller: &Caller, organization: &Organization, row: Row) -> RowResponse {
    let added = async {
        let account = person(app, caller, organization, &row).await?;
        Ok(account.id.to_string())
    };
    RowResponse::of(row.line, added.await, &[ALREADY_ADDED])
}

async fn person(
    app: &App,
    caller: &Caller,
    organization: &Organization,
    row: &Row,
) -> Result<Account, Problem> {
    let policy = &caller.policy;
    let person = row.person()?;
    require_new(app, caller, organization, &person.email).await?;
    let mut addition = Addition {
        username: username_of(&person.email, organization, policy)?,
        name: person.name,
        email: person.email,
        password: None,
        role: person.role,
        services: row.words("services"),
        group_codes: row.words("group_codes"),
        end_date: person.end_date,
    };
    match add(app, caller, organization, addition.clone()).await? {
        Ok(account) => return Ok(account),
        Err(Unique::Username) => {}
        Err(other) => return Err(credentials::taken(other).unwrap_or_else(Problem::conflict)),
    }
    // Either the same file was sent twice at the same time, or the username happens to be taken.
    let owner = app
        .store
        .account_by_username(&policy.portal, &addition.username.key())
        .await?;
    if owner.is_some_and(|o| works_for(&o, organization) && o.email.key() == addition.email.key()) {
        return Err(already_added());
    }
    addition.username = policy
        .make_username(&mut app.rng())
        .ok_or_else(|| Problem::internal("the portal does not generate usernames"))?;
    add(app, caller, organization, addition)
        .await?
        .map_err(|_| Problem::conflict())
}
