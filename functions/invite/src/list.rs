//! `GET /{portal}/invitations`: the organisation's invitations, and what became of them (UX-01).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use vestibule_domain::policy::Permission;
use vestibule_http::answer::Listed;
use vestibule_http::request::Query;
use vestibule_http::{App, Entitled, Problem, ProblemBody};

use crate::InvitationAnswer;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the invitations of the caller's organisation.
#[utoipa::path(
    get, path = "/{portal}/invitations", tag = "invitations",
    params(("portal" = String, Path, description = "The portal"), ListQuery),
    responses(
        (status = 200, body = Listed<InvitationAnswer>),
        (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<InvitationAnswer>>, Problem> {
    let acting = caller.acting()?;
    let organisation = acting
        .allowed(Permission::AddUsers, &caller.policy)
        .ok_or_else(|| Problem::not_allowed(&caller.policy))?;
    let page = app
        .store
        .invitations(&caller.policy.portal, organisation, query.cursor.as_deref(), 50)
        .await?;
    Ok(Json(Listed {
        items: page.items.iter().map(|i| InvitationAnswer::of(i, caller.origin.at)).collect(),
        next_cursor: page.next,
    }))
}
