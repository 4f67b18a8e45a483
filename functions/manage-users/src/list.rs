//! `GET /{portal}/users`, `POST /{portal}/users/search` and `GET /{portal}/users.csv`: list the users of the
//! caller's organization (AG-09, BL-07, BL-17, BA-07 to BA-09).

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use futures::{TryFutureExt, future};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use vestibule_domain::policy::{Permission, Policy, Role};
use vestibule_domain::state::account::Status;
use vestibule_domain::state::audit::Action;
use vestibule_domain::state::membership::Registration;
use vestibule_domain::values::folding::NameQuery;
use vestibule_domain::values::ids::OrganizationId;
use vestibule_domain::values::text::SearchText;
use vestibule_http::csv::cell;
use vestibule_http::openapi::{EntitledProblems, FieldProblems, PortalParams, QueryProblems};
use vestibule_http::parts::{File, Wanted};
use vestibule_http::request::{Query, cursor, limit};
use vestibule_http::responses::Page;
use vestibule_http::second_factor::Confirmation;
use vestibule_http::{App, Body, Caller, Entitled, Problem};
use vestibule_store::{UserFilter, UserRow, UsersCursor};

use crate::UserResponse;

/// Filters and paging for the list of users.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Returns only users with this role.
    #[param(value_type = Option<String>)]
    role: Option<Role>,
    /// Returns only users with this registration status: `pending`, `awaiting_approval` or
    /// `registered`.
    #[param(value_type = Option<String>)]
    registration: Option<Registration>,
    /// Returns only users with this account status: `active` or `disabled`.
    #[param(value_type = Option<String>)]
    status: Option<Status>,
    /// Returns only users who have not signed in since this time (RFC 3339) or have never signed
    /// in.
    #[param(value_type = Option<String>)]
    idle_since: Option<Timestamp>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// The maximum number of users on a page, 1 to 100. The default is 50.
    limit: Option<u8>,
}

/// What to search for, filters and paging.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserSearchRequest {
    /// Returns only users whose username or email address starts with this text, or whose name has
    /// words that start with its words. In names, case, accents and punctuation are ignored.
    query: String,
    /// Returns only users with this role.
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// Returns only users with this registration status: `pending`, `awaiting_approval` or
    /// `registered`.
    #[schema(value_type = Option<String>)]
    registration: Option<Registration>,
    /// Returns only users with this account status: `active` or `disabled`.
    #[schema(value_type = Option<String>)]
    status: Option<Status>,
    /// Returns only users who have not signed in since this time (RFC 3339) or have never signed
    /// in.
    #[schema(value_type = Option<String>)]
    idle_since: Option<Timestamp>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// The maximum number of users on a page, 1 to 100. The default is 50.
    limit: Option<u8>,
}

