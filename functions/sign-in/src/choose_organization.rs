//! `PUT /{portal}/sessions/current/organization`: chooses the session's organization (BL-01).

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::rules::next_step::next_step;
use vestibule_domain::rules::sign_in as rules;
use vestibule_domain::values::ids::OrganizationId;
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::responses::{self, EntitlementsResponse};
use vestibule_http::{App, Body, Problem, SignedIn};

/// The organization to work for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChooseOrganizationRequest {
    /// The id of an organization listed by `GET /{portal}/me`.
    organization_id: String,
}

/// The session's current organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChosenOrganizationResponse {
    /// The id of the current organization.
    organization_id: String,
    /// The step that the user must complete before working for the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<&'static str>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The caller's entitlements in the organization; absent while a step must still be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    entitlements: Option<EntitlementsResponse>,
}

/// Choose the organization to work for
///
/// Switches the session to another of the caller's organizations. Other sessions are not affected.
#[utoipa::path(
    put, path = "/{portal}/sessions/current/organization", tag = "sessions",
    operation_id = "choose_organization",
    params(PortalParams),
    request_body = ChooseOrganizationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = ChosenOrganizationResponse, description = "The organization and the next step or the entitlements"),
        (status = 404, description = "`not-found`: the caller does not belong to this organization"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn choose_organization(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<ChooseOrganizationRequest>,
) -> Result<Json<ChosenOrganizationResponse>, Problem> {
    let (policy, account) = (&caller.policy, &caller.account);
    let wanted = OrganizationId::parse(&request.organization_id)
        .map_err(|e| Problem::invalid_field("organization_id", &e.to_string()))?;
    let mut rng = app.rng();
    let session = &caller.session;
    let chosen = rules::choose_organization(account, session, &wanted, caller.context(&mut rng));
    let (session, decision) = chosen.ok_or_else(|| Problem::not_found("organization"))?;
    app.commit(decision, &mut rng).await?;
    let membership = account.membership(Some(&wanted));
    let next_step = next_step(account, &session, policy, caller.origin.at);
    Ok(Json(ChosenOrganizationResponse {
        organization_id: wanted.to_string(),
        next_step: responses::step(next_step),
        reason: responses::reason(next_step),
        entitlements: membership
            .filter(|_| next_step.is_none())
            .map(EntitlementsResponse::of),
    }))
}
