//! `POST /{portal}/username-recoveries`: somebody who has forgotten their username proves by the
//! plan's records who they are, and is asked their security questions (ME-05).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::account::Account;
use vestibule_domain::audit::Origin;
use vestibule_domain::policy::{Policy, RecoveryMeans};
use vestibule_domain::text::NamePart;
use vestibule_http::request::From;
use vestibule_http::{App, Body, Fields, Portal, Problem, ProblemBody, proof};

use crate::{not_here, questions};

/// What was entered at registration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuestionsRequest {
    /// The way one registered.
    way: String,
    /// What proves who one is, as `GET /{portal}` lists it for the way.
    proof: BTreeMap<String, String>,
    /// Given name.
    first_name: String,
}

/// What to answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuestionsAnswer {
    /// The security questions. They are shown for every proof, right or wrong.
    questions: Vec<String>,
}

/// Shows the security questions of who has forgotten their username.
#[utoipa::path(
    post, path = "/{portal}/username-recoveries", tag = "recovery",
    operation_id = "ask_security_questions",
    params(("portal" = String, Path, description = "The portal")),
    request_body = QuestionsRequest,
    responses(
        (status = 200, body = QuestionsAnswer, description = "Done; this is how it is now"),
        (status = 404, body = ProblemBody, description = "`not-this-portal`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn ask_questions(
    State(app): State<App>,
    Portal(policy): Portal,
    From(origin): From,
    Body(request): Body<QuestionsRequest>,
) -> Result<Json<QuestionsAnswer>, Problem> {
    let (subject, account) = find(
        &app,
        &policy,
        &origin,
        (&request.way, &request.proof, &request.first_name),
    )
    .await?;
    Ok(Json(QuestionsAnswer {
        questions: questions(&app, &policy, &subject, account.as_ref()),
    }))
}

/// The account of who proves themselves by the plan's records. A wrong proof costs the same reads.
pub(crate) async fn find(
    app: &App,
    policy: &Policy,
    origin: &Origin,
    (way, given, first_name): (&str, &BTreeMap<String, String>, &str),
) -> Result<(String, Option<Account>), Problem> {
    if !policy
        .recovery
        .forgot_username
        .contains(&RecoveryMeans::SecurityAnswers)
    {
        return Err(not_here(policy));
    }
    let Some(way) = policy.way(way) else {
        return Err(Problem::invalid_field(
            "way",
            "must be one of the portal's ways to register",
        ));
    };
    let mut fields = Fields::default();
    let named = fields.take("first_name", NamePart::parse(first_name));
    let parsed = proof::parse(given, way, first_name, policy, &mut fields);
    let (record, proof) = fields.finish(parsed.filter(|_| named.is_some()))?;
    proof::count(app, &record, "remember", origin, policy).await?;
    let subject = format!("{}/{}", record.kind.as_str(), record.number);
    let records = app.store.plan_records(&record).await?;
    let owner = proof::find(app, &records, &proof).and_then(|r| r.claimed_by(&policy.portal, way));
    let nobody = Account::natural_id(&policy.portal, &subject);
    let account = app
        .store
        .account(&policy.portal, owner.unwrap_or(&nobody))
        .await?;
    Ok((subject, account.filter(|_| owner.is_some())))
}
