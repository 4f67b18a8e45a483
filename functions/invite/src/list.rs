//! `GET /{portal}/invitations`: lists the organization's invitations (UX-01).

use axum::Json;
use axum::extract::State;
use futures::{TryFutureExt, future};
use serde::Deserialize;
use utoipa::IntoParams;
use vestibule_domain::policy::Permission;
use vestibule_domain::state::audit::Action;
use vestibule_http::openapi::{EntitledProblems, PortalParams, QueryProblems};
use vestibule_http::request::{Query, cursor};
use vestibule_http::responses::Page;
use vestibule_http::{App, Entitled, Problem};
use vestibule_store::InvitationsCursor;

use crate::InvitationResponse;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// List invitations
///
/// Returns the invitations of the caller's organization with their status.
#[utoipa::path(
    get, path = "/{portal}/invitations", tag = "invitations",
    operation_id = "list_invitations",
    params(PortalParams, ListQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<InvitationResponse>, description = "A page of invitations"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<InvitationResponse>>, Problem> {
    let acting = caller.acting()?;
    let organization = acting
        .allowed(Permission::AddUsers, &caller.policy)
        .ok_or_else(|| Problem::not_allowed(&caller.policy))?;
    let after = cursor(query.cursor.as_deref(), InvitationsCursor::parse)?;
    let invitations =
        app.store
            .invitations(&caller.policy.portal, organization, after.as_ref(), 50);
    let reading = caller.record_reading(&app, Action::ListInvitations, None);
    let (page, ()) = future::try_join(invitations.map_err(Problem::from), reading).await?;
    let now = caller.origin.at;
    let standings = app.store.invitation_standings(&page.items, now).await?;
    let described = page.items.iter().map(|invitation| {
        let status = standings
            .of(invitation)
            .status(invitation, &caller.policy, now);
        InvitationResponse::of(invitation, status)
    });
    Ok(Json(Page {
        items: described.collect(),
        next_cursor: page.next,
    }))
}
