//! `POST /{portal}/password-resets/redemption`: a new password for who has forgotten the old one.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::audit::{Action, Actor, AuditEvent};
use vestibule_domain::policy::RecoveryMeans;
use vestibule_domain::recover::{self, Evidence};
use vestibule_domain::text::Username;
use vestibule_http::credentials::{self, QuestionAnswerFields, parse_answer};
use vestibule_http::request::From;
use vestibule_http::{App, Body, Fields, Portal, Problem, ProblemBody, guesses};
use vestibule_store::CommitError;

use crate::look_up_reset::account_of;
use crate::{count, refused};

/// What proves who one is, and the new password. `POST /{portal}/password-resets` tells what is asked
/// for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordResetRequest {
    /// The token of the link, where the portal mails one.
    token: Option<String>,
    /// The username, where it mails none.
    username: Option<String>,
    /// The answers to the security questions.
    #[serde(default)]
    security_answers: Vec<QuestionAnswerFields>,
    /// The answer to the hint question.
    hint_answer: Option<String>,
    /// The password as it shall be.
    new_password: String,
}

/// The new password is set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PasswordResetAnswer {
    /// Sign in with it.
    username: String,
}

/// Sets a new password. All of what the portal asks for must be right; the link is then used up and
/// every session of the account is over. All refusals are the same.
#[utoipa::path(
    post, path = "/{portal}/password-resets/redemption", tag = "recovery",
    operation_id = "reset_password",
    params(("portal" = String, Path, description = "The portal")),
    request_body = PasswordResetRequest,
    responses(
        (status = 200, body = PasswordResetAnswer, description = "Done; this is how it is now"),
        (status = 403, body = ProblemBody, description = "`recovery-refused`", content_type = "application/problem+json"),
        (status = 429, body = ProblemBody, description = "`too-many-attempts`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reset(
    State(app): State<App>,
    Portal(policy): Portal,
    From(origin): From,
    Body(request): Body<PasswordResetRequest>,
) -> Result<Json<PasswordResetAnswer>, Problem> {
    let token = request.token.as_deref().and_then(recover::parse_link);
    let means = recover::means_for(token.as_ref(), &policy);
    let by_link = means.contains(&RecoveryMeans::Email);
    let mut fields = Fields::default();
    fields.unwanted(
        "username",
        by_link && request.username.is_some(),
        "is not asked for on this portal: the link tells it",
    );
    fields.unwanted(
        "token",
        !by_link && request.token.is_some(),
        "is not asked for on this portal",
    );
    if by_link && request.token.is_none() {
        fields.fault("token", "is required");
    }
    let username = if by_link {
        None
    } else {
        fields.required("username", request.username.as_deref(), |t| {
            Username::parse(t.trim(), 1)
        })
    };
    let hint = match (
        means.contains(&RecoveryMeans::HintQuestion),
        &request.hint_answer,
    ) {
        (true, given) => fields.required("hint_answer", given.as_deref(), parse_answer),
        (false, given) => {
            fields.unwanted(
                "hint_answer",
                given.is_some(),
                "is not asked for on this portal",
            );
            None
        }
    };
    let answers = if means.contains(&RecoveryMeans::SecurityAnswers) {
        credentials::security_answers(&request.security_answers, &policy, &mut fields)
    } else {
        fields.unwanted(
            "security_answers",
            !request.security_answers.is_empty(),
            "are not asked for on this portal",
        );
        Some(Vec::new())
    };
    let password = credentials::new_password(
        "new_password",
        &request.new_password,
        (username.as_ref(), None),
        &policy,
        &mut fields,
    );
    let (answers, password) = fields.finish(answers.zip(password))?;

    let subject = match (&username, &token) {
        (Some(name), _) => name.key(),
        (None, Some(token)) => token.locator().to_owned(),
        (None, None) => String::new(),
    };
    let attempts = count(&app, guesses::RESET, &subject, &origin, &policy).await?;
    let account = match (&username, &token) {
        (Some(name), _) => {
            app.store
                .account_by_username(&policy.portal, &name.key())
                .await?
        }
        (None, Some(token)) => account_of(&app, &policy, token).await?,
        (None, None) => None,
    };
    let mut rng = app.rng();
    let hash = credentials::hash(&password, &app, &mut rng).await;
    let evidence = Evidence {
        token,
        answers: answers
            .into_iter()
            .map(credentials::ParsedAnswer::into_parts)
            .collect(),
        hint,
    };
    let verify = |stored: &_, entered: &_| {
        account
            .as_ref()
            .is_some_and(|a| credentials::is_answer(stored, entered, &a.id, &app))
    };
    let decision = recover::reset_password(
        account.as_ref(),
        &evidence,
        verify,
        hash,
        attempts,
        &policy,
        &origin,
        &mut rng,
    );
    let (Some(account), Some(decision)) = (&account, decision) else {
        let mut audit = AuditEvent::refused(
            &origin,
            Actor::Unknown,
            Action::ResetPassword,
            "not_proved",
            &mut rng,
        );
        audit.object = account.map(|a| a.id.to_string());
        app.store
            .commit(Decision::recording(audit), &mut rng)
            .await?;
        return Err(refused(&policy));
    };
    // Only who has proved who they are learns what is wrong with the password for this account.
    let mut fields = Fields::default();
    credentials::new_password(
        "new_password",
        &request.new_password,
        (Some(&account.username), Some(&account.name)),
        &policy,
        &mut fields,
    );
    fields.finish(Some(()))?;
    credentials::not_used_before("new_password", &password, account, &app).await?;
    match app.store.commit(decision, &mut rng).await {
        Ok(()) => Ok(Json(PasswordResetAnswer {
            username: account.username.to_string(),
        })),
        // The link was used, or the account changed, at the same moment.
        Err(CommitError::Stale) => Err(refused(&policy)),
        Err(other) => Err(other.into()),
    }
}
