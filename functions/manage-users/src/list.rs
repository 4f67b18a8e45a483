//! `GET /{portal}/users`: the users of the caller's organisation (BL-07, BL-17).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use vestibule_domain::policy::Permission;
use vestibule_http::answer::Listed;
use vestibule_http::request::{Query, cursor};
use vestibule_http::{App, Entitled, Problem, ProblemBody};
use vestibule_store::UsersCursor;

use crate::UserAnswer;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many users a page has, 1 to 100; 50 if not given.
    limit: Option<u8>,
}

/// Lists the users of the caller's organisation, administrators first.
#[utoipa::path(
    get, path = "/{portal}/users", tag = "users",
    operation_id = "list_users",
    params(("portal" = String, Path, description = "The portal"), ListQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Listed<UserAnswer>, description = "A page of users"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, description = "`invalid-fields`: `cursor` is not of this list, or `limit` is out of bounds", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<UserAnswer>>, Problem> {
    let policy = &caller.policy;
    let acting = caller.acting()?;
    let organisation = acting.allowed(Permission::ListUsers, policy).ok_or_else(|| Problem::not_allowed(policy))?;
    let limit = query.limit.unwrap_or(50);
    if !(1..=100).contains(&limit) {
        return Err(Problem::invalid_field("limit", "must be 1 to 100"));
    }
    let after = cursor(query.cursor.as_deref(), UsersCursor::parse)?;
    let page = app.store.users(&policy.portal, organisation, after.as_ref(), limit).await?;
    let role = acting.membership.role;
    Ok(Json(Listed {
        items: page.items.into_iter().map(|row| UserAnswer::of(row, role, policy)).collect(),
        next_cursor: page.next,
    }))
}
