//! `POST /{portal}/username-recoveries/answers`: shows the username after correct answers (ME-05).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures::future;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::rules::recover::{self, Evidence};
use vestibule_domain::state::account::QuestionAnswer;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::values::text::Sensitive;
use vestibule_http::credentials::{self, QuestionAnswerFields};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Comparer, Described};
use vestibule_http::{App, Body, FieldErrors, Portal, Problem};

use crate::refused;
use crate::start_username_recovery::{claimant, counters, parse};

/// The facts that identify a person, and the answers to their security questions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoverUsernameRequest {
    /// The registration type with which the person registered.
    registration_type: String,
    /// The facts that verify the person, as `GET /{portal}` lists them for the registration type.
    verification: BTreeMap<String, String>,
    /// The person's given name.
    first_name: String,
    /// The security questions and their answers.
    security_answers: Vec<QuestionAnswerFields>,
}

/// A recovered username.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecoverUsernameResponse {
    username: String,
}

/// Recover a username with security answers
///
/// Returns the username if the verification and all answers are correct. All refusals are the same.
#[utoipa::path(
    post, path = "/{portal}/username-recoveries/answers", tag = "recovery",
    operation_id = "recover_username",
    params(PortalParams),
    request_body = RecoverUsernameRequest,
    responses(
        (status = 200, body = RecoverUsernameResponse, description = "The username"),
        (status = 403, description = "`recovery-refused`"),
        FieldProblems,
    )
)]
pub(crate) async fn recover_username(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<RecoverUsernameRequest>,
) -> Result<Json<RecoverUsernameResponse>, Problem> {
    let mut fields = FieldErrors::default();
    let answers = credentials::security_answers(&request.security_answers, &policy, &mut fields);
    let answers = fields.into_result(answers)?;
    let given = (
        request.registration_type.as_str(),
        &request.verification,
        request.first_name.as_str(),
    );
    let (app, policy, origin) = (&app, &*policy, &origin);
    let claim = parse(policy, given)?;
    let evidence = Evidence {
        answers: answers
            .into_iter()
            .map(credentials::ParsedAnswer::into_parts)
            .collect(),
        ..Evidence::default()
    };
    let counters = counters(&claim, (policy, origin));
    let described = future::ready(Ok(Described::anonymous(Action::RecoverUsername)));
    let compare = async |comparer: Comparer<'_>| {
        let account = claimant(app, &comparer, &claim, policy).await?;
        let account = account.filter(|account| {
            let verify = |stored: &QuestionAnswer, entered: &Sensitive| {
                comparer.is_answer(stored, &account.id, entered)
            };
            recover::may_read_username(account, &evidence, verify, policy, origin)
        });
        Ok(account.ok_or("not_proved"))
    };
    let checked = secret_check::check(app, &counters, (policy, origin), described, compare).await?;
    let proved = checked.within(&policy.rate_limits.registration, policy)?;
    let (account, _) = proved.ok_or_else(|| refused(policy))?;
    let mut rng = app.rng();
    let actor = Actor::Account(account.id.clone());
    let audit =
        AuditEvent::done(origin, actor, Action::RecoverUsername, &mut rng).on(account.id.as_str());
    app.commit(Decision::recording(audit), &mut rng).await?;
    Ok(Json(RecoverUsernameResponse {
        username: account.username.to_string(),
    }))
}