/// List users
///
/// Lists the users of the caller's organization: administrators first, then by last and first name.
#[utoipa::path(
    get, path = "/{portal}/users", tag = "users",
    operation_id = "list_users",
    params(PortalParams, ListQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<UserResponse>, description = "A page of users"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<UserResponse>>, Problem> {
    page(&app, &caller, None, query).await
}

/// Search users
///
/// Searches the users of the caller's organization by the beginning of a name, username or email address. The order is
/// that of the list. The search term is in the body, so that no URL contains it.
#[utoipa::path(
    post, path = "/{portal}/users/search", tag = "users",
    operation_id = "search_users",
    params(PortalParams),
    request_body = UserSearchRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<UserResponse>, description = "A page of users"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn search(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Body(request): Body<UserSearchRequest>,
) -> Result<Json<Page<UserResponse>>, Problem> {
    let query = ListQuery {
        role: request.role,
        registration: request.registration,
        status: request.status,
        idle_since: request.idle_since,
        cursor: request.cursor,
        limit: request.limit,
    };
    page(&app, &caller, Some(&request.query), query).await
}

/// Parses the text of a search.
pub(crate) fn search_text(text: Option<&str>) -> Result<Option<NameQuery>, Problem> {
    let text = text.map(SearchText::parse).transpose();
    let text = text.map_err(|invalid| Problem::invalid_field("query", &invalid.0))?;
    Ok(text.and_then(|text| NameQuery::parse(text.as_str())))
}

async fn page(
    app: &App,
    caller: &Caller,
    text: Option<&str>,
    query: ListQuery,
) -> Result<Json<Page<UserResponse>>, Problem> {
    let organization = allowed(caller, Permission::ListUsers)?;
    let limit = limit(query.limit.map(u32::from), 100)?;
    if query.idle_since.is_some() {
        allowed(caller, Permission::SeeLastSignIn)?;
    }
    let filter = UserFilter {
        query: search_text(text)?,
        role: query.role,
        registration: query.registration,
        status: query.status,
        idle_since: query.idle_since,
    };
    let policy = &caller.policy;
    let after = cursor(query.cursor.as_deref(), UsersCursor::parse)?;
    let users = app
        .store
        .users(&policy.portal, organization, &filter, after.as_ref(), limit);
    let reading = caller.record_reading(app, Action::ListUsers, None);
    let (page, ()) = future::try_join(users.map_err(Problem::from), reading).await?;
    let role = caller.acting()?.membership.role;
    Ok(Json(Page {
        items: page
            .items
            .into_iter()
            .map(|row| UserResponse::of(row, role, policy))
            .collect(),
        next_cursor: page.next,
    }))
}

fn allowed(caller: &Caller, permission: Permission) -> Result<&OrganizationId, Problem> {
    caller
        .acting()?
        .allowed(permission, &caller.policy)
        .ok_or_else(|| Problem::not_allowed(&caller.policy))
}

/// Selects a part of the download.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownloadQuery {
    /// The cursor of the part, from the `Link` header of the previous part. If absent, the first
    /// part is returned.
    cursor: Option<String>,
    /// The maximum number of users in a part, 1 to 100000. By default, as many as fit.
    limit: Option<u32>,
}

/// Download users as CSV
///
/// Returns all users of the caller's organization as CSV (RFC 4180, UTF-8), in parts of at most 3
/// MB. If more follows, the `Link` header gives the next part as `next`; only the first part has
/// the header row, so the parts can be joined. Cells are written so that spreadsheets don't treat
/// them as formulas.
#[utoipa::path(
    get, path = "/{portal}/users.csv", tag = "users",
    operation_id = "download_users",
    params(PortalParams, DownloadQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = String, content_type = "text/csv", description = "A part of the list of users", headers(("Link" = String, description = "The next part, as `<…>; rel=\"next\"`; absent on the last part"))),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn download(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(part): Query<DownloadQuery>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let organization = allowed(&caller, Permission::DownloadUsers)?;
    caller.require_confirmation(Confirmation::FactorIfAny)?;
    let sees_last = caller
        .policy
        .allows(caller.acting()?.membership.role, Permission::SeeLastSignIn);
    let wanted = Wanted::of(
        query,
        part.cursor.as_deref(),
        part.limit,
        UsersCursor::parse,
    )?;
    caller
        .record_reading(&app, Action::DownloadUsers, None)
        .await?;
    let (store, policy, all) = (&app.store, &*caller.policy, &UserFilter::default());
    FILE.part(wanted, |after, rows| async move {
        let portal = &policy.portal;
        let page = store
            .users(portal, organization, all, after.as_ref(), rows)
            .await?;
        let lines = page.items.iter().map(|row| line(row, sees_last, policy));
        Ok((lines.collect(), page.next))
    })
    .await
}

const FILE: File = File {
    media_type: "text/csv; charset=utf-8",
    name: "users.csv",
    head: HEAD,
    at_a_time: 500,
};

const HEAD: &str = "username,first_name,last_name,email,role,registration,status,services,group_codes,joined_at,end_date,last_sign_in_at\r\n";

fn line(row: &UserRow, sees_last: bool, policy: &Policy) -> String {
    let last = row
        .last_sign_in_at
        .filter(|_| sees_last)
        .map(|at| at.to_string())
        .unwrap_or_default();
    let cells = [
        row.username.as_str(),
        row.name.first.as_str(),
        row.name.last.as_str(),
        &row.email,
        policy.role_title(row.role),
        row.registration.into_str(),
        row.status.into_str(),
        &row.services.join(" "),
        &row.group_codes.join(" "),
        &row.joined_at.to_string(),
        &row.end_date.map(|d| d.to_string()).unwrap_or_default(),
        &last,
    ];
    cells.map(cell).join(",") + "\r\n"
}
