//! `POST /{portal}/username-recoveries`: verifies a person who forgot their username against the plan's
//! records and returns their security questions (ME-05).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::{Policy, RecoveryMeans};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::text::NamePart;
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, FieldErrors, Portal, Problem, verification};

use crate::{questions, unsupported};

/// The facts that identify a person who forgot their username.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartUsernameRecoveryRequest {
    /// The registration type with which the person registered.
    registration_type: String,
    /// The facts that verify the person, as `GET /{portal}` lists them for the registration type.
    verification: BTreeMap<String, String>,
    /// The person's given name.
    first_name: String,
}

/// The security questions to answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartUsernameRecoveryResponse {
    /// The security questions; returned whether or not the verification is correct.
    questions: Vec<String>,
}

/// Start a username recovery
///
/// Returns the security questions that a person who forgot their username must answer. The response
/// does not reveal whether the verification is correct.
#[utoipa::path(
    post, path = "/{portal}/username-recoveries", tag = "recovery",
    operation_id = "start_username_recovery",
    params(PortalParams),
    request_body = StartUsernameRecoveryRequest,
    responses(
        (status = 200, body = StartUsernameRecoveryResponse, description = "The security questions"),
        (status = 409, description = "`unsupported-on-portal`"),
        FieldProblems,
    )
)]
pub(crate) async fn start_username_recovery(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<StartUsernameRecoveryRequest>,
) -> Result<Json<StartUsernameRecoveryResponse>, Problem> {
    let (subject, account) = find(
        &app,
        &policy,
        &origin,
        (
            &request.registration_type,
            &request.verification,
            &request.first_name,
        ),
    )
    .await?;
    Ok(Json(StartUsernameRecoveryResponse {
        questions: questions(&app, &policy, &subject, account.as_ref()),
    }))
}

/// Finds the account that the verification matches. An incorrect verification costs the same reads.
///
/// # Errors
/// A problem when the portal does not offer this recovery method, a field is invalid, or there were too
/// many attempts.
pub(crate) async fn find(
    app: &App,
    policy: &Policy,
    origin: &Origin,
    (registration_type, given, first_name): (&str, &BTreeMap<String, String>, &str),
) -> Result<(String, Option<Account>), Problem> {
    if !policy
        .recovery
        .forgot_username
        .contains(&RecoveryMeans::SecurityAnswers)
    {
        return Err(unsupported(policy));
    }
    let Some(registration_type) = policy.registration_type(registration_type) else {
        return Err(Problem::invalid_field(
            "registration_type",
            "must be one of the registration types of this portal",
        ));
    };
    let mut fields = FieldErrors::default();
    let named = fields.take("first_name", NamePart::parse(first_name));
    let parsed = verification::parse(given, registration_type, first_name, policy, &mut fields);
    let (record, verification) = fields.into_result(parsed.filter(|_| named.is_some()))?;
    verification::count(app, &record, "remember", origin, policy).await?;
    let subject = format!("{}/{}", record.kind.into_str(), record.number);
    let records = app.store.plan_records(&record).await?;
    let owner = verification::find(app, &records, &verification)
        .and_then(|r| r.claimed_by(&policy.portal, registration_type));
    let nobody = Account::natural_id(&policy.portal, &subject);
    let account = app
        .store
        .account(&policy.portal, owner.unwrap_or(&nobody))
        .await?;
    Ok((subject, account.filter(|_| owner.is_some())))
}
