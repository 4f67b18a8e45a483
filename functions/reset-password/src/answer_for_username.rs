//! `POST /{portal}/username-recoveries/answers`: all the answers are right, and here is the username
//!  (ME-05).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::audit::{Action, Actor, AuditEvent};
use vestibule_domain::recover::{self, Evidence};
use vestibule_http::credentials::{self, QuestionAnswerFields};
use vestibule_http::request::From;
use vestibule_http::{App, Body, Fields, Portal, Problem, ProblemBody};

use crate::ask_questions::find;
use crate::refused;

/// What was entered at registration, and the answers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswersRequest {
    /// The way one registered.
    way: String,
    /// What proves who one is, as `GET /{portal}` lists it for the way.
    proof: BTreeMap<String, String>,
    /// Given name.
    first_name: String,
    /// The answers to the questions.
    security_answers: Vec<QuestionAnswerFields>,
}

/// The username.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsernameAnswer {
    username: String,
}

/// Shows the username to who has answered everything rightly. All refusals are the same.
#[utoipa::path(
    post, path = "/{portal}/username-recoveries/answers", tag = "recovery",
    operation_id = "recover_username",
    params(("portal" = String, Path, description = "The portal")),
    request_body = AnswersRequest,
    responses(
        (status = 200, body = UsernameAnswer, description = "Done; this is how it is now"),
        (status = 403, body = ProblemBody, description = "`recovery-refused`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn answer_for_username(
    State(app): State<App>,
    Portal(policy): Portal,
    From(origin): From,
    Body(request): Body<AnswersRequest>,
) -> Result<Json<UsernameAnswer>, Problem> {
    let mut fields = Fields::default();
    let answers = credentials::security_answers(&request.security_answers, &policy, &mut fields);
    let answers = fields.finish(answers)?;
    let (_, account) = find(
        &app,
        &policy,
        &origin,
        (&request.way, &request.proof, &request.first_name),
    )
    .await?;
    let evidence = Evidence {
        answers: answers
            .into_iter()
            .map(credentials::ParsedAnswer::into_parts)
            .collect(),
        ..Evidence::default()
    };
    let mut rng = app.rng();
    let proved = account.filter(|a| {
        let verify = |stored: &_, entered: &_| credentials::is_answer(stored, entered, &a.id, &app);
        recover::may_read_username(a, &evidence, verify, &policy, &origin)
    });
    let audit = match &proved {
        Some(account) => AuditEvent::done(
            &origin,
            Actor::Account(account.id.clone()),
            Action::RecoverUsername,
            &mut rng,
        )
        .on(account.id.as_str()),
        None => AuditEvent::refused(
            &origin,
            Actor::Unknown,
            Action::RecoverUsername,
            "not_proved",
            &mut rng,
        ),
    };
    app.store
        .commit(Decision::recording(audit), &mut rng)
        .await?;
    proved
        .map(|a| {
            Json(UsernameAnswer {
                username: a.username.to_string(),
            })
        })
        .ok_or_else(|| refused(&policy))
}
