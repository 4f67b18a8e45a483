//! `GET /{portal}/entitlements`: returns the services and group codes of a caller with no pending
//! step. Applications check it before they show protected information.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use vestibule_domain::state::audit::{Action, Outcome};
use vestibule_http::openapi::{PortalParams, SignedInProblems};
use vestibule_http::request::Query;
use vestibule_http::responses::EntitlementsResponse;
use vestibule_http::{App, Entitled, Problem};

/// The service to open.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OpenQuery {
    /// The service whose protected information is about to be shown. The access is recorded on the
    /// audit trail (EX-02).
    service: Option<String>,
}

/// Show your services and group codes
///
/// Returns the services and group codes that the caller may use. With `service`, checks that the
/// caller may use that service and records the access; call it before you show protected
/// information.
#[utoipa::path(
    get, path = "/{portal}/entitlements", tag = "profile",
    operation_id = "show_entitlements",
    params(PortalParams, OpenQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = EntitlementsResponse, description = "The caller's entitlements"),
        (status = 403, description = "`next-step-required` or `service-not-assigned`"),
        (status = 422, description = "`invalid-fields`: the portal does not offer this service"),
        SignedInProblems,
    )
)]
pub(crate) async fn show_entitlements(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<OpenQuery>,
) -> Result<Json<EntitlementsResponse>, Problem> {
    let policy = &caller.policy;
    let membership = caller
        .membership()
        .ok_or_else(|| Problem::not_allowed(policy))?;
    if let Some(service) = &query.service {
        let offered = policy.services.iter().any(|s| s.id.as_str() == service);
        if !offered {
            return Err(Problem::invalid_field(
                "service",
                "must be a service of this portal",
            ));
        }
        if !membership.services.contains(service) {
            let mut refused = caller.audit(Action::OpenService, &app).on(service);
            refused.outcome = Outcome::Refused;
            refused.reason = Some("service_not_assigned".to_owned());
            app.store.record(&refused).await?;
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "service-not-assigned",
                "Service not assigned",
                "This service isn't assigned to you. Ask an administrator of your organization to assign it.",
            )
            .with_help(policy));
        }
        caller
            .record_reading(&app, Action::OpenService, Some(service))
            .await?;
    }
    Ok(Json(EntitlementsResponse::of(membership)))
}
