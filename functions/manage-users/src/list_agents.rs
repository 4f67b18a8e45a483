//! `GET /{portal}/agents` and `POST /{portal}/agents/search`: list the agents under a managing agent, with their ids (AG-12).

use axum::Json;
use axum::extract::State;
use futures::{TryFutureExt, future};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vestibule_domain::policy::Permission;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_http::openapi::{EntitledProblems, FieldProblems, PortalParams, QueryProblems};
use vestibule_http::request::{Query, cursor, limit};
use vestibule_http::responses::Page;
use vestibule_http::{App, Body, Caller, Entitled, Problem};
use vestibule_store::managed::AgentsCursor;

use crate::list::search_text;

/// Paging for the list of agents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AgentsQuery {
    /// The maximum number of agents on a page, 1 to 100. The default is 50.
    limit: Option<u8>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// What to search for, and paging.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentSearchRequest {
    /// Returns only agents whose id starts with this text, or whose name has words that start with
    /// its words. In names, case, accents and punctuation are ignored.
    query: String,
    /// The maximum number of agents on a page, 1 to 100. The default is 50.
    limit: Option<u8>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// An agent under the caller's organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentResponse {
    /// The id that the plan assigned to the agent.
    agent_id: String,
    /// The agent's name in the plan's records.
    name: String,
}

/// List agents
///
/// Lists the agents under the caller's organization according to the plan's records.
#[utoipa::path(
    get, path = "/{portal}/agents", tag = "users",
    operation_id = "list_agents",
    params(PortalParams, AgentsQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<AgentResponse>, description = "A page of agents"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn list_agents(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<AgentsQuery>,
) -> Result<Json<Page<AgentResponse>>, Problem> {
    page(&app, &caller, None, query).await
}

/// Search agents
///
/// Searches the agents under the caller's organization by id or name. The search term is in the body, so that no URL
/// contains it.
#[utoipa::path(
    post, path = "/{portal}/agents/search", tag = "users",
    operation_id = "search_agents",
    params(PortalParams),
    request_body = AgentSearchRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<AgentResponse>, description = "A page of agents"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn search_agents(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Body(request): Body<AgentSearchRequest>,
) -> Result<Json<Page<AgentResponse>>, Problem> {
    let query = AgentsQuery {
        limit: request.limit,
        cursor: request.cursor,
    };
    page(&app, &caller, Some(&request.query), query).await
}

async fn page(
    app: &App,
    caller: &Caller,
    text: Option<&str>,
    query: AgentsQuery,
) -> Result<Json<Page<AgentResponse>>, Problem> {
    let policy = &caller.policy;
    let not_allowed = || Problem::not_allowed(policy);
    let acting = caller.acting()?;
    let own = acting
        .allowed(Permission::LookUpAgents, policy)
        .ok_or_else(not_allowed)?;
    let text = search_text(text)?;
    let limit = limit(query.limit.map(u32::from), 100)?;
    let after = cursor(query.cursor.as_deref(), AgentsCursor::parse)?;
    let organization = app.store.organization(&policy.portal, own).await?;
    let record = organization
        .and_then(|o| o.record)
        .filter(|r| r.kind == RecordKind::Agent)
        .ok_or_else(not_allowed)?;
    let agents = app
        .store
        .managed_agents(&record, text.as_ref(), after.as_ref(), limit);
    let reading = caller.record_reading(app, Action::LookUpAgents, None);
    let (page, ()) = future::try_join(agents.map_err(Problem::from), reading).await?;
    let items = page.items.into_iter().map(|a| AgentResponse {
        agent_id: a.number,
        name: a.name,
    });
    Ok(Json(Page {
        items: items.collect(),
        next_cursor: page.next,
    }))
}
